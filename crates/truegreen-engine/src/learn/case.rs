//! A case: one passage through whatever there is to learn, as its events by time.

use std::collections::BTreeMap;

use truegreen_model::time::Timestamp;

use super::heard::Heard;
use super::vocabulary::{ActivityId, Vocabulary};

/// Most events that are held at once, over all cases.
pub const MAX_EVENTS: usize = 20_000_000;
/// Most events of one case; a case with more is no passage, and is left out.
pub const MAX_CASE_EVENTS: usize = 10_000;
/// Most attributes of one case that may explain it.
pub(crate) const MAX_TRAITS: usize = 48;
/// Most attributes of one case that may be its key.
pub(crate) const MAX_NAMES: usize = 16;

/// Something that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// When it began.
    pub at: Timestamp,
    /// When it ended; the same for what takes no time.
    pub end: Timestamp,
    /// What.
    pub activity: ActivityId,
    /// It did not succeed: an attempt, no fulfilment.
    pub failed: bool,
}

/// An attribute of one of a case's events, with one of few values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Trait {
    pub(crate) activity: ActivityId,
    pub(crate) attribute: u16,
    pub(crate) value: u16,
}

/// An attribute of one of a case's events that might be its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Named {
    pub(crate) activity: ActivityId,
    pub(crate) attribute: u16,
    /// Of its value.
    pub(crate) hash: u64,
}

/// One passage.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Case {
    /// What names it.
    pub key: Box<str>,
    /// By the time they began.
    pub events: Vec<Event>,
    pub(crate) traits: Vec<Trait>,
    pub(crate) names: Vec<Named>,
    /// What it began with, where nothing led to that. A plain event log has no such thing: there its first event is one
    /// like the others.
    pub root: Option<(Timestamp, ActivityId)>,
}

impl Case {
    /// When it began.
    pub fn entered_at(&self) -> Timestamp {
        self.events.first().map_or(Timestamp(0), |event| event.at)
    }

    /// When it was last heard of.
    pub fn last_at(&self) -> Timestamp {
        self.events.iter().map(|event| event.end).max().unwrap_or_default()
    }

    /// The value of an attribute, where it was seen at an activity that `counts`.
    pub(crate) fn value(&self, attribute: u16, counts: impl Fn(ActivityId) -> bool) -> Option<u16> {
        let seen = self.traits.iter().find(|seen| seen.attribute == attribute && counts(seen.activity));
        seen.map(|seen| seen.value)
    }
}

/// All cases of one stretch of time.
#[derive(Clone, Debug, Default)]
pub struct Cases {
    /// By the time they began.
    pub cases: Vec<Case>,
    /// The names in them.
    pub vocabulary: Vocabulary,
    /// The latest time of any event.
    pub until: Timestamp,
    /// For telemetry; empty for a plain event log.
    pub heard: Heard,
    /// Activities whose spans hang at one that never came, and how often.
    pub(crate) orphans: BTreeMap<ActivityId, u32>,
    /// Whether these are rows of a plain event log rather than telemetry.
    pub plain: bool,
    /// What was left out, and why.
    pub left_out: LeftOut,
    /// The names of attributes that may be keys, by number.
    pub(crate) names: Vec<Box<str>>,
}

/// What was left out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LeftOut {
    /// Events past [`MAX_EVENTS`].
    pub events: u64,
    /// Cases with more than [`MAX_CASE_EVENTS`].
    pub long_cases: u64,
    /// Log records that belong to no trace.
    pub unbound_logs: u64,
    /// Values of attributes past the bound on all of them.
    pub attributes: u64,
    /// Links past the bounds on how traces are put together.
    pub links: u64,
}
