//! Requests that began and never end. Spans are exported only when they end, so such a request shows as children whose
//! parent never comes. What tells it apart from its look-alikes:
//!
//! - The parent of such children usually comes: learned of each operation. One that is not instrumented never does.
//! - The parent is of the same process, and exporters send spans in the order in which they ended. So once a process has
//!   sent spans that ended later, the request had not ended by then; and a process that was restarted sends no more.
//! - Whoever called did not get its answer: its own span failed or did not come either. Where it came and is fine, the
//!   request ended and its span was lost. One that waits, or waited in vain, was told of no restart, either. Where nobody
//!   called (a consumer, a root), losses are held against those of the service's other operations: dropped spans are
//!   lost of all of them, a stall hits one.
//!
//! The same operation again and again under one such request, far more often and for far longer than under any that
//! ended, is a silent loop.

mod parts;
mod request;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::{FindingKind, FindingStatus};
use truegreen_model::observation::{InstanceId, TraceId};
use truegreen_model::time::Timestamp;

use super::View;
use super::drops::Drops;
use super::kin::{Kin, counted, is_entry};
use super::share::{Deviation, Share};
use super::table::Table;
use crate::finding::place::Place;
use crate::finding::{Example, PlaceFindings, Sign};
use crate::trace::operation::OperationId;
use crate::trace::tree::{Parent, Tree};
use parts::{Group, caller, missing};
use request::{Caller, Counts, Judged, LOOPS, Request, Stands, add};

/// Unfinished requests at once; past it new ones are not looked at.
const MAX_REQUESTS: usize = 20_000;
/// The share of requests without an end that is tolerated where nothing is known yet: healthy processes lose none.
const TOLERATED: f64 = 0.001;
/// A restart cuts all requests of a process within this time; a stall goes on.
const CUT_WITHIN: Duration = Duration::from_secs(6);
/// Requests without an end are remembered so long, in case they end after all.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Stalls held back until they are seen to go on.
const MAX_HELD: usize = 64;
/// So many that went on for so long are no restart, on however many processes they are.
const PLENTY: usize = 10;
const PLENTY_OVER: Duration = Duration::from_secs(120);
/// Times of spans further ahead of receipt than this are nonsense.
const MAX_AHEAD: Duration = Duration::from_secs(300);
const MAX_INSTANCES: usize = 200_000;
/// So long after its last piece a loop is over.
const LOOP_OVER: Duration = Duration::from_secs(60);

/// Requests without an end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Unfinished {
    /// By trace and the span that did not come.
    requests: BTreeMap<(TraceId, u64), Request>,
    ways: Table<OperationId, Way>,
    /// By instance: the latest end of a span that it sent.
    sent_until: Vec<Timestamp>,
    overflowed: u64,
}

/// How requests of one operation end.
#[derive(Debug, Serialize, Deserialize)]
struct Way {
    stalled: Share,
    /// Stalls that may still be a restart's.
    held: Vec<(InstanceId, Deviation)>,
    /// Stalls of the finding that is open, and those of them that ended after all.
    counted: u32,
    ended: u32,
    /// The same of loops, and when the last piece of one was received.
    loops: u32,
    loops_ended: u32,
    looped: Timestamp,
}

impl Default for Way {
    fn default() -> Self {
        let (held, looped) = (Vec::new(), Timestamp(0));
        Way { stalled: Share::new(TOLERATED), held, counted: 0, ended: 0, loops: 0, loops_ended: 0, looped }
    }
}

impl Unfinished {
    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed + self.ways.overflowed()
    }

    /// A span came.
    pub(super) fn heard(&mut self, instance: InstanceId, end: Timestamp, now: Timestamp) {
        let index = instance.0 as usize;
        // Told in the future it would prove what it must not.
        if end > now + MAX_AHEAD || index >= MAX_INSTANCES {
            return;
        }
        if index >= self.sent_until.len() {
            self.sent_until.resize(index + 1, Timestamp(0));
        }
        if let Some(until) = self.sent_until.get_mut(index) {
            *until = end.max(*until);
        }
    }

    /// Nothing more is expected of this trace, or of this piece of it.
    pub(super) fn settled(&mut self, tree: &Tree, kin: &Kin, view: &View<'_>, findings: &mut PlaceFindings) {
        self.ended(tree, view, findings);
        self.finished(tree, view, findings);
        for group in missing(tree, view) {
            let is_new = !self.requests.contains_key(&(tree.trace, group.parent));
            self.gather(tree, &group, kin, view, findings);
            if let Some(request) = self.requests.get_mut(&(tree.trace, group.parent)) {
                // Nothing follows from what is missing in a piece; only what comes again and again does.
                if is_new && tree.is_partial && request.stands == Stands::Waiting {
                    request.stands = Stands::Explained;
                }
                for (operation, times) in std::mem::take(&mut request.gathered) {
                    add(&mut request.before, operation, times);
                }
            }
        }
    }

    /// More and more comes of this trace, which is not looked at yet.
    pub(super) fn goes_on(&mut self, tree: &Tree, kin: &Kin, view: &View<'_>, findings: &mut PlaceFindings) {
        for group in missing(tree, view).into_iter().filter(|group| group.parts.len() >= LOOPS) {
            self.gather(tree, &group, kin, view, findings);
        }
    }

    /// Time passed.
    pub(super) fn tick(&mut self, kin: &Kin, drops: &mut Drops, view: &View<'_>, findings: &mut PlaceFindings) {
        let of_age = |request: &Request| view.now > request.received + REMEMBERED;
        let is_due = |request: &Request| request.stands == Stands::Waiting || of_age(request);
        let due = self.requests.iter().filter(|(_, request)| is_due(request)).map(|(key, _)| *key);
        for key in due.collect::<Vec<_>>() {
            let Some(request) = self.requests.get_mut(&key) else { continue };
            if request.stands != Stands::Waiting {
                let over = request.found_as.filter(|_| request.stands == Stands::Looping);
                self.requests.remove(&key);
                if let Some(operation) = over {
                    self.loop_is_over(operation, view, findings);
                }
                continue;
            }
            let sent_until = self.sent_until.get(request.instance.0 as usize).copied().unwrap_or_default();
            match request.judge(sent_until, kin, drops, view) {
                Judged::NotYet => {}
                Judged::Explained => request.stands = Stands::Explained,
                Judged::Stalled { operation, is_certain } => {
                    request.stands = Stands::Stalled;
                    request.found_as = Some(operation);
                    let deviation = Deviation { at: request.first, trace: key.0 };
                    let (instance, evidence) = (request.instance, request.evidence(operation, kin, view));
                    self.stalled(operation, (instance, is_certain), deviation, &evidence, view, findings);
                }
            }
        }
    }

    /// Nothing came of a loop for long: its process is gone, or it gave up without a word.
    fn loop_is_over(&mut self, operation: OperationId, view: &View<'_>, findings: &mut PlaceFindings) {
        let Some(way) = self.ways.get_mut(&operation) else { return };
        way.loops_ended += 1;
        if way.loops_ended >= way.loops {
            let place = Place::operation(&view.operations[operation]);
            findings.close(FindingKind::SilentLoop, place, FindingStatus::Resolved);
            (way.loops, way.loops_ended) = (0, 0);
        }
    }

    /// Parents that came after all.
    fn ended(&mut self, tree: &Tree, view: &View<'_>, findings: &mut PlaceFindings) {
        let of_trace = (tree.trace, 0)..=(tree.trace, u64::MAX);
        let waited: Vec<u64> = self.requests.range(of_trace).map(|((_, span), _)| *span).collect();
        for span in waited {
            if !tree.spans.iter().any(|came| came.span == span) {
                continue;
            }
            let Some(request) = self.requests.remove(&(tree.trace, span)) else { continue };
            let Some(operation) = request.found_as else { continue };
            let Some(way) = self.ways.get_mut(&operation) else { continue };
            let (kind, ended, all) = match request.stands {
                Stands::Stalled => (FindingKind::StalledRequest, &mut way.ended, way.counted),
                Stands::Looping => (FindingKind::SilentLoop, &mut way.loops_ended, way.loops),
                Stands::Waiting | Stands::Explained => continue,
            };
            *ended += 1;
            if *ended >= all {
                findings.close(kind, Place::operation(&view.operations[operation]), FindingStatus::Withdrawn);
            }
        }
    }

    /// Requests that ended, and would have shown had they not.
    fn finished(&mut self, tree: &Tree, view: &View<'_>, findings: &mut PlaceFindings) {
        for (index, span) in tree.spans.iter().enumerate() {
            let operation = &view.operations[span.operation];
            let is_own = |other: usize| view.operations[tree.spans[other].operation].service == operation.service;
            let is_part = matches!(tree.parent(index), Parent::At(parent) if is_own(parent));
            if is_part && !is_entry(operation.kind) || !tree.children(index).iter().any(|child| is_own(*child)) {
                continue;
            }
            let Some(way) = self.ways.entry(span.operation, Way::default) else { continue };
            let place = Place::operation(operation);
            way.stalled.well(FindingKind::StalledRequest, place, findings);
            if way.counted > 0 && !findings.is_open(FindingKind::StalledRequest, place) {
                (way.counted, way.ended) = (0, 0);
            }
            if way.loops > 0 && view.now > way.looped + LOOP_OVER {
                findings.went_well(FindingKind::SilentLoop, place, 1);
                if !findings.is_open(FindingKind::SilentLoop, place) {
                    (way.loops, way.loops_ended) = (0, 0);
                }
            }
        }
    }

    /// Enters what came of a request whose own span did not.
    fn gather(&mut self, tree: &Tree, group: &Group, kin: &Kin, view: &View<'_>, findings: &mut PlaceFindings) {
        let key = (tree.trace, group.parent);
        if self.requests.len() >= MAX_REQUESTS && !self.requests.contains_key(&key) {
            self.overflowed += 1;
            return;
        }
        let counts = counted(tree, &group.parts);
        let parts = || group.parts.iter().map(|part| &tree.spans[*part]);
        let (Some(first), Some(last)) = (parts().min_by_key(|part| part.start), parts().max_by_key(|part| part.end))
        else {
            return;
        };
        let received = parts().map(|part| part.received);
        let (first_received, received) = (received.clone().min(), received.max());
        let operation = kin.above(counts.iter().map(|(operation, _)| *operation), view).map(|(_, request)| request);
        let caller = caller(tree, operation, first.operation, kin, view);
        let request = self.requests.entry(key).or_insert_with(|| Request {
            operation,
            instance: first.instance,
            first: first.start,
            last: last.end,
            last_operation: last.operation,
            first_received: first_received.unwrap_or(view.now),
            received: view.now,
            before: Counts::new(),
            gathered: Counts::new(),
            is_failing: false,
            caller,
            found_as: None,
            is_told: false,
            stands: Stands::Waiting,
        });
        request.first = request.first.min(first.start);
        if last.end >= request.last {
            (request.last, request.last_operation) = (last.end, last.operation);
        }
        request.received = received.unwrap_or(view.now);
        request.operation = request.operation.or(operation);
        if matches!(caller, Caller::GaveUp(..) | Caller::Answered) {
            request.caller = caller;
        }
        request.gathered = counts.into_iter().collect();
        request.is_failing = 2 * parts().filter(|part| part.failed()).count() > group.parts.len();
        self.look_for_loop(key, kin, view, findings);
    }

    fn look_for_loop(&mut self, key: (TraceId, u64), kin: &Kin, view: &View<'_>, findings: &mut PlaceFindings) {
        let Some(request) = self.requests.get_mut(&key) else { return };
        let Some((repeated, times)) = request.repeated() else { return };
        let place_of = |operation: OperationId| Place::operation(&view.operations[operation]);
        if request.stands == Stands::Looping {
            if let Some(way) = request.found_as.and_then(|operation| self.ways.get_mut(&operation)) {
                way.looped = view.now;
            }
            return;
        }
        if !request.loops(repeated, times, kin, view) {
            return;
        }
        request.stands = Stands::Looping;
        // Where it was never learned whose part it is, what is repeated names it best.
        let operation = request.operation.unwrap_or(repeated);
        request.found_as = Some(operation);
        let evidence = format!(
            "`{}` came {times} times in {:.0} s under one `{}` of `{}` that did not end, and goes on{}",
            view.symbols.text(view.operations[repeated].name),
            request.last.since(request.first).as_secs_f64(),
            request.operation.map_or("request", |operation| view.symbols.text(view.operations[operation].name)),
            view.symbols.text(view.operations[repeated].service_name),
            request.caller_words(view),
        );
        let at = request.first;
        let Some(way) = self.ways.entry(operation, Way::default) else { return };
        way.loops += 1;
        way.looped = view.now;
        let share = way.stalled.recent().max(0.1);
        let sign = Sign {
            kind: FindingKind::SilentLoop,
            place: place_of(operation),
            at,
            example: Some(Example::Trace(key.0)),
            share,
            evidence,
        };
        findings.deviate(sign, view.now, view.symbols);
    }

    fn stalled(
        &mut self,
        operation: OperationId,
        (instance, is_certain): (InstanceId, bool),
        deviation: Deviation,
        evidence: &str,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let Some(way) = self.ways.entry(operation, Way::default) else { return };
        let place = Place::operation(&view.operations[operation]);
        if way.held.len() >= MAX_HELD {
            way.held.remove(0);
        }
        way.held.push((instance, deviation));
        way.held.retain(|(_, held)| deviation.at < held.at + REMEMBERED);
        if !is_certain && !findings.is_open(FindingKind::StalledRequest, place) && !is_no_restart(&way.held) {
            return;
        }
        for (_, deviation) in std::mem::take(&mut way.held) {
            way.counted += 1;
            let kind = FindingKind::StalledRequest;
            way.stalled.deviated((kind, place), deviation, || evidence.to_owned(), view, findings);
        }
    }
}

/// Whether these stalls go on for longer than a restart takes to cut the requests of a process.
fn is_no_restart(held: &[(InstanceId, Deviation)]) -> bool {
    let goes_on = |(instance, first): &(InstanceId, Deviation)| {
        held.iter().any(|(other, later)| other == instance && later.at.since(first.at) >= CUT_WITHIN)
    };
    let at = || held.iter().map(|(_, deviation)| deviation.at);
    let over = at().max().unwrap_or_default().since(at().min().unwrap_or_default());
    held.iter().any(goes_on) || (held.len() >= PLENTY && over >= PLENTY_OVER)
}
