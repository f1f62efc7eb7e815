//! Calls between services as CSV.

use std::path::Path;

use anyhow::Context;
use truegreen_engine::explain::changes::{EdgeRow, EdgeTable, Edges};
use truegreen_model::time::Timestamp;

use crate::changes::time;

/// Names of columns, in any case and with `_`, `-` or blanks between words. The first that is there counts.
const TIME: &[&str] = &["time", "timestamp", "minute", "ts", "datetime", "date"];
const SOURCE: &[&str] = &["source", "caller", "src", "from", "client", "upstream", "parent"];
const TARGET: &[&str] = &["target", "callee", "dst", "destination", "to", "server", "downstream", "child", "service"];
const INSTANCE: &[&str] = &["instance", "pod", "target_instance", "callee_instance", "instance_id", "host", "ip"];
const SOURCE_INSTANCE: &[&str] = &["source_instance", "caller_instance", "source_pod", "caller_pod", "client_instance"];
const VERSION: &[&str] = &["version", "target_version", "callee_version", "service_version", "release"];
const OK_RATE: &[&str] = &["ok_rate", "success_rate", "ok", "success", "availability", "sr"];
const ERROR_RATE: &[&str] = &["error_rate", "failure_rate", "fail_rate", "er"];
const LATENCY: &[&str] = &[
    "latency",
    "latency_ms",
    "duration",
    "duration_ms",
    "response_time",
    "avg_latency",
    "mean_latency",
    "latency_p50",
    "latency_p95",
    "latency_p99",
    "p50",
    "p95",
    "p99",
    "rt",
];
const REQUESTS: &[&str] = &["requests", "count", "request_count", "calls", "total", "qps", "rps", "qpm"];

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
        let plain =
            |name: &str| name.trim().trim_start_matches('\u{feff}').to_lowercase().replace(['-', ' ', '.'], "_");
        let names: Vec<String> = header.iter().map(plain).collect();
        let find = |wanted: &[&str]| wanted.iter().find_map(|wanted| names.iter().position(|name| name == wanted));
        let needed = |what: &str, wanted: &[&str]| {
            let told =
                || format!("no column tells the {what}\nhint: name it {}; there are {}", wanted[0], names.join(", "));
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
            names.join(", ")
        );
        Ok(columns)
    }
}

fn open(path: &Path) -> anyhow::Result<csv::Reader<std::io::BufReader<std::fs::File>>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(std::io::BufReader::new(file)))
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
