//! One partition of a destination, or all of it where partitions are not told: what waits there, and when it was last
//! moved on by one of its consumers. A message that is taken again and again moves nothing on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::observation::InstanceId;
use truegreen_model::time::Timestamp;

/// Fewer that wait show nothing.
const MANY: u32 = 5;
/// Messages must have moved on at so many different times before a pause says anything.
const ROUNDS: u64 = 3;
const LEAST_PAUSE: Duration = Duration::from_secs(10);
/// Pauses are remembered so long, and are usual up to so many times the longest.
const REMEMBERED: Duration = Duration::from_secs(600);
const USUAL_PAUSES: f64 = 2.5;
/// Who took messages last is gone: somebody else has to take over, which takes a while.
const TAKE_OVER: Duration = Duration::from_secs(60);

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Lane {
    /// Published, and not processed as far as is known.
    pub(super) pending: u32,
    since_progress: u32,
    rounds: u64,
    /// When the latest progress and the latest publication were received.
    last_progress: Timestamp,
    newest: Timestamp,
    /// Who took messages last, if anyone did.
    pub(super) instance: Option<InstanceId>,
    /// The longest pauses of this while and of the one before, and since when it lasts.
    pause: Duration,
    pause_before: Duration,
    pause_since: Timestamp,
    /// Ends of the latest publications that were processed, the latest first.
    ends: [Timestamp; 3],
    /// How often messages were taken again that were taken before, since anything moved on.
    pub(super) repeats: u32,
    /// When it was last told that nothing moves.
    pub(super) told: Option<Timestamp>,
}

impl Lane {
    pub(super) fn published(&mut self, received: Timestamp) {
        self.pending += 1;
        self.since_progress += 1;
        self.newest = self.newest.max(received);
    }

    /// A message that waited does not any more, or was given up.
    pub(super) fn no_longer_pending(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    /// A message was processed for the first time; true where that ends a standstill that was told.
    pub(super) fn progressed(&mut self, published: Timestamp, received: Timestamp, instance: InstanceId) -> bool {
        let was_told = self.told.take().is_some();
        if received > self.last_progress {
            if self.rounds > 0 && !was_told {
                self.paused(received.since(self.last_progress), received);
            }
            self.rounds += 1;
            self.last_progress = received;
            self.instance = Some(instance);
        }
        (self.since_progress, self.repeats) = (0, 0);
        if let Some(at) = self.ends.iter().position(|end| published > *end) {
            self.ends[at..].rotate_right(1);
            self.ends[at] = published;
        }
        was_told
    }

    fn paused(&mut self, pause: Duration, now: Timestamp) {
        if now.since(self.pause_since) > REMEMBERED {
            self.pause_before = std::mem::take(&mut self.pause);
            self.pause_since = now;
        }
        self.pause = self.pause.max(pause);
    }

    /// Whether several that were published later were processed.
    pub(super) fn has_overtaken(&self, published: Timestamp) -> bool {
        self.ends[2] > published
    }

    /// How long nothing moved on though messages were published; `None` while that is usual.
    pub(super) fn stands_still(&self, lag: Duration, delay: Duration, is_instance_gone: bool) -> Option<Duration> {
        let pause = self.newest.since(self.last_progress);
        let usual = self.pause.max(self.pause_before).mul_f64(USUAL_PAUSES);
        let grace = if is_instance_gone { TAKE_OVER } else { Duration::ZERO };
        let patience = lag + LEAST_PAUSE.max(usual).max(3 * delay) + grace;
        let waits = self.pending >= MANY && self.since_progress >= MANY && self.rounds >= ROUNDS;
        (waits && pause >= patience).then_some(pause)
    }

    pub(super) fn last_progress(&self) -> Timestamp {
        self.last_progress
    }
}
