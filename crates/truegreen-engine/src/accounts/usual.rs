//! What share of journeys is usual at a step, by its own past, and how much more than that is tolerated.

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

use super::cohort::Count;
use super::sequence::raised;

/// Fewer journeys than this say nothing about what is usual.
const ENOUGH: f64 = 100.0;
/// So many are remembered at the least, however long that took.
const MEMORY: f64 = 2_000.0;
/// And those of so long, however many that are.
const DAY_NANOS: f64 = 86_400e9;
/// What is usual may vary by so much, in odds: over a day, and from one crowd to another.
const VARIES: f64 = 1.5;
/// Tolerated though it was never seen: of losses, and of people who leave.
const FLOORS: [f64; 2] = [0.01, 0.05];
const HIGHEST: f64 = 0.95;

/// What is usual at a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Usual {
    lost: f64,
    all: f64,
    learned_at: Timestamp,
    floor: f64,
}

impl Usual {
    pub(super) fn new(is_abandonment: bool) -> Usual {
        Usual { lost: 0.0, all: 0.0, learned_at: Timestamp(0), floor: FLOORS[usize::from(is_abandonment)] }
    }

    /// How those fared who entered before this time, and after what was learned before.
    pub(super) fn learn(&mut self, until: Timestamp, count: Count) {
        let passed = until.0.saturating_sub(self.learned_at.0) as f64 / DAY_NANOS;
        self.learned_at = self.learned_at.max(until);
        if self.all > MEMORY {
            let kept = (1.0 - passed).max(MEMORY / self.all);
            (self.lost, self.all) = (self.lost * kept, self.all * kept);
        }
        self.lost += f64::from(count.lost);
        self.all += f64::from(count.lost) + f64::from(count.well);
    }

    /// The usual share, once enough is known.
    pub(super) fn share(&self) -> Option<f64> {
        (self.all >= ENOUGH).then(|| self.lost / self.all)
    }

    /// The share that is tolerated: what varies, or what may be usual as far as that is known, whichever is more.
    pub(super) fn tolerated(&self) -> Option<f64> {
        let usual = self.share()?;
        // Two standard errors, and two journeys.
        let at_most = (self.lost + 2.0 * self.lost.sqrt() + 2.0) / self.all;
        let varied = raised(usual.min(HIGHEST), VARIES);
        Some(varied.max(at_most).clamp(self.floor, HIGHEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(minutes: u64, count: Count) -> Usual {
        let mut usual = Usual::new(true);
        (1..=minutes).for_each(|minute| usual.learn(Timestamp::from_secs(60 * minute), count));
        usual
    }

    #[test]
    fn little_that_is_known_tolerates_more() {
        assert_eq!(learned(9, Count { well: 9, lost: 2 }).tolerated(), None, "99 journeys");
        let young = learned(10, Count { well: 10, lost: 1 }).tolerated().unwrap();
        let old = learned(1_000, Count { well: 10, lost: 1 }).tolerated().unwrap();
        assert!(young > old && old > 0.12 && old < 0.14, "{young} {old}");
    }

    #[test]
    fn a_busy_flow_remembers_a_day_and_a_rare_one_as_many_journeys_as_it_takes() {
        let mut busy = learned(1_440, Count { well: 900, lost: 100 });
        (1_441..=1_500)
            .for_each(|minute| busy.learn(Timestamp::from_secs(60 * minute), Count { well: 500, lost: 500 }));
        assert!(busy.share().unwrap() < 0.15, "an hour does not outweigh the day: {:?}", busy.share());
        let mut rare = Usual::new(false);
        (1..=60).for_each(|day| rare.learn(Timestamp::from_secs(86_400 * day), Count { well: 19, lost: 1 }));
        assert!(rare.share().is_some_and(|share| (share - 0.05).abs() < 0.001));
    }
}
