//! A sequential test on a share: do more journeys end so than the contract allows, or than usual?
//!
//! CUSUM over journeys as they are decided: each adds the log-likelihood ratio of a raised share against the
//! tolerated one, and the sum never falls below zero. It rings after few journeys where all of them deviate, and
//! after many where the share is only somewhat raised.

use serde::{Deserialize, Serialize};

/// The sum at which it rings: about one false alarm in so many journeys' worth of e^8.
const THRESHOLD: f64 = 8.0;
/// No baseline is learned above this: books that balance with everything rejected are not green.
const HIGHEST_BASELINE: f64 = 0.3;
/// Nor below this: the first rejection of a flow that never had one is no alarm.
const LOWEST_BASELINE: f64 = 0.01;
/// Journeys over which the baseline is averaged.
const MEMORY: f64 = 1_000.0;
/// Journeys until the own baseline counts; before that the highest is tolerated.
const ENOUGH: u64 = 200;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Rate {
    limit: Option<f64>,
    score: f64,
    usual: f64,
    learned: u64,
}

impl Rate {
    pub(super) fn new(limit: Option<f64>) -> Self {
        Rate { limit, score: 0.0, usual: 0.0, learned: 0 }
    }

    /// One more journey was decided; true while the share is beyond what is tolerated.
    pub(super) fn decide(&mut self, deviates: bool) -> bool {
        let tolerated = self.tolerated();
        if tolerated <= 0.0 {
            self.score = if deviates { THRESHOLD } else { self.score };
            return self.score >= THRESHOLD;
        }
        if tolerated >= 1.0 {
            return false;
        }
        let raised = (tolerated + tolerated.max(0.05)).min(1.0 - (1.0 - tolerated) / 4.0);
        let step = if deviates { (raised / tolerated).ln() } else { ((1.0 - raised) / (1.0 - tolerated)).ln() };
        self.score = (self.score + step).clamp(0.0, 2.0 * THRESHOLD);
        if self.score < THRESHOLD {
            self.learn(deviates);
        }
        self.score >= THRESHOLD
    }

    /// The contract tolerates another share from now on.
    pub(super) fn revise(&mut self, limit: Option<f64>) {
        self.limit = limit;
    }

    /// Starts anew after what it rang for is over.
    pub(super) fn reset(&mut self) {
        self.score = 0.0;
    }

    /// Whether nothing speaks for a raised share at this moment.
    pub(super) fn is_calm(&self) -> bool {
        self.score <= 0.0
    }

    /// The share that is tolerated now.
    pub(super) fn tolerated(&self) -> f64 {
        match self.limit {
            Some(limit) => limit,
            None if self.learned < ENOUGH => HIGHEST_BASELINE,
            None => (1.5 * self.usual).clamp(LOWEST_BASELINE, HIGHEST_BASELINE),
        }
    }

    fn learn(&mut self, deviates: bool) {
        self.learned += 1;
        let weight = 1.0 / MEMORY.min(self.learned as f64);
        self.usual += weight * (f64::from(u8::from(deviates)) - self.usual);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings_after(rate: &mut Rate, deviates: impl Fn(u64) -> bool) -> Option<u64> {
        (1..=5_000).find(|n| rate.decide(deviates(*n)))
    }

    #[test]
    fn everything_rejected_from_the_first_journey_on_rings_soon() {
        assert!(rings_after(&mut Rate::new(None), |_| true).is_some_and(|n| n < 20));
    }

    #[test]
    fn a_steady_share_is_the_usual_one() {
        assert_eq!(rings_after(&mut Rate::new(None), |n| n % 50 == 0), None);
        assert_eq!(rings_after(&mut Rate::new(None), |n| n % 10 == 0), None);
    }

    #[test]
    fn a_share_that_rises_fivefold_rings() {
        let mut rate = Rate::new(None);
        assert_eq!(rings_after(&mut rate, |n| n % 50 == 0), None);
        assert!(rings_after(&mut rate, |n| n % 5 == 0).is_some_and(|n| n < 200));
    }

    #[test]
    fn a_limit_of_the_contract_decides_alone() {
        assert_eq!(rings_after(&mut Rate::new(Some(0.05)), |n| n % 25 == 0), None);
        assert!(rings_after(&mut Rate::new(Some(0.05)), |n| n % 5 == 0).is_some());
        assert_eq!(rings_after(&mut Rate::new(Some(0.0)), |n| n == 700), Some(700));
    }
}
