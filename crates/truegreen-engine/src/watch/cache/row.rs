//! A row that was written, and the entries that are copies of it. What is heard of them comes out of order, by as much as
//! exporters differ, so each keeps what was latest by event time.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::observation::{Symbol, TraceId};
use truegreen_model::time::Timestamp;

use crate::trace::operation::OperationId;

/// Copies of one row.
const MAX_COPIES: usize = 8;
/// An entry removed so shortly before the write was removed for it; one put or missed sooner than that is older.
const REMOVED_BEFORE: Duration = Duration::from_secs(2);
const PUT_BEFORE: Duration = Duration::from_millis(100);

/// A cache: who holds it, what it holds, and the words around the ids of its keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(super) struct Cache {
    /// The server that services share, or else the one service that has it in memory.
    pub(super) owner: Symbol,
    pub(super) subject: Option<Symbol>,
    pub(super) words: u16,
}

/// One row that was written, and its copies.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) write: Option<Write>,
    pub(super) copies: SmallVec<[Copied; 1]>,
    pub(super) touched: Timestamp,
}

/// A change of a row, by the reference's clock.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Write {
    pub(super) operation: OperationId,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// The entry of one cache that is a copy of a row.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Copied {
    pub(super) cache: Cache,
    /// When it was last removed, put anew or missed, and until when a write may begin for which it was.
    freed: Timestamp,
    covers: Timestamp,
    /// Since when it is known to be there; 0 where it is not.
    since: Timestamp,
    /// Whether it was known to be there when its row was written, and when it was freed since.
    pub(super) was_held: bool,
    freed_held: bool,
    /// The first hit after the write while that is in doubt; else the latest.
    hit: Option<Hit>,
    pub(super) is_in_doubt: bool,
    pub(super) is_stale: bool,
    /// That it was not freed for this write was counted.
    pub(super) is_counted: bool,
}

/// What an entry becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Becomes {
    Removed,
    Missed,
    Put,
}

/// An entry that was served.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Hit {
    pub(super) operation: OperationId,
    pub(super) at: Timestamp,
    pub(super) trace: TraceId,
}

impl Row {
    /// The copy that a cache holds, entered where there is room.
    pub(super) fn copy(&mut self, cache: Cache) -> Option<&mut Copied> {
        let known = self.copies.iter().position(|copy| copy.cache == cache);
        if known.is_none() && self.copies.len() < MAX_COPIES {
            self.copies.push(Copied::new(cache));
        }
        let at = known.or(self.copies.len().checked_sub(1))?;
        self.copies.get_mut(at).filter(|copy| copy.cache == cache)
    }

    /// A later write than those known; the entries that went for it, with how long after it they did.
    pub(super) fn written(&mut self, write: Write) -> SmallVec<[(Cache, Duration); 1]> {
        let mut fresh = SmallVec::new();
        let mut is_pending = false;
        for copy in &mut self.copies {
            let freed_held = std::mem::take(&mut copy.freed_held);
            if copy.covers >= write.start {
                copy.is_settled();
                if freed_held {
                    fresh.push((copy.cache, copy.freed.since(write.end)));
                }
            } else {
                copy.was_held = copy.since != Timestamp(0) && copy.since < write.start;
            }
            is_pending |= copy.is_in_doubt || copy.is_stale;
        }
        // What was not removed after an earlier write is stale since then.
        if !is_pending || self.write.is_none() {
            self.write = Some(write);
            self.copies.iter_mut().for_each(|copy| copy.is_counted = false);
        }
        fresh
    }
}

impl Copied {
    fn new(cache: Cache) -> Copied {
        Copied {
            cache,
            freed: Timestamp(0),
            covers: Timestamp(0),
            since: Timestamp(0),
            was_held: false,
            freed_held: false,
            hit: None,
            is_in_doubt: false,
            is_stale: false,
            is_counted: false,
        }
    }

    /// Nothing is open about it any more.
    fn is_settled(&mut self) {
        (self.hit, self.is_in_doubt, self.is_stale) = (None, false, false);
    }

    pub(super) fn is_held(&self) -> bool {
        self.since != Timestamp(0)
    }

    /// Whether it was freed for this write, as far as is heard.
    pub(super) fn is_fresh(&self, write: &Write) -> bool {
        self.covers >= write.start
    }

    /// It was removed, put anew or missed; whether that was for this write, soon enough, and it had been there.
    pub(super) fn freed(&mut self, at: Timestamp, becomes: Becomes, write: Option<&Write>) -> bool {
        let was_held = self.is_held();
        let was_fresh = write.is_some_and(|write| self.is_fresh(write));
        let before = if becomes == Becomes::Removed { REMOVED_BEFORE } else { PUT_BEFORE };
        self.freed = self.freed.max(at);
        self.covers = self.covers.max(at + before);
        self.freed_held |= was_held;
        if self.since <= at {
            self.since = if becomes == Becomes::Put { at } else { Timestamp(0) };
        }
        let Some(write) = write.filter(|write| !was_fresh && at + before >= write.start) else { return false };
        debug_assert!(self.is_fresh(write), "what was freed for it is fresh");
        let is_late = self.is_in_doubt && self.hit.is_some_and(|hit| at > hit.at);
        let was_stale = self.is_stale;
        // Who looks for it again after a stale hit did not remove it; a removal that came late was for the write.
        if is_late && becomes != Becomes::Removed && !was_stale {
            return false;
        }
        self.is_settled();
        !was_stale && !is_late && (self.was_held || was_held)
    }

    /// It was served; whether this is the hit to be held against the write.
    pub(super) fn served(&mut self, hit: Hit, write: Option<&Write>, grace: Duration) -> bool {
        if hit.at > self.freed && self.since == Timestamp(0) {
            self.since = hit.at;
        }
        if self.is_in_doubt {
            return false;
        }
        if self.hit.is_none_or(|known| known.at < hit.at) {
            self.hit = Some(hit);
        }
        write.is_some_and(|write| self.doubt(write, grace))
    }

    /// Puts its latest hit in doubt, where that was served for too long after the write.
    pub(super) fn doubt(&mut self, write: &Write, grace: Duration) -> bool {
        let is_too_late = |hit: &Hit| hit.at > write.end + grace && hit.at > self.freed;
        let doubts =
            !self.is_in_doubt && !self.is_stale && !self.is_fresh(write) && self.hit.as_ref().is_some_and(is_too_late);
        self.is_in_doubt |= doubts;
        doubts
    }

    /// The hit that is in doubt, which ends that.
    pub(super) fn decide(&mut self) -> Option<Hit> {
        std::mem::take(&mut self.is_in_doubt).then(|| self.hit.take()).flatten()
    }

    pub(super) fn latest_hit(&self) -> Option<Hit> {
        self.hit
    }
}
