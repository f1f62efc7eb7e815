//! How journeys of a flow ended that a counter may have counted, by when they entered and when that was known: in between
//! lies the moment at which the service counted them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use truegreen_model::flow::ExitOutcome;
use truegreen_model::observation::Symbol;
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Standing, Verdict};

use super::Span;
use crate::ledger::event::Line;
use crate::symbols::NO_REASON;

/// Times are kept to this many seconds.
const GRAIN: u64 = 5;
/// More different ones are not kept; nothing is said of a time of which some are missing.
const MAX_KEPT: usize = 50_000;
const NANOS: u64 = GRAIN * 1_000_000_000;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
enum Tag {
    Rejected,
    DeadLettered,
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
struct Key {
    entered: u64,
    tag: Tag,
    reason: Symbol,
    known: u64,
}

/// Journeys that a counter may have counted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Held {
    journeys: BTreeMap<Key, u32>,
    /// Of earlier ones some are not kept.
    pub(super) complete_since: Timestamp,
}

/// At least so many, and at most so many.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(super) struct Bounds {
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Held {
    /// A journey stands so from now on (1), or does not any more (-1).
    pub(super) fn note(&mut self, line: &Line, by: i32, now: Timestamp) {
        let Standing::Ended(verdict) = line.standing else { return };
        let (tag, reason) = match verdict {
            Verdict::Rejected(reason) => (Tag::Rejected, reason),
            Verdict::DeadLettered(reason) => (Tag::DeadLettered, reason),
            Verdict::Unknown(_) => (Tag::Unknown, NO_REASON),
            Verdict::Completed | Verdict::Late | Verdict::Unaccounted(_) => return,
        };
        let key = Key { entered: line.entered_at.0 / NANOS, tag, reason, known: now.0 / NANOS };
        if by > 0 {
            if self.journeys.len() >= MAX_KEPT && self.journeys.pop_first().is_some() {
                self.complete_since = now;
            }
            *self.journeys.entry(key).or_default() += 1;
            return;
        }
        let alike = Key { known: 0, ..key }..=Key { known: u64::MAX, ..key };
        let latest = self.journeys.range(alike).next_back().map(|(key, _)| *key);
        if let Some(key) = latest
            && let Some(many) = self.journeys.get_mut(&key)
        {
            *many -= 1;
            if *many == 0 {
                self.journeys.remove(&key);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.journeys.is_empty()
    }

    /// What was known before this time is not asked for any more.
    pub(super) fn forget_before(&mut self, time: Timestamp) {
        self.journeys.retain(|key, _| key.known >= time.0 / NANOS);
    }

    /// Those with this end and reason (or whichever) whose end lies in this time, as far as can be told. One that cannot
    /// be judged may be any.
    pub(super) fn within(&self, outcome: Option<ExitOutcome>, reason: Option<Symbol>, span: Span) -> Bounds {
        let mut bounds = Bounds::default();
        for (key, many) in &self.journeys {
            let (from, to) = (Timestamp(key.entered * NANOS), Timestamp((key.known + 1) * NANOS));
            if to < span.from || from > span.to || !key.may_be(outcome, reason) {
                continue;
            }
            bounds.most += f64::from(*many);
            let is_surely_so = key.tag != Tag::Unknown && (reason.is_none() || key.reason != NO_REASON);
            if is_surely_so && from >= span.from && to <= span.to {
                bounds.least += f64::from(*many);
            }
        }
        bounds
    }

    /// The reasons that were given, of such an end.
    pub(super) fn reasons(&self, outcome: Option<ExitOutcome>) -> impl Iterator<Item = Symbol> + '_ {
        let given = self.journeys.keys().filter(move |key| key.tag != Tag::Unknown && key.has(outcome));
        given.map(|key| key.reason).filter(|reason| *reason != NO_REASON)
    }
}

impl Key {
    fn has(&self, outcome: Option<ExitOutcome>) -> bool {
        match self.tag {
            Tag::Rejected => outcome != Some(ExitOutcome::DeadLettered),
            Tag::DeadLettered => outcome != Some(ExitOutcome::Rejected),
            Tag::Unknown => true,
        }
    }

    fn may_be(&self, outcome: Option<ExitOutcome>, reason: Option<Symbol>) -> bool {
        let has_reason = reason.is_none_or(|reason| self.reason == reason || self.reason == NO_REASON);
        self.has(outcome) && has_reason
    }
}
