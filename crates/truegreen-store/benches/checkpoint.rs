//! What checkpoints cost: writing, loading, and the room they take, in memory and on disk.

use std::path::Path;
use std::time::Instant;

use truegreen_store::Error;
use truegreen_store::checkpoint::{Change, Checkpoints, Options};

const RECORDS: u64 = 1_000_000;
const OPTIONS: Options = Options { min_free_bytes: 0 };

/// A journey's record: a key of 24 bytes that sorts anywhere, and 130 bytes of which a third is alike in all.
fn record(number: u64, version: u64) -> Change {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    let mut key = spread.to_be_bytes().to_vec();
    key.extend_from_slice(&number.to_be_bytes());
    key.extend_from_slice(&spread.wrapping_mul(3).to_be_bytes());
    let mut random = fastrand::Rng::with_seed(number ^ version << 40);
    let mut value = vec![7; 44];
    value.extend((0..86).map(|_| random.u8(..)));
    (key, Some(value))
}

/// The most this process ever held, and what it holds, in MiB; none where the system does not tell.
fn memory() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
    };
    Some((field("VmHWM:")?, field("VmRSS:")?))
}

#[expect(clippy::print_stdout, reason = "a bench tells its figures")]
fn measure(dir: &Path, batch: u64) -> Result<(), Error> {
    let mut checkpoints = Checkpoints::open(dir, OPTIONS)?;
    for version in 0..2 {
        let (mut took, mut slowest) = (0.0, 0.0_f64);
        for start in (0..RECORDS).step_by(batch as usize) {
            let changes = (start..(start + batch).min(RECORDS)).map(|number| record(number, version)).collect();
            let begun = Instant::now();
            checkpoints.write(version * RECORDS + start, changes)?;
            let once = begun.elapsed().as_secs_f64();
            took += once;
            slowest = slowest.max(once);
        }
        let what = if version == 0 { "written" } else { "written again" };
        println!("{RECORDS} records in batches of {batch} {what}: {took:.2} s, the slowest batch {slowest:.2} s");
        println!("  on disk {} MB, memory (most, now) {:?} MiB", checkpoints.stats().disk_bytes / 1_000_000, memory());
    }
    drop(checkpoints);
    let begun = Instant::now();
    let mut checkpoints = Checkpoints::open(dir, OPTIONS)?;
    let opened = begun.elapsed();
    let mut loaded = 0;
    for record in checkpoints.records() {
        loaded += record.map(|(key, value)| key.len() + value.len())?;
    }
    println!("opened in {opened:?}, {loaded} bytes loaded after {:?}", begun.elapsed());
    println!("  on disk {} MB, memory (most, now) {:?} MiB", checkpoints.stats().disk_bytes / 1_000_000, memory());
    let begun = Instant::now();
    checkpoints.compact()?;
    let disk_bytes = checkpoints.stats().disk_bytes;
    println!("compacted in {:?}: on disk {} MB", begun.elapsed(), disk_bytes / 1_000_000);
    Ok(())
}

fn main() {
    for batch in [50_000, RECORDS] {
        let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        measure(dir.path(), batch).unwrap_or_else(|error| panic!("{error}"));
    }
}
