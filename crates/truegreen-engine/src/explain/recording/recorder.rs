//! Bytes to records.

use std::collections::BTreeSet;

use truegreen_model::observation::Evidence;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{
    Attribute, Limits, LogRecord, LogSink, Refusal, Signal, TraceSink, Value, scan_logs, scan_traces,
};

use super::records::{Attributes, Link, Log, Resource, Severity, Span, SpanEvent};
use super::template::{self, Templates};
use super::texts::{Name, Texts};
use super::{Recording, assembly};
use crate::learn::template::mask_path;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Most of everything that a recording holds. What exceeds it is left out and counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Most spans.
    pub spans: usize,
    /// Most logs.
    pub logs: usize,
    /// Most attributes of all records together.
    pub attributes: usize,
    /// Most span events.
    pub events: usize,
    /// Most links.
    pub links: usize,
    /// Most bytes of different texts.
    pub text_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        // Two gigabytes, should all of them be reached at once.
        Bounds {
            spans: 3_000_000,
            logs: 4_000_000,
            attributes: 60_000_000,
            events: 4_000_000,
            links: 4_000_000,
            text_bytes: 512 << 20,
        }
    }
}

/// Takes telemetry, in any order.
#[derive(Debug)]
pub struct Recorder {
    bounds: Bounds,
    pub(super) recording: Recording,
    templates: Templates,
    /// Names of spans as sent to their operations.
    operations: HashMap<Name, Name, FixedState>,
    resources: HashMap<Vec<u8>, u32, FixedState>,
    resource: u32,
    part: u16,
    received_at: u64,
    sequence: Option<u64>,
    line: String,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder::new(Bounds::default())
    }
}

impl Recorder {
    /// An empty one within these bounds.
    pub fn new(bounds: Bounds) -> Recorder {
        // Places are kept as 32 bits.
        let most = |n: usize| n.min(u32::MAX as usize / 2);
        let bounds = Bounds {
            spans: most(bounds.spans),
            logs: most(bounds.logs),
            attributes: most(bounds.attributes),
            events: most(bounds.events),
            links: most(bounds.links),
            text_bytes: bounds.text_bytes,
        };
        let recording = Recording { texts: Texts::new(bounds.text_bytes), ..Recording::default() };
        Recorder {
            bounds,
            recording,
            templates: Templates::default(),
            operations: HashMap::default(),
            resources: HashMap::default(),
            resource: 0,
            part: 0,
            received_at: 0,
            sequence: None,
            line: String::new(),
        }
    }

    /// What is taken from here on belongs to another stretch, whose traces are apart from those of others even where
    /// their ids are the same. The first one is part 0.
    pub fn begin_part(&mut self) -> u16 {
        self.part = self.part.saturating_add(1);
        self.part
    }

    /// Takes a checked OTLP request (protobuf). Records that tell no time are of `received_at`. Metrics are passed over.
    pub fn take(&mut self, signal: Signal, body: &[u8], received_at: Timestamp) {
        self.sequence = None;
        self.read(signal, body, received_at);
    }

    /// The same, of a request in the log of accepted ones: its records point there.
    pub fn take_accepted(&mut self, signal: Signal, body: &[u8], received_at: Timestamp, sequence: u64) {
        self.sequence = Some(sequence);
        self.read(signal, body, received_at);
    }

    /// Traces that these link to, or that link to these, as far as was taken by now.
    pub fn linked(&self, traces: &BTreeSet<u128>) -> BTreeSet<u128> {
        let mut linked = BTreeSet::new();
        for span in &self.recording.spans {
            let others = self.recording.links(span).iter().map(|link| link.trace);
            match traces.contains(&span.trace) {
                true => linked.extend(others),
                false => linked.extend(others.filter(|other| traces.contains(other)).map(|_| span.trace)),
            }
        }
        linked.retain(|trace| !traces.contains(trace));
        linked
    }

    /// All of it put together by trace.
    pub fn finish(self) -> Recording {
        let Recorder { mut recording, templates, .. } = self;
        templates.settle(&mut recording);
        recording.left_out.texts = recording.texts.folded;
        recording.left_out.cut_texts = recording.texts.cut;
        assembly::assemble(&mut recording);
        recording
    }

    fn read(&mut self, signal: Signal, body: &[u8], received_at: Timestamp) {
        self.received_at = received_at.0;
        let limits = Limits::default();
        let done = match signal {
            Signal::Traces => scan_traces(body, &limits, self),
            Signal::Logs => scan_logs(body, &limits, self),
            Signal::Metrics => return,
        };
        self.recording.left_out.broken += u64::from(done.is_err());
    }

    fn sender(&mut self, resource: &truegreen_otlp::Resource<'_, '_>) {
        let key = resource.parts.concat();
        if let Some(known) = self.resources.get(&key) {
            self.resource = *known;
            return;
        }
        let get = |key: &str| resource.get(key.as_bytes()).map(|value| value.text()).filter(|text| !text.is_empty());
        let process = || Some([get("host.name")?, b"/"[..].into(), get("process.pid")?].concat().into());
        let instance = get("service.instance.id").or_else(|| get("k8s.pod.name")).or_else(process);
        let instance = instance.or_else(|| get("container.id")).or_else(|| get("host.name")).unwrap_or_default();
        let service = get("service.name").unwrap_or_else(|| b"unknown_service"[..].into());
        let host = get("host.name").or_else(|| get("k8s.node.name")).unwrap_or_default();
        let texts = &mut self.recording.texts;
        let (service, instance, host) = (texts.intern(&service), texts.intern(&instance), texts.intern(&host));
        let attributes = self.attributes(resource.attributes.iter().copied());
        self.resource = self.recording.resources.len() as u32;
        self.recording.resources.push(Resource { service, instance, host, attributes });
        self.resources.insert(key, self.resource);
    }

    fn attributes<'a>(&mut self, sent: impl Iterator<Item = Attribute<'a>>) -> Attributes {
        let Recording { attributes, texts, left_out, .. } = &mut self.recording;
        let start = attributes.len();
        for Attribute { key, value } in sent {
            if attributes.len() >= self.bounds.attributes {
                left_out.attributes += 1;
                continue;
            }
            let value = match value {
                Value::Text(text) => texts.intern(text),
                other => texts.intern(&other.text()),
            };
            attributes.push((texts.intern(key), value));
        }
        sorted(attributes, start);
        Attributes { start: start as u32, len: (attributes.len() - start) as u32 }
    }

    fn operation(&mut self, name: Name) -> Name {
        if let Some(known) = self.operations.get(&name) {
            return *known;
        }
        let masked = mask_path(self.recording.texts.text(name));
        let operation = self.recording.texts.add(&masked);
        self.operations.insert(name, operation);
        operation
    }

    fn events(&mut self, span: &truegreen_otlp::Span<'_, '_>) -> (u32, u32) {
        let start = self.recording.events.len();
        for event in span.events() {
            if self.recording.events.len() >= self.bounds.events {
                self.recording.left_out.events += 1;
                continue;
            }
            let name = self.recording.texts.intern(event.name);
            let attributes = self.attributes(event.attributes());
            self.recording.events.push(SpanEvent { time: event.time, name, attributes });
        }
        (start as u32, self.recording.events.len() as u32)
    }

    fn links(&mut self, span: &truegreen_otlp::Span<'_, '_>) -> (u32, u32) {
        let Recording { links, left_out, .. } = &mut self.recording;
        let start = links.len();
        let room = self.bounds.links.saturating_sub(start);
        left_out.links += span.links.len().saturating_sub(room) as u64;
        links.extend(span.links.iter().take(room).map(|link| Link { trace: link.trace_id, span: link.span_id }));
        (start as u32, links.len() as u32)
    }

    fn evidence(&self, offset: u32) -> Option<Evidence> {
        self.sequence.map(|sequence| Evidence { sequence, offset })
    }

    fn said_by(&self) -> (Name, Name) {
        let resource = self.recording.resources.get(self.resource as usize);
        resource.map_or((Name::EMPTY, Name::EMPTY), |resource| (resource.service, resource.instance))
    }
}

/// By key; of a key that was sent twice the last value stands.
fn sorted(attributes: &mut Vec<(Name, Name)>, start: usize) {
    let own = &mut attributes[start..];
    if own.is_sorted_by(|a, b| a.0 < b.0) {
        return;
    }
    own.sort_by_key(|(key, _)| *key);
    let mut kept = start;
    for at in start..attributes.len() {
        if kept > start && attributes[kept - 1].0 == attributes[at].0 {
            attributes[kept - 1] = attributes[at];
        } else {
            attributes[kept] = attributes[at];
            kept += 1;
        }
    }
    attributes.truncate(kept);
}

impl<'a> TraceSink<'a> for Recorder {
    fn resource(&mut self, resource: &truegreen_otlp::Resource<'a, '_>) {
        self.sender(resource);
    }

    fn span(&mut self, span: &truegreen_otlp::Span<'a, '_>) {
        if self.recording.spans.len() >= self.bounds.spans {
            self.recording.left_out.spans += 1;
            return;
        }
        let (service, instance) = self.said_by();
        let name = self.recording.texts.intern(span.name);
        let status_message = self.recording.texts.intern(span.status_message);
        let operation = self.operation(name);
        let attributes = self.attributes(span.attributes.iter().copied());
        let (events, links) = (self.events(span), self.links(span));
        let start = if span.start == 0 { self.received_at } else { span.start };
        self.recording.spans.push(Span {
            trace: span.trace_id,
            id: span.span_id,
            parent_id: span.parent_span_id,
            parent: None,
            depth: 0,
            below: 0,
            part: self.part,
            resource: self.resource,
            service,
            instance,
            name,
            operation,
            kind: span.kind,
            start,
            end: span.end.max(start),
            status: span.status,
            status_message,
            attributes,
            events,
            links,
            evidence: self.evidence(span.offset),
        });
    }

    fn refused(&mut self, _: Refusal) {
        self.recording.left_out.refused += 1;
    }
}

impl<'a> LogSink<'a> for Recorder {
    fn resource(&mut self, resource: &truegreen_otlp::Resource<'a, '_>) {
        self.sender(resource);
    }

    fn log(&mut self, log: &LogRecord<'a, '_>) {
        if self.recording.logs.len() >= self.bounds.logs {
            self.recording.left_out.logs += 1;
            return;
        }
        let (service, instance) = self.said_by();
        let event_name = self.recording.texts.intern(log.event_name);
        let template = match log.body {
            Value::Empty => Name::EMPTY,
            body => {
                template::mask(&body.text_lossy(), &mut self.line);
                self.recording.texts.add(&self.line)
            }
        };
        self.templates.saw(service, template);
        let attributes = self.attributes(log.attributes.iter().copied());
        let time = [log.time, log.observed_time].into_iter().find(|time| *time > 0).unwrap_or(self.received_at);
        self.recording.logs.push(Log {
            trace: log.trace_id,
            span_id: log.span_id,
            span: None,
            part: self.part,
            resource: self.resource,
            service,
            instance,
            time,
            severity: Severity::of(log.severity, log.severity_text),
            event_name,
            template,
            attributes,
            evidence: self.evidence(log.offset),
            order: self.recording.logs.len() as u32,
        });
    }

    fn refused(&mut self, _: Refusal) {
        self.recording.left_out.refused += 1;
    }
}
