//! Worlds in which the server crashes, the disk tears and fills, and the network loses.

use truegreen_sim::durability::campaign::{KEPT, hold};
use truegreen_sim::durability::shape::Shape;
use truegreen_sim::durability::world::Tally;

/// Scenario: the worlds of the first seeds. Guarantee: no sentence is broken, and the worlds are not idle ones.
#[test]
fn nothing_acknowledged_is_lost() {
    let mut tally = Tally::default();
    for seed in 0..200 {
        let shape = Shape::of(seed);
        match hold(&shape) {
            Ok(seen) => tally += seen,
            Err(broken) => panic!("{shape}\n{broken}"),
        }
    }
    println!("{tally:?}");
    assert!(tally.crashes > 200 && tally.stops > 50 && tally.checkpoints > 200 && tally.refused > 500, "{tally:?}");
}

/// Scenario: shapes that once broke a sentence. Guarantee: they do no more.
#[test]
fn what_once_broke_holds() {
    for line in KEPT.lines().filter(|line| !line.starts_with('#')) {
        let shape: Shape = line.parse().unwrap();
        assert_eq!(shape.to_string(), line);
        hold(&shape).unwrap_or_else(|broken| panic!("{line}\n{broken}"));
    }
}
