//! Scenarios: what is taken comes back by trace, in order, with all of its attributes; hostile bodies are counted.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span};
use prost::Message;
use truegreen_model::time::Timestamp;
use truegreen_otlp::Signal;

use super::*;

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    pairs
        .iter()
        .map(|(key, value)| KeyValue { key: (*key).to_owned(), value: Some(text(value)), ..KeyValue::default() })
        .collect()
}

fn span(trace: u8, id: u8, parent: u8, start: u64, end: u64) -> Span {
    let id8 = |id: u8| if id == 0 { Vec::new() } else { vec![id; 8] };
    Span {
        trace_id: vec![trace; 16],
        span_id: id8(id),
        parent_span_id: id8(parent),
        name: format!("GET /users/{}", 4_700 + u64::from(id)),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        ..Span::default()
    }
}

fn spans(service: &str, spans: Vec<Span>) -> Vec<u8> {
    let resource =
        Resource { attributes: pairs(&[("service.name", service), ("k8s.pod.name", "pod-1")]), ..Resource::default() };
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let group = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![group] }.encode_to_vec()
}

fn logs(service: &str, log_records: Vec<LogRecord>) -> Vec<u8> {
    let resource = Resource { attributes: pairs(&[("service.name", service)]), ..Resource::default() };
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let group = ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![group] }.encode_to_vec()
}

fn log(line: &str, time: u64, trace: u8, span: u8) -> LogRecord {
    LogRecord {
        time_unix_nano: time,
        body: Some(text(line)),
        trace_id: if trace == 0 { Vec::new() } else { vec![trace; 16] },
        span_id: if span == 0 { Vec::new() } else { vec![span; 8] },
        ..LogRecord::default()
    }
}

const NOW: Timestamp = Timestamp(1_000);

fn recorded(bodies: &[(Signal, Vec<u8>)]) -> Recording {
    let mut recorder = Recorder::default();
    bodies.iter().for_each(|(signal, body)| recorder.take(*signal, body, NOW));
    recorder.finish()
}

fn id(byte: u8) -> u64 {
    u64::from_be_bytes([byte; 8])
}

fn trace_id(byte: u8) -> u128 {
    u128::from_be_bytes([byte; 16])
}

#[test]
fn a_trace_is_a_tree_whatever_the_order_of_arrival() {
    let all = [
        span(2, 1, 0, 10, 20),
        span(1, 9, 8, 70, 75),
        span(1, 4, 2, 40, 45),
        span(1, 3, 2, 30, 35),
        span(1, 2, 1, 20, 60),
        span(1, 1, 0, 15, 80),
    ];
    let forward = recorded(&[(Signal::Traces, spans("a", all.to_vec()))]);
    let backward: Vec<_> = all.iter().rev().map(|one| (Signal::Traces, spans("a", vec![one.clone()]))).collect();
    let backward = recorded(&backward);
    for recording in [forward, backward] {
        let traces = recording.traces();
        assert_eq!(traces.iter().map(|trace| trace.id).collect::<Vec<_>>(), [trace_id(2), trace_id(1)]);
        let of = recording.spans_of(&traces[1]);
        let shown: Vec<_> = of.iter().map(|span| (span.id, span.depth, span.below)).collect();
        let expected = [(id(1), 0, 3), (id(2), 1, 2), (id(3), 2, 0), (id(4), 2, 0), (id(9), 0, 0)];
        assert_eq!(shown, expected, "the parent of the last one was not seen");
        assert_eq!(recording.roots(&traces[1]).count(), 2);
        let second = traces[1].spans().start + 1;
        let children: Vec<u64> = recording.children(second).map(|at| recording.spans()[at].id).collect();
        assert_eq!(children, [id(3), id(4)]);
        assert_eq!(of[2].parent, Some(second as u32));
        assert_eq!(recording.trace(0, trace_id(1)), Some(&traces[1]));
        assert_eq!(recording.text(of[0].operation), "GET /users/*");
        assert_eq!(recording.text(of[0].instance), "pod-1");
    }
}

#[test]
fn rings_of_parents_own_parents_and_repeats_end() {
    let ring = [span(1, 1, 2, 10, 20), span(1, 2, 1, 11, 19), span(1, 3, 3, 12, 13)];
    let bodies: Vec<_> = (0..2).map(|_| (Signal::Traces, spans("a", ring.to_vec()))).collect();
    let recording = recorded(&bodies);
    let trace = &recording.traces()[0];
    let shown: Vec<_> = recording.spans_of(trace).iter().map(|span| (span.id, span.depth, span.below)).collect();
    assert_eq!(shown, [(id(3), 0, 0), (id(1), 0, 1), (id(2), 1, 0)]);
    assert_eq!(recording.left_out().duplicates, 3);
    assert!(!recording.left_out().is_partial());
}

#[test]
fn attributes_events_and_links_come_back() {
    let mut one = span(1, 1, 0, 10, 20);
    one.attributes = pairs(&[("order.id", "17"), ("region", "eu"), ("order.id", "18")]);
    one.events = vec![span::Event {
        time_unix_nano: 12,
        name: "exception".to_owned(),
        attributes: pairs(&[("exception.type", "Boom")]),
        ..Default::default()
    }];
    one.links = vec![span::Link { trace_id: vec![7; 16], span_id: vec![8; 8], ..Default::default() }];
    let recording = recorded(&[(Signal::Traces, spans("a", vec![one]))]);
    let span = &recording.spans()[0];
    let of = |key: &str, of: Attributes| recording.attribute(of, recording.name(key)?).map(|name| recording.text(name));
    assert_eq!(of("order.id", span.attributes), Some("18"), "the last one counts");
    assert_eq!(of("region", span.attributes), Some("eu"));
    assert_eq!(of("nothing", span.attributes), None);
    assert_eq!(recording.attributes(span.attributes).len(), 2);
    let event = &recording.events(span)[0];
    assert_eq!((recording.text(event.name), of("exception.type", event.attributes)), ("exception", Some("Boom")));
    assert_eq!(recording.links(span), [Link { trace: trace_id(7), span: id(8) }]);
    let resource = recording.resource(span.resource).unwrap();
    assert_eq!(of("service.name", resource.attributes), Some("a"));
}

#[test]
fn logs_stand_with_the_span_they_name_or_the_one_under_way() {
    let trace = vec![span(1, 1, 0, 10, 90), span(1, 2, 1, 20, 60)];
    let lines = vec![
        log("order 17 accepted", 95, 1, 2),
        log("order 18 accepted", 50, 1, 0),
        log("order 19 refused", 70, 1, 0),
        log("idle", 5, 0, 0),
        log("alone", 7, 9, 0),
    ];
    let recording = recorded(&[(Signal::Traces, spans("a", trace)), (Signal::Logs, logs("a", lines))]);
    let trace = recording.trace(0, trace_id(1)).unwrap();
    let shown: Vec<_> =
        recording.logs_of(trace).iter().map(|log| (recording.text(log.says()), log.span.unwrap())).collect();
    let first = trace.spans().start as u32;
    let expected = [("order * accepted", first + 1), ("order * refused", first), ("order * accepted", first + 1)];
    assert_eq!(shown, expected);
    assert_eq!(recording.loose_logs().iter().map(|log| recording.text(log.says())).collect::<Vec<_>>(), ["idle"]);
    let alone = recording.trace(0, trace_id(9)).unwrap();
    assert_eq!((recording.spans_of(alone).len(), recording.logs_of(alone).len()), (0, 1));
}

#[test]
fn sentences_that_differ_in_a_word_stay_apart_and_values_become_one() {
    let people = ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal", "ida", "joe", "kim", "lea"];
    let mut lines = vec![log("request received", 1, 0, 0), log("request completed", 2, 0, 0)];
    for (n, who) in people.iter().enumerate() {
        lines.push(log(&format!("charged {who} {n}.50 for items [{n}, {n}1]"), 3, 0, 0));
        lines.push(log(&format!(r#"{{"level":"info","message":"welcome","user":"{who}"}}"#), 4, 0, 0));
    }
    lines.push(log(r#"{"level":"info","message":"farewell","user":"ann"}"#, 5, 0, 0));
    let recording = recorded(&[(Signal::Logs, logs("a", lines))]);
    let mut says: Vec<&str> = recording.logs().iter().map(|log| recording.text(log.says())).collect();
    says.sort_unstable();
    says.dedup();
    let expected = [
        "charged * * for items *",
        "request completed",
        "request received",
        r#"{"level": "info", "message": "farewell", "user": "ann"}"#,
        r#"{"level": "info", "message": "welcome", "user": *"#,
    ];
    assert_eq!(says, expected);
}

#[test]
fn parts_keep_traces_with_the_same_id_apart() {
    let mut recorder = Recorder::default();
    recorder.take(Signal::Traces, &spans("a", vec![span(1, 1, 0, 10, 20)]), NOW);
    assert_eq!(recorder.begin_part(), 1);
    recorder.take_accepted(Signal::Traces, &spans("a", vec![span(1, 1, 0, 5, 20)]), NOW, 7);
    let recording = recorder.finish();
    let parts: Vec<_> = recording.traces().iter().map(|trace| (trace.part, trace.start)).collect();
    assert_eq!(parts, [(0, 10), (1, 5)]);
    assert_eq!(recording.spans()[0].evidence, None);
    assert_eq!(recording.spans()[1].evidence.map(|evidence| evidence.sequence), Some(7));
}

#[test]
fn what_finds_no_room_is_counted() {
    let bounds = Bounds { spans: 2, logs: 1, attributes: 3, events: 0, links: 0, text_bytes: 60 };
    let mut recorder = Recorder::new(bounds);
    let mut full = span(1, 1, 0, 0, 0);
    full.attributes = pairs(&[("some.attribute", "some value of it that is long"), ("other", "x")]);
    full.events = vec![span::Event::default()];
    full.links = vec![span::Link { trace_id: vec![7; 16], span_id: vec![8; 8], ..Default::default() }];
    let body = spans("a", vec![full, span(1, 2, 1, 0, 0), span(1, 3, 1, 0, 0)]);
    recorder.take(Signal::Traces, &body, NOW);
    recorder.take(Signal::Traces, &body[..body.len() - 3], NOW);
    recorder.take(Signal::Logs, &logs("a", vec![log(&"x y ".repeat(2_000), 1, 0, 0), log("b", 1, 0, 0)]), NOW);
    let recording = recorder.finish();
    let left_out = recording.left_out();
    assert!(left_out.is_partial());
    assert_eq!((left_out.spans, left_out.logs, left_out.events, left_out.links), (1, 1, 1, 1), "{left_out:?}");
    assert!(left_out.attributes >= 1 && left_out.texts >= 1 && left_out.broken == 1, "{left_out:?}");
    assert_eq!(recording.spans()[0].start, NOW.0, "a span without times is of its receipt");
}
