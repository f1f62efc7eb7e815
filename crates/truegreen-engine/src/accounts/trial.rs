//! A flow of which some journeys may end unaccounted: how many do at each step, and when that is surely more than allowed,
//! or than usual. The books count every one of them; this decides which are a finding.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::Raised;
use truegreen_model::flow::{Allowance, FlowId, StepId};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Standing, Verdict};

use super::cohort::{Cohort, Cohorts, Count};
use super::finding::Folder;
use super::sequence::{Scores, Weights};
use super::usual::Usual;
use crate::ledger::event::Line;
use crate::matcher::Matcher;
use crate::matcher::plan::Plan;
use crate::timers::Tick;

/// Cohorts in which a journey may be under way at once; where deadlines are longer, a cohort is of more minutes.
const COHORTS_UNDER_WAY: u64 = 240;
/// Most cohorts that are not settled.
const MAX_COHORTS: usize = 2 * COHORTS_UNDER_WAY as usize;
/// What is lost is known so long after its deadline, at the latest.
const KNOWN_AFTER: Duration = Duration::from_secs(180);
/// Lost journeys whose keys are remembered until the test rings; of others the number is known.
const MAX_REMEMBERED: usize = 4_096;
/// While it goes on, it is said to be over once in e^7 journeys, a thousand.
const OVER: f64 = 7.0;
/// Without a journey that moves, time alone may still decide: so often that is looked at.
const SELDOM: u64 = 60;

/// One flow on trial.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trial {
    /// By the numbers of which version steps are told.
    flow: FlowId,
    allowance: Allowance,
    /// Those who end unaccounted left; nothing was lost.
    pub(super) is_abandonment: bool,
    grace: Duration,
    /// By step; the first is the flow as a whole.
    steps: Vec<StepTrial>,
    cohorts: Cohorts,
    /// Lost, and no finding yet; the latest last.
    lost: VecDeque<Lost>,
    /// When to look at it.
    pub(super) due: Tick,
}

/// One step, or the flow as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct StepTrial {
    name: String,
    /// From the entry to its deadline, along the longest way.
    reach: Duration,
    usual: Usual,
    /// Of settled cohorts.
    scores: Scores,
    /// Cohorts before this one were found already.
    from: u64,
    rung: Option<Rung>,
    /// How the last cohorts fared that are settled, for who asks.
    recent: Recent,
}

/// What rang, until it is over.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Rung {
    since: u64,
    /// The last cohort of which anything was known to be lost when it rang: what entered later tells whether it is over.
    until: u64,
    share: f64,
    allowed: f64,
    /// What speaks for its being over, by settled cohorts.
    over: f64,
}

/// Journeys of about the last hour, or the last hundred.
#[derive(Clone, Copy, Default, Debug, Serialize, Deserialize)]
struct Recent {
    lost: f64,
    all: f64,
}

/// A journey that was lost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Lost {
    pub(super) folder: Folder,
    pub(super) key: String,
    pub(super) line: Line,
    step: usize,
}

/// What a look came to.
#[derive(Debug)]
pub(super) enum Turned {
    /// More than allowed: these, and so many that are not remembered one by one.
    Rang { step: StepId, lost: Vec<Lost>, forgotten: u64 },
    /// Over.
    Over { step: StepId },
}

/// A share at a step, with what is usual there.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct StepShare {
    pub(crate) lost: f64,
    pub(crate) all: f64,
    /// Nothing as long as too little is known.
    pub(crate) usual: Option<f64>,
}

impl Trial {
    /// Where the contract allows any.
    pub(super) fn of(plan: &Plan) -> Option<Trial> {
        let allowance = plan.flow.limits.allowance()?;
        let minutes = plan.longest().as_secs() / 60 / COHORTS_UNDER_WAY + 1;
        Some(Trial {
            flow: plan.id,
            allowance,
            is_abandonment: plan.flow.limits.abandonment.is_some(),
            grace: plan.flow.grace,
            steps: steps_of(plan),
            cohorts: Cohorts::new(minutes),
            lost: VecDeque::new(),
            due: Tick::NEVER,
        })
    }

    /// By the numbers of which version it tells steps.
    pub(super) fn flow(&self) -> FlowId {
        self.flow
    }

    /// Those by whose numbers any step is told.
    pub(super) fn versions(&self) -> impl Iterator<Item = FlowId> {
        self.lost.iter().map(|lost| lost.folder.flow).chain([self.flow])
    }

    /// Goes on with what is known of the version before, step by step of one name.
    pub(super) fn follow(&mut self, old: Trial) {
        let number_of: Vec<Option<usize>> = (0..old.steps.len()).map(|step| self.named(&old, step)).collect();
        for (before, now) in number_of.iter().enumerate().filter_map(|(before, now)| Some((before, (*now)?))) {
            let reach = self.steps[now].reach;
            self.steps[now] = StepTrial { reach, ..old.steps[before].clone() };
        }
        self.due = old.due;
        if !self.cohorts.is_like(&old.cohorts) {
            self.steps.iter_mut().for_each(|step| (step.scores, step.from) = (Scores::default(), 0));
            return;
        }
        self.cohorts = old.cohorts;
        for cohort in self.cohorts.live.values_mut() {
            let counts = std::mem::take(&mut cohort.counts);
            cohort.counts = vec![Count::default(); self.steps.len()];
            for (count, now) in counts.into_iter().zip(&number_of) {
                if let Some(now) = *now {
                    cohort.counts[now] = count;
                }
            }
        }
        for lost in old.lost {
            if let Some(Some(step)) = number_of.get(lost.step).copied() {
                self.lost.push_back(Lost { step, ..lost });
            }
        }
    }

    fn named(&self, old: &Trial, step: usize) -> Option<usize> {
        if step == 0 {
            return Some(0);
        }
        self.steps.iter().skip(1).position(|known| known.name == old.steps[step].name).map(|at| at + 1)
    }

    /// Lost journeys belong to findings under these names from now on.
    pub(super) fn refold(&mut self, newest: impl Fn(Folder) -> Folder) {
        self.lost.iter_mut().for_each(|lost| lost.folder = newest(lost.folder));
    }

    /// A journey entered, stands so (1), or does not any more (-1).
    pub(super) fn count(&mut self, matcher: &Matcher, plan: &Plan, line: &Line, by: i32) {
        let many = self.steps.len();
        let flow = self.flow;
        let Some(cohort) = self.cohorts.of(line.entered_at) else { return };
        cohort.counts.resize(many, Count::default());
        let add = |count: &mut u32| *count = count.saturating_add_signed(by);
        let number = |step: usize| matcher.same_step(plan.id, StepId(step as u8), flow).map(|step| step.0 as usize);
        let owes = |step: usize| step != 0 && line.owed & (1 << step) != 0;
        match line.standing {
            Standing::Open { .. } => add(&mut cohort.open),
            Standing::Ended(Verdict::Completed | Verdict::Late) => {
                add(&mut cohort.counts[0].well);
                for step in (1..plan.steps.len()).filter(|step| owes(*step)).filter_map(number) {
                    add(&mut cohort.counts[step].well);
                }
            }
            Standing::Ended(Verdict::Unaccounted(_)) => {
                add(&mut cohort.counts[0].lost);
                let Some(hop) = line.hop else { return };
                if let Some(step) = number(hop.before.0 as usize) {
                    add(&mut cohort.counts[step].lost);
                }
                // It came as far as that, past every step on the way.
                let mut step = hop.after.0 as usize;
                while step != 0 {
                    if let Some(step) = number(step).filter(|_| owes(step)) {
                        add(&mut cohort.counts[step].well);
                    }
                    step = plan.steps[step].after;
                }
            }
            // Who left lawfully, or cannot be judged, says nothing of those who did not.
            Standing::Ended(_) => {}
        }
    }

    /// Something moved: it is looked at on the next whole second.
    pub(super) fn stir(&mut self, now: Timestamp) {
        self.due = self.due.min(second_after(now, 1));
    }

    /// Whether what was lost at this step is a finding already.
    pub(super) fn has_rung(&self, step: StepId, entered_at: Timestamp) -> bool {
        let rung = self.steps.get(step.0 as usize).and_then(|step| step.rung);
        rung.is_some_and(|rung| self.cohorts.number(entered_at) >= rung.since)
    }

    /// A journey was lost, and that is no finding yet.
    pub(super) fn remember(&mut self, folder: Folder, step: StepId, key: &str, line: &Line) {
        if self.lost.len() >= MAX_REMEMBERED {
            self.lost.pop_front();
        }
        self.lost.push_back(Lost { folder, key: key.to_owned(), line: *line, step: step.0 as usize });
    }

    /// It was not lost after all; true if it was remembered.
    pub(super) fn forget(&mut self, key: &str, entered_at: Timestamp) -> bool {
        let place = self.lost.iter().rposition(|lost| lost.line.entered_at == entered_at && lost.key == key);
        place.map(|place| self.lost.remove(place)).is_some()
    }

    /// A finding is there from before this trial began.
    pub(super) fn take_over(&mut self, step: StepId, onset: Timestamp) {
        let since = self.cohorts.number(onset);
        let allowed = self.allowed(step.0 as usize).unwrap_or(0.0);
        if let Some(step) = self.steps.get_mut(step.0 as usize) {
            step.rung = Some(Rung { since, until: since, share: 1.0, allowed, over: 0.0 });
        }
    }

    /// No finding about this step is open any more; what entered after its last loss is tried anew.
    pub(super) fn release(&mut self, step: StepId, latest_entry: Timestamp) {
        let from = self.cohorts.number(latest_entry) + 1;
        if let Some(step) = self.steps.get_mut(step.0 as usize) {
            (step.scores, step.from, step.rung) = (Scores::default(), from, None);
        }
        if self.steps.iter().all(|step| step.rung.is_none()) {
            (self.steps[0].scores, self.steps[0].from) = (Scores::default(), from);
        }
    }

    /// The share lost since what rang began, and what is allowed or usual there.
    pub(super) fn raised(&self, step: StepId) -> Option<Raised> {
        let rung = self.steps.get(step.0 as usize)?.rung?;
        let expected = self.usual_share(step.0 as usize).unwrap_or(rung.allowed);
        Some(Raised::new(rung.share, expected, self.allowance != Allowance::Usual))
    }

    /// How it stands at each step but the first, by name.
    pub(super) fn shares(&self) -> impl Iterator<Item = (&str, StepShare)> {
        self.steps.iter().enumerate().skip(1).map(|(index, step)| {
            let Recent { lost, all } = step.recent;
            (step.name.as_str(), StepShare { lost, all, usual: self.usual_share(index) })
        })
    }

    fn usual_share(&self, step: usize) -> Option<f64> {
        match self.allowance {
            Allowance::Share(share) => Some(share),
            Allowance::Usual => self.steps.get(step)?.usual.share(),
        }
    }

    /// The share that is tolerated at this step; nothing while that cannot be told.
    fn allowed(&self, step: usize) -> Option<f64> {
        match self.allowance {
            Allowance::Share(share) => (share < 1.0).then_some(share),
            // Of a flow as a whole nothing is usual that is not so of its steps.
            Allowance::Usual if step == 0 => None,
            Allowance::Usual => self.steps.get(step)?.usual.tolerated(),
        }
    }

    /// Looks at every step, and settles what is over.
    pub(super) fn look(&mut self, now: Timestamp) -> Vec<Turned> {
        let mut turned = Vec::new();
        for step in (1..self.steps.len()).chain([0]) {
            let Some(allowed) = self.allowed(step) else { continue };
            if self.steps[step].rung.is_some() {
                turned.extend(self.is_over(step, now).then_some(Turned::Over { step: StepId(step as u8) }));
            } else if let Some(since) = self.rings(step, allowed) {
                turned.extend(self.ring(step, since, allowed));
            }
        }
        let longest = self.steps.iter().map(|step| step.reach).max().unwrap_or_default();
        let known_after = longest + self.grace + KNOWN_AFTER;
        let is_over =
            |cohorts: &Cohorts, number| cohorts.live.len() > MAX_COHORTS || cohorts.end(number) + known_after <= now;
        while let Some((number, cohort)) = self.cohorts.settle_if(is_over) {
            self.settle(number, &cohort);
        }
        let is_watched = !self.cohorts.live.is_empty();
        self.due = if is_watched { second_after(now, SELDOM) } else { Tick::NEVER };
        turned
    }

    fn rings(&self, step: usize, allowed: f64) -> Option<u64> {
        if step == 0 && self.steps.iter().any(|step| step.rung.is_some()) {
            return None;
        }
        let weights = Weights::against(allowed);
        let trial = &self.steps[step];
        let mut scores = trial.scores;
        self.cohorts.live.range(trial.from..).find_map(|(number, cohort)| {
            let Count { well, lost } = cohort.at_best(step);
            scores.add(&weights, *number, lost, well)
        })
    }

    /// The step that rang, or where most are lost if it was the flow as a whole.
    fn ring(&mut self, step: usize, since: u64, allowed: f64) -> Option<Turned> {
        let lost_at = |step: usize| -> u64 {
            let cohorts = self.cohorts.live.range(since..);
            cohorts.map(|(_, cohort)| u64::from(cohort.at_best(step).lost)).sum()
        };
        let worst = if step == 0 { (1..self.steps.len()).max_by_key(|step| lost_at(*step))? } else { step };
        let many = lost_at(worst);
        let share = self.share_since(worst, since);
        let (of_it, others) = self
            .lost
            .drain(..)
            .partition(|lost| lost.step == worst && self.cohorts.number(lost.line.entered_at) >= since);
        let of_it: Vec<Lost> = Vec::from(of_it);
        self.lost = others;
        let is_lost = |(_, cohort): &(&u64, &Cohort)| cohort.at_best(worst).lost > 0;
        let until = self.cohorts.live.range(since..).rev().find(is_lost).map_or(since, |(number, _)| *number);
        self.steps[worst].rung = Some(Rung { since, until, share, allowed, over: 0.0 });
        let forgotten = many.saturating_sub(of_it.len() as u64);
        (!of_it.is_empty()).then_some(Turned::Rang { step: StepId(worst as u8), lost: of_it, forgotten })
    }

    /// Up to the last cohort of which anything is known to be lost: of later ones it is too early to tell.
    fn share_since(&self, step: usize, since: u64) -> f64 {
        let (mut lost, mut all, mut until_last) = (0_u64, 0_u64, 1.0);
        for cohort in self.cohorts.live.range(since..).map(|(_, cohort)| cohort.at_best(step)) {
            lost += u64::from(cohort.lost);
            all += u64::from(cohort.lost) + u64::from(cohort.well);
            if cohort.lost > 0 {
                until_last = lost as f64 / all as f64;
            }
        }
        until_last
    }

    /// Whether what entered since fares as it may. Only cohorts count of which this step is decided.
    fn is_over(&mut self, step: usize, now: Timestamp) -> bool {
        let Some(mut rung) = self.steps[step].rung else { return false };
        if self.cohorts.live.range(..=rung.since).next().is_some() {
            rung.share = self.share_since(step, rung.since);
        }
        self.steps[step].rung = Some(rung);
        let mut over = rung.over;
        for (number, cohort) in self.cohorts.live.range(rung.until + 1..) {
            let end = self.cohorts.end(*number);
            let decided = end + self.steps[step].reach + self.grace + KNOWN_AFTER;
            if !(decided <= now || (cohort.open == 0 && end <= now)) {
                break;
            }
            over = rung.weigh(over, cohort.at_best(step));
        }
        over >= OVER
    }

    fn settle(&mut self, number: u64, cohort: &Cohort) {
        for step in 0..self.steps.len() {
            let count = cohort.at_best(step);
            let allowed = self.allowed(step);
            let trial = &mut self.steps[step];
            trial.recent.add(count);
            if let Some(rung) = &mut trial.rung {
                if number > rung.until {
                    rung.over = rung.weigh(rung.over, count);
                }
                continue;
            }
            if number < trial.from {
                continue;
            }
            if let Some(allowed) = allowed {
                trial.scores.add(&Weights::against(allowed), number, count.lost, count.well);
            }
            if !trial.scores.is_suspicious() {
                trial.usual.learn(self.cohorts.end(number), count);
            }
        }
        // No run reaches back further than what is remembered.
        let oldest = self.steps.iter().filter_map(|step| step.scores.since_when()).min().unwrap_or(number + 1);
        while self.lost.front().is_some_and(|lost| self.cohorts.number(lost.line.entered_at) < oldest.min(number + 1)) {
            self.lost.pop_front();
        }
    }
}

impl Rung {
    /// What speaks for its being over, with one more cohort.
    fn weigh(&self, over: f64, count: Count) -> f64 {
        let [allowed, share] = [self.allowed, self.share].map(|share| share.clamp(1e-6, 0.999));
        // What rang is at least so far from what is allowed.
        let raised = share.max(super::sequence::raised(allowed, 2.0));
        let if_well = ((1.0 - allowed) / (1.0 - raised)).ln();
        let if_lost = (allowed / raised).ln();
        (over + f64::from(count.well) * if_well + f64::from(count.lost) * if_lost).clamp(0.0, 2.0 * OVER)
    }
}

impl Recent {
    fn add(&mut self, count: Count) {
        const HALF: f64 = 0.5;
        const ENOUGH: f64 = 400.0;
        self.lost += f64::from(count.lost);
        self.all += f64::from(count.lost) + f64::from(count.well);
        while self.all > ENOUGH {
            (self.lost, self.all) = (self.lost * HALF, self.all * HALF);
        }
    }
}

fn steps_of(plan: &Plan) -> Vec<StepTrial> {
    let mut reach: Vec<Duration> = Vec::with_capacity(plan.steps.len());
    for (index, step) in plan.steps.iter().enumerate() {
        reach.push(if index == 0 { Duration::ZERO } else { reach[step.after] + step.within });
    }
    let step = |(index, reach): (usize, Duration)| StepTrial {
        name: plan.step_name(StepId(index as u8)).to_owned(),
        reach,
        usual: Usual::new(plan.flow.limits.abandonment.is_some()),
        scores: Scores::default(),
        from: 0,
        rung: None,
        recent: Recent::default(),
    };
    reach.into_iter().enumerate().map(step).collect()
}

/// The first whole second so many after this time, and after it in any case.
fn second_after(now: Timestamp, seconds: u64) -> Tick {
    Tick::at_or_after(Timestamp::from_secs(now.0 / 1_000_000_000 + seconds))
}
