//! Time in ticks of 100 ms. Whatever waits for time is looked at on a tick, at its own time and not at that of the
//! input which happens to come next: so a replay without ticks decides the same (INV-REPLAY-1). Nothing is ever removed
//! before its time: who set a timer checks, when it fires, whether it still matters (lazy cancel).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

const NANOS: u64 = 100_000_000;

/// Whole tenths of a second since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tick(pub(crate) u64);

impl Tick {
    /// Stands for "never".
    pub(crate) const NEVER: Tick = Tick(u64::MAX);

    /// The first tick that is not before this time.
    pub(crate) fn at_or_after(time: Timestamp) -> Tick {
        if time == Timestamp::NEVER { Tick::NEVER } else { Tick(time.0.div_ceil(NANOS)) }
    }

    /// The last tick that is not after this time.
    pub(crate) fn at_or_before(time: Timestamp) -> Tick {
        Tick(time.0 / NANOS)
    }

    pub(crate) fn time(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(NANOS))
    }
}

/// Grows by a quarter instead of twofold: there is an entry for each of millions of journeys.
pub(crate) fn push_tightly<T>(list: &mut Vec<T>, one: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 4).max(4));
    }
    list.push(one);
}

/// What was asked to be woken, by tick.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    ticks: BTreeMap<Tick, Vec<T>>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Timers { ticks: BTreeMap::new() }
    }
}

impl<T> Timers<T> {
    pub(crate) fn set(&mut self, at: Tick, what: T) {
        if at != Tick::NEVER {
            push_tightly(self.ticks.entry(at).or_default(), what);
        }
    }

    /// The first tick that something waits for.
    pub(crate) fn next(&self) -> Tick {
        self.ticks.first_key_value().map_or(Tick::NEVER, |(tick, _)| *tick)
    }

    /// All that waits for `tick` or one before it.
    pub(crate) fn take_due(&mut self, tick: Tick) -> Vec<T> {
        let mut due = Vec::new();
        while let Some(first) = self.ticks.first_entry().filter(|first| *first.key() <= tick) {
            due.append(&mut first.remove());
        }
        due
    }
}
