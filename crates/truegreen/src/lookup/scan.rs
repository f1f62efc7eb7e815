//! One accepted request searched for the records that a look-up wants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use truegreen_model::observation::Evidence;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{
    Attribute, Limits, Link, LogRecord, LogSink, Resource, Span, SpanKind, Status, TraceSink, Value, scan_logs,
    scan_traces,
};
use truegreen_store::{Entry, Kind};

use super::shown::{MAX_MESSAGE_BYTES, MAX_NAME_BYTES, Shown, text, value};
use super::terms::{MAX_TEXT_BYTES, MESSAGE_IDS, Names};

/// Most spans, and most log records, that one look-up collects; more are counted.
pub(crate) const MAX_COLLECTED: usize = 5_000;
/// Most keys read off the traces of one look-up.
const MAX_KEYS: usize = 8;
const MAX_EVENTS: usize = 16;
const MAX_LINKS: usize = 32;

/// Which records are wanted.
#[derive(Clone, Default, Debug)]
pub(crate) struct Wanted {
    /// Values of key names or message ids.
    pub(crate) texts: Vec<Vec<u8>>,
    /// Traces that belong to what was asked for, in order.
    pub(crate) traces: Vec<u128>,
    /// Traces that these link to, or that link to these, in order.
    pub(crate) linked: Vec<u128>,
    /// Records that showed the journeys' steps.
    pub(crate) evidence: BTreeSet<Evidence>,
}

/// How attributes are read: the same for every look-up.
#[derive(Clone, Debug)]
pub(crate) struct Lens {
    /// Under these names a text counts.
    pub(crate) names: Names,
    /// The key names of each flow.
    pub(crate) keys: Vec<(String, Names)>,
    pub(crate) shown: Shown,
}

/// What was caught.
#[derive(Default, Debug)]
pub(crate) struct Catch {
    pub(crate) spans: BTreeMap<Evidence, FoundSpan>,
    pub(crate) logs: BTreeMap<Evidence, FoundLog>,
    /// Traces of records that carry a wanted text or showed a step.
    pub(crate) traces: BTreeSet<u128>,
    /// Traces one link away.
    pub(crate) linked: BTreeSet<u128>,
    /// Flow and key, as records of the wanted traces carry them.
    pub(crate) keys: BTreeSet<(String, String)>,
    /// The same of records one link away.
    pub(crate) linked_keys: BTreeSet<(String, String)>,
    pub(crate) named_as_key: bool,
    pub(crate) named_as_message: bool,
    /// Wanted records past the bound.
    pub(crate) surplus: BTreeSet<Evidence>,
}

/// Who sent a record.
#[derive(Default, Debug)]
pub(crate) struct Sender {
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) host: Option<String>,
}

/// A span, with what is shown of it.
#[derive(Clone, Debug)]
pub(crate) struct FoundSpan {
    pub(crate) evidence: Evidence,
    pub(crate) received_at: Timestamp,
    pub(crate) sender: Arc<Sender>,
    pub(crate) trace: u128,
    pub(crate) id: u64,
    pub(crate) parent: u64,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// What it claimed cannot be.
    pub(crate) time_replaced: bool,
    pub(crate) status: Status,
    pub(crate) status_message: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) links: Vec<Link>,
    pub(crate) events: Vec<FoundEvent>,
}

/// Something that happened during a span.
#[derive(Clone, Debug)]
pub(crate) struct FoundEvent {
    pub(crate) at: u64,
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// A log record or a CloudEvent, with what is shown of it.
#[derive(Clone, Debug)]
pub(crate) struct FoundLog {
    pub(crate) evidence: Evidence,
    pub(crate) received_at: Timestamp,
    pub(crate) sender: Arc<Sender>,
    pub(crate) trace: u128,
    pub(crate) span: u64,
    pub(crate) at: u64,
    pub(crate) severity: i32,
    pub(crate) severity_text: String,
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) is_cloud_event: bool,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// Searches one entry of the log.
pub(crate) fn search(entry: &Entry, wanted: &Wanted, lens: &Lens, catch: &mut Catch) {
    let mut scanner =
        Scanner { entry, wanted, lens, catch, resource: Vec::new(), resource_mentions: false, sender: None };
    // What was checked before it was accepted can be read; of damage the log itself would tell.
    match entry.kind {
        Kind::Traces => drop(scan_traces(&entry.body, &Limits::default(), &mut scanner)),
        Kind::Logs => drop(scan_logs(&entry.body, &Limits::default(), &mut scanner)),
        _ => {}
    }
}

struct Scanner<'a, 'w> {
    entry: &'a Entry,
    wanted: &'w Wanted,
    lens: &'w Lens,
    catch: &'w mut Catch,
    /// Attributes of the sender of the records at hand.
    resource: Vec<Attribute<'a>>,
    resource_mentions: bool,
    /// Made for the first record of the sender that is wanted.
    sender: Option<Arc<Sender>>,
}

impl<'a> Scanner<'a, '_> {
    fn begin(&mut self, resource: &Resource<'a, '_>) {
        self.resource.clear();
        self.resource.extend_from_slice(resource.attributes);
        self.sender = None;
        self.resource_mentions = self.mentions(resource.attributes);
    }

    /// Whether one of these carries a wanted text, and by what kind of name.
    fn mentions(&mut self, attributes: &[Attribute<'_>]) -> bool {
        let mut any = false;
        for attribute in attributes {
            let is_wanted = |text: &[u8]| self.wanted.texts.iter().any(|wanted| wanted == text);
            let equal = match attribute.value {
                Value::Text(text) => is_wanted(text),
                other if self.lens.names.contain(attribute.key) => is_wanted(&other.text()),
                _ => false,
            };
            if equal && self.lens.names.contain(attribute.key) {
                let by_message = MESSAGE_IDS.iter().any(|id| id.as_bytes() == attribute.key);
                self.catch.named_as_message |= by_message;
                self.catch.named_as_key |= !by_message;
                any = true;
            }
        }
        any
    }

    /// Whether a record is wanted; notes where else to look because of it.
    fn wants(&mut self, trace: u128, offset: u32, attributes: &[Attribute<'_>], links: &[Link]) -> bool {
        let evidence = Evidence { sequence: self.entry.sequence, offset };
        let searched = !self.wanted.texts.is_empty();
        let is_named = self.resource_mentions || (searched && self.mentions(attributes));
        let is_evidence = self.wanted.evidence.contains(&evidence);
        let is_asked = self.wanted.traces.binary_search(&trace).is_ok();
        if trace != 0 && !is_asked && (is_named || is_evidence) {
            self.catch.traces.insert(trace);
        }
        if is_asked {
            self.catch.linked.extend(links.iter().take(MAX_LINKS).map(|link| link.trace_id));
        } else if links.iter().any(|link| self.wanted.traces.binary_search(&link.trace_id).is_ok()) {
            self.catch.linked.insert(trace);
        }
        let is_linked = self.wanted.linked.binary_search(&trace).is_ok();
        if is_asked || is_named || is_linked {
            self.read_keys(attributes, is_asked || is_named);
        }
        let wanted = is_named || is_evidence || is_asked || is_linked;
        let known = self.catch.spans.contains_key(&evidence) || self.catch.logs.contains_key(&evidence);
        if wanted && !known && !is_evidence {
            let collected = match self.entry.kind {
                Kind::Traces => self.catch.spans.len(),
                _ => self.catch.logs.len(),
            };
            if collected >= MAX_COLLECTED {
                // Counted once, however often it is met.
                if self.catch.surplus.len() < 100 * MAX_COLLECTED {
                    self.catch.surplus.insert(evidence);
                }
                return false;
            }
        }
        wanted && !known
    }

    fn read_keys(&mut self, attributes: &[Attribute<'_>], is_own: bool) {
        let keys = if is_own { &mut self.catch.keys } else { &mut self.catch.linked_keys };
        for attribute in attributes.iter().chain(&self.resource) {
            if !self.lens.names.contain(attribute.key) || keys.len() >= MAX_KEYS {
                continue;
            }
            for (flow, names) in &self.lens.keys {
                let text = attribute.value.text();
                if names.contain(attribute.key) && (1..=MAX_TEXT_BYTES).contains(&text.len()) {
                    keys.insert((flow.clone(), String::from_utf8_lossy(&text).into_owned()));
                }
            }
        }
    }

    fn sender(&mut self) -> Arc<Sender> {
        let resource = &self.resource;
        let find = |names: &[&str]| {
            let one = |name: &&str| resource.iter().rev().find(|attribute| attribute.key == name.as_bytes());
            names.iter().find_map(one).map(|attribute| value(attribute.value, MAX_NAME_BYTES))
        };
        let make = || {
            Arc::new(Sender {
                service: find(&["service.name"]).unwrap_or_else(|| "unknown_service".to_owned()),
                instance: find(&["service.instance.id", "k8s.pod.name", "container.id", "host.name"])
                    .unwrap_or_default(),
                host: find(&["host.name", "k8s.node.name", "k8s.pod.name"]),
            })
        };
        Arc::clone(self.sender.get_or_insert_with(make))
    }
}

impl<'a> TraceSink<'a> for Scanner<'a, '_> {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.begin(resource);
    }

    fn span(&mut self, span: &Span<'a, '_>) {
        if !self.wants(span.trace_id, span.offset, span.attributes, span.links) {
            return;
        }
        let shown = &self.lens.shown;
        let events = span.events().take(MAX_EVENTS).map(|event| FoundEvent {
            at: event.time,
            name: text(event.name, MAX_NAME_BYTES),
            attributes: shown.pick(event.attributes()),
        });
        let evidence = Evidence { sequence: self.entry.sequence, offset: span.offset };
        let found = FoundSpan {
            evidence,
            received_at: self.entry.received_at,
            trace: span.trace_id,
            id: span.span_id,
            parent: span.parent_span_id,
            name: text(span.name, MAX_NAME_BYTES),
            kind: span.kind,
            start: span.start,
            end: span.end,
            time_replaced: false,
            status: span.status,
            status_message: text(span.status_message, MAX_MESSAGE_BYTES),
            attributes: shown.pick(span.attributes.iter().copied()),
            links: span.links.iter().take(MAX_LINKS).copied().collect(),
            events: events.collect(),
            sender: self.sender(),
        };
        self.catch.spans.insert(evidence, found);
    }
}

impl<'a> LogSink<'a> for Scanner<'a, '_> {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.begin(resource);
    }

    fn log(&mut self, log: &LogRecord<'a, '_>) {
        if !self.wants(log.trace_id, log.offset, log.attributes, &[]) {
            return;
        }
        // Before log records had an event name of their own, it was an attribute; CloudEvents have a type.
        let named = |names: &[&str]| names.iter().find_map(|name| log.get(name.as_bytes()));
        let is_cloud_event = log.get(b"cloudevents.event_id").is_some();
        let name = match log.event_name {
            [] => named(&["event.name", "cloudevents.event_type"]).map_or(String::new(), |v| value(v, MAX_NAME_BYTES)),
            name => text(name, MAX_NAME_BYTES),
        };
        let evidence = Evidence { sequence: self.entry.sequence, offset: log.offset };
        let found = FoundLog {
            evidence,
            received_at: self.entry.received_at,
            trace: log.trace_id,
            span: log.span_id,
            at: if log.time != 0 { log.time } else { log.observed_time },
            severity: log.severity,
            severity_text: text(log.severity_text, MAX_NAME_BYTES),
            name,
            text: value(log.body, MAX_MESSAGE_BYTES),
            is_cloud_event,
            attributes: self.lens.shown.pick(log.attributes.iter().copied()),
            sender: self.sender(),
        };
        self.catch.logs.insert(evidence, found);
    }
}
