//! A span, as far as traces are put together from it.

use serde::{Deserialize, Serialize};
use truegreen_model::observation::{Evidence, InstanceId, Symbol};
use truegreen_model::time::Timestamp;

use super::SpanRef;
use super::operation::OperationId;

/// How a span says that it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Nothing said, which most instrumentation does where nothing failed.
    Unset,
    Ok,
    Error,
}

/// One span. Its times are by its sender's clock.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct TracedSpan {
    pub(crate) span: u64,
    /// 0 for none.
    pub(crate) parent: u64,
    pub(crate) operation: OperationId,
    pub(crate) instance: InstanceId,
    pub(crate) outcome: Outcome,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// When it was received, by our clock.
    pub(crate) received: Timestamp,
    /// `http.response.status_code`; 0 where it is none.
    pub(crate) status: u16,
    /// `error.type`.
    pub(crate) error: Option<Symbol>,
    /// `truegreen.outcome` says that it was refused, dead-lettered, or is to be tried again.
    pub(crate) refused: bool,
    /// Rows that a database said it touched or returned.
    pub(crate) rows: Option<u32>,
    /// `cache.hit`.
    pub(crate) hit: Option<bool>,
    /// Hash of `cache.key`, `messaging.message.id`, or a database statement's key where telemetry carries one; 0 for none.
    pub(crate) key: u64,
    /// `messaging.destination.partition.id`.
    pub(crate) partition: Option<Symbol>,
    /// Mostly none.
    pub(crate) links: Vec<SpanRef>,
    pub(crate) evidence: Evidence,
}

impl TracedSpan {
    pub(crate) fn duration(&self) -> std::time::Duration {
        self.end.since(self.start)
    }

    /// Whether it failed by its own word.
    pub(crate) fn failed(&self) -> bool {
        self.outcome == Outcome::Error || self.status >= 500
    }
}
