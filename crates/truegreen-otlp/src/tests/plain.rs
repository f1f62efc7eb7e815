//! What a scan found, as owned data that can be compared.

use crate::{
    Attribute, DataPoint, Error, Limits, LogRecord, LogSink, MetricKind, MetricSink, Number, Refusal, Resource, Signal,
    Span, SpanKind, Status, Tally, Temporality, TraceSink, Value,
};

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Plain {
    Empty,
    Text(Vec<u8>),
    Bool(bool),
    Int(i64),
    /// The bits, so that NaN equals itself.
    Double(u64),
    Bytes(Vec<u8>),
    Array(Vec<Plain>),
    Map(Pairs),
}

pub(super) type Pairs = Vec<(Vec<u8>, Plain)>;

impl Plain {
    pub(super) fn of(value: Value<'_>) -> Plain {
        match value {
            Value::Empty => Plain::Empty,
            Value::Text(text) => Plain::Text(text.to_vec()),
            Value::Bool(flag) => Plain::Bool(flag),
            Value::Int(integer) => Plain::Int(integer),
            Value::Double(double) => Plain::Double(double.to_bits()),
            Value::Bytes(bytes) => Plain::Bytes(bytes.to_vec()),
            Value::Array(array) => Plain::Array(array.iter().map(Plain::of).collect()),
            Value::Map(map) => Plain::Map(map.iter().map(pair).collect()),
        }
    }
}

fn pair(attribute: Attribute<'_>) -> (Vec<u8>, Plain) {
    (attribute.key.to_vec(), Plain::of(attribute.value))
}

pub(super) fn pairs(attributes: &[Attribute<'_>]) -> Pairs {
    attributes.iter().copied().map(pair).collect()
}

/// Everything a sink is told, in order.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Told {
    Resource { attributes: Pairs },
    Refused(Refusal),
    Span(Box<PlainSpan>),
    Log(Box<PlainLog>),
    Point(Box<PlainPoint>),
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct PlainSpan {
    pub(super) ids: (u128, u64, u64),
    pub(super) texts: [Vec<u8>; 3],
    pub(super) kind: SpanKind,
    pub(super) status: Status,
    pub(super) times: (u64, u64),
    pub(super) flags: u32,
    pub(super) attributes: Pairs,
    pub(super) links: Vec<(u128, u64)>,
    pub(super) events: Vec<(u64, Vec<u8>, Pairs)>,
    pub(super) dropped: [u32; 3],
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct PlainLog {
    pub(super) times: (u64, u64),
    pub(super) severity: i32,
    pub(super) texts: [Vec<u8>; 2],
    pub(super) body: Plain,
    pub(super) ids: (u128, u64),
    pub(super) flags: u32,
    pub(super) attributes: Pairs,
    pub(super) dropped: u32,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct PlainPoint {
    pub(super) texts: [Vec<u8>; 2],
    pub(super) kind: MetricKind,
    pub(super) times: (u64, u64),
    pub(super) value: PlainNumber,
    pub(super) no_recorded_value: bool,
    pub(super) attributes: Pairs,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum PlainNumber {
    None,
    Int(i64),
    Double(u64),
    Distribution(u64, Option<u64>),
}

pub(super) fn temporality(number: i32) -> Temporality {
    match number {
        1 => Temporality::Delta,
        2 => Temporality::Cumulative,
        _ => Temporality::Unspecified,
    }
}

#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct Scanned {
    pub(super) told: Vec<Told>,
    pub(super) tally: Tally,
}

struct Listener<'b> {
    body: &'b [u8],
    told: Vec<Told>,
}

pub(super) fn scan(signal: Signal, body: &[u8], limits: &Limits) -> Result<Scanned, Error> {
    let mut listener = Listener { body, told: Vec::new() };
    let tally = match signal {
        Signal::Traces => crate::scan_traces(body, limits, &mut listener),
        Signal::Logs => crate::scan_logs(body, limits, &mut listener),
        Signal::Metrics => crate::scan_metrics(body, limits, &mut listener),
    }?;
    Ok(Scanned { told: listener.told, tally })
}

impl Listener<'_> {
    fn hear(&mut self, resource: &Resource<'_, '_>) {
        self.told.push(Told::Resource { attributes: pairs(resource.attributes) });
    }

    /// Evidence is a pointer into the body: it must lead back to the record.
    fn points_at(&self, offset: u32, bytes: &[u8]) {
        assert_eq!(&self.body[offset as usize..][..bytes.len()], bytes);
    }
}

impl TraceSink<'_> for Listener<'_> {
    fn resource(&mut self, resource: &Resource<'_, '_>) {
        self.hear(resource);
    }

    fn span(&mut self, span: &Span<'_, '_>) {
        self.points_at(span.offset, span.bytes);
        self.told.push(Told::Span(Box::new(PlainSpan {
            ids: (span.trace_id, span.span_id, span.parent_span_id),
            texts: [span.trace_state.to_vec(), span.name.to_vec(), span.status_message.to_vec()],
            kind: span.kind,
            status: span.status,
            times: (span.start, span.end),
            flags: span.flags,
            attributes: pairs(span.attributes),
            links: span.links.iter().map(|link| (link.trace_id, link.span_id)).collect(),
            events: span
                .events()
                .map(|event| (event.time, event.name.to_vec(), event.attributes().map(pair).collect()))
                .collect(),
            dropped: [span.dropped_attributes, span.dropped_events, span.dropped_links],
        })));
    }

    fn refused(&mut self, why: Refusal) {
        self.told.push(Told::Refused(why));
    }
}

impl LogSink<'_> for Listener<'_> {
    fn resource(&mut self, resource: &Resource<'_, '_>) {
        self.hear(resource);
    }

    fn log(&mut self, record: &LogRecord<'_, '_>) {
        self.points_at(record.offset, record.bytes);
        self.told.push(Told::Log(Box::new(PlainLog {
            times: (record.time, record.observed_time),
            severity: record.severity,
            texts: [record.severity_text.to_vec(), record.event_name.to_vec()],
            body: Plain::of(record.body),
            ids: (record.trace_id, record.span_id),
            flags: record.flags,
            attributes: pairs(record.attributes),
            dropped: record.dropped_attributes,
        })));
    }

    fn refused(&mut self, why: Refusal) {
        self.told.push(Told::Refused(why));
    }
}

impl MetricSink<'_> for Listener<'_> {
    fn resource(&mut self, resource: &Resource<'_, '_>) {
        self.hear(resource);
    }

    fn point(&mut self, point: &DataPoint<'_, '_>) {
        self.points_at(point.offset, point.bytes);
        self.told.push(Told::Point(Box::new(PlainPoint {
            texts: [point.metric.name.to_vec(), point.metric.unit.to_vec()],
            kind: point.metric.kind,
            times: (point.start, point.time),
            value: match point.value {
                Number::None => PlainNumber::None,
                Number::Int(integer) => PlainNumber::Int(integer),
                Number::Double(double) => PlainNumber::Double(double.to_bits()),
                Number::Distribution { count, sum } => PlainNumber::Distribution(count, sum.map(f64::to_bits)),
            },
            no_recorded_value: point.no_recorded_value,
            attributes: pairs(point.attributes),
        })));
    }

    fn refused(&mut self, why: Refusal) {
        self.told.push(Told::Refused(why));
    }
}
