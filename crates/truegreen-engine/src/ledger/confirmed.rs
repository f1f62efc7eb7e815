//! What systems answered when they were asked for the effects of a case. Whatever their order, of one step the earliest
//! answer that it is there counts and the latest that it is not (INV-SET-1).

use truegreen_model::flow::StepId;
use truegreen_model::time::Timestamp;

/// An answer, in order of its weight.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Told {
    There,
    NotThere,
    /// Asked often enough, and nobody can say.
    CannotTell,
}

impl Told {
    pub(super) const ALL: [Told; 3] = [Told::There, Told::NotThere, Told::CannotTell];

    /// Its name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Told::There => "there",
            Told::NotThere => "not_there",
            Told::CannotTell => "cannot_tell",
        }
    }
}

/// One answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Confirmed {
    pub(crate) step: StepId,
    pub(crate) told: Told,
    /// As of when that is so.
    pub(crate) as_of: Timestamp,
}

/// All answers of a case, by step: at most one of each kind.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Confirmations(pub(super) Vec<Confirmed>);

impl Confirmations {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Confirmed> {
        self.0.iter()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// True if that changes anything.
    pub(super) fn add(&mut self, one: Confirmed) -> bool {
        match self.0.binary_search_by_key(&(one.step, one.told), |known| (known.step, known.told)) {
            Ok(at) => {
                let known = &mut self.0[at];
                let counts = match one.told {
                    Told::There => one.as_of.min(known.as_of),
                    Told::NotThere | Told::CannotTell => one.as_of.max(known.as_of),
                };
                std::mem::replace(&mut known.as_of, counts) != counts
            }
            Err(at) => {
                self.0.insert(at, one);
                true
            }
        }
    }

    pub(super) fn get(&self, step: StepId, told: Told) -> Option<Timestamp> {
        self.0.iter().find(|one| (one.step, one.told) == (step, told)).map(|one| one.as_of)
    }

    /// Bit n: the effect of step n was found.
    pub(super) fn there(&self) -> u64 {
        self.0.iter().filter(|one| one.told == Told::There).map(|one| 1 << one.step.0).sum()
    }
}
