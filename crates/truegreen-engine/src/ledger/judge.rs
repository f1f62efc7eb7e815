//! Judging one passage: a pure function of the set of its observations and the contract (INV-SET-1). Whether a
//! missing step proves anything is asked of coverage afterwards.

use std::time::Duration;

use smallvec::{SmallVec, smallvec};
use truegreen_model::flow::{ExitOutcome, StepId};
use truegreen_model::observation::{Role, Share, Symbol};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Hop, Loss, Verdict};

use super::case::Seen;
use crate::matcher::plan::{FanOutPlan, Plan};
use crate::symbols::NO_REASON;

/// One value for each step.
type PerStep<T> = SmallVec<[T; 12]>;

/// What the observations of a passage say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Judgement {
    /// The earliest start.
    pub(crate) entered_at: Timestamp,
    /// Last step seen along the way.
    pub(crate) after: StepId,
    /// Bit n: step n is owed.
    pub(crate) owed: u64,
    pub(crate) outcome: Outcome,
}

/// Ended by what was seen, or missing a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Ended(Verdict),
    /// Complete, with a step by so much past its deadline: late, unless a clock that is off explains it.
    Overdue(Duration),
    Missing(Missing),
}

/// The step that decides over an unfinished passage: of all that are owed, the one that is due first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Missing {
    pub(crate) hop: Hop,
    /// Grace included.
    pub(crate) deadline: Timestamp,
    /// What it is if it proves lost.
    pub(crate) loss: Loss,
}

/// Judges the observations of one passage; `None` if its start is not among them.
pub(crate) fn judge(plan: &Plan, seen: &[&Seen]) -> Option<Judgement> {
    let starts = seen.iter().filter(|one| one.role == Role::Step(StepId::START));
    let entered_at = starts.map(|start| start.at).min()?;
    let owed = owed(plan, seen);
    let fulfilled = fulfilled(plan, seen, entered_at);
    let satisfied = satisfied(plan, &fulfilled);
    let deadlines = deadlines(plan, &fulfilled, owed);
    let is_owed = |step: usize| owed & (1 << step) != 0;
    let after = last_seen(&fulfilled);

    let missing = (1..plan.steps.len()).filter(|step| is_owed(*step) && !satisfied[*step]);
    let outcome = match missing.min_by_key(|step| deadlines[*step]) {
        None => completed(plan, &fulfilled, &deadlines, owed),
        Some(step) => match exit(plan, seen) {
            Some(verdict) => Outcome::Ended(verdict),
            None => Outcome::Missing(Missing {
                hop: Hop { after: nearest_before(plan, &satisfied, step), before: StepId(step as u8) },
                deadline: deadlines[step],
                loss: loss(seen, step),
            }),
        },
    };
    Some(Judgement { entered_at, after, owed, outcome })
}

/// Which steps this passage owes, by its merged attributes: of two observations that differ, the later one counts.
fn owed(plan: &Plan, seen: &[&Seen]) -> u64 {
    let holds = if plan.conditions.is_empty() { 0 } else { merged_conditions(plan, seen) };
    let owes = |(index, step): (usize, &crate::matcher::plan::StepPlan)| {
        let wanted = holds & step.when == step.when;
        let excused = step.unless != 0 && holds & step.unless == step.unless;
        u64::from(!step.optional && wanted && !excused) << index
    };
    plan.steps.iter().enumerate().map(owes).sum()
}

fn merged_conditions(plan: &Plan, seen: &[&Seen]) -> u64 {
    let mut by_time: SmallVec<[&Seen; 8]> = seen.iter().filter(|one| one.conditions.known != 0).copied().collect();
    by_time.sort_unstable_by_key(|one| (one.at, one.identity));
    by_time.iter().fold(plan.holds_absent, |holds, one| {
        (holds & !one.conditions.known) | (one.conditions.holds & one.conditions.known)
    })
}

/// When each step was fulfilled, if it was. A failed attempt never fulfils.
fn fulfilled(plan: &Plan, seen: &[&Seen], entered_at: Timestamp) -> PerStep<Option<Timestamp>> {
    let mut fulfilled: PerStep<Option<Timestamp>> = smallvec![None; plan.steps.len()];
    for one in seen.iter().filter(|one| !one.attempt) {
        if let Role::Step(step) = one.role {
            let at = &mut fulfilled[step.0 as usize];
            *at = Some(at.map_or(one.at, |earlier| earlier.min(one.at)));
        }
    }
    for (index, step) in plan.steps.iter().enumerate() {
        if let Some(fan_out) = step.fan_out
            && fulfilled[index].is_some()
        {
            fulfilled[index] = fanned_out(fan_out, seen, StepId(index as u8));
        }
    }
    // A start that failed still entered.
    fulfilled[0] = Some(entered_at);
    fulfilled
}

/// When the last of all that a fan-out needs was there.
fn fanned_out(fan_out: FanOutPlan, seen: &[&Seen], step: StepId) -> Option<Timestamp> {
    let own = seen.iter().filter(|one| !one.attempt && one.role == Role::Step(step));
    let shares = seen.iter().flat_map(|one| &one.shares);
    match fan_out {
        FanOutPlan::ForEach { .. } => {
            let expected = shares.filter_map(|share| match share {
                Share::Expected(of, item) if *of == step => Some(*item),
                _ => None,
            });
            let mut last = None;
            let mut any_expected = false;
            for item in expected {
                any_expected = true;
                let with_item = own.clone().filter(|one| one.shares.contains(&Share::Item(item)));
                last = last.max(Some(with_item.map(|one| one.at).min()?));
            }
            if any_expected { last } else { own.map(|one| one.at).min() }
        }
        FanOutPlan::CountFrom { .. } => {
            let counts = shares.filter_map(|share| match share {
                Share::Count(of, count) if *of == step => Some(*count),
                _ => None,
            });
            let needed = counts.max().unwrap_or(1).max(1) as usize;
            let mut times: SmallVec<[Timestamp; 8]> = own.map(|one| one.at).collect();
            times.sort_unstable();
            times.get(needed - 1).copied()
        }
    }
}

/// A step is satisfied if it was fulfilled, or if one that comes after it was: then its telemetry was lost.
fn satisfied(plan: &Plan, fulfilled: &[Option<Timestamp>]) -> PerStep<bool> {
    let mut satisfied: PerStep<bool> = fulfilled.iter().map(Option::is_some).collect();
    for index in (1..plan.steps.len()).rev() {
        if satisfied[index] {
            satisfied[plan.steps[index].after] = true;
        }
    }
    satisfied
}

/// When each step is due, grace included. The deadline of a missing predecessor stands in for it; one that is not
/// owed hands on what it would have counted from.
fn deadlines(plan: &Plan, fulfilled: &[Option<Timestamp>], owed: u64) -> PerStep<Timestamp> {
    let mut reached: PerStep<Timestamp> = PerStep::with_capacity(plan.steps.len());
    let mut deadlines: PerStep<Timestamp> = PerStep::with_capacity(plan.steps.len());
    for (index, step) in plan.steps.iter().enumerate() {
        let from = if index == 0 { fulfilled[0].unwrap_or_default() } else { reached[step.after] };
        let due = from + step.within;
        let is_owed = owed & (1 << index) != 0;
        reached.push(fulfilled[index].unwrap_or(if is_owed { due } else { from }));
        deadlines.push(due + plan.flow.grace);
    }
    deadlines
}

fn completed(plan: &Plan, fulfilled: &[Option<Timestamp>], deadlines: &[Timestamp], owed: u64) -> Outcome {
    let owed_steps = (1..plan.steps.len()).filter(|step| owed & (1 << step) != 0);
    let past = owed_steps.filter_map(|step| Some(fulfilled[step]?.since(deadlines[step])));
    match past.max().filter(|past| !past.is_zero()) {
        Some(past) => Outcome::Overdue(past),
        None => Outcome::Ended(Verdict::Completed),
    }
}

/// The lawful end that was seen: dead-lettered before rejected, and of several reasons the earliest.
fn exit(plan: &Plan, seen: &[&Seen]) -> Option<Verdict> {
    let reason_of = |wanted: ExitOutcome| {
        let exits = seen.iter().filter_map(|one| match one.role {
            Role::Exit(exit, reason) if plan.exits[exit.0 as usize].outcome == wanted => Some((one, reason)),
            _ => None,
        });
        exits.min_by_key(|(one, _)| (one.at, one.identity)).map(|(_, reason)| reason.unwrap_or(NO_REASON))
    };
    let dead_lettered: Option<Symbol> = reason_of(ExitOutcome::DeadLettered);
    dead_lettered.map(Verdict::DeadLettered).or_else(|| reason_of(ExitOutcome::Rejected).map(Verdict::Rejected))
}

fn loss(seen: &[&Seen], step: usize) -> Loss {
    let attempted = seen.iter().any(|one| one.attempt && one.role == Role::Step(StepId(step as u8)));
    if attempted { Loss::FailedWithoutExit } else { Loss::Vanished }
}

/// The nearest step on the way to `step` that is known to have happened.
fn nearest_before(plan: &Plan, satisfied: &[bool], step: usize) -> StepId {
    let mut before = plan.steps[step].after;
    while before != 0 && !satisfied[before] {
        before = plan.steps[before].after;
    }
    StepId(before as u8)
}

fn last_seen(fulfilled: &[Option<Timestamp>]) -> StepId {
    let seen = fulfilled.iter().enumerate().filter_map(|(index, at)| at.map(|at| (at, index)));
    StepId(seen.max().map_or(0, |(_, index)| index as u8))
}
