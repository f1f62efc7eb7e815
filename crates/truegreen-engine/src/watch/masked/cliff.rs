//! Time-outs that nobody calls so: calls that end without an answer and without an error pile up at one duration, where
//! whoever waits gives up. Nothing ends above it, and little ends shortly below it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::watch::share::Deviation;

/// Calls that ended at one duration, from which on it is a cliff: less than once in a thousand by chance.
const ENOUGH: usize = 3;
/// As many times as long as usual, and so long at the least.
const LONGER: u32 = 8;
const SHORTEST: Duration = Duration::from_millis(50);
/// Timers fire late rather than early, and a process may have to wait for its turn.
const EARLY: f64 = 0.995;
const LATE: f64 = 1.01;
const LATE_BY: Duration = Duration::from_millis(10);
/// What ends between this share of the cliff and the cliff speaks against it.
const NEAR: f64 = 0.5;
/// The steps by which the usual duration follows, once it is known.
const STEP: f64 = 0.05;

/// How long a call takes, and where its durations end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Cliff {
    /// About the median, in nanoseconds.
    usual: f64,
    seen: u32,
    at: Duration,
    /// Calls that ended there and were not told yet; those that were.
    held: SmallVec<[Deviation; 0]>,
    told: u32,
    /// Those that ended shortly below.
    below: u32,
}

impl Cliff {
    /// A call was answered.
    pub(super) fn answered(&mut self, took: Duration) {
        self.follow(took);
        let took = took.as_nanos() as f64;
        let at = self.at.as_nanos() as f64;
        self.below += u32::from(took > at * NEAR && took < at * EARLY);
        // Who is answered later than others gave up had more patience.
        if took > at * LATE + LATE_BY.as_nanos() as f64 {
            self.forget();
        }
    }

    fn follow(&mut self, took: Duration) {
        self.seen = self.seen.saturating_add(1);
        let took = took.as_nanos().max(1) as f64;
        if self.seen == 1 {
            self.usual = took;
        }
        let step = STEP.max(1.0 / f64::from(self.seen)).exp();
        self.usual = if took > self.usual { self.usual * step } else { self.usual / step };
    }

    /// A call ended without an answer; those that gave up, where there is a cliff.
    pub(super) fn unanswered(&mut self, took: Duration, deviation: Deviation) -> SmallVec<[Deviation; ENOUGH]> {
        let is_long = self.seen > 0 && took >= SHORTEST && took.as_nanos() as f64 > self.usual * f64::from(LONGER);
        if !is_long {
            self.follow(took);
            return SmallVec::new();
        }
        let (early, late) = (self.at.mul_f64(EARLY), self.at.mul_f64(LATE) + LATE_BY);
        if took > late {
            self.forget();
            self.at = took;
        } else if took < early {
            self.below += u32::from(took > self.at.mul_f64(NEAR));
            return SmallVec::new();
        }
        self.at = self.at.min(took);
        self.held.push(deviation);
        let all = self.told as usize + self.held.len();
        if all < ENOUGH || self.below as usize * 2 > all {
            // No more are held than make a cliff.
            if self.held.len() > ENOUGH {
                self.held.remove(0);
            }
            return SmallVec::new();
        }
        self.told = self.told.saturating_add(self.held.len() as u32);
        self.held.drain(..).collect()
    }

    fn forget(&mut self) {
        self.held.clear();
        (self.at, self.told, self.below) = (Duration::ZERO, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use truegreen_model::observation::TraceId;
    use truegreen_model::time::Timestamp;

    use super::*;

    fn told(unanswered: impl IntoIterator<Item = u64>) -> usize {
        let mut cliff = Cliff::default();
        let mut told = 0;
        for (n, ms) in unanswered.into_iter().enumerate() {
            (0..10).for_each(|m| cliff.answered(Duration::from_millis(20 + m)));
            let deviation = Deviation { at: Timestamp::from_secs(n as u64), trace: TraceId(1) };
            told += cliff.unanswered(Duration::from_millis(ms), deviation).len();
        }
        told
    }

    #[test]
    fn durations_that_pile_up_where_all_end_are_a_cliff() {
        assert_eq!(told([5_001, 5_003, 5_000, 5_012]), 4);
        assert_eq!(told([5_001, 5_003]), 0, "two may agree by chance");
    }

    #[test]
    fn a_tail_without_an_edge_is_none() {
        assert_eq!(told((0..60).map(|n| 400 + n * 7_919 % 5_000)), 0);
        assert_eq!(told([25, 25, 25, 25]), 0, "as long as usual");
    }

    #[test]
    fn who_waits_longer_and_is_answered_shows_that_it_is_none() {
        let mut cliff = Cliff::default();
        let deviation = Deviation { at: Timestamp(1), trace: TraceId(1) };
        for _ in 0..20 {
            (0..10).for_each(|_| cliff.answered(Duration::from_millis(20)));
            assert!(cliff.unanswered(Duration::from_secs(5), deviation).is_empty());
            cliff.answered(Duration::from_secs(7));
        }
    }
}
