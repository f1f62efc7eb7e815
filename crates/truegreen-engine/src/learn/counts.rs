//! The cases of one flow, counted: who was there, and who came before whom.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use truegreen_model::time::Timestamp;

use super::case::{Case, Event};
use super::vocabulary::ActivityId;

/// Most activities of one flow that anything is expected of; the rarer ones are only known.
pub(crate) const MAX_LOCALS: usize = 512;
/// Cases are learned from in so many parts, each judged by what the others teach.
pub(crate) const FOLDS: usize = 5;

/// Activities of one flow by a small number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locals {
    pub(crate) ids: Vec<ActivityId>,
    by_id: HashMap<ActivityId, u16, FixedState>,
}

impl Locals {
    pub(crate) fn new(ids: Vec<ActivityId>) -> Locals {
        let by_id = ids.iter().enumerate().map(|(local, id)| (*id, local as u16)).collect();
        Locals { ids, by_id }
    }

    pub(crate) fn of(&self, id: ActivityId) -> Option<u16> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// What one case shows of one activity.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Shown {
    pub(crate) times: u32,
    /// Without a failure.
    pub(crate) done: u32,
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// When it was first done, or last tried.
    pub(crate) done_at: Timestamp,
    pub(crate) last_at: Timestamp,
}

/// One case at a time by activity; kept over many so that room is asked for once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outline {
    shown: Vec<Shown>,
    pub(crate) present: Vec<u16>,
    /// The first that the flow never had.
    pub(crate) first_stranger: Option<Event>,
}

impl Outline {
    pub(crate) fn fill(&mut self, case: &Case, locals: &Locals, is_known: impl Fn(&Event) -> bool) {
        self.shown.resize(locals.len(), Shown::default());
        for local in self.present.drain(..) {
            if let Some(shown) = self.shown.get_mut(usize::from(local)) {
                *shown = Shown::default();
            }
        }
        self.first_stranger = None;
        for (place, event) in case.events.iter().enumerate() {
            let local = locals.of(event.activity);
            if (local.is_none() || event.failed) && self.first_stranger.is_none() && !is_known(event) {
                self.first_stranger = Some(*event);
            }
            let Some(local) = local else { continue };
            let shown = &mut self.shown[usize::from(local)];
            if shown.times == 0 {
                shown.first = place as u32;
                self.present.push(local);
            }
            shown.times += 1;
            shown.last = place as u32;
            shown.last_at = event.end;
            if !event.failed {
                if shown.done == 0 {
                    shown.done_at = event.end;
                }
                shown.done += 1;
            }
        }
    }

    /// Where the activity was there at all.
    pub(crate) fn shown(&self, local: u16) -> Option<&Shown> {
        self.shown.get(usize::from(local)).filter(|shown| shown.times > 0)
    }
}

/// How often each two activities of a flow stood in one case, and how.
#[derive(Clone, Debug)]
pub(crate) struct Pairs {
    width: usize,
    /// Cases that show it.
    pub(crate) present: Vec<u32>,
    /// Cases that show it done.
    pub(crate) done: Vec<u32>,
    /// Cases with both.
    both: Vec<u32>,
    /// Cases with the second (done) after the last of the first.
    follows: Vec<u32>,
    /// Cases in which the first of the first came before the first of the second.
    precedes: Vec<u32>,
    /// Cases with the second done as often as the first was there.
    as_often: Vec<u32>,
    /// Cases that show it more than once.
    pub(crate) several: Vec<u32>,
}

impl Pairs {
    pub(crate) fn new(locals: &Locals) -> Pairs {
        let width = locals.len();
        let square = || vec![0; width * width];
        Pairs {
            width,
            present: vec![0; width],
            done: vec![0; width],
            both: square(),
            follows: square(),
            precedes: square(),
            as_often: square(),
            several: vec![0; width],
        }
    }

    pub(crate) fn count(&mut self, outline: &Outline, in_order: bool) {
        for &a in &outline.present {
            let Some(first) = outline.shown(a) else { continue };
            self.present[usize::from(a)] += 1;
            self.done[usize::from(a)] += u32::from(first.done > 0);
            self.several[usize::from(a)] += u32::from(first.times > 1);
            for &b in &outline.present {
                let Some(second) = outline.shown(b).filter(|_| a != b) else { continue };
                let place = usize::from(a) * self.width + usize::from(b);
                self.both[place] += 1;
                self.follows[place] += u32::from(second.done > 0 && (!in_order || second.last > first.last));
                self.as_often[place] += u32::from(second.done >= first.times);
                self.precedes[place] += u32::from(first.first < second.first);
            }
        }
    }

    pub(crate) fn both(&self, a: u16, b: u16) -> u32 {
        self.both[usize::from(a) * self.width + usize::from(b)]
    }

    pub(crate) fn follows(&self, a: u16, b: u16) -> u32 {
        self.follows[usize::from(a) * self.width + usize::from(b)]
    }

    pub(crate) fn as_often(&self, a: u16, b: u16) -> u32 {
        self.as_often[usize::from(a) * self.width + usize::from(b)]
    }

    pub(crate) fn precedes(&self, a: u16, b: u16) -> u32 {
        self.precedes[usize::from(a) * self.width + usize::from(b)]
    }
}

/// The part that a case belongs to: by its key, so that it is the same in every run and no stretch of time is one part.
pub(crate) fn fold(case: &Case) -> usize {
    (rapidhash::v3::rapidhash_v3(case.key.as_bytes()) % FOLDS as u64) as usize
}
