//! What usually hangs at what: learned once per trace, and asked by every detector that draws conclusions from what is
//! missing. Only whole traces teach; what is learned of an operation lies at its index, so that learning costs little.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::flow::SpanKind;

use super::View;
use crate::trace::operation::OperationId;
use crate::trace::tree::{Parent, Tree};

/// Operations past this index are not learned of; [`crate::trace::operation::Operations`] ends before.
const MAX_OPERATIONS: usize = 50_000;
/// Parents remembered of one operation, and children.
const MAX_TIES: usize = 4;
const MAX_CHILDREN: usize = 8;
/// Different operations counted below one span.
const MAX_COUNTED: usize = 16;
/// How the longest duration fades with every span: one that hung for an hour is forgotten after some ten thousand.
const FADES: f64 = 0.9999;

/// What is usual, by operation.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kin {
    habits: Vec<Habit>,
}

/// What is usual of one operation.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Habit {
    /// Spans of it.
    pub(super) came: u32,
    /// Of these, those that hung nowhere.
    pub(super) roots: u32,
    /// Of these, those whose parent did not come.
    pub(super) orphans: u32,
    pub(super) longest: Duration,
    ties: SmallVec<[Tie; 1]>,
    /// What hung at it.
    pub(super) children: SmallVec<[OperationId; 2]>,
}

/// A parent that an operation had.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Tie {
    pub(super) parent: OperationId,
    /// Parents that had at least one such child.
    pub(super) times: u32,
    /// Most of them at one parent.
    pub(super) most: u32,
    /// (Nearly) every such parent had one, once; what is broken since must not become usual.
    is_regular: bool,
}

impl Habit {
    /// How often its parent came.
    pub(super) fn tied(&self) -> u32 {
        self.ties.iter().map(|tie| tie.times).sum()
    }

    /// The share of those with a parent whose parent came.
    pub(super) fn tied_share(&self) -> f64 {
        let tied = f64::from(self.tied());
        tied / (tied + f64::from(self.orphans)).max(1.0)
    }

    /// Most spans of it at one parent that ended.
    pub(super) fn most(&self) -> u32 {
        self.ties.iter().map(|tie| tie.most).max().unwrap_or(0)
    }

    pub(super) fn tie(&self, parent: OperationId) -> Option<&Tie> {
        self.ties.iter().find(|tie| tie.parent == parent)
    }

    /// The most frequent parent.
    pub(super) fn usual_parent(&self) -> Option<&Tie> {
        self.ties.iter().max_by_key(|tie| (tie.times, std::cmp::Reverse(tie.parent)))
    }
}

impl Kin {
    pub(super) fn of(&self, operation: OperationId) -> Option<&Habit> {
        self.habits.get(operation.0 as usize)
    }

    pub(super) fn learn(&mut self, tree: &Tree) {
        for (index, span) in tree.spans.iter().enumerate() {
            let Some(habit) = self.habit(span.operation) else { continue };
            habit.longest = habit.longest.mul_f64(FADES).max(span.duration());
            if tree.is_partial {
                continue;
            }
            habit.came = habit.came.saturating_add(1);
            match tree.parent(index) {
                Parent::Root => habit.roots = habit.roots.saturating_add(1),
                Parent::Missing => habit.orphans = habit.orphans.saturating_add(1),
                Parent::At(_) => {}
            }
            for (child, times) in counted(tree, tree.children(index)) {
                self.tie(child, span.operation, times);
            }
        }
    }

    /// The operation above these, as learned: the parent that did not come, and the request that it is a part of.
    pub(super) fn above(
        &self,
        children: impl Iterator<Item = OperationId>,
        view: &View<'_>,
    ) -> Option<(OperationId, OperationId)> {
        let mut votes: SmallVec<[(OperationId, f64); 4]> = SmallVec::new();
        for child in children {
            let Some(habit) = self.of(child) else { continue };
            for tie in &habit.ties {
                let vote = f64::from(tie.times) / f64::from(habit.tied().max(1));
                match votes.iter_mut().find(|(parent, _)| *parent == tie.parent) {
                    Some((_, votes)) => *votes += vote,
                    None => votes.push((tie.parent, vote)),
                }
            }
        }
        let parent = votes.iter().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?.0;
        Some((parent, self.request_of(parent, view)))
    }

    /// The operation of the same service that a request begins with, of which this one is usually a part.
    fn request_of(&self, operation: OperationId, view: &View<'_>) -> OperationId {
        let service = view.operations[operation].service;
        let next = |at: &OperationId| {
            let parent = self.of(*at).filter(|_| !is_entry(view.operations[*at].kind))?.usual_parent()?.parent;
            (view.operations[parent].service == service).then_some(parent)
        };
        std::iter::successors(Some(operation), next).take(16).last().unwrap_or(operation)
    }

    /// What (nearly) always hangs at spans of this operation.
    pub(super) fn regular_children(&self, operation: OperationId) -> impl Iterator<Item = OperationId> + '_ {
        let is_regular = move |child: &OperationId| {
            let tie = self.of(*child).and_then(|child| child.tie(operation));
            tie.is_some_and(|tie| tie.is_regular)
        };
        self.of(operation).into_iter().flat_map(|habit| habit.children.iter().copied()).filter(is_regular)
    }

    fn habit(&mut self, operation: OperationId) -> Option<&mut Habit> {
        let index = operation.0 as usize;
        if index >= self.habits.len() {
            if index >= MAX_OPERATIONS {
                return None;
            }
            self.habits.resize_with(index + 1, Habit::default);
        }
        self.habits.get_mut(index)
    }

    fn tie(&mut self, child: OperationId, parent: OperationId, times: u32) {
        let parents = self.of(parent).map_or(0, |habit| habit.came);
        let Some(habit) = self.habit(child) else { return };
        match habit.ties.iter_mut().find(|tie| tie.parent == parent) {
            Some(tie) => {
                tie.times = tie.times.saturating_add(1);
                tie.most = tie.most.max(times);
                let share = f64::from(tie.times) / f64::from(parents.max(1));
                tie.is_regular = parents >= ENOUGH && share >= if tie.is_regular { NO_LONGER } else { REGULAR };
            }
            None => {
                if habit.ties.len() >= MAX_TIES {
                    return;
                }
                habit.ties.push(Tie { parent, times: 1, most: times, is_regular: false });
                if let Some(parent) = self.habit(parent)
                    && parent.children.len() < MAX_CHILDREN
                {
                    parent.children.push(child);
                }
            }
        }
    }
}

/// Spans of an operation before anything is held to be regular of it.
const ENOUGH: u32 = 30;
/// The share that is nearly always, and that below which it is so no longer.
const REGULAR: f64 = 0.95;
const NO_LONGER: f64 = 0.2;

/// How often each operation is among these spans.
pub(super) fn counted(tree: &Tree, spans: &[usize]) -> SmallVec<[(OperationId, u32); 4]> {
    let mut counted: SmallVec<[(OperationId, u32); 4]> = SmallVec::new();
    for span in spans {
        let operation = tree.spans[*span].operation;
        match counted.iter().position(|(known, _)| *known == operation) {
            Some(at) => counted[at].1 += 1,
            None if counted.len() < MAX_COUNTED => counted.push((operation, 1)),
            None => {}
        }
    }
    counted
}

/// Whether a request enters a service with spans of this kind.
pub(super) fn is_entry(kind: SpanKind) -> bool {
    matches!(kind, SpanKind::Server | SpanKind::Consumer)
}
