//! Which of several findings is at the bottom: what is found deeper explains what is found above it, where both are about the
//! same requests, the same service or the same destination, at the same time.

use std::collections::BTreeSet;

use truegreen_model::diagnosis::{Cause, Related};
use truegreen_model::report::FindingReport;
use truegreen_model::time::Timestamp;

use super::nanos;

/// Findings that began further apart than this are not about the same failure: half of the longest time that a detector waits
/// before it is sure.
const APART_NANOS: u64 = 5 * 60 * 1_000_000_000;

/// How near a kind of finding is to a cause; the lower, the nearer. Kinds of the same depth explain each other by `EXPLAINS`
/// only.
fn depth(kind: &str) -> u8 {
    match kind {
        // They say why something is not seen, or comes too early or too late.
        "clock_skew" | "exporter_drops" | "broken_context" => 0,
        // They saw what was done wrong, where it was done.
        "silent_loop" | "masked_failure" | "swallowed_timeout" | "zero_rows" | "stuck_consumer" | "stalled_request"
        | "duplicate_delivery" | "lost_publish" | "skipping_consumer" | "stale_cache" | "slow_consumer" => 1,
        // They say what came of it.
        "loss"
        | "failed_without_exit"
        | "effect_missing"
        | "rejected"
        | "dead_lettered"
        | "no_reason"
        | "late"
        | "abandonment"
        | "service_silent" => 2,
        // They follow from others.
        _ => 3,
    }
}

/// Of kinds that are equally near to a cause: the first explains the second.
const EXPLAINS: [(&str, &str); 12] = [
    // What repeats without end holds up who called it, and its statements find nothing.
    ("silent_loop", "stalled_request"),
    ("silent_loop", "swallowed_timeout"),
    ("silent_loop", "zero_rows"),
    ("stalled_request", "swallowed_timeout"),
    // A message that could not be sent is not processed.
    ("masked_failure", "lost_publish"),
    // Who stopped falls behind, and what waits for it looks lost, or comes again.
    ("stuck_consumer", "slow_consumer"),
    ("stuck_consumer", "lost_publish"),
    ("stuck_consumer", "duplicate_delivery"),
    ("stuck_consumer", "skipping_consumer"),
    // Who does not take what changed goes on with what it has.
    ("skipping_consumer", "stale_cache"),
    ("lost_publish", "stale_cache"),
    ("rejected", "skipping_consumer"),
];

/// What only says that telemetry is missing explains findings about what is not seen, and no others.
fn is_about_sight(kind: &str) -> bool {
    matches!(kind, "exporter_drops" | "broken_context" | "service_silent")
}

fn follows_from_sight(kind: &str) -> bool {
    matches!(
        kind,
        "silence"
            | "unknown"
            | "counter_mismatch"
            | "edge_vanished"
            | "flow_stopped"
            | "service_silent"
            | "stuck_consumer"
    )
}

fn explains(cause: &str, symptom: &str) -> bool {
    if EXPLAINS.contains(&(symptom, cause)) {
        return false;
    }
    if is_about_sight(cause) {
        return follows_from_sight(symptom);
    }
    EXPLAINS.contains(&(cause, symptom)) || depth(cause) < depth(symptom)
}

/// What a finding is about, as far as it can have to do with another one.
pub(super) struct Subject<'f> {
    pub(super) finding: &'f FindingReport,
    /// Services that requests of it go through; of a flow's hop the one that owes the step.
    pub(super) services: BTreeSet<&'f str>,
}

impl<'f> Subject<'f> {
    fn all_services(&self) -> BTreeSet<&'f str> {
        let named = [self.finding.service.as_deref(), self.finding.peer.as_deref()];
        let owed_by = self.finding.owed_by.iter().map(String::as_str);
        named.into_iter().flatten().chain(owed_by).chain(self.services.iter().copied()).collect()
    }
}

/// How two findings are connected, if they are.
fn connected(one: &Subject<'_>, other: &Subject<'_>) -> Option<String> {
    let (a, b) = (one.finding, other.finding);
    let [since_a, since_b] = [a, b].map(|finding| nanos(&finding.onset));
    if since_a.abs_diff(since_b) > APART_NANOS {
        return None;
    }
    let shared = a.examples.iter().filter(|example| b.examples.contains(example)).count();
    if shared > 0 {
        return Some(format!("both are about the same requests ({shared} of the examples)"));
    }
    if a.subject.is_some() && a.subject == b.subject {
        return Some(format!("both are about `{}`", a.subject.as_deref().unwrap_or_default()));
    }
    let (own, others) = (one.all_services(), other.all_services());
    let common = own.intersection(&others).next()?;
    Some(format!("both are about `{common}`, and began within five minutes"))
}

/// The finding at the bottom, and all that have to do with the one that is explained.
pub(super) fn related(own: &Subject<'_>, beside: &[Subject<'_>], owing: Option<&str>) -> (Cause, Vec<Related>) {
    let mut related: Vec<(u8, u64, Related)> = Vec::new();
    let mut deepest: Option<&Subject<'_>> = None;
    for other in beside.iter().filter(|other| other.finding.id != own.finding.id) {
        let Some(why) = connected(own, other) else { continue };
        let finding = other.finding;
        let relation = if explains(&finding.kind, &own.finding.kind) {
            "cause"
        } else if explains(&own.finding.kind, &finding.kind) {
            "consequence"
        } else {
            "beside"
        };
        let is_deeper = |than: &Subject<'_>| {
            explains(&finding.kind, &than.finding.kind)
                || (depth(&finding.kind) == depth(&than.finding.kind)
                    && !explains(&than.finding.kind, &finding.kind)
                    && nanos(&finding.onset) < nanos(&than.finding.onset))
        };
        if relation == "cause" && deepest.is_none_or(is_deeper) {
            deepest = Some(other);
        }
        let of = Related {
            finding: finding.id.clone(),
            kind: finding.kind.clone(),
            relation: relation.to_owned(),
            why,
            title: finding.title.clone(),
        };
        let place = match relation {
            "cause" => 0,
            "consequence" => 1,
            _ => 2,
        };
        related.push((place, nanos(&finding.onset), of));
    }
    related.sort_by(|a, b| (a.0, a.1, &a.2.finding).cmp(&(b.0, b.1, &b.2.finding)));
    let bottom = deepest.unwrap_or(own).finding;
    let owing = owing.filter(|_| deepest.is_none()).map(str::to_owned);
    let cause = Cause {
        finding: bottom.id.clone(),
        kind: bottom.kind.clone(),
        service: bottom.service.clone().or(owing).or_else(|| only(&bottom.owed_by)),
        operation: bottom.operation.clone(),
        after: bottom.after.clone(),
        before: bottom.before.clone(),
        says: bottom.title.clone(),
    };
    (cause, related.into_iter().map(|(.., related)| related).collect())
}

/// The one there is.
fn only(services: &[String]) -> Option<String> {
    if let [one] = services { Some(one.clone()) } else { None }
}

/// Whether findings of this kind saw themselves what was done wrong.
pub(super) fn saw_it(kind: &str) -> bool {
    depth(kind) <= 1
}

/// Of all findings that are open, those at the bottom first: those that explain most others and are explained by none, the
/// earliest first.
pub fn causes(findings: &[FindingReport]) -> Vec<&FindingReport> {
    let subjects: Vec<Subject<'_>> =
        findings.iter().map(|finding| Subject { finding, services: BTreeSet::new() }).collect();
    let counted = subjects.iter().map(|own| {
        let count = |holds: &dyn Fn(&str) -> bool| {
            let others = subjects.iter().filter(|other| other.finding.id != own.finding.id);
            others.filter(|other| holds(&other.finding.kind) && connected(own, other).is_some()).count()
        };
        let explained = count(&|other| explains(other, &own.finding.kind));
        let explaining = count(&|other| explains(&own.finding.kind, other));
        (explained, std::cmp::Reverse(explaining), depth(&own.finding.kind), nanos(&own.finding.onset), own.finding)
    });
    let mut ranked: Vec<_> = counted.collect();
    ranked.sort_by(|a, b| (a.0, a.1, a.2, a.3, &a.4.id).cmp(&(b.0, b.1, b.2, b.3, &b.4.id)));
    ranked.into_iter().map(|(.., finding)| finding).collect()
}

/// When something began.
pub(super) fn time(text: &str) -> Timestamp {
    Timestamp(nanos(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: &str, kind: &str, service: &str, minute: u32) -> FindingReport {
        FindingReport {
            id: id.to_owned(),
            kind: kind.to_owned(),
            service: (!service.is_empty()).then(|| service.to_owned()),
            onset: format!("2026-01-01T00:{minute:02}:00Z"),
            title: format!("{kind} of {service}"),
            ..FindingReport::default()
        }
    }

    #[test]
    fn what_was_seen_deeper_explains_what_came_of_it() {
        let own = finding("a", "loss", "", 3);
        let beside = [finding("b", "zero_rows", "inventory", 2), finding("c", "lying_health", "inventory", 4)];
        let services = BTreeSet::from(["inventory"]);
        let own = Subject { finding: &own, services: services.clone() };
        let beside: Vec<Subject<'_>> =
            beside.iter().map(|finding| Subject { finding, services: BTreeSet::new() }).collect();
        let (cause, related) = related(&own, &beside, Some("inventory"));
        assert_eq!((cause.kind.as_str(), cause.service.as_deref()), ("zero_rows", Some("inventory")));
        let relations: Vec<_> = related.iter().map(|one| (one.kind.as_str(), one.relation.as_str())).collect();
        assert_eq!(relations, [("zero_rows", "cause"), ("lying_health", "consequence")]);
    }

    #[test]
    fn what_is_elsewhere_or_at_another_time_has_nothing_to_do_with_it() {
        let own = finding("a", "loss", "inventory", 30);
        let beside = [finding("b", "zero_rows", "payments", 30), finding("c", "zero_rows", "inventory", 2)];
        let own = Subject { finding: &own, services: BTreeSet::new() };
        let beside: Vec<Subject<'_>> =
            beside.iter().map(|finding| Subject { finding, services: BTreeSet::new() }).collect();
        let (cause, related) = related(&own, &beside, None);
        assert_eq!((cause.finding.as_str(), related.len()), ("a", 0));
    }

    #[test]
    fn lost_telemetry_explains_what_is_not_seen_and_no_loss() {
        assert!(explains("exporter_drops", "unknown") && !explains("exporter_drops", "zero_rows"));
        assert!(explains("silent_loop", "stalled_request") && !explains("stalled_request", "silent_loop"));
        let all = [finding("a", "unknown", "inventory", 3), finding("b", "exporter_drops", "inventory", 3)];
        assert_eq!(causes(&all).first().map(|first| first.id.as_str()), Some("b"));
    }
}
