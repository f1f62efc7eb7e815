//! What nobody reported, seen in the telemetry itself.
//!
//! `sights`: what came, and what is gone; `requests` and `calls`: how much is asked for, and how services answer one another, on
//! `stretches`; `traffic`: how many journeys enter, by the books; `shift`: whether that is more or less than before.

mod calls;
mod requests;
mod shift;
mod sights;
mod stretches;
mod traffic;

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;

use self::requests::Requests;
use self::sights::Sights;
use self::stretches::Stretches;
pub use self::traffic::{is_counted, traffic};
use super::incident::EdgeEffect;
use crate::explain::recording::Recording;

/// What was less surely not there before is not told: one in a hundred.
const SURE: f64 = 0.99;
/// Of all that is tested of one kind, one in a hundred is told by chance.
const WRONG: f64 = 0.01;
/// A roll-out may begin so long before it is reported, by other clocks.
const BEFORE_TOLD: Duration = Duration::from_secs(120);
/// Where it is not told how long a roll-out took, it is done by then.
const ROLLED_OUT: Duration = Duration::from_secs(10 * 60);
/// Most changes that are told; those that came first.
const MOST: usize = 100;

/// What shows in all of the telemetry of a time.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ReadOff {
    /// What came: a version, image, host, instance, flag's variant, address or called service; instances and hosts that are
    /// gone; another mix of requests.
    pub changes: Vec<Change>,
    /// Requests that became more or fewer.
    pub shifts: Vec<Change>,
    /// Whether it is long enough for that to show.
    pub counts_requests: bool,
    /// Services that are no longer called: this follows from what was changed, or from what went wrong.
    pub effects: Vec<Change>,
    /// How calls between services go.
    pub calls: Vec<EdgeEffect>,
}

/// What shows in a recording that holds everything of some time around the onset. How sure it is that something was not there
/// before (or is gone) stands in the attribute `sure`, 0 to 1: the recording begins somewhere, and what is rare may have been
/// missed. What is seen from the very beginning is no change.
pub fn read_off(recording: &Recording, onset: Timestamp) -> ReadOff {
    let sights = Sights::of(recording);
    let (effects, gone) = sights.gone().into_iter().partition(|change| change.kind == ChangeKind::Dependency);
    let mut read = ReadOff { changes: sights.first(), effects, ..ReadOff::default() };
    read.changes.extend(gone);
    if let Some(stretches) = Stretches::of(recording) {
        let requests = Requests::of(recording, &stretches);
        read.changes.extend(requests.mix(onset));
        read.shifts = requests.shifts();
        read.counts_requests = true;
        read.calls = calls::calls(recording, &stretches);
    }
    let in_order = |changes: &mut Vec<Change>| {
        changes.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.id.cmp(&b.id)));
        changes.truncate(MOST);
    };
    [&mut read.changes, &mut read.effects, &mut read.shifts].into_iter().for_each(in_order);
    read
}

/// What came, by a recording that holds some requests only, as those that failed and some that did not: how often something is
/// seen in it says nothing, that it was not there before does.
pub fn first_sights(recording: &Recording) -> Vec<Change> {
    let mut changes = Sights::of(recording).first();
    changes.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.id.cmp(&b.id)));
    changes.truncate(MOST);
    changes
}

/// Those of `seen` that no reported change brought: a release shows by its version and its instances, and a setting by the
/// instances that were started with it.
pub fn unreported(seen: Vec<Change>, reported: &[Change]) -> Vec<Change> {
    let brought = |seen: &Change, reported: &Change| {
        let until = reported.until.unwrap_or(reported.at).max(reported.at);
        let is_then = seen.at + BEFORE_TOLD >= reported.at && seen.at <= until + ROLLED_OUT;
        let is_same = seen.version.is_some() && seen.version == reported.version;
        seen.service == reported.service && (is_then || is_same)
    };
    seen.into_iter().filter(|seen| !reported.iter().any(|reported| brought(seen, reported))).collect()
}

/// How sure a change that was read off is.
pub fn sure(change: &Change) -> f64 {
    change.attributes.get("sure").and_then(|text| text.parse().ok()).unwrap_or(1.0)
}

fn seen(kind: ChangeKind, at: u64, service: Option<&str>, title: String, sure: f64) -> Change {
    let attributes = BTreeMap::from([("sure".to_owned(), format!("{sure:.4}"))]);
    Change {
        id: format!("seen/{title}"),
        at: Timestamp(at),
        kind,
        title,
        service: service.map(str::to_owned),
        source: "telemetry".to_owned(),
        attributes,
        ..Change::default()
    }
}
