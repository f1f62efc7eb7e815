//! Masked failures: a call fails or runs into its time-out, and who made it answers with success. Seldom that is a
//! tolerated fallback, so each call is held against its own past.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::FindingKind;
use truegreen_model::flow::SpanKind;

use super::View;
use super::share::{Deviation, Share};
use super::table::Table;
use crate::finding::PlaceFindings;
use crate::finding::place::Place;
use crate::trace::operation::OperationId;
use crate::trace::tree::{Parent, Tree};

/// Masked failures tolerated where there were none.
const TOLERATED: f64 = 0.004;
/// A fallback that serves up to this share from the first request on is taken for a known one.
const KNOWN_FALLBACK: f64 = 0.03;
/// Who serves takes longer than who waits for it by so much at least: then nobody waited for the end.
const OUTLIVES: f64 = 1.2;
const OUTLIVES_BY: Duration = Duration::from_millis(50);

/// Calls whose failures may be masked.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Masked {
    /// By who calls, and the call.
    calls: Table<(OperationId, OperationId), Call>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Call {
    failed: Share,
    timed_out: Share,
}

impl Default for Call {
    fn default() -> Self {
        let share = || Share::lenient(TOLERATED, KNOWN_FALLBACK);
        Call { failed: share(), timed_out: share() }
    }
}

/// How a call went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Went {
    Well,
    Failed,
    TimedOut,
}

impl Masked {
    pub(super) fn overflowed(&self) -> u64 {
        self.calls.overflowed()
    }

    pub(super) fn settled(&mut self, tree: &Tree, view: &View<'_>, findings: &mut PlaceFindings) {
        for (index, span) in tree.spans.iter().enumerate() {
            let operation = &view.operations[span.operation];
            let Parent::At(parent) = tree.parent(index) else { continue };
            // What a failure of its own callees did to it is told where it began, and a server's by who called it.
            if operation.kind == SpanKind::Server || operation.kind == SpanKind::Consumer {
                continue;
            }
            let went = went(tree, index, view);
            let caller = &tree.spans[parent];
            let is_masked = went != Went::Well
                && !caller.failed()
                && !is_made_good(tree, parent, index)
                && answers_well(tree, parent);
            let Some(call) = self.calls.entry((caller.operation, span.operation), Call::default) else { continue };
            let place = Place::operation(operation);
            let place = Place { peer: place.peer.or_else(|| server(tree, index, view)), ..place };
            let shares = [
                (&mut call.failed, FindingKind::MaskedFailure, Went::Failed),
                (&mut call.timed_out, FindingKind::SwallowedTimeout, Went::TimedOut),
            ];
            for (share, kind, counts) in shares {
                if !(is_masked && went == counts) {
                    // A call that failed and made its caller fail says nothing of fallbacks.
                    if went == Went::Well {
                        share.well(kind, place, findings);
                    }
                    continue;
                }
                let deviation = Deviation { at: span.start, trace: tree.trace };
                let evidence = || {
                    let caller = &view.operations[caller.operation];
                    let error =
                        span.error.map_or_else(String::new, |error| format!(" with `{}`", view.symbols.text(error)));
                    format!(
                        "`{}` of `{}` ended{error} after {:.3} s, and `{}` above it reported success",
                        view.symbols.text(operation.name),
                        view.symbols.text(operation.service_name),
                        span.duration().as_secs_f64(),
                        view.symbols.text(caller.name),
                    )
                };
                share.deviated((kind, place), deviation, evidence, view, findings);
            }
        }
    }
}

fn went(tree: &Tree, call: usize, view: &View<'_>) -> Went {
    let span = &tree.spans[call];
    let says_timeout = span.status == 504
        || span.status == 408
        || span.error.is_some_and(|error| is_timeout(view.symbols.text(error)));
    // Durations are each by one clock, so skew between hosts does not matter.
    let outlived = view.operations[span.operation].kind == SpanKind::Client
        && tree.children(call).iter().any(|child| {
            let served = &tree.spans[*child];
            view.operations[served.operation].kind == SpanKind::Server
                && served.duration() > span.duration().mul_f64(OUTLIVES) + OUTLIVES_BY
        });
    if says_timeout || outlived {
        Went::TimedOut
    } else if span.failed() {
        Went::Failed
    } else {
        Went::Well
    }
}

pub(super) fn is_timeout(error: &str) -> bool {
    let error = error.to_ascii_lowercase();
    ["timeout", "timed out", "timed_out", "deadline"].iter().any(|word| error.contains(word))
}

/// Whether the same was tried again beside it, and went well.
fn is_made_good(tree: &Tree, caller: usize, call: usize) -> bool {
    let failed = &tree.spans[call];
    tree.children(caller).iter().any(|sibling| {
        let sibling = &tree.spans[*sibling];
        sibling.operation == failed.operation && sibling.start > failed.start && !sibling.failed()
    })
}

/// Whether everything above reports success, as far as it came: otherwise somebody was told.
fn answers_well(tree: &Tree, caller: usize) -> bool {
    tree.upwards(caller).all(|above| {
        let above = &tree.spans[above];
        !above.failed() && above.status < 400
    })
}

/// The service that served the call.
fn server(tree: &Tree, call: usize, view: &View<'_>) -> Option<truegreen_model::observation::Symbol> {
    let own = view.operations[tree.spans[call].operation].service_name;
    let served = tree.children(call).iter().map(|child| view.operations[tree.spans[*child].operation].service_name);
    served.into_iter().find(|service| *service != own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::span::Outcome;
    use crate::watch::stage::{Act, Stage};

    /// A checkout that charges a card: the call of the payment service is as given.
    fn checkout(charge: Act) -> Vec<Act> {
        let checkout =
            Act { id: 1, kind: SpanKind::Server, name: "POST /checkout", until: 2_000, status: 200, ..Act::default() };
        let served = Act {
            id: 3,
            parent: 2,
            service: "payments",
            kind: SpanKind::Server,
            name: "POST /charge",
            from: 5,
            until: 30,
            ..Act::default()
        };
        vec![
            checkout,
            Act { id: 2, parent: 1, kind: SpanKind::Client, name: "POST", from: 1, until: 40, ..charge },
            served,
        ]
    }

    fn shown(stage: &mut Stage, masked: &mut Masked, acts: &[Act]) {
        let tree = stage.tree(acts);
        stage.show(|view, findings| masked.settled(&tree, view, findings));
    }

    fn kinds(stage: &Stage) -> Vec<String> {
        stage.found().into_iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn failures_below_success_are_found_after_a_few_and_resolve_when_they_stop() {
        let (mut stage, mut masked) = (Stage::new(), Masked::default());
        for _ in 0..600 {
            shown(&mut stage, &mut masked, &checkout(Act::default()));
        }
        assert!(kinds(&stage).is_empty());
        let failing = Act { outcome: Outcome::Error, error: "timeout", ..Act::default() };
        for _ in 0..4 {
            shown(&mut stage, &mut masked, &checkout(failing));
        }
        let found = stage.found();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].kind.as_str(), found[0].count), ("swallowed_timeout", 4));
        assert_eq!((found[0].service.as_deref(), found[0].peer.as_deref()), (Some("shop"), Some("payments")));
        assert!(found[0].evidence[0].contains("with `timeout`"), "{:?}", found[0].evidence);
        for _ in 0..200 {
            shown(&mut stage, &mut masked, &checkout(Act::default()));
        }
        assert_eq!(stage.found()[0].status, "resolved");
    }

    #[test]
    fn a_failure_that_its_caller_reports_is_not_masked() {
        let (mut stage, mut masked) = (Stage::new(), Masked::default());
        let failing = Act { outcome: Outcome::Error, error: "500", ..Act::default() };
        for _ in 0..50 {
            let mut acts = checkout(failing);
            acts[0].status = 502;
            shown(&mut stage, &mut masked, &acts);
        }
        assert!(kinds(&stage).is_empty());
    }

    #[test]
    fn a_retry_that_goes_well_makes_good_what_failed_before() {
        let (mut stage, mut masked) = (Stage::new(), Masked::default());
        for _ in 0..50 {
            let mut acts = checkout(Act { outcome: Outcome::Error, error: "unavailable", ..Act::default() });
            acts.push(Act {
                id: 9,
                parent: 1,
                kind: SpanKind::Client,
                name: "POST",
                from: 60,
                until: 90,
                ..Act::default()
            });
            shown(&mut stage, &mut masked, &acts);
        }
        assert!(kinds(&stage).is_empty());
    }

    #[test]
    fn who_serves_longer_than_anyone_waits_is_a_timeout_though_nobody_says_so() {
        let (mut stage, mut masked) = (Stage::new(), Masked::default());
        for _ in 0..10 {
            let mut acts = checkout(Act::default());
            (acts[1].until, acts[2].until) = (1_001, 5_000);
            shown(&mut stage, &mut masked, &acts);
        }
        assert_eq!(kinds(&stage), ["swallowed_timeout"]);
    }

    #[test]
    fn a_fallback_that_was_always_used_now_and_then_is_tolerated() {
        let (mut stage, mut masked) = (Stage::new(), Masked::default());
        for n in 0..5_000 {
            let failed = Act { outcome: Outcome::Error, error: "unavailable", ..Act::default() };
            shown(&mut stage, &mut masked, &checkout(if n % 300 == 299 { failed } else { Act::default() }));
        }
        assert!(kinds(&stage).is_empty(), "{:?}", stage.found());
    }
}
