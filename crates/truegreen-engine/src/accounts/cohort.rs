//! Journeys of one flow that entered together, by how they fared at each step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

const NANOS_PER_MINUTE: u64 = 60_000_000_000;

/// How journeys fared at one step, or in the flow as a whole.
#[derive(Clone, Copy, Default, Debug, Serialize, Deserialize)]
pub(super) struct Count {
    pub(super) well: u32,
    pub(super) lost: u32,
}

/// Journeys that entered together.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Cohort {
    /// Not decided yet: any of them may still go well.
    pub(super) open: u32,
    /// By step; the first is the flow as a whole.
    pub(super) counts: Vec<Count>,
}

impl Cohort {
    /// How those fared at a step that are decided, and how the open ones may at best.
    pub(super) fn at_best(&self, step: usize) -> Count {
        let count = self.counts.get(step).copied().unwrap_or_default();
        Count { well: count.well.saturating_add(self.open), ..count }
    }
}

/// All cohorts of a flow that are not settled yet, by number.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Cohorts {
    /// How many minutes of entry make one.
    minutes: u64,
    pub(super) live: BTreeMap<u64, Cohort>,
    /// The last one that is settled: what still moves in it, or before it, is not seen any more.
    settled: Option<u64>,
}

impl Cohorts {
    pub(super) fn new(minutes: u64) -> Self {
        Cohorts { minutes: minutes.max(1), live: BTreeMap::new(), settled: None }
    }

    pub(super) fn is_like(&self, other: &Cohorts) -> bool {
        self.minutes == other.minutes
    }

    /// Which one a journey is of that entered then.
    pub(super) fn number(&self, entered_at: Timestamp) -> u64 {
        entered_at.0 / (NANOS_PER_MINUTE * self.minutes)
    }

    /// When the last journey of it may have entered.
    pub(super) fn end(&self, number: u64) -> Timestamp {
        Timestamp(number.saturating_add(1).saturating_mul(NANOS_PER_MINUTE * self.minutes))
    }

    /// The cohort of a journey, unless it is settled.
    pub(super) fn of(&mut self, entered_at: Timestamp) -> Option<&mut Cohort> {
        let number = self.number(entered_at);
        if self.settled.is_some_and(|settled| number <= settled) {
            return None;
        }
        Some(self.live.entry(number).or_default())
    }

    /// Settles the oldest one, if this says so of its number and how many there are.
    pub(super) fn settle_if(&mut self, is_over: impl Fn(&Cohorts, u64) -> bool) -> Option<(u64, Cohort)> {
        let oldest = self.live.first_key_value().map(|(number, _)| *number)?;
        if !is_over(self, oldest) {
            return None;
        }
        let cohort = self.live.remove(&oldest)?;
        self.settled = Some(oldest);
        Some((oldest, cohort))
    }
}
