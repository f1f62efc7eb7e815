//! `cargo xtask campaign --live`: the real pipeline, each fault once for about half a minute, with the real server. With
//! `--parts`, on a real broker, database and cache.

mod parts;

use std::fmt::Write;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{build_server, server};
use crate::{root, say};
use parts::Parts;

/// Each fault of the demo, what it may be called, and by which service or step.
const FAULTS: &[(&str, &[&str], &[&str])] = &[
    ("none", &[], &[]),
    ("silent-skip", &["loss", "skipping_consumer"], &["stock_updated", "inventory"]),
    ("all-rejected", &["rejected"], &[]),
    ("nobody-consuming", &["loss", "stuck_consumer"], &["stock_updated", "inventory"]),
    ("dead-exporter", &["silence", "service_silent", "unknown"], &["stock_updated", "inventory"]),
    ("silent-loop", &["silent_loop"], &["orders"]),
    ("stalled-request", &["stalled_request"], &["orders"]),
    ("swallowed-timeout", &["swallowed_timeout"], &["orders"]),
    ("zero-row-update", &["zero_rows"], &["inventory"]),
    ("slow-consumer", &["slow_consumer"], &["inventory"]),
    ("stuck-consumer", &["stuck_consumer"], &["inventory"]),
    ("stale-cache", &["stale_cache"], &["storefront"]),
    ("clock-skew", &["clock_skew"], &["payments"]),
    ("lost-after-ack", &["loss", "skipping_consumer"], &["stock_updated", "inventory"]),
    (
        "lost-publish",
        &["lost_publish", "masked_failure", "failed_without_exit"],
        &["orders", "published", "stock_updated"],
    ),
    ("duplicate", &["duplicate_delivery"], &["inventory", "orders"]),
    ("broken-context", &["broken_context"], &["orders", "inventory"]),
    ("exporter-drops", &["exporter_drops"], &["inventory"]),
    ("lying-health", &["lying_health", "masked_failure"], &["payments"]),
];

/// What must never be called lost, since only the sight of it is.
const ONLY_UNSEEN: &[&str] = &["none", "dead-exporter", "broken-context", "exporter-drops"];

/// What came of one fault.
struct Row {
    fault: &'static str,
    found: Option<String>,
    seconds: Option<u32>,
    holds: bool,
    others: Vec<String>,
    is_green: bool,
}

/// Runs these faults, or all of them; the table, a summary, and whether all were found as they are.
pub(super) fn run(names: &[&str], seconds: u32) -> Result<(String, String, bool)> {
    let (wanted, names) = parts::asked_for(names)?;
    build_server(wanted.is_some())?;
    let parts = wanted.map(|wanted| Parts::start(wanted, parts::serve())).transpose()?;
    judged(&names, seconds, parts.as_ref())
}

/// Runs the faults of real parts on these, which `serve` starts, with the server that is built.
pub(super) fn run_on(parts: &str, serve: Command, seconds: u32) -> Result<(String, String, bool)> {
    judged(parts::FAULTS, seconds, Some(&Parts::start(parts, serve)?))
}

fn judged(names: &[&str], seconds: u32, parts: Option<&Parts>) -> Result<(String, String, bool)> {
    let mut rows = Vec::new();
    let started = Instant::now();
    for (fault, kinds, places) in FAULTS.iter().filter(|(fault, ..)| names.is_empty() || names.contains(fault)) {
        say(&format!("live: {fault}{}", parts.map(Parts::named).unwrap_or_default()));
        rows.push(judge(fault, kinds, places, &demo(fault, seconds, parts)?));
    }
    if rows.is_empty() {
        bail!("no such fault\nhint: one of {}", FAULTS.iter().map(|(fault, ..)| *fault).collect::<Vec<_>>().join(", "));
    }
    let found = rows.iter().filter(|row| row.found.is_some()).count();
    let right = rows.iter().filter(|row| row.holds).count();
    let faults = rows.iter().filter(|row| row.fault != "none").count();
    let summary = format!(
        "campaign --live{}: {found} of {faults} faults found, {right} of {} runs as required; {} s",
        parts.map(Parts::named).unwrap_or_default(),
        rows.len(),
        started.elapsed().as_secs()
    );
    Ok((table(&rows), summary, right == rows.len()))
}

fn demo(fault: &str, seconds: u32, parts: Option<&Parts>) -> Result<Value> {
    let lasts = format!("{seconds}s");
    let mut demo = Command::new(server());
    demo.args(["demo", "--json", "--fault", fault, "--for", &lasts]);
    demo.args(parts.map(Parts::flags).unwrap_or_default());
    let output = demo.current_dir(root()).output().context("cannot start the server")?;
    if !output.status.success() {
        bail!("demo --fault {fault}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("demo --fault {fault} printed no JSON"))
}

fn judge(fault: &'static str, kinds: &[&str], places: &[&str], story: &Value) -> Row {
    let findings = story["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let kind = |finding: &Value| finding["kind"].as_str().unwrap_or_default().to_owned();
    let is_right = |finding: &&Value| {
        let texts = [&finding["service"], &finding["before"]];
        let is_there = texts.iter().any(|text| text.as_str().is_some_and(|text| places.contains(&text)));
        kinds.contains(&kind(finding).as_str()) && (places.is_empty() || is_there)
    };
    let found = findings.iter().filter(is_right).min_by_key(|finding| finding["first_seen"].as_str());
    let seconds = found.and_then(|finding| {
        let of_day = |field: &str| finding[field].as_str().and_then(second_of_day);
        Some((of_day("first_seen")? + 86_400 - of_day("onset")?) % 86_400)
    });
    let lost = story["unaccounted"].as_array().map_or(0, Vec::len);
    let is_called_lost =
        ONLY_UNSEEN.contains(&fault) && (lost > 0 || findings.iter().any(|finding| kind(finding) == "loss"));
    let is_healthy = fault == "none";
    Row {
        fault,
        found: found.map(kind),
        seconds,
        holds: !is_called_lost && if is_healthy { findings.is_empty() } else { found.is_some() },
        others: findings.iter().filter(|finding| !is_right(finding)).map(kind).collect(),
        is_green: story["ordinary"]["green"].as_bool().unwrap_or(false),
    }
}

/// Of an RFC 3339 time in UTC.
fn second_of_day(time: &str) -> Option<u32> {
    let part = |from: usize| time.get(from..from + 2)?.parse::<u32>().ok();
    Some(part(11)? * 3600 + part(14)? * 60 + part(17)?)
}

fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| enough | fault | called | s from onset to finding | ordinary monitoring | other findings |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            if row.holds { "yes" } else { "**no**" },
            row.fault,
            row.found.as_deref().unwrap_or("-"),
            row.seconds.map_or("-".to_owned(), |seconds| seconds.to_string()),
            if row.is_green { "all green" } else { "not all green" },
            row.others.join(", ")
        );
    }
    out
}
