//! Spells: runs of hearings with no silence longer than [`SILENCE`].

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::time::Timestamp;

use super::SILENCE;

const MAX_SPELLS: usize = 16;

/// One unbroken run of hearings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Spell {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

/// The latest runs, oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Spells {
    runs: SmallVec<[Spell; 2]>,
}

impl Spells {
    /// Heard at `now`, which never runs backwards.
    pub(super) fn extend(&mut self, now: Timestamp) {
        match self.runs.last_mut() {
            Some(spell) if now.since(spell.last) <= SILENCE => spell.last = now,
            _ => {
                if self.runs.len() >= MAX_SPELLS {
                    self.runs.remove(0);
                }
                self.runs.push(Spell { first: now, last: now });
            }
        }
    }

    pub(super) fn last(&self) -> Option<Timestamp> {
        self.runs.last().map(|spell| spell.last)
    }

    /// When the present run began.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.runs.last().map(|spell| spell.first)
    }

    /// The spells that overlap `[from, until]`.
    pub(super) fn overlapping(&self, from: Timestamp, until: Timestamp) -> impl Iterator<Item = Spell> + '_ {
        self.runs.iter().copied().filter(move |spell| spell.first <= until && spell.last >= from)
    }

    /// The last hearing of the latest spell that ended before `time`.
    pub(super) fn last_before(&self, time: Timestamp) -> Option<Timestamp> {
        self.runs.iter().rev().map(|spell| spell.last).find(|last| *last < time)
    }
}
