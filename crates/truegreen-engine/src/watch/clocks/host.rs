//! One instance's clock: how far it is off, how that went over time, and which tokens were refused there.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::observation::{InstanceId, Symbol};
use truegreen_model::time::Timestamp;

use super::{HostOffset, difference};

/// Offsets kept to see a drift, one a while.
const KEPT: usize = 20;
const WHILE: Duration = Duration::from_secs(30);
/// Fewer make no line.
const LINE: usize = 4;
/// How long a record's quickest way to us is remembered, at the least: batches come every few seconds.
const REMEMBERED: Duration = Duration::from_secs(20);
/// A record's end may be wrong, so the two that say most are left aside, and fewer records show nothing.
const AHEAD: usize = 3;
const RECORDS: u32 = 10;
/// Token errors of this long count, from so many on.
const TOKENS: Duration = Duration::from_secs(120);
const MANY_TOKENS: u64 = 3;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Host {
    /// The most by which records ended ahead of their receipt, in order, of this while and the one before.
    ahead: SmallVec<[i64; AHEAD]>,
    ahead_before: Option<i64>,
    ahead_since: Timestamp,
    records: u32,
    heard: Timestamp,
    /// When it was solved, the offset, and its error.
    course: VecDeque<(Timestamp, i64, i64)>,
    solved: Option<(i64, i64)>,
    refused: u64,
    refused_since: Timestamp,
    refused_latest: Timestamp,
    refused_as: Option<Symbol>,
    /// When it was last told, where it is wrong, and whether that named token errors.
    told: Option<(Timestamp, bool)>,
    well_since: Option<Timestamp>,
    /// When it, or one that it was compared with, was set last.
    set: Timestamp,
}

impl Host {
    pub(super) fn arrived(&mut self, end: Timestamp, received: Timestamp) {
        let ahead = difference(end, received);
        if self.records >= RECORDS && received.since(self.ahead_since) > REMEMBERED {
            self.ahead_before = self.ahead.last().copied();
            self.ahead.clear();
            self.records = 0;
        }
        if self.records == 0 {
            self.ahead_since = received;
        }
        self.records = self.records.saturating_add(1);
        let at = self.ahead.partition_point(|known| *known >= ahead);
        if at < AHEAD {
            self.ahead.truncate(AHEAD - 1);
            self.ahead.insert(at, ahead);
        }
        self.heard = received;
    }

    /// By how much the clock is ahead of ours at the least: nothing arrives before it ends.
    pub(super) fn ahead(&self) -> Option<i64> {
        let current = self.ahead.last().copied().filter(|_| self.records >= RECORDS);
        current.or(self.ahead_before).or(self.ahead.last().copied().filter(|_| self.ahead.len() >= AHEAD))
    }

    pub(super) fn was_set(&mut self, at: Timestamp) {
        self.set = self.set.max(at);
    }

    pub(super) fn set(&self) -> Timestamp {
        self.set
    }

    pub(super) fn refused_token(&mut self, error: Option<Symbol>, now: Timestamp) {
        if now.since(self.refused_latest) > TOKENS {
            (self.refused, self.refused_since) = (0, now);
        }
        self.refused += 1;
        self.refused_latest = now;
        self.refused_as = error.or(self.refused_as);
    }

    /// How many token errors there were lately, and what they were called.
    pub(super) fn refused(&self, now: Timestamp) -> Option<(u64, Option<Symbol>)> {
        let is_recent = now.since(self.refused_latest) <= TOKENS;
        (is_recent && self.refused >= MANY_TOKENS).then_some((self.refused, self.refused_as))
    }

    pub(super) fn solve(&mut self, offset: i64, error: i64, now: Timestamp) {
        self.heard = now;
        self.solved = Some((offset, error));
        if self.course.back().is_none_or(|(at, ..)| now.since(*at) >= WHILE) {
            if self.course.len() >= KEPT {
                self.course.pop_front();
            }
            self.course.push_back((now, offset, error));
        }
    }

    /// It can be compared with no other any more.
    pub(super) fn unsolve(&mut self) {
        self.solved = None;
        self.course.clear();
    }

    pub(super) fn solved(&self, instance: InstanceId) -> Option<HostOffset> {
        let (offset, error) = self.solved?;
        Some(HostOffset { instance, offset, error, drift_ppm: self.drift_ppm() })
    }

    pub(super) fn offset(&self) -> Option<i64> {
        self.solved.map(|(offset, _)| offset)
    }

    /// The slope of a line through its offsets, where that is more than what they may be wrong by.
    pub(super) fn drift_ppm(&self) -> Option<f64> {
        let (first, _, error) = *self.course.front()?;
        if self.course.len() < LINE {
            return None;
        }
        let n = self.course.len() as f64;
        let points: Vec<(f64, f64)> =
            self.course.iter().map(|(at, offset, _)| (at.since(first).as_nanos() as f64, *offset as f64)).collect();
        let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / n;
        let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / n;
        let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        let slope = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread.max(1.0);
        let gained = slope * points.last().map_or(0.0, |(x, _)| *x);
        (gained.abs() > error as f64).then_some(slope * 1e6)
    }

    /// The clock is wrong; whether that is to be told now.
    pub(super) fn tells(&mut self, now: Timestamp, every: Duration) -> bool {
        self.well_since = None;
        let names_tokens = self.refused(now).is_some();
        let tells = match self.told {
            None => true,
            Some((at, named)) => now.since(at) >= every || (names_tokens && !named),
        };
        if tells {
            self.told = Some((now, names_tokens || self.told.is_some_and(|(_, named)| named)));
        }
        tells
    }

    pub(super) fn is_wrong(&self) -> bool {
        self.told.is_some()
    }

    /// The clock is right; whether it was wrong, and is right for so long that this is over.
    pub(super) fn is_well_since(&mut self, now: Timestamp, after: Duration) -> bool {
        if self.told.is_none() {
            return false;
        }
        let since = *self.well_since.get_or_insert(now);
        let is_over = now.since(since) >= after;
        if is_over {
            (self.told, self.well_since) = (None, None);
        }
        is_over
    }

    pub(super) fn is_gone(&self, now: Timestamp, after: Duration) -> bool {
        now.since(self.heard) > after
    }
}
