//! What the ledger knows of each step over all journeys: how many wait for it, and who was seen to fulfil it. With
//! that, and coverage, it decides how a judged passage stands.

use smallvec::SmallVec;
use truegreen_model::flow::StepId;
use truegreen_model::observation::{KeyHash, Observation, Role, Symbol, TraceId};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Standing, Verdict, Why};

use super::Desk;
use super::case::{Passage, Seen};
use super::judge::{Judgement, Missing, Outcome};
use crate::coverage::{Proof, Wait};
use crate::matcher::plan::Plan;

const MAX_LEARNED_SERVICES: usize = 8;

/// The steps of one flow.
#[derive(Debug)]
pub(super) struct Steps(Vec<StepLedger>);

#[derive(Debug, Default)]
struct StepLedger {
    waiting: u64,
    /// Who was seen to fulfil it, where the contract names nobody.
    services: SmallVec<[Symbol; 2]>,
    /// How often it was seen in the start's own trace, and how often in another.
    with_start: u64,
    apart_from_start: u64,
}

/// A passage that is being judged.
pub(super) struct Passing<'p> {
    pub(super) plan: &'p Plan,
    pub(super) key: KeyHash,
    pub(super) scope: u64,
    pub(super) group: &'p [&'p Seen],
    /// How it stood before.
    pub(super) earlier: Option<&'p Passage>,
}

impl Steps {
    pub(super) fn new(plan: &Plan) -> Self {
        Steps(plan.steps.iter().map(|_| StepLedger::default()).collect())
    }

    pub(super) fn enter(&mut self, passage: &Passage) {
        if let Some(step) = waits_for(passage) {
            self.0[step.0 as usize].waiting += 1;
        }
    }

    pub(super) fn leave(&mut self, passage: &Passage) {
        if let Some(step) = waits_for(passage) {
            self.0[step.0 as usize].waiting -= 1;
        }
    }

    /// Learns from an observation who fulfils a step.
    pub(super) fn learn(&mut self, observation: &Observation, desk: &Desk<'_>) {
        let Role::Step(step) = observation.role else { return };
        let index = step.0 as usize;
        if observation.attempt || !desk.matcher.plan(observation.flow).steps[index].services.is_empty() {
            return;
        }
        let learned = &mut self.0[index].services;
        let service = desk.coverage.service_of(observation.instance).name;
        if !learned.contains(&service) && learned.len() < MAX_LEARNED_SERVICES {
            learned.push(service);
        }
    }

    /// How a judged passage stands now, and when to look again.
    pub(super) fn stand(
        &mut self,
        passing: &Passing<'_>,
        judgement: &Judgement,
        desk: &mut Desk<'_>,
    ) -> (Passage, Timestamp) {
        let starts = passing.group.iter().filter(|one| one.role == Role::Step(StepId::START)).count();
        let mut passage = Passage {
            entered_at: judgement.entered_at,
            standing: Standing::Open { due: false },
            hop: None,
            deadline: Timestamp::NEVER,
            after: judgement.after,
            owed: judgement.owed,
            duplicates: starts.saturating_sub(1) as u64,
        };
        let missing = match judgement.outcome {
            Outcome::Ended(verdict) => {
                self.compare_traces(passing.group);
                passage.standing = Standing::Ended(verdict);
                return (passage, Timestamp::NEVER);
            }
            Outcome::Missing(missing) => missing,
        };
        passage.hop = Some(missing.hop);
        passage.deadline = missing.deadline;
        if let Some(decided) = self.decided_before(passing, &passage, &missing, desk) {
            passage.standing = Standing::Ended(decided);
            return (passage, Timestamp::NEVER);
        }
        match self.prove(passing, judgement.entered_at, &missing, desk) {
            Proof::Proven => passage.standing = Standing::Ended(Verdict::Unaccounted(missing.loss)),
            Proof::Unprovable(why) => passage.standing = Standing::Ended(Verdict::Unknown(why)),
            Proof::NotYet(again) => {
                passage.standing = Standing::Open { due: desk.now >= missing.deadline };
                return (passage, again);
            }
        }
        (passage, Timestamp::NEVER)
    }

    /// What was once decided about this very wait stays so, since coverage forgets its older spells; unless it turned
    /// out since that only a sample is seen.
    fn decided_before(
        &self,
        passing: &Passing<'_>,
        passage: &Passage,
        missing: &Missing,
        desk: &Desk<'_>,
    ) -> Option<Verdict> {
        let earlier = passing.earlier?;
        if (earlier.hop, earlier.deadline) != (passage.hop, passage.deadline) {
            return None;
        }
        match earlier.standing {
            Standing::Ended(Verdict::Unaccounted(_)) if self.is_sampled(passing, missing, desk) => {
                Some(Verdict::Unknown(Why::Sampled))
            }
            Standing::Ended(Verdict::Unaccounted(_)) => Some(Verdict::Unaccounted(missing.loss)),
            Standing::Ended(Verdict::Unknown(why)) => Some(Verdict::Unknown(why)),
            _ => None,
        }
    }

    fn prove(&self, passing: &Passing<'_>, entry: Timestamp, missing: &Missing, desk: &mut Desk<'_>) -> Proof {
        let index = missing.hop.before.0 as usize;
        let sampled = self.is_sampled(passing, missing, desk);
        let wait = Wait {
            flow: passing.plan.id,
            scope: passing.scope,
            journey: passing.key,
            services: self.owing(passing.plan, index),
            signals: &passing.plan.steps[index].signals,
            entry,
            deadline: missing.deadline,
            sampled,
            others_waiting: self.0[index].waiting,
        };
        desk.coverage.prove(&wait, desk.now)
    }

    fn owing<'s>(&'s self, plan: &'s Plan, step: usize) -> &'s [Symbol] {
        let named = &plan.steps[step].services;
        if named.is_empty() { &self.0[step].services } else { named }
    }

    /// Whether the missing step may have been seen by its service and not be sent: declared, told or inferred to be
    /// sampled, or in another trace than a start that is itself sampled.
    fn is_sampled(&self, passing: &Passing<'_>, missing: &Missing, desk: &Desk<'_>) -> bool {
        let index = missing.hop.before.0 as usize;
        let services = self.owing(passing.plan, index);
        let start = passing.group.iter().find(|one| one.role == Role::Step(StepId::START));
        let start_is_sampled = start.is_some_and(|start| {
            let service = desk.coverage.service_of(start.instance);
            service.sampled().is_some() || desk.matcher.declared_sampled(passing.plan, service.name)
        });
        let step = &self.0[index];
        (start_is_sampled && step.apart_from_start >= step.with_start)
            || services.iter().any(|name| desk.matcher.declared_sampled(passing.plan, *name))
            || desk.coverage.any_sampled(passing.plan.id, passing.scope, services)
    }

    /// Learns of each step whether it is usually in the start's own trace.
    fn compare_traces(&mut self, group: &[&Seen]) {
        let start = group.iter().find(|one| one.role == Role::Step(StepId::START)).map(|start| start.trace);
        let Some(start) = start.filter(|trace| *trace != TraceId(0)) else {
            return;
        };
        for one in group {
            if let Role::Step(step) = one.role
                && !one.attempt
            {
                let learned = &mut self.0[step.0 as usize];
                if one.trace == start {
                    learned.with_start += 1;
                } else {
                    learned.apart_from_start += 1;
                }
            }
        }
    }
}

fn waits_for(passage: &Passage) -> Option<StepId> {
    let open = matches!(passage.standing, Standing::Open { .. });
    passage.hop.filter(|_| open).map(|hop| hop.before)
}
