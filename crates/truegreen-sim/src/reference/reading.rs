//! Records to facts: who was heard, and which record shows which step or exit for which key.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use truegreen_model::flow::{ExitId, Flow, Key, Pattern, ReasonSource, Signal, SpanKind, StepId, Text};
use truegreen_model::time::Timestamp;

use super::fact::{Fact, Role, Sighting};
use super::passage::{condition_holds, steps};
use crate::telemetry::{Attributes, Content, Happening, Sender, SpanRef};

/// Event times older than this at receipt are replaced.
const RETENTION: Duration = Duration::from_secs(6 * 3600);
/// So are those further ahead of receipt.
const AHEAD: Duration = Duration::from_secs(300);
/// An instance's skew is its worst excess over this long.
const SKEW_MEMORY: Duration = Duration::from_secs(300);
/// How far a record without a key looks for one, from parent to parent.
const FAR: u8 = 8;

/// A span or log record, and all that matching reads of it.
#[derive(Debug)]
struct Record<'a> {
    received_at: Timestamp,
    sender: &'a Sender,
    signal: Signal,
    name: &'a str,
    kind: Option<SpanKind>,
    body: &'a str,
    severity: u8,
    start: Timestamp,
    end: Timestamp,
    error: bool,
    place: Option<SpanRef>,
    parent: Option<SpanRef>,
    links: &'a [SpanRef],
    trace_state: &'a str,
    /// The record's, else its resource's.
    attributes: BTreeMap<String, Vec<String>>,
}

/// All facts, in order of receipt. A record that gets its key from another is known once both are here.
pub fn facts(flows: &[Flow], happenings: &[(Timestamp, Happening)]) -> Vec<(Timestamp, Fact)> {
    let mut facts = Vec::new();
    let mut records = Vec::new();
    for (at, happening) in happenings {
        match happening {
            Happening::Accepted(content) => {
                facts.extend(hearings(content).map(|fact| (*at, fact)));
                records.extend(records_of(*at, content));
            }
            Happening::Refused { service, instance } => {
                facts.push((*at, Fact::Refused { service: service.clone(), instance: instance.clone() }))
            }
            Happening::Resumed { down_since } => facts.push((*at, Fact::Resumed { down_since: *down_since })),
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
            facts.extend(sightings(flow, index, record, &records));
        }
    }
    facts.sort_by_key(|(at, _)| *at);
    facts
}

fn hearings(content: &Content) -> impl Iterator<Item = Fact> {
    let signal = match content {
        Content::Spans(_) => Some(Signal::Span),
        Content::Logs(_) => Some(Signal::Log),
        Content::Metrics(_) => None,
    };
    content.senders().into_iter().map(move |sender| Fact::Heard {
        service: sender.service.clone(),
        instance: sender.instance.clone(),
        resource: merged(sender, &Vec::new()),
        signal,
    })
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
fn sightings(flow: &Flow, index: usize, record: &Record, all: &[Record]) -> Vec<(Timestamp, Fact)> {
    let mut found = Vec::new();
    for (role, of) in roles(flow, record) {
        for (key, known_at) in keys(flow, record, all, FAR) {
            let at = if role == Role::Step(StepId::START) { record.start } else { record.end };
            let sighting = Sighting {
                flow: index,
                scope: scope(flow, &record.attributes),
                key,
                role: role.clone(),
                at: plausible(at, record, all),
                identity: identity(record, &of),
                attempt: record.error && matches!(role, Role::Step(_)),
                service: record.sender.service.clone(),
                inherited: !has_own_key(flow, record),
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

/// Whose record it is, and since when that is known: its own key, else its parent's, else those of its links (of
/// the spans linked to, else the only one of their trace), else the only one of its own trace.
fn keys(flow: &Flow, record: &Record, all: &[Record], far: u8) -> BTreeSet<(String, Timestamp)> {
    let trace = record.place.or(record.parent).map(|place| place.trace);
    let names = match &flow.key {
        Key::TraceId => {
            return trace.map(|trace| (format!("{trace:032x}"), record.received_at)).into_iter().collect();
        }
        Key::Attributes(names) => names,
    };
    let own = |record: &Record| names.iter().find_map(|name| record.attributes.get(name)?.first().cloned());
    if let Some(key) = own(record) {
        return BTreeSet::from([(key, record.received_at)]);
    }
    let keys_of = |places: &[SpanRef]| -> BTreeSet<(String, Timestamp)> {
        let found = all.iter().filter(|other| far > 0 && other.place.is_some_and(|place| places.contains(&place)));
        let mut earliest: BTreeMap<String, Timestamp> = BTreeMap::new();
        for (key, known_at) in found.flat_map(|other| keys(flow, other, all, far - 1)) {
            let at = earliest.entry(key).or_insert(known_at);
            *at = known_at.min(*at);
        }
        earliest.into_iter().map(|(key, at)| (key, at.max(record.received_at))).collect()
    };
    let only_key_of_trace = |trace: u128| -> BTreeSet<(String, Timestamp)> {
        let mut of_trace: BTreeMap<String, Timestamp> = BTreeMap::new();
        for other in all.iter().filter(|other| other.place.is_some_and(|place| place.trace == trace)) {
            if let Some(key) = own(other) {
                let at = of_trace.entry(key).or_insert(other.received_at);
                *at = other.received_at.min(*at);
            }
        }
        let only = of_trace.len() == 1;
        let known = of_trace.into_iter().map(|(key, at)| (key, at.max(record.received_at)));
        known.filter(|_| only).collect()
    };
    let of_parent = keys_of(record.parent.as_slice());
    if !of_parent.is_empty() {
        return of_parent;
    }
    let of_links: BTreeSet<(String, Timestamp)> = record
        .links
        .iter()
        .flat_map(|link| {
            let of_span = keys_of(&[*link]);
            if of_span.is_empty() { only_key_of_trace(link.trace) } else { of_span }
        })
        .collect();
    if !of_links.is_empty() {
        return of_links;
    }
    trace.map(only_key_of_trace).unwrap_or_default()
}

/// The event time, replaced where it cannot be, shifted back where the instance's clock runs ahead.
fn plausible(at: Timestamp, record: &Record, all: &[Record]) -> Timestamp {
    let received_at = record.received_at;
    if at > received_at + AHEAD || at < received_at - RETENTION {
        return received_at;
    }
    let excess = all
        .iter()
        .filter(|other| other.sender == record.sender)
        .filter(|other| other.received_at <= received_at && other.received_at >= received_at - SKEW_MEMORY)
        .filter(|other| other.end <= other.received_at + AHEAD)
        .map(|other| other.end.since(other.received_at))
        .max()
        .unwrap_or_default();
    at - excess
}

fn has_own_key(flow: &Flow, record: &Record) -> bool {
    match &flow.key {
        Key::TraceId => true,
        Key::Attributes(names) => names.iter().any(|name| record.attributes.contains_key(name)),
    }
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
