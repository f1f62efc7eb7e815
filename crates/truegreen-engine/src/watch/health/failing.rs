//! Whether most of something fails, and since when.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

use crate::watch::surge::Surge;

/// The failing share that is tolerated where nothing is known yet.
const TOLERATED: f64 = 0.02;
/// The share that is most, of at least so many.
const MOST: f64 = 0.5;
const FEWEST: u32 = 5;
/// It is averaged over so many, once so many came. Below half of `MOST` it is over: of a share between the two, chance
/// takes an average of fewer to and fro.
const RECENT: u32 = 50;
/// Without a failure for so long it is over, too.
const OVER: Duration = Duration::from_secs(60);

/// Requests or journeys, each of which fails or goes well.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failing {
    surge: Surge,
    /// The failing share since it is beyond what is usual, and how many it is of.
    share: f64,
    of: u32,
    /// Since when most fail, by our clock; 0 for not.
    since: Timestamp,
    latest: Timestamp,
}

impl Default for Failing {
    fn default() -> Self {
        let surge = Surge::new(TOLERATED);
        Failing { surge, share: 0.0, of: 0, since: Timestamp(0), latest: Timestamp(0) }
    }
}

impl Failing {
    /// One more of them, received at this time. True if it fails as most do.
    pub(super) fn decide(&mut self, fails: bool, received: Timestamp) -> bool {
        if self.surge.decide(fails) {
            self.of = (self.of + 1).min(RECENT);
            self.share += (f64::from(u8::from(fails)) - self.share) / f64::from(self.of);
        } else {
            (self.share, self.of) = (0.0, 0);
        }
        if fails && self.of >= FEWEST && self.share >= MOST {
            if !self.is_lasting(received) {
                self.since = received;
            }
            self.latest = received;
            return true;
        }
        if self.share < MOST / 2.0 && self.since != Timestamp(0) {
            *self = Failing { surge: std::mem::take(self).surge, ..Failing::default() };
            self.surge.reset();
        }
        false
    }

    fn is_lasting(&self, now: Timestamp) -> bool {
        self.since != Timestamp(0) && now <= self.latest + OVER
    }

    /// Since when most fail, if they still do.
    pub(super) fn since(&self, now: Timestamp) -> Option<Timestamp> {
        self.is_lasting(now).then_some(self.since)
    }

    pub(super) fn share(&self) -> f64 {
        self.share
    }
}
