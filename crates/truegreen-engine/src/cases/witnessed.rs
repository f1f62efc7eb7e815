//! Of a finding about a place: a fair sample of the traces that deviated, and of those that went through the same place and
//! did not. Taken only while the finding is open.

use serde::{Deserialize, Serialize};
use truegreen_model::observation::TraceId;
use truegreen_model::time::Timestamp;

use crate::matcher::key::mix;

/// Most traces of one side, 32 bytes each.
const MAX_TRACES: usize = 160;
/// The same of a finding that is closed.
const MAX_TRACES_CLOSED: usize = 20;

/// Traces that deviated, and their like.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Witnessed {
    failing: Drawn,
    healthy: Drawn,
}

/// Those with the smallest draws, a hash of the trace: what arrives in one heap resembles one another, so the latest ones
/// would be like each other rather than like all.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Drawn {
    /// By their draws.
    traces: Vec<(Timestamp, TraceId)>,
    /// How many there were to draw from.
    offered: u64,
}

impl Witnessed {
    /// This trace deviated.
    pub(crate) fn fail(&mut self, at: Timestamp, trace: TraceId) {
        self.healthy.take_out(trace);
        self.failing.offer(at, trace);
    }

    /// This trace went through the same place, and nothing was found of it so far.
    pub(crate) fn go_well(&mut self, at: Timestamp, trace: TraceId) {
        if self.failing.place(trace).is_err() {
            self.healthy.offer(at, trace);
        }
    }

    /// The finding is closed: some are enough.
    pub(crate) fn close(&mut self) {
        for drawn in [&mut self.failing, &mut self.healthy] {
            drawn.traces.truncate(MAX_TRACES_CLOSED);
            drawn.traces.shrink_to_fit();
        }
    }

    pub(crate) fn failing(&self) -> impl Iterator<Item = (Timestamp, TraceId)> + Clone + '_ {
        self.failing.traces.iter().copied()
    }

    /// Only those that are no newer than the latest that deviated: of newer ones it may not be known yet. Where no request
    /// deviates, as of a wrong clock, all of them.
    pub(crate) fn healthy(&self) -> impl Iterator<Item = (Timestamp, TraceId)> + Clone + '_ {
        let latest = self.failing.traces.iter().map(|(at, _)| *at).max().unwrap_or(Timestamp::NEVER);
        self.healthy.traces.iter().copied().filter(move |(at, _)| *at <= latest)
    }

    /// How many deviated and how many did not, since the finding opened.
    pub(crate) fn offered(&self) -> (u64, u64) {
        (self.failing.offered, self.healthy.offered)
    }
}

impl Drawn {
    /// Where it stands, or would stand.
    fn place(&self, trace: TraceId) -> Result<usize, usize> {
        let draw = |trace: TraceId| (mix(trace.0 as u64, (trace.0 >> 64) as u64), trace);
        self.traces.binary_search_by_key(&draw(trace), |(_, known)| draw(*known))
    }

    fn offer(&mut self, at: Timestamp, trace: TraceId) {
        let Err(place) = self.place(trace) else { return };
        self.offered += 1;
        if place < MAX_TRACES {
            self.traces.insert(place, (at, trace));
            self.traces.truncate(MAX_TRACES);
        }
    }

    fn take_out(&mut self, trace: TraceId) {
        if let Ok(place) = self.place(trace) {
            self.traces.remove(place);
            self.offered = self.offered.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_of_all_and_not_of_the_latest() {
        let mut witnessed = Witnessed::default();
        for n in 0..10_000_u64 {
            witnessed.go_well(Timestamp(n), TraceId(u128::from(n) + 1));
            witnessed.go_well(Timestamp(n), TraceId(u128::from(n) + 1));
        }
        witnessed.fail(Timestamp(9_999), TraceId(10_000));
        let early = witnessed.healthy().filter(|(at, _)| at.0 < 5_000).count();
        assert!((40..120).contains(&early), "{early} of {} are of the first half", witnessed.healthy().count());
        assert_eq!(witnessed.failing().count(), 1);
        assert!(witnessed.healthy().all(|(_, trace)| trace != TraceId(10_000)), "who fails did not go well");
    }
}
