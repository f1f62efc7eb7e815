//! Where it goes wrong, as far as the finding at the bottom tells, and on the way to where.

use truegreen_model::diagnosis::Cause;
use truegreen_model::finding::FindingKind;
use truegreen_model::report::FindingReport;

use crate::explain::changes::incident::EdgeEffect;

/// A finding is there: by chance alone one in so many is.
const FOUND: f64 = 0.001;

/// What changes are held against.
pub(super) struct Places {
    /// Services that failing requests go through; those at which it goes wrong stand last.
    pub(super) path: Vec<String>,
    /// At which it goes wrong: of a hop both ends may be it.
    pub(super) at: Vec<String>,
    /// Instances, hosts and destinations that the finding is about.
    pub(super) about: Vec<String>,
    /// Calls that go worse.
    pub(super) edges: Vec<EdgeEffect>,
}

impl Places {
    /// Of the finding at the bottom. A suspect is where it goes wrong only where the finding names no place.
    pub(super) fn of(bottom: &FindingReport, cause: &Cause, suspect: Option<&str>, mut path: Vec<String>) -> Places {
        let is = |kind: FindingKind| bottom.kind == kind.name();
        let mut edges = Vec::new();
        let mut at: Vec<String> = cause.service.iter().cloned().collect();
        match (&cause.service, &bottom.peer) {
            // Who waits in vain suffers; who does not answer has changed.
            (Some(service), Some(peer)) if is(FindingKind::SwallowedTimeout) => {
                at = vec![peer.clone()];
                let says = format!("does not answer {service} in time ({} times)", bottom.count);
                edges.push(EdgeEffect { source: service.clone(), target: peer.clone(), says, p_value: FOUND });
            }
            // What is published twice is doubled there.
            (_, Some(peer)) if is(FindingKind::DuplicateDelivery) => at = vec![peer.clone()],
            // Context is lost at either end of a hop.
            (_, Some(peer)) if is(FindingKind::BrokenContext) => at.push(peer.clone()),
            _ => {}
        }
        if at.is_empty() {
            at.extend(suspect.map(str::to_owned));
        }
        at.sort_unstable();
        at.dedup();
        path.retain(|service| !at.contains(service));
        path.extend(at.iter().cloned());
        let of_instance = bottom.examples.iter().filter(|_| is(FindingKind::ClockSkew));
        let named = [&bottom.service, &bottom.peer, &bottom.subject].into_iter().flatten();
        Places { path, at, about: named.chain(of_instance).cloned().collect(), edges }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(kind: FindingKind, suspect: Option<&str>) -> Places {
        let bottom = FindingReport {
            kind: kind.name().to_owned(),
            service: Some("orders".to_owned()),
            peer: Some("payments".to_owned()),
            examples: vec!["instance-1".to_owned()],
            ..FindingReport::default()
        };
        let cause = Cause { service: bottom.service.clone(), ..Cause::default() };
        let path = ["gateway", "orders", "payments", "mail"].map(str::to_owned).to_vec();
        Places::of(&bottom, &cause, suspect, path)
    }

    #[test]
    fn who_does_not_answer_in_time_has_changed_and_not_who_waits() {
        let places = places(FindingKind::SwallowedTimeout, None);
        assert_eq!((places.at, places.edges.len()), (vec!["payments".to_owned()], 1));
        assert_eq!(places.path.last().map(String::as_str), Some("payments"));
    }

    #[test]
    fn context_is_lost_at_either_end_and_a_clock_is_wrong_at_its_instance() {
        assert_eq!(places(FindingKind::BrokenContext, None).at, ["orders", "payments"]);
        assert!(places(FindingKind::ClockSkew, None).about.contains(&"instance-1".to_owned()));
    }

    #[test]
    fn a_suspect_is_the_place_only_where_the_finding_names_none() {
        assert_eq!(places(FindingKind::ZeroRows, Some("gateway")).at, ["orders"]);
        let nowhere = Places::of(&FindingReport::default(), &Cause::default(), Some("gateway"), Vec::new());
        assert_eq!(nowhere.at, ["gateway"]);
    }
}
