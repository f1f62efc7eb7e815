//! Findings of what was learned, as `audit` prints them.

use truegreen_model::report::FindingReport;

use super::alarms::Opened;
use super::check::Cause;
use super::model::{LearnedFlow, Model};
use super::vocabulary::ActivityId;
use crate::date::{clock, rfc3339};
use crate::matcher::key::{hash, mix};

pub(super) fn report(
    model: &Model,
    flow: &LearnedFlow,
    cause: Cause,
    opened: &Opened,
    ordinal: usize,
) -> FindingReport {
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
        "silence" => format!("{n} {journeys} cannot be judged in `{name}` {hop}: {}", unseen(run.reason)),
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

/// Why what is missing proves nothing, as people read it.
fn unseen(reason: &str) -> &'static str {
    match reason {
        "telemetry_lost" => "who owes it loses a part of its telemetry",
        "sampled" => "who owes it keeps only a sample of its traces",
        "signal_silent" => "the signal that would show it fell silent, or its context is not handed on",
        _ => "who owes it is not heard",
    }
}
