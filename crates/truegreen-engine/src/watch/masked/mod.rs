//! Masked failures: a call fails or runs into its time-out, and who made it answers with success. Often that is a
//! tolerated fallback, so each call is held against its own past, and a small share of failures that is there from the
//! first request on is taken for one: nothing tells them apart.
//!
//! Time-outs of calls that change something are no fallback. Who gave up on such a call does not know whether it was
//! done, and says that it was; so hardly any are tolerated, from the first request on.

mod cliff;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use truegreen_model::finding::FindingKind;
use truegreen_model::flow::SpanKind;

use super::View;
use super::kin::is_entry;
use super::share::{Deviation, Share};
use super::table::Table;
use crate::finding::PlaceFindings;
use crate::finding::place::Place;
use crate::trace::operation::{Operation, OperationId};
use crate::trace::tree::{Parent, Tree};
use cliff::Cliff;

/// Masked failures tolerated where there were none.
const TOLERATED: f64 = 0.004;
/// A fallback that serves up to this share from the first request on is taken for a known one.
const KNOWN_FALLBACK: f64 = 0.03;
/// Swallowed time-outs of calls that change something: two in thirty are beyond it, and three in three hundred.
const TOLERATED_CHANGES: f64 = 0.000_05;
/// Verbs of calls that change something: of HTTP, and of statements.
const CHANGES: [&str; 6] = ["POST", "PUT", "PATCH", "DELETE", "INSERT", "UPDATE"];
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
    cliff: Cliff,
}

impl Call {
    fn new(changes: bool) -> Call {
        let lenient = || Share::lenient(TOLERATED, KNOWN_FALLBACK);
        let timed_out = if changes { Share::new(TOLERATED_CHANGES) } else { lenient() };
        Call { failed: lenient(), timed_out, cliff: Cliff::default() }
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
            let new = || Call::new(changes(operation, view));
            let Some(call) = self.calls.entry((caller.operation, span.operation), new) else { continue };
            let is_masked = || !caller.failed() && !is_made_good(tree, parent, index) && answers_well(tree, parent);
            let deviation = Deviation { at: span.start, trace: tree.trace };
            let (share, kind, deviations) = match went {
                // A call that failed and made its caller fail says nothing of fallbacks.
                Went::Failed | Went::TimedOut if !is_masked() => continue,
                Went::Failed => (&mut call.failed, FindingKind::MaskedFailure, smallvec![deviation]),
                Went::TimedOut => (&mut call.timed_out, FindingKind::SwallowedTimeout, smallvec![deviation]),
                Went::Well if is_unanswered(tree, index, view) && is_masked() => {
                    let gave_up = call.cliff.unanswered(span.duration(), deviation);
                    (&mut call.timed_out, FindingKind::SwallowedTimeout, gave_up)
                }
                Went::Well => {
                    call.cliff.answered(span.duration());
                    (&mut call.timed_out, FindingKind::SwallowedTimeout, SmallVec::<[Deviation; 3]>::new())
                }
            };
            let place = Place::operation(operation);
            let place = Place { peer: place.peer.or_else(|| server(tree, index, view)), ..place };
            if went == Went::Well && deviations.is_empty() {
                call.failed.well(FindingKind::MaskedFailure, place, findings);
                call.timed_out.well(FindingKind::SwallowedTimeout, place, findings);
            } else {
                for deviation in deviations {
                    share.deviated((kind, place), deviation, || evidence(tree, index, parent, view), view, findings);
                }
            }
        }
    }
}

/// Whether a call changes something, by its verb.
fn changes(operation: &Operation, view: &View<'_>) -> bool {
    let verb = view.symbols.text(operation.verb.unwrap_or(operation.name));
    let verb = verb.split([' ', '/']).next().unwrap_or_default();
    let is_call = matches!(operation.kind, SpanKind::Client | SpanKind::Producer);
    is_call && CHANGES.iter().any(|changes| verb.eq_ignore_ascii_case(changes))
}

/// Whether a call to another service, for a request that somebody waits for, ended without any word of an answer.
fn is_unanswered(tree: &Tree, call: usize, view: &View<'_>) -> bool {
    let span = &tree.spans[call];
    let operation = &view.operations[span.operation];
    span.status == 0
        && operation.kind == SpanKind::Client
        && operation.system.is_none()
        && tree.children(call).is_empty()
        && changes(operation, view)
        && tree.upwards(call).any(|above| is_entry(view.operations[tree.spans[above].operation].kind))
}

fn evidence(tree: &Tree, call: usize, caller: usize, view: &View<'_>) -> String {
    let (span, caller) = (&tree.spans[call], &view.operations[tree.spans[caller].operation]);
    let operation = &view.operations[span.operation];
    let error = span.error.map_or_else(String::new, |error| format!(" with `{}`", view.symbols.text(error)));
    format!(
        "`{}` of `{}` ended{error} after {:.3} s, and `{}` above it reported success",
        view.symbols.text(operation.name),
        view.symbols.text(operation.service_name),
        span.duration().as_secs_f64(),
        view.symbols.text(caller.name),
    )
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
        stage.rest();
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
    fn time_outs_of_a_call_that_changes_something_are_told_after_two_from_the_first_minute_on() {
        let (mut stage, mut masked) = (Stage::new(), Masked::default());
        let timed_out = Act { outcome: Outcome::Error, error: "timeout", ..Act::default() };
        for n in 0..20 {
            shown(&mut stage, &mut masked, &checkout(if n % 10 == 9 { timed_out } else { Act::default() }));
        }
        assert_eq!((kinds(&stage), stage.found()[0].count), (vec!["swallowed_timeout".to_owned()], 2));
    }

    #[test]
    fn a_page_that_does_without_what_was_not_read_in_time_is_a_known_fallback() {
        let (mut stage, mut masked) = (Stage::new(), Masked::default());
        for n in 0..3_000 {
            let timed_out = Act { outcome: Outcome::Error, error: "timeout", ..Act::default() };
            let mut acts = checkout(if n % 40 == 39 { timed_out } else { Act::default() });
            acts[1].name = "GET";
            shown(&mut stage, &mut masked, &acts);
        }
        assert!(kinds(&stage).is_empty(), "{:?}", stage.found());
    }

    #[test]
    fn calls_without_an_answer_that_all_end_at_one_duration_timed_out_though_nobody_says_so() {
        let (mut stage, mut masked) = (Stage::new(), Masked::default());
        for n in 0..40_u64 {
            let mut acts = checkout(Act::default());
            acts.truncate(2);
            (acts[1].status, acts[1].until) = if n % 10 == 9 { (0, 1_001 + n % 3) } else { (201, 20 + n % 7) };
            shown(&mut stage, &mut masked, &acts);
        }
        assert_eq!(kinds(&stage), ["swallowed_timeout"]);
        assert!(stage.found()[0].evidence[0].contains("after 1.00"), "{:?}", stage.found()[0].evidence);
    }

    #[test]
    fn slow_answers_and_long_polls_that_nobody_waits_for_are_no_time_outs() {
        let (mut stage, mut masked) = (Stage::new(), Masked::default());
        for n in 0..100_u64 {
            let mut acts = checkout(Act::default());
            acts.truncate(2);
            (acts[1].status, acts[1].until) = (200, if n % 10 == 9 { 1_001 } else { 20 });
            shown(&mut stage, &mut masked, &acts);
            let mut acts = checkout(Act::default());
            acts.truncate(2);
            (acts[0].kind, acts[0].name) = (SpanKind::Internal, "poll for work");
            acts[1].until = if n % 10 == 9 { 20_001 } else { 20 };
            shown(&mut stage, &mut masked, &acts);
        }
        assert!(kinds(&stage).is_empty(), "{:?}", stage.found());
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
