//! Scan, match, bind and ledger over requests of 1,000 spans with 12 attributes each, one span in five being a step,
//! beside prost merely decoding the same bytes, in the same run and with the same allocator.
//!
//! The last lines are `engine_vs_prost=<ratio of spans per second>`, the median over pairs of runs in turn: of the engine
//! with contracts alone, with every trace put together and watched as well, and of that putting together and watching by
//! itself: what the second takes longer than the first.

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
    let pairs: Vec<[f64; 3]> = (0..PAIRS).map(|_| pair(&workload)).collect();
    let median = |subject: usize| {
        let mut ratios: Vec<f64> = pairs.iter().map(|ratios| ratios[subject]).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[PAIRS / 2]
    };
    println!("engine_vs_prost={:.2}", median(0));
    println!("watched_vs_prost={:.2}", median(1));
    println!("watching_alone_vs_prost={:.2}", median(2));
}

#[expect(clippy::print_stdout, reason = "figures are what a benchmark is for")]
/// One run of each, as ratios to prost's time.
fn pair(workload: &Workload) -> [f64; 3] {
    let alone = time(|| engine(workload, false));
    let watched = time(|| engine(workload, true));
    let prost = time(|| prost(workload));
    let watching = watched.saturating_sub(alone);
    let rate = |took: Duration| workload.spans as f64 / took.as_secs_f64();
    println!(
        "contracts alone {:>9.0} spans/s   traces watched {:>9.0}   watching by itself {:>9.0}   prost {:>9.0}",
        rate(alone),
        rate(watched),
        rate(watching),
        rate(prost)
    );
    [alone, watched, watching].map(|took| prost.as_secs_f64() / took.as_secs_f64())
}

#[divan::bench(sample_count = 5)]
fn scan_match_ledger(bencher: Bencher) {
    let workload = Workload::new(JOURNEYS);
    bencher.counter(ItemsCount::new(workload.spans)).bench_local(|| engine(&workload, false));
}

#[divan::bench(sample_count = 5)]
fn scan_match_ledger_and_watch(bencher: Bencher) {
    let workload = Workload::new(JOURNEYS);
    bencher.counter(ItemsCount::new(workload.spans)).bench_local(|| engine(&workload, true));
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
fn engine(workload: &Workload, watches_traces: bool) {
    let mut engine = Engine::new(workload.flows(), Options { watches_traces, ..Options::default() });
    for (sequence, body) in workload.bodies.iter().enumerate() {
        let now = Timestamp(workload.start.0 + sequence as u64 * 10_000_000);
        engine.apply(now, Input::Traces(Request { sequence: sequence as u64, body }));
    }
    // Traces are looked at once nothing more comes of them.
    engine.apply(Timestamp(workload.start.0 + 600_000_000_000), Input::Tick);
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
