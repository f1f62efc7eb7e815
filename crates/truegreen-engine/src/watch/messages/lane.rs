//! One partition of a destination, or all of it where partitions are not told: what waits there, and when it was last
//! moved on by one of its consumers. A message that is taken again and again moves nothing on.
//!
//! What stands still is measured from when the first message began to wait that was not taken: who has nothing to do
//! does not stand still. All times are by the reference's clock, so that who tells late does not seem to stand still.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

/// Fewer that wait show nothing.
const MANY: usize = 5;
/// Those that are remembered.
const MAX_WAITING: usize = 64;
/// It must have moved on at so many different times before its own pauses say what is usual.
const ROUNDS: u64 = 3;
const LEAST_PAUSE: Duration = Duration::from_secs(10);
/// Pauses are remembered so long, and are usual up to so many times the longest.
const REMEMBERED: Duration = Duration::from_secs(600);
const USUAL_PAUSES: f64 = 2.5;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Lane {
    /// Published, and not processed as far as is known.
    pending: u32,
    /// When the first of those were published that came after the latest that was processed, in order.
    waiting: VecDeque<Timestamp>,
    rounds: u64,
    /// When it last moved on; before it first does, when the first message was published.
    last_progress: Timestamp,
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
    pub(super) fn published(&mut self, at: Timestamp) {
        self.pending += 1;
        if self.last_progress == Timestamp::default() {
            self.last_progress = at;
        }
        if at > self.ends[0] && (self.waiting.len() < MAX_WAITING || self.waiting.back() > Some(&at)) {
            let place = self.waiting.iter().rposition(|before| *before <= at).map_or(0, |before| before + 1);
            self.waiting.insert(place, at);
            self.waiting.truncate(MAX_WAITING);
        }
    }

    /// A message that waited does not any more, or was given up.
    pub(super) fn no_longer_pending(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    /// It is not known any more what waits.
    pub(super) fn forget_waiting(&mut self) {
        self.pending = 0;
        self.waiting.clear();
    }

    /// Whether any message was ever processed.
    pub(super) fn has_moved(&self) -> bool {
        self.rounds > 0
    }

    /// A message was processed for the first time; true where that ends a standstill that was told.
    pub(super) fn moved(&mut self, at: Timestamp) -> bool {
        let was_told = self.told.take().is_some();
        if self.rounds == 0 || at > self.last_progress {
            if let (true, false, Some(since)) = (self.rounds > 0, was_told, self.waits_since()) {
                self.paused(at.since(since), at);
            }
            self.rounds += 1;
            self.last_progress = at;
        }
        self.repeats = 0;
        was_told
    }

    /// One that was published then was processed.
    pub(super) fn processed(&mut self, published: Timestamp) {
        if let Some(place) = self.ends.iter().position(|end| published > *end) {
            self.ends[place..].rotate_right(1);
            self.ends[place] = published;
        }
        while self.waiting.pop_front_if(|waits| *waits <= self.ends[0]).is_some() {}
    }

    /// Since when something waits, and nothing moved.
    fn waits_since(&self) -> Option<Timestamp> {
        self.waiting.front().map(|first| self.last_progress.max(*first))
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

    /// How long nothing moved on though messages wait, of all that is known `until` then; `None` while that is usual.
    /// `others` is the longest pause of other lanes, where that says something of this one, too.
    pub(super) fn stands_still(&self, until: Timestamp, delay: Duration, others: Option<Duration>) -> Option<Duration> {
        let pause = until.since(self.waits_since()?);
        let usual = self.usual_pause().or(others)?.mul_f64(USUAL_PAUSES);
        let patience = LEAST_PAUSE.max(usual).max(3 * delay);
        let waits = self.pending as usize >= MANY && self.waiting.get(MANY - 1).is_some_and(|last| *last <= until);
        (waits && pause >= patience).then_some(pause)
    }

    /// How many wait.
    pub(super) fn pending(&self) -> u32 {
        self.pending
    }

    pub(super) fn last_progress(&self) -> Timestamp {
        self.last_progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + seconds)
    }

    fn process(lane: &mut Lane, published: u64, started: u64) {
        lane.no_longer_pending();
        lane.moved(at(started));
        lane.processed(at(published));
    }

    /// A message every so many seconds until then, each taken at once.
    fn busy(every: usize, until: u64) -> Lane {
        let mut lane = Lane::default();
        for second in (0..until).step_by(every) {
            lane.published(at(second));
            process(&mut lane, second, second);
        }
        lane
    }

    fn pause(lane: &Lane, until: u64) -> Option<u64> {
        lane.stands_still(at(until), Duration::ZERO, None).map(|pause| pause.as_secs())
    }

    #[test]
    fn it_stands_still_from_when_the_first_message_waits() {
        let mut lane = busy(8, 200);
        // Nothing came for long, which is no standstill.
        (300..306).for_each(|second| lane.published(at(second)));
        assert_eq!(pause(&lane, 309), None);
        assert_eq!(pause(&lane, 311), Some(11));
        assert!(!lane.moved(at(311)), "it was not told");
        assert_eq!(pause(&lane, 312), None);
    }

    #[test]
    fn a_queue_that_is_worked_off_slowly_moves() {
        let mut lane = busy(1, 100);
        (100..160).for_each(|second| lane.published(at(second)));
        for n in 0..20 {
            process(&mut lane, 100 + n, 100 + 3 * n);
        }
        assert_eq!(pause(&lane, 160), None);
        assert_eq!(pause(&lane, 175), Some(18));
    }

    #[test]
    fn one_that_polls_once_a_minute_stands_still_after_several() {
        let mut lane = Lane::default();
        for minute in 0..5_u64 {
            (0..60).for_each(|second| lane.published(at(60 * minute + second)));
            (0..60).for_each(|second| process(&mut lane, 60 * minute + second, 60 * minute + 60));
        }
        (300..500).for_each(|second| lane.published(at(second)));
        assert_eq!((pause(&lane, 400), pause(&lane, 460)), (None, Some(160)));
    }

    #[test]
    fn a_message_is_overtaken_once_three_later_ones_were_processed() {
        let mut lane = busy(1, 10);
        lane.published(at(10));
        for second in 11..14 {
            assert!(!lane.has_overtaken(at(10)));
            lane.published(at(second));
            process(&mut lane, second, second);
        }
        assert!(lane.has_overtaken(at(10)) && !lane.has_overtaken(at(11)));
        assert_eq!(lane.pending(), 1);
    }
}
