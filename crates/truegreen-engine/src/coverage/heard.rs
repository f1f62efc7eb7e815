//! What one request says of one sender, added up while it is read: coverage takes it in one piece.

use std::time::Duration;

use smallvec::SmallVec;
use truegreen_model::flow::Signal;
use truegreen_model::time::Timestamp;

use super::lag::FLOOR;
use super::reach::Reach;
use super::{sampling, skew};

/// What one request says of one sender.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) spans: u64,
    pub(crate) error_spans: u64,
    pub(crate) logs: u64,
    pub(crate) data_points: u64,
    /// By signal: whether any record of it came.
    pub(super) delivered: [bool; 3],
    pub(super) delays: [Delays; 3],
    /// By how much the latest end lies ahead of its receipt.
    pub(super) ahead: Duration,
    /// Of which times it tells, by the sender's clock.
    pub(super) reach: Reach,
    /// Trace ids, where the sampling of the service is looked at.
    pub(super) trace_ids: Vec<u128>,
    /// What the last span with a threshold in its `tracestate` said.
    pub(super) kept_share: Option<f64>,
}

/// How long after their ends records arrived.
#[derive(Debug, Default)]
pub(super) struct Delays {
    pub(super) total: u64,
    /// Those above the floor; few are.
    pub(super) beyond: SmallVec<[Duration; 4]>,
}

impl Heard {
    /// A record of this signal came.
    pub(crate) fn delivered(&mut self, signal: Signal) {
        self.delivered[signal as usize] = true;
    }

    /// A record of this signal, or a metric's data point, tells of this time by its sender's clock; zero where it tells
    /// none. It arrived `now`.
    pub(crate) fn told(&mut self, signal: Option<Signal>, at: Timestamp, now: Timestamp) {
        self.reach.tell(signal, at, now);
    }

    /// A record ended at `end` by its own clock, and arrived `now`.
    pub(crate) fn arrived(&mut self, signal: Signal, end: Timestamp, now: Timestamp) {
        self.ahead = self.ahead.max(skew::ahead(end, now));
        let (delays, delay) = (&mut self.delays[signal as usize], now.since(end));
        delays.total += 1;
        if delay > FLOOR {
            delays.beyond.push(delay);
        }
    }

    /// A span of this trace came, with this `tracestate`.
    pub(crate) fn traced(&mut self, trace_id: u128, trace_state: &[u8], wanted: bool) {
        if !trace_state.is_empty()
            && let Some(share) = sampling::kept_share(trace_state)
        {
            self.kept_share = Some(share);
        }
        if wanted && self.trace_ids.last() != Some(&trace_id) {
            self.trace_ids.push(trace_id);
        }
    }
}
