//! Traffic that shifted, and calls that went worse.

use std::collections::BTreeMap;

use statrs::distribution::{ChiSquared, ContinuousCDF};
use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;
use truegreen_otlp::{SpanKind, Status};

use super::super::step::step;
use super::seen;
use crate::explain::recording::{Name, Recording, Span};

/// Stretches that a recording is cut into: enough to tell how it wanders, and not so many that they are empty.
const STRETCHES: u64 = 60;
/// Of all tests together, one in a hundred is wrong by chance.
const WRONG: f64 = 0.01;

/// A recording cut into stretches of time.
struct Stretches {
    begins: u64,
    length: u64,
}

impl Stretches {
    fn of(recording: &Recording) -> Option<Stretches> {
        let begins = recording.spans().iter().map(|span| span.start).min()?;
        let ends = recording.spans().iter().map(|span| span.start).max()?;
        let length = (ends - begins) / STRETCHES;
        (length > 0).then_some(Stretches { begins, length })
    }

    fn at(&self, time: u64) -> i64 {
        (time.saturating_sub(self.begins) / self.length).min(STRETCHES - 1) as i64
    }

    fn time(&self, at: i64) -> u64 {
        self.begins + self.length * at.max(0) as u64
    }
}

pub(super) fn changes(recording: &Recording, onset: Timestamp) -> Vec<Change> {
    let Some(stretches) = Stretches::of(recording) else { return Vec::new() };
    let mut entries: BTreeMap<(Name, Name), Vec<u64>> = BTreeMap::new();
    let mut calls: BTreeMap<(Name, Name), Vec<&Span>> = BTreeMap::new();
    for span in recording.spans() {
        let parent = span.parent.and_then(|at| recording.spans().get(at as usize));
        if parent.is_none() && span.parent_id == 0 && !matches!(span.kind, SpanKind::Client | SpanKind::Producer) {
            entries.entry((span.service, span.operation)).or_default().push(span.start);
        }
        if let Some(parent) = parent.filter(|parent| parent.service != span.service) {
            calls.entry((parent.service, span.service)).or_default().push(span);
        }
    }
    let tests = (2 * entries.len() + 2 * calls.len() + 1) as f64;
    let mut changes = Vec::new();
    for ((service, operation), times) in &entries {
        let names = (recording.text(*service), recording.text(*operation));
        changes.extend(level(names, times, &stretches, WRONG / tests));
    }
    changes.extend(mix(recording, &entries, onset, WRONG / tests));
    for ((caller, callee), spans) in &calls {
        changes.extend(worse((recording.text(*caller), recording.text(*callee)), spans, &stretches, WRONG / tests));
    }
    changes
}

/// More or fewer requests than before. The square root of a count wanders alike at any level (by half).
fn level(names: (&str, &str), times: &[u64], stretches: &Stretches, wrong: f64) -> Option<Change> {
    let (service, operation) = names;
    let mut counts = vec![0u32; STRETCHES as usize];
    for time in times {
        counts[stretches.at(*time) as usize] += 1;
    }
    let whole = counts.len() as i64;
    let points = |sign: f64| -> Vec<(i64, f64)> {
        (0..whole).zip(&counts).map(|(at, count)| (at, sign * f64::from(*count).sqrt())).collect()
    };
    let found = [(1.0, "more"), (-1.0, "fewer")]
        .into_iter()
        .filter_map(|(sign, word)| Some((step(&points(sign), 0..=whole, 0.5)?, word)));
    let (found, word) = found.filter(|(step, _)| step.p <= wrong).min_by(|(a, _), (b, _)| a.p.total_cmp(&b.p))?;
    let rate = |root: f64| root * root * 60e9 / stretches.length as f64;
    let title = format!(
        "{word} requests of {operation} to {service}: {:.0} a minute, {:.0} before",
        rate(found.after),
        rate(found.before)
    );
    Some(seen(ChangeKind::Traffic, stretches.time(found.at), Some(service), title, 1.0 - found.p))
}

/// Other requests than before: a G-test of operations against before and after.
fn mix(
    recording: &Recording,
    entries: &BTreeMap<(Name, Name), Vec<u64>>,
    onset: Timestamp,
    wrong: f64,
) -> Option<Change> {
    let counts: Vec<(f64, f64, (Name, Name))> = entries
        .iter()
        .map(|(which, times)| {
            let before = times.iter().filter(|at| **at < onset.0).count() as f64;
            (before, times.len() as f64 - before, *which)
        })
        .collect();
    let (before, after) = counts.iter().fold((0.0, 0.0), |(before, after), one| (before + one.0, after + one.1));
    if counts.len() < 2 || before < 20.0 || after < 20.0 {
        return None;
    }
    let part = |seen: f64, expected: f64| if seen > 0.0 { seen * (seen / expected).ln() } else { 0.0 };
    let g: f64 = counts
        .iter()
        .map(|(b, a, _)| {
            let all = b + a;
            2.0 * (part(*b, all * before / (before + after)) + part(*a, all * after / (before + after)))
        })
        .sum();
    let p = ChiSquared::new((counts.len() - 1) as f64).ok()?.sf(g);
    // Requests come in bursts: as much as a tenth of all must be others than before.
    let moved = counts.iter().map(|(b, a, _)| (a / after - b / before).abs()).sum::<f64>() / 2.0;
    if p > wrong || moved < 0.1 {
        return None;
    }
    let most = counts
        .iter()
        .max_by(|x, y| (x.1 / after - x.0 / before).abs().total_cmp(&(y.1 / after - y.0 / before).abs()))?;
    let title = format!(
        "the mix of requests: {} to {} is {:.0} % of them, {:.0} % before",
        recording.text(most.2.1),
        recording.text(most.2.0),
        most.1 / after * 100.0,
        most.0 / before * 100.0
    );
    Some(seen(ChangeKind::Traffic, onset.0, Some(recording.text(most.2.0)), title, 1.0 - p))
}

/// Calls that fail more or take longer than before.
fn worse(names: (&str, &str), spans: &[&Span], stretches: &Stretches, wrong: f64) -> Vec<Change> {
    let (caller, callee) = names;
    let mut by_stretch: BTreeMap<i64, (f64, f64, f64)> = BTreeMap::new();
    for span in spans {
        let (count, failing, time) = by_stretch.entry(stretches.at(span.start)).or_default();
        *count += 1.0;
        *failing += f64::from(u8::from(span.status == Status::Error));
        *time += (span.duration().max(1) as f64).ln();
    }
    let failing: Vec<(i64, f64)> = by_stretch.iter().map(|(at, one)| (*at, one.1 / one.0)).collect();
    let slow: Vec<(i64, f64)> = by_stretch.iter().map(|(at, one)| (*at, one.2 / one.0)).collect();
    let whole = STRETCHES as i64;
    let found = |points: &[(i64, f64)], finest: f64| step(points, 0..=whole, finest).filter(|step| step.p <= wrong);
    let mut changes = Vec::new();
    if let Some(step) = found(&failing, 0.005) {
        let title = format!(
            "calls of {caller} to {callee} fail more: {:.1} %, {:.1} % before",
            step.after * 100.0,
            step.before * 100.0
        );
        changes.push(seen(ChangeKind::Dependency, stretches.time(step.at), Some(callee), title, 1.0 - step.p));
    }
    if let Some(step) = found(&slow, 0.02) {
        let millis = |level: f64| level.exp() / 1e6;
        let title = format!(
            "calls of {caller} to {callee} take longer: {:.1} ms, {:.1} ms before",
            millis(step.after),
            millis(step.before)
        );
        changes.push(seen(ChangeKind::Dependency, stretches.time(step.at), Some(callee), title, 1.0 - step.p));
    }
    changes
}
