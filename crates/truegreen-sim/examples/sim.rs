//! Lives through many worlds: `cargo xtask sim --seeds N [--from S]`. What is broken is printed, made small, and kept
//! in `kept-shapes.txt`, which the tests live through again. The last line is a summary; the exit status is 0 only
//! when nothing is broken.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a command, which says how long it took")]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use truegreen_sim::durability::campaign::{hold, hold_ledger, ledger_shape, shrink, shrink_ledger};
use truegreen_sim::durability::shape::Shape;
use truegreen_sim::durability::world::Tally;

/// Worlds between two lines of progress.
const TELL_EVERY: u64 = 1000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str, otherwise: u64| {
        let value = words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
        value.map_or(Some(otherwise), |value| value.parse().ok())
    };
    let (Some(seeds), Some(from)) = (number("--seeds", 300), number("--from", 0)) else {
        println!("sim [--seeds N] [--from S]");
        return ExitCode::from(2);
    };
    let campaign = Campaign { next: AtomicU64::new(from), end: from + seeds, seen: Mutex::default() };
    let started = Instant::now();
    // What panics is told as a broken sentence.
    std::panic::set_hook(Box::new(|_| {}));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(|| campaign.work(started)))));
    let Seen { tally, broken } = campaign.seen.into_inner().unwrap_or_default();
    let Tally { crashes, stops, acknowledged, refused, checkpoints, .. } = tally;
    println!(
        "sim: {seeds} seeds, {broken} broken (from {from}; {crashes} crashes, {stops} stops, {checkpoints} checkpoints, \
         {acknowledged} requests acknowledged, {refused} refused, {seeds} ledgers held against the reference; {:.0} s)",
        started.elapsed().as_secs_f64()
    );
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Seen {
    tally: Tally,
    broken: u64,
}

struct Campaign {
    next: AtomicU64,
    end: u64,
    seen: Mutex<Seen>,
}

impl Campaign {
    fn work(&self, started: Instant) {
        loop {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.end {
                return;
            }
            let shape = Shape::of(seed);
            match hold(&shape) {
                Ok(tally) => self.saw(|seen| seen.tally += tally),
                Err(broken) => {
                    let (small, broken) = shrink(shape, broken);
                    println!("seed {seed}: {broken}\n  {small}");
                    keep(&small.to_string());
                    self.saw(|seen| seen.broken += 1);
                }
            }
            let shape = ledger_shape(seed);
            if let Err(broken) = hold_ledger(&shape) {
                let (small, broken) = shrink_ledger(shape, broken);
                println!("seed {seed}, ledger: {broken}\n  {small:?}");
                self.saw(|seen| seen.broken += 1);
            }
            if (seed + 1).is_multiple_of(TELL_EVERY) {
                println!("... seed {seed}, {:.0} s", started.elapsed().as_secs_f64());
            }
        }
    }

    fn saw(&self, note: impl FnOnce(&mut Seen)) {
        if let Ok(mut seen) = self.seen.lock() {
            note(&mut seen);
        }
    }
}

/// Appends a line to the shapes that the tests live through, once.
fn keep(line: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("kept-shapes.txt");
    let is_kept = std::fs::read_to_string(&path).is_ok_and(|kept| kept.lines().any(|kept| kept == line));
    if !is_kept && let Ok(mut file) = OpenOptions::new().append(true).open(&path) {
        drop(writeln!(file, "{line}"));
    }
}
