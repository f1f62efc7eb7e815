//! Telemetry to cases: a case is a trace, together with what was done, in traces of their own, with the messages that
//! it sent.
//!
//! A span that processes a message *links* to the span that sent it; what is below it belongs to the sender's case. It
//! is cut off as a *segment*; a segment that links to several (a batch) belongs to each of them.

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use truegreen_model::flow::SpanKind;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{
    Attribute, DataPoint, Limits, LogRecord, LogSink, MetricSink, Resource, Span, Status, TraceSink, scan_logs,
    scan_metrics, scan_traces,
};

use super::case::{Case, Cases, Event, MAX_CASE_EVENTS, MAX_EVENTS, MAX_NAMES, MAX_TRAITS, Named, Trait};
use super::model::Model;
use super::segments::{MAX_LINKS, NONE, Segments};
use super::template::mask_path;
use super::vocabulary::{Activity, ActivityId, Vocabulary};
use crate::intake::spans::kind;

/// Most values of attributes that are held at once, over all cases.
const MAX_NOTES: usize = 50_000_000;
/// Most names of attributes that may be keys.
const MAX_KEY_NAMES: usize = 1_000;
/// OTLP's lowest severity of errors.
const ERROR: i32 = 17;

/// Spans and log records on their way to cases.
#[derive(Debug, Default)]
pub struct Traces {
    cases: Cases,
    /// The attribute whose text names a case, where it is known; else its trace id does.
    keys: Vec<Box<str>>,
    /// Where it is known.
    roots: Roots,
    resource: Sender,
    /// Service by its number; numbers are in records.
    services: Vec<Box<str>>,
    service_ids: HashMap<Box<str>, u32, FixedState>,
    last_heard: Vec<Timestamp>,
    pub(super) spans: Vec<SpanSeen>,
    pub(super) logs: Vec<LogSeen>,
    traits: Vec<(u32, Trait)>,
    names: Vec<(u32, Named)>,
    name_ids: HashMap<Box<str>, u16, FixedState>,
    texts: Vec<(u32, Box<str>)>,
    pub(super) links: Vec<(u32, u128, u64)>,
}

/// What cases begin with.
#[derive(Debug, Default)]
struct Roots {
    whole: HashSet<ActivityId, FixedState>,
    /// Whatever begins so is a part of another case, if it has its key.
    parts: HashSet<ActivityId, FixedState>,
}

#[derive(Debug, Default, Clone)]
struct Sender {
    service: Box<str>,
    id: u32,
}

#[derive(Debug)]
pub(super) struct SpanSeen {
    pub(super) trace: u128,
    span: u64,
    parent: u64,
    event: Event,
    pub(super) linked: bool,
}

#[derive(Debug)]
pub(super) struct LogSeen {
    pub(super) trace: u128,
    span: u64,
    event: Event,
}

/// Where an attribute was seen: log records are counted from the top.
fn log_place(index: usize) -> u32 {
    (1 << 31) | index as u32
}

impl Traces {
    /// Begins with the names and keys of a model. What carries the key of a case belongs to it, whatever its trace.
    pub fn of(model: &Model) -> Traces {
        let cases = Cases { vocabulary: model.vocabulary.clone(), ..Cases::default() };
        let whole: HashSet<ActivityId, FixedState> = model.flows.iter().filter_map(|flow| flow.root).collect();
        // What began a case in learning, or was never there, begins a case of its own; the rest has lost its beginning.
        let known = 0..model.vocabulary.activities();
        let parts = known.map(ActivityId).filter(|id| !model.roots.contains(id)).collect();
        let roots = Roots { whole, parts };
        Traces { cases, keys: model.keys(), roots, ..Traces::default() }
    }

    /// An `ExportTraceServiceRequest` that was checked.
    pub fn traces(&mut self, body: &[u8]) {
        // What was checked gives no error, and its refusals were counted then.
        let _tally = scan_traces(body, &Limits::default(), self);
    }

    /// An `ExportLogsServiceRequest` that was checked.
    pub fn logs(&mut self, body: &[u8]) {
        // What was checked gives no error, and its refusals were counted then.
        let _tally = scan_logs(body, &Limits::default(), self);
    }

    /// An `ExportMetricsServiceRequest` that was checked: a sign of life.
    pub fn metrics(&mut self, body: &[u8]) {
        // What was checked gives no error, and its refusals were counted then.
        let _tally = scan_metrics(body, &Limits::default(), self);
    }

    fn enter(&mut self, resource: &Resource<'_, '_>) {
        let service = resource.get(b"service.name").map(|name| name.text_lossy().into_owned()).unwrap_or_default();
        if *service == *self.resource.service && !self.services.is_empty() {
            return;
        }
        let service = Vocabulary::cut(&service);
        let next = self.services.len() as u32;
        let id = *self.service_ids.entry(service.clone()).or_insert(next);
        if id == next {
            self.services.push(service.clone());
            self.last_heard.push(Timestamp(0));
        }
        self.resource = Sender { service, id };
    }

    fn heard(&mut self, at: Timestamp) {
        self.cases.until = self.cases.until.max(at);
        if let Some(last) = self.last_heard.get_mut(self.resource.id as usize) {
            *last = (*last).max(at);
        }
    }

    fn is_full(&mut self) -> bool {
        let full = self.spans.len() + self.logs.len() >= MAX_EVENTS;
        self.cases.left_out.events += u64::from(full);
        full
    }

    /// `explains`: its values may explain what becomes of the case.
    fn attributes(&mut self, (place, activity): (u32, ActivityId), attributes: &[Attribute<'_>], explains: bool) {
        let mut traits = 0;
        for attribute in attributes {
            if self.traits.len() + self.names.len() + self.texts.len() >= MAX_NOTES {
                self.cases.left_out.attributes += 1;
                continue;
            }
            let Ok(name) = std::str::from_utf8(attribute.key) else { continue };
            let text = attribute.value.text_lossy();
            if text.is_empty() {
                continue;
            }
            if self.keys.iter().any(|key| **key == *name) {
                self.texts.push((place, Vocabulary::cut(&text)));
            }
            if may_name(name) {
                if let Some(id) = self.name_id(name) {
                    let hash = rapidhash::v3::rapidhash_v3(text.as_bytes());
                    self.names.push((place, Named { activity, attribute: id, hash }));
                }
                continue;
            }
            if explains
                && traits < MAX_TRAITS
                && may_explain(name)
                && let Some((attribute, value)) = self.cases.vocabulary.attribute(name, &text)
            {
                traits += 1;
                self.traits.push((place, Trait { activity, attribute, value }));
            }
        }
    }

    fn name_id(&mut self, name: &str) -> Option<u16> {
        if let Some(id) = self.name_ids.get(name) {
            return Some(*id);
        }
        if self.cases.names.len() >= MAX_KEY_NAMES {
            return None;
        }
        let id = self.cases.names.len() as u16;
        self.cases.names.push(name.into());
        self.name_ids.insert(name.into(), id);
        Some(id)
    }

    /// All cases by the time they began.
    pub fn finish(mut self) -> Cases {
        let by_span: HashMap<(u128, u64), u32, FixedState> =
            self.spans.iter().enumerate().map(|(index, seen)| ((seen.trace, seen.span), index as u32)).collect();
        let parents: Vec<u32> = self
            .spans
            .iter()
            .map(|seen| if seen.parent == 0 { NONE } else { *by_span.get(&(seen.trace, seen.parent)).unwrap_or(&NONE) })
            .collect();
        self.note_ways(&parents, &by_span);
        let mut segments = Segments::new(&self, &parents, &by_span);
        let homes = segments.homes();
        self.cases.left_out.links += segments.left_out;
        let mut built = Built { cases: Vec::new(), by_home: HashMap::default() };
        for (index, seen) in self.spans.iter().enumerate() {
            let rooted = seen.parent == 0 && !seen.linked;
            built.add(&homes, segments.of_span[index], seen.event, rooted);
        }
        let mut log_segments = Vec::with_capacity(self.logs.len());
        for seen in &self.logs {
            let known = by_span.get(&(seen.trace, seen.span)).map(|index| segments.of_span[*index as usize]);
            let segment = known.unwrap_or_else(|| segments.home_of(seen.trace));
            log_segments.push(segment);
            // Where a trace has no span at all, its first log record is its beginning.
            built.add(&homes, segment, seen.event, segments.is_spanless(segment));
        }
        let segment_of = |place: u32| match place & (1 << 31) {
            0 => segments.of_span[place as usize],
            _ => log_segments[(place & !(1 << 31)) as usize],
        };
        for (place, one) in &self.traits {
            built.each(&homes, segment_of(*place), |case| {
                if case.traits.len() < MAX_TRAITS {
                    case.traits.push(*one);
                }
            });
        }
        for (place, one) in &self.names {
            built.each(&homes, segment_of(*place), |case| {
                if case.names.len() < MAX_NAMES {
                    case.names.push(*one);
                }
            });
        }
        for (place, text) in &self.texts {
            built.each(&homes, segment_of(*place), |case| {
                if case.key.is_empty() {
                    case.key = text.clone();
                }
            });
        }
        built.join(&self.roots);
        let traces = segments.traces;
        let mut cases = self.cases;
        for (home, index) in &built.by_home {
            let case = &mut built.cases[*index as usize];
            if case.key.is_empty() {
                let trace = traces.get(*home as usize).copied().unwrap_or_default();
                case.key = format!("{trace:032x}").into();
            }
        }
        built.cases.retain(|case| !case.events.is_empty());
        let before = built.cases.len();
        built.cases.retain(|case| case.events.len() <= MAX_CASE_EVENTS);
        cases.left_out.long_cases = (before - built.cases.len()) as u64;
        for case in &mut built.cases {
            case.events.sort_by_key(|event| (event.at, event.end, event.activity));
        }
        built.cases.sort_by(|a, b| (a.entered_at(), &a.key).cmp(&(b.entered_at(), &b.key)));
        cases.cases = built.cases;
        cases.heard = self.services.into_iter().zip(self.last_heard).collect();
        cases
    }

    /// Which activity leads to which.
    fn note_ways(&mut self, parents: &[u32], by_span: &HashMap<(u128, u64), u32, FixedState>) {
        let vocabulary = &mut self.cases.vocabulary;
        for (seen, parent) in self.spans.iter().zip(parents) {
            if let Some(parent) = self.spans.get(*parent as usize) {
                vocabulary.leads(parent.event.activity, seen.event.activity);
            }
        }
        for (index, trace, span) in &self.links {
            let sender = by_span.get(&(*trace, *span)).and_then(|sender| self.spans.get(*sender as usize));
            if let (Some(sender), Some(seen)) = (sender, self.spans.get(*index as usize)) {
                vocabulary.leads(sender.event.activity, seen.event.activity);
            }
        }
        for seen in &self.logs {
            let around = by_span.get(&(seen.trace, seen.span)).and_then(|around| self.spans.get(*around as usize));
            if let Some(around) = around {
                vocabulary.leads(around.event.activity, seen.event.activity);
            }
        }
    }
}

impl<'a> TraceSink<'a> for Traces {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.enter(resource);
    }

    fn span(&mut self, span: &Span<'a, '_>) {
        if self.is_full() {
            return;
        }
        let (at, end) = (Timestamp(span.start), Timestamp(span.end.max(span.start)));
        self.heard(end);
        let name = mask_path(&String::from_utf8_lossy(span.name));
        let service = self.resource.service.clone();
        let kind = kind(span.kind);
        let activity = Activity::Span { service, kind, name: Vocabulary::cut(&name) };
        let activity = self.cases.vocabulary.activity(activity);
        let operation = span.get(b"messaging.operation.type").or_else(|| span.get(b"messaging.operation"));
        if operation.is_some_and(|operation| matches!(&*operation.text(), b"receive" | b"settle")) {
            self.cases.vocabulary.plumbing.insert(activity);
        }
        let index = self.spans.len() as u32;
        let head = kind == SpanKind::Consumer || span.parent_span_id == 0;
        let elsewhere = span.links.iter().filter(|link| link.trace_id != span.trace_id);
        let mut linked = false;
        for link in elsewhere.filter(|_| head).take(MAX_LINKS) {
            linked = true;
            self.links.push((index, link.trace_id, link.span_id));
        }
        self.cases.left_out.links += span.links.len().saturating_sub(MAX_LINKS) as u64;
        let event = Event { at, end, activity, failed: span.status == Status::Error };
        let (trace, parent) = (span.trace_id, span.parent_span_id);
        self.spans.push(SpanSeen { trace, span: span.span_id, parent, event, linked });
        // Calls tell of machinery; what kind of case it is stands where work is taken on.
        let explains = span.parent_span_id == 0 || !matches!(kind, SpanKind::Client | SpanKind::Internal);
        self.attributes((index, activity), span.attributes, explains);
    }
}

impl<'a> LogSink<'a> for Traces {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.enter(resource);
    }

    fn log(&mut self, record: &LogRecord<'a, '_>) {
        let at = Timestamp(if record.time > 0 { record.time } else { record.observed_time });
        self.heard(at);
        if record.trace_id == 0 {
            self.cases.left_out.unbound_logs += 1;
            return;
        }
        if self.is_full() {
            return;
        }
        let service = self.resource.service.clone();
        // Before log records had an event name of their own, it was an attribute.
        let named = if record.event_name.is_empty() { record.get(b"event.name") } else { None };
        let name = named.map_or_else(
            || String::from_utf8_lossy(record.event_name).into_owned(),
            |name| name.text_lossy().into_owned(),
        );
        let activity = if name.is_empty() {
            let template = self.cases.vocabulary.templates.add(&service, &record.body.text_lossy());
            Activity::Line { service, template }
        } else {
            Activity::Event { service, name: Vocabulary::cut(&name) }
        };
        let activity = self.cases.vocabulary.activity(activity);
        let place = log_place(self.logs.len());
        let event = Event { at, end: at, activity, failed: record.severity >= ERROR };
        self.logs.push(LogSeen { trace: record.trace_id, span: record.span_id, event });
        self.attributes((place, activity), record.attributes, true);
    }
}

impl<'a> MetricSink<'a> for Traces {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.enter(resource);
    }

    fn point(&mut self, point: &DataPoint<'a, '_>) {
        self.heard(Timestamp(point.time));
    }
}

struct Built {
    cases: Vec<Case>,
    by_home: HashMap<u32, u32, FixedState>,
}

impl Built {
    fn add(&mut self, homes: &[Vec<u32>], segment: u32, event: Event, rooted: bool) {
        let Some(ends) = homes.get(segment as usize) else { return };
        for home in ends {
            let next = self.cases.len() as u32;
            let index = *self.by_home.entry(*home).or_insert(next);
            if index == next {
                self.cases.push(Case::default());
            }
            let case = &mut self.cases[index as usize];
            if rooted && segment == *home && case.root.is_none_or(|(at, _)| event.at < at) {
                case.root = Some((event.at, event.activity));
            }
            // One more than is taken, so that it shows that there were too many.
            if case.events.len() <= MAX_CASE_EVENTS {
                case.events.push(event);
            }
        }
    }

    /// Adds cases that begin as none does to the one whose key they carry, so that a context which was not handed on
    /// loses nothing that its key finds.
    fn join(&mut self, roots: &Roots) {
        let is_whole = |case: &Case| case.root.is_some_and(|(_, root)| roots.whole.contains(&root));
        let is_part = |case: &Case| case.root.is_none_or(|(_, root)| roots.parts.contains(&root));
        let mut whole: HashMap<Box<str>, usize, FixedState> = HashMap::default();
        for (index, case) in self.cases.iter().enumerate().filter(|(_, case)| !case.key.is_empty() && is_whole(case)) {
            whole.entry(case.key.clone()).or_insert(index);
        }
        for index in 0..self.cases.len() {
            let part = &self.cases[index];
            if part.key.is_empty() || !is_part(part) {
                continue;
            }
            let Some(to) = whole.get(&part.key).copied() else { continue };
            let part = std::mem::take(&mut self.cases[index]);
            let case = &mut self.cases[to];
            let room = (MAX_CASE_EVENTS + 1).saturating_sub(case.events.len());
            case.events.extend(part.events.into_iter().take(room));
            case.traits.extend(part.traits.into_iter().take(MAX_TRAITS));
        }
    }

    fn each(&mut self, homes: &[Vec<u32>], segment: u32, mut change: impl FnMut(&mut Case)) {
        for home in homes.get(segment as usize).into_iter().flatten() {
            if let Some(index) = self.by_home.get(home) {
                change(&mut self.cases[*index as usize]);
            }
        }
    }
}

/// Attributes that may be a key, by their name; whether one is, its values decide.
fn may_name(name: &str) -> bool {
    let last = name.rsplit(['.', '_']).next().unwrap_or(name);
    let is_id = matches!(last, "id" | "key" | "number" | "uuid" | "guid" | "ref" | "reference")
        || last.ends_with("Id")
        || last.ends_with("ID")
        || last.ends_with("Number");
    is_id && !technical(name)
}

fn technical(name: &str) -> bool {
    const OF_THE_MACHINE: [&str; 20] = [
        "messaging.",
        "thread",
        "process.",
        "net.",
        "network.",
        "server.",
        "client.",
        "otel.",
        "telemetry.",
        "span",
        "trace",
        "host.",
        "container.",
        "k8s.",
        "cloud.",
        "db.",
        "rpc.",
        "code.",
        "cache.",
        "session.",
    ];
    OF_THE_MACHINE.iter().any(|start| name.starts_with(start))
}

/// What an instance, an address or a place in the code is called explains no exception.
fn may_explain(name: &str) -> bool {
    const NEVER: [&str; 13] = [
        "thread.",
        "net.",
        "network.",
        "client.",
        "otel.",
        "telemetry.",
        "code.",
        "host.",
        "process.",
        "url.full",
        "http.url",
        "exception.",
        "db.statement",
    ];
    !NEVER.iter().any(|start| name.starts_with(start))
}
