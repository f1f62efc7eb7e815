//! `truegreen learn`, and `truegreen audit --learn-from`: the commands as a user runs them.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use prost::Message;
use serde_json::Value;
use truegreen::record::Recorder;
use truegreen::run_loop::Tap;
use truegreen_model::time::Timestamp;
use truegreen_otlp::Signal;

use crate::restart::Served;
use crate::support::{PATIENCE, span, traces};

/// The contract that is learned of [`orders`].
const NAME: &str = "learned-shop-place-order";
const COLUMNS: [&str; 6] = ["--case", "ticket", "--activity", "step", "--time", "when"];

fn truegreen(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
    command.current_dir(dir).args(args).env_remove("TRUEGREEN_LOG").output().unwrap()
}

/// Tickets of one minute each; the `paid` step is left out where it is said.
fn tickets(run: &str, n: u64, unpaid: impl Fn(u64) -> bool) -> Vec<(String, &'static str, u64)> {
    let mut rows = Vec::new();
    for ticket in 0..n {
        let name = format!("{run}-{ticket}");
        let mut step = |step, second| rows.push((name.clone(), step, ticket * 60 + second));
        step("opened", 0);
        if ticket % 3 == 0 {
            step("asked", 5);
        }
        if ticket % 10 == 9 {
            step("refused", 9);
            continue;
        }
        step("agreed", 10);
        if !unpaid(ticket) {
            step("paid", 20 + ticket % 7);
        }
        step("closed", 40);
    }
    rows
}

fn csv(rows: &[(String, &str, u64)]) -> String {
    let mut text = "ticket,step,when\n".to_owned();
    for (ticket, step, second) in rows {
        let (hour, minute) = (second / 3600, second / 60 % 60);
        writeln!(text, "{ticket},{step},2026-01-{:02} {:02}:{minute:02}:{:02}", 1 + hour / 24, hour % 24, second % 60)
            .unwrap();
    }
    text
}

fn ndjson(rows: &[(String, &str, u64)]) -> String {
    let mut text = String::new();
    for (ticket, step, second) in rows {
        let at = 1_767_225_600_000 + second * 1_000;
        writeln!(text, "{{\"ticket\": \"{ticket}\", \"step\": \"{step}\", \"when\": {at}, \"clerk\": 7}}").unwrap();
    }
    text
}

/// Scenario: the same process log as CSV and as NDJSON. Guarantee: both give the same contract, which can be taken.
#[test]
fn an_event_log_gives_a_contract() {
    let dir = tempfile::tempdir().unwrap();
    let rows = tickets("a", 300, |_| false);
    std::fs::write(dir.path().join("log.csv"), csv(&rows)).unwrap();
    std::fs::write(dir.path().join("log.ndjson"), ndjson(&rows)).unwrap();
    let output = truegreen(dir.path(), &[&["learn", "log.csv"], &COLUMNS[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let yaml = String::from_utf8(output.stdout).unwrap();
    insta::assert_snapshot!(yaml);
    let other = truegreen(dir.path(), &[&["learn", "log.ndjson"], &COLUMNS[..]].concat());
    assert_eq!(String::from_utf8(other.stdout).unwrap(), yaml);
    std::fs::write(dir.path().join("learned.yaml"), yaml).unwrap();
    let check = truegreen(dir.path(), &["check", "learned.yaml"]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
}

#[test]
fn a_model_is_told_as_json() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log.csv"), csv(&tickets("a", 300, |_| false))).unwrap();
    let output = truegreen(dir.path(), &[&["learn", "log.csv", "--json"], &COLUMNS[..]].concat());
    let model: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&model["cases"], &model["flows"][0]["name"]), (&Value::from(300), &Value::from("process")));
    let expected = model["flows"][0]["expectations"].as_array().unwrap();
    assert!(expected.iter().any(|one| one["expected"] == "after `agreed`: `paid`"), "{model:#}");
}

/// Scenario: learned from one log, the other watched; from the 200th ticket on nobody pays, and one ticket before that
/// was forgotten. Guarantee: each of these has another verdict than completed, all others are completed, and only what
/// went on is a finding.
#[test]
fn an_event_log_is_audited_by_another() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("healthy")).unwrap();
    std::fs::write(dir.path().join("healthy/1.csv"), csv(&tickets("a", 300, |_| false))).unwrap();
    let unpaid = |ticket| ticket == 50 || ticket >= 200;
    std::fs::write(dir.path().join("log.csv"), csv(&tickets("b", 300, unpaid))).unwrap();
    let args = ["audit", "--learn-from", "healthy", "log.csv", "--json", "--journeys", "journeys.jsonl"];
    let output = truegreen(dir.path(), &[&args, &COLUMNS[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let finding = &report["findings"][0];
    assert_eq!(
        (&finding["kind"], &finding["after"], &finding["before"]),
        (&"loss".into(), &"agreed".into(), &"paid".into())
    );
    assert_eq!((&finding["onset"], &finding["status"]), (&"2026-01-01T03:20:00Z".into(), &"open".into()), "{report:#}");
    assert!(finding["first_seen"].as_str().unwrap() < "2026-01-01T03:30", "{report:#}");
    let text = std::fs::read_to_string(dir.path().join("journeys.jsonl")).unwrap();
    let journeys: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(journeys.len(), 300);
    for journey in journeys {
        let ticket: u64 = journey["key"].as_str().unwrap()[2..].parse().unwrap();
        let lost = unpaid(ticket) && ticket % 10 != 9;
        assert_eq!(journey["verdict"] == "completed", !lost, "{journey}");
    }
}

#[test]
fn healthy_watched_by_healthy_is_exit_code_0() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), csv(&tickets("a", 300, |_| false))).unwrap();
    std::fs::write(dir.path().join("b.csv"), csv(&tickets("b", 100, |_| false))).unwrap();
    let output = truegreen(dir.path(), &[&["audit", "--learn-from", "a.csv", "b.csv"], &COLUMNS[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("300 cases learned from, 100 cases watched"));
}

/// Scenario: a shell made several arguments of `a*.csv`. Guarantee: refused, with what to write instead; quoted it means
/// all of them, and who is on which side is told.
#[test]
fn a_glob_does_not_mix_up_the_sides() {
    let dir = tempfile::tempdir().unwrap();
    for (name, run) in [("a1.csv", "a"), ("a2.csv", "b"), ("b.csv", "c")] {
        std::fs::write(dir.path().join(name), csv(&tickets(run, 200, |_| false))).unwrap();
    }
    let audit = |args: &[&str]| truegreen(dir.path(), &[&["audit", "--learn-from"], args, &COLUMNS[..]].concat());
    let mixed = audit(&["a1.csv", "a2.csv", "b.csv"]);
    let said = String::from_utf8(mixed.stderr).unwrap();
    assert_eq!(mixed.status.code(), Some(2), "{said}");
    assert!(said.contains("only a1.csv would be learned from") && said.contains("quote it"), "{said}");
    let quoted = audit(&["a*.csv", "b.csv"]);
    assert_eq!(quoted.status.code(), Some(0), "{quoted:?}");
    assert!(String::from_utf8_lossy(&quoted.stderr).contains("a1.csv, ./a2.csv; watching b.csv"), "{quoted:?}");
    assert!(String::from_utf8_lossy(&quoted.stdout).contains("400 cases learned from, 200 cases watched"));
    assert!(String::from_utf8_lossy(&audit(&["b.csv", "b.csv"]).stderr).contains("learned from and watched"));
}

#[test]
fn rows_that_cannot_be_read_are_named_and_columns_that_lack_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let text = csv(&tickets("a", 30, |_| false)) + "a-99,opened,never\n,opened,2026-01-01 00:00:00\n";
    std::fs::write(dir.path().join("log.csv"), text).unwrap();
    let output = truegreen(dir.path(), &[&["learn", "log.csv"], &COLUMNS[..]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("\"never\" is no time") && said.contains("the case is empty"), "{said}");
    let output = truegreen(dir.path(), &["learn", "log.csv", "--case", "id", "--activity", "step", "--time", "when"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("there is no column \"id\"") && said.contains("ticket, step, when"), "{said}");
    let output = truegreen(dir.path(), &["learn", "log.csv", "--case", "ticket"]);
    assert_eq!(output.status.code(), Some(2));
}

/// So many orders, placed and shipped, as one request.
fn orders(from: u64, n: u64) -> Vec<u8> {
    let mixed = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31).to_be_bytes();
    let mut spans = Vec::new();
    for order in from..from + n {
        for (name, id, parent) in [("place order", order * 10 + 1, 0), ("ship order", order * 10 + 2, order * 10 + 1)] {
            let mut span = span(name, &format!("o-{order}"), 1);
            span.trace_id = [mixed(order), mixed(order + 1_000_000)].concat();
            span.span_id = mixed(id).to_vec();
            span.parent_span_id = if parent == 0 { Vec::new() } else { mixed(parent).to_vec() };
            spans.push(span);
        }
    }
    traces(spans).encode_to_vec()
}

/// Scenario: a server without any contract is told to learn, and takes healthy orders; it is killed and started again.
/// Guarantee: it watches what it learned, and goes on to after the restart; the same can be printed as contracts; and what
/// somebody drops is no longer watched.
#[test]
fn a_server_watches_what_it_learned_without_any_contract() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let mut served = Served::without_flows(&["--learn=1s", "--data", &data]);
    let started = Instant::now();
    let mut n = 1;
    let learned = |served: &Served| served.get("/api/v1/learned")["learned"].as_array().unwrap().clone();
    while learned(&served).is_empty() {
        assert_eq!(served.post(&orders(n, 20)), 200);
        n += 20;
        assert!(started.elapsed() < PATIENCE, "nothing is learned: {:#}", served.get("/api/v1/report"));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let [contract] = learned(&served).try_into().unwrap();
    assert_eq!((&contract["flow"], &contract["usually_broken"]), (&NAME.into(), &0.005.into()), "{contract:#}");
    let books = |served: &Served| served.get("/api/v1/report")["flows"][NAME]["entered"].as_u64().unwrap_or(0);
    while books(&served) == 0 {
        assert_eq!(served.post(&orders(n, 20)), 200);
        n += 20;
        assert!(started.elapsed() < PATIENCE, "nothing enters: {:#}", served.get("/api/v1/report"));
    }

    let url = served.web.clone();
    let printed = truegreen(dir.path(), &["learn", "--from-server", &url, "--since", "1h"]);
    let yaml = String::from_utf8(printed.stdout.clone()).unwrap();
    assert!(printed.status.success() && yaml.contains("flow: shop-place-order"), "{printed:?}");
    std::fs::write(dir.path().join("learned.yaml"), yaml).unwrap();
    assert!(truegreen(dir.path(), &["check", "learned.yaml"]).status.success());
    let in_force = truegreen(dir.path(), &["learn", "--from-server", &url, "--in-force"]);
    assert!(String::from_utf8_lossy(&in_force.stdout).contains("limits: {unaccounted: 0.5%}"), "{in_force:?}");
    let wrong = truegreen(dir.path(), &["learn", "--from-server", &url, "--since", "soon"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("`soon` is no time"), "{wrong:?}");

    served.kill();
    let served = Served::without_flows(&["--learn=1h", "--data", &data]);
    assert_eq!(learned(&served)[0]["flow"], NAME, "it is kept, and not learned anew");
    assert!(books(&served) > 0);
    let url = served.web.clone();
    let forgotten = truegreen(dir.path(), &["learn", "--from-server", &url, "--forget", NAME]);
    assert!(forgotten.status.success(), "{forgotten:?}");
    assert!(learned(&served).is_empty());
    let again = truegreen(dir.path(), &["learn", "--from-server", &url, "--forget", NAME]);
    assert_eq!(again.status.code(), Some(2));
}

/// Writes `n` orders as the Collector's file exporter would; those of `lost` are never shipped.
fn record(path: &Path, n: u64, lost: impl Fn(u64) -> bool) {
    let mut recorder = Recorder::create(path).unwrap();
    let start = 1_767_225_600_000_000_000;
    let mut write = |name: &str, order: u64, second: u64, (trace, id, parent): (u64, u64, u64)| {
        let mut span = span(name, &format!("o-{order}"), 1);
        let mixed = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31).to_be_bytes();
        span.trace_id = [mixed(trace), mixed(trace + 1_000_000)].concat();
        span.span_id = mixed(id).to_vec();
        span.parent_span_id = if parent == 0 { Vec::new() } else { mixed(parent).to_vec() };
        span.start_time_unix_nano = start + second * 1_000_000_000 + id;
        span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000;
        recorder.accepted(Timestamp(0), Signal::Traces, &traces(vec![span]).encode_to_vec());
    };
    for order in 1..=n {
        write("place order", order, order * 2, (order, order * 10, 0));
        if !lost(order) {
            write("ship order", order, order * 2 + 1, (order, order * 10 + 1, order * 10));
        }
    }
}

/// Scenario: recordings without any contract. Guarantee: the contract learned of the healthy one is watched just as a
/// hand-written one, and without it the same loss is found.
#[test]
fn a_recording_is_audited_by_another() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("healthy.jsonl"), 200, |_| false);
    record(&dir.path().join("ill.jsonl"), 200, |order| order > 100);
    let learned = truegreen(dir.path(), &["learn", "healthy.jsonl"]);
    let yaml = String::from_utf8(learned.stdout).unwrap();
    insta::assert_snapshot!(yaml);
    std::fs::write(dir.path().join("learned.yaml"), yaml).unwrap();
    let by_contract = truegreen(dir.path(), &["audit", "--flows", "learned.yaml", "ill.jsonl", "--json"]);
    let report: Value = serde_json::from_slice(&by_contract.stdout).unwrap();
    assert!(report["findings"][0]["kind"] == "loss", "{report:#}");
    let by_learning = truegreen(dir.path(), &["audit", "--learn-from", "healthy.jsonl", "ill.jsonl", "--json"]);
    assert_eq!(by_learning.status.code(), Some(1), "{by_learning:?}");
    let report: Value = serde_json::from_slice(&by_learning.stdout).unwrap();
    let finding = &report["findings"][0];
    assert_eq!((&finding["kind"], &finding["before"]), (&"loss".into(), &"shop: ship order".into()), "{report:#}");
    assert_eq!(finding["onset"], "2026-01-01T00:03:22.00000101Z");
}

#[test]
fn audit_needs_contracts_or_something_to_learn_from() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("a.jsonl"), 3, |_| false);
    assert_eq!(truegreen(dir.path(), &["audit", "a.jsonl"]).status.code(), Some(2));
    let output = truegreen(dir.path(), &["audit", "--learn-from", "a.jsonl", "a.jsonl"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing could be learned"), "{output:?}");
}
