//! A sequential test: is a share surely more than what is tolerated? CUSUM against four raised shares at once, so that it
//! rings after few journeys where most deviate, and after many where the share is only somewhat raised.
//!
//! Journeys are taken in groups that entered together, and never in the order in which they are decided: what completes is
//! decided at once and what is lost only at its deadline, so that in that order a burst of arrivals looks like a run of
//! losses some time later.

use serde::{Deserialize, Serialize};

/// The sum of log-likelihood ratios at which it rings. While the share is the tolerated one, each of the four rings at
/// most once in e^15 journeys on average, so all of them at most once in 800,000; seldomer where it is lower.
pub(super) const THRESHOLD: f64 = 15.0;
/// By how much the odds of the tolerated share are raised.
const RAISED: [f64; 3] = [2.0, 6.0, 30.0];
/// And nearly everything.
const NEARLY_ALL: f64 = 0.97;
const HIGHEST: f64 = 0.99;
/// No share that is nearer to the tolerated one than this is told from it.
const APART: f64 = 1.05;

/// What one journey adds, by the raised share: where it deviates, and where it goes well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights([(f64, f64); 4]);

impl Weights {
    /// Against this share, between 0 and 1.
    pub(super) fn against(tolerated: f64) -> Weights {
        let tolerated = tolerated.clamp(1e-6, 1.0 - 1e-6);
        let [a, b, c] = RAISED.map(|times| raised(tolerated, times).min(HIGHEST));
        let weigh = |raised: f64| {
            if raised < tolerated * APART {
                return (0.0, f64::NEG_INFINITY);
            }
            ((raised / tolerated).ln(), ((1.0 - raised) / (1.0 - tolerated)).ln())
        };
        Weights([a, b, c, c.max(NEARLY_ALL)].map(weigh))
    }
}

/// The share of which the odds are so many times those of another.
pub(super) fn raised(share: f64, times: f64) -> f64 {
    let odds = times * share / (1.0 - share);
    odds / (1.0 + odds)
}

/// What speaks for a raised share so far, and since which group.
#[derive(Clone, Copy, Default, Debug, Serialize, Deserialize)]
pub(super) struct Scores {
    sums: [f64; 4],
    since: [u64; 4],
}

impl Scores {
    /// One more group; where it rings, the group with which the run of deviations began that rang.
    pub(super) fn add(&mut self, weights: &Weights, group: u64, lost: u32, well: u32) -> Option<u64> {
        let mut rang = None;
        for (index, (if_lost, if_well)) in weights.0.into_iter().enumerate() {
            if self.sums[index] <= 0.0 {
                self.since[index] = group;
            }
            let gain = if lost > 0 { f64::from(lost) * if_lost } else { 0.0 };
            let loss = if well > 0 { f64::from(well) * if_well } else { 0.0 };
            self.sums[index] = (self.sums[index] + gain + loss).clamp(0.0, 2.0 * THRESHOLD);
            if self.sums[index] >= THRESHOLD {
                rang = rang.max(Some(self.since[index]));
            }
        }
        rang
    }

    /// With which group the run began that speaks for a raised share, if any does.
    pub(super) fn since_when(&self) -> Option<u64> {
        let running = self.sums.iter().zip(self.since).filter(|(sum, _)| **sum > 0.0);
        running.map(|(_, since)| since).min()
    }

    /// Whether so much speaks for a raised share that it must not become the usual one.
    pub(super) fn is_suspicious(&self) -> bool {
        self.sums.iter().any(|sum| *sum >= THRESHOLD / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many groups of journeys it takes, of which so many are lost.
    fn rings_after(tolerated: f64, most: u64, group: impl Fn(u64) -> (u32, u32)) -> Option<(u64, u64)> {
        let weights = Weights::against(tolerated);
        let mut scores = Scores::default();
        (0..most).find_map(|n| {
            let (lost, well) = group(n);
            scores.add(&weights, n, lost, well).map(|since| (n, since))
        })
    }

    #[test]
    fn a_few_in_a_row_ring_where_hardly_any_is_tolerated() {
        assert_eq!(rings_after(0.005, 10, |_| (1, 0)), Some((2, 0)));
        assert_eq!(rings_after(0.015, 10, |_| (1, 0)), Some((3, 0)));
        assert_eq!(rings_after(0.015, 10, |_| (4, 0)), Some((0, 0)), "one bad minute");
    }

    #[test]
    fn the_tolerated_share_itself_does_not_ring() {
        assert_eq!(rings_after(0.02, 20_000, |n| if n % 50 == 0 { (1, 0) } else { (0, 1) }), None);
        assert_eq!(rings_after(0.3, 20_000, |n| if n % 10 < 3 { (1, 0) } else { (0, 1) }), None);
        assert_eq!(rings_after(0.95, 20_000, |n| if n % 20 == 0 { (0, 1) } else { (1, 0) }), None);
    }

    #[test]
    fn chance_alone_hardly_ever_rings() {
        // A plain congruential generator: 400,000 journeys, each lost with the tolerated chance.
        let mut state = 7_u64;
        let mut lost = |share: f64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64) / ((1_u64 << 53) as f64) < share
        };
        for tolerated in [0.005, 0.02, 0.12, 0.6] {
            let weights = Weights::against(tolerated);
            let mut scores = Scores::default();
            let rings = (0..100_000)
                .filter(|group| {
                    let lost = (0..4).filter(|_| lost(tolerated)).count() as u32;
                    scores.add(&weights, *group, lost, 4 - lost).is_some()
                })
                .count();
            assert_eq!(rings, 0, "{tolerated}");
        }
    }

    #[test]
    fn the_run_begins_where_the_share_rose() {
        let (_, since) = rings_after(0.015, 1_000, |n| match n {
            0..500 => (u32::from(n % 3 == 0), 19),
            _ => (8, 12),
        })
        .unwrap();
        assert!((498..=500).contains(&since), "{since}");
    }
}
