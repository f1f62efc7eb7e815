//! Scan, match, bind and ledger over requests of 1,000 spans with 12 attributes each, one span in five being a step,
//! beside prost merely decoding the same bytes, in the same run and with the same allocator.
//!
//! The last line is `engine_vs_prost=<ratio of spans per second>`, the median over pairs of runs in turn.

mod workload;

use std::hint::black_box;
use std::time::{Duration, Instant};

use divan::Bencher;
use divan::counter::ItemsCount;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use truegreen_engine::{Engine, Input, Options, Request};
use truegreen_model::time::Timestamp;
use workload::Workload;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const JOURNEYS: usize = 8_000;
const PAIRS: usize = 7;

#[expect(clippy::print_stdout, reason = "figures are what a benchmark is for")]
fn main() {
    divan::main();
    let workload = Workload::new(JOURNEYS);
    let mut ratios: Vec<f64> = (0..PAIRS).map(|_| pair(&workload)).collect();
    ratios.sort_by(f64::total_cmp);
    println!("engine_vs_prost={:.2}", ratios[PAIRS / 2]);
}

#[expect(clippy::print_stdout, reason = "figures are what a benchmark is for")]
fn pair(workload: &Workload) -> f64 {
    let engine = time(|| engine(workload));
    let prost = time(|| prost(workload));
    let rate = |took: Duration| workload.spans as f64 / took.as_secs_f64();
    println!("engine {:>12.0} spans/s   prost {:>12.0} spans/s", rate(engine), rate(prost));
    prost.as_secs_f64() / engine.as_secs_f64()
}

#[divan::bench(sample_count = 5)]
fn scan_match_ledger(bencher: Bencher) {
    let workload = Workload::new(JOURNEYS);
    bencher.counter(ItemsCount::new(workload.spans)).bench_local(|| engine(&workload));
}

#[divan::bench(sample_count = 5)]
fn scan_alone(bencher: Bencher) {
    let workload = Workload::new(JOURNEYS);
    let limits = truegreen_otlp::Limits::default();
    bencher.counter(ItemsCount::new(workload.spans)).bench_local(|| {
        for body in &workload.bodies {
            let _ = black_box(truegreen_otlp::check(truegreen_otlp::Signal::Traces, body, &limits));
        }
    });
}

#[divan::bench(sample_count = 5)]
fn prost_decodes(bencher: Bencher) {
    let workload = Workload::new(JOURNEYS);
    bencher.counter(ItemsCount::new(workload.spans)).bench_local(|| prost(&workload));
}

/// A fresh engine takes the whole workload; every journey must have completed, or the figure means nothing.
fn engine(workload: &Workload) {
    let mut engine = Engine::new(workload.flows(), Options::default());
    for (sequence, body) in workload.bodies.iter().enumerate() {
        let now = Timestamp(workload.start.0 + sequence as u64 * 10_000_000);
        engine.apply(now, Input::Traces(Request { sequence: sequence as u64, body }));
    }
    let report = engine.report();
    let books = &report.flows["orders"];
    assert_eq!((books.entered, books.completed), (JOURNEYS as u64, JOURNEYS as u64));
}

fn prost(workload: &Workload) {
    for body in &workload.bodies {
        let _ = black_box(ExportTraceServiceRequest::decode(black_box(&body[..])));
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures; the engine itself reads no clock")]
fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
