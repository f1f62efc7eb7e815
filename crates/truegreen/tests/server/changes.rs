//! Changes reported over the API, and what becomes of them.

use std::process::Command;

use serde_json::json;
use truegreen_store::{Log, Options};

use crate::restart::Served;
use crate::support::{CONTRACT, TestServer, agent, read};

const JSON: (&str, &str) = ("content-type", "application/json");

fn post(web: &str, headers: &[(&str, &str)], body: &str) -> crate::support::Answer {
    let mut request = agent().post(format!("{web}/api/v1/changes"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    read(request.send(body))
}

fn truegreen(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_truegreen")).args(args).env_remove("TRUEGREEN_LOG").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Scenario: changes are reported, listed, told again under the same id; the server is killed and started again.
/// Guarantee: each is listed once, as it was told last, also after the restart.
#[test]
fn reported_changes_are_listed_once_and_outlive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let (flows, data) = (dir.path().join("flows"), dir.path().join("data"));
    std::fs::create_dir(&flows).unwrap();
    std::fs::write(flows.join("orders.yaml"), CONTRACT).unwrap();
    let (flows, data) = (flows.display().to_string(), data.display().to_string());
    let mut served = Served::start(&flows, Some(&data));
    let change =
        json!({"id": "r-1", "service": "checkout", "kind": "release", "version": "1.4", "at": "2026-01-31T12:00:00Z"});
    let answer = post(&served.web, &[JSON], &change.to_string());
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.json()["ids"], json!(["r-1"]));
    let again = json!([{"id": "r-1", "service": "checkout", "title": "taken back", "at": "2026-01-31T12:30:00Z"}, {"title": "more disks", "kind": "infrastructure"}]);
    assert_eq!(post(&served.web, &[JSON], &again.to_string()).json()["accepted"], 2);
    let id = truegreen(&["change", "add", "--service", "cart", "--version", "7", "--server", &served.web]);
    assert!(!id.trim().is_empty());
    served.kill();

    let served = Served::start(&flows, Some(&data));
    let listed = served.get("/api/v1/changes");
    let listed = listed["changes"].as_array().unwrap();
    assert_eq!(listed.len(), 3, "{listed:?}");
    assert_eq!((&listed[2]["id"], &listed[2]["title"]), (&json!("r-1"), &json!("taken back")));
    assert_eq!(served.get("/api/v1/changes?service=cart")["changes"].as_array().unwrap().len(), 1);
    assert_eq!(served.get("/api/v1/changes?until=2026-02-01T00:00:00Z")["changes"].as_array().unwrap().len(), 1);
    let shown = truegreen(&["change", "list", "--service", "checkout", "--server", &served.web]);
    assert!(shown.contains("taken back") && shown.lines().count() == 1, "{shown}");
    drop(served);
    let log = Log::open(std::path::Path::new(&data), Options::default()).unwrap();
    let kinds: Vec<_> = log.read_from(0).map(|entry| entry.unwrap().kind.name()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "changes").count(), 3, "{kinds:?}");
}

/// Guarantee: what is not recognised is refused with what was missing and counted; webhooks that tell of no change are not
/// failures of their sender.
#[test]
fn what_is_no_change_is_refused_or_ignored_and_counted() {
    let server = TestServer::start();
    let web = format!("http://{}", server.web);
    assert_eq!(post(&web, &[("content-type", "text/plain")], "hello").status, 415);
    assert_eq!(post(&web, &[JSON], "{").status, 400);
    let answer = post(&web, &[JSON], "{}");
    assert_eq!(answer.status, 422);
    assert!(answer.json()["error"].as_str().unwrap().contains("title"), "{}", answer.text());
    let long = format!("{{\"title\": \"{}\"}}", "x".repeat(2 << 20));
    assert_eq!(post(&web, &[JSON], &long).status, 413);
    let push = json!({"ref": "refs/heads/side", "after": "0123", "repository": {"full_name": "a/b", "name": "b", "default_branch": "main"}});
    let answer = post(&web, &[JSON, ("x-github-event", "push")], &push.to_string());
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(0)));
    for (sample, count) in [
        ("truegreen_refused_changes_total{reason=\"content_type\"}", 1),
        ("truegreen_refused_changes_total{reason=\"malformed\"}", 1),
        ("truegreen_refused_changes_total{reason=\"incomplete\"}", 1),
        ("truegreen_refused_changes_total{reason=\"oversized\"}", 1),
        ("truegreen_ignored_changes_total{reason=\"side_branch\"}", 1),
    ] {
        assert_eq!(server.metric(sample), count, "{sample}");
    }
    assert_eq!(post(&web, &[JSON], "{\"title\": \"x\", \"at\": \"2026-01-31T12:00:00Z\"}").status, 202);
    server.until("/api/v1/changes", "the change", |answer| {
        answer["changes"].as_array().is_some_and(|all| all.len() == 1)
    });
    assert_eq!(read(agent().get(format!("{web}/api/v1/changes?since=soon")).call()).status, 400);
}
