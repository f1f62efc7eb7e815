//! Journeys that end at a service: passed on, or lost at a step that it owes. What the ledger calls lost is no request that
//! fails, and weighs as much.

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

use super::failing::Failing;

/// The journeys that one service had to pass on.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Passages {
    failing: Failing,
    /// The key of the latest that was lost.
    lost: String,
}

impl Passages {
    /// A journey ended; `lost` is the key of one that was lost here.
    pub(super) fn ended(&mut self, lost: Option<&str>, now: Timestamp) {
        if self.failing.decide(lost.is_some(), now) {
            lost.unwrap_or_default().clone_into(&mut self.lost);
        }
    }

    /// Since when most are lost, the share, and the key of the latest.
    pub(super) fn lost(&self, now: Timestamp) -> Option<(Timestamp, f64, &str)> {
        self.failing.since(now).map(|since| (since, self.failing.share(), self.lost.as_str()))
    }
}
