//! HTTP answers, and what does not answer.

use std::io::Write;
use std::sync::{Arc, Mutex};

use truegreen_connect::config::{Limit, Method};
use truegreen_connect::confirm::Found;
use truegreen_connect::{Error, System, SystemConfig};
use truegreen_model::probe::{ProbeReport, Standing};

use crate::loopback::BlackHole;
use crate::peer::{SHORT, answers, assert_fails, check, config, listen, probe, read_head, says};

fn json(body: &str) -> String {
    of_type("application/json", body)
}

fn of_type(media_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {media_type}; charset=utf-8\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn ask(with: impl Into<Vec<u8>>, change: impl FnOnce(&mut SystemConfig)) -> ProbeReport {
    let mut config = config(&format!("http://{}/health", answers(with)));
    change(&mut config);
    probe(config)
}

#[test]
fn an_answer_that_is_as_expected_passes() {
    let report = ask(json(r#"{"status": "ok", "items": [1]}"#), |config| {
        config.expect.body = vec!["$.status == \"ok\"".to_owned()];
        config.expect.whole = vec!["$.items[*]".to_owned()];
    });
    assert_eq!(report.standing, Standing::Pass, "{report:#?}");
    assert_eq!(check(&report, "status").observed.as_ref().unwrap().value, 200.0);
    assert_eq!(check(&report, "latency").observed.as_ref().unwrap().unit, "s");
    assert!(!report.address.contains("health"), "paths may be secrets");
}

/// Scenario: 200 with an error in its body, and 200 with half of the data.
#[test]
fn a_body_that_is_wrong_fails_and_a_partial_one_warns() {
    let wrong =
        ask(json(r#"{"status": "error"}"#), |config| config.expect.body = vec!["$.status == \"ok\"".to_owned()]);
    assert_fails(&wrong, "it is \"error\"");
    let partial = ask(json(r#"{"items": []}"#), |config| config.expect.whole = vec!["$.items[*]".to_owned()]);
    assert_eq!(partial.standing, Standing::Warn);
    assert_eq!(check(&partial, "whole").reason, "what it answers is not whole: nothing is there");
}

#[test]
fn a_status_that_is_not_well_fails_and_a_redirect_is_not_followed() {
    assert_fails(&ask("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", |_| {}), "answered 503, not 200 to 299");
    assert_fails(&ask("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", |_| {}), "see the user and the password");
    let redirect = "HTTP/1.1 302 Found\r\nlocation: /login?token=hidden\r\ncontent-length: 0\r\n\r\n";
    let report = ask(redirect, |_| {});
    assert_fails(&report, "it leads to /login\nhint: ask there");
    assert!(!format!("{report:?}").contains("hidden"));
    let meant = ask(redirect, |config| config.expect.statuses = vec![302]);
    assert_eq!(meant.standing, Standing::Pass);
}

#[test]
fn slow_answers_are_held_against_their_limit() {
    let report = ask(json("{}"), |config| {
        config.limits.insert("latency".to_owned(), Limit::new(0.0, 600.0));
    });
    assert_eq!((report.standing, check(&report, "latency").standing), (Standing::Warn, Standing::Warn));
}

#[test]
fn what_a_health_check_says_of_itself_is_taken_over() {
    let body = r#"{"status": "pass", "checks": {"db:write": [{"status": "fail", "output": "read-only"}]}}"#;
    let report = ask(of_type("application/health+json", body), |_| {});
    assert_eq!(check(&report, "says").standing, Standing::Pass);
    assert_eq!((check(&report, "write").component.as_str(), check(&report, "write").standing), ("db", Standing::Fail));
}

#[test]
fn a_closed_port_is_told_as_such() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_fails(&probe(config(&format!("http://127.0.0.1:{port}/"))), "nothing listens there");
}

/// Scenarios: packets that vanish, a server that takes the request and says nothing, one that trickles its head or its
/// body for ever. Guarantee: each is told within the limit, by what it did not answer.
#[test]
fn whatever_does_not_come_to_an_end_is_told_within_the_limit() {
    let short = |address: std::net::SocketAddr| {
        let mut config = config(&format!("http://{address}/"));
        config.timeout = SHORT;
        probe(config)
    };
    let hole = BlackHole::open();
    assert_fails(&short(hole.address), "did not answer the connection within 540 ms");
    let silent = listen(|stream| {
        std::thread::park();
        drop(stream);
    });
    assert_fails(&short(silent), "did not answer the request within 540 ms");
    let trickle = |head: &'static str| {
        listen(move |mut stream| {
            read_head(&mut stream);
            let mut sent = stream.write_all(head.as_bytes());
            while sent.is_ok() {
                std::thread::park_timeout(SHORT / 20);
                sent = stream.write_all(b"x");
            }
        })
    };
    assert_fails(&short(trickle("HTTP/1.1 200 OK\r\nx-y: ")), "did not answer the request within 540 ms");
    let report = short(trickle("HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n"));
    assert_eq!(check(&report, "status").standing, Standing::Pass);
    assert_fails(&report, "did not answer the request to its end within 600 ms");
}

#[test]
fn an_endless_body_is_read_up_to_its_bound() {
    let endless = || {
        listen(|mut stream| {
            read_head(&mut stream);
            let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while sent.is_ok() {
                sent = stream.write_all(&[b' '; 65_536]);
            }
        })
    };
    assert_eq!(probe(config(&format!("http://{}/", endless()))).standing, Standing::Pass);
    let mut asked = config(&format!("http://{}/", endless()));
    asked.expect.body = vec!["$.status".to_owned()];
    assert_fails(&probe(asked), "longer than 1 MiB");
}

#[test]
fn garbage_is_no_answer() {
    assert_fails(&ask("\x00\x01SSH-2.0-OpenSSH\r\n\r\n", |_| {}), "makes no sense");
    assert_fails(&ask("", |_| {}), "cannot be reached");
    let cut = ask("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", |_| {});
    assert_fails(&cut, "in the middle of its answer");
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    assert_fails(&ask(head, |_| {}), "makes no sense");
    let deep = json(&"[".repeat(100_000));
    assert_fails(&ask(deep, |config| config.expect.body = vec!["$.a".to_owned()]), "is no JSON");
}

#[test]
fn the_method_and_the_password_go_out_and_the_password_is_not_told() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let address = listen(move |mut stream| {
        seen.lock().unwrap().push(read_head(&mut stream));
        let _gone = stream.write_all(b"HTTP/1.1 500 hunter2\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    for method in [Method::Get, Method::Head, Method::Post] {
        let mut config = config(&format!("http://shop:hunter2@{address}/health?deep=1"));
        config.method = method;
        assert!(!format!("{:?}", probe(config)).contains("hunter2"));
    }
    let heads = heads.lock().unwrap();
    for (head, method) in heads.iter().zip(["GET", "HEAD", "POST"]) {
        assert!(head.starts_with(&format!("{method} /health?deep=1 HTTP/1.1\r\n")), "{head}");
        assert!(head.to_ascii_lowercase().contains("authorization: basic c2hvcdpodw50zxiy"), "{head}");
    }
}

#[test]
fn an_effect_is_looked_up_key_by_key() {
    let address = listen(|mut stream| {
        while let Some(path) = read_head(&mut stream).split(' ').nth(1) {
            let answer = match path {
                "/orders/o%2D1" => "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"qty\": 3  }",
                "/orders/o%2D3" => "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
                _ => "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n",
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    let system = System::new(config(&format!("http://{address}/health"))).unwrap();
    let confirm = system.confirm().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let keys = ["o-1", "o-2", "o-3", ".."].map(str::to_owned);
    let found = runtime.block_on(confirm.ask("GET /orders/{key}", &keys)).unwrap();
    assert!(matches!(&found[0], Ok(Found::Rows(rows)) if rows[0]["qty"].as_deref() == Some("3")), "{found:?}");
    assert_eq!(found[1], Ok(Found::Nothing));
    assert_eq!(found[2], Err(Error::Answered("302".to_owned())));
    assert!(matches!(found[3], Err(Error::NotAsked(_))));
    assert!(matches!(runtime.block_on(confirm.ask("DELETE /orders/{key}", &keys)), Err(Error::NotAsked(_))));
}

#[test]
fn https_says_what_is_wrong_with_a_certificate() {
    let served = crate::tls::Served::new(crate::tls::Made::named("elsewhere.example"));
    let mut asked = config(&format!("https://{}/", served.address));
    asked.ca = Some(served.ca_path());
    assert_fails(&probe(asked), "its certificate is not for 127.0.0.1: it is for elsewhere.example");
    assert_fails(&probe(config(&format!("https://{}/", says(b"HTTP/1.1 400 Bad\r\n\r\n")))), "there is no TLS");
}
