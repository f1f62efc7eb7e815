//! How calls between services go, before and since they became worse, where a recording holds all of them.

use std::collections::BTreeMap;

use truegreen_model::time::Timestamp;
use truegreen_otlp::Status;

use super::super::incident::EdgeEffect;
use super::super::step::{Step, step};
use super::WRONG;
use super::stretches::{Stretches, caller};
use crate::date::rfc3339;
use crate::explain::recording::{Name, Recording, Span};

/// The least that a share of failures wanders by, and the logarithm of a time.
const FINEST_SHARE: f64 = 0.005;
const FINEST_TIME: f64 = 0.02;

/// Every two services of which one calls the other.
pub(super) fn calls(recording: &Recording, stretches: &Stretches) -> Vec<EdgeEffect> {
    let mut calls: BTreeMap<(Name, Name), Vec<&Span>> = BTreeMap::new();
    for span in recording.spans() {
        if let Some(caller) = caller(recording, span) {
            calls.entry((caller.service, span.service)).or_default().push(span);
        }
    }
    // Of each it is looked whether it fails more, and whether it takes longer.
    let tests = 2.0 * calls.len() as f64;
    let told = calls.iter().filter_map(|((source, target), spans)| {
        let (says, p_value) = worse(spans, stretches, tests)?;
        let (source, target) = (recording.text(*source).to_owned(), recording.text(*target).to_owned());
        Some(EdgeEffect { source, target, says, p_value })
    });
    told.collect()
}

/// What is worse, and the probability of that by chance in any of the tests; nothing of too few calls.
fn worse(spans: &[&Span], stretches: &Stretches, tests: f64) -> Option<(String, f64)> {
    let mut by_stretch: BTreeMap<i64, (f64, f64, f64)> = BTreeMap::new();
    for (at, span) in spans.iter().filter_map(|span| Some((stretches.at(span.start)?, span))) {
        let (count, failing, time) = by_stretch.entry(at).or_default();
        *count += 1.0;
        *failing += f64::from(u8::from(span.status == Status::Error));
        *time += (span.duration().max(1) as f64).ln();
    }
    let points = |of: fn(&(f64, f64, f64)) -> f64| -> Vec<(i64, f64)> {
        by_stretch.iter().map(|(at, sums)| (*at, of(sums) / sums.0)).collect()
    };
    let found = |points: &[(i64, f64)], finest: f64| step(points, 0..=stretches.all().end, finest);
    let failing = found(&points(|(_, failing, _)| *failing), FINEST_SHARE)?;
    let time = found(&points(|(.., time)| *time), FINEST_TIME)?;
    let since = |step: &Step| rfc3339(Timestamp(stretches.time(step.at)));
    let percent = |share: f64| share * 100.0;
    let millis = |level: f64| level.exp() / 1e6;
    let fails = || {
        let (after, before) = (percent(failing.after), percent(failing.before));
        format!("fails {after:.1} % of calls since {}, {before:.1} % before", since(&failing))
    };
    let takes = || {
        let (after, before) = (millis(time.after), millis(time.before));
        format!("takes {after:.1} ms since {}, {before:.1} ms before", since(&time))
    };
    let by_chance = |step: &Step| (step.p * tests).min(1.0);
    let (p_fails, p_takes) = (by_chance(&failing), by_chance(&time));
    Some(match (p_fails <= WRONG, p_takes <= WRONG) {
        (true, true) => (format!("{}, and {}", fails(), takes()), p_fails.min(p_takes)),
        (true, false) => (fails(), p_fails),
        (false, true) => (takes(), p_takes),
        (false, false) => (String::new(), 1.0),
    })
}
