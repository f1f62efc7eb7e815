//! What is dropped, and when.

use super::*;
use crate::embedded::retention::Dropped;
use crate::simulated::{Faults, SimulatedDisk};

#[test]
fn the_oldest_segments_go_by_size_and_the_newest_stays() {
    let disk = SimulatedDisk::new(1);
    let mut log = Log::open_on(disk.clone(), SMALL).unwrap();
    let samples = fill(&mut log, 60, 200);
    let before = log.stats();
    let mut old = log.read_from(1);
    assert_eq!(old.next().unwrap().unwrap().sequence, 1);

    log.options.max_bytes = 5000;
    let dropped = log.enforce_retention(Timestamp(0)).unwrap();
    let after = log.stats();
    assert!(after.disk_bytes <= 5000 && after.segments >= 2, "{after:?}");
    assert_eq!(dropped.segments, before.segments - after.segments);
    assert_eq!(dropped.entries, before.entries - after.entries);
    assert_eq!(dropped.bytes, before.disk_bytes - after.disk_bytes);
    assert_eq!(all(&log), samples[dropped.entries as usize..]);
    assert_eq!(log.get(1).unwrap(), None);
    assert_eq!(old.last().unwrap().unwrap().sequence, 60, "a reader goes on with the earliest retained");

    log.options.max_bytes = 0;
    log.enforce_retention(Timestamp(0)).unwrap();
    assert_eq!(log.stats().segments, 1);
    assert_eq!(log.enforce_retention(Timestamp(0)).unwrap(), Dropped::default());
    drop(log);
    let log = Log::open_on(disk, SMALL).unwrap();
    assert_eq!((log.stats().segments, log.next_sequence()), (1, 61), "sequences go on");
}

#[test]
fn a_segment_goes_when_its_latest_entry_is_too_old() {
    let mut log = Log::open_on(SimulatedDisk::new(1), SMALL).unwrap();
    for secs in [0, 1000, 2000] {
        log.append(Timestamp::from_secs(secs), Kind::Traces, b"x").unwrap();
        log.commit().unwrap();
    }
    for (now, dropped) in [(3600, 0), (3601, 1), (1_000_000, 1), (1_000_000, 0)] {
        assert_eq!(log.enforce_retention(Timestamp::from_secs(now)).unwrap().segments, dropped, "at {now} s");
    }
    assert_eq!(log.first_sequence(), 3);
}

/// Story: a removal whose sync failed was shown to readers as still there, and reading it failed. And one that fails
/// must not be overtaken by the next, which would leave a gap after a crash.
#[test]
fn a_removal_that_fails_is_finished_before_the_next() {
    for fault in [Faults { remove: true, ..Faults::default() }, Faults { sync_names: true, ..Faults::default() }] {
        let disk = SimulatedDisk::new(1);
        let mut log = Log::open_on(disk.clone(), SMALL).unwrap();
        let samples = fill(&mut log, 60, 200);
        log.options.max_bytes = 5000;
        disk.fail(fault);
        log.enforce_retention(Timestamp(0)).unwrap_err();
        assert_eq!(all(&log), samples[log.first_sequence() as usize - 1..]);

        let dropped = log.enforce_retention(Timestamp(0)).unwrap();
        assert!(dropped.segments > 1);
        disk.crash();
        let reopened = Log::open_on(disk, SMALL).unwrap();
        assert_eq!(reopened.first_sequence(), log.first_sequence());
    }
}

/// Scenario: a checkpoint is as of the middle of the log. Guarantee: no entry after it is dropped, however old.
#[test]
fn entries_that_are_still_needed_are_kept_whatever_their_age() {
    let options = Options { max_bytes: 0, ..SMALL };
    let mut log = Log::open_on(SimulatedDisk::new(1), options).unwrap();
    fill(&mut log, 60, 300);
    let end = log.next_sequence();
    for through in (0..end).step_by(7) {
        log.enforce_retention_through(Timestamp(0), through).unwrap();
        assert!(log.first_sequence() <= through + 1, "through {through}: {}", log.first_sequence());
    }
    assert!(log.first_sequence() > end / 2, "and the others are dropped: {}", log.first_sequence());
}
