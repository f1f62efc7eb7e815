//! Disks that fail or are full while something is written.

use super::*;
use crate::error::Error;
use crate::simulated::{Faults, SimulatedDisk};

#[test]
fn after_a_failed_write_or_sync_nothing_is_written_until_the_log_is_opened_again() {
    let faults = [Faults { write: true, ..Faults::default() }, Faults { sync: true, ..Faults::default() }];
    for fault in faults {
        let disk = SimulatedDisk::new(1);
        let mut log = Log::open_on(disk.clone(), SMALL).unwrap();
        let samples = fill(&mut log, 3, 50);
        disk.fail(fault);
        append(&mut log, &sample(4, 50));
        let error = log.commit().unwrap_err();
        assert!(matches!(error, Error::Poisoned { .. }), "{error}");
        assert!(error.to_string().contains("the disk does not answer"), "{error}");

        // The disk is sound again, and still no one knows what it holds.
        let before = disk.files();
        assert!(matches!(log.append(Timestamp(0), Kind::Logs, b""), Err(Error::Poisoned { .. })));
        assert!(matches!(log.commit(), Err(Error::Poisoned { .. })));
        assert!(matches!(log.enforce_retention(Timestamp::NEVER), Err(Error::Poisoned { .. })));
        assert_eq!(disk.files(), before);
        assert_eq!(all(&log), samples, "what was committed is still read");

        drop(log);
        let mut log = Log::open_on(disk, SMALL).unwrap();
        assert_eq!(all(&log)[..3], samples);
        fill(&mut log, 3, 50);
    }
}

#[test]
fn a_segment_that_cannot_be_begun_poisons_too() {
    let disk = SimulatedDisk::new(1);
    let mut log = Log::open_on(disk.clone(), SMALL).unwrap();
    disk.fail(Faults { sync_names: true, ..Faults::default() });
    append(&mut log, &sample(1, 10));
    assert!(matches!(log.commit(), Err(Error::Poisoned { .. })));
    drop(log);
    let mut log = Log::open_on(disk, SMALL).unwrap();
    assert_eq!(log.next_sequence(), 1);
    fill(&mut log, 1, 10);
}

#[test]
fn a_disk_that_is_nearly_full_refuses_and_the_log_goes_on_when_there_is_room() {
    let disk = SimulatedDisk::new(1);
    let options = Options { min_free_bytes: 10_000, ..SMALL };
    let mut log = Log::open_on(disk.clone(), options).unwrap();
    let samples = fill(&mut log, 3, 50);
    disk.leave_free(10_100);
    let refused = log.append(Timestamp(0), Kind::Logs, &[0; 100]);
    assert!(matches!(refused, Err(Error::NoSpace { free: 10_100, least: 10_000, .. })), "{refused:?}");
    log.commit().unwrap();
    assert_eq!((all(&log), log.next_sequence()), (samples, 4), "nothing of it was kept");
    disk.leave_free(20_000);
    fill(&mut log, 3, 50);
}

/// Scenario: requests are refused because the disk is full. Guarantee: that is still written down, in half of the
/// reserve and no more, and it opens no door for requests.
#[test]
fn notes_are_taken_where_requests_no_longer_are() {
    let disk = SimulatedDisk::new(1);
    let options = Options { min_free_bytes: 10_000, segment_bytes: 1 << 20, ..SMALL };
    let mut log = Log::open_on(disk.clone(), options).unwrap();
    fill(&mut log, 1, 50);
    disk.leave_free(10_000);
    let mut notes = 0;
    let full = loop {
        for kind in [Kind::Traces, Kind::Logs, Kind::Metrics] {
            let refused = log.append(Timestamp(0), kind, b"request");
            assert!(matches!(refused, Err(Error::NoSpace { least: 10_000, .. })), "{refused:?}");
        }
        let kinds = [Kind::Refused, Kind::Resumed, Kind::Stopped, Kind::Contracts];
        match log.append(Timestamp(0), kinds[notes % 4], &[notes as u8; 30]) {
            Ok(_) => log.commit().unwrap(),
            Err(error) => break error,
        }
        notes += 1;
    };
    assert!(matches!(full, Error::NoSpace { least: 5000, .. }), "{full}");
    assert!(notes > 30 && disk.free_bytes().unwrap() >= 5000, "{notes} notes, {:?} free", disk.free_bytes());
    disk.leave_free(20_000);
    fill(&mut log, 1, 50);
}

/// What is buffered counts: a disk must not be promised to many appends at once.
#[test]
fn buffered_entries_count_as_taken() {
    let disk = SimulatedDisk::new(1);
    let options = Options { min_free_bytes: 10_000, segment_bytes: 1 << 20, ..SMALL };
    let mut log = Log::open_on(disk.clone(), options).unwrap();
    disk.leave_free(20_000);
    let mut random = fastrand::Rng::with_seed(1);
    let taken = (0..100).take_while(|_| {
        let body: Vec<u8> = (0..1000).map(|_| random.u8(..)).collect();
        log.append(Timestamp(0), Kind::Logs, &body).is_ok()
    });
    assert_eq!(taken.count(), 9);
    log.commit().unwrap();
    assert!(disk.free_bytes().unwrap() >= 10_000);
}

/// The free space was taken by someone else between the look and the write.
#[test]
fn a_disk_full_in_the_middle_of_a_write_loses_nothing_that_was_committed() {
    for free in 0..200 {
        let disk = SimulatedDisk::new(free);
        let mut log = Log::open_on(disk.clone(), SMALL).unwrap();
        let samples = fill(&mut log, 3, 50);
        append(&mut log, &sample(4, 150));
        disk.leave_free(free);
        let committed = log.commit();
        drop(log);
        disk.leave_free(1 << 30);
        disk.crash();
        let mut log = Log::open_on(disk, SMALL).unwrap();
        let found = all(&log);
        assert_eq!(found[..3], samples);
        assert!(committed.is_err() || found.len() == 4, "{free} bytes free: {committed:?}");
        fill(&mut log, 3, 50);
    }
}
