//! Dead letters: what the books make of one that comes back, and what the commands say without any system.

use std::path::Path;
use std::process::{Command, Output};

use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::support::{PROTOBUF, TestServer, span, text, traces};

pub(crate) const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, span: place order, service: shop}
steps:
  - {name: shipped, span: ship order, service: shop, within: 1h}
exits:
  - {name: parked, span: park order, service: shop, outcome: dead_lettered, reason: {attribute: reason}}
";

fn truegreen(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
    command.current_dir(folder).args(args).env_remove("TRUEGREEN_LOG").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub(crate) fn parked(order: &str, id: u8) -> Span {
    let mut parked = span("park order", order, id);
    parked.attributes.push(text("reason", "out_of_stock"));
    parked
}

/// Scenario: an order's message dies, is sent back, and is then processed in a trace of its own, or dies once more first.
/// Guarantee: the books count the order once, and as completed.
#[test]
fn a_letter_that_comes_back_is_counted_once() {
    let server = TestServer::watching(CONTRACT, |_| {});
    let send = |spans| assert_eq!(server.post("/v1/traces", &[PROTOBUF], &traces(spans).encode_to_vec()).status, 200);
    send(vec![span("place order", "o-1", 1), parked("o-1", 2), span("place order", "o-2", 3), parked("o-2", 4)]);
    server.until("/api/v1/report", "two deaths", |report| {
        report["flows"]["orders"]["dead_lettered"]["out_of_stock"] == 2 && report["flows"]["orders"]["entered"] == 2
    });
    // The second dies again before it is done.
    send(vec![span("ship order", "o-1", 5), parked("o-2", 6)]);
    send(vec![span("ship order", "o-2", 7)]);
    let report =
        server.until("/api/v1/report", "their completion", |report| report["flows"]["orders"]["completed"] == 2);
    let books = &report["flows"]["orders"];
    assert_eq!((&books["entered"], &books["open"]), (&2.into(), &0.into()), "{books}");
    assert_eq!(books["dead_lettered"], serde_json::json!({}), "amended, not counted twice");
    let journeys = server.get("/api/v1/journeys/orders/o-2").json();
    assert_eq!(journeys["journeys"].as_array().unwrap().len(), 1, "one journey with both lives");
}

#[test]
fn nothing_is_changed_over_http() {
    let server = TestServer::start();
    for path in ["/api/v1/dead-letters", "/api/v1/dead-letters/groups", "/dead-letters"] {
        assert_eq!(server.get(path).status, 200, "{path}");
        let posted = crate::support::agent().post(format!("http://{}{path}", server.web)).send_empty().unwrap();
        assert_eq!(posted.status(), 405, "{path}");
    }
    assert!(server.get("/dead-letters").text().contains("CANNOT TELL"), "no system is no good news");
    assert_eq!(server.get("/api/v1/dead-letters/groups?by=colour").status, 400);
    assert_eq!(server.get("/api/v1/dead-letters?system=broker&place=dead").status, 404);
    assert_eq!(server.get("/dead-letters/broker/dead").status, 404);
}

#[test]
fn commands_say_what_is_missing_and_how_to_mend_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (args, told) in [
        (vec!["dlq", "list"], "there is no truegreen.yaml here"),
        (vec!["dlq", "redrive"], "nothing is chosen"),
        (vec!["dlq", "discard", "--yes"], "nothing is chosen"),
        (vec!["dlq", "redrive", "--resume", "../../etc"], "no redrive is called"),
        (vec!["dlq", "redrive", "--all", "--rate", "fast"], "is no rate"),
        (vec!["dlq", "groups", "--by", "colour"], "nothing to group by"),
        (vec!["dlq", "edit", "1", "--set", "sku"], "has no `=`"),
        (vec!["dlq", "history", "nothing"], "no redrive is called"),
    ] {
        let output = truegreen(at, &args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(said(&output).contains(told) && said(&output).contains("hint:"), "{args:?}: {}", said(&output));
    }
    let output = truegreen(at, &["dlq", "history"]);
    assert!(output.status.success() && said(&output).contains("Nothing was sent back"), "{}", said(&output));

    std::fs::write(at.join("truegreen.yaml"), "systems:\n  page: {url: 'http://127.0.0.1:1/'}\n").unwrap();
    for args in
        [vec!["dlq", "list"], vec!["dlq", "groups", "--system", "page"], vec!["dlq", "show", "1", "--system", "broker"]]
    {
        let output = truegreen(at, &args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(said(&output).contains("hint:"), "{args:?}: {}", said(&output));
    }
}
