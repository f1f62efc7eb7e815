//! Incidents from a finding to its record, over crashes, by the API and by the commands.

use std::process::{Command, Output};

use prost::Message;
use serde_json::{Value, json};

use crate::restart::Served;
use crate::support::{Answer, PROTOBUF, TestServer, agent, read, span, traces};

/// Whoever cancels without a reason is a finding at once.
pub(crate) const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, span: place order, service: shop}
steps:
  - {name: shipped, span: ship order, service: shop, within: 1h}
exits:
  - {name: cancelled, span: cancel order, service: shop, reason: {attribute: reason}}
";

/// An order that was cancelled without a reason.
pub(crate) fn cancelled(order: &str, id: u8) -> Vec<u8> {
    let mut spans = vec![span("place order", order, id), span("cancel order", order, id)];
    spans[1].span_id = vec![id, 1, 1, 1, 1, 1, 1, 1];
    // Begun now, and not a moment before whatever the test did last.
    spans.iter_mut().for_each(|span| span.start_time_unix_nano = span.end_time_unix_nano);
    traces(spans).encode_to_vec()
}

fn post(server: &TestServer, path: &str, body: &Value) -> Answer {
    let url = format!("http://{}{path}", server.web);
    read(agent().post(url).header("content-type", "application/json").send(body.to_string().as_bytes()))
}

fn truegreen(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_truegreen")).args(args).env_remove("TRUEGREEN_LOG").output().unwrap()
}

fn told(args: &[&str]) -> String {
    let output = truegreen(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A server with a finding, and the finding's id.
pub(crate) fn with_finding(order: &str) -> (TestServer, String) {
    let server = TestServer::watching(CONTRACT, |_| {});
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], &cancelled(order, 1)).status, 200);
    let findings = server.until("/api/v1/findings", "a finding", |answer| answer["findings"][0]["count"] == 1);
    let id = findings["findings"][0]["id"].as_str().unwrap().to_owned();
    (server, id)
}

fn diagnosis() -> Value {
    json!({
        "verdict": "LIKELY", "says": "the shop forgets why", "as_of": "2026-01-01T10:00:00Z",
        "radius": {"keys": 1, "users": 1, "says": "1 order of 1 customer"},
        "difference": {"explanations": [{"conditions": [{"attribute": "channel", "op": "=", "value": "phone"}],
            "failing_share": 1.0, "healthy_share": 0.1, "risk_ratio": 9.0}]},
        "suspects": [{"rank": 1, "service": "shop", "operation": "cancel order", "title": "the shop leaves the reason out",
            "evidence": ["no span of it has one"]}],
    })
}

/// Scenario: an incident is opened and written into, and the server is killed. Guarantee: whatever was answered is there
/// again, with who was affected.
#[test]
fn a_record_outlives_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("orders.yaml"), CONTRACT).unwrap();
    let mut served = Served::start(&path("orders.yaml"), Some(&path("data")));
    assert_eq!(served.post(&cancelled("o-1", 1)), 200);
    let started = std::time::Instant::now();
    let finding = loop {
        let findings = served.get("/api/v1/findings");
        if let Some(id) = findings["findings"][0]["id"].as_str() {
            break id.to_owned();
        }
        assert!(started.elapsed() < crate::support::PATIENCE, "no finding");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    };
    let web = served.web.clone();
    let opened = told(&["incident", "open", &finding, "--url", &web, "--by", "ana"]);
    assert!(opened.starts_with("INC-1: ") && opened.contains("1 affected; all are listed: 1 key"), "{opened}");
    told(&["incident", "note", "INC-1", "asked the shop", "--url", &web, "--by", "ana"]);
    told(&["incident", "action", "INC-1", "count reasons", "--owner", "ben", "--url", &web]);
    let supposed =
        told(&["investigate", &finding, "--hypothesis", "the form has no field", "--url", &web, "--by", "ben"]);
    assert!(supposed.starts_with("Written down in INC-1: 1 hypothesis now."), "{supposed}");
    told(&["investigate", &finding, "--against", "the form has one", "--on", "1", "--step", "7", "--url", &web]);
    let before = served.get("/api/v1/incidents/INC-1");
    served.kill();

    let served = Served::start(&path("orders.yaml"), Some(&path("data")));
    let web = served.web.clone();
    let after = served.get("/api/v1/incidents/INC-1");
    assert_eq!(after, before);
    assert_eq!(after["hypotheses"][0]["against"][0]["text"], "the form has one");
    let csv = told(&["incident", "affected", "INC-1", "--url", &web]);
    assert!(csv.contains("orders,o-1,") && csv.contains("rejected"), "{csv}");
    let closed = told(&["incident", "close", "INC-1", "--patched", "asked by phone", "--url", &web]);
    assert_eq!(closed, "INC-1: symptom patched, cause stays: asked by phone\n");
    let listed = told(&["incident", "list", "--url", &web]);
    assert!(listed.starts_with("0 incidents open, and 1 of which only the symptom is patched."), "{listed}");
    let record = told(&["incident", "export", "INC-1", "--url", &web]);
    for heading in
        ["Summary", "Impact", "Root Causes", "Trigger", "Resolution", "Detection", "Action Items", "Timeline"]
    {
        assert!(record.contains(&format!("## {heading}\n")), "{record}");
    }
    assert!(
        record.contains("The symptom is patched. The cause stays.") && record.contains("Time undetected: "),
        "{record}"
    );
    let known = served.get(&format!("/api/v1/findings/{finding}/recurrence"));
    assert_eq!(known["incident"], Value::Null, "what is closed is not open");
    let again = truegreen(&["incident", "open", &finding, "--url", &web, "--json"]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((again["id"].as_str(), again["recurrences"][0]["relation"].as_str()), (Some("INC-2"), Some("same")));
}

/// Scenario: an incident is closed as fixed, and another order is cancelled without a reason. Guarantee: it is open again by
/// itself, and what was found before the fix opens nothing.
#[test]
fn what_was_fixed_and_comes_back_is_open_again() {
    let (server, finding) = with_finding("o-1");
    assert_eq!(post(&server, "/api/v1/incidents", &json!({ "finding": finding })).status, 201);
    let closed = post(&server, "/api/v1/incidents/INC-1/close", &json!({"how": "fixed", "what": "a field was added"}));
    assert_eq!((closed.status, closed.json()["state"].as_str()), (200, Some("fixed")), "{}", closed.text());
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], &cancelled("o-2", 2)).status, 200);
    let open = server.until("/api/v1/incidents/INC-1", "a reopening", |incident| incident["state"] == "open");
    let entries = open["timeline"].as_array().unwrap();
    let reopened = entries.iter().find(|entry| entry["what"] == "reopened").unwrap();
    assert!(reopened["says"].as_str().unwrap().starts_with("it came back: finding"), "{reopened}");
    assert_eq!(open["earlier_closings"][0]["what"], "a field was added");
    assert_eq!(open["findings"].as_array().unwrap().len(), 1, "the same finding is not listed twice");
    let affected = server.get("/api/v1/incidents/INC-1/affected").json();
    assert_eq!((affected["listed"].as_u64(), affected["is_complete"].as_bool()), (Some(2), Some(true)), "{affected}");
}

#[test]
fn the_api_takes_what_it_understands_and_says_what_it_does_not() {
    let (server, finding) = with_finding("o-1");
    let opened =
        post(&server, "/api/v1/incidents", &json!({"finding": finding, "by": "ana", "diagnosis": diagnosis()}));
    assert_eq!(opened.status, 201, "{}", opened.text());
    let incident = opened.json();
    assert_eq!(incident["hypotheses"][0]["origin"], "drafted");
    assert_eq!(incident["signature"]["conditions"], json!(["channel = phone"]));
    assert_eq!(incident["signature"]["cause"]["operation"], "cancel order");
    let again = post(&server, "/api/v1/incidents", &json!({ "finding": finding }));
    assert_eq!((again.status, again.json()["id"].as_str()), (200, Some("INC-1")));
    let at = "/api/v1/incidents/INC-1";
    for (path, body, status) in [
        ("/api/v1/incidents".to_owned(), json!({"finding": "nothing"}), 404),
        ("/api/v1/incidents".to_owned(), json!({"finding": finding, "more": 1}), 422),
        (format!("{at}/notes"), json!({"text": " "}), 400),
        (format!("{at}/notes"), json!({"text": "x".repeat(9_000)}), 400),
        (format!("{at}/hypotheses"), json!({"for": "x"}), 400),
        (format!("{at}/hypotheses"), json!({"on": 9, "for": "x"}), 404),
        (format!("{at}/actions"), json!({"done": 3}), 404),
        (format!("{at}/close"), json!({"how": "ignored", "what": "x"}), 422),
        ("/api/v1/incidents/INC-9/notes".to_owned(), json!({"text": "x"}), 404),
        ("/api/v1/incidents/..%2Fx/notes".to_owned(), json!({"text": "x"}), 404),
    ] {
        let answer = post(&server, &path, &body);
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text());
        assert!(answer.json()["hint"].is_string());
    }
    assert_eq!(server.get(&format!("{at}/export?format=pdf")).status, 400);
    // A page of somebody else can send no more than this without asking first.
    let url = format!("http://{}/api/v1/incidents", server.web);
    let foreign = read(agent().post(url).header("content-type", "text/plain").send(b"{}"));
    assert_eq!(foreign.status, 415, "{}", foreign.text());
    assert_eq!(post(&server, &format!("{at}/close"), &json!({"how": "fixed", "what": "a field"})).status, 200);
    assert_eq!(post(&server, &format!("{at}/close"), &json!({"how": "patched", "what": "x"})).status, 409);
    assert_eq!(server.get("/api/v1/incidents?state=open").json()["incidents"], json!([]));
}

#[test]
fn incidents_have_pages_and_findings_lead_to_them() {
    let (server, finding) = with_finding("o-<u>1</u>");
    let title = "orders <i>vanish</i>";
    let opened =
        post(&server, "/api/v1/incidents", &json!({"finding": finding, "title": title, "diagnosis": diagnosis()}));
    assert_eq!(opened.status, 201);
    let (list, record, front) = (server.get("/incidents"), server.get("/incidents/INC-1"), server.get("/"));
    assert!(list.text().contains("1 incident open") && record.text().contains("OPEN"), "{}", list.text());
    assert!(front.text().contains("href=\"/incidents/INC-1\""));
    for page in [&list, &record, &front] {
        assert!(page.status == 200 && !page.text().contains("<i>vanish") && !page.text().contains("<u>1"));
    }
    assert_eq!(server.get("/incidents/INC-7").status, 404);
    assert_eq!(server.metric("truegreen_incidents{state=\"open\"}"), 1);
    let exported = server.get("/api/v1/incidents/INC-1/export?format=html");
    assert!(exported.header("content-disposition").contains("INC-1.html") && !exported.text().contains("<i>vanish"));
}

/// Guarantee: whatever part cannot be answered, all nine steps are there, and the hand-over is one file.
#[test]
fn the_nine_steps_are_asked_of_a_server() {
    let (server, finding) = with_finding("o-1");
    let url = format!("http://{}", server.web);
    let text = told(&["investigate", &finding, "--url", &url]);
    for (n, name) in ["Map", "Narrow", "Silent points", "What changed", "Honest health", "Trace one", "Hypotheses"]
        .into_iter()
        .enumerate()
    {
        assert!(text.contains(&format!("\n{} {name}  ", n + 1)), "{text}");
    }
    assert!(text.contains("9 Document  it is not written down yet."), "{text}");
    let answer: Value = serde_json::from_str(&told(&["investigate", &finding, "--url", &url, "--json"])).unwrap();
    assert_eq!(answer["steps"].as_array().unwrap().len(), 9);
    assert!(answer["steps"][5]["says"].as_str().unwrap().contains("o-1") || !answer["steps"][5]["lines"][0].is_null());
    let one = told(&["investigate", &finding, "--url", &url, "--step", "9"]);
    assert!(one.contains("9 Document") && !one.contains("1 Map"), "{one}");
    assert!(server.get("/api/v1/incidents").json()["incidents"] == json!([]), "looking writes nothing down");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hand-over.html").display().to_string();
    told(&["investigate", &finding, "--url", &url, "--bundle", &file]);
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(page.contains("Hand-over") && page.contains("Step 9: Document") && !page.contains("<script"), "{page}");
    let output = truegreen(&["investigate", "nothing", "--url", &url]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = truegreen(&["investigate", &finding, "--url", &url, "--interactive"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
