//! All that is known of one key in one flow: its observations, and the passages that they make up.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::flow::{Reentry, StepId};
use truegreen_model::observation::{Conditions, Evidence, Identity, InstanceId, KeyHash, Role, Share, TraceId};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Hop, Standing};

use super::confirmed::Confirmations;
use crate::matcher::plan::Plan;
use crate::matcher::scopes::ScopeId;
use crate::timers::Tick;

/// An observation within its case: what it is of is known already.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) role: Role,
    pub(crate) identity: Identity,
    /// Event time: a start counts from the beginning of its span, every other step from its end.
    pub(crate) at: Timestamp,
    /// A span with status ERROR: an attempt, never fulfilment.
    pub(crate) attempt: bool,
    pub(crate) instance: InstanceId,
    pub(crate) trace: TraceId,
    pub(crate) conditions: Conditions,
    /// Mostly empty.
    pub(crate) shares: Vec<Share>,
    pub(crate) evidence: Evidence,
}

/// One key in one flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    pub(crate) text: String,
    pub(crate) scope: ScopeId,
    /// In order of arrival, which nothing depends on.
    pub(crate) seen: Vec<Seen>,
    /// By entry; none as long as no start was seen (an orphan).
    pub(crate) passages: SmallVec<[Passage; 1]>,
    /// Other names of this journey, to be forgotten with it.
    pub(crate) aliases: Vec<KeyHash>,
    /// What systems answered about it.
    pub(crate) told: Confirmations,
    /// When its passages want to be looked at again.
    pub(crate) next_check: Tick,
    /// The earliest timer that is set for it.
    pub(crate) timer: Tick,
}

/// One passage through the flow, as the books have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Passage {
    pub(crate) entered_at: Timestamp,
    pub(crate) standing: Standing,
    /// Where it waits or was lost.
    pub(crate) hop: Option<Hop>,
    /// When the step it waits for was due.
    pub(crate) deadline: Timestamp,
    pub(crate) after: StepId,
    pub(crate) owed: u64,
    /// Further starts of the same passage.
    pub(crate) duplicates: u64,
    /// How it ended is owed to what a system answered.
    pub(crate) confirmed: bool,
    /// Bit n: the effect of step n was found.
    pub(crate) there: u64,
}

impl Case {
    /// Nothing, to be filled.
    pub(crate) fn empty() -> Self {
        Case {
            text: String::new(),
            scope: ScopeId(0),
            seen: Vec::new(),
            passages: SmallVec::new(),
            aliases: Vec::new(),
            told: Confirmations::default(),
            next_check: Tick::NEVER,
            timer: Tick::NEVER,
        }
    }

    /// Becomes a case of which nothing was seen yet.
    pub(crate) fn begin(&mut self, text: &[u8], scope: ScopeId) {
        let Case { seen, aliases, text: room, .. } = std::mem::replace(self, Case::empty());
        *self = Case { seen, aliases, text: room, scope, ..Case::empty() };
        self.seen.clear();
        self.aliases.clear();
        self.text.clear();
        self.text.push_str(&String::from_utf8_lossy(text));
    }

    pub(crate) fn is_open(&self) -> bool {
        self.passages.iter().any(|passage| matches!(passage.standing, Standing::Open { .. }))
    }

    /// The observations of each passage. Without a start there is one group, which makes no passage.
    pub(crate) fn split<'s>(&'s self, plan: &Plan) -> SmallVec<[SmallVec<[&'s Seen; 8]>; 1]> {
        let Reentry::After(pause) = plan.flow.reentry else {
            return SmallVec::from_iter([self.seen.iter().collect()]);
        };
        let mut starts: SmallVec<[Timestamp; 4]> =
            self.seen.iter().filter(|one| one.role == Role::Step(StepId::START)).map(|start| start.at).collect();
        starts.sort_unstable();
        let mut entries: SmallVec<[Timestamp; 4]> = SmallVec::new();
        for start in starts {
            if entries.last().is_none_or(|entry| start >= *entry + pause) {
                entries.push(start);
            }
        }
        let mut groups: SmallVec<[SmallVec<[&Seen; 8]>; 1]> =
            (0..entries.len().max(1)).map(|_| SmallVec::new()).collect();
        for one in &self.seen {
            // What was seen before the first entry belongs to it: clocks differ.
            let index = entries.partition_point(|entry| *entry <= one.at).saturating_sub(1);
            groups[index].push(one);
        }
        groups
    }
}
