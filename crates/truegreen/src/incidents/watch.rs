//! Whether the cause of a closed incident is still gone. Pure: what is known comes in, a sentence comes out.

use serde_json::Value;
use truegreen_model::incident::{Incident, Relation};
use truegreen_model::report::FindingReport;

use super::signature::{likeness, signature};
use crate::lookup::when;

/// What was under way when an incident was closed may be found so much later. Only for findings that are about no single
/// requests: of those, when each began is known.
const GRACE_NANOS: u64 = 10 * 60 * 1_000_000_000;

/// What is known of when the single requests of a finding began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Newest {
    /// It is about no single requests.
    None,
    /// The newest that fails began then, in RFC 3339.
    Began(String),
}

/// Whether this finding may be what the incident is watched for: the same signature, and found since it was closed. With its
/// diagnosis also by what its failing ones have in common: where others fail it is another one.
pub(crate) fn concerns(incident: &Incident, finding: &FindingReport, diagnosis: Option<&Value>) -> bool {
    let Some(since) = incident.watched_since.as_deref().and_then(when::nanos) else { return false };
    let is_same = likeness(&incident.signature, &signature(finding, diagnosis)).map(|like| like.relation);
    let found_since = when::nanos(&finding.last_seen).is_some_and(|last| last > since);
    is_same == Some(Relation::Same) && found_since && finding.status != "withdrawn"
}

/// Why the incident is open again; nothing while what was found can all be from before it was closed.
pub(crate) fn came_back(
    incident: &Incident,
    finding: &FindingReport,
    diagnosis: Option<&Value>,
    newest: &Newest,
) -> Option<String> {
    let is_it = concerns(incident, finding, diagnosis);
    let since = incident.watched_since.as_deref().and_then(when::nanos).filter(|_| is_it)?;
    let after = |rfc3339: &str, grace: u64| {
        when::nanos(rfc3339).is_some_and(|at| at > since.saturating_add(grace)).then(|| when::stamp(rfc3339))
    };
    let began = match newest {
        _ if after(&finding.onset, 0).is_some() => after(&finding.onset, 0)?,
        Newest::Began(at) => after(at, 0)?,
        Newest::None => after(&finding.last_seen, GRACE_NANOS)?,
    };
    let closed = when::stamp(incident.watched_since.as_deref().unwrap_or_default());
    Some(format!(
        "it came back: finding {} ({}) has what began at {began}, after it was closed as fixed at {closed}",
        finding.id, finding.title
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(clock: &str) -> String {
        format!("2026-01-01T{clock}Z")
    }

    fn finding(onset: &str, last_seen: &str) -> FindingReport {
        FindingReport {
            id: "00000000000000aa".to_owned(),
            kind: "loss".to_owned(),
            flow: "orders".to_owned(),
            onset: at(onset),
            last_seen: at(last_seen),
            status: "open".to_owned(),
            ..FindingReport::default()
        }
    }

    fn fixed() -> Incident {
        let signature = signature(&finding("09:00:00", "09:30:00"), None);
        Incident { signature, watched_since: Some(at("10:00:00")), ..Incident::default() }
    }

    #[test]
    fn what_began_after_the_fix_opens_it_again() {
        let newest = |clock: &str| Newest::Began(at(clock));
        let back = |onset: &str, last: &str, newest: Newest| {
            came_back(&fixed(), &finding(onset, last), None, &newest).is_some()
        };
        assert!(back("10:00:00.5", "10:02:00", Newest::None), "a fraction later is later");
        assert!(back("09:00:00", "11:00:00", newest("10:30:00")), "the same finding goes on");
        assert!(!back("09:00:00", "11:00:00", newest("09:59:59")), "under way when it was fixed, and found later");
        assert!(!back("09:00:00", "10:09:00", Newest::None));
        assert!(back("09:00:00", "10:11:00", Newest::None));
    }

    #[test]
    fn what_is_unlike_or_not_watched_stays_closed() {
        let newest = Newest::None;
        let later = finding("10:30:00", "10:40:00");
        assert!(came_back(&fixed(), &later, None, &newest).is_some());
        let other = FindingReport { kind: "silence".to_owned(), ..later.clone() };
        assert_eq!(came_back(&fixed(), &other, None, &newest), None);
        let withdrawn = FindingReport { status: "withdrawn".to_owned(), ..later.clone() };
        assert_eq!(came_back(&fixed(), &withdrawn, None, &newest), None);
        let patched = Incident { watched_since: None, ..fixed() };
        assert_eq!(came_back(&patched, &later, None, &newest), None);
    }

    #[test]
    fn where_others_fail_it_did_not_come_back() {
        let failing = |value: &str| {
            let condition = serde_json::json!({"attribute": "event.type", "op": "=", "value": value});
            serde_json::json!({"difference": {"explanations": [{"conditions": [condition]}]}})
        };
        let signature = signature(&finding("09:00:00", "09:30:00"), Some(&failing("backorder")));
        let fixed = Incident { signature, ..fixed() };
        let later = finding("10:30:00", "10:40:00");
        let back = |diagnosis: Option<&Value>| came_back(&fixed, &later, diagnosis, &Newest::None).is_some();
        assert!(back(None) && back(Some(&failing("backorder"))), "what is not known contradicts nothing");
        assert!(!back(Some(&failing("gift"))));
    }
}
