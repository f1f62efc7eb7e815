//! Suspects: which place most probably caused failing requests, and what was ruled out. The stable JSON of
//! `truegreen diagnose`.

use serde::{Deserialize, Serialize};

pub use crate::diagnosis::Certainty;

/// What is different at a suspect's place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspectKind {
    /// What normally follows an event does not.
    MissingEvent,
    /// An event that was not there, or hardly ever.
    NewEvent,
    /// A span, a log line or an exception that says it failed.
    Error,
    /// One operation takes longer in its own work.
    SlowOperation,
    /// Most operations of an instance take longer in their own work.
    SlowInstance,
    /// Calls from and to an instance take longer on their way.
    NetworkDelay,
    /// A service that is called no longer shows.
    Vanished,
    /// The same is done more often within one request.
    Loop,
    /// Operations that never end: what they called shows, they do not.
    NoReturn,
    /// A system that says itself that it fails.
    FailingSystem,
}

impl SuspectKind {
    /// As in the JSON.
    pub const fn name(self) -> &'static str {
        match self {
            SuspectKind::MissingEvent => "missing_event",
            SuspectKind::NewEvent => "new_event",
            SuspectKind::Error => "error",
            SuspectKind::SlowOperation => "slow_operation",
            SuspectKind::SlowInstance => "slow_instance",
            SuspectKind::NetworkDelay => "network_delay",
            SuspectKind::Vanished => "vanished",
            SuspectKind::Loop => "loop",
            SuspectKind::NoReturn => "no_return",
            SuspectKind::FailingSystem => "failing_system",
        }
    }
}

/// A place that may be the cause.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Suspect {
    /// From 1; equal for suspects that the evidence cannot tell apart.
    pub rank: u32,
    /// The service.
    pub service: Option<String>,
    /// The instance, where it is one of several, or the only one.
    pub instance: Option<String>,
    /// The operation.
    pub operation: Option<String>,
    /// The event that is missing, or new where none is: the template of a log line, the name of an event or of an operation.
    pub log_event: Option<String>,
    /// The event after which requests leave their usual way.
    pub missing_after: Option<String>,
    /// What comes instead of what is missing.
    pub instead: Option<String>,
    /// What is different.
    pub kind: SuspectKind,
    /// Sentences with numbers.
    pub evidence: Vec<String>,
    /// Failing requests that first leave the usual way here.
    pub failing: u64,
    /// Normal requests that do.
    pub normal: u64,
    /// How much better the data are explained by it than by chance: the natural logarithm of the odds.
    pub weight: f64,
    /// A few of the failing requests, as trace ids.
    pub traces: Vec<String>,
}

/// What was looked at and is not the cause.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RuledOut {
    /// A service, an instance, an operation.
    pub what: String,
    /// By which evidence.
    pub why: String,
}

/// Where failing requests leave the way of healthy ones.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Diagnosis {
    /// How sure it is. `CONFIRMED`: one suspect alone accounts for most of what is different, beyond chance. `LIKELY`:
    /// something is different beyond chance, and there is a first suspect; it shares its place or accounts for less.
    /// `INCONCLUSIVE`: nothing is different beyond chance.
    pub verdict: Certainty,
    /// The whole of it in one sentence.
    pub summary: String,
    /// By rank. Empty where nothing is different beyond chance.
    pub suspects: Vec<Suspect>,
    /// What is not the cause.
    pub ruled_out: Vec<RuledOut>,
    /// Normal requests that were compared.
    pub normal_requests: u64,
    /// Failing requests that were compared.
    pub failing_requests: u64,
    /// Comparisons made; each suspect had to be beyond the chance of all of them.
    pub comparisons: u64,
    /// What was left out, or should be known about the data.
    pub notes: Vec<String>,
}
