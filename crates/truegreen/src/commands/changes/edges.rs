//! Calls between services as CSV.

use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::Context;
use truegreen_engine::explain::changes::{EdgeRow, EdgeTable, Edges};
use truegreen_model::time::Timestamp;

use super::super::audit::recording::open_plain;
use super::super::delimited::delimiter;
use crate::changes::time;

/// Names of columns, in any case, whatever stands between their words. The first that is there counts.
const TIME: &[&str] = &["time", "timestamp", "minute", "ts", "datetime", "date", "time_minute", "window_start"];
const SOURCE: &[&str] = &[
    "source",
    "caller",
    "src",
    "from",
    "client",
    "upstream",
    "parent",
    "upstream_service",
    "source_service",
    "caller_service",
    "src_service",
    "from_service",
    "client_service",
    "parent_service",
    "source_name",
    "source_workload",
];
const TARGET: &[&str] = &[
    "target",
    "callee",
    "dst",
    "destination",
    "dest",
    "to",
    "server",
    "downstream",
    "child",
    "downstream_service",
    "target_service",
    "callee_service",
    "dst_service",
    "destination_service",
    "to_service",
    "server_service",
    "child_service",
    "target_name",
    "destination_workload",
    "service",
    "service_name",
];
const INSTANCE: &[&str] = &[
    "instance",
    "pod",
    "target_instance",
    "callee_instance",
    "dst_instance",
    "destination_instance",
    "target_pod",
    "callee_pod",
    "destination_pod",
    "instance_id",
    "pod_name",
    "host",
    "ip",
];
const SOURCE_INSTANCE: &[&str] =
    &["source_instance", "caller_instance", "src_instance", "source_pod", "caller_pod", "client_instance"];
const VERSION: &[&str] = &[
    "version",
    "target_version",
    "callee_version",
    "dst_version",
    "destination_version",
    "instance_version",
    "service_version",
    "release",
];
const OK_RATE: &[&str] =
    &["ok_rate", "success_rate", "ok", "success", "availability", "sr", "ok_ratio", "success_ratio"];
const ERROR_RATE: &[&str] = &["error_rate", "failure_rate", "fail_rate", "er", "error_ratio", "failure_ratio"];
const LATENCY: &[&str] = &[
    "latency",
    "latency_ms",
    "latency_s",
    "duration",
    "duration_ms",
    "response_time",
    "response_time_ms",
    "avg_latency",
    "avg_latency_ms",
    "mean_latency",
    "mean_latency_ms",
    "latency_p50",
    "latency_p95",
    "latency_p99",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "p50_latency",
    "p95_latency",
    "p99_latency",
    "p50",
    "p95",
    "p99",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "rt",
];
const REQUESTS: &[&str] =
    &["requests", "count", "request_count", "requests_count", "calls", "call_count", "total", "qps", "rps", "qpm"];

struct Columns {
    time: usize,
    source: Option<usize>,
    source_instance: Option<usize>,
    target: usize,
    instance: Option<usize>,
    version: Option<usize>,
    ok_rate: Option<usize>,
    error_rate: Option<usize>,
    latency: Option<usize>,
    requests: Option<usize>,
}

impl Columns {
    fn of(header: &csv::StringRecord) -> anyhow::Result<Columns> {
        let letters = |name: &str| name.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "");
        let names: Vec<String> = header.iter().map(letters).collect();
        let find =
            |wanted: &[&str]| wanted.iter().find_map(|wanted| names.iter().position(|name| *name == letters(wanted)));
        let there = || header.iter().map(|name| name.trim_start_matches('\u{feff}')).collect::<Vec<_>>().join(", ");
        let needed = |what: &str, wanted: &[&str]| {
            let told = || format!("no column tells the {what}\nhint: name it {}; there are {}", wanted[0], there());
            find(wanted).with_context(told)
        };
        let columns = Columns {
            time: needed("time", TIME)?,
            source: find(SOURCE),
            source_instance: find(SOURCE_INSTANCE),
            target: needed("target", TARGET)?,
            instance: find(INSTANCE),
            version: find(VERSION),
            ok_rate: find(OK_RATE),
            error_rate: find(ERROR_RATE),
            latency: find(LATENCY),
            requests: find(REQUESTS),
        };
        let tells = columns.ok_rate.or(columns.error_rate).or(columns.latency);
        anyhow::ensure!(
            tells.is_some(),
            "no column tells the ok rate, and none the latency\nhint: name them ok_rate and latency; there are {}",
            there()
        );
        Ok(columns)
    }
}

/// Longest header.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// Plain, or compressed with gzip or zstd.
fn open(path: &Path) -> anyhow::Result<csv::Reader<impl Read>> {
    let cannot = || format!("cannot read {}", path.display());
    let (mut text, _) = open_plain(path, Arc::new(AtomicU64::new(0))).with_context(cannot)?;
    let mut header = Vec::new();
    (&mut text).take(MAX_HEADER_BYTES).read_until(b'\n', &mut header).with_context(cannot)?;
    let mut form = csv::ReaderBuilder::new();
    form.delimiter(delimiter(&header)).flexible(true).trim(csv::Trim::All);
    Ok(form.from_reader(std::io::Cursor::new(header).chain(text)))
}

fn number(text: &str) -> Option<f64> {
    text.trim_end_matches('%').trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// Whether shares of failures are told as percentages: one of them is more than all. A single small one does not tell.
fn is_percent(path: &Path, column: usize) -> anyhow::Result<bool> {
    let mut reader = open(path)?;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record)? {
        if record.get(column).and_then(number).is_some_and(|share| share > 1.5) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The calls in a file, for an incident that was noticed then.
pub(super) fn read(path: &Path, noticed: Timestamp) -> anyhow::Result<Edges> {
    let shown = path.display();
    let mut reader = open(path)?;
    let header = reader.headers().with_context(|| format!("cannot read {shown}"))?;
    let columns = Columns::of(header).map_err(|error| anyhow::anyhow!("{shown}: {error:#}"))?;
    let of_failures = columns.error_rate.filter(|_| columns.ok_rate.is_none());
    let whole = match of_failures {
        Some(column) if is_percent(path, column)? => 100.0,
        _ => 1.0,
    };
    let mut table = EdgeTable::new(noticed);
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).with_context(|| format!("cannot read {shown}"))? {
        let text = |column: Option<usize>| column.and_then(|column| record.get(column)).unwrap_or_default();
        let line = record.position().map_or(0, csv::Position::line);
        let told = text(Some(columns.time));
        let at = time::parse(told).with_context(|| format!("{shown}, line {line}: {told:?} is no time"))?;
        // What is no number was not measured.
        let number = |column: Option<usize>| number(text(column));
        let failing = of_failures.and_then(|column| number(Some(column))).map(|share| (1.0 - share / whole).max(0.0));
        let ok_rate = number(columns.ok_rate).or(failing);
        table.push(EdgeRow {
            at,
            source: text(columns.source),
            source_instance: text(columns.source_instance),
            target: text(Some(columns.target)),
            instance: text(columns.instance),
            version: text(columns.version),
            ok_rate,
            latency: number(columns.latency),
            requests: number(columns.requests),
        });
    }
    Ok(table.finish())
}
