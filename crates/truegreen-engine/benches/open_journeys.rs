//! What an open journey takes in memory, and how long it takes to bring all of them back after a restart.
//!
//! `cargo bench -p truegreen-engine --bench open_journeys -- 10000000` (a million where no number is given). Half of
//! the journeys have shown one step, half two; keys are of twelve characters, trace and span ids random.

#![expect(clippy::print_stdout, reason = "figures are what a benchmark is for")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot go on stops")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures; the engine itself reads no clock")]

use std::time::Instant;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use truegreen_engine::flow::{Source, compile};
use truegreen_engine::{Engine, Input, Options, Request};
use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, span: 'POST /orders', service: shop}
steps:
  - {name: published, span: 'publish stock-events', service: shop, within: 10m}
  - {name: updated, span: 'UPDATE stock', service: inventory, within: 1h}
";
const SPANS_PER_REQUEST: u64 = 1_000;
const AFTER_A_RESTART: u64 = 1_000_000;
const START: Timestamp = Timestamp::from_secs(1_700_000_000);

fn main() {
    let wanted = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let journeys: u64 = wanted.unwrap_or(1_000_000);
    let before = resident_bytes();
    let began = Instant::now();
    // Every ten seconds of event time, as the server does.
    let engine = opened(journeys, |request, engine| {
        if request % 333 == 0 {
            engine.checkpoint(&mut |_, _| {});
        }
    });
    let taken = resident_bytes() - before;
    println!("{journeys} journeys opened in {:.1} s, encoding included", began.elapsed().as_secs_f64());
    println!("{taken} bytes resident: {:.0} for each open journey", taken as f64 / journeys as f64);
    drop(engine);

    let mut engine = opened(AFTER_A_RESTART, |_, _| {});
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    engine.checkpoint(&mut |key, value| records.extend(value.map(|value| (key.to_vec(), value.to_vec()))));
    let bytes: usize = records.iter().map(|(key, value)| key.len() + value.len()).sum();
    let report = engine.report();
    drop(engine);
    let began = Instant::now();
    let restored = Engine::restore(options(AFTER_A_RESTART), records.into_iter()).expect("its own records");
    let took = began.elapsed().as_secs_f64();
    println!("{AFTER_A_RESTART} journeys restored from {bytes} bytes of records in {took:.2} s");
    assert_eq!(restored.report(), report);
}

/// An engine with so many journeys open.
fn opened(journeys: u64, mut after_each: impl FnMut(u64, &mut Engine)) -> Engine {
    let mut engine = Engine::new(flows(), options(journeys));
    for request in 0..journeys / SPANS_PER_REQUEST {
        let body = body(request);
        let now = Timestamp(START.0 + request * 30_000_000);
        engine.apply(now, Input::Traces(Request { sequence: request, body: &body }));
        after_each(request, &mut engine);
    }
    assert_eq!(engine.open_journeys(), journeys / SPANS_PER_REQUEST * SPANS_PER_REQUEST);
    engine
}

fn options(journeys: u64) -> Options {
    // Traces have a bound of their own.
    Options {
        max_journeys: 2 * journeys as usize,
        max_traces: 1_000,
        watches_traces: false,
        keeps_changes: true,
        ..Options::default()
    }
}

fn flows() -> Vec<Flow> {
    let source = Source { path: "orders.yaml".into(), text: CONTRACT.into() };
    compile(&[source]).expect("the contract is valid").flows
}

fn body(request: u64) -> Vec<u8> {
    let began = START.0 + request * 30_000_000 - 1_000_000_000;
    let mut spans = Vec::new();
    for n in 0..SPANS_PER_REQUEST {
        let order = request * SPANS_PER_REQUEST + n;
        spans.push(span("POST /orders", order, 1, began + n * 1_000));
        if order.is_multiple_of(2) {
            spans.push(span("publish stock-events", order, 2, began + n * 1_000 + 700_000));
        }
    }
    let resource = [text("service.name", "shop"), text("service.instance.id", "shop-7c9d8b6f5-x2x7k")];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: resource.to_vec(), ..Default::default() }),
            scope_spans: vec![ScopeSpans { spans, ..Default::default() }],
            ..Default::default()
        }],
    }
    .encode_to_vec()
}

fn span(name: &str, order: u64, n: u64, began: u64) -> Span {
    Span {
        trace_id: [scatter(2 * order + 1), scatter(2 * order + 2)].map(u64::to_be_bytes).concat(),
        span_id: scatter(order ^ n << 40).to_be_bytes().to_vec(),
        name: name.to_owned(),
        start_time_unix_nano: began,
        end_time_unix_nano: began + 900_000,
        attributes: vec![text("order.id", &format!("ord-{order:08}"))],
        ..Default::default()
    }
}

/// Spreads small numbers, so that they look like random ids.
fn scatter(n: u64) -> u64 {
    let mixed = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..Default::default() }
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("this benchmark needs Linux");
    let pages: u64 = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * 4096
}
