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
