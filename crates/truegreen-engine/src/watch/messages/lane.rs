//! One partition of a destination, or all of it where partitions are not told: what waits there, and when it was last
//! moved on by one of its consumers. A message that is taken again and again moves nothing on.
//!
//! Times are those of the consumers themselves, so that who tells late does not seem to stand still.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

/// Fewer that wait show nothing.
const MANY: u32 = 5;
/// It must have moved on at so many different times before its own pauses say what is usual.
const ROUNDS: u64 = 3;
const LEAST_PAUSE: Duration = Duration::from_secs(10);
/// Pauses are remembered so long, and are usual up to so many times the longest.
const REMEMBERED: Duration = Duration::from_secs(600);
const USUAL_PAUSES: f64 = 2.5;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Lane {
    /// Published, and not processed as far as is known.
    pub(super) pending: u32,
    since_progress: u32,
    rounds: u64,
    /// When it last moved on, and when the latest message was published. Before it first moves on, when it began.
    last_progress: Timestamp,
    newest: Timestamp,
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
    pub(super) fn published(&mut self, end: Timestamp) {
        self.pending += 1;
        self.since_progress += 1;
        self.newest = self.newest.max(end);
        if self.last_progress == Timestamp::default() {
            self.last_progress = end;
        }
    }

    /// A message that waited does not any more, or was given up.
    pub(super) fn no_longer_pending(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    /// A message was processed for the first time; true where that ends a standstill that was told.
    pub(super) fn moved(&mut self, start: Timestamp) -> bool {
        let was_told = self.told.take().is_some();
        if self.rounds == 0 || start > self.last_progress {
            if self.rounds > 0 && !was_told {
                self.paused(start.since(self.last_progress), start);
            }
            self.rounds += 1;
            self.last_progress = start;
        }
        (self.since_progress, self.repeats) = (0, 0);
        was_told
    }

    /// One that was published then was processed.
    pub(super) fn processed(&mut self, published: Timestamp) {
        if let Some(at) = self.ends.iter().position(|end| published > *end) {
            self.ends[at..].rotate_right(1);
            self.ends[at] = published;
        }
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

    /// The longest pause that is usual; nothing where it hardly ever moved on.
    pub(super) fn usual_pause(&self) -> Option<Duration> {
        (self.rounds >= ROUNDS).then(|| self.pause.max(self.pause_before))
    }

    /// How long nothing moved on though messages were published, of all that is known `until` then; `None` while that is
    /// usual. `others` is the longest pause of other lanes, where that says something of this one, too.
    pub(super) fn stands_still(&self, until: Timestamp, delay: Duration, others: Option<Duration>) -> Option<Duration> {
        let pause = self.newest.min(until).since(self.last_progress);
        let usual = self.usual_pause().or(others)?.mul_f64(USUAL_PAUSES);
        let patience = LEAST_PAUSE.max(usual).max(3 * delay);
        let waits = self.pending >= MANY && self.since_progress >= MANY;
        (waits && pause >= patience).then_some(pause)
    }

    pub(super) fn last_progress(&self) -> Timestamp {
        self.last_progress
    }
}
