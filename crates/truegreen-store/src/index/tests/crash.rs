//! The power fails at every single change of the disk.

use super::*;

const TINY: Options = Options { run_records: 100, min_free_bytes: 0 };
const END: u64 = 600;

fn open(disk: &SimulatedDisk, log: Range<u64>) -> Index<SimulatedDisk> {
    Index::open_on(disk.clone(), TINY, log).unwrap()
}

/// Guarantee: wherever the power fails, the index opens, is right about what it says it covers, and goes on.
#[test]
fn the_power_may_fail_at_any_change() {
    let mut changes = 0;
    loop {
        let disk = SimulatedDisk::new(changes);
        let mut index = open(&disk, 1..1);
        disk.fail_after(changes);
        let filled =
            fill(&mut index, 1..END).and_then(|()| index.flush()).and_then(|()| index.drop_before(200).map(drop));
        let flushed = filled.is_ok();
        drop(index);
        disk.crash();
        let mut index = open(&disk, if flushed { 200..END } else { 1..END });
        let next = index.next_sequence();
        check(&index, if flushed { 200 } else { 1 }..next);
        if flushed {
            assert_eq!(next, END);
            break;
        }
        fill(&mut index, next..END).unwrap();
        index.flush().unwrap();
        check(&index, 1..END);
        changes += 1;
    }
    assert!(changes > 50, "only {changes} changes");
}

/// Guarantee: nor does it matter where it fails while an index is mended.
#[test]
fn the_power_may_fail_while_opening() {
    for seed in 0..100 {
        let disk = SimulatedDisk::new(seed);
        let mut index = open(&disk, 1..1);
        disk.fail_after(30 + seed % 40);
        drop(fill(&mut index, 1..END).and_then(|()| index.flush()));
        drop(index);
        disk.crash();
        for changes in 0..6 {
            disk.fail_after(changes);
            drop(Index::open_on(disk.clone(), TINY, 1..END));
            disk.crash();
        }
        let mut index = open(&disk, 1..END);
        let next = index.next_sequence();
        check(&index, 1..next);
        fill(&mut index, next..END).unwrap();
        check(&index, 1..END);
    }
}
