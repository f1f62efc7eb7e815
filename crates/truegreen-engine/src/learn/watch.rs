//! Cases judged one after the other, and findings raised where more of them break an expectation than was learned.
//!
//! A sequential test for each expectation: every case it is expected of adds the log-likelihood ratio of a raised share
//! against the learned one, and the sum never falls below zero. The sum at which it rings is set so that over as many
//! healthy cases as were learned from all tests together ring with a chance of [`FALSE_ALARM`] at most: the sum's
//! exponential, summed over where it may have begun, grows by one a case on average while nothing is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::report::{FindingReport, FlowReport, JourneyReport, Report};
use truegreen_model::time::Timestamp;

use super::case::{Case, Cases};
use super::check::{Cause, Checker, Deviation, Standing};
use super::model::{LearnedFlow, Model};
use super::tolerance::FALSE_ALARM;
use super::vocabulary::ActivityId;
use crate::date::{clock, rfc3339};
use crate::matcher::key::{hash, mix};

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

/// What came of watching.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Watched {
    /// As `audit` prints it.
    pub report: Report,
    /// One for each case, by the time they began.
    pub journeys: Vec<JourneyReport>,
    /// Cases of flows that were not learned, or whose beginning was not seen.
    pub not_learned: u64,
}

/// Judges all cases, and raises findings in the cases' own time. Where `journeys` are not wanted none are kept.
pub fn watch(model: &Model, cases: &Cases, journeys: bool) -> Watched {
    let mut checker = Checker::new(model).with_strays(cases);
    let mut watched = Watched::default();
    let mut books: Vec<FlowReport> = model.flows.iter().map(|_| FlowReport::default()).collect();
    let mut turns: Vec<(Timestamp, u32)> = Vec::with_capacity(cases.cases.len());
    for (place, case) in cases.cases.iter().enumerate() {
        let (flow, standing) = checker.judge(case, cases.until, &cases.heard);
        if let Some(books) = flow.and_then(|flow| books.get_mut(flow)) {
            enter(books, &standing);
        } else {
            watched.not_learned += 1;
        }
        turns.push((certain_at(case, &standing), place as u32));
        if journeys && let Some(flow) = flow.and_then(|flow| model.flows.get(flow)) {
            watched.journeys.push(journey(model, flow, case, &standing));
        }
    }
    turns.sort_unstable();
    let mut alarms = Alarms::new(model);
    let mut kept = Vec::new();
    for (_, place) in turns {
        let Some(case) = cases.cases.get(place as usize) else { continue };
        kept.clear();
        let (flow, standing) = checker.weigh(case, cases.until, &cases.heard, |cause| kept.push(cause));
        let Some(index) = flow else { continue };
        let Some(flow) = model.flows.get(index) else { continue };
        alarms.take((index, flow), case, &standing, &kept);
    }
    let findings = alarms.finish(model);
    let by_flow = |name: &str| findings.iter().filter(|finding| finding.flow == name).collect::<Vec<_>>();
    for (flow, mut books) in model.flows.iter().zip(books) {
        books.health = health(&books, &by_flow(&flow.name)).to_owned();
        watched.report.flows.insert(flow.name.clone(), books);
    }
    let worst = |name: &str| watched.report.flows.values().any(|flow| flow.health == name);
    let health = if worst("BROKEN") {
        "BROKEN"
    } else if watched.report.flows.values().all(|flow| flow.health == "CANNOT TELL") || has_silence(&findings) {
        "CANNOT TELL"
    } else {
        "WORKING"
    };
    watched.report.health = health.to_owned();
    watched.report.findings = findings;
    watched
}

fn has_silence(findings: &[FindingReport]) -> bool {
    findings.iter().any(|finding| finding.status == "open" && finding.kind == "silence")
}

fn health(books: &FlowReport, findings: &[&FindingReport]) -> &'static str {
    let open = |silence: bool| {
        findings.iter().any(|finding| finding.status == "open" && (finding.kind == "silence") == silence)
    };
    match () {
        () if open(false) => "BROKEN",
        () if open(true) || books.entered == 0 => "CANNOT TELL",
        () => "WORKING",
    }
}

fn enter(books: &mut FlowReport, standing: &Standing) {
    books.entered += 1;
    match standing {
        Standing::Open | Standing::NotLearned => books.open += 1,
        Standing::Completed => books.completed += 1,
        Standing::Late(_) => books.late += 1,
        Standing::Unaccounted(_) => books.unaccounted += 1,
        Standing::Unknown(why, _) => *books.unknown.entry(why.name().to_owned()).or_default() += 1,
    }
}

fn certain_at(case: &Case, standing: &Standing) -> Timestamp {
    match deviation(standing) {
        Some(deviation) => deviation.at,
        None => case.last_at(),
    }
}

fn deviation(standing: &Standing) -> Option<&Deviation> {
    match standing {
        Standing::Late(deviation) | Standing::Unaccounted(deviation) | Standing::Unknown(_, deviation) => {
            Some(deviation)
        }
        Standing::Open | Standing::Completed | Standing::NotLearned => None,
    }
}

fn journey(model: &Model, flow: &LearnedFlow, case: &Case, standing: &Standing) -> JourneyReport {
    let reason = deviation(standing).map(|deviation| deviation.reason.to_owned());
    let (verdict, reason) = match standing {
        Standing::Open | Standing::NotLearned => ("open", None),
        Standing::Completed => ("completed", None),
        Standing::Late(_) => ("late", None),
        Standing::Unaccounted(_) => ("unaccounted", reason),
        Standing::Unknown(why, _) => ("unknown", Some(why.name().to_owned())),
    };
    let last = case.events.last().map(|event| event.activity);
    let after = deviation(standing).map_or(last, |deviation| deviation.after);
    JourneyReport {
        flow: flow.name.clone(),
        key: case.key.to_string(),
        verdict: verdict.to_owned(),
        reason,
        after: after.map(|after| model.vocabulary.full_name(after)),
        entered_at: rfc3339(case.entered_at()),
    }
}

/// The sequential tests of all flows.
struct Alarms {
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
struct Run {
    onset: Option<Timestamp>,
    last: Timestamp,
    count: u64,
    examples: Vec<String>,
    hop: Option<(Option<ActivityId>, Option<ActivityId>)>,
    reason: &'static str,
}

#[derive(Clone)]
struct Opened {
    first_seen: Timestamp,
    run: Run,
    /// Kept since the onset, and since the last that broke it.
    kept: u64,
    kept_since: u64,
    resolved: bool,
}

/// What an expectation was learned from: cases, and those that broke it, in all and by kind.
struct Learned<'a> {
    id: (usize, Cause),
    counts: (u32, u32),
    by_kind: &'a [(u32, u32)],
}

impl Alarms {
    fn new(model: &Model) -> Alarms {
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

    fn take(&mut self, flow: (usize, &LearnedFlow), case: &Case, standing: &Standing, kept: &[Cause]) {
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

    fn finish(self, model: &Model) -> Vec<FindingReport> {
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

fn report(model: &Model, flow: &LearnedFlow, cause: Cause, opened: &Opened, ordinal: usize) -> FindingReport {
    let run = &opened.run;
    let (after, before) = run.hop.unwrap_or_default();
    let name = |id: Option<ActivityId>| id.map(|id| model.vocabulary.full_name(id));
    let (after, before) = (name(after), name(before));
    let kind = match (cause, run.reason) {
        (Cause::Heard(_), _) => "silence",
        (Cause::InTime(_), _) => "late",
        (_, "failed_without_exit") => "failed_without_exit",
        (_, "vanished" | "skipped" | "ended_early") => "loss",
        _ => "deviation",
    };
    let onset = run.onset.unwrap_or_default();
    let mut id = mix(hash(flow.name.as_bytes()), hash(kind.as_bytes()));
    for part in [&after, &before] {
        id = mix(id, hash(part.as_deref().unwrap_or("").as_bytes()));
    }
    let title = title(flow, kind, opened, (after.as_deref(), before.as_deref()));
    let found = FindingReport {
        id: format!("{:016x}", mix(id, ordinal as u64)),
        kind: kind.to_owned(),
        flow: flow.name.clone(),
        count: run.count,
        onset: rfc3339(onset),
        first_seen: rfc3339(opened.first_seen),
        last_seen: rfc3339(run.last),
        status: if opened.resolved { "resolved" } else { "open" }.to_owned(),
        examples: run.examples.clone(),
        after,
        before,
        ..FindingReport::default()
    };
    FindingReport { title, ..found }
}

fn title(flow: &LearnedFlow, kind: &str, opened: &Opened, (after, before): (Option<&str>, Option<&str>)) -> String {
    let run = &opened.run;
    let journeys = if run.count == 1 { "journey" } else { "journeys" };
    let hop = match (after, before) {
        (Some(after), Some(before)) => format!("after `{after}`, before `{before}`"),
        (Some(after), None) => format!("after `{after}`"),
        (None, Some(before)) => format!("before `{before}`"),
        (None, None) => "at the beginning".to_owned(),
    };
    let (n, name) = (run.count, &flow.name);
    let what = match kind {
        "loss" => format!("{n} {journeys} left the learned course of `{name}` {hop}"),
        "failed_without_exit" => format!("{n} {journeys} failed in `{name}` {hop}"),
        "silence" => format!("{n} {journeys} cannot be judged in `{name}` {hop}: who owes it is not heard"),
        "late" => format!("{n} {journeys} of `{name}` took longer than any learned, {hop}"),
        _ => {
            let what = run.reason.replace('_', " ");
            let place = before.or(after).unwrap_or("the beginning");
            format!("{n} {journeys} of `{name}` took another course at `{place}` ({what})")
        }
    };
    let example = run.examples.first().map(|key| format!(", for example {key}")).unwrap_or_default();
    format!("{what}; since {} UTC{example}", clock(run.onset.unwrap_or_default()))
}
