//! Changes that nobody reported, seen in the telemetry itself.

mod behaviour;
mod sights;
mod traffic;

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;

use self::sights::Sights;
pub use self::traffic::{is_counted, traffic};
use crate::explain::recording::Recording;

/// What was less surely not there before is not told: one in a hundred.
const SURE: f64 = 0.99;
/// A roll-out may begin so long before it is reported, by other clocks.
const BEFORE_TOLD: Duration = Duration::from_secs(120);
/// Where it is not told how long a roll-out took, it is done by then.
const ROLLED_OUT: Duration = Duration::from_secs(10 * 60);
/// Most changes that are told of one kind; those that are surest.
const MOST: usize = 100;

/// Changes that show in what was recorded: the first sight of a version, image, host, instance, flag's variant, address or
/// called service; what was seen no more; traffic that shifted; calls that went worse. `onset` is when what is to be explained
/// began: mixes of traffic are compared before and after it. How sure it is that something was not there before (or is gone)
/// stands in the attribute `sure`, 0 to 1: the recording begins somewhere, and what is rare may have been missed. What is seen
/// from the very beginning is no change.
pub fn read_off(recording: &Recording, onset: Timestamp) -> Vec<Change> {
    let mut changes = Sights::of(recording).changes();
    changes.extend(behaviour::changes(recording, onset));
    let mut kept: BTreeMap<ChangeKind, usize> = BTreeMap::new();
    changes.sort_by(|a, b| sure(b).total_cmp(&sure(a)).then(a.at.cmp(&b.at)).then_with(|| a.id.cmp(&b.id)));
    changes.retain(|change| {
        let count = kept.entry(change.kind).or_default();
        *count += 1;
        *count <= MOST
    });
    changes.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.id.cmp(&b.id)));
    changes
}

/// The same of a recording that holds some requests only, as those that failed and some that did not: how often something is
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
