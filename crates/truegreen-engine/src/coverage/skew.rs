//! A clock ahead of ours: what a record cannot be is later than its receipt.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

const WINDOW: Duration = Duration::from_secs(300);

/// The worst by which an instance's event ends lay ahead of their receipt, over about five minutes and ever.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Skew {
    window: u64,
    current: Duration,
    previous: Duration,
    worst: Duration,
}

impl Skew {
    /// Of a request that arrived `now`, an event ended so far ahead of it.
    pub(super) fn observe(&mut self, ahead: Duration, now: Timestamp) {
        if ahead.is_zero() {
            return;
        }
        self.turn(now);
        self.current = self.current.max(ahead);
        self.worst = self.worst.max(ahead);
    }

    pub(super) fn excess(&self, now: Timestamp) -> Duration {
        match window(now).saturating_sub(self.window) {
            0 => self.current.max(self.previous),
            1 => self.current,
            _ => Duration::ZERO,
        }
    }

    pub(super) fn worst(&self) -> Duration {
        self.worst
    }

    fn turn(&mut self, now: Timestamp) {
        let window = window(now);
        if window != self.window {
            self.previous = if window == self.window + 1 { self.current } else { Duration::ZERO };
            self.current = Duration::ZERO;
            self.window = window;
        }
    }
}

/// By how much an event's end, by its sender's clock, lies ahead of its receipt by ours. Ends further ahead than five
/// minutes are no clock but nonsense, and are replaced elsewhere.
pub(super) fn ahead(end: Timestamp, now: Timestamp) -> Duration {
    if is_nonsense(end, now) { Duration::ZERO } else { end.since(now) }
}

/// Whether a time is so far ahead of its receipt that no clock explains it.
pub(super) fn is_nonsense(at: Timestamp, now: Timestamp) -> bool {
    at.since(now) > WINDOW
}

fn window(now: Timestamp) -> u64 {
    now.0 / WINDOW.as_nanos() as u64
}
