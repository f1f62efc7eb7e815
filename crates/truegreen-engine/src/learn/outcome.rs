//! One expectation held against one case.

use truegreen_model::time::Timestamp;

use super::case::Case;
use super::counts::Outline;
use super::model::{Expectation, Rule};

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It is not expected of this case.
    Free,
    /// Kept, at the second time; expected since the first.
    Kept(Timestamp, Timestamp),
    /// Not there yet, expected since.
    Missing(Timestamp, Failed),
    /// There is no mending it: known at this time.
    Broken(Timestamp),
}

/// Whether what is missing was tried, and failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Failed(pub(crate) bool);

impl Outcome {
    pub(crate) fn is_broken(self) -> bool {
        matches!(self, Outcome::Missing(..) | Outcome::Broken(_))
    }
}

impl Expectation {
    /// `in_order` for plain event logs, whose rows have one.
    pub(crate) fn judge(&self, case: &Case, outline: &Outline, in_order: bool) -> Outcome {
        if self.condition.as_ref().is_some_and(|condition| !condition.holds(case)) {
            return Outcome::Free;
        }
        self.rule.judge(case, outline, in_order)
    }
}

impl Rule {
    pub(crate) fn judge(&self, case: &Case, outline: &Outline, in_order: bool) -> Outcome {
        let began = |place: u32| case.events.get(place as usize).map_or(Timestamp(0), |event| event.at);
        match self {
            Rule::Follows { after, any_of } => {
                let (since, place) = match after {
                    None => (case.entered_at(), None),
                    Some(after) => match outline.shown(*after) {
                        Some(shown) => (shown.last_at, Some(shown.last)),
                        None => return Outcome::Free,
                    },
                };
                let shown = any_of.iter().filter_map(|local| outline.shown(*local));
                let mut failed = false;
                for one in shown {
                    let later = !in_order || place.is_none_or(|place| one.last > place);
                    if one.done > 0 && later {
                        let at = if in_order && place.is_some() { one.last_at } else { one.done_at };
                        return Outcome::Kept(since, at);
                    }
                    failed |= one.done == 0;
                }
                Outcome::Missing(since, Failed(failed))
            }
            Rule::Precedes { first, then } => match (outline.shown(*then), outline.shown(*first)) {
                (None, _) => Outcome::Free,
                (Some(then), Some(first)) if first.first < then.first => {
                    Outcome::Kept(began(first.first), began(then.first))
                }
                (Some(then), _) => Outcome::Broken(began(then.first)),
            },
            Rule::AtMost { activity, times } => match outline.shown(*activity) {
                None => Outcome::Free,
                Some(shown) if shown.times > *times => Outcome::Broken(began(shown.last)),
                Some(shown) => Outcome::Kept(began(shown.first), began(shown.last)),
            },
            Rule::AtLeast { activity, times } => match outline.shown(*activity) {
                None => Outcome::Free,
                Some(shown) if shown.done >= *times => Outcome::Kept(began(shown.first), shown.last_at),
                Some(shown) => Outcome::Missing(began(shown.first), Failed(shown.times >= *times)),
            },
            Rule::AsOften { activity, of } => match (outline.shown(*of), outline.shown(*activity)) {
                (None, _) => Outcome::Free,
                (Some(of), Some(shown)) if shown.done >= of.times => Outcome::Kept(of.last_at, shown.last_at),
                (Some(of), shown) => {
                    Outcome::Missing(of.last_at, Failed(shown.is_some_and(|one| one.times >= of.times)))
                }
            },
            Rule::Excludes { one, other } => match (outline.shown(*one), outline.shown(*other)) {
                (None, _) => Outcome::Free,
                (Some(one), None) => Outcome::Kept(began(one.first), began(one.first)),
                (Some(one), Some(other)) => Outcome::Broken(began(one.first.max(other.first))),
            },
            Rule::Known => match outline.first_stranger {
                Some(stranger) => Outcome::Broken(stranger.end),
                None => Outcome::Kept(case.entered_at(), case.entered_at()),
            },
        }
    }
}
