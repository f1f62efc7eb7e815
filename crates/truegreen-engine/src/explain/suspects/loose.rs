//! Log lines that name no trace: they belong to no request, so they are compared by time.
//!
//! Both stretches are cut into windows of the same length; a line is new if more windows of the failing stretch show it than
//! of the normal one. It supports a suspect of its service, and is a suspect of its own where requests show none there:
//! errors first, and of these the service that is called by the others. What is missing is not looked for, since less
//! traffic says less.

use std::collections::{BTreeMap, BTreeSet};

use truegreen_model::suspect::{Certainty, Diagnosis, Suspect, SuspectKind};

use super::super::recording::{Log, Name, Recording, Severity};
use super::cases::{Cases, FAILING};
use super::chance::{self, Sides};

/// Windows of the shorter stretch.
const WINDOWS: u64 = 60;
/// Shortest and longest window, in nanoseconds: what one request says is to be in one, and a minute tells enough.
const SHORTEST: u64 = 1_000_000_000;
const LONGEST: u64 = 60_000_000_000;
/// Another load says everything more often, yet hardly twice as often.
const TIMES: f64 = 2.0;
/// Most that are named.
const NAMED: usize = 5;

/// A line that is new.
struct New {
    service: Name,
    instance: Option<Name>,
    template: Name,
    is_error: bool,
    weight: f64,
    sides: Sides,
    depth: f64,
}

/// Adds to a diagnosis what loose logs say.
pub(super) fn add(cases: &Cases<'_>, diagnosis: &mut Diagnosis) {
    let mut new = new_lines(cases);
    let depths = depths(cases.recording);
    new.iter_mut().for_each(|line| line.depth = depths.get(&line.service).copied().unwrap_or(0.0));
    new.sort_by(|a, b| {
        let key = |line: &New| (u8::from(!line.is_error), line.service, line.template);
        let by = b.depth.total_cmp(&a.depth).then(b.weight.total_cmp(&a.weight));
        u8::from(!a.is_error).cmp(&u8::from(!b.is_error)).then(by).then(key(a).cmp(&key(b)))
    });
    let mut told: BTreeSet<Name> = BTreeSet::new();
    for line in new {
        // The first of a service says enough.
        if !told.insert(line.service) || told.len() > NAMED {
            continue;
        }
        let text = |name: Name| cases.recording.text(name).to_owned();
        let says = format!(
            "\"{}\" is logged in {:.0} of {:.0} stretches of time (normally in {:.0} of {:.0})",
            text(line.template),
            line.sides.failing_shown,
            line.sides.failing,
            line.sides.normal_shown,
            line.sides.normal
        );
        let service = text(line.service);
        match diagnosis.suspects.iter_mut().find(|suspect| suspect.service.as_ref() == Some(&service)) {
            Some(suspect) => {
                suspect.evidence.push(says);
                suspect.log_event.get_or_insert_with(|| text(line.template));
            }
            None => own(diagnosis, &line, service, says, &text),
        }
    }
}

fn own(diagnosis: &mut Diagnosis, line: &New, service: String, says: String, text: &impl Fn(Name) -> String) {
    if diagnosis.suspects.is_empty() {
        diagnosis.verdict = Certainty::Likely;
        diagnosis.summary = format!("The cause is probably in {service}: {says}.");
    }
    diagnosis.suspects.push(Suspect {
        rank: diagnosis.suspects.len() as u32 + 1,
        service: Some(service),
        instance: line.instance.map(text).filter(|instance| !instance.is_empty()),
        operation: None,
        log_event: Some(text(line.template)),
        missing_after: None,
        instead: None,
        kind: if line.is_error { SuspectKind::Error } else { SuspectKind::NewEvent },
        evidence: vec![says],
        failing: 0,
        normal: 0,
        weight: (line.weight * 10.0).round() / 10.0,
        traces: Vec::new(),
    });
}

/// Start, end and the length of a window of a side.
#[derive(Clone, Copy)]
struct Stretch {
    start: u64,
    end: u64,
}

impl Stretch {
    fn windows(self, length: u64) -> u64 {
        (self.end - self.start) / length + 1
    }
}

/// In which windows a line stands, by side, and which instances say it in the failing one.
#[derive(Default)]
struct Seen {
    windows: [BTreeSet<u64>; 2],
    instances: BTreeSet<Name>,
    is_error: bool,
}

fn new_lines(cases: &Cases<'_>) -> Vec<New> {
    let recording = cases.recording;
    let Some(sides) = sides_of_parts(cases) else { return Vec::new() };
    let logs = || recording.loose_logs().iter().filter_map(|log| Some((log, *sides.get(&log.part)?)));
    let Some(stretches) = stretches(cases, logs()) else { return Vec::new() };
    let shorter = stretches.iter().map(|stretch| stretch.end - stretch.start).min().unwrap_or(0);
    let length = (shorter / WINDOWS).clamp(SHORTEST, LONGEST);
    let mut seen: BTreeMap<(Name, Name), Seen> = BTreeMap::new();
    for (log, side) in logs() {
        let line = seen.entry((log.service, log.says())).or_default();
        line.windows[side].insert((log.time - stretches[side].start) / length);
        line.is_error |= log.severity >= Severity::ERROR;
        if side == 1 {
            line.instances.insert(log.instance);
        }
    }
    let needed = chance::needed(seen.len());
    let all = stretches.map(|stretch| stretch.windows(length));
    let lines = seen.into_iter().filter_map(|((service, template), line)| {
        let (sides, halves) = line.sides(all);
        let (share, usual) = (sides.failing_shown / sides.failing, sides.normal_shown / sides.normal);
        let weight = chance::weight(&[sides]) - chance::weight(&[halves]);
        let instance = Some(line.instances).filter(|all| all.len() == 1).and_then(|all| all.into_iter().next());
        let is_new = weight >= needed && share >= TIMES * usual;
        is_new.then_some(New { service, instance, template, is_error: line.is_error, weight, sides, depth: 0.0 })
    });
    lines.collect()
}

impl Seen {
    /// Failing against normal, and the second half of normal against the first.
    fn sides(&self, [normal, failing]: [u64; 2]) -> (Sides, Sides) {
        let [in_normal, in_failing] = &self.windows;
        let half = normal.div_ceil(2);
        let first = in_normal.range(..half).count() as f64;
        let shown = in_normal.len() as f64;
        let against = Sides {
            failing: failing as f64,
            failing_shown: in_failing.len() as f64,
            normal: normal as f64,
            normal_shown: shown,
        };
        let halves = Sides {
            failing: (normal - half) as f64,
            failing_shown: shown - first,
            normal: half as f64,
            normal_shown: first,
        };
        (against, halves)
    }
}

/// 0 for parts of normal requests, 1 for those of failing ones; nothing where a part holds both.
fn sides_of_parts(cases: &Cases<'_>) -> Option<BTreeMap<u16, usize>> {
    let mut sides: BTreeMap<u16, usize> = BTreeMap::new();
    for case in 0..cases.all.len() {
        let side = usize::from(usize::from(cases.sides[case]) == FAILING);
        for trace in cases.traces(case) {
            if *sides.entry(trace.part).or_insert(side) != side {
                return None;
            }
        }
    }
    Some(sides)
}

/// From the first to the last request or loose log of each side.
fn stretches<'r>(cases: &Cases<'_>, logs: impl Iterator<Item = (&'r Log, usize)>) -> Option<[Stretch; 2]> {
    let mut stretches = [Stretch { start: u64::MAX, end: 0 }; 2];
    let mut add = |side: usize, time: u64| {
        let stretch = &mut stretches[side];
        (stretch.start, stretch.end) = (stretch.start.min(time), stretch.end.max(time));
    };
    for case in 0..cases.all.len() {
        let side = usize::from(usize::from(cases.sides[case]) == FAILING);
        cases.traces(case).for_each(|trace| add(side, trace.start));
    }
    logs.for_each(|(log, side)| add(side, log.time));
    stretches.iter().all(|stretch| stretch.start <= stretch.end).then_some(stretches)
}

/// How deep in their traces the spans of each service stand: who is called is deeper than who calls.
fn depths(recording: &Recording) -> BTreeMap<Name, f64> {
    let mut sums: BTreeMap<Name, (f64, f64)> = BTreeMap::new();
    for span in recording.spans() {
        let (sum, n) = sums.entry(span.service).or_default();
        (*sum, *n) = (*sum + f64::from(span.depth), *n + 1.0);
    }
    sums.into_iter().map(|(service, (sum, n))| (service, sum / n)).collect()
}
