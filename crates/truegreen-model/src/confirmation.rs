//! Whether it did happen: a question to a system about the effect of one step of one journey, and what was answered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flow::{Expected, FlowId, StepId};
use crate::observation::KeyHash;
use crate::time::Timestamp;

/// Which effect is asked for: that of one step of one journey. At most one question about it is under way at a time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct QuestionId {
    /// The version of the contract that the journey is of.
    pub flow: FlowId,
    /// Whose journey.
    pub key: KeyHash,
    /// Of which step.
    pub step: StepId,
}

/// One question, with all that it takes to ask it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Question {
    /// To be handed back with the answer.
    pub id: QuestionId,
    /// The flow's name.
    pub flow: String,
    /// The step's name.
    pub step: String,
    /// The key's text: the question's one parameter.
    pub key: String,
    /// The system's name.
    pub system: String,
    /// The question, as the contract gives it.
    pub ask: String,
    /// What answer means that the effect is there.
    pub expect: Expected,
}

/// What was answered. An input of the engine, and logged as such (INV-REPLAY-1).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Confirmation {
    /// To which question.
    pub id: QuestionId,
    /// The flow's name.
    pub flow: String,
    /// The step's name.
    pub step: String,
    /// When it was asked; the answer is no newer than that.
    pub asked_at: Timestamp,
    /// The answer.
    pub answer: Answer,
}

/// Whether the effect is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// It is.
    There,
    /// It was not, so long before it was asked: what answers may be a replica. `None`: by how much it is behind cannot be
    /// told, so that the answer proves nothing.
    NotThere {
        /// How far what answers is behind the truth.
        behind: Option<Duration>,
    },
    /// Nobody can say.
    CannotTell(NoAnswer),
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum NoAnswer {
    /// The system cannot be reached.
    Unreachable,
    /// It did not answer in time.
    TimedOut,
    /// It does not let us ask this.
    Denied,
    /// It answered with an error, or with something else than an answer.
    Failed,
    /// The question is not one that may be asked.
    NotAsked,
}

impl NoAnswer {
    /// Its name in metrics and docs.
    pub const fn name(self) -> &'static str {
        match self {
            NoAnswer::Unreachable => "unreachable",
            NoAnswer::TimedOut => "timed_out",
            NoAnswer::Denied => "denied",
            NoAnswer::Failed => "failed",
            NoAnswer::NotAsked => "not_asked",
        }
    }
}
