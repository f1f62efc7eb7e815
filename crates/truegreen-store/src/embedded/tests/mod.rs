//! The log against simulated and real disks.

mod compact;
mod crash;
mod damage;
mod poison;
mod real;
mod retention;

use std::time::Duration;

use truegreen_model::time::Timestamp;

use super::{Disk, Log, Options};
use crate::entry::{Entry, Kind};
use crate::simulated::SimulatedDisk;

/// Small enough that a few entries make a block and a few blocks a segment.
const SMALL: Options = Options {
    segment_bytes: 2000,
    block_bytes: 200,
    max_age: Duration::from_secs(3600),
    max_bytes: 1 << 40,
    min_free_bytes: 0,
};

/// A recognizable entry; every third compresses badly.
fn sample(sequence: u64, length: usize) -> Entry {
    let mut random = fastrand::Rng::with_seed(sequence);
    let body = if sequence.is_multiple_of(3) {
        (0..length).map(|_| random.u8(..)).collect()
    } else {
        format!("entry {sequence}, ").into_bytes().into_iter().cycle().take(length).collect()
    };
    let kind = Kind::ALL[sequence as usize % Kind::ALL.len()];
    Entry { sequence, received_at: Timestamp::from_secs(1_000_000 + sequence), kind, body }
}

fn append<D: Disk>(log: &mut Log<D>, entry: &Entry) {
    let sequence = log.append(entry.received_at, entry.kind, &entry.body).unwrap();
    assert_eq!(sequence, entry.sequence);
}

/// Appends and commits these many entries, one after the other.
fn fill<D: Disk>(log: &mut Log<D>, entries: u64, length: usize) -> Vec<Entry> {
    let first = log.next_sequence();
    let samples: Vec<Entry> = (first..first + entries).map(|sequence| sample(sequence, length)).collect();
    for entry in &samples {
        append(log, entry);
        log.commit().unwrap();
    }
    samples
}

fn all<D: Disk>(log: &Log<D>) -> Vec<Entry> {
    log.read_from(0).map(Result::unwrap).collect()
}

#[test]
fn what_is_committed_is_read_in_order_and_by_sequence() {
    let disk = SimulatedDisk::new(1);
    let mut log = Log::open_on(disk.clone(), SMALL).unwrap();
    assert_eq!((log.first_sequence(), log.next_sequence(), log.stats().segments), (1, 1, 0));
    let mut samples = fill(&mut log, 40, 300);
    samples.extend(fill(&mut log, 40, 0));
    assert!(log.stats().segments > 3, "{:?}", log.stats());

    let unseen = sample(81, 10);
    append(&mut log, &unseen);
    assert_eq!(log.get(81).unwrap(), None, "not committed yet");
    assert_eq!(log.next_sequence(), 82);
    log.commit().unwrap();
    samples.push(unseen);

    // Once with the places known from writing, once with those found again.
    let stats = log.stats();
    for log in [log, Log::open_on(disk, SMALL).unwrap()] {
        assert_eq!(all(&log), samples);
        assert_eq!(
            log.read_from(70).map(|entry| entry.unwrap().sequence).collect::<Vec<_>>(),
            (70..=81).collect::<Vec<_>>()
        );
        assert_eq!(log.read_from(82).count(), 0);
        for entry in &samples {
            assert_eq!(log.get(entry.sequence).unwrap().as_ref(), Some(entry));
        }
        assert_eq!((log.get(0).unwrap(), log.get(82).unwrap()), (None, None));
        assert_eq!(log.stats(), stats);
        assert_eq!((stats.entries, stats.first_sequence, stats.last_sequence), (81, Some(1), Some(81)));
        assert_eq!(stats.first_received_at, Some(samples[0].received_at));
        assert_eq!(stats.last_received_at, Some(samples[80].received_at));
        assert_eq!(stats.plain_bytes, samples.iter().map(|entry| 13 + entry.body.len() as u64).sum::<u64>());
    }
}

#[test]
fn a_body_larger_than_a_block_has_one_of_its_own_and_one_too_large_is_refused() {
    let mut log = Log::open_on(SimulatedDisk::new(1), SMALL).unwrap();
    let samples = [sample(1, 10), sample(2, 100_000), sample(3, 10), sample(4, 70_000)];
    for entry in &samples {
        append(&mut log, entry);
    }
    log.commit().unwrap();
    assert_eq!(all(&log), samples);
    let refused = log.append(Timestamp(0), Kind::Logs, &vec![0; super::MAX_BODY_BYTES + 1]);
    assert!(matches!(refused, Err(crate::Error::TooLarge { .. })), "{refused:?}");
    assert_eq!(log.next_sequence(), 5);
    fill(&mut log, 1, 10);
}

#[test]
fn a_quiet_log_begins_a_new_segment_when_the_newest_is_a_quarter_of_the_age_old() {
    let mut log = Log::open_on(SimulatedDisk::new(1), SMALL).unwrap();
    for (secs, segments) in [(0, 1), (900, 1), (901, 2), (1000, 2), (1802, 3)] {
        log.append(Timestamp::from_secs(secs), Kind::Resumed, b"x").unwrap();
        log.commit().unwrap();
        assert_eq!(log.stats().segments, segments, "after {secs} s");
    }
}
