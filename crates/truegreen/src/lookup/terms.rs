//! What an accepted request mentions, as 64-bit hashes that are the same on every machine and after every restart,
//! since they are stored.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use truegreen_model::flow::{Flow, Key};
use truegreen_otlp::{Attribute, Limits, LogRecord, LogSink, Resource, Span, TraceSink, Value, scan_logs, scan_traces};
use truegreen_store::Kind;

const TRACE: RapidSecrets = RapidSecrets::seed_cpp(0x7472_6163_655f_6964);
const TEXT: RapidSecrets = RapidSecrets::seed_cpp(0x6b65_795f_7465_7874);

/// Attributes whose value names a message or an event, whatever the contracts say.
pub const MESSAGE_IDS: [&str; 3] = ["messaging.message.id", "messaging.message_id", "cloudevents.event_id"];

/// Longer values are no terms: who carries one is found by its trace.
pub const MAX_TEXT_BYTES: usize = 512;

/// The term of a trace.
pub fn of_trace(id: u128) -> u64 {
    rapidhash_v3_seeded(&id.to_be_bytes(), &TRACE)
}

/// The term of a key, or of a message's id: whoever asks need not know which it is.
pub fn of_text(text: &[u8]) -> u64 {
    rapidhash_v3_seeded(text, &TEXT)
}

/// The attributes whose values are terms.
#[derive(Clone, Default, Debug)]
pub struct Names {
    names: Vec<Box<[u8]>>,
    /// By length: most attributes of most records are told apart by it.
    lengths: Vec<bool>,
}

impl Names {
    /// The keys of these flows, what is bound to them, and the ids of messages and events.
    pub fn of(flows: &[Flow]) -> Names {
        let mut all: Vec<&str> = MESSAGE_IDS.to_vec();
        all.extend(flows.iter().flat_map(key_names));
        Names::new(all.into_iter())
    }

    pub(crate) fn new<'n>(names: impl Iterator<Item = &'n str>) -> Names {
        let mut names: Vec<Box<[u8]>> = names.map(|name| name.as_bytes().into()).collect();
        names.sort_unstable();
        names.dedup();
        let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
        let lengths = (0..=longest).map(|length| names.iter().any(|name| name.len() == length)).collect();
        Names { names, lengths }
    }

    /// Whether this is one of them.
    #[inline]
    pub fn contain(&self, name: &[u8]) -> bool {
        self.lengths.get(name.len()) == Some(&true) && self.names.iter().any(|known| **known == *name)
    }
}

/// The names by which one flow's journeys are told apart; none where it is the trace.
pub(crate) fn key_names(flow: &Flow) -> impl Iterator<Item = &str> {
    let key: &[String] = match &flow.key {
        Key::TraceId => &[],
        Key::Attributes(names) => names,
    };
    key.iter().chain(flow.bind.iter().map(|bind| &bind.attribute)).map(String::as_str)
}

/// Reads the terms of one request after the other.
#[derive(Debug)]
pub struct Terms {
    names: Names,
    limits: Limits,
    found: Vec<u64>,
    /// The trace added last: spans of one trace mostly stand together.
    last_trace: u128,
    room: Vec<u8>,
}

impl Terms {
    /// For values under these names.
    pub fn new(names: Names) -> Terms {
        Terms { names, limits: Limits::default(), found: Vec::new(), last_trace: 0, room: Vec::new() }
    }

    /// The terms of an entry of the log, each once, in order. Nothing of a body that cannot be read to its end is lost
    /// but what stands behind the fault.
    pub fn of(&mut self, kind: Kind, body: &[u8]) -> &[u64] {
        self.found.clear();
        self.last_trace = 0;
        let limits = self.limits;
        // A body was checked before it was accepted; what a newer scan would refuse in it is simply not found.
        match kind {
            Kind::Traces => drop(scan_traces(body, &limits, self)),
            Kind::Logs => drop(scan_logs(body, &limits, self)),
            _ => {}
        }
        self.found.sort_unstable();
        self.found.dedup();
        &self.found
    }

    fn trace(&mut self, id: u128) {
        if id != 0 && id != self.last_trace {
            self.last_trace = id;
            self.found.push(of_trace(id));
        }
    }

    fn texts(&mut self, attributes: &[Attribute<'_>]) {
        for attribute in attributes {
            if !self.names.contain(attribute.key) {
                continue;
            }
            self.room.clear();
            let text = match attribute.value {
                Value::Text(text) => text,
                other => {
                    other.write_text(&mut self.room);
                    &self.room
                }
            };
            if (1..=MAX_TEXT_BYTES).contains(&text.len()) {
                self.found.push(of_text(text));
            }
        }
    }
}

impl<'a> TraceSink<'a> for Terms {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.texts(resource.attributes);
    }

    fn span(&mut self, span: &Span<'a, '_>) {
        self.trace(span.trace_id);
        // Also under the traces that it links to: a producer's trace leads to its consumers so.
        for link in span.links {
            self.trace(link.trace_id);
        }
        self.texts(span.attributes);
    }
}

impl<'a> LogSink<'a> for Terms {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.texts(resource.attributes);
    }

    fn log(&mut self, record: &LogRecord<'a, '_>) {
        self.trace(record.trace_id);
        self.texts(record.attributes);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Sent};
    use opentelemetry_proto::tonic::trace::v1::span::Link;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message;

    use super::*;

    fn attribute(key: &str, value: Sent) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
    }

    fn span(trace: u8, attributes: Vec<KeyValue>) -> Span {
        Span { trace_id: vec![trace; 16], span_id: vec![1; 8], attributes, ..Span::default() }
    }

    /// Guarantee: a request mentions its traces, those it links to, and the values of key names whatever their type;
    /// nothing twice, and nothing else.
    #[test]
    fn a_request_mentions_traces_keys_and_messages() {
        let linked = Link { trace_id: vec![3; 16], span_id: vec![3; 8], ..Link::default() };
        let first = span(1, vec![attribute("order.id", Sent::IntValue(17)), attribute("color", Sent::IntValue(18))]);
        let second = span(1, vec![attribute("messaging.message.id", Sent::StringValue("m-1".to_owned()))]);
        let third =
            Span { links: vec![linked], ..span(2, vec![attribute("order.id", Sent::StringValue("17".into()))]) };
        let scope_spans = vec![ScopeSpans { spans: vec![first, second, third], ..ScopeSpans::default() }];
        let group = ResourceSpans { scope_spans, ..ResourceSpans::default() };
        let body = ExportTraceServiceRequest { resource_spans: vec![group] }.encode_to_vec();

        let mut terms = Terms::new(Names::new(["order.id", "messaging.message.id"].into_iter()));
        let trace = |byte: u8| of_trace(u128::from_be_bytes([byte; 16]));
        let mut expected = vec![trace(1), trace(2), trace(3), of_text(b"17"), of_text(b"m-1")];
        expected.sort_unstable();
        assert_eq!(terms.of(Kind::Traces, &body), expected);
        assert!(terms.of(Kind::Metrics, &body).is_empty());
        assert!(terms.of(Kind::Logs, b"\xff").is_empty());
    }

    /// Terms are stored: a hash that changes would leave everything before it unfound.
    #[test]
    fn terms_never_change() {
        assert_eq!(of_text(b"ord-42"), TEXT_OF_ORD_42);
        assert_eq!(of_trace(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef), TRACE_OF_COUNTING);
    }

    const TEXT_OF_ORD_42: u64 = 12_681_406_207_119_900_698;
    const TRACE_OF_COUNTING: u64 = 13_875_285_813_720_326_820;
}
