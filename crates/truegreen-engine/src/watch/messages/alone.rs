//! A whole engine that watches two services which do nothing but exchange messages: no request, no call, no contract.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use truegreen_model::time::Timestamp;

use crate::{Effect, Engine, Input, Options, Request};

const BEGINS: u64 = 1_800_000_000;
/// Messages a second, and partitions.
const RATE: f64 = 6.0;
const PARTITIONS: usize = 3;
/// Exporters send so often, in seconds.
const BATCH: u64 = 5;
/// Healthy seconds, after which something breaks.
const HEALTHY: f64 = 180.0;
const LASTS: f64 = 270.0;

/// What becomes of one message.
#[derive(Clone, Copy)]
enum Fate {
    /// It is processed in so many seconds.
    Takes(f64),
    /// It never is, and others of its partition are.
    Lost,
    /// Nor is what comes after it.
    Blocks,
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn id(trace: u64) -> Vec<u8> {
    // As random as those of a service that is not sampled.
    let low = (trace ^ 0x5EED).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (u128::from(trace) << 64 | u128::from(low ^ low >> 29)).to_be_bytes().to_vec()
}

/// A span of this trace: own number and that of its parent, name, kind, start and end in seconds.
fn span(trace: u64, [own, parent]: [u64; 2], name: &str, kind: SpanKind, [start, end]: [f64; 2]) -> Span {
    let nanos = |seconds: f64| BEGINS * 1_000_000_000 + (seconds * 1e9) as u64;
    Span {
        trace_id: id(trace),
        span_id: (trace << 8 | own).to_be_bytes().to_vec(),
        parent_span_id: if parent > 0 { (trace << 8 | parent).to_be_bytes().to_vec() } else { Vec::new() },
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanos(start),
        end_time_unix_nano: nanos(end),
        ..Span::default()
    }
}

fn of_queue(mut span: Span, verb: &str, partition: usize) -> Span {
    span.attributes = vec![
        text("messaging.system", "kafka"),
        text("messaging.destination.name", "prints"),
        text("messaging.operation.type", verb),
        text("messaging.destination.partition.id", &partition.to_string()),
    ];
    span
}

/// All that both services send, by service and the second in which they send it.
fn sent(fate: impl Fn(u64, f64) -> Fate) -> BTreeMap<(u64, &'static str), Vec<Span>> {
    let mut sent: BTreeMap<(u64, &'static str), Vec<Span>> = BTreeMap::new();
    let mut send = |service: &'static str, ended: f64, span: Span| {
        let phase = if service == "press" { 1 } else { 3 };
        let at = (ended as u64 / BATCH + 1) * BATCH + phase;
        sent.entry((at, service)).or_default().push(span);
    };
    let mut free = [0.0_f64; PARTITIONS];
    for n in 0..(LASTS * RATE) as u64 {
        // Messages come a little unevenly.
        let at = (n as f64 + (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / (1 << 24) as f64) / RATE;
        let partition = n as usize % PARTITIONS;
        let (published, processed) = (2 * n + 1, 2 * n + 2);
        let publish = span(published, [1, 0], "send prints", SpanKind::Producer, [at, at + 0.002]);
        let link = Link { trace_id: id(published), span_id: publish.span_id.clone(), ..Link::default() };
        send("press", at + 0.002, of_queue(publish, "send", partition));
        let begins = free[partition].max(at + 0.004);
        let takes = match fate(n, begins) {
            Fate::Takes(takes) => takes,
            Fate::Lost => continue,
            Fate::Blocks => f64::INFINITY,
        };
        let ends = begins + takes;
        free[partition] = ends;
        if ends >= LASTS {
            continue;
        }
        let process = span(processed, [1, 0], "process prints", SpanKind::Consumer, [begins, ends]);
        let mut update = span(processed, [2, 1], "UPDATE shelves", SpanKind::Client, [begins, ends]);
        update.attributes = vec![text("db.system.name", "postgresql"), text("db.operation.name", "UPDATE")];
        let mut process = of_queue(process, "process", partition);
        process.links.push(link);
        send("stock", ends, process);
        send("stock", ends, update);
    }
    sent
}

fn body(service: &str, spans: Vec<Span>) -> Vec<u8> {
    let attributes = vec![text("service.name", service), text("service.instance.id", service)];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// What is found, with the seconds since something broke.
fn found(fate: impl Fn(u64, f64) -> Fate) -> Vec<(String, f64)> {
    let mut engine = Engine::new(Vec::new(), Options::default());
    let mut found = Vec::new();
    let mut sent = sent(fate);
    for second in 0..LASTS as u64 {
        let now = Timestamp::from_secs(BEGINS + second);
        let mut hear = |effects: Vec<Effect>| {
            for effect in effects {
                if let Effect::FindingOpened(finding) = effect {
                    found.push((finding.kind, second as f64 - HEALTHY));
                }
            }
        };
        hear(engine.apply(now, Input::Tick));
        for service in ["press", "stock"] {
            if let Some(spans) = sent.remove(&(second, service)) {
                let body = body(service, spans);
                hear(
                    engine.apply(
                        now + Duration::from_millis(1),
                        Input::Traces(Request { sequence: second, body: &body }),
                    ),
                );
            }
        }
    }
    found
}

/// One kind is found, between these seconds after something broke.
fn is_found(found: &[(String, f64)], kind: &str, until: f64) -> bool {
    matches!(found, [(of, at)] if of == kind && *at > 0.0 && *at <= until)
}

#[test]
fn where_all_is_well_nothing_is_found() {
    assert_eq!(found(|_, _| Fate::Takes(0.05)), []);
}

#[test]
fn a_consumer_that_is_too_slow_is_found() {
    let slow = 1.5 * PARTITIONS as f64 / RATE;
    let found = found(|_, begins| Fate::Takes(if begins < HEALTHY { 0.05 } else { slow }));
    assert!(is_found(&found, "slow_consumer", 25.0), "{found:?}");
}

#[test]
fn a_partition_that_stands_still_is_found() {
    let blocks = |n: u64, begins: f64| begins >= HEALTHY && n as usize % PARTITIONS == 1;
    let found = found(|n, begins| if blocks(n, begins) { Fate::Blocks } else { Fate::Takes(0.05) });
    assert!(is_found(&found, "stuck_consumer", 30.0), "{found:?}");
}

#[test]
fn messages_that_are_lost_are_found() {
    let is_lost = |n: u64, begins: f64| begins >= HEALTHY && n.is_multiple_of(10);
    let found = found(|n, begins| if is_lost(n, begins) { Fate::Lost } else { Fate::Takes(0.05) });
    assert!(is_found(&found, "lost_publish", 70.0), "{found:?}");
}
