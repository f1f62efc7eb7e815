//! What is dropped, and when.

use super::simulated::{Faults, SimulatedDisk};
use super::*;
use crate::embedded::retention::Dropped;

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
