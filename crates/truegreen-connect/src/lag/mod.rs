//! Whether a consumer moves, from what it committed and what there is to consume: the rules that Kafka's Burrow made
//! familiar, with its hole closed (no data is unknown, never fine). Pure: who asks brings the samples and their times.
//!
//! An *offset* is a position in a partition of Kafka or a sequence in a stream of NATS; `committed` is the next one to be
//! consumed, `high` the next one to be written, `low` the first that is still there.

mod checks;
mod judgement;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

pub use checks::{OLDEST, judgement_checks};
pub use judgement::{Age, Judgement, Rule, STILL};

/// Commits that the rules look at.
pub const COMMITS: usize = 10;
/// Points of (time, high) kept to tell the age of what waits; beyond that the older half is thinned.
pub const MAX_POINTS: usize = 240;

/// What one look at one group and one partition found.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Sample {
    /// When, since any fixed moment.
    pub at: Duration,
    /// The next offset to be consumed; none where the group has never committed.
    pub committed: Option<u64>,
    /// The next offset to be written. Looked at after `committed`, so that it is never behind it by the order of questions.
    pub high: u64,
    /// The first offset that is still there.
    pub low: u64,
    /// How many messages wait, where the system counts them itself; else the distance to `high`.
    pub waiting: Option<u64>,
    /// Age of the oldest that waits, where the system tells it itself; else it is interpolated.
    pub oldest: Option<Duration>,
    /// How many are there to consume; none where that cannot be told.
    pub consumers: Option<u64>,
}

impl Sample {
    /// How many messages wait.
    pub fn lag(&self) -> u64 {
        self.waiting.unwrap_or_else(|| self.high.saturating_sub(self.committed.unwrap_or(self.low).max(self.low)))
    }
}

/// A committed offset that was new when it was seen.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Commit {
    at: Duration,
    offset: u64,
    lag: u64,
}

/// What was seen of one group and one partition, as far as the rules need it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Window {
    last: Option<Sample>,
    looks: u64,
    commits: VecDeque<Commit>,
    points: VecDeque<(Duration, u64)>,
    /// Since when something waits and the offset has not moved.
    still_since: Option<Duration>,
    /// Whether it was ever seen to have nothing left, or to move.
    was_well: bool,
}

impl Window {
    /// Takes one more look. Looks of an earlier time than the last are left out.
    pub fn look(&mut self, sample: Sample) {
        if self.last.is_some_and(|last| sample.at < last.at) {
            return;
        }
        if self.last.is_some_and(|last| sample.high < last.high) {
            // The topic was made anew: nothing of before says anything of it.
            *self = Window::default();
        }
        self.looks += 1;
        let lag = sample.lag();
        let moved = match (self.commits.back(), sample.committed) {
            (Some(before), Some(now)) => before.offset != now,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if let (true, Some(offset)) = (moved, sample.committed) {
            self.was_well |= !self.commits.is_empty();
            self.commits.push_back(Commit { at: sample.at, offset, lag });
            if self.commits.len() > COMMITS {
                self.commits.pop_front();
            }
        }
        self.was_well |= lag == 0 && sample.committed.is_some();
        self.still_since = match self.still_since {
            _ if lag == 0 => None,
            Some(since) if !moved => Some(since),
            _ => Some(sample.at),
        };
        self.point(&sample);
        self.last = Some(sample);
    }

    /// Keeps when `high` was what, from the last point that is consumed on.
    fn point(&mut self, sample: &Sample) {
        let is_first = self.points.len() < 2;
        match self.points.back_mut() {
            // While nothing is written, the last moment of a height is what the next one is interpolated from.
            Some((at, high)) if *high == sample.high && !is_first => *at = (*at).max(sample.at),
            _ => self.points.push_back((sample.at, sample.high)),
        }
        let consumed = sample.committed.unwrap_or(0);
        while self.points.len() > 1 && self.points[1].1 <= consumed {
            self.points.pop_front();
        }
        if self.points.len() > MAX_POINTS {
            let half = MAX_POINTS / 2;
            let mut index = 0;
            self.points.retain(|_| {
                index += 1;
                index > half || index % 2 == 1
            });
        }
    }

    /// When the oldest message that waits was written.
    fn age(&self, sample: &Sample) -> Option<Age> {
        if sample.lag() == 0 {
            return Some(Age::Exactly(Duration::ZERO));
        }
        if let Some(oldest) = sample.oldest {
            return Some(Age::Exactly(oldest));
        }
        let committed = sample.committed?.max(sample.low);
        let (first, height) = *self.points.front()?;
        if height > committed {
            return Some(Age::AtLeast(sample.at.saturating_sub(first)));
        }
        let above = self.points.iter().position(|(_, high)| *high > committed)?;
        let ((from, low), (to, high)) = (self.points[above - 1], self.points[above]);
        // The message at `committed` is the one behind `committed` others.
        let share = (committed - low + 1) as f64 / (high - low) as f64;
        let written = from + to.saturating_sub(from).mul_f64(share.clamp(0.0, 1.0));
        Some(Age::Exactly(sample.at.saturating_sub(written)))
    }
}
