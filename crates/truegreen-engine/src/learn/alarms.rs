//! When broken expectations are more than was learned.
//!
//! A sequential test for each expectation: every case it is expected of adds the log-likelihood ratio of a raised share
//! against the learned one, and the sum never falls below zero. The sum at which it rings is set so that over as many
//! healthy cases as were learned from all tests together ring with a chance of [`FALSE_ALARM`] at most: the sum's
//! exponential, summed over where it may have begun, grows by one a case on average while nothing is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::report::FindingReport;
use truegreen_model::time::Timestamp;

use super::case::Case;
use super::check::{Cause, Deviation, Standing};
use super::findings::report;
use super::model::{LearnedFlow, Model};
use super::tolerance::FALSE_ALARM;
use super::vocabulary::ActivityId;
use super::watch::deviation;

/// Keys told with a finding.
const MAX_EXAMPLES: usize = 20;
/// Shares that a test looks for: everything fails, a twentieth does, five times as many as usual.
const RAISED: [fn(f64) -> f64; 3] = [|p| (1.0 + p) / 2.0, |p| (5.0 * p).max(0.05), |p| 5.0 * p];
/// Many that are late together may be one pause: only what lasts longer is told.
const PAUSE: Duration = Duration::from_secs(10);
/// A kind of cases is taken to be as all are by so many cases' weight.
const LIKE_ALL: f64 = 20.0;
/// No share is looked for above this one, so that one case that goes well speaks against it.
const HIGHEST: f64 = 0.95;

/// The sequential tests of all flows.
pub(super) struct Alarms {
    tests: BTreeMap<(usize, Cause), Test>,
}

/// One expectation's.
#[derive(Default)]
struct Test {
    rings_at: f64,
    /// What is shorter than this is a pause.
    lasts: Duration,
    looks: Vec<Look>,
    /// While it rings.
    open: Option<Opened>,
    past: Vec<Opened>,
}

/// The test against one raised share, among all cases or those of one kind.
#[derive(Default, Clone)]
struct Look {
    kind: Option<usize>,
    kept: f64,
    broken: f64,
    sum: f64,
    run: Run,
}

/// Cases that broke it since nothing spoke for a raised share.
#[derive(Default, Clone)]
pub(super) struct Run {
    pub(super) onset: Option<Timestamp>,
    pub(super) last: Timestamp,
    pub(super) count: u64,
    pub(super) examples: Vec<String>,
    pub(super) hop: Option<(Option<ActivityId>, Option<ActivityId>)>,
    pub(super) reason: &'static str,
}

#[derive(Clone)]
pub(super) struct Opened {
    pub(super) first_seen: Timestamp,
    pub(super) run: Run,
    /// Kept since the onset, and since the last that broke it.
    pub(super) kept: u64,
    pub(super) kept_since: u64,
    pub(super) resolved: bool,
}

/// What an expectation was learned from: cases, and those that broke it, in all and by kind.
struct Learned<'a> {
    id: (usize, Cause),
    counts: (u32, u32),
    by_kind: &'a [(u32, u32)],
}

impl Alarms {
    pub(super) fn new(model: &Model) -> Alarms {
        let mut learned: Vec<Learned<'_>> = Vec::new();
        for (index, flow) in model.flows.iter().enumerate() {
            let turns = flow.turns.iter();
            learned.extend(turns.map(|(from, turn)| Learned {
                id: (index, Cause::Turn(*from)),
                counts: (turn.cases, turn.broken),
                by_kind: &[],
            }));
            for (at, one) in flow.expectations.iter().enumerate() {
                let at = at as u32;
                let counts = (one.cases, one.broken);
                learned.push(Learned { id: (index, Cause::Expectation(at)), counts, by_kind: &one.by_kind });
                if !model.plain && one.rule.waits() {
                    let (slow, unheard) = ((one.cases, one.late), (one.cases, 0));
                    learned.push(Learned { id: (index, Cause::InTime(at)), counts: slow, by_kind: &[] });
                    learned.push(Learned { id: (index, Cause::Heard(at)), counts: unheard, by_kind: &[] });
                }
            }
        }
        let looks: usize = learned.iter().map(|one| RAISED.len() + one.by_kind.len()).sum();
        Alarms { tests: learned.iter().map(|one| (one.id, Test::new(one, looks as f64))).collect() }
    }

    pub(super) fn take(&mut self, flow: (usize, &LearnedFlow), case: &Case, standing: &Standing, kept: &[Cause]) {
        let broken = deviation(standing);
        let (index, flow) = flow;
        let kinds: Vec<bool> = flow.kinds.iter().map(|kind| kind.is(case)).collect();
        for cause in kept {
            if broken.is_some_and(|broken| broken.cause == *cause) {
                continue;
            }
            if let Some(test) = self.tests.get_mut(&(index, *cause)) {
                test.keep(&kinds);
            }
        }
        if let Some(broken) = broken
            && let Some(test) = self.tests.get_mut(&(index, broken.cause))
        {
            test.break_by(case, broken, &kinds);
        }
    }

    pub(super) fn finish(self, model: &Model) -> Vec<FindingReport> {
        let mut found: Vec<(Timestamp, FindingReport)> = Vec::new();
        for ((flow, cause), test) in self.tests {
            let Some(flow) = model.flows.get(flow) else { continue };
            for (ordinal, opened) in test.past.into_iter().chain(test.open).enumerate() {
                found.push((opened.run.last, report(model, flow, cause, &opened, ordinal)));
            }
        }
        found.sort_by_key(|(last, finding)| (finding.status != "open", std::cmp::Reverse(*last)));
        found.into_iter().map(|(_, finding)| finding).collect()
    }
}

impl Test {
    fn new(learned: &Learned<'_>, looks: f64) -> Test {
        let (cases, broken) = learned.counts;
        let n = f64::from(cases.max(1));
        // As if half a case more had broken it: none of many is no proof of never.
        let usual = ((f64::from(broken) + 0.5) / (n + 1.0)).min(0.5);
        let look = |kind: Option<usize>, usual: f64, raised: f64| {
            let raised = raised.min(HIGHEST);
            let broken = (raised / usual).ln();
            Look { kind, kept: ((1.0 - raised) / (1.0 - usual)).ln(), broken, ..Look::default() }
        };
        let mut all: Vec<Look> = RAISED.iter().map(|raised| look(None, usual, raised(usual))).collect();
        for (kind, (cases, broken)) in learned.by_kind.iter().enumerate() {
            // A kind is as all are, unless its own cases say otherwise.
            let own = (f64::from(*broken) + LIKE_ALL * usual) / (f64::from(*cases) + LIKE_ALL);
            let own = own.max(usual).min(0.5);
            all.push(look(Some(kind), own, RAISED[0](own)));
        }
        let rings_at = (looks * n.max(100.0) / FALSE_ALARM).ln();
        let lasts = if matches!(learned.id.1, Cause::InTime(_)) { PAUSE } else { Duration::ZERO };
        Test { rings_at, lasts, looks: all, ..Test::default() }
    }

    fn keep(&mut self, kinds: &[bool]) {
        for look in self.looks.iter_mut().filter(|look| look.sees(kinds)) {
            look.sum = (look.sum + look.kept).max(0.0);
            if look.sum <= 0.0 && look.run.count > 0 {
                look.run = Run::default();
            }
        }
        if let Some(open) = &mut self.open {
            open.kept += 1;
            open.kept_since += 1;
            // As the engine has it: three times as many as would have shown one more, had it gone on.
            let share = open.run.count as f64 / (open.run.count + open.kept - open.kept_since).max(1) as f64;
            let enough = open.kept_since as f64 >= (3.0 / share.max(1e-9)).max(3.0);
            if enough && self.looks.iter().all(|look| look.sum < self.rings_at / 2.0) {
                open.resolved = true;
                self.past.extend(self.open.take());
                self.looks.iter_mut().for_each(|look| (look.sum, look.run) = (0.0, Run::default()));
            }
        }
    }

    fn break_by(&mut self, case: &Case, deviation: &Deviation, kinds: &[bool]) {
        if let Some(open) = &mut self.open {
            open.kept_since = 0;
            open.run.add(case, deviation);
        }
        let mut rings: Option<&Look> = None;
        // A share that is usual is never raised.
        for look in self.looks.iter_mut().filter(|look| look.sees(kinds) && look.broken > 0.0) {
            look.sum = (look.sum + look.broken).min(2.0 * self.rings_at);
            look.run.add(case, deviation);
            let lasts = self.lasts <= look.run.last.since(look.run.onset.unwrap_or_default());
            if look.sum >= self.rings_at && lasts && rings.is_none() {
                rings = Some(look);
            }
        }
        if self.open.is_none()
            && let Some(look) = rings
        {
            let run = look.run.clone();
            self.open = Some(Opened { first_seen: deviation.at, run, kept: 0, kept_since: 0, resolved: false });
        }
    }
}

impl Look {
    fn sees(&self, kinds: &[bool]) -> bool {
        self.kind.is_none_or(|kind| kinds.get(kind).copied().unwrap_or(false))
    }
}

impl Run {
    fn add(&mut self, case: &Case, deviation: &Deviation) {
        let entered = case.entered_at();
        self.onset = Some(self.onset.map_or(entered, |onset| onset.min(entered)));
        self.last = self.last.max(deviation.at);
        self.count += 1;
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(case.key.to_string());
        }
        self.hop.get_or_insert((deviation.after, deviation.before));
        if self.reason.is_empty() {
            self.reason = deviation.reason;
        }
    }
}
