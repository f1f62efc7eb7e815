//! What speaks for and against a change, in sentences.

use std::time::Duration;

use truegreen_model::time::{Minute, Timestamp};

use super::edges::Metric;
use super::effect::Seen;
use super::step::Step;
use crate::date::clock;

/// The time of day of a minute.
pub(super) fn at(minute: i64) -> String {
    let text = clock(start(minute));
    text.get(..5).unwrap_or(&text).to_owned()
}

pub(super) fn start(minute: i64) -> Timestamp {
    Minute(u64::try_from(minute).unwrap_or(0)).start()
}

pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent >= 9.95 { format!("{percent:.0} %") } else { format!("{percent:.1} %") }
}

pub(super) fn probability(p: f64) -> String {
    if p < 1e-9 {
        "p below 1e-9".to_owned()
    } else if p < 0.001 {
        format!("p = {p:.0e}")
    } else {
        format!("p = {p:.3}")
    }
}

fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

fn who_calls(source: &str) -> String {
    if source.is_empty() { String::new() } else { format!(" from {source}") }
}

/// How long a change was before the onset, or after it.
pub(super) fn of_time(change: Timestamp, onset: i64) -> String {
    let began = at(onset);
    let onset = start(onset) + Duration::from_secs(30);
    let lag = onset.0.abs_diff(change.0) / 60_000_000_000;
    match (change <= onset, lag) {
        (_, 0 | 1) => format!("it began as the degradation did, at {began}"),
        (true, 2..=180) => format!("it began {lag} minutes before the degradation, which began at {began}"),
        (true, _) => format!("it began {} hours before the degradation, which began at {began}", lag.div_euclid(60)),
        (false, 2..=180) => {
            format!("it began {lag} minutes after the degradation, which began at {began}: too late to cause it")
        }
        (false, _) => format!("it began {} hours after the degradation: too late to cause it", lag.div_euclid(60)),
    }
}

fn rose(metric: Metric, step: &Step) -> String {
    let (before, after) = (metric.shown(step.before), metric.shown(step.after));
    match metric {
        Metric::Failures => {
            format!("fail {} of the time since {}, and {} before", percent(after), at(step.at), percent(before))
        }
        Metric::Latency => format!("take {} since {}, and {} before", number(after), at(step.at), number(before)),
    }
}

/// How changed instances do against before.
pub(super) fn against_before(service: &str, seen: &Seen, step: &Step, p: f64) -> String {
    format!("calls{} to {service} {} ({})", who_calls(&seen.source), rose(seen.metric, step), probability(p))
}

pub(super) fn of_edge(source: &str, target: &str, metric: Metric, step: &Step) -> String {
    format!("calls{} to {target} {} ({})", who_calls(source), rose(metric, step), probability(step.p))
}

/// How changed instances do against the others.
pub(super) fn against_others(seen: &Seen, step: &Step, counts: (usize, usize), p: f64) -> String {
    let (changed, others) = counts;
    let by = match seen.metric {
        Metric::Failures => format!("fail {} of calls more than", percent(step.rise().max(0.0))),
        Metric::Latency => format!("take {:.1} times as long as", step.rise().exp()),
    };
    if others == 0 {
        return format!("instances {by} those that were not changed yet at the same time ({})", probability(p));
    }
    format!("its {changed} changed instances {by} the {others} that were not changed ({})", probability(p))
}

/// A change of all of them does not tell some of them apart.
pub(super) fn only_some(service: &str) -> String {
    format!("only some instances of {service} are worse, and those were changed otherwise")
}

/// They may be worse, or not.
pub(super) fn hardly_apart(counts: (usize, usize)) -> String {
    format!("whether its {} changed instances are worse than the {} others cannot be told for sure", counts.0, counts.1)
}

/// The others are as bad.
pub(super) fn as_bad(counts: (usize, usize)) -> String {
    let (changed, others) = counts;
    format!(
        "its {changed} changed instances are no worse than the {others} that were not changed, so it is not the change"
    )
}

/// Nothing went worse.
pub(super) fn as_before(service: &str) -> String {
    format!("calls to {service} go as well as before, although worse would be seen")
}

/// Nothing can be told.
pub(super) fn too_noisy(service: &str) -> String {
    format!(
        "calls to {service} are too few, or wander too much, to tell whether they go worse; unknown is no innocence"
    )
}

/// Nothing is there.
pub(super) fn not_seen(what: &str) -> String {
    format!("the data shows no calls to {what} around that time; unknown is no innocence")
}

pub(super) fn explained_by(service: &str, share: f64, callee: &str) -> String {
    format!(
        "{} of it is explained by {callee}, which {service} calls: failures and latency spread from who is called to who calls",
        percent(share)
    )
}

pub(super) fn starts_here(service: &str) -> String {
    format!("nothing that {service} calls explains it: it starts here")
}

pub(super) fn reach(share: f64, service: &str) -> String {
    format!("{} of all that degraded calls {service}, directly or by way of others, or is called by it", percent(share))
}

pub(super) fn one_caller(all: usize, degraded: usize, service: &str) -> String {
    format!("only {degraded} of {all} callers see {service} degraded")
}

pub(super) fn own_calls(service: &str, target: &str) -> String {
    format!("{service} alone has trouble calling {target}; others call it well")
}
