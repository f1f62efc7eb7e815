//! Journeys that end at a service: passed on, or lost at a step that it owes. What the ledger calls lost is no request that
//! fails, and weighs as much.

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

use super::{MOSTLY, OVER, RECENT, TOLERATED};
use crate::watch::surge::Surge;

/// The journeys that one service had to pass on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Passages {
    surge: Surge,
    recent: f64,
    /// Since when most are lost, by our clock; 0 for not.
    since: Timestamp,
    latest: Timestamp,
    /// The key of the latest that was lost.
    lost: String,
}

impl Default for Passages {
    fn default() -> Self {
        let (since, latest) = (Timestamp(0), Timestamp(0));
        Passages { surge: Surge::new(TOLERATED), recent: 0.0, since, latest, lost: String::new() }
    }
}

impl Passages {
    /// A journey ended; `lost` is the key of one that was lost here.
    pub(super) fn ended(&mut self, lost: Option<&str>, now: Timestamp) {
        self.surge.decide(lost.is_some());
        self.recent += (f64::from(u8::from(lost.is_some())) - self.recent) / RECENT;
        let Some(lost) = lost.filter(|_| self.surge.is_raised() && self.recent >= MOSTLY) else {
            if self.recent < MOSTLY / 2.0 && self.since != Timestamp(0) {
                self.since = Timestamp(0);
                self.surge.reset();
            }
            return;
        };
        if self.since == Timestamp(0) || now > self.latest + OVER {
            self.since = now;
        }
        self.latest = now;
        lost.clone_into(&mut self.lost);
    }

    /// Since when most are lost, the share, and the key of the latest.
    pub(super) fn lost(&self, now: Timestamp) -> Option<(Timestamp, f64, &str)> {
        let is_lasting = self.since != Timestamp(0) && now <= self.latest + OVER;
        is_lasting.then_some((self.since, self.recent, self.lost.as_str()))
    }
}
