//! What is known, each with the time since when.

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::flow::{ExitId, Signal, StepId};
use truegreen_model::time::Timestamp;

use super::clock::Correction;

/// One thing that is known since its time of receipt.
#[derive(Clone, PartialEq, Debug)]
pub enum Fact {
    /// An accepted request contained this instance's resource.
    Heard {
        /// `service.name`.
        service: String,
        /// `service.instance.id`.
        instance: String,
        /// Its resource's attributes, as texts.
        resource: BTreeMap<String, Vec<String>>,
        /// What it delivered; `None` for metrics, which prove life but show no step.
        signal: Option<Signal>,
        /// Of which times that tells; of none where they cannot be.
        told: Vec<Timestamp>,
    },
    /// A record of this service came so long after its end.
    Lagged {
        /// `service.name`.
        service: String,
        /// Of which signal.
        signal: Signal,
        /// Receipt minus end.
        lag: Duration,
    },
    /// A step or exit was seen.
    Seen(Sighting),
    /// A system was asked whether the effect of a step is there, and knew.
    Answered(Answered),
    /// A request was refused.
    Refused {
        /// `service.name`.
        service: String,
        /// `service.instance.id`; all of the service where it is not known.
        instance: Option<String>,
    },
    /// We listen again.
    Resumed {
        /// When we last listened.
        down_since: Timestamp,
    },
    /// A clock is found to be wrong, or to be right again.
    Corrected(Correction),
    /// The service's telemetry says that it is a sample.
    Sampled {
        /// `service.name`.
        service: String,
    },
}

/// One step or exit of one flow, seen for one key.
#[derive(Clone, PartialEq, Debug)]
pub struct Sighting {
    /// Index of the flow.
    pub flow: usize,
    /// Values of the flow's scope attributes.
    pub scope: Vec<String>,
    /// The key's text.
    pub key: String,
    /// Of what.
    pub role: Role,
    /// Event time: a start counts from the beginning of its span, every other step and exit from its end.
    pub at: Timestamp,
    /// The same one twice counts once.
    pub identity: String,
    /// A span with status ERROR.
    pub attempt: bool,
    /// `service.name` of its sender.
    pub service: String,
    /// `service.instance.id` of its sender.
    pub instance: String,
    /// Attributes of the record and its resource, as texts.
    pub attributes: BTreeMap<String, Vec<String>>,
}

/// What a system knew of the effect of one step, for one key.
#[derive(Clone, PartialEq, Debug)]
pub struct Answered {
    /// Index of the flow.
    pub flow: usize,
    /// The key's text.
    pub key: String,
    /// Of which step.
    pub step: StepId,
    /// Whether it is there.
    pub is_there: bool,
    /// As of when.
    pub as_of: Timestamp,
}

/// What a sighting is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// A step.
    Step(StepId),
    /// An exit, with its reason if it gave one.
    Exit(ExitId, Option<String>),
}
