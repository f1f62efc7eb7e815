//! `/metrics`: the books, the findings, and Truegreen's own books of what it took, refused and dropped.

use axum::extract;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use truegreen_model::incident::State;
use truegreen_model::report::{CounterReport, Report};
use truegreen_otlp::Signal;

use super::Problem;
use crate::metrics::{BySignal, Exposition, Metrics};
use crate::server::Seen;
use crate::wording;

const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn metrics(extract::State(seen): extract::State<Seen>) -> Result<Response, Problem> {
    let asked = seen.run.ask(|engine| (engine.report(), engine.counters(), engine.open_journeys())).await?;
    let (report, counters, open_journeys) = asked;
    let mut text = Exposition::default();
    text.single("up", "gauge", "1 while Truegreen lives; alert on its absence.", 1);
    books(&mut text, &report);
    findings(&mut text, &report);
    incidents(&mut text, &seen);
    text.single("open_journeys", "gauge", "Journeys not decided yet, over all flows.", open_journeys);
    intake(&mut text, &seen);
    alerts(&mut text, &seen.metrics);
    asking(&mut text, &seen.metrics);
    diagnoses(&mut text, &seen.metrics);
    engine(&mut text, &counters);
    super::systems::metrics(&mut text, &seen.probes.latest());
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text.finish()).into_response())
}

fn incidents(text: &mut Exposition, seen: &Seen) {
    let list = seen.incidents.list();
    text.family("incidents", "gauge", "Incidents by state: open, patched (only the symptom) or fixed.");
    for state in [State::Open, State::Patched, State::Fixed] {
        let count = list.incidents.iter().filter(|incident| incident.state == state).count();
        text.sample("incidents", &[("state", state.name())], count);
    }
}

fn books(text: &mut Exposition, report: &Report) {
    text.family("health", "gauge", "1 for the health the flow has: working, cannot_tell or broken.");
    for (flow, books) in &report.flows {
        for health in ["WORKING", "CANNOT TELL", "BROKEN"] {
            let label = health.to_ascii_lowercase().replace(' ', "_");
            text.sample("health", &[("flow", flow), ("health", &label)], u8::from(books.health == health));
        }
    }
    text.family("entered", "gauge", "Journeys that entered and are remembered.");
    for (flow, books) in &report.flows {
        text.sample("entered", &[("flow", flow)], books.entered);
    }
    text.family("books", "gauge", "The right side of the equation: journeys by where they stand.");
    for (flow, books) in &report.flows {
        for term in wording::terms(books) {
            let standing = term.label.to_ascii_lowercase().replace('-', "_");
            text.sample("books", &[("flow", flow), ("standing", &standing)], term.count);
        }
    }
    for (name, help, of) in [
        ("rejected", "Journeys rejected, by reason.", 0),
        ("dead_lettered", "Journeys dead-lettered, by reason.", 1),
        ("unknown", "Journeys that cannot be judged, by why.", 2),
    ] {
        text.family(name, "gauge", help);
        for (flow, books) in &report.flows {
            let by_reason = [&books.rejected, &books.dead_lettered, &books.unknown][of];
            for (reason, n) in by_reason {
                text.sample(name, &[("flow", flow), ("reason", reason)], n);
            }
        }
    }
    for (name, help, of) in [
        ("duplicates", "Entries of a key that had entered already.", 0),
        ("orphans", "Steps seen without their start.", 1),
        ("amended", "Verdicts moved by a late observation.", 2),
    ] {
        text.family(name, "gauge", help);
        for (flow, books) in &report.flows {
            text.sample(name, &[("flow", flow)], [books.duplicates, books.orphans, books.amended][of]);
        }
    }
}

fn findings(text: &mut Exposition, report: &Report) {
    let help = "Of the books: verdicts that are owed to what systems answered.";
    text.family("confirmed", "gauge", help);
    for (flow, books) in &report.flows {
        for (standing, n) in [("completed", books.confirmed.completed), ("unaccounted", books.confirmed.unaccounted)] {
            text.sample("confirmed", &[("flow", flow), ("standing", standing)], n);
        }
    }
    text.family("findings", "gauge", "Findings, by flow (empty beside any flow), service, kind and status.");
    let mut counts = std::collections::BTreeMap::new();
    for finding in &report.findings {
        *counts
            .entry((&finding.flow, finding.service.as_deref().unwrap_or(""), &finding.kind, &finding.status))
            .or_insert(0_u64) += 1;
    }
    for ((flow, service, kind, status), n) in counts {
        text.sample("findings", &[("flow", flow), ("service", service), ("kind", kind), ("status", status)], n);
    }
}

fn intake(text: &mut Exposition, seen: &Seen) {
    let metrics = &seen.metrics;
    let by_signal = |counters: &BySignal| Signal::ALL.map(|signal| (signal.name(), counters.of(signal).get()));
    let accepted = by_signal(&metrics.accepted_requests);
    text.by_label("accepted_requests_total", "Requests taken.", "signal", accepted);
    let accepted = by_signal(&metrics.accepted_records);
    text.by_label("accepted_records_total", "Records taken.", "signal", accepted);
    let refused = metrics.refused_requests.get();
    text.by_label("refused_requests_total", "Requests refused as a whole.", "reason", refused);
    let refused = metrics.refused_records.get();
    text.by_label("refused_records_total", "Records refused in requests that were taken.", "reason", refused);
    text.single("accepted_changes_total", "counter", "Changes taken.", metrics.accepted_changes.get());
    let help = "Reports of changes that were refused.";
    text.by_label("refused_changes_total", help, "reason", metrics.refused_changes.get());
    let help = "Reports of what is no change.";
    text.by_label("ignored_changes_total", help, "reason", metrics.ignored_changes.get());
    let unread = metrics.refused_without_sender.get();
    let help = "Refused requests whose sender could not be read, so that no coverage gap was opened.";
    text.single("refused_without_sender_total", "counter", help, unread);
    let help = "Connections closed unserved because limits.connections were open.";
    text.single("refused_connections_total", "counter", help, metrics.refused_connections.get());
    let help = "Refused senders whose gap could not be noted because too many waited.";
    text.single("dropped_gaps_total", "counter", help, seen.log.dropped_gaps());
    text.single("queued_requests", "gauge", "Requests that wait for the log and the engine.", seen.log.queued());
    let help = "1 while the log of accepted requests takes no writes, so that nothing is accepted.";
    text.single("log_failing", "gauge", help, u64::from(seen.log.is_failing()));
    let help = "Entries dropped from the log because they were too old or too many.";
    text.single("log_dropped_entries_total", "counter", help, seen.log.dropped_entries());
    if let Some(archive) = seen.lookup.archive() {
        let help = "Requests in the log that look-ups do not find yet, since the index has not come to them.";
        text.single("lookup_behind_requests", "gauge", help, archive.behind());
        let help = "1 while there is no index, so that look-ups find only what showed steps.";
        text.single("lookup_failing", "gauge", help, u64::from(archive.failure().is_some()));
    }
    text.single("in_flight_bytes", "gauge", "Bytes of bodies in flight.", seen.intake.bytes_in_flight());
}

fn alerts(text: &mut Exposition, metrics: &Metrics) {
    text.single("alerts_sent_total", "counter", "Alert posts answered with success.", metrics.alerts_sent.get());
    let help = "Alert posts that failed and are made again.";
    text.single("alert_retries_total", "counter", help, metrics.alert_retries.get());
    text.by_label("alerts_dropped_total", "Alerts given up.", "reason", metrics.alerts_dropped.get());
}

fn asking(text: &mut Exposition, metrics: &Metrics) {
    let help = "Batches of keys that systems were asked for, by what came of them.";
    text.by_label("asked_batches_total", help, "result", metrics.asked_batches.get());
    let help = "Questions to systems that could not be asked, or whose answer was written down later.";
    text.by_label("unasked_questions_total", help, "reason", metrics.unasked.get());
}

fn diagnoses(text: &mut Exposition, metrics: &Metrics) {
    text.single("diagnoses_total", "counter", "Diagnoses of findings that were made.", metrics.diagnoses.get());
    let seconds = metrics.diagnosis_millis.get() as f64 / 1_000.0;
    text.single("diagnosis_seconds_total", "counter", "How long making them took, all together.", seconds);
    let help = "Diagnoses that were not made, or not in time.";
    text.by_label("diagnoses_failed_total", help, "reason", metrics.diagnoses_failed.get());
}

fn engine(text: &mut Exposition, counters: &[CounterReport]) {
    let mut families: std::collections::BTreeMap<&str, Vec<&CounterReport>> = Default::default();
    for counter in counters {
        families.entry(&counter.name).or_default().push(counter);
    }
    for (name, counters) in families {
        let name = format!("{name}_total");
        let samples = counters.iter().map(|counter| (counter.reason.as_str(), counter.value));
        text.by_label(&name, "What the engine counts of itself.", "reason", samples);
    }
}
