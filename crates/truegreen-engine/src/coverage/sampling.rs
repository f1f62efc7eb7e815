//! Whether a service keeps only a sample of its traces: marked by `tracestate`, or inferred from the trace ids.

use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

/// How we know that a service is sampled.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Sampled {
    /// By a threshold in `tracestate` (`ot=th:`); with the share that is kept.
    Marked(f64),
    /// The random bits of its trace ids all sit in one tail; with the width of that tail.
    Inferred(f64),
}

/// Trace ids looked at before anything is inferred: a tenth shows in so few, a half needs [`PLENTY`].
const ENOUGH: usize = 16;
/// Trace ids looked at before the look is over.
const PLENTY: usize = 64;
/// So unlikely must it be that all of them fell into one tail by chance.
const CHANCE: f64 = 1e-9;
/// One look a minute is enough, and costs nothing in between.
const EVERY: Duration = Duration::from_secs(60);
/// Samplers compare the last 56 bits of the trace id with a threshold.
const RANDOM_BITS: u32 = 56;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Sampling {
    marked: Option<f64>,
    inferred: Option<f64>,
    looked_at: HashSet<u64, FixedState>,
    next_look: Timestamp,
}

impl Sampling {
    /// Whether trace ids are looked at now.
    pub(super) fn is_looking(&self, now: Timestamp) -> bool {
        now >= self.next_look
    }

    /// Takes what a request shows; true if the service turned out to be sampled, which was not known before.
    pub(super) fn observe(&mut self, trace_ids: &[u128], kept_share: Option<f64>, now: Timestamp) -> bool {
        let known = self.verdict().is_some();
        if let Some(share) = kept_share {
            self.marked = (share < 1.0).then_some(share);
        }
        for trace_id in trace_ids {
            if self.is_looking(now) && self.looked_at.insert(*trace_id as u64 & ((1 << RANDOM_BITS) - 1)) {
                self.infer(now);
            }
        }
        !known && self.verdict().is_some()
    }

    fn infer(&mut self, now: Timestamp) {
        if self.looked_at.len() < ENOUGH {
            return;
        }
        let tail = tail(&self.looked_at);
        if tail.is_some() || self.looked_at.len() >= PLENTY {
            self.inferred = tail;
            self.looked_at.clear();
            self.next_look = now + EVERY;
        }
    }

    pub(super) fn verdict(&self) -> Option<Sampled> {
        self.marked.map(Sampled::Marked).or(self.inferred.map(Sampled::Inferred))
    }
}

/// The width of the tail in which all of these lie, where that cannot be chance.
fn tail(random: &HashSet<u64, FixedState>) -> Option<f64> {
    let range = (1u64 << RANDOM_BITS) as f64;
    let low = (random.iter().max()? + 1) as f64 / range;
    let high = 1.0 - *random.iter().min()? as f64 / range;
    let width = low.min(high);
    (width.powi(random.len() as i32) < CHANCE).then_some(width)
}

/// The share of traces kept by the rejection threshold in `ot=th:<up to 14 hex digits>`.
pub(super) fn kept_share(trace_state: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(trace_state).ok()?;
    let ot = text.split(',').find_map(|member| member.trim().strip_prefix("ot="))?;
    let threshold = ot.split(';').find_map(|field| field.strip_prefix("th:"))?;
    if threshold.is_empty() || threshold.len() > 14 {
        return None;
    }
    let value = u64::from_str_radix(threshold, 16).ok()?;
    Some(1.0 - value as f64 / 16f64.powi(threshold.len() as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(n: u64, within: impl Fn(f64) -> bool) -> Vec<u128> {
        // A fixed sequence that is spread evenly enough to stand for randomness.
        (1..)
            .map(|i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 8)
            .filter(|r| within(*r as f64 / (1u64 << RANDOM_BITS) as f64))
            .take(n as usize)
            .map(u128::from)
            .collect()
    }

    fn verdict(ids: &[u128]) -> Option<Sampled> {
        let mut sampling = Sampling::default();
        sampling.observe(ids, None, Timestamp::from_secs(1));
        sampling.verdict()
    }

    #[test]
    fn trace_ids_all_in_one_tail_are_a_sample() {
        assert!(matches!(verdict(&ids(64, |r| r < 0.1)), Some(Sampled::Inferred(w)) if w <= 0.1));
        assert!(matches!(verdict(&ids(64, |r| r > 0.75)), Some(Sampled::Inferred(_))));
        assert_eq!(verdict(&ids(64, |_| true)), None);
        assert_eq!(verdict(&ids(15, |r| r < 0.1)), None, "too few to tell");
        assert!(verdict(&ids(63, |r| r < 0.5)).is_some());
    }

    #[test]
    fn the_same_trace_many_times_is_no_sample() {
        assert_eq!(verdict(&[7; 500]), None);
    }

    #[test]
    fn a_threshold_in_tracestate_says_the_share() {
        assert_eq!(kept_share(b"vendor=x,ot=th:8"), Some(0.5));
        assert_eq!(kept_share(b"ot=rv:1;th:c"), Some(0.25));
        assert_eq!(kept_share(b"ot=th:0"), Some(1.0));
        assert_eq!(kept_share(b"ot=th:zz"), None);
    }
}
