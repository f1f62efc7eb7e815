//! What goes into the engine, and what it asks to be done.

use truegreen_model::change::Change;
use truegreen_model::confirmation::{Confirmation, Question};
use truegreen_model::flow::Flow;
use truegreen_model::report::FindingReport;
use truegreen_model::time::Timestamp;

/// One thing that happened outside.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// An accepted `ExportTraceServiceRequest`.
    Traces(Request<'a>),
    /// An accepted `ExportLogsServiceRequest`; CloudEvents arrive so too.
    Logs(Request<'a>),
    /// An accepted `ExportMetricsServiceRequest`.
    Metrics(Request<'a>),
    /// A request of this sender was refused, or records of it were: what is missing of it may have been in there.
    Refused {
        /// `service.name`.
        service: &'a str,
        /// `service.instance.id`, where it could be read.
        instance: Option<&'a str>,
    },
    /// We listen again; since this time we did not.
    Resumed {
        /// When we last listened.
        down_since: Timestamp,
    },
    /// From here on these contracts are in force, and no others, each known by its flow's name. Journeys that entered
    /// before stay with the version under which they entered; books and findings are of the name, and go on.
    Contracts(&'a [Flow]),
    /// A system answered whether an effect is there, or cannot tell.
    Confirmed(&'a Confirmation),
    /// Something was changed. The same id twice is one change, as it was told last.
    Change(&'a Change),
    /// Nothing but time passed. Not logged, since every input fires the timers first.
    Tick,
}

/// An accepted request as protobuf bytes, already checked by `truegreen_otlp::check`.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its place in the log of accepted requests.
    pub sequence: u64,
    /// The body, decompressed.
    pub body: &'a [u8],
}

/// What the engine asks to be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// A finding opened, or opened again.
    FindingOpened(FindingReport),
    /// A finding was resolved, or withdrawn because every deviation was amended away.
    FindingClosed(FindingReport),
    /// A system is to be asked. Whoever performs it answers each exactly once, by [`Input::Confirmed`].
    Confirm(Question),
}
