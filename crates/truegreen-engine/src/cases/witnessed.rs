//! Of a finding about a place: the latest traces that deviated, and the latest that went through the same place and did
//! not. Kept only while the finding is open.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use truegreen_model::observation::TraceId;
use truegreen_model::time::Timestamp;

/// Most traces of one side, 24 bytes each.
const MAX_TRACES: usize = 160;
/// The same of a finding that is closed.
const MAX_TRACES_CLOSED: usize = 20;

/// Traces that deviated, and their like.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Witnessed {
    failing: VecDeque<(Timestamp, TraceId)>,
    healthy: VecDeque<(Timestamp, TraceId)>,
}

impl Witnessed {
    /// This trace deviated.
    pub(crate) fn fail(&mut self, at: Timestamp, trace: TraceId) {
        self.healthy.retain(|(_, known)| *known != trace);
        if !self.failing.iter().any(|(_, known)| *known == trace) {
            push(&mut self.failing, (at, trace));
        }
    }

    /// This trace went through the same place, and nothing was found of it so far.
    pub(crate) fn go_well(&mut self, at: Timestamp, trace: TraceId) {
        let has = |known: &VecDeque<(Timestamp, TraceId)>| known.iter().any(|(_, known)| *known == trace);
        if !has(&self.failing) && !has(&self.healthy) {
            push(&mut self.healthy, (at, trace));
        }
    }

    /// The finding is closed: some are enough.
    pub(crate) fn close(&mut self) {
        for seen in [&mut self.failing, &mut self.healthy] {
            seen.drain(..seen.len().saturating_sub(MAX_TRACES_CLOSED));
            seen.shrink_to_fit();
        }
    }

    pub(crate) fn failing(&self) -> impl Iterator<Item = (Timestamp, TraceId)> + Clone + '_ {
        self.failing.iter().copied()
    }

    /// Only those that are no newer than the latest that deviated: of newer ones it may not be known yet.
    pub(crate) fn healthy(&self) -> impl Iterator<Item = (Timestamp, TraceId)> + Clone + '_ {
        let latest = self.failing.iter().map(|(at, _)| *at).max().unwrap_or_default();
        self.healthy.iter().copied().filter(move |(at, _)| *at <= latest)
    }
}

fn push(into: &mut VecDeque<(Timestamp, TraceId)>, one: (Timestamp, TraceId)) {
    if into.len() >= MAX_TRACES {
        into.pop_front();
    }
    into.push_back(one);
}
