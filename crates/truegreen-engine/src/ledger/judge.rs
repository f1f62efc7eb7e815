//! Judging one passage: a pure function of the set of its observations, of what systems answered about it, and of the
//! contract (INV-SET-1). Whether a missing step proves anything is asked of coverage afterwards.
//!
//! What was answered about a step, where it was asked for:
//!
//! - Its effect is there: it was done, whatever telemetry says, and so was all that comes before it. When is not known,
//!   so that alone is never late. This weighs more than any answer that it is not there.
//! - Its effect is not there, as of `after` or more since telemetry says that it was done; or since it was due, where
//!   telemetry says nothing: the journey is unaccounted, save where it left lawfully. An earlier answer says nothing.

use std::time::Duration;

use smallvec::{SmallVec, smallvec};
use truegreen_model::flow::{ExitOutcome, StepId};
use truegreen_model::observation::{Role, Share, Symbol};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Hop, Loss, Verdict};

use super::case::Seen;
use super::confirmed::{Confirmations, Told};
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
    /// It is owed to what a system answered.
    pub(crate) confirmed: bool,
}

/// Ended by what was seen, or missing a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Ended(Verdict),
    /// Complete, with a step by so much past its deadline: late, unless a clock that is off explains it.
    Overdue(Duration),
    Missing(Missing),
    /// Missing, by the word of the system that should show it.
    Absent(Missing),
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

/// A step whose effect is worth asking for, from then on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    pub(crate) step: StepId,
    pub(crate) from: Timestamp,
}

/// How far a passage came.
struct Course {
    entered_at: Timestamp,
    owed: u64,
    fulfilled: PerStep<Option<Timestamp>>,
    /// By what was seen alone, where more was answered.
    shown: Option<PerStep<bool>>,
    /// By what was seen or answered.
    satisfied: PerStep<bool>,
    deadlines: PerStep<Timestamp>,
}

/// Judges the observations of one passage; `None` if its start is not among them.
pub(crate) fn judge(plan: &Plan, seen: &[&Seen], told: &Confirmations) -> Option<Judgement> {
    let course = Course::of(plan, seen, told)?;
    let Course { entered_at, owed, fulfilled, satisfied, deadlines, .. } = &course;
    let owed_steps = || (1..plan.steps.len()).filter(|step| course.owes(*step));
    let missing = owed_steps().filter(|step| !satisfied[*step]).min_by_key(|step| deadlines[*step]);
    let absent = |step: &usize| !told.is_empty() && course.is_absent(plan, *step, told);
    // What is said to be done and is not weighs more than what is just missing.
    let absent = owed_steps().filter(absent).min_by_key(|step| (!satisfied[*step], *step));

    let said_to_be_done = |step: Option<usize>| step.is_some_and(|step| satisfied[step]);
    let lacks = |step: usize, loss: Loss| Missing {
        hop: Hop { after: nearest_before(plan, satisfied, step), before: StepId(step as u8) },
        deadline: deadlines[step],
        loss,
    };
    let unless_it_left = |outcome: Outcome| exit(plan, seen).map_or(outcome, Outcome::Ended);
    let outcome = match (absent, missing) {
        (None, None) => completed(plan, fulfilled, deadlines, *owed),
        (None, Some(step)) => unless_it_left(Outcome::Missing(lacks(step, loss(seen, step)))),
        (Some(_), Some(step)) if !said_to_be_done(absent) => {
            unless_it_left(Outcome::Absent(lacks(step, loss(seen, step))))
        }
        (Some(step), _) => unless_it_left(Outcome::Absent(lacks(step, Loss::EffectMissing))),
    };
    let confirmed = match (&course.shown, outcome) {
        (_, Outcome::Absent(_)) => true,
        (Some(shown), Outcome::Overdue(_) | Outcome::Ended(Verdict::Completed)) => {
            owed_steps().any(|step| !shown[step])
        }
        _ => false,
    };
    Some(Judgement { entered_at: *entered_at, after: last_seen(fulfilled), owed: *owed, outcome, confirmed })
}

/// Which effects are worth asking for, of a passage that ended so.
pub(crate) fn wanted(
    plan: &Plan,
    seen: &[&Seen],
    told: &Confirmations,
    verdict: Verdict,
    is_sampled: impl Fn(StepId, f64) -> bool,
) -> SmallVec<[Wanted; 2]> {
    let Some(course) = Course::of(plan, seen, told) else { return SmallVec::new() };
    let wants = |index: usize| -> Option<Wanted> {
        let confirm = plan.flow.steps[index].confirm.as_ref()?;
        let step = StepId(index as u8);
        let is_answered = told.get(step, Told::There).is_some()
            || told.get(step, Told::CannotTell).is_some()
            || course.is_absent(plan, index, told);
        if is_answered || !course.owes(index) {
            return None;
        }
        let is_asked = match verdict {
            Verdict::Unaccounted(_) | Verdict::Unknown(_) => !course.satisfied[index],
            // It was called missing before.
            Verdict::Completed | Verdict::Late => {
                told.get(step, Told::NotThere).is_some() || is_sampled(step, confirm.sample)
            }
            Verdict::Rejected(_) | Verdict::DeadLettered(_) => false,
        };
        is_asked.then(|| Wanted { step, from: course.basis(index) + confirm.after })
    };
    (1..plan.steps.len()).filter_map(wants).collect()
}

impl Course {
    fn of(plan: &Plan, seen: &[&Seen], told: &Confirmations) -> Option<Course> {
        let starts = seen.iter().filter(|one| one.role == Role::Step(StepId::START));
        let entered_at = starts.map(|start| start.at).min()?;
        let owed = owed(plan, seen);
        let fulfilled = fulfilled(plan, seen, entered_at);
        let seen_done = satisfied(plan, fulfilled.iter().map(Option::is_some).collect());
        let (satisfied, shown) = match told.there() {
            0 => (seen_done, None),
            there => {
                let is_done = |(index, at): (usize, &Option<Timestamp>)| at.is_some() || there & (1 << index) != 0;
                (satisfied(plan, fulfilled.iter().enumerate().map(is_done).collect()), Some(seen_done))
            }
        };
        let deadlines = deadlines(plan, &fulfilled, owed);
        Some(Course { entered_at, owed, fulfilled, shown, satisfied, deadlines })
    }

    fn owes(&self, step: usize) -> bool {
        self.owed & (1 << step) != 0
    }

    /// Since when the effect should be there.
    fn basis(&self, step: usize) -> Timestamp {
        self.fulfilled[step].unwrap_or(self.deadlines[step])
    }

    /// Whether the effect was looked for when it had to be there, and was not.
    fn is_absent(&self, plan: &Plan, index: usize, told: &Confirmations) -> bool {
        let Some(confirm) = &plan.flow.steps[index].confirm else { return false };
        let step = StepId(index as u8);
        told.get(step, Told::There).is_none()
            && told.get(step, Told::NotThere).is_some_and(|as_of| as_of >= self.basis(index) + confirm.after)
    }
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

/// A step is satisfied if it was done, or if one that comes after it was: then its telemetry was lost.
fn satisfied(plan: &Plan, done: PerStep<bool>) -> PerStep<bool> {
    let mut satisfied = done;
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
