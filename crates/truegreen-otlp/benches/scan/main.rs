//! Requests of 1,000 spans with 12 attributes each: our walk beside a generated decoder, and JSON.
//! `cargo bench -p truegreen-otlp`; items are spans.

mod request;

use std::hint::black_box;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use truegreen_otlp::{Limits, Resource, Signal, Span, TraceSink, check, json, scan_traces};

const SPANS: usize = 1000;

fn main() {
    divan::main();
}

/// Reads what any reader of spans would: ids, times, and one attribute by its key.
struct Reader {
    sum: u64,
}

impl TraceSink<'_> for Reader {
    fn resource(&mut self, resource: &Resource<'_, '_>) {
        self.sum += resource.attributes.len() as u64;
    }

    fn span(&mut self, span: &Span<'_, '_>) {
        let key = span.get(b"order.id").map_or(0, |value| value.text().len() as u64);
        self.sum = self.sum.wrapping_add(span.trace_id as u64 ^ span.span_id ^ span.start ^ span.end ^ key);
    }
}

#[divan::bench]
fn scan_with_key(bencher: Bencher<'_, '_>) {
    let body = request::traces(SPANS);
    let limits = Limits::default();
    bencher.counter(ItemsCount::new(SPANS)).counter(BytesCount::of_slice(&body)).bench_local(|| {
        let mut reader = Reader { sum: 0 };
        let tally = scan_traces(black_box(&body), &limits, &mut reader);
        (tally, reader.sum)
    });
}

#[divan::bench]
fn scan_check(bencher: Bencher<'_, '_>) {
    let body = request::traces(SPANS);
    let limits = Limits::default();
    bencher
        .counter(ItemsCount::new(SPANS))
        .counter(BytesCount::of_slice(&body))
        .bench_local(|| check(Signal::Traces, black_box(&body), &limits));
}

#[divan::bench]
fn prost_decode(bencher: Bencher<'_, '_>) {
    let body = request::traces(SPANS);
    bencher
        .counter(ItemsCount::new(SPANS))
        .counter(BytesCount::of_slice(&body))
        .bench_local(|| ExportTraceServiceRequest::decode(black_box(&body[..])));
}

#[divan::bench]
fn json_read(bencher: Bencher<'_, '_>) {
    let mut line = Vec::new();
    json::write(Signal::Traces, &request::traces(SPANS), &mut line).unwrap_or_default();
    bencher
        .counter(ItemsCount::new(SPANS))
        .counter(BytesCount::of_slice(&line))
        .bench_local(|| json::to_protobuf(Signal::Traces, black_box(&line)));
}

#[divan::bench]
fn json_write(bencher: Bencher<'_, '_>) {
    let body = request::traces(SPANS);
    bencher.counter(ItemsCount::new(SPANS)).counter(BytesCount::of_slice(&body)).bench_local(|| {
        let mut line = Vec::with_capacity(body.len() * 3);
        json::write(Signal::Traces, black_box(&body), &mut line).map(|()| line)
    });
}
