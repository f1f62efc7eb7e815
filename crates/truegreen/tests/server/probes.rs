//! Systems asked by a server and by the command, from real answers to what is shown.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use truegreen::config::Config;
use truegreen::systems::latest::Probed;

use crate::support::{PATIENCE, PROTOBUF, TestServer, placed};

/// A health check that always says this, until the test process ends.
fn health(status: &'static str, body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _question = stream.read(&mut [0; 4096]);
            let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/health+json\r\nconnection: close\r\n");
            let _gone = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A health check of `shop` that says pass, one that is partly wrong, and what nobody answers at.
fn configured() -> String {
    let (well, half, gone) = (
        health("200 OK", r#"{"status": "pass"}"#),
        health(
            "200 OK",
            r#"{"status": "warn", "checks": {"queue <a>:depth": [{"observedValue": 7, "observedUnit": "messages", "status": "warn", "output": "too deep"}]}}"#,
        ),
        closed_port(),
    );
    format!(
        "systems:
  shop-health: {{url: 'http://{well}/health', every: 100ms, expect: {{claims_of: shop}}}}
  half: {{url: 'http://user:hunter2@{half}/', every: 100ms}}
  stock: {{url: 'http://127.0.0.1:{gone}/', every: 100ms, used_by: [shop]}}
"
    )
}

fn server() -> TestServer {
    let systems = Config::parse(&configured()).unwrap().systems;
    TestServer::with(|config| config.systems = systems)
}

fn all_asked(answer: &Value) -> bool {
    let asked = |probe: &Value| probe["checks"][0]["measurement"] != "asked";
    answer["probes"].as_array().is_some_and(|probes| probes.len() == 3 && probes.iter().all(asked))
}

#[test]
fn a_server_asks_its_systems_and_shows_what_they_say() {
    let server = server();
    let answer = server.until("/api/v1/probes", "answers of all systems", all_asked);
    let probes: Vec<Probed> = serde_json::from_value(answer["probes"].clone()).unwrap();
    let stands = |name: &str| {
        let probed = probes.iter().find(|probed| probed.report.system == name).unwrap();
        assert!(probed.since.ends_with('Z') && probed.report.time.ends_with('Z'));
        (probed.report.standing.name(), probed.report.checks.len())
    };
    assert_eq!(stands("shop-health"), ("pass", 3));
    assert_eq!(stands("half"), ("warn", 4));
    assert_eq!(stands("stock"), ("fail", 1));

    let page = server.get("/systems").text();
    for part in
        ["BROKEN: 1 of 3 systems fails: stock, status", "nothing listens there", "queue &lt;a&gt;", "7 messages"]
    {
        assert!(page.contains(part), "no {part} in {page}");
    }
    assert!(page.find("id=\"system-stock\"") < page.find("id=\"system-half\""), "worst first");
    assert!(server.get("/").text().contains("href=\"/systems\""));

    assert_eq!(server.metric("truegreen_system_standing{system=\"stock\",kind=\"http\"}"), 3);
    assert_eq!(
        server.metric("truegreen_probe_standing{system=\"half\",component=\"queue <a>\",measurement=\"depth\"}"),
        2
    );
    let observed =
        "truegreen_probe_observed{system=\"half\",component=\"queue <a>\",measurement=\"depth\",unit=\"messages\"}";
    assert_eq!(server.metric(observed), 7);
    for path in ["/api/v1/probes", "/api/v1/claims", "/systems", "/metrics", "/healthz?verbose"] {
        assert!(!server.get(path).text().contains("hunter2"), "{path}");
    }
}

/// Scenario: what we ask is down. Guarantee: we are not, and a prober that restarts what answers 503 leaves us alone.
#[test]
fn healthz_warns_of_others_and_fails_by_ourselves() {
    let mut server = server();
    server.until("/api/v1/probes", "answers of all systems", all_asked);
    let short = server.get("/healthz");
    assert_eq!((short.status, short.header("content-type")), (200, "application/health+json"));
    assert_eq!(short.json()["status"], "warn");
    assert!(short.json().get("checks").is_none());
    let long = server.get("/healthz?verbose").json();
    assert_eq!(long["checks"]["stock:status"][0]["status"], "fail");
    assert_eq!(long["checks"]["half/queue <a>:depth"][0]["observedValue"], 7.0);
    assert_eq!(long["checks"]["engine:answers"][0]["status"], "pass");
    server.stop();
}

/// Scenario: the health check of a service says pass, and what it uses is gone.
#[test]
fn a_health_check_that_lies_is_found_lying() {
    let server = server();
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], &placed("o-1", 1)).status, 200);
    let lies = |answer: &Value| answer["claims"][0]["standing"] == "lies";
    let claims = server.until("/api/v1/claims", "a lie", lies);
    let verdict = claims["claims"][0]["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("shop says pass; stock, which it uses, fails: status: cannot be reached"), "{verdict}");
    assert!(server.get("/systems").text().contains("Claims against truth"));
}

#[test]
fn without_systems_nothing_is_asked_and_nothing_is_claimed() {
    let server = TestServer::start();
    assert_eq!(server.get("/api/v1/probes").json(), serde_json::json!({"probes": []}));
    assert_eq!(server.get("/api/v1/claims").json(), serde_json::json!({"claims": []}));
    assert!(server.get("/systems").text().contains("CANNOT TELL: no system is asked."));
    assert_eq!(server.get("/healthz").json()["status"], "pass");
    assert!(!server.get("/metrics").text().contains("truegreen_system_standing"));
}

fn truegreen(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
    command.args(args).env_remove("TRUEGREEN_LOG").env("SHOP_PASSWORD", "hunter2").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_command_asks_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("truegreen.yaml");
    std::fs::write(&path, configured()).unwrap();
    let config = ["--config", path.to_str().unwrap()];
    let ask = |args: &[&str]| truegreen(&[&["probe"], &config[..], args].concat());

    let all = ask(&[]);
    let said = text(&all.stdout);
    assert_eq!(all.status.code(), Some(1), "{said}");
    assert!(said.starts_with("BROKEN: 1 of 3 systems fails: stock, status: cannot be reached"), "{said}");
    assert!(said.contains("lies        shop says pass; stock, which it uses, fails"), "{said}");
    assert!(!said.contains("hunter2") && !said.contains('\x1b'), "{said}");
    // What warns works.
    assert_eq!(ask(&["half", "shop-health"]).status.code(), Some(0));
    let json = ask(&["half", "--json"]);
    let answer: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json.status.code(), &answer["probes"][0]["standing"]), (Some(0), &Value::from("warn")));

    let unknown = ask(&["stoock"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("no system is called stoock\nhint:"), "{unknown:?}");
}

#[test]
fn one_address_can_be_asked_alone() {
    let address = health("200 OK", "{}");
    let well = truegreen(&["probe", "--url", &format!("http://shop:${{SHOP_PASSWORD}}@{address}/")]);
    let said = text(&well.stdout);
    assert_eq!(well.status.code(), Some(0), "{said}");
    assert!(said.starts_with("WORKING: the one system that is asked works.") && !said.contains("hunter2"), "{said}");
    for (url, part) in
        [("ftp://u:hunter2@h", "no system is asked by `ftp://`"), ("http://u:${NO_SUCH}@h", "the environment has no")]
    {
        let wrong = truegreen(&["probe", "--url", url]);
        assert_eq!(wrong.status.code(), Some(2));
        let said = text(&wrong.stderr);
        assert!(said.contains(part) && !said.contains("hunter2"), "{said}");
    }
    let nowhere = truegreen(&["probe", "--config", "/nowhere/truegreen.yaml"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(text(&nowhere.stderr).contains("hint: name another file with --config"), "{nowhere:?}");
}

/// Guarantee: each round of `--watch` is a line, and being told to stop ends it in order.
#[test]
fn watching_goes_on_until_it_is_told_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("truegreen.yaml");
    std::fs::write(&path, configured()).unwrap();
    let mut watching = Command::new(env!("CARGO_BIN_EXE_truegreen"))
        .args(["probe", "--json", "--watch", "--config", path.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watching.stdout.take().unwrap()));
    for _ in 0..3 {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["probes"].as_array().unwrap().len(), 3);
    }
    let told = Command::new("kill").args(["-TERM", &watching.id().to_string()]).status().unwrap();
    assert!(told.success());
    let rest = lines.map_while(Result::ok).count();
    assert!(rest < 10_000 && watching.wait().unwrap().code() == Some(1));
}

/// Scenario: a system that never answers, when the server is told to stop. Guarantee: it stops all the same.
#[test]
fn a_hanging_system_keeps_no_server_from_stopping() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let text =
        format!("systems: {{hole: {{url: 'http://{}/', every: 10ms, timeout: 2s}}}}", silent.local_addr().unwrap());
    let systems = Config::parse(&text).unwrap().systems;
    let mut server = TestServer::with(|config| config.systems = systems);
    silent.accept().unwrap();
    let began = std::time::Instant::now();
    server.stop();
    assert!(began.elapsed() < PATIENCE - Duration::from_secs(1));
}
