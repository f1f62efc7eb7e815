//! The engine's word against the reference's.

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;

use crate::reference::ruling::{Judged, Ruling};
use crate::reference::{Reference, books};
use crate::run::{Run, Standing, offset};

/// The engine examines what is due about once a second.
const POLL: Duration = Duration::from_secs(2);
/// A wait that was paused by a gap of intake ends when its instances are heard again, a lag later or not.
const PAUSE: Duration = Duration::from_secs(20);

/// Every difference, in words. `quiet`: nothing was due for long, so that everything must be decided alike.
pub fn differences(run: &Run, reference: &Reference, flows: &[Flow], now: Timestamp, quiet: bool) -> Vec<String> {
    let judged = reference.judge(now);
    let standings = run.standings();
    let mut differences = Vec::new();
    let mut theirs: BTreeMap<(&str, &str), Vec<&Standing>> = BTreeMap::new();
    for standing in &standings {
        theirs.entry((&standing.flow, &standing.key)).or_default().push(standing);
    }
    let mut ours: BTreeMap<(&str, &str), Vec<&Judged>> = BTreeMap::new();
    for journey in &judged {
        ours.entry((&journey.flow, &journey.key)).or_default().push(journey);
    }
    for (key, standings) in &theirs {
        if !ours.contains_key(key) {
            differences.push(format!("{key:?} is in the engine's books only: {standings:?}"));
        }
    }
    for (key, journeys) in &ours {
        let standings = theirs.get(key).map(Vec::as_slice).unwrap_or_default();
        if standings.len() != journeys.len() {
            differences.push(format!("{key:?}: reference {journeys:?}, engine {standings:?}"));
            continue;
        }
        for (journey, standing) in journeys.iter().zip(standings) {
            if !agrees(journey, standing, flows, reference, quiet) {
                differences.push(format!(
                    "at {}: {} {} entered {}: reference {:?} (or {:?}) after {:?}; engine {} {:?} after {:?} entered {}",
                    offset(now),
                    journey.flow,
                    journey.key,
                    offset(journey.entered_at),
                    journey.ruling,
                    journey.or_else,
                    after(journey, flows),
                    standing.verdict,
                    standing.reason,
                    standing.after,
                    offset(standing.entered_at),
                ));
            }
        }
    }
    if quiet {
        differences.extend(books_differ(run, &judged));
    }
    differences
}

fn agrees(journey: &Judged, standing: &Standing, flows: &[Flow], reference: &Reference, quiet: bool) -> bool {
    let by_answers = (journey.confirmed, standing.confirmed);
    if journey.entered_at != standing.entered_at || (quiet && by_answers.0 != by_answers.1) {
        return false;
    }
    let says = |ruling: &Ruling| {
        let (verdict, reason) = ruling.in_report();
        standing.verdict == verdict && (reason.is_none() || standing.reason == reason)
    };
    let names_hop = journey.hop.is_none() || standing.verdict == "open" || after(journey, flows) == standing.after;
    if says(&journey.ruling) || journey.or_else.iter().any(says) {
        return names_hop;
    }
    !quiet && (was_open(journey, standing, reference) || waits_for_a_tick(journey, reference, says))
}

/// What was not decided a moment ago may still be open.
fn was_open(journey: &Judged, standing: &Standing, reference: &Reference) -> bool {
    let is_gap = journey.ruling == Ruling::Unknown(truegreen_model::verdict::Why::IntakeGap);
    let within = if is_gap { PAUSE } else { POLL };
    let was_open =
        |ago| stood(journey, reference, journey.judged_at - ago).is_some_and(|ruling| ruling == Ruling::Open);
    standing.verdict == "open" && (was_open(within) || was_open(POLL))
}

/// Whether a clock explains a step past its deadline, and whether a missing one means anything, is said on the next
/// tick. Until then stands what stood when the last of it came.
fn waits_for_a_tick(journey: &Judged, reference: &Reference, says: impl Fn(&Ruling) -> bool) -> bool {
    if journey.hop.is_none() && journey.ruling != Ruling::Late {
        return false;
    }
    let mut lately = journey.received.iter().filter(|at| journey.judged_at.since(**at) <= POLL);
    lately.any(|at| match stood(journey, reference, *at - Duration::from_nanos(1)) {
        Some(ruling) => says(&ruling),
        None => says(&Ruling::Open),
    })
}

/// How the reference saw the journey then, if it did.
fn stood(journey: &Judged, reference: &Reference, then: Timestamp) -> Option<Ruling> {
    let of = |one: &Judged| (one.flow.clone(), one.key.clone(), one.entered_at);
    reference.judge(then).into_iter().find(|one| of(one) == of(journey)).map(|one| one.ruling)
}

fn after(journey: &Judged, flows: &[Flow]) -> Option<String> {
    let flow = flows.iter().find(|flow| flow.name == journey.flow)?;
    let hop = journey.hop?;
    flow.steps.get(usize::from(hop.after.0)).map(|step| step.name.clone())
}

/// Lines of the books that differ, save where a verdict lies on a knife's edge.
fn books_differ(run: &Run, judged: &[Judged]) -> Vec<String> {
    let ours = books::books(judged);
    let theirs = run.books();
    let mut differences = Vec::new();
    let lines: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for line in lines {
        let (flow, minute) = line;
        if ours.get(line) != theirs.get(line) && !books::on_edge(judged, flow, *minute) {
            differences.push(format!(
                "books of {flow} at {}: reference {:?}, engine {:?}",
                offset(minute.start()),
                ours.get(line),
                theirs.get(line)
            ));
        }
    }
    differences
}
