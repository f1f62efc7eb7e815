//! The index on a file system, with its thread.

use super::*;

fn filled(dir: &Path, log: Range<u64>, entries: Range<u64>) -> Index {
    let mut index = Index::open(dir, SMALL, log).unwrap();
    fill(&mut index, entries).unwrap();
    index
}

#[test]
fn an_index_on_disk_is_what_it_was_when_opened_again() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("log/index");
    assert_eq!(info(&dir).unwrap(), Stats::default());
    let mut index = filled(&dir, 1..1, 1..4000);
    check(&index, 1..4000);
    index.flush().unwrap();
    drop(index);
    let stats = verify(&dir).unwrap();
    assert_eq!((stats.damage, stats.next_sequence), (None, Some(4000)));
    let mut index = filled(&dir, 1..4000, 1..5000);
    check(&index, 1..5000);
    index.drop_before(4500).unwrap();
    check(&index, 4500..5000);
    index.flush().unwrap();
    drop(index);
    // What the thread was doing when it ended leaves nothing behind that is not whole.
    let stats = verify(&dir).unwrap();
    assert_eq!(stats.damage, None);
    let index = Index::open(&dir, SMALL, 4500..5000).unwrap();
    assert_eq!((index.next_sequence(), index.mended()), (5000, &Mended::default()));
    check(&index, 4500..5000);
}

/// Guarantee: a finder on another thread finds all of what was added before it asks, while runs come, merge and go.
#[test]
fn looking_up_goes_on_while_runs_come_and_go() {
    const ENTRIES: u64 = 6000;
    let dir = tempfile::tempdir().unwrap();
    let mut index = Index::open(dir.path(), SMALL, 1..1).unwrap();
    let finder = index.finder();
    let added = std::sync::atomic::AtomicU64::new(0);
    // Told before it is done: a thread that was held up may look for what is gone by now.
    let dropped_before = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        let finding = scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(1);
            loop {
                let last = added.load(std::sync::atomic::Ordering::Acquire);
                let sequence = random.u64(last.saturating_sub(2000)..last + 1);
                if !sequence.is_multiple_of(10) && sequence > last.saturating_sub(1000) {
                    let found = finder.find(terms(sequence)[1], 100).unwrap();
                    let is_gone = sequence < dropped_before.load(std::sync::atomic::Ordering::Acquire);
                    assert!(is_gone || found.sequences.contains(&sequence), "{sequence} of {last}: {found:?}");
                }
                if last == ENTRIES {
                    return;
                }
            }
        });
        for sequence in 1..=ENTRIES {
            fill(&mut index, sequence..sequence + 1).unwrap();
            added.store(sequence, std::sync::atomic::Ordering::Release);
            if sequence.is_multiple_of(500) {
                let first = sequence.saturating_sub(3000);
                dropped_before.store(first, std::sync::atomic::Ordering::Release);
                index.drop_before(first).unwrap();
            }
        }
        finding.join().unwrap();
    });
}
