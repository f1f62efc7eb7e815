//! The engine as a whole.

use std::time::Duration;

use truegreen_model::flow::Flow;
use truegreen_model::report::{CounterReport, JourneyDetail, JourneyReport, MinuteReport, Report, ServiceReport};
use truegreen_model::time::Timestamp;

use crate::input::{Effect, Input};

/// Bounds and windows; every one has a counter for when it is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// Event times older than this are replaced by the time of receipt; ended journeys are forgotten after it.
    pub retention: Duration,
    /// How long a record without a key waits for one by its trace.
    pub bind_window: Duration,
    /// Most journeys in memory; at the bound the receiver refuses retryably (see [`Engine::is_full`]).
    pub max_journeys: usize,
    /// Most traces held for binding.
    pub max_traces: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            retention: Duration::from_secs(6 * 3600),
            bind_window: Duration::from_secs(120),
            max_journeys: 2_000_000,
            max_traces: 500_000,
        }
    }
}

/// The pure state machine.
pub struct Engine {}

impl Engine {
    /// An engine that watches these flows.
    pub fn new(_flows: Vec<Flow>, _options: Options) -> Engine {
        Engine {}
    }

    /// Fires all timers due at `now` (made monotonic), then takes the input.
    pub fn apply(&mut self, _now: Timestamp, _input: Input<'_>) -> Vec<Effect> {
        Vec::new()
    }

    /// Whether a bound on memory is reached, so that senders must be told to retry.
    pub fn is_full(&self) -> bool {
        false
    }

    /// Books and findings of all flows.
    pub fn report(&self) -> Report {
        Report::default()
    }

    /// The flows that are watched.
    pub fn flows(&self) -> &[Flow] {
        &[]
    }

    /// The books of one flow by minute of event time, oldest first; `None` for an unknown flow.
    pub fn minutes(&self, _flow: &str) -> Option<Vec<MinuteReport>> {
        None
    }

    /// Every passage of one key through one flow (in whatever scope), oldest first.
    pub fn journeys_of(&self, _flow: &str, _key: &str) -> Vec<JourneyDetail> {
        Vec::new()
    }

    /// Every journey in memory, in no order.
    pub fn journeys(&self) -> impl Iterator<Item = JourneyReport> + '_ {
        std::iter::empty()
    }

    /// Journeys not decided yet, over all flows.
    pub fn open_journeys(&self) -> u64 {
        0
    }

    /// Who is heard, by service name.
    pub fn services(&self) -> Vec<ServiceReport> {
        Vec::new()
    }

    /// Truegreen's own books (INV-DROP-1).
    pub fn counters(&self) -> Vec<CounterReport> {
        Vec::new()
    }
}
