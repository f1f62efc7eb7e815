//! What happens to journeys, as the books, the findings and coverage need to know it. Shards hand these out; only the
//! accounts act on them, in one order.

use serde::{Deserialize, Serialize};
use truegreen_model::confirmation::QuestionId;
use truegreen_model::flow::{FlowId, StepId};
use truegreen_model::observation::{KeyHash, Symbol};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Hop, Standing, Verdict};

use super::case::Passage;
use crate::counters::Counter;
use crate::coverage::CameDue;
use crate::timers::Tick;

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A journey entered, or stands differently.
    Moved(Moved),
    /// A key was seen without a start (1), or its start came (-1).
    Orphans(FlowId, i64),
    /// Further starts of a passage.
    Duplicates(FlowId, i64),
    /// A journey waits for a step past its deadline.
    CameDue(CameDue),
    /// It does not any more: the step came after all, or another is waited for.
    NoLongerDue(CameDue),
    /// This service fulfils a step.
    Learned(FlowId, StepId, Symbol),
    /// These second names are forgotten with their journey.
    Unnamed(FlowId, Vec<KeyHash>),
    Counted(Counter),
    /// The effect of this step is worth asking for, from then on.
    Wanted(QuestionId, Tick),
}

/// From one line of the books to another; `None` on either side: it enters, or was merged into another.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) flow: FlowId,
    /// The key's text, where a finding may name it.
    pub(crate) key: String,
    pub(crate) from: Option<Line>,
    pub(crate) to: Option<Line>,
    pub(crate) at: Timestamp,
}

impl Moved {
    /// The step at which the journey just ended, and its key if it was lost there.
    pub(crate) fn ended(&self) -> Option<(StepId, Option<&str>)> {
        let line = self.to.as_ref()?;
        let before = self.from.as_ref().and_then(Line::verdict);
        match line.verdict()? {
            // What is amended was told when it first ended.
            verdict if before == Some(verdict) => None,
            Verdict::Unaccounted(_) => Some((line.hop?.before, Some(&self.key))),
            Verdict::Completed | Verdict::Late => {
                let last = 63_u32.checked_sub(line.owed.leading_zeros())?;
                Some((StepId(u8::try_from(last).ok()?), None))
            }
            _ => None,
        }
    }
}

/// One journey as the accounts see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) entered_at: Timestamp,
    pub(crate) standing: Standing,
    /// Where it was lost.
    pub(crate) hop: Option<Hop>,
    /// Bit n: step n is owed.
    pub(crate) owed: u64,
    /// The verdict is owed to what a system answered.
    pub(crate) confirmed: bool,
    /// Bit n: the effect of step n was found.
    pub(crate) there: u64,
}

impl Line {
    /// As long as it is open, the accounts look at nothing but its entry.
    pub(super) fn of(passage: &Passage) -> Line {
        match passage.standing {
            Standing::Open { .. } => Line {
                entered_at: passage.entered_at,
                standing: Standing::Open { due: false },
                hop: None,
                owed: 0,
                confirmed: false,
                there: 0,
            },
            standing => Line {
                entered_at: passage.entered_at,
                standing,
                hop: passage.hop,
                owed: passage.owed,
                confirmed: passage.confirmed,
                there: passage.there,
            },
        }
    }

    pub(crate) fn verdict(&self) -> Option<Verdict> {
        match self.standing {
            Standing::Ended(verdict) => Some(verdict),
            Standing::Open { .. } => None,
        }
    }

    /// Whether a finding may have to name the journey.
    pub(super) fn may_deviate(&self) -> bool {
        !matches!(self.standing, Standing::Open { .. } | Standing::Ended(Verdict::Completed))
    }
}
