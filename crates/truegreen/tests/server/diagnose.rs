//! `truegreen diagnose` over recordings: a shop calls a stock service; in the failing hour one of the two stock pods
//! gives up after its first log line, for every third request that it gets.

use std::path::Path;
use std::process::{Command, Output};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use truegreen::record::Recorder;
use truegreen::run_loop::Tap;
use truegreen_model::time::Timestamp;
use truegreen_otlp::Signal;

use crate::support::{gzip, text};

const MS: u64 = 1_000_000;

/// One request as three spans and the logs of the stock service; its times vary from request to request.
fn request(n: u64, start: u64, broken: bool) -> (Signal, Vec<u8>, Signal, Vec<u8>) {
    let now = 1_700_000_000_000 * MS + start + 500 * MS * n;
    let pod = if n.is_multiple_of(2) { "stock-0" } else { "stock-1" };
    let trace_id = u128::from(now).to_be_bytes().to_vec();
    let vary = n * 7_919 % 13 * MS / 4;
    let span = |id: u8, parent: u8, name: &str, kind: i32, from: u64, to: u64| Span {
        trace_id: trace_id.clone(),
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
        name: name.to_owned(),
        kind,
        start_time_unix_nano: now + from,
        end_time_unix_nano: now + to,
        status: broken.then(|| Status { code: 2, ..Status::default() }),
        ..Span::default()
    };
    let shop = vec![
        span(1, 0, "POST /orders", 2, 0, 40 * MS + 2 * vary),
        span(2, 1, "call reserve", 3, 5 * MS, 30 * MS + vary),
    ];
    let stock = vec![span(3, 2, "reserve", 2, 6 * MS, 28 * MS + vary)];
    let said: &[(&str, u64, i32)] = if broken {
        &[("reserving item", 8, 9), ("cannot reserve: item is frozen", 9, 17)]
    } else {
        &[("reserving item", 8, 9), ("stock checked", 15, 9), ("item reserved", 20, 9)]
    };
    let logs = said.iter().map(|(line, after, severity_number)| LogRecord {
        time_unix_nano: now + after * MS,
        severity_number: *severity_number,
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(format!("{line} {n}"))) }),
        trace_id: trace_id.clone(),
        span_id: vec![3; 8],
        ..LogRecord::default()
    });
    let resource = |service: &str, pod: &str| {
        let attributes = vec![text("service.name", service), text("k8s.pod.name", pod)];
        Some(Resource { attributes, ..Resource::default() })
    };
    let group = |service: &str, pod: &str, spans: Vec<Span>| ResourceSpans {
        resource: resource(service, pod),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    let resource_spans = vec![group("shop", "shop-0", shop), group("stock", pod, stock)];
    let scope_logs = vec![ScopeLogs { log_records: logs.collect(), ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { resource: resource("stock", pod), scope_logs, ..ResourceLogs::default() }];
    (
        Signal::Traces,
        ExportTraceServiceRequest { resource_spans }.encode_to_vec(),
        Signal::Logs,
        ExportLogsServiceRequest { resource_logs }.encode_to_vec(),
    )
}

fn requests(count: u64, start: u64, broken: impl Fn(u64) -> bool) -> Vec<(Signal, Vec<u8>)> {
    let all = (0..count).map(|n| request(n, start, broken(n)));
    all.flat_map(|(traces, spans, logs, lines)| [(traces, spans), (logs, lines)]).collect()
}

fn write_lines(path: &Path, requests: &[(Signal, Vec<u8>)]) {
    let mut recorder = Recorder::create(path).unwrap();
    requests.iter().for_each(|(signal, body)| recorder.accepted(Timestamp(0), *signal, body));
}

const HOUR: u64 = 3_600_000 * MS;

fn healthy() -> Vec<(Signal, Vec<u8>)> {
    requests(120, 0, |_| false)
}

fn failing() -> Vec<(Signal, Vec<u8>)> {
    requests(90, HOUR, |n| n % 6 == 1)
}

fn diagnose(dir: &Path, normal: &str, failing: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
    command.arg("diagnose").arg("--normal").arg(dir.join(normal)).arg("--failing").arg(dir.join(failing)).args(more);
    command.env_remove("TRUEGREEN_LOG").output().unwrap()
}

#[test]
fn the_place_where_requests_fail_is_told_in_a_sentence_and_with_its_evidence() {
    let dir = tempfile::tempdir().unwrap();
    write_lines(&dir.path().join("healthy.jsonl"), &healthy());
    write_lines(&dir.path().join("failing.jsonl"), &failing());
    let output = diagnose(dir.path(), "healthy.jsonl", "failing.jsonl", &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

#[test]
fn the_same_as_json_whatever_the_encoding() {
    let dir = tempfile::tempdir().unwrap();
    write_lines(&dir.path().join("healthy.jsonl"), &healthy());
    write_lines(&dir.path().join("failing.jsonl"), &failing());
    let lines = diagnose(dir.path(), "healthy.jsonl", "failing.jsonl", &["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&lines.stdout).unwrap();
    let first = &report["suspects"][0];
    assert_eq!(report["verdict"], "CONFIRMED", "{report:#}");
    assert_eq!(
        (&first["rank"], &first["service"], &first["instance"]),
        (&1.into(), &"stock".into(), &"stock-1".into())
    );
    assert_eq!((&first["operation"], &first["kind"]), (&"reserve".into(), &"error".into()));
    assert_eq!(
        (&first["log_event"], &first["missing_after"], &first["instead"]),
        (&"stock checked *".into(), &"reserving item *".into(), &"cannot reserve: item is frozen *".into())
    );
    assert!(first["evidence"].as_array().is_some_and(|lines| lines.len() >= 3), "{first:#}");
    assert!(report["ruled_out"].as_array().is_some_and(|all| all.iter().all(|one| one["why"].is_string())));

    // The same as protobuf: each request with its length before it, and gzipped in a folder.
    let framed = |requests: Vec<(Signal, Vec<u8>)>| {
        let frame =
            |(_, body): (Signal, Vec<u8>)| [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat();
        requests.into_iter().flat_map(frame).collect::<Vec<u8>>()
    };
    std::fs::write(dir.path().join("healthy.pb"), framed(healthy())).unwrap();
    std::fs::create_dir(dir.path().join("hour")).unwrap();
    std::fs::write(dir.path().join("hour/failing.pb.gz"), gzip(&framed(failing()))).unwrap();
    let protobuf = diagnose(dir.path(), "healthy.pb", "hour", &["--json"]);
    assert_eq!(String::from_utf8_lossy(&protobuf.stdout), String::from_utf8_lossy(&lines.stdout));
}

#[test]
fn without_a_difference_there_is_nothing_to_explain() {
    let dir = tempfile::tempdir().unwrap();
    write_lines(&dir.path().join("healthy.jsonl"), &healthy());
    write_lines(&dir.path().join("later.jsonl"), &requests(70, HOUR, |_| false));
    let output = diagnose(dir.path(), "healthy.jsonl", "later.jsonl", &["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["verdict"], &report["suspects"]),
        (&"INCONCLUSIVE".into(), &serde_json::json!([])),
        "{report:#}"
    );
    assert!(report["summary"].as_str().unwrap().starts_with("Nothing to explain"), "{report:#}");
}

#[test]
fn files_that_are_no_telemetry_are_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    write_lines(&dir.path().join("healthy.jsonl"), &healthy());
    std::fs::write(dir.path().join("noise.pb"), [0x0a, 3, 1, 2]).unwrap();
    let output = diagnose(dir.path(), "healthy.jsonl", "noise.pb", &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("noise.pb is no OTLP"), "{said}");
    std::fs::write(dir.path().join("empty.jsonl"), "").unwrap();
    let output = diagnose(dir.path(), "healthy.jsonl", "empty.jsonl", &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("the failing files hold no trace"), "{said}");
}
