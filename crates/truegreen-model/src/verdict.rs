//! How a journey stands: open, or ended with exactly one verdict (INV-BOOKS-2).

use serde::{Deserialize, Serialize};

use crate::flow::StepId;
use crate::observation::Symbol;

/// A journey's state as of now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Standing {
    /// Not decided. `due`: a deadline has passed, the proof that nothing was lost on the way to us is outstanding.
    Open {
        /// Whether a deadline has passed.
        due: bool,
    },
    /// Decided; a late observation may still amend it.
    Ended(Verdict),
}

/// A journey's end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// Every step it owed was seen in time.
    Completed,
    /// Completed, with a step whose event time lies past its deadline.
    Late,
    /// Refused with a reason.
    Rejected(Symbol),
    /// Put aside for repair with a reason.
    DeadLettered(Symbol),
    /// A step is missing although it would have been seen.
    Unaccounted(Loss),
    /// A step is missing, and it might not have been seen.
    Unknown(Why),
}

/// How an unaccounted journey was lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Loss {
    /// Nothing more was seen of it.
    Vanished,
    /// The last that was seen is a failed attempt, followed by neither success nor a lawful exit.
    FailedWithoutExit,
    /// Telemetry says that a step was done, and the system that should show its effect was asked and does not.
    EffectMissing,
}

/// Why a missing step proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Why {
    /// An instance of the owing service stopped reporting.
    InstanceGone,
    /// The owing service reports, but not by the signal that would show the step.
    SignalSilent,
    /// The owing service was never heard of.
    NeverSeen,
    /// The owing service keeps only a sample of its traces.
    Sampled,
    /// We ourselves were down, or refused what it sent.
    IntakeGap,
    /// The owing service loses a part of its telemetry.
    TelemetryLost,
    /// Trace context is not handed on to the owing service, so what it does cannot be told to belong.
    ContextLost,
}

impl Why {
    /// Every reason, in the order of pages and reports.
    pub const ALL: [Why; 7] = [
        Why::InstanceGone,
        Why::SignalSilent,
        Why::NeverSeen,
        Why::Sampled,
        Why::IntakeGap,
        Why::TelemetryLost,
        Why::ContextLost,
    ];

    /// Its name in reports, metrics and docs.
    pub const fn name(self) -> &'static str {
        match self {
            Why::InstanceGone => "instance_gone",
            Why::SignalSilent => "signal_silent",
            Why::NeverSeen => "never_seen",
            Why::Sampled => "sampled",
            Why::IntakeGap => "intake_gap",
            Why::TelemetryLost => "telemetry_lost",
            Why::ContextLost => "context_lost",
        }
    }
}

/// The gap in which a journey was lost: after this step, before that one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Hop {
    /// Last step seen before the gap.
    pub after: StepId,
    /// The step that is missing.
    pub before: StepId,
}
