//! Clocks that were found to be wrong. How they are found is not the reference's concern: it is told of each correction,
//! and since when it holds.

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::time::Timestamp;

use super::fact::Sighting;

/// So long it may take until it is noticed that a clock was set.
const NOTICED: Duration = Duration::from_secs(120);

/// What is received of this instance from then on is corrected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Correction {
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`.
    pub instance: String,
    /// Since when.
    pub from: Timestamp,
    /// By how much its clock is ahead of that of the others, negative where it is behind; zero where it is right again.
    pub ahead_nanos: i64,
    /// By how much that may be wrong.
    pub error: Duration,
}

/// What is in force for an instance then.
pub(super) fn in_force<'c>(
    corrections: &'c [Correction],
    (service, instance): (&str, &str),
    then: Timestamp,
) -> Option<&'c Correction> {
    let mut of = corrections.iter().filter(|one| (&*one.service, &*one.instance) == (service, instance));
    of.rfind(|one| one.from <= then)
}

/// By how much the times of all these together may be wrong: for each instance by the most.
pub(super) fn doubt<'s>(corrections: &[&Correction], sightings: impl Iterator<Item = &'s Sighting>) -> Duration {
    let mut doubts: BTreeMap<(&str, &str), Duration> = BTreeMap::new();
    for sighting in sightings {
        let of = (&*sighting.service, &*sighting.instance);
        let mine: Vec<&&Correction> = corrections.iter().filter(|one| (&*one.service, &*one.instance) == of).collect();
        let most = doubts.entry(of).or_default();
        *most = doubt_of(&mine, sighting.at).max(*most);
    }
    doubts.values().sum()
}

/// About a change by what it changed, afterwards by what the correction may be wrong by.
fn doubt_of(corrections: &[&&Correction], at: Timestamp) -> Duration {
    let mut doubt = Duration::ZERO;
    for (index, one) in corrections.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| corrections[before]);
        let leap = Duration::from_nanos(one.ahead_nanos.abs_diff(before.map_or(0, |before| before.ahead_nanos)));
        if at + leap + NOTICED >= one.from && at <= one.from + leap {
            let error = before.filter(|before| at >= before.from).map_or(Duration::ZERO, |before| before.error);
            doubt = doubt.max(leap + error.max(one.error));
        }
    }
    let in_force = corrections.iter().rfind(|one| one.from <= at);
    in_force.map_or(doubt, |one| doubt.max(one.error))
}
