//! A share against its own past: does more go wrong than usual?
//!
//! CUSUM over decisions as they come, against three raised shares at once: a little more than tolerated, clearly more,
//! and every second one. So it rings after few decisions where most deviate, and after many where the share is only
//! somewhat raised.

use serde::{Deserialize, Serialize};

/// The sum at which it rings: at the tolerated share itself, once in about e^12 decisions (160,000).
const THRESHOLD: f64 = 12.0;
/// The same of a lenient one. Fallbacks serve a few in healthy systems too, so their share may well be the tolerated one, and
/// each call is watched by itself: it rings once in about e^14 decisions, a million.
const THRESHOLD_LENIENT: f64 = 14.0;
/// No share above this is ever usual.
const HIGHEST: f64 = 0.5;
/// Decisions over which the usual share is averaged.
const MEMORY: f64 = 3_000.0;
/// The first guess, that nothing ever deviates, weighs as much as so many decisions.
const PRIOR: f64 = 1_000.0;
const LENIENT_PRIOR: f64 = 400.0;
/// Decisions for which a lenient one tolerates more, and for which it lets nothing more become usual.
const YOUTH: u64 = 500;
const GROWN: u64 = 5_000;
/// While so much of the threshold speaks for a raised share, it is not learned as the usual one.
const LEARNS_BELOW: f64 = 0.5;

/// A share against its own past.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Surge {
    /// What is tolerated though it was never seen before.
    floor: f64,
    /// What is tolerated, and may become usual, while little is known; 0 for no more than the floor.
    young: f64,
    scores: [f64; 3],
    usual: f64,
    decided: u64,
}

impl Surge {
    /// One that tolerates this share from the first decision on.
    pub(crate) fn new(floor: f64) -> Self {
        Surge { floor, young: 0.0, scores: [0.0; 3], usual: 0.0, decided: 0 }
    }

    /// One that takes a share of up to `young` for usual where it is there from the first decision on, as known fallbacks
    /// are. Nothing tells a fault of that size apart from them.
    pub(crate) fn lenient(floor: f64, young: f64) -> Self {
        Surge { young, ..Surge::new(floor) }
    }

    /// Tolerates this share from now on, whatever was usual.
    pub(crate) fn tolerate(&mut self, floor: f64) {
        self.floor = floor;
    }

    /// One more was decided; true while the share is beyond what is tolerated.
    pub(crate) fn decide(&mut self, deviates: bool) -> bool {
        if !deviates && self.is_calm() {
            // Nearly always: nothing speaks for a raised share, and this does not, either.
            self.learn(deviates);
            return false;
        }
        let (tolerated, threshold) = (self.tolerated(), self.threshold());
        let raised = [tolerated * 2.0 + 0.01, tolerated * 4.0 + 0.05, 0.5_f64.max(tolerated * 1.5)];
        for (score, raised) in self.scores.iter_mut().zip(raised) {
            let raised = raised.min(0.95);
            let step = if deviates { (raised / tolerated).ln() } else { ((1.0 - raised) / (1.0 - tolerated)).ln() };
            *score = (*score + step).clamp(0.0, 2.0 * threshold);
        }
        self.learn(deviates);
        self.is_raised()
    }

    fn learn(&mut self, deviates: bool) {
        self.decided += 1;
        let learns_below = LEARNS_BELOW * self.threshold();
        if self.scores.iter().all(|score| *score < learns_below) {
            let prior = if self.young > 0.0 { LENIENT_PRIOR } else { PRIOR };
            let weight = 1.0 / (prior + self.decided as f64).min(MEMORY);
            self.usual += weight * (f64::from(u8::from(deviates)) - self.usual);
        }
    }

    /// Whether the share is beyond what is tolerated.
    pub(crate) fn is_raised(&self) -> bool {
        self.scores.iter().any(|score| *score >= self.threshold())
    }

    fn threshold(&self) -> f64 {
        if self.young > 0.0 { THRESHOLD_LENIENT } else { THRESHOLD }
    }

    /// Whether nothing speaks for a raised share.
    pub(crate) fn is_calm(&self) -> bool {
        self.scores.iter().all(|score| *score <= 0.0)
    }

    /// Starts anew after what it rang for is over.
    pub(crate) fn reset(&mut self) {
        self.scores = [0.0; 3];
    }

    /// The share that is tolerated now.
    pub(crate) fn tolerated(&self) -> f64 {
        let floor = if self.decided < YOUTH { self.floor.max(self.young) } else { self.floor };
        let highest = if self.young > 0.0 && self.decided < GROWN { self.young } else { HIGHEST };
        (1.5 * self.usual).clamp(floor, highest.max(floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings_after(surge: &mut Surge, deviates: impl Fn(u64) -> bool) -> Option<u64> {
        (1..=20_000).find(|n| surge.decide(deviates(*n)))
    }

    #[test]
    fn what_never_failed_and_now_always_fails_rings_after_three() {
        let mut surge = Surge::new(0.005);
        assert_eq!(rings_after(&mut surge, |_| false), None);
        assert!(rings_after(&mut surge, |_| true).is_some_and(|n| n <= 3));
    }

    #[test]
    fn a_known_fallback_does_not_ring() {
        let mut surge = Surge::new(0.005);
        // Seldom at first: it has to become usual without ringing.
        assert_eq!(rings_after(&mut surge, |n| n % 250 == 0), None);
        assert_eq!(rings_after(&mut surge, |n| n % 200 == 0), None);
    }

    #[test]
    fn one_in_ten_rings_soon_where_it_was_one_in_five_hundred() {
        let mut surge = Surge::new(0.005);
        assert_eq!(rings_after(&mut surge, |n| n % 500 == 0), None);
        assert!(rings_after(&mut surge, |n| n % 10 == 0).is_some_and(|n| n <= 100));
    }

    #[test]
    fn what_was_broken_from_the_first_minute_on_rings_too() {
        assert!(rings_after(&mut Surge::new(0.004), |n| n % 10 == 0).is_some_and(|n| n <= 100));
        assert!(rings_after(&mut Surge::new(0.002), |n| n % 50 == 0).is_some_and(|n| n <= 1_000));
    }

    #[test]
    fn a_fallback_of_two_in_a_hundred_from_the_first_request_on_is_known_and_one_in_ten_is_none() {
        assert_eq!(rings_after(&mut Surge::lenient(0.004, 0.03), |n| n % 50 == 7), None);
        assert!(rings_after(&mut Surge::lenient(0.004, 0.03), |n| n % 10 == 7).is_some_and(|n| n <= 400));
    }
}
