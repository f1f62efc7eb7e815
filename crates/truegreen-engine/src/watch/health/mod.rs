//! Health that lies: health checks of a service go on to pass while requests that it serves fail of its own doing. A
//! request fails by its own word, or because something below it in the same service failed and was not made good: a
//! database that refuses, an exception. What another service failed to answer is that one's health. Each operation is held
//! against its own past, must mostly fail, and for long enough that checks which look deeper would have noticed. So must
//! journeys be lost at a step that the service owes, as the ledger finds them.

mod failing;
mod passages;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::finding::FindingKind;
use truegreen_model::flow::SpanKind;
use truegreen_model::observation::Symbol;
use truegreen_model::time::Timestamp;

use super::View;
use super::kin::is_entry;
use super::table::Table;
use crate::coverage::ServiceId;
use crate::finding::place::Place;
use crate::finding::{Example, PlaceFindings, Sign};
use crate::trace::operation::{Operation, OperationId};
use crate::trace::tree::{Parent, Tree};
use failing::Failing;
use passages::Passages;

/// Checks are given so long to notice, and must have passed so often meanwhile.
const NOTICES_WITHIN: Duration = Duration::from_secs(15);
const PASSES: u32 = 2;
/// What health checks are named, as the last part of a route, in lower case.
const CHECKS: &[&str] = &[
    "health",
    "healthz",
    "livez",
    "readyz",
    "ready",
    "live",
    "liveness",
    "readiness",
    "status",
    "ping",
    "healthcheck",
    "health_check",
    "health-check",
    "up",
    "alive",
    "heartbeat",
];

/// Health checks, and what the services that they are of do.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Health {
    served: Table<OperationId, Failing>,
    checks: Table<u32, Checks>,
    /// By the name of the service.
    passages: Table<Symbol, Passages>,
    names: CheckNames,
}

/// Which operations are health checks, worked out once of each.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct CheckNames {
    #[serde(skip)]
    by_operation: Vec<Option<bool>>,
}

impl CheckNames {
    /// Whether this is how a service is asked for its health.
    pub(super) fn names(&mut self, id: OperationId, view: &View<'_>) -> bool {
        let index = id.0 as usize;
        if index >= self.by_operation.len() {
            // There are never more than operations met.
            self.by_operation.resize(index + 1, None);
        }
        *self.by_operation[index].get_or_insert_with(|| is_check(&view.operations[id], view))
    }
}

/// The health checks of one service.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Checks {
    operation: OperationId,
    passed: Timestamp,
    failed: Timestamp,
    /// Those that passed since the last that failed, or since requests began to fail.
    passes: u32,
}

impl Health {
    pub(super) fn overflowed(&self) -> u64 {
        self.served.overflowed() + self.checks.overflowed() + self.passages.overflowed()
    }

    /// A journey that this service had to pass on ended; `lost` is the key of one that was lost here.
    pub(super) fn passed_on(&mut self, service: Symbol, lost: Option<&str>, now: Timestamp) {
        if let Some(passages) = self.passages.entry(service, Passages::default) {
            passages.ended(lost, now);
        }
    }

    /// A health check passed: whether that is so, by what becomes of journeys.
    fn look_at_passages(&mut self, checks: Checks, view: &View<'_>, findings: &mut PlaceFindings) {
        let operation = &view.operations[checks.operation];
        let Some(passages) = self.passages.get(&operation.service_name) else { return };
        let (kind, place) = (FindingKind::LyingHealth, Place::operation(operation));
        let Some((since, share, key)) = passages.lost(view.now) else {
            return findings.went_well(kind, place, 1);
        };
        let is_noticeable = checks.passed >= since + NOTICES_WITHIN && checks.failed < since;
        if !is_noticeable {
            return;
        }
        let name = view.symbols.text(operation.service_name);
        let evidence = format!("{:.0} % of the journeys that `{name}` has to pass on are lost there", 100.0 * share);
        let sign = Sign { kind, place, at: since, example: Some(Example::Named(key.to_owned())), share, evidence };
        findings.deviate(sign, view.now, view.symbols);
    }

    pub(super) fn settled(&mut self, tree: &Tree, view: &View<'_>, findings: &mut PlaceFindings) {
        for (index, span) in tree.spans.iter().enumerate() {
            let operation = &view.operations[span.operation];
            if !is_entry(operation.kind) {
                continue;
            }
            if self.names.names(span.operation, view) {
                let Some(checks) = self.checks.entry(operation.service.index(), Checks::default) else { continue };
                checks.operation = span.operation;
                if span.failed() || span.status >= 400 {
                    (checks.failed, checks.passes) = (span.received, 0);
                } else {
                    checks.passed = span.received;
                    checks.passes = checks.passes.saturating_add(1);
                    let checks = *checks;
                    self.look_at_passages(checks, view, findings);
                }
                continue;
            }
            let Some(served) = self.served.entry(span.operation, Failing::default) else { continue };
            let failure = own_failure(tree, index, operation.service, view);
            let lasted = served.since(span.received);
            let fails_as_most = served.decide(failure.is_some(), span.received);
            let since = served.since(span.received);
            let Some(checks) = self.checks.get_mut(&operation.service.index()) else { continue };
            let place = Place::operation(&view.operations[checks.operation]);
            let (Some(failure), Some(since)) = (failure.filter(|_| fails_as_most), since) else {
                let is_lost = |passages: &Passages| passages.lost(view.now).is_some();
                if since.is_none()
                    && findings.is_open(FindingKind::LyingHealth, place)
                    && !self.passages.get(&operation.service_name).is_some_and(is_lost)
                {
                    findings.went_well(FindingKind::LyingHealth, place, 1);
                }
                continue;
            };
            if lasted.is_none() {
                checks.passes = 0;
            }
            let lies = checks.passes >= PASSES && checks.passed >= since + NOTICES_WITHIN && checks.failed < since;
            if lies {
                let evidence = evidence(tree, index, failure, view);
                let sign = Sign {
                    kind: FindingKind::LyingHealth,
                    place,
                    at: span.start,
                    example: Example::of(tree.trace),
                    share: served.share(),
                    evidence,
                };
                findings.deviate(sign, view.now, view.symbols);
            }
        }
    }
}

fn is_check(operation: &Operation, view: &View<'_>) -> bool {
    let name = view.symbols.text(operation.name);
    if operation.kind != SpanKind::Server {
        return false;
    }
    if name.starts_with("grpc.health.v1.Health/") {
        return true;
    }
    let last = name.trim_end_matches('/').rsplit(['/', ' ']).next().unwrap_or_default();
    CHECKS.iter().any(|check| last.eq_ignore_ascii_case(check))
}

/// The span of the same service by which a request failed of its own doing.
fn own_failure(tree: &Tree, request: usize, service: ServiceId, view: &View<'_>) -> Option<usize> {
    let mut below: SmallVec<[usize; 8]> = SmallVec::new();
    let mut failed = None;
    let mut others_fault = false;
    let mut next = Some(request);
    while let Some(at) = next {
        let span = &tree.spans[at];
        let operation = &view.operations[span.operation];
        let is_call = operation.kind == SpanKind::Client && operation.system.is_none();
        if at != request && span.failed() && !is_made_good(tree, at) {
            others_fault |= is_call;
            if !is_call {
                failed = Some(at);
            }
        }
        let own = |child: &usize| {
            let child = &view.operations[tree.spans[*child].operation];
            child.service == service && !is_entry(child.kind)
        };
        if below.len() < tree.spans.len() {
            below.extend(tree.children(at).iter().copied().filter(own));
        }
        next = below.pop();
    }
    let itself = (tree.spans[request].failed() && !others_fault).then_some(request);
    if others_fault { None } else { failed.or(itself) }
}

/// Whether the same was tried again beside it, and went well.
fn is_made_good(tree: &Tree, failed: usize) -> bool {
    let Parent::At(parent) = tree.parent(failed) else { return false };
    let failed = &tree.spans[failed];
    tree.children(parent)
        .iter()
        .map(|sibling| &tree.spans[*sibling])
        .any(|sibling| sibling.operation == failed.operation && sibling.start > failed.start && !sibling.failed())
}

fn evidence(tree: &Tree, request: usize, failure: usize, view: &View<'_>) -> String {
    let text = |symbol| view.symbols.text(symbol);
    let failed = &tree.spans[failure];
    let error = failed.error.map_or_else(String::new, |error| format!(" with `{}`", text(error)));
    format!(
        "`{}` fails: `{}` of `{}` ended{error}",
        text(view.operations[tree.spans[request].operation].name),
        text(view.operations[failed.operation].name),
        text(view.operations[failed.operation].service_name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::span::Outcome;
    use crate::watch::stage::{Act, Stage};

    fn charge(write: Outcome) -> Vec<Act> {
        let served = Act { id: 1, kind: SpanKind::Server, name: "POST /payments", status: 201, ..Act::default() };
        let insert = Act {
            id: 2,
            parent: 1,
            kind: SpanKind::Client,
            name: "INSERT payments",
            outcome: write,
            error: if write == Outcome::Error { "readonly" } else { "" },
            texts: ["", "payments", "", "INSERT", "postgresql"],
            ..Act::default()
        };
        vec![served, insert]
    }

    /// So many seconds, with ten requests and a health check in each.
    fn passes(stage: &mut Stage, health: &mut Health, seconds: u64, request: &[Act], check: u16) {
        for _ in 0..seconds {
            for _ in 0..10 {
                let tree = stage.tree(request);
                stage.show(|view, findings| health.settled(&tree, view, findings));
            }
            let check = Act { kind: SpanKind::Server, name: "GET /healthz", status: check, ..Act::default() };
            let tree = stage.tree(&[check]);
            stage.show(|view, findings| health.settled(&tree, view, findings));
            stage.now = stage.now + Duration::from_millis(890);
        }
    }

    #[test]
    fn a_check_that_passes_while_every_write_fails_is_found_and_resolves() {
        let (mut stage, mut health) = (Stage::new(), Health::default());
        passes(&mut stage, &mut health, 60, &charge(Outcome::Unset), 200);
        passes(&mut stage, &mut health, 10, &charge(Outcome::Error), 200);
        assert!(stage.found().is_empty(), "checks are given the time to notice");
        passes(&mut stage, &mut health, 10, &charge(Outcome::Error), 200);
        let found = stage.found();
        assert_eq!((found.len(), found[0].kind.as_str()), (1, "lying_health"));
        assert_eq!((found[0].service.as_deref(), found[0].operation.as_deref()), (Some("shop"), Some("GET /healthz")));
        assert!(found[0].evidence[0].contains("`INSERT payments` of `shop` ended with `readonly`"), "{found:?}");
        passes(&mut stage, &mut health, 60, &charge(Outcome::Unset), 200);
        assert_eq!(stage.found()[0].status, "resolved");
    }

    #[test]
    fn checks_that_pass_while_journeys_are_lost_lie_and_those_that_fail_do_not() {
        for (check, found) in [(200, 1), (503, 0)] {
            let (mut stage, mut health) = (Stage::new(), Health::default());
            let name = stage.symbols.intern(b"shop");
            for second in 0..160 {
                let is_lost = (60..90).contains(&second);
                for _ in 0..10 {
                    health.passed_on(name, is_lost.then_some("ord-1"), stage.now);
                }
                passes(&mut stage, &mut health, 1, &charge(Outcome::Unset), if is_lost { check } else { 200 });
                if second == 89 {
                    assert_eq!(stage.found().len(), found, "{:?}", stage.found());
                }
            }
            assert!(stage.found().iter().all(|found| found.status == "resolved"), "{:?}", stage.found());
        }
    }

    #[test]
    fn a_check_that_fails_as_it_should_does_not_lie() {
        let (mut stage, mut health) = (Stage::new(), Health::default());
        passes(&mut stage, &mut health, 60, &charge(Outcome::Unset), 200);
        passes(&mut stage, &mut health, 60, &charge(Outcome::Error), 503);
        assert!(stage.found().is_empty());
    }

    #[test]
    fn what_another_service_fails_to_answer_is_not_its_own_health() {
        let (mut stage, mut health) = (Stage::new(), Health::default());
        passes(&mut stage, &mut health, 60, &charge(Outcome::Unset), 200);
        let mut acts = charge(Outcome::Error);
        (acts[0].status, acts[1].name, acts[1].texts) = (502, "POST", [""; 5]);
        passes(&mut stage, &mut health, 60, &acts, 200);
        assert!(stage.found().is_empty());
    }

    #[test]
    fn a_service_of_which_about_half_fails_is_said_once_to_be_unhealthy() {
        let (mut stage, mut health) = (Stage::new(), Health::default());
        passes(&mut stage, &mut health, 60, &charge(Outcome::Unset), 200);
        // Six in a row and five good ones, as chance has it.
        for _ in 0..40 {
            for (outcome, requests) in [(Outcome::Error, 6), (Outcome::Unset, 5)] {
                for _ in 0..requests {
                    let tree = stage.tree(&charge(outcome));
                    stage.show(|view, findings| health.settled(&tree, view, findings));
                }
            }
            let check = Act { kind: SpanKind::Server, name: "GET /healthz", status: 200, ..Act::default() };
            let tree = stage.tree(&[check]);
            stage.show(|view, findings| health.settled(&tree, view, findings));
            stage.now = stage.now + Duration::from_secs(1);
        }
        let found = stage.found();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_ne!(found[0].status, "resolved");
    }

    #[test]
    fn a_service_of_which_a_tenth_fails_is_not_unhealthy() {
        let (mut stage, mut health) = (Stage::new(), Health::default());
        for _ in 0..60 {
            passes(&mut stage, &mut health, 9, &charge(Outcome::Unset), 200);
            passes(&mut stage, &mut health, 1, &charge(Outcome::Error), 200);
        }
        assert!(stage.found().is_empty(), "{:?}", stage.found());
    }
}
