//! The index against a plain map, on disks that forget, tear and lie, and on a real one.

mod crash;
mod damage;
mod model;
mod real;

use super::*;
use crate::simulated::SimulatedDisk;

/// Small enough that a few requests make a run and a few runs a merge.
const SMALL: Options = Options { run_records: 400, min_free_bytes: 0 };

fn open(disk: &SimulatedDisk, log: Range<u64>) -> Index<SimulatedDisk> {
    Index::open_on(disk.clone(), SMALL, log).unwrap()
}

/// The terms of a request: one that many share, one that some share, some of its own; hashed as a caller would.
fn terms(sequence: u64) -> Vec<Term> {
    let spread = |number: u64| Term(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
    let mut terms = vec![spread(1), spread(1000 + sequence / 7), spread(1000 + sequence / 7)];
    terms.extend((0..sequence % 9).map(|number| spread(1_000_000 + sequence * 10 + number)));
    terms
}

/// Adds these entries; every tenth has no terms and is not told of.
fn fill(index: &mut Index<impl Disk>, entries: Range<u64>) -> Result<(), Error> {
    entries.filter(|sequence| sequence % 10 != 0).try_for_each(|sequence| index.add(sequence, terms(sequence)))
}

/// Everything about these entries is found, and nothing else.
fn check(index: &Index<impl Disk>, entries: Range<u64>) {
    let finder = index.finder();
    let mut expected = std::collections::BTreeMap::<Term, Vec<u64>>::new();
    for sequence in entries.filter(|sequence| sequence % 10 != 0) {
        let mut terms = terms(sequence);
        terms.sort_unstable();
        terms.dedup();
        for term in terms {
            expected.entry(term).or_default().push(sequence);
        }
    }
    for (term, sequences) in expected {
        assert_eq!(finder.find(term, usize::MAX).unwrap(), Found { sequences, is_cut: false });
    }
    for absent in [0, 5, u64::MAX] {
        assert_eq!(finder.find(Term(absent), 10).unwrap(), Found::default());
    }
}

#[test]
fn what_was_added_is_found_at_once_and_after_opening_again() {
    let disk = SimulatedDisk::new(1);
    let mut index = open(&disk, 1..1);
    assert_eq!(index.next_sequence(), 1);
    fill(&mut index, 1..2000).unwrap();
    check(&index, 1..2000);
    assert!((3..9).contains(&index.stats().runs), "{:?}", index.stats());
    index.flush().unwrap();
    index.flush().unwrap();
    check(&index, 1..2000);
    let stats = index.stats();
    drop(index);
    let mut index = open(&disk, 1..2000);
    assert_eq!((index.next_sequence(), index.mended(), index.stats()), (2000, &Mended::default(), stats));
    check(&index, 1..2000);
    fill(&mut index, 1..2500).unwrap();
    check(&index, 1..2500);
}

#[test]
fn a_look_up_gives_the_earliest_and_says_when_it_is_cut() {
    let mut index = open(&SimulatedDisk::new(1), 1..1);
    fill(&mut index, 1..1000).unwrap();
    let finder = index.finder();
    let shared = terms(1)[0];
    for most in [0, 1, 3, 400, 899] {
        let found = finder.find(shared, most).unwrap();
        assert!(found.is_cut);
        assert_eq!(found.sequences, (1..1000).filter(|sequence| sequence % 10 != 0).take(most).collect::<Vec<_>>());
    }
    assert!(!finder.find(shared, 900).unwrap().is_cut);
}

#[test]
fn terms_that_fill_pages_and_extreme_ones_are_found() {
    let disk = SimulatedDisk::new(1);
    let mut index = open(&disk, 1..1);
    for sequence in 1..2000 {
        index.add(sequence, [Term(0), Term(7), Term(u64::MAX)]).unwrap();
    }
    index.flush().unwrap();
    for term in [0, 7, u64::MAX] {
        assert_eq!(index.finder().find(Term(term), 5000).unwrap().sequences, (1..2000).collect::<Vec<_>>());
    }
    assert_eq!(index.finder().find(Term(8), 5000).unwrap(), Found::default());
}

#[test]
fn sequences_far_apart_are_told_apart() {
    let mut index = open(&SimulatedDisk::new(1), 1..1);
    let far: Vec<u64> = (0..6).map(|number| 5 + number * 3_000_000_000).chain([u64::MAX - 2]).collect();
    for sequence in &far {
        index.add(*sequence, [Term(3)]).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(index.finder().find(Term(3), 100).unwrap().sequences, far);
        index.flush().unwrap();
    }
}

#[test]
fn dropped_entries_are_not_found_and_whole_runs_go() {
    let disk = SimulatedDisk::new(1);
    let mut index = open(&disk, 1..1);
    fill(&mut index, 1..20_000).unwrap();
    let before = index.stats();
    let dropped = index.drop_before(12_345).unwrap();
    assert!(dropped.runs > 0 && dropped.records > 0 && dropped.bytes > 0, "{dropped:?} of {before:?}");
    assert_eq!(index.stats().runs, before.runs - dropped.runs);
    assert_eq!(disk.files().len() as u64, index.stats().runs);
    check(&index, 12_345..20_000);
    index.flush().unwrap();
    drop(index);
    let index = open(&disk, 12_345..20_000);
    assert_eq!((index.mended(), index.next_sequence()), (&Mended::default(), 20_000));
    check(&index, 12_345..20_000);
}

/// Story: the earliest that memory holds were taken first, up to the bound, and only then were the dropped left out.
#[test]
fn dropped_entries_do_not_count_towards_the_bound() {
    let mut index = open(&SimulatedDisk::new(1), 1..1);
    for sequence in 1..=300 {
        index.add(sequence, [Term(7)]).unwrap();
    }
    index.drop_before(200).unwrap();
    for on_disk in [false, true] {
        let found = index.finder().find(Term(7), 3).unwrap();
        assert_eq!(found, Found { sequences: vec![200, 201, 202], is_cut: true }, "on disk: {on_disk}");
        index.flush().unwrap();
    }
}

/// Scenario: a merge is under way when the oldest of what it reads is dropped.
#[test]
fn a_merge_of_what_is_dropped_is_given_up() {
    let disk = SimulatedDisk::new(1);
    let mut index = open(&disk, 1..1);
    let options = Options { run_records: 100_000, ..SMALL };
    index.options = options;
    if let Keeping::Here(keeper) = &mut index.keeping {
        keeper.options = options;
    }
    for part in 0..4 {
        for sequence in part * 10_000 + 1..=(part + 1) * 10_000 {
            index.add(sequence, [Term(sequence % 97), Term(sequence), Term(!sequence)]).unwrap();
        }
        if part < 3 {
            index.flush().unwrap();
        }
    }
    let Keeping::Here(keeper) = &mut index.keeping else { panic!("in the thread") };
    let mut state = index.shared.lock();
    let end = state.active.end;
    let newest = std::mem::replace(&mut state.active, Memory::new(end));
    state.frozen.push_back(Arc::new(newest));
    drop(state);
    assert!(keeper.step().unwrap() && keeper.step().unwrap() && keeper.step().unwrap());
    assert!(keeper.merge.is_some());
    let dropped = index.drop_before(10_001).unwrap();
    assert_eq!(dropped.runs, 1);
    let Keeping::Here(keeper) = &index.keeping else { panic!("in the thread") };
    assert!(keeper.merge.is_none());
    assert_eq!((index.stats().runs, disk.files().len()), (3, 3));
    assert_eq!(index.finder().find(Term(20_000), 9).unwrap().sequences, [20_000]);
    assert_eq!(index.finder().find(Term(3), 1).unwrap().sequences[0] % 97, 3);
}

#[test]
fn an_index_of_another_log_is_built_anew() {
    let disk = SimulatedDisk::new(1);
    let mut index = open(&disk, 1..1);
    fill(&mut index, 1..3000).unwrap();
    index.flush().unwrap();
    drop(index);
    let files = disk.files();
    // The log lost its end, begins earlier, or is new.
    for (log, next) in [(1..2999, 2999), (1..100, 100), (1..1, 1), (0..3000, 0)] {
        let index = open(&SimulatedDisk::with(&files), log.clone());
        assert!(index.next_sequence() <= next && index.mended().runs > 0, "{log:?}: {}", index.next_sequence());
        check(&index, 1..index.next_sequence().max(1));
    }
}

#[test]
fn a_full_disk_stops_the_index_and_not_what_it_knows() {
    let disk = SimulatedDisk::new(1);
    let mut index = open(&disk, 1..1);
    fill(&mut index, 1..500).unwrap();
    disk.leave_free(1000);
    let stopped = fill(&mut index, 500..900).unwrap_err();
    assert!(matches!(&stopped, Error::IndexStopped { cause, .. } if cause.contains("free")), "{stopped}");
    assert!(matches!(index.flush(), Err(Error::IndexStopped { .. })));
    let end = index.next_sequence();
    check(&index, 1..end);
    drop(index);
    disk.leave_free(1 << 30);
    let mut index = open(&disk, 1..900);
    let next = index.next_sequence();
    assert!(next < end);
    fill(&mut index, next..900).unwrap();
    check(&index, 1..900);
}

#[test]
fn compacting_leaves_one_run_where_one_can_hold_all() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(compact(&dir.path().join("none"), SMALL, 1..1).unwrap(), Default::default());
    let mut index = Index::open_on(Directory::new(dir.path()), SMALL, 1..1).unwrap();
    fill(&mut index, 1..900).unwrap();
    index.flush().unwrap();
    let runs = index.stats().runs;
    drop(index);
    let (before, after) = compact(dir.path(), SMALL, 1..900).unwrap();
    assert!(before.runs == runs && runs > 1 && after.runs == 1, "{before:?}, {after:?}");
    assert_eq!((info(dir.path()).unwrap(), after.records), (after, before.records));
    check(&Index::open_on(Directory::new(dir.path()), SMALL, 1..900).unwrap(), 1..900);
}
