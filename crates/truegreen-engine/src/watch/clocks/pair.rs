//! What calls between two instances say of their clocks. In true time a server's span lies within its client's, so each
//! call bounds from both sides by how much one clock is ahead of the other.
//!
//! Not every call is a call: a server may go on after its client has left. So the bounds of many are intersected as in
//! a vote: what most of them agree on counts, and single ones may lie outside.
//!
//! A message is processed after it was published, which bounds from one side only. Where no calls are made and messages go
//! both ways, two such bounds do.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::time::Timestamp;

/// Bounds kept of a while; the narrowest say most.
const KEPT: usize = 24;
/// A while lasts so long, and longer where calls are rare.
const WHILE: Duration = Duration::from_secs(60);
const LONGEST_WHILE: Duration = Duration::from_secs(600);
/// So many bounds must agree.
const ENOUGH: usize = 5;
/// A call contradicts what was agreed on where it misses it by so many nanoseconds.
const LEAP: i64 = 100_000_000;
/// Clocks drift, so bounds of a while may just miss each other; they are widened by up to so many nanoseconds.
const MOST_WIDENED: i64 = 512_000_000;
const FIRST_WIDENED: i64 = 500_000;

/// Lower and upper bound, in nanoseconds.
type Bound = (i64, i64);

/// What is known of two clocks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Pair {
    since: Timestamp,
    latest: Timestamp,
    current: SmallVec<[Bound; 4]>,
    previous: SmallVec<[Bound; 4]>,
    /// Upper bounds of messages, of those that go the one way and the other.
    messages: [Messages; 2],
    /// What was agreed on last, and the latest calls in a row that contradict it.
    told: Option<Agreed>,
    strays: SmallVec<[Bound; ENOUGH]>,
    /// When it was last seen that a clock was set: calls heard until then say nothing any more.
    set: Timestamp,
}

/// Upper bounds of messages that go one way.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Messages {
    since: Timestamp,
    seen: u64,
    /// The least of this while and the one before, in order.
    least: SmallVec<[i64; LEAST]>,
    least_before: SmallVec<[i64; LEAST]>,
}

/// One message may be taken for another, so a few that say most are left aside.
const LEAST: usize = 3;

impl Messages {
    fn add(&mut self, upper: i64, now: Timestamp) {
        if self.seen == 0 {
            self.since = now;
        }
        if now.since(self.since) >= WHILE && self.seen >= ENOUGH as u64 {
            self.least_before = std::mem::take(&mut self.least);
            (self.since, self.seen) = (now, 0);
        }
        self.seen += 1;
        let at = self.least.partition_point(|known| *known <= upper);
        if at < LEAST {
            self.least.truncate(LEAST - 1);
            self.least.insert(at, upper);
        }
    }

    fn upper(&self) -> Option<i64> {
        let enough = |least: &SmallVec<[i64; LEAST]>| least.get(LEAST - 1).copied();
        let current = enough(&self.least).filter(|_| self.seen >= ENOUGH as u64);
        current.or(enough(&self.least_before))
    }
}

/// What most of the bounds agree on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Agreed {
    pub(super) lower: i64,
    pub(super) upper: i64,
}

impl Pair {
    /// A call that was heard then bounds the difference. Says whether it shows that one of the clocks was set.
    pub(super) fn add(&mut self, lower: i64, upper: i64, heard: Timestamp, now: Timestamp) -> bool {
        // A child that is longer than its parent bounds nothing.
        if lower > upper || heard <= self.set {
            return false;
        }
        if self.is_forgotten(now) {
            self.current.clear();
            self.previous.clear();
        }
        if self.current.is_empty() {
            self.since = now;
        }
        if self.is_set_anew((lower, upper), heard, now) {
            return true;
        }
        let age = now.since(self.since);
        if age >= LONGEST_WHILE || (age >= WHILE && self.current.len() >= ENOUGH) {
            self.previous = std::mem::take(&mut self.current);
            self.since = now;
        }
        self.latest = now;
        if self.current.len() < KEPT {
            self.current.push((lower, upper));
            return false;
        }
        let width = |(lower, upper): &Bound| upper.saturating_sub(*lower);
        let widest = self.current.iter_mut().max_by_key(|bound| width(bound));
        if let Some(widest) = widest.filter(|widest| width(widest) > upper.saturating_sub(lower)) {
            *widest = (lower, upper);
        }
        false
    }

    /// A clock was set then: whether no call was heard since, or it was just now and the latest calls contradict those before.
    pub(super) fn is_in_doubt(&self, set: Timestamp, now: Timestamp) -> bool {
        self.latest < set || (!self.strays.is_empty() && now.since(set) < WHILE)
    }

    /// Whether so many calls in a row contradict all before them that a clock was set.
    fn is_set_anew(&mut self, bound: Bound, heard: Timestamp, now: Timestamp) -> bool {
        let contradicts =
            |told: Agreed| bound.0 > told.upper.saturating_add(LEAP) || bound.1 < told.lower.saturating_sub(LEAP);
        if !self.told.is_some_and(contradicts) {
            self.strays.clear();
            return false;
        }
        self.strays.push(bound);
        if self.strays.len() < ENOUGH {
            return false;
        }
        self.previous.clear();
        self.current = self.strays.drain(..).collect();
        (self.since, self.latest, self.told, self.set) = (now, now, None, heard);
        true
    }

    /// What is agreed on now, which later calls are held against.
    pub(super) fn tell(&mut self, now: Timestamp) -> Option<Agreed> {
        self.told = self.agreed(now);
        self.told
    }

    /// By how much the second clock can be ahead of the first at the most, and the first of the second, as messages
    /// that went one way say.
    pub(super) fn one_sided(&self) -> [Option<i64>; 2] {
        [self.messages[0].upper(), self.messages[1].upper()]
    }

    /// A message bounds the difference from above, or seen from the other side from below.
    pub(super) fn add_message(&mut self, is_backwards: bool, upper: i64, now: Timestamp) {
        self.latest = now;
        self.messages[usize::from(is_backwards)].add(upper, now);
    }

    /// What messages that go both ways agree on.
    fn by_messages(&self) -> Option<Agreed> {
        let (upper, lower) = (self.messages[0].upper()?, self.messages[1].upper()?.saturating_neg());
        (lower <= upper).then_some(Agreed { lower, upper })
    }

    pub(super) fn is_forgotten(&self, now: Timestamp) -> bool {
        now.since(self.latest) > LONGEST_WHILE
    }

    /// What more than two thirds of the bounds agree on, each widened as little as that takes.
    pub(super) fn agreed(&self, now: Timestamp) -> Option<Agreed> {
        // A clock may have been set since what is older than this.
        let old: &[Bound] = if self.current.len() >= ENOUGH { &[] } else { &self.previous };
        let bounds: SmallVec<[Bound; 2 * KEPT]> = self.current.iter().chain(old).copied().collect();
        if bounds.len() < ENOUGH || self.is_forgotten(now) {
            return self.by_messages();
        }
        let mut widened = 0;
        while widened <= MOST_WIDENED {
            let (votes, lower, upper) = vote(&bounds, widened);
            if 3 * votes > 2 * bounds.len() {
                return Some(Agreed { lower, upper });
            }
            widened = (2 * widened).max(FIRST_WIDENED);
        }
        None
    }
}

/// Where the most bounds overlap, and how many.
fn vote(bounds: &[Bound], widened: i64) -> (usize, i64, i64) {
    let mut edges: SmallVec<[(i64, bool); 4 * KEPT]> = SmallVec::new();
    for (lower, upper) in bounds {
        edges.push((lower.saturating_sub(widened), false));
        edges.push((upper.saturating_add(widened), true));
    }
    // Where one ends on the point on which another begins, they overlap.
    edges.sort_unstable();
    let (mut inside, mut best) = (0_usize, (0, 0, 0));
    for (index, (at, ends)) in edges.iter().enumerate() {
        if *ends {
            inside -= 1;
        } else {
            inside += 1;
            if inside > best.0 {
                best = (inside, *at, edges.get(index + 1).map_or(*at, |edge| edge.0));
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn agreed(bounds: impl IntoIterator<Item = Bound>) -> Option<Agreed> {
        let mut pair = Pair::default();
        for (lower, upper) in bounds {
            pair.add(lower, upper, NOW, NOW);
        }
        pair.agreed(NOW)
    }

    #[test]
    fn many_bounds_are_narrower_than_each() {
        let found = agreed([(-10, 5), (-3, 9), (-7, 4), (-9, 8), (-4, 20)]);
        assert_eq!(found, Some(Agreed { lower: -3, upper: 4 }));
    }

    #[test]
    fn single_ones_may_be_wrong() {
        let right = (0..10).map(|_| (-3, 4));
        assert_eq!(agreed(right.chain([(900, 905), (300, 310)])), Some(Agreed { lower: -3, upper: 4 }));
    }

    #[test]
    fn a_clock_that_drifts_misses_no_majority() {
        let found = agreed((0..24).map(|n| (n * 100_000, n * 100_000 + 200_000)));
        let Agreed { lower, upper } = found.expect("agreed");
        assert!(lower <= 1_200_000 && upper >= 1_200_000 && upper - lower < 5_000_000, "{lower} {upper}");
    }

    #[test]
    fn messages_that_go_both_ways_bound_as_calls_do() {
        let mut pair = Pair::default();
        for n in 0..20 {
            pair.add_message(false, 7_000 + n * 10, NOW);
        }
        assert_eq!(pair.agreed(NOW), None);
        for n in 0..20 {
            pair.add_message(true, -6_900 + n * 10, NOW);
        }
        assert_eq!(pair.agreed(NOW), Some(Agreed { lower: 6_880, upper: 7_020 }));
    }

    #[test]
    fn few_or_contradictory_ones_say_nothing() {
        assert_eq!(agreed([(-3, 4); 4]), None);
        assert_eq!(agreed([(5, 4); 50]), None, "child longer than parent");
        assert_eq!(agreed((0..20).map(|n| (n * 100_000_000_000, n * 100_000_000_000 + 1))), None);
    }
}
