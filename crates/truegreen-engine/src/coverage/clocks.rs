//! Clocks that are known to be wrong. What is solved of them from calls and messages is published here on a tick; from
//! then on the times that an instance tells are corrected as they come, so that deadlines and lateness are told by one
//! clock. A correction never changes between ticks, is logged nowhere, and is kept in checkpoints.
//!
//! It cannot know at which moment a clock was set. So whatever was done around the time at which a correction was
//! published or withdrawn is in doubt by as much, and later by what the offset may be wrong by: within that nothing is
//! called late, and no deadline has passed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::observation::InstanceId;
use truegreen_model::time::Timestamp;

use super::Coverage;

/// Clocks that are wrong by no more than this are left alone, in nanoseconds; nor is a correction changed for less.
const TOLERATED: i64 = 250_000_000;
/// An offset counts only where it is so many times what it may be wrong by.
const SURE: i64 = 3;
/// So long it may take until it is noticed that a clock was set.
const NOTICED: Duration = Duration::from_secs(120);
const MAX_CORRECTIONS: usize = 8;

/// By how much an instance's clock is ahead of the reference.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct HostOffset {
    pub(crate) instance: InstanceId,
    /// In nanoseconds, negative where it is behind, and by how much that may be wrong.
    pub(crate) offset: i64,
    pub(crate) error: i64,
    /// How much it gains on the reference, in millionths; `None` where it was not watched for long enough.
    pub(crate) drift_ppm: Option<f64>,
}

/// From a tick on, by how much the clock of an instance is taken to be ahead of that of the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Correction {
    pub(crate) from: Timestamp,
    /// In nanoseconds, negative where it is behind; zero where it is right again.
    pub(crate) ahead: i64,
    /// By how much that may be wrong.
    pub(crate) error: Duration,
}

/// The corrections of one instance, oldest first; mostly none.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Course(Vec<Correction>);

/// By how much a clock is ahead of ours, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead(i64);

impl Ahead {
    pub(super) fn by(excess: Duration) -> Ahead {
        Ahead(i64::try_from(excess.as_nanos()).unwrap_or(i64::MAX))
    }

    /// When something was by our clock, that was received `now`.
    pub(crate) fn taken_back(self, at: Timestamp, now: Timestamp) -> Timestamp {
        let by = Duration::from_nanos(self.0.unsigned_abs());
        if self.0 < 0 { at + by } else { at - by }.min(now)
    }
}

impl Course {
    /// What is in force.
    pub(super) fn ahead(&self) -> Option<Ahead> {
        self.0.last().filter(|latest| latest.ahead != 0).map(|latest| Ahead(latest.ahead))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn corrections(&self) -> &[Correction] {
        &self.0
    }

    /// By how much the time of what was then may be wrong.
    pub(super) fn doubt(&self, at: Timestamp) -> Duration {
        let (mut ahead, mut known, mut doubt) = (0, Duration::ZERO, Duration::ZERO);
        for correction in &self.0 {
            let leap = Duration::from_nanos(correction.ahead.abs_diff(ahead));
            let error = correction.error.max(known);
            if at + leap + NOTICED >= correction.from && at <= correction.from + leap {
                doubt = doubt.max(leap + error);
            }
            if at >= correction.from {
                known = correction.error;
            }
            ahead = correction.ahead;
        }
        doubt.max(known)
    }

    /// Takes what was solved, or that nothing was; true where that changes the correction.
    fn solve(&mut self, solved: Option<(i64, i64)>, now: Timestamp) -> bool {
        let known = self.0.last().map_or((0, 0), |latest| (latest.ahead, nanos(latest.error)));
        let wrong = solved.filter(|(ahead, error)| ahead.saturating_abs() > TOLERATED.max(error.saturating_mul(SURE)));
        let next = match (wrong, solved) {
            (Some((ahead, error)), _) => {
                let differs = ahead.saturating_sub(known.0).saturating_abs();
                let tolerated = TOLERATED.max(error.saturating_add(known.1));
                // Bounded from one side only, it may be wrong by whatever it is.
                let error = if error == 0 { ahead.saturating_abs() } else { error };
                (differs > tolerated).then_some((ahead, error))
            }
            (None, Some((ahead, error))) if ahead.saturating_abs().saturating_add(error) > TOLERATED => None,
            (None, _) => (known.0 != 0).then_some((0, 0)),
        };
        let Some((ahead, error)) = next else { return false };
        if self.0.len() >= MAX_CORRECTIONS {
            self.0.remove(0);
        }
        self.0.push(Correction { from: now, ahead, error: Duration::from_nanos(error.unsigned_abs()) });
        true
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Coverage {
    /// Publishes what is known of all clocks by now; true where any correction changed, and so what was decided by the
    /// times of such a clock is to be judged anew.
    pub(crate) fn correct_clocks(&mut self, solved: &[HostOffset], now: Timestamp) -> bool {
        let mut changed = false;
        let former = self.corrected.clone();
        for instance in former {
            if !solved.iter().any(|solved| solved.instance == instance) {
                changed |= self.instances[instance.0 as usize].course.solve(None, now);
            }
        }
        for HostOffset { instance, offset, error, .. } in solved {
            let Some(of) = self.instances.get_mut(instance.0 as usize) else { continue };
            if of.course.solve(Some((*offset, *error)), now) {
                changed = true;
                if !self.corrected.contains(instance) {
                    self.corrected.push(*instance);
                }
            }
        }
        changed
    }

    /// Every correction that there was, by instance.
    pub(crate) fn corrections(&self) -> impl Iterator<Item = (InstanceId, Correction)> {
        let of = |id: &InstanceId| (*id, &self.instances[id.0 as usize].course);
        self.corrected.iter().map(of).flat_map(|(id, course)| course.corrections().iter().map(move |one| (id, *one)))
    }

    /// Whether any clock was ever corrected.
    pub(crate) fn corrects_clocks(&self) -> bool {
        !self.corrected.is_empty()
    }

    /// By how much the time of what this instance did then may be wrong, by what is known of its clock.
    pub(crate) fn clock_doubt(&self, instance: InstanceId, at: Timestamp) -> Duration {
        self.instances.get(instance.0 as usize).map_or(Duration::ZERO, |of| of.course.doubt(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn second(second: u64) -> Timestamp {
        Timestamp::from_secs(second)
    }

    #[test]
    fn a_clock_is_corrected_once_it_is_surely_wrong_and_left_alone_once_it_is_right() {
        let mut course = Course::default();
        assert!(!course.solve(Some((S / 5, 0)), second(1_000)), "tolerated");
        assert!(!course.solve(Some((2 * S, S)), second(1_000)), "not sure");
        assert!(course.solve(Some((-40 * S, S / 100)), second(1_000)));
        assert!(!course.solve(Some((-40 * S + S / 50, S / 100)), second(1_005)), "as good as the same");
        assert_eq!(course.ahead().map(|ahead| ahead.taken_back(second(960), second(1_010))), Some(second(1_000)));
        assert!(!course.solve(Some((S / 4, S / 100)), second(1_015)), "in doubt it stays as it is");
        assert!(course.solve(Some((S / 100, S / 100)), second(1_020)));
        assert!(course.ahead().is_none());
        assert!(!course.solve(None, second(1_025)));
    }

    #[test]
    fn only_what_was_done_about_a_change_is_in_doubt_by_the_change() {
        let mut course = Course::default();
        course.solve(Some((-40 * S, S / 100)), second(1_000));
        let doubts = [500, 900, 1_000, 1_100].map(|at| course.doubt(second(at)));
        let (sure, leap) = (Duration::from_millis(10), Duration::from_millis(40_010));
        assert_eq!(doubts, [Duration::ZERO, leap, leap, sure]);
    }

    #[test]
    fn a_bound_from_one_side_is_wrong_by_whatever_it_is() {
        let mut course = Course::default();
        course.solve(Some((20 * S, 0)), second(1_000));
        assert_eq!(course.doubt(second(2_000)), Duration::from_secs(20));
    }
}
