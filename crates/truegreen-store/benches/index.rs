//! How fast entries become findable, and are found.
//!
//! With a number of millions of records as argument it builds an index so large in a temporary folder, looks terms up
//! in it, and prints the figures: one such run says more than a thousand small ones.

use std::path::Path;
use std::time::{Duration, Instant};

use truegreen_store::index::{Index, Options, Term};

/// A term that looks like the hash it stands for.
fn term(number: u64) -> Term {
    let mixed = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Term((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9))
}

/// Each request mentions 25 traces; each trace is mentioned by five requests in a row, as services export in batches.
fn terms(sequence: u64) -> impl Iterator<Item = Term> {
    (0..25).map(move |place| term((sequence / 5) * 25 + place))
}

#[expect(clippy::print_stdout, reason = "a bench tells its figures")]
fn measure(dir: &Path, records: u64) -> Result<(), truegreen_store::Error> {
    let options = Options { min_free_bytes: 0, ..Options::default() };
    let entries = records / 25;
    let mut index = Index::open(dir, options, 1..entries)?;
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    for sequence in 1..entries {
        let added = Instant::now();
        index.add(sequence, terms(sequence))?;
        slowest = slowest.max(added.elapsed());
    }
    let took = begun.elapsed().as_secs_f64();
    println!("added {records} records: {:.2} M/s, the slowest call {slowest:?}", records as f64 / took / 1e6);
    let begun = Instant::now();
    index.flush()?;
    println!("flushed in {:?}: {:?}", begun.elapsed(), index.stats());

    let (finder, mut random) = (index.finder(), fastrand::Rng::with_seed(1));
    for (what, present) in [("present", true), ("absent", false)] {
        let mut times: Vec<Duration> = (0..20_000)
            .map(|_| {
                let number = random.u64(..records / 5) + if present { 0 } else { records };
                let begun = Instant::now();
                let found = finder.find(term(number), 100).map(|found| found.sequences.len());
                assert!(found.is_ok_and(|found| (found > 0) == present || !present));
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        let (median, rare) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        let rate = times.len() as f64 / times.iter().sum::<Duration>().as_secs_f64();
        println!("{what} terms: median {median:?}, 99th percentile {rare:?}, {rate:.0} look-ups/s");
    }
    drop((finder, index));
    let begun = Instant::now();
    let index = Index::open(dir, options, 1..entries)?;
    println!("opened in {:?} with {} runs", begun.elapsed(), index.stats().runs);
    Ok(())
}

fn main() {
    let millions = std::env::args().filter_map(|argument| argument.parse::<u64>().ok()).next();
    let records = millions.map_or(200_000, |millions| millions * 1_000_000);
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    measure(dir.path(), records).unwrap_or_else(|error| panic!("{error}"));
}
