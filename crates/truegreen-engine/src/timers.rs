//! Timers in buckets of 100 ms. Nothing is ever removed before its time: who set a timer checks, when it fires,
//! whether it still matters (lazy cancel).

use std::collections::BTreeMap;

use truegreen_model::flow::FlowId;
use truegreen_model::observation::{KeyHash, TraceId};
use truegreen_model::time::Timestamp;

const BUCKET_NANOS: u64 = 100_000_000;

/// What a timer wakes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Timer {
    /// A journey wants to be judged again.
    Journey(FlowId, KeyHash),
    /// A trace's waiting records were held long enough.
    HoldOver(TraceId),
}

/// What was asked to be woken, by bucket.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    buckets: BTreeMap<u64, Vec<Timer>>,
}

impl Timers {
    /// Wakes `what` at the end of the bucket in which `at` lies: never before `at`.
    pub(crate) fn set(&mut self, at: Timestamp, what: Timer) {
        if at != Timestamp::NEVER {
            self.buckets.entry(at.0.div_ceil(BUCKET_NANOS)).or_default().push(what);
        }
    }

    /// The earliest bucket that is over at `now`, with its time. Timers act at their own time, not at that of the
    /// input which happens to come next: so a replay without ticks decides the same (INV-REPLAY-1).
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, Vec<Timer>)> {
        let first = self.buckets.first_entry()?;
        let at = Timestamp(first.key().saturating_mul(BUCKET_NANOS));
        (at <= now).then(|| (at, first.remove()))
    }
}
