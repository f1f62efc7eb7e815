//! Export lag: how long after its end a record of a service arrives.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

use super::heard::Delays;

/// Batch exporters wait five seconds; nothing is judged sooner than this after a deadline.
pub(crate) const FLOOR: Duration = Duration::from_secs(10);
/// Upper bounds of the buckets grow by an eighth from the floor: 64 of them reach five hours.
const BUCKETS: usize = 64;
const EPOCH: Duration = Duration::from_secs(600);

/// The 99th percentile of receipt minus event end, over this and the previous ten minutes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Lag {
    epoch: u64,
    current: Samples,
    previous: Samples,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Samples {
    total: u64,
    /// Those beyond the floor, by bucket; empty until there is one.
    beyond: Vec<u64>,
}

impl Lag {
    pub(super) fn observe(&mut self, delays: &Delays, now: Timestamp) {
        if delays.total == 0 {
            return;
        }
        let epoch = now.0 / EPOCH.as_nanos() as u64;
        if epoch != self.epoch {
            let ended = std::mem::take(&mut self.current);
            self.previous = if epoch == self.epoch + 1 { ended } else { Samples::default() };
            self.epoch = epoch;
        }
        self.current.total += delays.total;
        if !delays.beyond.is_empty() {
            self.current.beyond.resize(BUCKETS, 0);
        }
        for delay in &delays.beyond {
            self.current.beyond[bucket(*delay)] += 1;
        }
    }

    pub(super) fn p99(&self) -> Duration {
        let total = self.current.total + self.previous.total;
        let mut above = 0;
        for index in (0..BUCKETS).rev() {
            above += self.current.beyond(index) + self.previous.beyond(index);
            if above * 100 > total {
                return upper_bound(index);
            }
        }
        FLOOR
    }
}

impl Samples {
    fn beyond(&self, index: usize) -> u64 {
        self.beyond.get(index).copied().unwrap_or(0)
    }
}

fn bucket(delay: Duration) -> usize {
    (0..BUCKETS).find(|index| delay <= upper_bound(*index)).unwrap_or(BUCKETS - 1)
}

fn upper_bound(index: usize) -> Duration {
    FLOOR.mul_f64(1.125_f64.powi(index as i32 + 1))
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    fn one(delay: Duration) -> Delays {
        Delays { total: 1, beyond: if delay > FLOOR { smallvec![delay] } else { smallvec![] } }
    }

    #[test]
    fn one_late_record_in_a_hundred_does_not_raise_the_lag_and_two_do() {
        let mut lag = Lag::default();
        let now = Timestamp::from_secs(1_000);
        for _ in 0..99 {
            lag.observe(&one(Duration::from_secs(1)), now);
        }
        lag.observe(&one(Duration::from_secs(60)), now);
        assert_eq!(lag.p99(), FLOOR);
        lag.observe(&one(Duration::from_secs(60)), now);
        assert!(lag.p99() >= Duration::from_secs(60) && lag.p99() < Duration::from_secs(70), "{:?}", lag.p99());
    }

    #[test]
    fn a_slow_spell_is_forgotten_after_two_epochs() {
        let mut lag = Lag::default();
        lag.observe(&one(Duration::from_secs(60)), Timestamp::from_secs(1_000));
        lag.observe(&one(Duration::from_secs(1)), Timestamp::from_secs(5_000));
        assert_eq!(lag.p99(), FLOOR);
    }
}
