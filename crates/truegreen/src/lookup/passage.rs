//! The answer put together: what was read, in the order of drawing, with the steps that each record shows.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use truegreen_model::flow::Flow;
use truegreen_model::observation::Evidence;
use truegreen_model::passage::{CutReport, LinkReport, LogReport, PassageReport, SpanReport, StepReport};
use truegreen_model::report::{JourneyDetail, ServiceReport};
use truegreen_model::time::Timestamp;
use truegreen_otlp::{SpanKind, Status};

use super::scan::{FoundLog, FoundSpan};
use super::search::Search;
use super::tree::{self, Place};
use super::{gap, when};

/// Most spans, and most log records, of one answer.
pub(crate) const MAX_SHOWN: usize = 1_000;
/// Times further ahead of receipt than this are nonsense.
const MAX_AHEAD: Duration = Duration::from_secs(300);

/// What the engine and the contracts say of what was asked for.
#[derive(Clone, Default, Debug)]
pub(crate) struct Known {
    pub(crate) journeys: Vec<JourneyDetail>,
    /// Journeys past the bound.
    pub(crate) more_journeys: u64,
    pub(crate) services: Vec<ServiceReport>,
}

/// Steps by the record that showed them.
type Shows = HashMap<Evidence, Vec<StepReport>>;

/// Puts the answer together; notes and what no bound here cut is the caller's.
pub(crate) fn report(asked: &str, known: Known, search: &Search, flows: &[Flow], retention: Duration) -> PassageReport {
    let shows = shows(&known.journeys, flows);
    let mut cut = search.cuts();
    let mut told = |what: &str, count: usize| {
        if count > 0 {
            let why = format!("one answer shows {MAX_SHOWN} at the most, those that showed steps or failed first");
            cut.push(CutReport { what: what.to_owned(), count: count as u64, why });
        }
    };
    let (mut found, surplus) = chosen_spans(search, &shows);
    for span in &mut found {
        let (start, duration, replaced) = plausible(span.start, span.end, span.received_at, retention);
        (span.start, span.end, span.time_replaced) = (start.0, start.0.saturating_add(duration), replaced);
    }
    told("spans", surplus);
    let (logs, surplus) = chosen_logs(search, &shows);
    told("logs", surplus);

    let places = tree::grown(&found);
    let mut spans: Vec<SpanReport> =
        places.iter().map(|place| span_report(&found[place.index], place, &shows, retention)).collect();
    let by_id: HashMap<(u128, u64), usize> =
        places.iter().enumerate().map(|(at, place)| ((found[place.index].trace, found[place.index].id), at)).collect();
    let mut loose = Vec::new();
    for log in logs {
        let report = log_report(log, &shows, retention);
        match by_id.get(&(log.trace, log.span)).and_then(|at| spans.get_mut(*at)) {
            Some(span) => span.logs.push(report),
            None => loose.push(report),
        }
    }
    for span in &mut spans {
        span.logs.sort_by_cached_key(|log| when::nanos(&log.at));
    }
    if known.more_journeys > 0 {
        let why = format!("one answer tells {} at the most", super::MAX_JOURNEYS);
        cut.push(CutReport { what: "journeys".to_owned(), count: known.more_journeys, why });
    }
    PassageReport {
        asked: asked.to_owned(),
        found_as: Vec::new(),
        gaps: gap::gaps(&known.journeys, flows, &known.services),
        journeys: known.journeys,
        spans,
        logs: loose,
        answers: Vec::new(),
        conclusion: None,
        cut,
        notes: Vec::new(),
    }
}

fn shows(journeys: &[JourneyDetail], flows: &[Flow]) -> Shows {
    let mut shows = Shows::new();
    for detail in journeys {
        let flow = flows.iter().find(|flow| flow.name == detail.journey.flow);
        for seen in &detail.seen {
            let step = StepReport {
                flow: detail.journey.flow.clone(),
                key: detail.journey.key.clone(),
                step: seen.step.clone(),
                attempt: seen.attempt,
                exit: flow.is_some_and(|flow| flow.exits.iter().any(|exit| exit.name == seen.step)),
                reason: seen.reason.clone(),
            };
            let steps = shows.entry(Evidence { sequence: seen.sequence, offset: seen.offset }).or_default();
            if !steps.contains(&step) {
                steps.push(step);
            }
        }
    }
    shows
}

/// Each span once; and how many are left out.
fn chosen_spans(search: &Search, shows: &Shows) -> (Vec<FoundSpan>, usize) {
    let mut once: BTreeMap<(u128, u64), &FoundSpan> = BTreeMap::new();
    for span in search.catch.spans.values() {
        // Of a span that was sent twice the one that was taken for evidence.
        let chosen = once.entry((span.trace, span.id)).or_insert(span);
        if shows.contains_key(&span.evidence) && !shows.contains_key(&chosen.evidence) {
            *chosen = span;
        }
    }
    let mut spans: Vec<&FoundSpan> = once.into_values().collect();
    let is_asked = |span: &FoundSpan| search.wanted.traces.binary_search(&span.trace).is_ok();
    let rank = |span: &&FoundSpan| {
        let dull = !shows.contains_key(&span.evidence);
        (dull && span.status != Status::Error, dull, !is_asked(span), span.start)
    };
    spans.sort_by_key(rank);
    let surplus = spans.len().saturating_sub(MAX_SHOWN);
    spans.truncate(MAX_SHOWN);
    (spans.into_iter().cloned().collect(), surplus)
}

/// Log records by time, and how many are left out.
fn chosen_logs<'s>(search: &'s Search, shows: &Shows) -> (Vec<&'s FoundLog>, usize) {
    let mut logs: Vec<&FoundLog> = search.catch.logs.values().collect();
    logs.sort_by_key(|log| (!shows.contains_key(&log.evidence), -log.severity, log.at));
    let surplus = logs.len().saturating_sub(MAX_SHOWN);
    logs.truncate(MAX_SHOWN);
    logs.sort_by_key(|log| (log.at, log.evidence));
    (logs, surplus)
}

/// When it began and how long it took, as far as that can be.
fn plausible(start: u64, end: u64, received_at: Timestamp, retention: Duration) -> (Timestamp, u64, bool) {
    let (start, latest) = (Timestamp(start), received_at + MAX_AHEAD);
    if start.0 == 0 || start > latest || start < received_at - retention {
        return (received_at, 0, true);
    }
    // An end that was never is no long duration.
    let end = Timestamp(end);
    if end > latest { (start, 0, true) } else { (start, end.0.saturating_sub(start.0), false) }
}

fn span_report(span: &FoundSpan, place: &Place, shows: &Shows, retention: Duration) -> SpanReport {
    let steps = shows.get(&span.evidence).cloned().unwrap_or_default();
    let outcome = match span.status {
        _ if steps.iter().any(|step| step.exit) => "exit",
        Status::Error if steps.iter().any(|step| step.attempt) => "failed_attempt",
        Status::Error => "failed",
        Status::Unset | Status::Ok => "ok",
    };
    let events = span.events.iter().map(|event| {
        let at = plausible(event.at, event.at, span.received_at, retention).0;
        LogReport {
            at: when::rfc3339(at),
            source: "span_event".to_owned(),
            service: span.sender.service.clone(),
            instance: span.sender.instance.clone(),
            severity: None,
            name: some(&event.name),
            text: event.attributes.get("exception.message").cloned().unwrap_or_default(),
            trace_id: Some(hex_trace(span.trace)),
            span_id: Some(hex_span(span.id)),
            steps: Vec::new(),
            attributes: event.attributes.clone(),
            sequence: span.evidence.sequence,
            offset: span.evidence.offset,
        }
    });
    SpanReport {
        trace_id: hex_trace(span.trace),
        span_id: hex_span(span.id),
        parent_span_id: (span.parent != 0).then(|| hex_span(span.parent)),
        depth: place.depth,
        placed_by: place.by.name().to_owned(),
        service: span.sender.service.clone(),
        instance: span.sender.instance.clone(),
        host: span.sender.host.clone(),
        name: span.name.clone(),
        kind: kind_name(span.kind).to_owned(),
        started_at: when::rfc3339(Timestamp(span.start)),
        duration_nanos: span.end - span.start,
        time_replaced: span.time_replaced,
        status: match span.status {
            Status::Unset => "unset",
            Status::Ok => "ok",
            Status::Error => "error",
        }
        .to_owned(),
        status_message: some(&span.status_message),
        outcome: outcome.to_owned(),
        steps,
        attributes: span.attributes.clone(),
        links: span
            .links
            .iter()
            .map(|link| LinkReport { trace_id: hex_trace(link.trace_id), span_id: hex_span(link.span_id) })
            .collect(),
        logs: events.collect(),
        received_at: when::rfc3339(span.received_at),
        sequence: span.evidence.sequence,
        offset: span.evidence.offset,
    }
}

fn log_report(log: &FoundLog, shows: &Shows, retention: Duration) -> LogReport {
    LogReport {
        at: when::rfc3339(plausible(log.at, log.at, log.received_at, retention).0),
        source: if log.is_cloud_event { "event" } else { "log" }.to_owned(),
        service: log.sender.service.clone(),
        instance: log.sender.instance.clone(),
        severity: severity(log),
        name: some(&log.name),
        text: log.text.clone(),
        trace_id: (log.trace != 0).then(|| hex_trace(log.trace)),
        span_id: (log.span != 0).then(|| hex_span(log.span)),
        steps: shows.get(&log.evidence).cloned().unwrap_or_default(),
        attributes: log.attributes.clone(),
        sequence: log.evidence.sequence,
        offset: log.evidence.offset,
    }
}

fn severity(log: &FoundLog) -> Option<String> {
    let by_number = match log.severity {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => return some(&log.severity_text),
    };
    Some(by_number.to_owned())
}

fn kind_name(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "unspecified",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(crate) fn hex_trace(id: u128) -> String {
    format!("{id:032x}")
}

fn hex_span(id: u64) -> String {
    format!("{id:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: spans dated 1970, 2099, ending before they began, and ending never. Guarantee: none of them bends the
    /// drawing; each is said to be replaced.
    #[test]
    fn times_that_cannot_be_are_replaced() {
        let (received, hour) = (Timestamp::from_secs(1_000_000), Duration::from_secs(3600));
        let second = 1_000_000_000;
        let at = 999_990 * second;
        assert_eq!(plausible(at, at + 5, received, hour), (Timestamp(at), 5, false));
        assert_eq!(plausible(at, at - 5, received, hour), (Timestamp(at), 0, false));
        assert_eq!(plausible(at, u64::MAX, received, hour), (Timestamp(at), 0, true));
        for nonsense in [0, 1, 990_000 * second, 1_000_301 * second, u64::MAX] {
            assert_eq!(plausible(nonsense, nonsense, received, hour), (received, 0, true), "{nonsense}");
        }
    }
}
