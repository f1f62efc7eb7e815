//! How long `truegreen trace KEY` takes where many spans are stored, and what the disk takes for each of them.
//!
//! ```sh
//! cargo bench -p truegreen --bench lookup -- --spans 5000000 --dir /var/tmp/spans
//! ```
//!
//! Writes telemetry straight into a log, followed by the indexer of the server, and then looks up orders of all ages:
//! warm (each for the second time) and cold (the page cache is dropped before each). What the network and the engine add
//! to it is not in these figures: one question to the engine, and an answer of some tens of KiB.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark may fail by panicking, and speaks to people"
)]

mod cache;
mod shop;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use truegreen::lookup::archive::Archive;
use truegreen::lookup::indexer::Indexer;
use truegreen::lookup::terms::Names;
use truegreen::lookup::{Journeys, Passages};
use truegreen_engine::flow::{Source, compile};
use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;
use truegreen_store::{Kind, Log, index};

use shop::Shop;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, span: POST /checkout, service: storefront}
steps:
  - {name: stock_updated, span: UPDATE stock, service: inventory, within: 10s}
";

/// No more is written, whatever is asked for.
const MOST_DISK_BYTES: u64 = 30_000_000_000;
/// Kept free for others.
const SPARE_BYTES: u64 = 5_000_000_000;
/// More than any span takes on disk, index included.
const BYTES_PER_SPAN: u64 = 280;

#[derive(Parser)]
struct Args {
    /// How many spans
    #[arg(long, default_value_t = 100_000)]
    spans: u64,
    /// Where; a folder that is there already is looked into as it is
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How many orders are looked up, warm; a fifth of them cold
    #[arg(long, default_value_t = 1_000)]
    lookups: usize,
    /// Said by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let scratch;
    let dir = match &args.dir {
        Some(dir) => dir.as_path(),
        None => {
            scratch = tempfile::tempdir().unwrap();
            scratch.path()
        }
    };
    let source = Source { path: "orders.yaml".to_owned(), text: CONTRACT.to_owned() };
    let flows = compile(&[source]).unwrap().flows;
    if !dir.join("index").exists() {
        write(dir, &flows, args.spans);
    }
    // As after a restart: nothing of the writing is in memory.
    cache::drop_all(dir);
    let started = Instant::now();
    let log = Log::open(dir, log_options()).unwrap();
    let (archive, indexer) = start_indexer(&log, dir, &flows);
    wait_for(&archive);
    println!("opened and ready for look-ups after {:.2} s, cold", started.elapsed().as_secs_f64());
    let passages = Passages::new(flows, Some(archive), Duration::from_secs(100 * 365 * 86_400));

    let groups = args.spans.div_ceil(shop::SPANS_PER_GROUP).max(1);
    let mut dice = fastrand::Rng::with_seed(7);
    let mut orders: Vec<String> =
        (0..args.lookups).map(|_| shop::order(dice.u64(0..groups), dice.u64(0..shop::TRACES_PER_GROUP))).collect();
    let cold = args.lookups / 5;
    let timed: Vec<_> = orders[..cold]
        .iter()
        .map(|order| {
            cache::drop_all(dir);
            look_up(&passages, order)
        })
        .collect();
    tell("cold", timed);
    tell("first", orders.iter().map(|order| look_up(&passages, order)).collect());
    dice.shuffle(&mut orders);
    tell("warm", orders.iter().map(|order| look_up(&passages, order)).collect());
    indexer.stop().unwrap();
}

fn log_options() -> truegreen_store::Options {
    truegreen_store::Options {
        max_age: Duration::from_secs(100 * 365 * 86_400),
        max_bytes: u64::MAX,
        ..truegreen_store::Options::default()
    }
}

fn start_indexer(log: &Log, dir: &Path, flows: &[Flow]) -> (Archive, Indexer) {
    Indexer::start(log.reader(), &dir.join("index"), index::Options::default(), Names::of(flows)).unwrap()
}

/// Waits until everything is indexed and looked into; gives up where the index does.
fn wait_for(archive: &Archive) {
    while !archive.is_ready() {
        assert_eq!(archive.failure(), None);
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn write(dir: &Path, flows: &[Flow], spans: u64) {
    let room = cache::free_bytes(dir).saturating_sub(SPARE_BYTES).min(MOST_DISK_BYTES);
    let wanted = spans * BYTES_PER_SPAN;
    assert!(wanted <= room, "{spans} spans may take {wanted} bytes, and {room} may be written here");

    let started = Instant::now();
    let mut log = Log::open(dir, log_options()).unwrap();
    let (archive, indexer) = start_indexer(&log, dir, flows);
    let (mut shop, mut written, mut plain) = (Shop::default(), 0, 0);
    while written < spans {
        let at = Timestamp(shop.now());
        for body in shop.next_group() {
            log.append(at, Kind::Traces, body).unwrap();
            plain += body.len() as u64;
        }
        written += shop::SPANS_PER_GROUP;
        log.commit().unwrap();
    }
    let logged = started.elapsed();
    wait_for(&archive);
    indexer.stop().unwrap();
    let (all, index) = (cache::size(dir), cache::size(&dir.join("index")));
    let per_span = |bytes: u64| bytes as f64 / written as f64;
    println!(
        "{written} spans in {:.1} s (log {:.1} s, index done {:.1} s after it)",
        started.elapsed().as_secs_f64(),
        logged.as_secs_f64(),
        (started.elapsed() - logged).as_secs_f64()
    );
    println!(
        "bytes per span: {:.0} plain, {:.1} on disk, of which {:.1} index; {:.2} GB in all",
        per_span(plain),
        per_span(all),
        per_span(index),
        all as f64 / 1e9
    );
}

fn look_up(passages: &Passages, order: &str) -> Duration {
    let started = Instant::now();
    let report = passages.find(order, None, &mut |_| Ok(Journeys::default())).unwrap();
    let answer = serde_json::to_vec(&report).unwrap();
    let took = started.elapsed();
    assert_eq!(report.spans.len() as u64, shop::SPANS_PER_TRACE, "{}", String::from_utf8_lossy(&answer));
    // The one note is that no engine knows the journey.
    assert!(report.cut.is_empty() && report.notes.len() == 1, "{:?} {:?}", report.cut, report.notes);
    took
}

fn tell(how: &str, mut timed: Vec<Duration>) {
    timed.sort_unstable();
    let at = |share: f64| {
        let index = (timed.len() as f64 * share) as usize;
        timed.get(index.min(timed.len().saturating_sub(1))).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    };
    println!(
        "{how:>5}: {} look-ups, p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
        timed.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}
