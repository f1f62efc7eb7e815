//! The log on a file system.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::embedded::lock;
use crate::embedded::verify::{info, verify};
use crate::error::Error;

fn newest(dir: &Path) -> PathBuf {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == "segment")).max().unwrap()
}

#[test]
fn a_log_on_disk_is_what_it_was_when_opened_again() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("made/on/the/way");
    let mut log = Log::open(&dir, SMALL).unwrap();
    let samples = fill(&mut log, 50, 300);
    let stats = log.stats();
    assert!(matches!(verify(&dir), Err(Error::Locked { .. })), "held by a writer");
    drop(log);
    assert_eq!(info(&dir).unwrap(), stats);
    let verified = verify(&dir).unwrap();
    assert_eq!((verified.damage, verified.entries, verified.disk_bytes), (None, 50, stats.disk_bytes));
    let mut log = Log::open(&dir, SMALL).unwrap();
    assert_eq!((all(&log), log.stats()), (samples, stats));
    log.options.max_bytes = 0;
    log.enforce_retention(Timestamp(0)).unwrap();
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "one segment and the lock");
    fill(&mut log, 1, 10);
}

/// Scenario: a crash left any part of the last write. Guarantee: what came before is whole, the rest is cut off and
/// told, and the log goes on.
#[test]
fn a_tail_torn_at_any_byte_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), SMALL).unwrap();
    let samples = fill(&mut log, 3, 40);
    let whole = log.stats().disk_bytes;
    fill(&mut log, 1, 40);
    let end = log.stats().disk_bytes;
    drop(log);
    let path = newest(dir.path());
    let bytes = fs::read(&path).unwrap();
    for cut in whole..end {
        fs::write(&path, &bytes[..cut as usize]).unwrap();
        let damage = verify(dir.path()).unwrap().damage;
        assert_eq!(damage.is_some(), cut > whole, "cut to {cut}");
        assert!(damage.is_none_or(|damage| damage.is_torn_tail && damage.offset == whole));
        assert_eq!(info(dir.path()).unwrap().entries, 3);
        let mut log = Log::open(dir.path(), SMALL).unwrap();
        assert_eq!(log.recovery().cut_bytes, cut - whole);
        assert_eq!(log.recovery().file.as_ref(), (cut > whole).then_some(&path));
        assert_eq!(all(&log), samples);
        append(&mut log, &sample(4, 7));
        log.commit().unwrap();
        drop(log);
        assert_eq!(info(dir.path()).unwrap().entries, 4);
    }
}

/// Scenario: the very first write was cut short at any byte.
#[test]
fn a_segment_that_was_never_begun_whole_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), SMALL).unwrap();
    fill(&mut log, 30, 200);
    let samples = all(&log);
    let last = log.catalog.read().segments.back().unwrap().header.first_sequence;
    drop(log);
    let path = newest(dir.path());
    let bytes = fs::read(&path).unwrap();
    for cut in 0..=36 {
        fs::write(&path, &bytes[..cut]).unwrap();
        let mut log = Log::open(dir.path(), SMALL).unwrap();
        assert_eq!(log.recovery().cut_bytes, if cut < 36 { cut as u64 } else { 0 });
        assert_eq!(all(&log), samples[..last as usize - 1]);
        fill(&mut log, 1, 10);
    }
}

#[test]
fn a_log_is_held_by_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), SMALL).unwrap();
    let error = Log::open(dir.path(), SMALL).unwrap_err();
    assert!(matches!(&error, Error::Locked { by, .. } if by == "this process"), "{error}");
    drop(log);
    Log::open(dir.path(), SMALL).unwrap();
}

const HELD_DIR: &str = "TRUEGREEN_STORE_TEST_HELD_DIR";

/// The other process of the next test.
#[test]
fn other_process() {
    let Some(dir) = std::env::var_os(HELD_DIR) else { return };
    match Log::open(Path::new(&dir), SMALL) {
        Err(Error::Locked { by, .. }) => println!("held by {by}"),
        other => println!("{other:?}"),
    }
}

#[test]
fn a_log_is_held_against_other_processes() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), SMALL).unwrap();
    let ask = || {
        let mut other = Command::new(std::env::current_exe().unwrap());
        other.args(["--exact", "embedded::tests::real::other_process", "--nocapture"]).env(HELD_DIR, dir.path());
        String::from_utf8(other.output().unwrap().stdout).unwrap()
    };
    let told = ask();
    assert!(told.contains(&format!("held by process {}", std::process::id())), "{told}");
    drop(log);
    let told = ask();
    assert!(told.contains("Ok("), "{told}");
    // The file stays behind and holds no one up.
    assert!(dir.path().join(lock::NAME).exists());
}

#[test]
fn looking_changes_nothing_and_needs_no_lock_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), SMALL).unwrap();
    fill(&mut log, 3, 40);
    drop(log);
    fs::remove_file(dir.path().join(lock::NAME)).unwrap();
    let path = newest(dir.path());
    OpenOptions::new().write(true).open(&path).unwrap().set_len(300).unwrap();
    assert!(verify(dir.path()).unwrap().damage.is_some_and(|damage| damage.is_torn_tail));
    info(dir.path()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 300);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let missing = verify(&dir.path().join("missing"));
    assert!(matches!(missing, Err(Error::Io { .. })), "{missing:?}");
}

/// Guarantee: a reader on another thread sees each entry once and in order while segments are written and dropped.
#[test]
fn reading_goes_on_while_segments_come_and_go() {
    const ENTRIES: u64 = 600;
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), Options { max_bytes: 6000, ..SMALL }).unwrap();
    let reader = log.reader();
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut next = 1;
            while next <= ENTRIES {
                for entry in reader.read_from(next) {
                    let entry = entry.unwrap();
                    assert!(entry.sequence >= next);
                    assert_eq!(entry, sample(entry.sequence, 150));
                    next = entry.sequence + 1;
                }
                reader.get(next / 2).unwrap();
            }
        });
        for sequence in 1..=ENTRIES {
            append(&mut log, &sample(sequence, 150));
            if sequence % 5 == 0 {
                log.commit().unwrap();
                log.enforce_retention(Timestamp(0)).unwrap();
            }
        }
        reading.join().unwrap();
    });
}
