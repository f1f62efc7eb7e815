//! Changes that nobody reported, seen in the telemetry itself.

mod behaviour;
mod sights;

use std::collections::BTreeMap;

use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;

use self::sights::Sights;
use crate::explain::recording::Recording;

/// What was less surely not there before is not told: one in a hundred.
const SURE: f64 = 0.99;
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
