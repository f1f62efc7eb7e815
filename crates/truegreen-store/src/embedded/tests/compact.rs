//! Rewriting segments of small blocks.

use super::*;
use crate::compact::compact;
use crate::embedded::compact::{Rewritten, compact_log};
use crate::embedded::verify::verify_on;
use crate::error::Error;
use crate::simulated::SimulatedDisk;

/// Entries that are alike, each committed alone.
fn scattered(disk: &SimulatedDisk) -> Vec<Entry> {
    let mut log = Log::open_on(disk.clone(), FULL).unwrap();
    for sequence in 1..=160 {
        append(&mut log, &sample(sequence, 90));
        log.commit().unwrap();
    }
    assert!(log.stats().segments > 3, "{:?}", log.stats());
    all(&log)
}

const FULL: Options = Options { block_bytes: 1500, segment_bytes: 3000, ..SMALL };

fn compacted(disk: &SimulatedDisk) -> Result<Rewritten, Error> {
    compact_log(&mut Log::open_on(disk.clone(), FULL)?, Timestamp(0), u64::MAX)
}

#[test]
fn small_blocks_become_full_ones_and_nothing_else_changes() {
    let disk = SimulatedDisk::new(1);
    let samples = scattered(&disk);
    let before = verify_on(&disk).unwrap();
    let done = compacted(&disk).unwrap();
    let after = verify_on(&disk).unwrap();
    assert_eq!((done.bytes.before, done.bytes.after), (before.disk_bytes, after.disk_bytes));
    assert_eq!((done.segments, done.dropped), (before.segments - 1, Default::default()));
    assert!(after.disk_bytes < before.disk_bytes * 3 / 4, "{} of {}", after.disk_bytes, before.disk_bytes);
    assert_eq!((after.damage, after.entries, after.plain_bytes), (None, before.entries, before.plain_bytes));
    let mut log = Log::open_on(disk.clone(), FULL).unwrap();
    assert_eq!(all(&log), samples);
    for entry in &samples {
        assert_eq!(log.get(entry.sequence).unwrap().as_ref(), Some(entry));
    }
    fill(&mut log, 3, 90);
    drop(log);
    assert_eq!(compacted(&disk).unwrap().segments, 0, "there is nothing more to gain");
}

#[test]
fn what_is_beyond_the_limits_is_dropped_first_and_what_is_still_needed_is_kept() {
    let disk = SimulatedDisk::new(1);
    let samples = scattered(&disk);
    let open = || Log::open_on(disk.clone(), Options { max_bytes: 0, ..FULL }).unwrap();
    let done = compact_log(&mut open(), Timestamp(0), 30).unwrap();
    let first = open().first_sequence();
    assert!(first > 1 && first <= 31 && done.dropped.entries == first - 1, "{done:?}");
    assert_eq!(all(&open()), samples[first as usize - 1..]);
}

/// Guarantee: wherever the power fails, the log holds every entry, and a further attempt completes.
#[test]
fn the_power_may_fail_at_any_change() {
    let mut changes = 0;
    loop {
        let disk = SimulatedDisk::new(changes);
        let samples = scattered(&disk);
        disk.fail_after(changes);
        let done = compacted(&disk);
        disk.crash();
        let log = Log::open_on(disk.clone(), FULL).unwrap();
        assert_eq!(all(&log), samples, "after {changes} changes");
        assert!(disk.files().iter().all(|(name, _)| name.ends_with(".segment")));
        drop(log);
        if done.is_ok() {
            break;
        }
        compacted(&disk).unwrap();
        assert_eq!(all(&Log::open_on(disk, FULL).unwrap()), samples);
        changes += 1;
    }
    assert!(changes > 20, "only {changes} changes");
}

#[test]
fn without_room_or_with_damage_the_old_segment_stays() {
    let disk = SimulatedDisk::new(1);
    let samples = scattered(&disk);
    disk.leave_free(100);
    assert!(matches!(compacted(&disk), Err(Error::NoSpace { .. })));
    disk.leave_free(1 << 30);
    let mut files = disk.files();
    let place = files[1].1.len() / 2;
    files[1].1[place] ^= 1;
    let disk = SimulatedDisk::with(&files);
    let error = compacted(&disk).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_eq!(disk.files()[1..], files[1..]);
    let kept: Vec<Entry> = Log::open_on(disk, FULL).unwrap().read_from(1).map_while(Result::ok).collect();
    assert!(!kept.is_empty() && kept == samples[..kept.len()]);
}

/// A rewritten segment that is the newest was all durable once: damage in it is no torn tail.
#[test]
fn a_rewritten_newest_segment_is_never_cut() {
    let disk = SimulatedDisk::new(1);
    scattered(&disk);
    let mut files = disk.files();
    files.pop();
    let disk = SimulatedDisk::with(&files);
    assert!(compacted(&disk).unwrap().segments >= 3);
    let files = disk.files();
    let newest = files.len() - 1;
    for place in 36..files[newest].1.len() - 56 {
        let mut files = files.clone();
        files[newest].1[place] ^= 1;
        let opened = Log::open_on(SimulatedDisk::with(&files), FULL).map(drop);
        assert!(matches!(opened, Err(Error::Damaged { .. })), "byte {place}: {opened:?}");
    }
}

#[test]
fn all_of_a_store_is_compacted_by_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(compact(dir.path(), FULL, Timestamp(0)).unwrap(), Default::default());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is made where nothing is");
    let mut log = Log::open(dir.path(), FULL).unwrap();
    let samples = fill(&mut log, 160, 90);
    let options = crate::index::Options { run_records: 100, min_free_bytes: 0 };
    let mut index = crate::index::Index::open(&dir.path().join("index"), options, 1..161).unwrap();
    for sequence in 1..=160 {
        index.add(sequence, [crate::index::Term(sequence), crate::index::Term(5)]).unwrap();
    }
    index.flush().unwrap();
    drop(index);
    let room = crate::checkpoint::Options { min_free_bytes: 0 };
    let checkpoint = dir.path().join("checkpoint");
    let mut checkpoints = crate::checkpoint::Checkpoints::open(&checkpoint, room).unwrap();
    checkpoints.write(90, vec![(b"key".to_vec(), Some(b"value".to_vec()))]).unwrap();
    drop(checkpoints);
    let strict = Options { max_bytes: 0, ..FULL };
    let held = compact(dir.path(), strict, Timestamp(0));
    assert!(matches!(&held, Err(Error::Locked { by, .. }) if by == "this process"), "{held:?}");
    drop(log);

    let done = compact(dir.path(), strict, Timestamp(0)).unwrap();
    assert!(done.log.segments > 1 && done.log.bytes.after < done.log.bytes.before, "{done:?}");
    assert_eq!(crate::info(dir.path()).unwrap().disk_bytes, done.log.bytes.after);
    let log = Log::open(dir.path(), FULL).unwrap();
    let first = log.first_sequence();
    assert!(first > 1 && first <= 91, "what comes after the checkpoint is kept, and not all before it: {first}");
    assert_eq!(all(&log), samples[first as usize - 1..]);
    let index = crate::index::Index::open(&dir.path().join("index"), options, first..161).unwrap();
    assert_eq!((index.stats().runs, index.next_sequence()), (1, 161));
    assert_eq!(index.finder().find(crate::index::Term(5), 500).unwrap().sequences, (first..161).collect::<Vec<_>>());
    let checkpoints = crate::checkpoint::Checkpoints::open(&checkpoint, room).unwrap();
    assert_eq!((checkpoints.sequence(), checkpoints.records().count()), (Some(90), 1));
}

#[test]
fn a_log_is_looked_at_beside_its_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), FULL).unwrap();
    fill(&mut log, 60, 90);
    assert_eq!(crate::info(dir.path()).unwrap(), log.stats());
}
