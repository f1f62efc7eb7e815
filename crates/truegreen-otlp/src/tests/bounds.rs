//! Every bound, one test each, and malformed bytes by hand.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::agree;
use super::plain::Plain;
use crate::wire::out::{put_bytes, put_varint};
use crate::{
    ErrorKind, Limits, LogRecord as Log, LogSink, Refusal, Resource as Sent, Signal, Tally, Value, check, scan_logs,
};

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) }
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn nested(depth: usize) -> AnyValue {
    (0..depth).fold(text("deep"), |inner, level| {
        let value = match level % 2 {
            0 => any_value::Value::ArrayValue(ArrayValue { values: vec![inner] }),
            _ => any_value::Value::KvlistValue(KeyValueList { values: vec![pair("k", inner)] }),
        };
        AnyValue { value: Some(value) }
    })
}

fn span() -> Span {
    Span { trace_id: vec![1; 16], span_id: vec![2; 8], ..Span::default() }
}

fn traces(resource: Vec<KeyValue>, spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource = Some(Resource { attributes: resource, ..Resource::default() });
    let group = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![group] }.encode_to_vec()
}

fn tally(body: &[u8], limits: Limits) -> Tally {
    check(Signal::Traces, body, &limits).unwrap()
}

/// Guarantee: of two spans the one within the bound is taken, the one beyond it refused alone.
fn refuses(within: Span, beyond: Span, limits: Limits, why: Refusal) {
    let tally = tally(&traces(vec![], vec![within, beyond]), limits);
    assert_eq!((tally.accepted, tally.refusals().collect::<Vec<_>>()), (1, vec![(why, 1)]));
}

#[test]
fn attributes_of_a_record() {
    let limits = Limits { max_attributes: 2, ..Limits::default() };
    let with = |count| Span { attributes: vec![pair("k", text("v")); count], ..span() };
    refuses(with(2), with(3), limits, Refusal::TooManyAttributes);
}

#[test]
fn attributes_of_a_resource_refuse_its_records() {
    let limits = Limits { max_attributes: 2, ..Limits::default() };
    let body = traces(vec![pair("k", text("v")); 3], vec![span(), span()]);
    assert_eq!(tally(&body, limits).refusals().collect::<Vec<_>>(), [(Refusal::TooManyAttributes, 2)]);
}

#[test]
fn depth_of_values_wherever_they_stand() {
    let limits = Limits { max_depth: 3, ..Limits::default() };
    let attribute = |depth| vec![pair("k", nested(depth))];
    let own = |depth| Span { attributes: attribute(depth), ..span() };
    refuses(own(3), own(4), limits, Refusal::TooDeep);
    let event = |depth| Span { events: vec![Event { attributes: attribute(depth), ..Event::default() }], ..span() };
    refuses(event(3), event(4), limits, Refusal::TooDeep);
    let link = |depth| Span { links: vec![Link { attributes: attribute(depth), ..Link::default() }], ..span() };
    refuses(link(3), link(4), limits, Refusal::TooDeep);
    let body = traces(attribute(4), vec![span()]);
    assert_eq!(tally(&body, limits).refusals().collect::<Vec<_>>(), [(Refusal::TooDeep, 1)]);
}

#[test]
fn links_of_a_span() {
    let limits = Limits { max_links: 2, ..Limits::default() };
    let link = Link { trace_id: vec![1; 16], span_id: vec![3; 8], ..Link::default() };
    let with = |count| Span { links: vec![link.clone(); count], ..span() };
    refuses(with(2), with(3), limits, Refusal::TooManyLinks);
}

/// The story: an SDK links to the context of a message that had none; the span is still the evidence of the step.
#[test]
fn a_link_to_nowhere_is_left_out_and_counted() {
    let tally = tally(&traces(vec![], vec![Span { links: vec![Link::default()], ..span() }]), Limits::default());
    assert_eq!((tally.accepted, tally.ignored_links), (1, 1));
}

#[test]
fn records_of_a_request() {
    let limits = Limits { max_records: 2, ..Limits::default() };
    let tally = tally(&traces(vec![], vec![span(); 5]), limits);
    assert_eq!((tally.accepted, tally.refusals().collect::<Vec<_>>()), (2, vec![(Refusal::TooManyRecords, 3)]));
}

#[test]
fn ids_of_a_span() {
    let limits = Limits::default();
    for id in [vec![], vec![0; 16], vec![1; 15], vec![1; 32]] {
        refuses(span(), Span { trace_id: id, ..span() }, limits, Refusal::BadTraceId);
    }
    for id in [vec![], vec![0; 8], vec![1; 7], vec![1; 16]] {
        refuses(span(), Span { span_id: id, ..span() }, limits, Refusal::BadSpanId);
    }
    refuses(
        Span { parent_span_id: vec![0; 8], ..span() },
        Span { parent_span_id: vec![1; 16], ..span() },
        limits,
        Refusal::BadParentSpanId,
    );
}

#[test]
fn messages_nested_beyond_any_decoder_are_malformed() {
    let body = |depth| traces(vec![], vec![Span { attributes: vec![pair("k", nested(depth))], ..span() }]);
    // Arrays cost two levels of messages, maps three; the attribute's value is the fifth level.
    for depth in 30..50 {
        let body = body(depth);
        let ours = check(Signal::Traces, &body, &Limits::default()).map_err(|error| error.kind);
        match ExportTraceServiceRequest::decode(&body[..]) {
            Ok(_) => assert_eq!(ours.unwrap().refused_total(), 1),
            Err(_) => assert_eq!(ours, Err(ErrorKind::TooDeep)),
        }
    }
}

#[test]
fn groups_nested_beyond_any_decoder_are_malformed() {
    for depth in 1..200_u32 {
        let mut body = Vec::new();
        (0..depth).for_each(|_| put_varint(100 << 3 | 3, &mut body));
        (0..depth).for_each(|_| put_varint(100 << 3 | 4, &mut body));
        let ours = check(Signal::Traces, &body, &Limits::default());
        assert_eq!(ours.is_ok(), ExportTraceServiceRequest::decode(&body[..]).is_ok(), "depth {depth}");
    }
    // Deep enough to overflow a stack that recursed without a bound.
    let body = [0xa3, 0x06].repeat(1_000_000);
    assert_eq!(check(Signal::Traces, &body, &Limits::default()).unwrap_err().kind, ErrorKind::TooDeep);
}

#[test]
fn malformed_bytes_say_what_and_where() {
    let cases: [(&[u8], ErrorKind, usize); 10] = [
        (&[0x0a], ErrorKind::Truncated, 1),
        (&[0x0a, 5, 0], ErrorKind::Truncated, 2),
        (&[0x0a, 2, 0x12, 0x80], ErrorKind::Truncated, 3),
        (&[0x80; 11], ErrorKind::Varint, 0),
        (&[0x00, 0x00], ErrorKind::FieldNumber, 1),
        (&[0xff, 0xff, 0xff, 0xff, 0x7f], ErrorKind::FieldNumber, 0),
        (&[0xa6, 0x06], ErrorKind::WireType, 2),
        (&[0xa4, 0x06], ErrorKind::Group, 2),
        (&[0x08, 0x01], ErrorKind::WrongType { field: 1 }, 1),
        (b"{\"resourceSpans\":[]}", ErrorKind::LooksLikeJson, 2),
    ];
    for (body, kind, offset) in cases {
        assert!(ExportTraceServiceRequest::decode(body).is_err());
        let error = check(Signal::Traces, body, &Limits::default()).unwrap_err();
        assert_eq!(error.kind, kind, "{body:?}");
        if kind != ErrorKind::LooksLikeJson {
            assert_eq!(error.offset, offset, "{body:?}: {error}");
        }
    }
    let gzip = check(Signal::Logs, &[0x1f, 0x8b, 8, 0], &Limits::default()).unwrap_err();
    assert_eq!(gzip.kind, ErrorKind::LooksCompressed);
    assert!(gzip.to_string().contains("content-encoding"), "{gzip}");
}

/// The story: one text in Latin-1 must not cost its sender a whole request.
#[test]
fn texts_are_not_checked_as_utf8() {
    let mut body = traces(vec![], vec![Span { name: "caf?".to_owned(), ..span() }]);
    let at = body.iter().position(|byte| *byte == b'?').unwrap();
    body[at] = 0xe9;
    assert!(ExportTraceServiceRequest::decode(&body[..]).is_err());
    assert_eq!(tally(&body, Limits::default()).accepted, 1);
}

struct Bodies(Vec<Plain>);

impl LogSink<'_> for Bodies {
    fn resource(&mut self, _: &Sent<'_, '_>) {}

    fn log(&mut self, record: &Log<'_, '_>) {
        self.0.push(Plain::of(record.body));
    }
}

/// Scenario: the body of a log comes in two pieces, with another kind of value between. Guarantee: pieces of a list that
/// follow one another are one list; what stood before the other kind is void.
#[test]
fn a_list_in_pieces_is_one_list() {
    let list = |text: &[u8]| {
        let (mut element, mut array, mut value) = (vec![], vec![], vec![]);
        put_bytes(1, text, &mut element);
        put_bytes(1, &element, &mut array);
        put_bytes(5, &array, &mut value);
        value
    };
    let mut first = list(b"void");
    first.extend([0x18, 7]);
    first.extend(list(b"one"));
    let mut record = Vec::new();
    put_bytes(5, &first, &mut record);
    put_bytes(5, &list(b"two"), &mut record);
    let (mut scope, mut group, mut body) = (vec![], vec![], vec![]);
    put_bytes(2, &record, &mut scope);
    put_bytes(2, &scope, &mut group);
    put_bytes(1, &group, &mut body);

    let mut bodies = Bodies(Vec::new());
    scan_logs(&body, &Limits::default(), &mut bodies).unwrap();
    let texts = [&b"one"[..], b"two"].map(|text| Plain::Text(text.to_vec()));
    assert_eq!(bodies.0, [Plain::Array(texts.to_vec())]);
}

#[test]
fn a_log_of_a_broken_trace_is_a_log_without_a_trace() {
    let record = LogRecord { trace_id: vec![1; 3], span_id: vec![0; 8], ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let group = ResourceLogs { scope_logs, ..ResourceLogs::default() };
    let body = ExportLogsServiceRequest { resource_logs: vec![group] }.encode_to_vec();
    assert_eq!(check(Signal::Logs, &body, &Limits::default()).unwrap().accepted, 1);
}

#[test]
fn values_read_as_text() {
    let cases: [(Value<'_>, &str); 12] = [
        (Value::Empty, ""),
        (Value::Text(b"A-17"), "A-17"),
        (Value::Bool(true), "true"),
        (Value::Int(i64::MIN), "-9223372036854775808"),
        (Value::Double(42.0), "42"),
        (Value::Double(0.1), "0.1"),
        (Value::Double(-0.0), "-0"),
        (Value::Double(1e300), "1e300"),
        (Value::Double(5e-324), "5e-324"),
        (Value::Double(f64::NAN), "NaN"),
        (Value::Double(f64::NEG_INFINITY), "-Infinity"),
        (Value::Bytes(&[0, 255]), "AP8="),
    ];
    for (value, text) in cases {
        assert_eq!(value.text_lossy(), text);
    }
    let nested = nested(2).encode_to_vec();
    let value = crate::value::any(&nested, 0, &mut crate::value::Deepest::default()).unwrap();
    assert_eq!(value.text_lossy(), r#"{"k":["deep"]}"#);
    assert_eq!(Value::Text(&[0x63, 0xe9]).text_lossy(), "c\u{fffd}");
}

/// The walk writes one of these for every attribute it passes; a wider one showed in spans per second.
#[test]
fn an_attribute_is_six_words() {
    assert_eq!(size_of::<crate::Attribute<'_>>(), 48);
}

fn message(field: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(field, content, &mut out);
    out
}

/// The only record of a request, around these fields.
fn request(record: &[u8]) -> Vec<u8> {
    message(1, &message(2, &message(2, record)))
}

#[test]
fn the_tenth_byte_of_an_integer_holds_one_bit() {
    for last in [0, 1, 2, 0x7f, 0x80] {
        let mut body = vec![0x98, 0x06];
        body.extend([0xff; 9]);
        body.push(last);
        agree(Signal::Traces, &body);
        assert_eq!(check(Signal::Traces, &body, &Limits::default()).is_ok(), last < 2);
    }
}

#[test]
fn a_group_ends_with_its_own_number() {
    for (end, whole) in [(100, true), (101, false)] {
        let mut body = Vec::new();
        put_varint(100 << 3 | 3, &mut body);
        put_varint(end << 3 | 4, &mut body);
        agree(Signal::Logs, &body);
        assert_eq!(check(Signal::Logs, &body, &Limits::default()).is_ok(), whole);
    }
}

/// Scenario: a metric is sent as a sum, then as a gauge, then as a sum again. Guarantee: the last sum takes nothing over
/// from the first.
#[test]
fn a_metric_of_two_kinds_is_the_last() {
    let sum = message(7, &[message(1, &[]), vec![0x10, 2, 0x18, 1]].concat());
    let gauge = message(5, &message(1, &[]));
    let bare = message(7, &message(1, &[]));
    agree(Signal::Metrics, &request(&[sum.clone(), gauge.clone(), bare.clone()].concat()));
    agree(Signal::Metrics, &request(&[gauge, sum, bare].concat()));
}

#[test]
fn an_index_into_a_string_table_is_no_value() {
    let value = [message(1, b"text"), vec![0x40, 3]].concat();
    agree(Signal::Logs, &request(&message(5, &value)));
    agree(Signal::Logs, &request(&message(6, &[message(1, b"key"), message(2, &value)].concat())));
}
