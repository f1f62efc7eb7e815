//! What is not seen, or not told rightly, on the way of such requests, and may as well hide the cause.

use std::collections::BTreeSet;
use std::time::Duration;

use truegreen_model::map::{ArrowKind, BlindSpot};
use truegreen_model::report::FindingReport;
use truegreen_model::surroundings::Surroundings;
use truegreen_model::time::Timestamp;

use super::super::nanos;
use crate::date::clock;

/// Ways in which a request is out of sight between two places: what happens there may be the cause as well.
const OUT_OF_SIGHT: [&str; 2] = ["not_reporting", "lost_publish"];
/// Kinds of findings that say that telemetry of a place is missing.
const LOST_SIGHT: [&str; 3] = ["exporter_drops", "broken_context", "service_silent"];
/// As long as coverage waits before it takes a service for silent.
const SILENT_AFTER: Duration = Duration::from_secs(120);
/// Clocks that differ by less order no two requests wrongly that people look at.
const CLOCK_SECONDS: f64 = 0.25;
/// Told at most: who reads more than a few at night reads none.
const TOLD: usize = 8;

/// What limits a diagnosis.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Limits {
    /// A sentence each, those at the place itself first.
    pub(super) says: Vec<String>,
    /// The first about the place where it is taken to fail, if any: then it may as well be beside it.
    pub(super) at_place: Option<String>,
}

/// What is asked about.
pub(super) struct Asked<'a> {
    /// Services that requests go through.
    pub(super) path: &'a [String],
    /// Where it is taken to fail.
    pub(super) place: Option<&'a str>,
    pub(super) beside: &'a [FindingReport],
    /// Systems on the way that could not be asked.
    pub(super) unanswered: &'a [String],
    pub(super) now: Timestamp,
}

pub(super) fn limits(around: &Surroundings, asked: &Asked<'_>) -> Limits {
    let mut at_place: Vec<String> = Vec::new();
    let mut elsewhere: Vec<String> = Vec::new();
    let mut note = |is_at_place: bool, says: String| {
        let of = if is_at_place { &mut at_place } else { &mut elsewhere };
        if !of.contains(&says) {
            of.push(says);
        }
    };
    let on_path: BTreeSet<&str> = asked.path.iter().map(String::as_str).chain(asked.place).collect();
    let is_place = |service: &str| asked.place == Some(service);
    for (spot, is_at_place) in out_of_sight(&around.blind_spots, &on_path, asked.place) {
        let (from, to, by) = (&spot.from, &spot.to, &spot.by);
        note(is_at_place, format!("between `{from}` and `{to}` nothing is seen, so it may as well be there: {by}"));
    }
    for service in around.services.iter().filter(|service| on_path.contains(service.service.as_str())) {
        let name = &service.service;
        if service.sampled.is_some() {
            let why = "what is missing may merely not be in it";
            note(is_place(name), format!("`{name}` keeps only a sample of its traces: {why}"));
        }
        let last = nanos(&service.last_heard);
        if asked.now.0.saturating_sub(last) > SILENT_AFTER.as_nanos() as u64 {
            let since = clock(Timestamp(last));
            note(is_place(name), format!("nothing was heard of `{name}` since {since} UTC: what it does is not seen"));
        }
    }
    let standing = asked.beside.iter().filter(|finding| matches!(finding.status.as_str(), "open" | "quiet"));
    for finding in standing.filter(|finding| LOST_SIGHT.contains(&finding.kind.as_str())) {
        if let Some(service) = finding.service.as_deref().filter(|service| on_path.contains(service)) {
            note(is_place(service), format!("telemetry of `{service}` is missing: {}", finding.title));
        }
    }
    let first = at_place.first().cloned();
    let mut says = at_place;
    says.extend(elsewhere);
    says.extend(asked.unanswered.iter().cloned());
    says.extend(clocks(around, &on_path));
    says.truncate(TOLD);
    Limits { says, at_place: first }
}

/// Arrows of the way on which nothing is seen, and whether they lead to or from the place.
fn out_of_sight<'s>(
    spots: &'s [BlindSpot],
    on_path: &BTreeSet<&str>,
    place: Option<&str>,
) -> Vec<(&'s BlindSpot, bool)> {
    // What is published there is processed at the place.
    let towards: BTreeSet<&str> = spots
        .iter()
        .filter(|spot| spot.kind == ArrowKind::Process && place == Some(spot.to.as_str()))
        .map(|spot| spot.from.as_str())
        .collect();
    let hidden = spots.iter().filter(|spot| !spot.is_seen && OUT_OF_SIGHT.contains(&spot.way.as_str()));
    let on_way = hidden.filter(|spot| on_path.contains(spot.from.as_str()));
    on_way
        .map(|spot| {
            let is_at = place == Some(spot.from.as_str()) || place == Some(spot.to.as_str());
            (spot, is_at || towards.contains(spot.to.as_str()))
        })
        .collect()
}

fn clocks(around: &Surroundings, on_path: &BTreeSet<&str>) -> Vec<String> {
    let is_wrong = |ahead: f64, error: f64| ahead.abs() > CLOCK_SECONDS.max(error);
    let wrong = around
        .clocks
        .iter()
        .filter(|clock| on_path.contains(clock.service.as_str()) && is_wrong(clock.ahead_seconds, clock.error_seconds));
    wrong
        .map(|clock| {
            let which = if clock.ahead_seconds > 0.0 { "ahead" } else { "behind" };
            format!(
                "the clock of `{}` ({}) is {:.1} s {which}, give or take {:.1} s: what came first around it is not sure",
                clock.service,
                clock.instance,
                clock.ahead_seconds.abs(),
                clock.error_seconds
            )
        })
        .collect()
}
