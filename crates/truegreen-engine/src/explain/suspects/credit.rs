//! The cause, not the symptom: each request is credited to one place, where it first leaves its way.
//!
//! 1. A deviation is explained by any other below it: in what the span called before.
//! 2. Of those that are left the earliest explains the others.
//!
//! So an error that a caller passes on is the callee's, a time-out is the slow callee's, and what is missing because a
//! request was given up before is nobody's. Normal requests are credited by the same rules: what happens to them just as
//! often is no cause.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::recording::Span;
use super::cases::{Cases, FAILING, Tally};
use super::chance;
use super::measure::Measure;
use super::pace::Pace;
use super::structure::{Change, Passed, strata};
use super::ways::Ways;

/// Where requests may leave their way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Label {
    /// At this place something is missing, or new.
    Leaves(u32),
    /// This group is slow.
    Slow(u32),
    /// This point is passed too often.
    Loop(u32),
}

/// Most deviations of one request that are looked at: each is held against each.
const MAX_MARKS: usize = 500;

/// What is known to deviate beyond chance.
#[derive(Debug, Default)]
pub(super) struct Deviating {
    /// By the point after which, and by the point itself.
    pub(super) missing: HashMap<u32, Vec<Change>, FixedState>,
    pub(super) new: HashMap<u32, Vec<Change>, FixedState>,
    /// Groups of slow measures.
    pub(super) slow: HashMap<u32, u32, FixedState>,
    /// Measures of what is repeated too often.
    pub(super) repeated: BTreeSet<u32>,
}

/// A deviation in one request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Mark {
    time: u64,
    label: Label,
    walk: u32,
    change: Option<Change>,
}

/// What one place is credited with.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Requests of each side.
    pub(super) requests: [u32; 3],
    pub(super) weight: f64,
    /// The failing ones, with the walk in which they leave.
    pub(super) failing: Vec<(u32, u32)>,
    /// How often each change was the first.
    pub(super) changes: BTreeMap<Change, u32>,
    /// Failing requests that show it at all.
    pub(super) shown: u32,
    /// Of these, who is credited with how many.
    pub(super) explained_by: BTreeMap<Label, u32>,
}

/// Credits all requests. Who is credited with no more than chance is taken off, and what it was credited with is for others:
/// so again until nothing changes.
pub(super) fn credit(
    cases: &Cases<'_>,
    ways: &Ways,
    pace: &Pace,
    deviating: &Deviating,
    needed: f64,
) -> (BTreeMap<Label, Account>, u32) {
    const ROUNDS: usize = 8;
    let marks = all_marks(cases, ways, pace, deviating);
    let mut off: BTreeSet<Label> = BTreeSet::new();
    for _ in 0..ROUNDS {
        let (mut accounts, any) = credited(cases, ways, &marks, &off);
        let weak: Vec<Label> =
            accounts.iter().filter(|(_, account)| account.weight < needed).map(|(label, _)| *label).collect();
        let new = weak.iter().filter(|label| off.insert(**label)).count();
        if new == 0 {
            return (accounts, any);
        }
        if off.len() == accounts.len() {
            accounts.values_mut().for_each(|account| account.weight = 0.0);
            return (accounts, any);
        }
    }
    credited(cases, ways, &marks, &off)
}

fn credited(
    cases: &Cases<'_>,
    ways: &Ways,
    marks: &[Vec<Mark>],
    off: &BTreeSet<Label>,
) -> (BTreeMap<Label, Account>, u32) {
    let mut accounts: BTreeMap<Label, Account> = BTreeMap::new();
    let mut tally: Tally<Label> = Tally::new();
    let mut any = 0;
    for (case, marks) in marks.iter().enumerate() {
        let (stratum, side) = (cases.strata[case], cases.sides[case]);
        let first = first(cases, ways, marks, off);
        let is_failing = usize::from(side) == FAILING;
        let shown: BTreeSet<Label> = marks.iter().map(|mark| mark.label).collect();
        for label in shown {
            let account = accounts.entry(label).or_default();
            account.shown += u32::from(is_failing);
            if let (true, Some(first)) = (is_failing, first) {
                *account.explained_by.entry(first.label).or_default() += 1;
            }
        }
        let Some(first) = first else { continue };
        any += u32::from(is_failing);
        tally.add(first.label, stratum, side);
        let account = accounts.entry(first.label).or_default();
        account.requests[usize::from(side)] += 1;
        if is_failing {
            account.failing.push((case as u32, first.walk));
            let alike = |mark: &&Mark| mark.label == first.label && mark.walk == first.walk && mark.time == first.time;
            for change in marks.iter().filter(alike).filter_map(|mark| mark.change) {
                *account.changes.entry(change).or_default() += 1;
            }
        }
    }
    for (label, account) in &mut accounts {
        let counted = |stratum: u32| {
            let all = cases.of_stratum.get(stratum as usize).copied().unwrap_or(cases.totals);
            (all, tally.get(*label, stratum))
        };
        let (strata, halves) = strata(cases, &counted);
        account.weight = (chance::weight(&strata) - chance::weight(&halves)).max(0.0);
    }
    (accounts, any)
}

fn all_marks(cases: &Cases<'_>, ways: &Ways, pace: &Pace, deviating: &Deviating) -> Vec<Vec<Mark>> {
    let mut passed = Passed::new(ways);
    let mut marks: Vec<Vec<Mark>> = Vec::with_capacity(cases.all.len());
    for case in 0..cases.all.len() {
        passed.case(case, ways);
        marks.push(left_ways(ways, case, &passed, deviating));
    }
    for reading in &pace.readings {
        let slow = deviating.slow.get(&reading.measure).or_else(|| deviating.slow.get(&reading.any));
        let repeated = deviating.repeated.contains(&reading.measure);
        if slow.is_none() && !repeated || !pace.is_beyond(cases, reading) {
            continue;
        }
        let label = match (slow, pace.measures[reading.measure as usize]) {
            (Some(group), _) => Label::Slow(*group),
            (None, Measure::Repeats(point)) => Label::Loop(point),
            (None, _) => continue,
        };
        let end = ways.steps(&ways.walks[reading.walk as usize]).last().map_or(0, |step| step.time);
        marks[reading.case as usize].push(Mark { time: end, label, walk: reading.walk, change: None });
    }
    marks
}

fn left_ways(ways: &Ways, case: usize, passed: &Passed, deviating: &Deviating) -> Vec<Mark> {
    let mut marks = Vec::new();
    for at in ways.of_case[case].clone() {
        let walk = &ways.walks[at];
        let steps = ways.steps(walk);
        let label = Label::Leaves(walk.place);
        let mut missed: Vec<u32> = Vec::new();
        for (n, step) in steps.iter().enumerate().rev() {
            if marks.len() >= MAX_MARKS {
                return marks;
            }
            for change in deviating.new.get(&step.point).into_iter().flatten() {
                marks.push(Mark { time: step.time, label, walk: at as u32, change: Some(*change) });
            }
            let next = steps.get(n + 1).map_or(step.time, |next| next.time);
            for change in deviating.missing.get(&step.point).into_iter().flatten() {
                // After the last of what it may follow: until then the way was the usual one.
                if !passed.has(change.point()) && !missed.contains(&change.point()) {
                    missed.push(change.point());
                    marks.push(Mark { time: next, label, walk: at as u32, change: Some(*change) });
                }
            }
        }
    }
    marks
}

/// The mark that explains all others of a request.
fn first(cases: &Cases<'_>, ways: &Ways, marks: &[Mark], off: &BTreeSet<Label>) -> Option<Mark> {
    let spans = cases.recording.spans();
    let marks: Vec<(&Mark, Option<u32>)> = marks
        .iter()
        .filter(|mark| !off.contains(&mark.label))
        .map(|mark| (mark, ways.walks[mark.walk as usize].span))
        .collect();
    let explained = |mark: &Mark, span: Option<u32>| {
        let Some(at) = span else { return false };
        let below = at + 1..=at + spans[at as usize].below;
        marks
            .iter()
            .any(|(_, other)| other.is_some_and(|other| below.contains(&other) && began(spans, other, at) <= mark.time))
    };
    let left = marks.iter().filter(|(mark, span)| !explained(mark, *span));
    left.map(|(mark, _)| **mark).min()
}

/// When a span began, by the clock of one above it: where it lies outside of its caller's time at another instance, the clocks
/// differ, and all that is known is when its caller began.
fn began(spans: &[Span], of: u32, above: u32) -> u64 {
    let mut began = spans[of as usize].start;
    let mut at = of;
    while let (true, Some(parent)) = (at != above, spans[at as usize].parent) {
        let (called, caller) = (&spans[at as usize], &spans[parent as usize]);
        if called.instance != caller.instance && !(caller.start..=caller.end).contains(&called.start) {
            began = caller.start;
        }
        at = parent;
    }
    began
}
