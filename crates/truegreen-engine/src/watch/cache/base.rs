//! How often a cache's entries go where nothing was written: for their age, or for want of room. What goes as often after
//! a write goes by coincidence.

use serde::{Deserialize, Serialize};

use crate::watch::habit::Habit;

/// Fewer show nothing.
const ENOUGH: u64 = 30;
/// Beyond chance is what chance makes once in thirty thousand times.
const DEVIATIONS: f64 = 4.0;

/// Entries of one cache that were looked for long after any write of their rows.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Base {
    went: u64,
    stayed: u64,
}

impl Base {
    pub(super) fn went(&mut self) {
        self.went += 1;
    }

    pub(super) fn stayed(&mut self) {
        self.stayed += 1;
    }

    /// Whether entries go with their rows far more often than they go anyway. Each of the hits so soon after a write that
    /// they say nothing might have found the entry gone as well.
    pub(super) fn is_beyond(&self, is_freed: &Habit, soon: u32) -> bool {
        let (looked, decided) = (self.went + self.stayed, is_freed.decided());
        if looked < ENOUGH || decided < ENOUGH {
            return false;
        }
        // Beyond what is seen by as much as chance may hide in so few.
        let gone = (self.went as f64 + 1.0) / (looked as f64 + 2.0);
        let gone = (gone + 2.0 * (gone * (1.0 - gone) / looked as f64).sqrt()).min(1.0);
        let looks = 1.0 + f64::from(soon) / decided as f64;
        let anyway = 1.0 - (1.0 - gone).powf(looks);
        let chance = (anyway * (1.0 - anyway) / decided as f64).sqrt();
        is_freed.percent() / 100.0 > anyway + DEVIATIONS * chance
    }
}
