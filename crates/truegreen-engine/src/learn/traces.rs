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
    Attribute, DataPoint, Limits, LogRecord, LogSink, MetricSink, Resource, Signal, Span, Status, TraceSink, scan_logs,
    scan_metrics, scan_traces,
};

use super::attributes::{may_explain, may_name};
use super::case::{Cases, Event, MAX_EVENTS, MAX_TRAITS, Named, Trait};
use super::model::Model;
use super::passages::Roots;
use super::segments::MAX_LINKS;
use super::template::mask_path;
use super::vocabulary::{Activity, ActivityId, Vocabulary};
use crate::intake::metrics;
use crate::intake::spans::kind;
use crate::matcher::key::{hash, mix};

/// Most values of attributes that are held at once, over all cases.
const MAX_NOTES: usize = 50_000_000;
/// Most names of attributes that may be keys.
const MAX_KEY_NAMES: usize = 1_000;
/// OTLP's lowest severity of errors.
const ERROR: i32 = 17;

/// Spans and log records on their way to cases.
#[derive(Debug, Default)]
pub struct Traces {
    pub(super) cases: Cases,
    /// Fewer than [`MAX_EVENTS`], where it is given.
    most: Option<usize>,
    /// The attribute whose text names a case, where it is known; else its trace id does.
    keys: Vec<Box<str>>,
    /// Where it is known.
    pub(super) roots: Roots,
    /// Activities whose parents are usually not seen.
    pub(super) usual_orphans: HashSet<ActivityId, FixedState>,
    resource: Sender,
    pub(super) spans: Vec<SpanSeen>,
    pub(super) logs: Vec<LogSeen>,
    pub(super) traits: Vec<(u32, Trait)>,
    pub(super) names: Vec<(u32, Named)>,
    name_ids: HashMap<Box<str>, u16, FixedState>,
    pub(super) texts: Vec<(u32, Box<str>)>,
    pub(super) links: Vec<(u32, u128, u64)>,
}

#[derive(Debug, Default, Clone)]
struct Sender {
    service: Box<str>,
    instance: Box<str>,
}

#[derive(Debug)]
pub(super) struct SpanSeen {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) parent: u64,
    pub(super) event: Event,
    pub(super) linked: bool,
}

#[derive(Debug)]
pub(super) struct LogSeen {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) event: Event,
}

/// Where an attribute was seen: log records are counted from the top.
fn log_place(index: usize) -> u32 {
    (1 << 31) | index as u32
}

impl Traces {
    /// Holds no more spans and log records than so many.
    pub fn bounded(most: usize) -> Traces {
        Traces { most: Some(most), ..Traces::default() }
    }

    /// Whether no more are taken.
    pub fn is_at_bound(&self) -> bool {
        self.cases.left_out.events > 0
    }

    /// Begins with the names and keys of a model. What carries the key of a case belongs to it, whatever its trace.
    pub fn of(model: &Model) -> Traces {
        let cases = Cases { vocabulary: model.vocabulary.clone(), ..Cases::default() };
        let whole: HashSet<ActivityId, FixedState> = model.flows.iter().filter_map(|flow| flow.root).collect();
        // What began a case in learning, or was never there, begins a case of its own; the rest has lost its beginning.
        let known = 0..model.vocabulary.activities();
        let parts = known.map(ActivityId).filter(|id| !model.roots.contains(id)).collect();
        let roots = Roots { whole, parts };
        let usual_orphans = model.orphans.clone();
        Traces { cases, keys: model.keys(), roots, usual_orphans, ..Traces::default() }
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
        let find = |name: &[u8]| resource.get(name).map(|value| value.text_lossy().into_owned());
        let service = Vocabulary::cut(&find(b"service.name").unwrap_or_default());
        let instance = [b"service.instance.id".as_slice(), b"k8s.pod.name", b"container.id", b"host.name"];
        let instance = instance.iter().find_map(|name| find(name)).unwrap_or_default();
        self.resource = Sender { service, instance: Vocabulary::cut(&instance) };
    }

    fn heard(&mut self, signal: Signal, at: Timestamp) {
        self.cases.until = self.cases.until.max(at);
        self.cases.heard.note((&self.resource.service, &self.resource.instance), signal, at);
    }

    fn is_full(&mut self) -> bool {
        let full = self.spans.len() + self.logs.len() >= self.most.unwrap_or(MAX_EVENTS).min(MAX_EVENTS);
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
        self.heard(Signal::Traces, end);
        self.cases.heard.traced(&self.resource.service, span.trace_id);
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
        self.heard(Signal::Logs, at);
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
        let at = Timestamp(point.time);
        self.heard(Signal::Metrics, at);
        if let (Some(_), Some(value)) = (metrics::dropped(point), metrics::number(point)) {
            let Sender { service, instance } = &self.resource;
            let series = mix(mix(metrics::series(point), hash(service.as_bytes())), hash(instance.as_bytes()));
            self.cases.heard.counted(service, (series, value), metrics::is_delta(point), at);
        }
    }
}
