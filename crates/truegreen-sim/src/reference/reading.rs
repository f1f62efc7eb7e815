//! Records to facts: who was heard, and which record shows which step or exit for which key.

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::flow::{ExitId, Flow, Pattern, ReasonSource, Signal, SpanKind, StepId, Text};
use truegreen_model::time::Timestamp;

use super::binding::keys;
use super::clock::{Correction, in_force};
use super::fact::{Fact, Role, Sighting};
use super::passage::{condition_holds, steps};
use crate::telemetry::{Attributes, Content, Happening, Sender, SpanRef};

/// Event times older than this at receipt are replaced.
const RETENTION: Duration = Duration::from_secs(6 * 3600);
/// So are those further ahead of receipt.
const AHEAD: Duration = Duration::from_secs(300);
/// An instance's skew is its worst excess over this long.
const SKEW_MEMORY: Duration = Duration::from_secs(300);

/// A span or log record, and all that matching reads of it.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) received_at: Timestamp,
    pub(super) sender: &'a Sender,
    pub(super) signal: Signal,
    pub(super) name: &'a str,
    pub(super) kind: Option<SpanKind>,
    pub(super) body: &'a str,
    pub(super) severity: u8,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) error: bool,
    pub(super) place: Option<SpanRef>,
    pub(super) parent: Option<SpanRef>,
    pub(super) links: &'a [SpanRef],
    pub(super) trace_state: &'a str,
    /// The record's, else its resource's.
    pub(super) attributes: BTreeMap<String, Vec<String>>,
}

/// All facts, in order of receipt. A record that gets its key from another is known once both are here.
pub fn facts(
    flows: &[Flow],
    happenings: &[(Timestamp, Happening)],
    corrections: &[Correction],
) -> Vec<(Timestamp, Fact)> {
    let mut facts: Vec<(Timestamp, Fact)> =
        corrections.iter().map(|one| (one.from, Fact::Corrected(one.clone()))).collect();
    let mut records = Vec::new();
    for (at, happening) in happenings {
        match happening {
            Happening::Accepted(content) => records.extend(records_of(*at, content)),
            Happening::Refused { service, instance } => {
                facts.push((*at, Fact::Refused { service: service.clone(), instance: instance.clone() }))
            }
            Happening::Resumed { down_since } => facts.push((*at, Fact::Resumed { down_since: *down_since })),
        }
    }
    for (at, happening) in happenings {
        if let Happening::Accepted(content) = happening {
            facts.extend(hearings(*at, content, &records, corrections).into_iter().map(|fact| (*at, fact)));
        }
    }
    for record in &records {
        let service = record.sender.service.clone();
        if record.trace_state.contains("th:") {
            facts.push((record.received_at, Fact::Sampled { service: service.clone() }));
        }
        let lag = record.received_at.since(record.end);
        facts.push((record.received_at, Fact::Lagged { service, signal: record.signal, lag }));
    }
    for (index, flow) in flows.iter().enumerate() {
        for record in &records {
            facts.extend(sightings(flow, index, record, &records, corrections));
        }
    }
    facts.sort_by_key(|(at, _)| *at);
    facts
}

fn hearings(received_at: Timestamp, content: &Content, all: &[Record], corrections: &[Correction]) -> Vec<Fact> {
    let hearing = |sender: &Sender, signal, times: Vec<Timestamp>| {
        let ahead = ahead(sender, received_at, all, corrections);
        let can_be = |at: &Timestamp| !is_replaced(*at, received_at);
        Fact::Heard {
            service: sender.service.clone(),
            instance: sender.instance.clone(),
            resource: merged(sender, &Vec::new()),
            signal,
            told: times.into_iter().filter(can_be).map(|at| taken_back(at, ahead, received_at)).collect(),
        }
    };
    match content {
        Content::Spans(parts) => parts
            .iter()
            .map(|(sender, spans)| hearing(sender, Some(Signal::Span), spans.iter().map(|span| span.end).collect()))
            .collect(),
        Content::Logs(parts) => parts
            .iter()
            .map(|(sender, logs)| hearing(sender, Some(Signal::Log), logs.iter().map(|log| log.at).collect()))
            .collect(),
        Content::Metrics(parts) => parts.iter().map(|(sender, at)| hearing(sender, None, vec![*at])).collect(),
    }
}

fn records_of(received_at: Timestamp, content: &Content) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    match content {
        Content::Spans(parts) => {
            for (sender, span) in parts.iter().flat_map(|(sender, spans)| spans.iter().map(move |span| (sender, span)))
            {
                records.push(Record {
                    received_at,
                    sender,
                    signal: Signal::Span,
                    name: &span.name,
                    kind: Some(span.kind),
                    body: "",
                    severity: 0,
                    start: span.start,
                    end: span.end,
                    error: span.error,
                    place: Some(span.place),
                    parent: span.parent.map(|parent| SpanRef { span: parent, ..span.place }),
                    links: &span.links,
                    trace_state: &span.trace_state,
                    attributes: merged(sender, &span.attributes),
                });
            }
        }
        Content::Logs(parts) => {
            for (sender, log) in parts.iter().flat_map(|(sender, logs)| logs.iter().map(move |log| (sender, log))) {
                records.push(Record {
                    received_at,
                    sender,
                    signal: Signal::Log,
                    name: &log.name,
                    kind: None,
                    body: &log.body,
                    severity: log.severity,
                    start: log.at,
                    end: log.at,
                    error: false,
                    place: None,
                    parent: log.place,
                    links: &[],
                    trace_state: "",
                    attributes: merged(sender, &log.attributes),
                });
            }
        }
        Content::Metrics(_) => {}
    }
    records
}

fn merged(sender: &Sender, attributes: &Attributes) -> BTreeMap<String, Vec<String>> {
    let all = sender.attributes().into_iter().chain(attributes.iter().cloned());
    all.map(|(name, value)| (name, value.texts())).collect()
}

/// What one record shows of one flow.
fn sightings(
    flow: &Flow,
    index: usize,
    record: &Record,
    all: &[Record],
    corrections: &[Correction],
) -> Vec<(Timestamp, Fact)> {
    let mut found = Vec::new();
    for (role, of) in roles(flow, record) {
        for (key, known_at) in keys(flow, record, all) {
            let at = if role == Role::Step(StepId::START) { record.start } else { record.end };
            let sighting = Sighting {
                flow: index,
                scope: scope(flow, &record.attributes),
                key,
                role: role.clone(),
                at: plausible(at, record, all, corrections),
                identity: identity(record, &of),
                attempt: record.error && matches!(role, Role::Step(_)),
                service: record.sender.service.clone(),
                instance: record.sender.instance.clone(),
                attributes: record.attributes.clone(),
            };
            found.push((known_at, Fact::Seen(sighting)));
        }
    }
    found
}

/// Steps and exits whose patterns match, with their names.
fn roles(flow: &Flow, record: &Record) -> Vec<(Role, String)> {
    let shows = |patterns: &[Pattern]| patterns.iter().any(|pattern| matches(pattern, record));
    let of_steps = steps(flow)
        .zip(&flow.steps)
        .filter(|(_, step)| shows(&step.any_of))
        .map(|(id, step)| (Role::Step(id), step.name.clone()));
    let of_exits = (0_u8..)
        .map(ExitId)
        .zip(&flow.exits)
        .filter(|(_, exit)| shows(&exit.any_of))
        .map(|(id, exit)| (Role::Exit(id, reason(&exit.reason, record)), exit.name.clone()));
    of_steps.chain(of_exits).collect()
}

fn reason(source: &ReasonSource, record: &Record) -> Option<String> {
    match source {
        ReasonSource::Fixed(text) => Some(text.clone()),
        ReasonSource::Attributes(names) => {
            names.iter().find_map(|name| record.attributes.get(name)).and_then(|values| values.first().cloned())
        }
    }
}

fn matches(pattern: &Pattern, record: &Record) -> bool {
    let text_matches =
        |text: &Option<Text>, value: &str| text.as_ref().is_none_or(|text| text.matches(value.as_bytes()));
    pattern.signal == record.signal
        && text_matches(&pattern.service, &record.sender.service)
        && text_matches(&pattern.name, record.name)
        && text_matches(&pattern.body, record.body)
        && pattern.kind.is_none_or(|kind| record.kind == Some(kind))
        && pattern.severity_at_least.is_none_or(|least| record.severity >= least)
        && pattern.attributes.iter().all(|condition| condition_holds(condition, &record.attributes))
}

/// The event time, replaced where it cannot be, shifted back where the instance's clock runs ahead.
fn plausible(at: Timestamp, record: &Record, all: &[Record], corrections: &[Correction]) -> Timestamp {
    let received_at = record.received_at;
    if is_replaced(at, received_at) {
        return received_at;
    }
    taken_back(at, ahead(record.sender, received_at, all, corrections), received_at)
}

fn taken_back(at: Timestamp, ahead_nanos: i64, received_at: Timestamp) -> Timestamp {
    Timestamp(at.0.saturating_add_signed(ahead_nanos.saturating_neg())).min(received_at)
}

fn is_replaced(at: Timestamp, received_at: Timestamp) -> bool {
    at > received_at + AHEAD || at < received_at - RETENTION
}

/// By how much the instance's clock is ahead, in nanoseconds: as it was found, else at the least by so much as records
/// ended ahead of their receipt.
fn ahead(sender: &Sender, received_at: Timestamp, all: &[Record], corrections: &[Correction]) -> i64 {
    let found = in_force(corrections, (&sender.service, &sender.instance), received_at);
    if let Some(found) = found.filter(|found| found.ahead_nanos != 0) {
        return found.ahead_nanos;
    }
    let excess = all
        .iter()
        .filter(|other| other.received_at <= received_at && other.received_at >= received_at - SKEW_MEMORY)
        .filter(|other| other.sender == sender && other.end <= other.received_at + AHEAD)
        .map(|other| other.end.since(other.received_at))
        .max()
        .unwrap_or_default();
    i64::try_from(excess.as_nanos()).unwrap_or(i64::MAX)
}

fn identity(record: &Record, of: &str) -> String {
    match record.place {
        Some(place) => format!("{:032x}/{:016x}/{of}", place.trace, place.span),
        None => {
            format!("{:?}/{:?}/{}/{}/{:?}/{of}", record.end, record.sender, record.name, record.body, record.attributes)
        }
    }
}

/// Values of the flow's scope attributes: keys of two scopes have nothing to do with each other.
pub fn scope(flow: &Flow, attributes: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    flow.scope.iter().map(|name| attributes.get(name).map(|values| values.join(",")).unwrap_or_default()).collect()
}
