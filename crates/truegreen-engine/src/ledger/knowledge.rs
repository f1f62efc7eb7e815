//! What is known of each step over all journeys: how many wait for it, who was seen to fulfil it, and whether it is
//! usually in the trace of the start.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::flow::{FlowId, StepId};
use truegreen_model::observation::Symbol;

use crate::matcher::Matcher;
use crate::matcher::plan::Plan;

const MAX_LEARNED_SERVICES: usize = 8;

/// Sums over the journeys of one shard, or of all.
#[derive(Clone, Copy, Default, Debug, Serialize, Deserialize)]
pub(crate) struct Sums {
    /// Passages that wait for it and are not due yet.
    pub(crate) waiting: u64,
    /// How often it was seen in the start's own trace, and how often in another.
    pub(crate) with_start: u64,
    pub(crate) apart_from_start: u64,
}

impl Sums {
    /// Gives away in which traces it was seen.
    pub(super) fn take_traces(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.with_start), std::mem::take(&mut self.apart_from_start))
    }
}

/// By flow and step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StepSums(Vec<Vec<Sums>>);

impl StepSums {
    pub(super) fn new(matcher: &Matcher) -> Self {
        StepSums(matcher.plans.iter().map(|plan| vec![Sums::default(); plan.steps.len()]).collect())
    }

    pub(super) fn of(&mut self, flow: FlowId, step: StepId) -> &mut Sums {
        &mut self.0[flow.0 as usize][step.0 as usize]
    }

    /// Room for whatever is taken back, before it is known which contracts there are.
    pub(super) fn make_room(&mut self, flow: FlowId, step: StepId) {
        grow(&mut self.0, flow.0 as usize + 1);
        grow(&mut self.0[flow.0 as usize], step.0 as usize + 1);
    }

    /// Room for all of these.
    pub(super) fn fit(&mut self, plans: &[Plan]) {
        self.0.resize_with(plans.len(), Vec::new);
        self.0.iter_mut().zip(plans).for_each(|(sums, plan)| sums.resize(plan.steps.len(), Sums::default()));
    }

    /// A version begins, under a number that may have been another's.
    pub(super) fn begin(&mut self, plan: &Plan) {
        grow(&mut self.0, plan.id.0 as usize + 1);
        self.0[plan.id.0 as usize] = vec![Sums::default(); plan.steps.len()];
    }

    pub(super) fn get(&self, flow: FlowId, step: StepId) -> &Sums {
        &self.0[flow.0 as usize][step.0 as usize]
    }

    pub(super) fn add(&mut self, other: &StepSums) {
        let flows = self.0.iter_mut().zip(&other.0);
        for (mine, theirs) in flows.flat_map(|(mine, theirs)| mine.iter_mut().zip(theirs)) {
            mine.waiting += theirs.waiting;
            mine.with_start += theirs.with_start;
            mine.apart_from_start += theirs.apart_from_start;
        }
    }

    /// Forgets who waits: that is counted anew from the journeys themselves.
    pub(crate) fn without_waiting(mut self) -> Self {
        self.0.iter_mut().flatten().for_each(|sums| sums.waiting = 0);
        self
    }
}

fn grow<T: Default>(list: &mut Vec<T>, length: usize) {
    if list.len() < length {
        list.resize_with(length, T::default);
    }
}

/// Who was seen to fulfil each step, where the contract names nobody.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Learned(Vec<Vec<SmallVec<[Symbol; 2]>>>);

impl Learned {
    pub(crate) fn new(matcher: &Matcher) -> Self {
        Learned(matcher.plans.iter().map(|plan| vec![SmallVec::new(); plan.steps.len()]).collect())
    }

    /// True if this is news that there is room for.
    pub(crate) fn is_news(&self, plan: &Plan, step: StepId, service: Symbol) -> bool {
        let learned = &self.0[plan.id.0 as usize][step.0 as usize];
        plan.steps[step.0 as usize].services.is_empty()
            && learned.len() < MAX_LEARNED_SERVICES
            && !learned.contains(&service)
    }

    pub(crate) fn learn(&mut self, plan: &Plan, step: StepId, service: Symbol) {
        if self.is_news(plan, step, service) {
            self.0[plan.id.0 as usize][step.0 as usize].push(service);
        }
    }

    /// A version begins. Of steps that are shown as they were, what was learned still holds.
    pub(crate) fn begin(&mut self, plan: &Plan, same: &[(StepId, StepId)], before: Option<FlowId>) {
        let was = before.map(|before| self.0[before.0 as usize].clone()).unwrap_or_default();
        grow(&mut self.0, plan.id.0 as usize + 1);
        let mut learned = vec![SmallVec::new(); plan.steps.len()];
        for (old, new) in same {
            if plan.steps[new.0 as usize].services.is_empty() {
                learned[new.0 as usize].clone_from(&was[old.0 as usize]);
            }
        }
        self.0[plan.id.0 as usize] = learned;
    }

    /// Who owes the step.
    pub(crate) fn owing<'s>(&'s self, plan: &'s Plan, step: StepId) -> &'s [Symbol] {
        let named = &plan.steps[step.0 as usize].services;
        if named.is_empty() { &self.0[plan.id.0 as usize][step.0 as usize] } else { named }
    }
}
