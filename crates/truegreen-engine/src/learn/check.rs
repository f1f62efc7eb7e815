//! Further cases, each judged by what was learned, in its own time.

use std::collections::BTreeSet;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::Why;
use truegreen_otlp::Signal;

use super::calibrate::ByTrigger;
use super::case::{Case, Cases};
use super::counts::Outline;
use super::heard::Heard;
use super::model::{LearnedFlow, Model, Rule};
use super::next::{END, START, ways};
use super::outcome::{Failed, Outcome};
use super::vocabulary::{Activity, ActivityId};

/// Exporters send every few seconds: as long as the engine allows them at the least.
const EXPORT_LAG: Duration = Duration::from_secs(10);
/// As long as the engine waits for who owes a step to be heard again.
const HEARD_WITHIN: Duration = Duration::from_secs(120);

/// How a case stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Not decided: something may yet come.
    Open,
    /// Everything that was expected of it, in time.
    Completed,
    /// Everything, but something past its deadline.
    Late(Deviation),
    /// It broke an expectation.
    Unaccounted(Deviation),
    /// What it lacks might not have been seen.
    Unknown(Why, Deviation),
    /// Cases that begin so were not learned.
    NotLearned,
}

/// Where a case left its course.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deviation {
    pub(crate) cause: Cause,
    /// When it was certain.
    pub at: Timestamp,
    /// The last activity before; `None` for the beginning.
    pub after: Option<ActivityId>,
    /// What is missing, or should not have come.
    pub before: Option<ActivityId>,
    /// As the books say why.
    pub reason: &'static str,
}

/// The expectation that a case kept or broke.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Cause {
    /// The way on from this activity.
    Turn(u32),
    /// One of the flow's expectations.
    Expectation(u32),
    /// One of them, in time.
    InTime(u32),
    /// Who owes one of them is heard.
    Heard(u32),
}

/// Judges cases by one model.
#[derive(Debug)]
pub struct Checker<'m> {
    model: &'m Model,
    benches: Vec<Bench>,
    strays: Strays,
    /// Services that keep a sample now, and kept all in learning.
    sampled: BTreeSet<Box<str>>,
}

/// When activities were seen that should have had others before them, by activity: where the context of a trace is not
/// handed on, what is missing in one case stands alone in another.
type Strays = HashMap<ActivityId, Vec<Timestamp>, FixedState>;

/// What judging the cases of one flow needs at hand.
#[derive(Debug)]
struct Bench {
    outline: Outline,
    by_trigger: ByTrigger,
}

impl<'m> Checker<'m> {
    /// A checker by this model.
    pub fn new(model: &'m Model) -> Checker<'m> {
        let bench = |flow: &LearnedFlow| Bench {
            outline: Outline::default(),
            by_trigger: ByTrigger::new(&flow.expectations, flow.locals.len()),
        };
        Checker {
            model,
            benches: model.flows.iter().map(bench).collect(),
            strays: Strays::default(),
            sampled: BTreeSet::new(),
        }
    }

    /// Takes note of what stands alone among these cases, and never did in learning; and of who keeps only a sample.
    pub fn with_strays(mut self, cases: &Cases) -> Checker<'m> {
        let learned = self.model.vocabulary.activities();
        for case in cases.cases.iter().filter(|_| !cases.plain) {
            let stray = case.root.is_some_and(|(_, root)| root.0 < learned && !self.model.roots.contains(&root));
            for event in case.events.iter().filter(|_| stray) {
                self.strays.entry(event.activity).or_default().push(event.at);
            }
        }
        let sampled = cases.heard.sampled().into_iter();
        self.sampled = sampled.filter(|service| !self.model.sampled.contains(service)).collect();
        self.strays.values_mut().for_each(|times| times.sort_unstable());
        self
    }

    /// How a case stands as of `until`, with who was `heard` last when.
    pub fn judge(&mut self, case: &Case, until: Timestamp, heard: &Heard) -> (Option<usize>, Standing) {
        self.weigh(case, until, heard, |_| {})
    }

    /// As [`Checker::judge`]; `kept` hears of every expectation that the case kept.
    pub(crate) fn weigh(
        &mut self,
        case: &Case,
        until: Timestamp,
        heard: &Heard,
        mut kept: impl FnMut(Cause),
    ) -> (Option<usize>, Standing) {
        let Some(index) = self.model.flow_of(case) else { return (None, Standing::NotLearned) };
        let (Some(flow), Some(bench)) = (self.model.flows.get(index), self.benches.get_mut(index)) else {
            return (None, Standing::NotLearned);
        };
        let plain = self.model.plain;
        bench.outline.fill(case, &flow.locals, |event| flow.known.knows(event, plain));
        let (model, strays, sampled) = (self.model, &self.strays, &self.sampled);
        let desk = Desk { model, flow, outline: &bench.outline, strays, sampled, case, until, heard };
        let standing = desk.weigh(&bench.by_trigger, &mut kept);
        (Some(index), standing)
    }
}

struct Desk<'a> {
    model: &'a Model,
    flow: &'a LearnedFlow,
    outline: &'a Outline,
    strays: &'a Strays,
    sampled: &'a BTreeSet<Box<str>>,
    case: &'a Case,
    until: Timestamp,
    heard: &'a Heard,
}

/// What was found so far; of several deviations the first counts, for it explains the rest.
#[derive(Default)]
struct Found {
    broken: Option<(u64, Deviation)>,
    unknown: Option<(Why, Deviation)>,
    late: Option<Deviation>,
    open: bool,
}

impl Found {
    fn broke(&mut self, place: u64, deviation: Deviation) {
        if self.broken.as_ref().is_none_or(|(first, _)| place < *first) {
            self.broken = Some((place, deviation));
        }
    }

    fn doubted(&mut self, why: Why, index: u32, deviation: Deviation) {
        let deviation = Deviation { cause: Cause::Heard(index), reason: why.name(), ..deviation };
        self.unknown.get_or_insert((why, deviation));
    }
}

impl Desk<'_> {
    fn weigh(&self, by_trigger: &ByTrigger, kept: &mut impl FnMut(Cause)) -> Standing {
        let mut found = Found::default();
        let over_at = self.over_at();
        for index in by_trigger.of(self.outline) {
            let Some(expectation) = self.flow.expectations.get(index) else { continue };
            let index = index as u32;
            match expectation.judge(self.case, self.outline, self.model.plain) {
                Outcome::Free => {}
                Outcome::Kept(since, at) => {
                    kept(Cause::Expectation(index));
                    let is_owed = expectation.rule.waits();
                    // People's work has no deadline: a case of a plain event log that did all is completed.
                    if !is_owed || self.model.plain {
                        continue;
                    }
                    kept(Cause::Heard(index));
                    if at.since(since) > expectation.within {
                        let late = self.deviation(Cause::InTime(index), &expectation.rule, at, "late");
                        found.late.get_or_insert(late);
                    } else {
                        kept(Cause::InTime(index));
                    }
                }
                Outcome::Broken(at) => {
                    let failed = self.outline.first_stranger.is_some_and(|stranger| stranger.failed);
                    let reason = reason(&expectation.rule, failed);
                    let deviation = self.deviation(Cause::Expectation(index), &expectation.rule, at, reason);
                    found.broke(self.place(&expectation.rule, at), deviation);
                }
                Outcome::Missing(since, failed) => {
                    let due = since + expectation.within;
                    let due = if self.model.plain { due.min(over_at) } else { due + EXPORT_LAG };
                    self.missing(index, &expectation.rule, (due, failed), &mut found);
                }
            }
        }
        if self.model.plain {
            self.turns(over_at, &mut found, kept);
        }
        match found {
            Found { broken: Some((_, deviation)), .. } => Standing::Unaccounted(deviation),
            Found { unknown: Some((why, deviation)), .. } => Standing::Unknown(why, deviation),
            Found { open: true, .. } => Standing::Open,
            Found { late: Some(deviation), .. } => Standing::Late(deviation),
            _ => Standing::Completed,
        }
    }

    fn missing(&self, index: u32, rule: &Rule, (due, failed): (Timestamp, Failed), found: &mut Found) {
        // The file of a plain event log holds all there is: at its end a case that is over stays as it is.
        if due > self.until && !(self.model.plain && due == self.over_at() && self.is_over()) {
            found.open = true;
            return;
        }
        let reason = if failed.0 { "failed_without_exit" } else { "vanished" };
        let deviation = self.deviation(Cause::Expectation(index), rule, due, reason);
        if self.model.plain {
            return found.broke(self.place(rule, due), deviation);
        }
        if deviation.before.is_some_and(|before| self.strayed(before, due)) {
            return found.doubted(Why::SignalSilent, index, deviation);
        }
        // As the engine has it: silence proves something only of who is heard.
        let service = deviation.before.map_or("", |before| self.model.vocabulary.get(before).service());
        let last = self.heard.last(service);
        if let Some(why) = self.doubt(service, deviation.before, due) {
            found.doubted(why, index, deviation);
        } else if last.is_some_and(|last| last + EXPORT_LAG >= due) {
            found.broke(self.place(rule, due), deviation);
        } else if due + HEARD_WITHIN <= self.until {
            let why = if last.is_some() { Why::InstanceGone } else { Why::NeverSeen };
            let at = due + HEARD_WITHIN;
            found.doubted(why, index, Deviation { at, ..deviation });
        } else {
            found.open = true;
        }
    }

    /// Why silence proves nothing of this service, although it is heard.
    fn doubt(&self, service: &str, missing: Option<ActivityId>, due: Timestamp) -> Option<Why> {
        let activity = missing.map(|missing| self.model.vocabulary.get(missing));
        let by = match activity {
            Some(Activity::Event { .. } | Activity::Line { .. }) => Signal::Logs,
            _ => Signal::Traces,
        };
        if by == Signal::Traces && self.sampled.contains(service) {
            return Some(Why::Sampled);
        }
        self.heard.doubt(service, by, (self.case.entered_at(), due), self.until)
    }

    /// Whether what is missing here stands alone elsewhere, between this case's beginning and `due`.
    fn strayed(&self, missing: ActivityId, due: Timestamp) -> bool {
        let Some(times) = self.strays.get(&missing) else { return false };
        let from = times.partition_point(|at| *at < self.case.entered_at());
        times.get(from).is_some_and(|at| *at <= due)
    }

    /// The first way on that was never taken for healthy.
    fn turns(&self, over_at: Timestamp, found: &mut Found, kept: &mut impl FnMut(Cause)) {
        let is_over = self.is_over();
        let way = ways(self.case.events.iter().map(|event| event.activity), is_over);
        // Where it may end here it owes nothing, even if more may come.
        found.open |= !is_over && self.may_not_end(&way);
        let rare = (1..way.len()).find(|at| {
            let rarity = self.flow.next.surprise(&way, *at, None);
            rarity.is_some_and(|rarity| rarity < self.flow.rare_below)
        });
        let broken = rare.and_then(|at| Some((at, *way.get(at - 1)?, *way.get(at)?)));
        if let Some((at, from, to)) = broken {
            let deviation = Deviation {
                cause: Cause::Turn(from),
                at: self.case.events.get(at - 1).map_or(over_at, |event| event.at),
                after: (from != START).then_some(ActivityId(from)),
                before: self.flow.turns.get(&from).and_then(|turn| turn.usual).map(ActivityId),
                reason: turn_reason(&way, at, to),
            };
            // Beside an expectation broken at the same place the way on says more.
            found.broke((at as u64) << 1, deviation);
        }
        let mut taken: Vec<u32> = way.iter().rev().skip(1).copied().collect();
        taken.sort_unstable();
        taken.dedup();
        taken
            .into_iter()
            .filter(|from| broken.is_none_or(|(_, at, _)| at != *from))
            .for_each(|from| kept(Cause::Turn(from)));
    }

    fn may_not_end(&self, way: &[u32]) -> bool {
        let mut ended = way.to_vec();
        ended.push(END);
        let rarity = self.flow.next.surprise(&ended, way.len(), None);
        rarity.is_some_and(|rarity| rarity < self.flow.rare_below)
    }

    /// Where on its way a case broke a rule, so that the first can be told.
    fn place(&self, rule: &Rule, at: Timestamp) -> u64 {
        let position = |local: &u16| self.outline.shown(*local).map(|shown| u64::from(shown.first) + 1);
        let place = match rule {
            // A missing step stands where it usually does: behind the last of those that come before it.
            Rule::Follows { any_of, .. } => any_of.first().map(|local| self.usual_place(*local)),
            Rule::Precedes { then, .. } => position(then),
            Rule::AtMost { activity, .. } => self.outline.shown(*activity).map(|shown| u64::from(shown.last) + 1),
            // One of several is missing somewhere; whatever else broke says better where.
            Rule::AtLeast { .. } | Rule::AsOften { .. } => None,
            Rule::Excludes { one, other } => position(one).max(position(other)),
            Rule::Known => self.case.events.iter().position(|event| event.end == at).map(|at| at as u64 + 1),
        };
        (place.unwrap_or(u64::MAX >> 2) << 1) | 1
    }

    fn usual_place(&self, missing: u16) -> u64 {
        match self.last_before(missing) {
            Some(local) => self.outline.shown(local).map_or(0, |shown| u64::from(shown.last) + 2),
            None => 1,
        }
    }

    /// Of the activities that the case shows, the last that usually comes before this one.
    fn last_before(&self, missing: u16) -> Option<u16> {
        let rank = |local: u16| self.flow.ranks.get(usize::from(local)).copied().unwrap_or(0);
        let before = self.outline.present.iter().copied().filter(|local| rank(*local) < rank(missing));
        before.max_by_key(|local| (rank(*local), *local))
    }

    /// The steps of the course between which a case was lost: as a contract would call the hop.
    fn gap(&self, missing: u16) -> Option<(ActivityId, ActivityId)> {
        let shown = |id: &ActivityId| {
            let local = self.flow.locals.of(*id)?;
            self.outline.shown(local).filter(|shown| shown.done > 0)
        };
        let mut after = *self.flow.course.start.first()?;
        for step in self.flow.course.steps.iter().filter(|_| self.flow.root.is_some()) {
            if step.any_of.iter().any(|id| shown(id).is_some()) {
                after = *step.any_of.first()?;
            } else if step.condition.as_ref().is_none_or(|condition| condition.holds(self.case)) {
                // What is missing behind the step that is missing too is explained by it.
                let before = *step.any_of.first()?;
                let rank = |local: u16| self.flow.ranks.get(usize::from(local)).copied().unwrap_or(0);
                let explains = rank(self.flow.locals.of(before)?) >= rank(missing) || before == self.flow.id(missing);
                return explains.then_some((after, before));
            }
        }
        None
    }

    fn deviation(&self, cause: Cause, rule: &Rule, at: Timestamp, reason: &'static str) -> Deviation {
        let id = |local: &u16| self.flow.id(*local);
        let (after, before) = match rule {
            Rule::Follows { any_of, .. } => {
                let missing = any_of.first();
                let after = missing.and_then(|missing| self.last_before(*missing)).map(|local| id(&local));
                match missing.and_then(|missing| self.gap(*missing)) {
                    Some((after, before)) => (Some(after), Some(before)),
                    None => (after, missing.map(id)),
                }
            }
            Rule::Precedes { first, then } => (Some(id(then)), Some(id(first))),
            Rule::AtMost { activity, .. } | Rule::AtLeast { activity, .. } => (Some(id(activity)), Some(id(activity))),
            Rule::AsOften { activity, of } => (Some(id(of)), Some(id(activity))),
            Rule::Excludes { one, other } => (Some(id(other)), Some(id(one))),
            Rule::Known => (None, self.outline.first_stranger.map(|stranger| stranger.activity)),
        };
        Deviation { cause, at, after, before, reason }
    }

    fn over_at(&self) -> Timestamp {
        let last = self.case.events.last().map_or(Duration::ZERO, |event| self.flow.silences.after(event.activity));
        self.case.last_at() + last
    }

    fn is_over(&self) -> bool {
        let over_at = self.over_at();
        over_at < self.until || over_at == self.case.last_at()
    }
}

fn reason(rule: &Rule, failed: bool) -> &'static str {
    match rule {
        Rule::Follows { .. } | Rule::AtLeast { .. } | Rule::AsOften { .. } => "vanished",
        Rule::Precedes { .. } => "out_of_order",
        Rule::AtMost { .. } => "repeated",
        Rule::Excludes { .. } => "contradictory",
        Rule::Known if failed => "unusual_failure",
        Rule::Known => "unknown_activity",
    }
}

fn turn_reason(way: &[u32], at: usize, to: u32) -> &'static str {
    match way.get(..at) {
        _ if to == END => "ended_early",
        Some(before) if before.last() == Some(&to) => "repeated",
        Some(before) if before.contains(&to) => "out_of_order",
        _ => "skipped",
    }
}
