//! `truegreen audit` over what the server recorded.

use std::process::{Command, Output};

use prost::Message;
use truegreen::record::Recorder;
use truegreen::run_loop::Tap;
use truegreen_model::time::Timestamp;
use truegreen_otlp::Signal;

use crate::support::{gzip, now_nanos, span, traces};

/// The second step is due after 10 s.
const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, span: place order, service: shop}
steps:
  - {name: shipped, span: ship order, service: shop, within: 10s}
";

fn audit(dir: &std::path::Path, files: &[&str], more: &[&str]) -> Output {
    let flows = dir.join("orders.yaml");
    std::fs::write(&flows, CONTRACT).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
    command.arg("audit").arg("--flows").arg(flows).args(more);
    command.args(files.iter().map(|file| dir.join(file))).env_remove("TRUEGREEN_LOG").output().unwrap()
}

/// Ten orders placed in ten seconds; all but `lost` are shipped a second later; then the shop lives on for a minute.
fn record(path: &std::path::Path, lost: &[u64]) {
    let mut recorder = Recorder::create(path).unwrap();
    let start = now_nanos() - 3_600_000_000_000;
    let mut write = |name: &str, order: &str, second: u64, id: u8| {
        let mut span = span(name, order, id);
        span.start_time_unix_nano = start + second * 1_000_000_000;
        span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000;
        recorder.accepted(Timestamp(0), Signal::Traces, &traces(vec![span]).encode_to_vec());
    };
    for n in 0..10 {
        let order = format!("o-{n}");
        write("place order", &order, n, n as u8 + 1);
        if !lost.contains(&n) {
            write("ship order", &order, n + 1, n as u8 + 101);
        }
    }
    for n in 0..6 {
        write("heartbeat", "", 20 + n * 10, 200 + n as u8);
    }
}

#[test]
fn a_recording_gives_books_journeys_and_an_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("a.jsonl"), &[4]);
    let journeys = dir.path().join("journeys.jsonl");
    let output = audit(dir.path(), &["a.jsonl"], &["--json", "--journeys", &journeys.display().to_string()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let books = &report["flows"]["orders"];
    assert_eq!((books["entered"].as_u64(), books["unaccounted"].as_u64()), (Some(10), Some(1)), "{report:#}");
    let text = std::fs::read_to_string(journeys).unwrap();
    let journeys: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lost: Vec<_> = journeys.iter().filter(|j| j["verdict"] == "unaccounted").map(|j| &j["key"]).collect();
    assert_eq!(journeys.len(), 10);
    assert_eq!(lost, ["o-4"]);
}

/// Scenario: the same recording plain, gzipped, and in zstd. Guarantee: told by its first bytes, the books are alike.
#[test]
fn compressed_recordings_read_alike() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("plain"), &[]);
    let plain = std::fs::read(dir.path().join("plain")).unwrap();
    std::fs::write(dir.path().join("gzip"), gzip(&plain)).unwrap();
    std::fs::write(dir.path().join("zstd"), zstd::bulk::compress(&plain, 3).unwrap()).unwrap();
    let reports = ["plain", "gzip", "zstd"].map(|file| {
        let output = audit(dir.path(), &[file], &["--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        output.stdout
    });
    assert!(reports.iter().all(|report| *report == reports[0]));
}

/// Scenario: starts in one file, the rest in another, named in the wrong order. Guarantee: read side by side by time,
/// nothing is lost between them.
#[test]
fn several_files_are_read_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("whole"), &[]);
    let whole = std::fs::read_to_string(dir.path().join("whole")).unwrap();
    let (placed, others): (Vec<_>, Vec<_>) = whole.lines().partition(|line| line.contains("place order"));
    std::fs::write(dir.path().join("a"), others.join("\n")).unwrap();
    std::fs::write(dir.path().join("b"), placed.join("\n")).unwrap();
    let whole = audit(dir.path(), &["whole"], &["--json"]);
    let parts = audit(dir.path(), &["a", "b"], &["--json"]);
    assert_eq!(String::from_utf8_lossy(&whole.stdout), String::from_utf8_lossy(&parts.stdout));
}

#[test]
fn bad_lines_are_named_counted_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("whole"), &[]);
    let whole = std::fs::read_to_string(dir.path().join("whole")).unwrap();
    let mut lines: Vec<_> = whole.lines().collect();
    lines.insert(3, "{\"resourceSpans\": [{]}");
    lines.insert(7, "hello");
    std::fs::write(dir.path().join("a.jsonl"), lines.join("\n")).unwrap();
    let output = audit(dir.path(), &["a.jsonl"], &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("a.jsonl:4: ") && said.contains("a.jsonl:8: "), "{said}");
    assert!(said.contains("2 lines could not be read"), "{said}");
}

#[test]
fn a_recording_that_is_not_there_is_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let output = audit(dir.path(), &["nothing.jsonl"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing.jsonl"));
}
