//! Trace context that is not handed on: messages reach their consumer, calls their server, but begin a trace of their own.
//! Nothing is lost by it save that journeys can no longer be followed; so whoever sits behind the break is told to coverage,
//! and what is missing of it is unknown.
//!
//! Of messages: a consumer's spans neither link to a producer's span nor hang at one, while producers on the same
//! destination are traced and their messages are not consumed otherwise. That also shows where it never worked. Of calls: a
//! server's spans, which usually hang at a caller's, begin traces of their own, while such calls are answered by nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::FindingKind;
use truegreen_model::flow::SpanKind;
use truegreen_model::observation::Symbol;
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::Why;

use super::kin::Kin;
use super::surge::Surge;
use super::table::Table;
use super::{Doubt, View};
use crate::coverage::ServiceId;
use crate::finding::place::Place;
use crate::finding::{Example, PlaceFindings, Sign};
use crate::trace::operation::{Operation, OperationId};
use crate::trace::tree::{Parent, Tree};

/// The share without context that is tolerated where nothing is known yet.
const TOLERATED: f64 = 0.05;
/// So many messages, where context never came.
const NEVER: f64 = 20.0;
/// Counts are halved when they reach this.
const FADES_AT: f64 = 2_000.0;
/// Parents that must have come before a server's spans without one say anything.
const USUALLY: u32 = 20;
/// Messages published since so long ago may still be consumed.
const EARLIER: Duration = Duration::from_secs(120);
/// So long after the last sign of it the break is over for those behind it.
const OVER: Duration = Duration::from_secs(60);
/// Services behind breaks.
const MAX_BEHIND: usize = 1_000;

/// Where context is handed on.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Context {
    /// By destination.
    published: Table<Symbol, Published>,
    /// By consuming service and destination.
    consumed: Table<(u32, Symbol), Consumed>,
    /// By the server's operation.
    served: Table<OperationId, Served>,
    /// Services behind a break: since when, and until when it was seen.
    behind: BTreeMap<u32, (Timestamp, Timestamp)>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Published {
    by: Option<Symbol>,
    count: f64,
    /// So often the count was halved.
    halved: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Consumed {
    /// Messages published before it was first heard, and those that came with and without context since.
    published_before: f64,
    halved: u32,
    attached: f64,
    detached: f64,
    surge: Surge,
}

#[derive(Debug, Serialize, Deserialize)]
struct Served {
    surge: Surge,
    detached: f64,
    unanswered: f64,
}

impl Default for Served {
    fn default() -> Self {
        Served { surge: Surge::new(TOLERATED), detached: 0.0, unanswered: 0.0 }
    }
}

impl Context {
    pub(super) fn overflowed(&self) -> u64 {
        self.published.overflowed() + self.consumed.overflowed() + self.served.overflowed()
    }

    pub(super) fn settled(
        &mut self,
        tree: &Tree,
        kin: &Kin,
        view: &View<'_>,
        findings: &mut PlaceFindings,
        doubts: &mut Vec<Doubt>,
    ) {
        for (index, span) in tree.spans.iter().enumerate() {
            let operation = &view.operations[span.operation];
            let is_broken = match operation.kind {
                SpanKind::Producer => {
                    self.publishes(operation);
                    false
                }
                SpanKind::Consumer => self.consumes(tree, index, view, findings),
                SpanKind::Server => self.serves(tree, index, kin, view, findings),
                SpanKind::Client => {
                    self.calls(tree, index, kin, view);
                    false
                }
                SpanKind::Internal | SpanKind::Unspecified => false,
            };
            if is_broken {
                self.lies_behind(tree, view, doubts);
            }
        }
    }

    /// Time passed.
    pub(super) fn tick(&mut self, view: &View<'_>, doubts: &mut Vec<Doubt>) {
        self.behind.retain(|_, (_, seen)| view.now <= *seen + OVER);
        for (service, (from, _)) in &self.behind {
            let service = ServiceId::at(*service as usize);
            doubts.push(Doubt { service, why: Why::ContextLost, from: *from, until: view.now, is_new: false });
        }
    }

    fn publishes(&mut self, operation: &Operation) {
        let Some(published) = operation.subject.and_then(|subject| self.published.entry(subject, Published::default))
        else {
            return;
        };
        published.by = Some(operation.service_name);
        published.count += 1.0;
        if published.count >= FADES_AT {
            published.count /= 2.0;
            published.halved += 1;
        }
    }

    /// A consumer's span: whether it shows that context is lost.
    fn consumes(&mut self, tree: &Tree, index: usize, view: &View<'_>, findings: &mut PlaceFindings) -> bool {
        let span = &tree.spans[index];
        let operation = &view.operations[span.operation];
        let Some(subject) = operation.subject else { return false };
        if operation.verb.is_some_and(|verb| view.symbols.text(verb) == "receive") {
            return false;
        }
        let published = self.published.get(&subject).copied().unwrap_or_default();
        let new = || Consumed {
            published_before: published.count,
            halved: published.halved,
            attached: 0.0,
            detached: 0.0,
            surge: Surge::new(TOLERATED),
        };
        let Some(consumed) = self.consumed.entry((operation.service.index(), subject), new) else { return false };
        while consumed.halved < published.halved {
            consumed.halved += 1;
            consumed.published_before /= 2.0;
            consumed.attached /= 2.0;
            consumed.detached /= 2.0;
        }
        let hangs_at_own = match tree.parent(index) {
            Parent::Root => true,
            Parent::At(parent) => {
                view.operations[tree.spans[parent].operation].service == operation.service
                    && view.operations[tree.spans[parent].operation].kind != SpanKind::Producer
            }
            Parent::Missing => false,
        };
        let place = Place { peer: published.by, ..Place::operation(operation) };
        let kind = FindingKind::BrokenContext;
        if !hangs_at_own || !span.links.is_empty() {
            consumed.attached += span.links.len().max(1) as f64;
            consumed.surge.decide(false);
            findings.went_well(kind, place, 1);
            return false;
        }
        // Below a span that received many, links may be left to that one.
        if matches!(tree.parent(index), Parent::At(_)) && consumed.attached == 0.0 {
            return false;
        }
        consumed.detached += 1.0;
        let rings = consumed.surge.decide(true);
        let never = consumed.attached == 0.0 && consumed.detached >= NEVER;
        let lacking = published.count - consumed.published_before - consumed.attached;
        // What nobody traced published has no context to lose.
        let is_broken = (rings && consumed.attached > 0.0 || never) && lacking >= consumed.detached / 2.0;
        if !is_broken {
            return findings.is_open(kind, place);
        }
        let share = consumed.detached / (consumed.detached + consumed.attached);
        let evidence = format!(
            "messages of `{}` are published by `{}` with a trace, and `{}` of `{}` takes them without one",
            view.symbols.text(subject),
            published.by.map_or("another service", |by| view.symbols.text(by)),
            view.symbols.text(operation.name),
            view.symbols.text(operation.service_name),
        );
        let example = Example::of(tree.trace);
        findings.deviate(Sign { kind, place, at: span.start, example, share, evidence }, view.now, view.symbols);
        true
    }

    /// A server's span: whether it shows that context is lost.
    fn serves(&mut self, tree: &Tree, index: usize, kin: &Kin, view: &View<'_>, findings: &mut PlaceFindings) -> bool {
        let span = &tree.spans[index];
        if kin.of(span.operation).is_none_or(|habit| habit.tied() < USUALLY) {
            return false;
        }
        let operation = &view.operations[span.operation];
        let Some(served) = self.served.entry(span.operation, Served::default) else { return false };
        let (kind, place) = (FindingKind::BrokenContext, Place::operation(operation));
        if tree.parent(index) != Parent::Root {
            served.surge.decide(false);
            served.detached *= 0.98;
            served.unanswered *= 0.98;
            findings.went_well(kind, place, 1);
            return false;
        }
        let rings = served.surge.decide(true);
        served.detached += 1.0;
        if !rings || served.unanswered < served.detached / 2.0 {
            return findings.is_open(kind, place);
        }
        let evidence = format!(
            "`{}` of `{}` begins traces of its own, while calls that usually lead to it lead nowhere",
            view.symbols.text(operation.name),
            view.symbols.text(operation.service_name),
        );
        let example = Example::of(tree.trace);
        let sign = Sign { kind, place, at: span.start, example, share: 0.5, evidence };
        findings.deviate(sign, view.now, view.symbols);
        true
    }

    /// A call that was answered, though no server's span hangs at it.
    fn calls(&mut self, tree: &Tree, index: usize, kin: &Kin, view: &View<'_>) {
        let span = &tree.spans[index];
        if tree.is_partial || span.failed() || !tree.children(index).is_empty() {
            return;
        }
        for called in kin.regular_children(span.operation) {
            if view.operations[called].kind == SpanKind::Server
                && let Some(served) = self.served.entry(called, Served::default)
            {
                served.unanswered += 1.0;
            }
        }
    }

    /// All services of a trace that began anew lie behind the break.
    fn lies_behind(&mut self, tree: &Tree, view: &View<'_>, doubts: &mut Vec<Doubt>) {
        for span in &tree.spans {
            let service = view.operations[span.operation].service;
            if self.behind.len() >= MAX_BEHIND && !self.behind.contains_key(&service.index()) {
                continue;
            }
            let is_new = !self.behind.contains_key(&service.index());
            let (from, seen) = self.behind.entry(service.index()).or_insert((view.now - EARLIER, view.now));
            *seen = view.now;
            if is_new {
                let (from, until) = (*from, view.now);
                doubts.push(Doubt { service, why: Why::ContextLost, from, until, is_new });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::SpanRef;
    use crate::watch::stage::{Act, Stage};

    struct Scene {
        stage: Stage,
        kin: Kin,
        context: Context,
        doubts: Vec<Doubt>,
    }

    impl Scene {
        fn new() -> Self {
            Scene { stage: Stage::new(), kin: Kin::default(), context: Context::default(), doubts: Vec::new() }
        }

        fn shows(&mut self, acts: &[Act], linked: bool) {
            let mut tree = self.stage.tree(acts);
            if linked {
                tree.spans[0].links.push(SpanRef { trace: truegreen_model::observation::TraceId(99), span: 7 });
            }
            let Scene { stage, kin, context, doubts } = self;
            kin.learn(&tree);
            stage.show(|view, findings| context.settled(&tree, kin, view, findings, doubts));
        }

        fn message(&mut self, published: bool, linked: bool) {
            let texts = ["", "sales", "", "", "kafka"];
            if published {
                let publish = Act { kind: SpanKind::Producer, name: "publish sales", texts, ..Act::default() };
                self.shows(&[publish], false);
            }
            let process =
                Act { service: "stock", kind: SpanKind::Consumer, name: "process sales", texts, ..Act::default() };
            self.shows(&[process], linked);
        }
    }

    #[test]
    fn messages_without_the_context_that_they_had_are_found_and_cast_doubt_on_their_consumer() {
        let mut scene = Scene::new();
        (0..200).for_each(|_| scene.message(true, true));
        assert!(scene.stage.found().is_empty());
        (0..200).for_each(|_| scene.message(true, false));
        let found = scene.stage.found();
        assert_eq!((found.len(), found[0].kind.as_str()), (1, "broken_context"));
        assert_eq!(
            (found[0].service.as_deref(), found[0].peer.as_deref(), found[0].subject.as_deref()),
            (Some("stock"), Some("shop"), Some("sales"))
        );
        assert_eq!(scene.doubts.len(), 1);
        assert_eq!((scene.doubts[0].why, scene.doubts[0].is_new), (Why::ContextLost, true));
        (0..200).for_each(|_| scene.message(true, true));
        assert_eq!(scene.stage.found()[0].status, "open", "many in a row say little of a moment");
        scene.stage.rest();
        scene.message(true, true);
        assert_eq!(scene.stage.found()[0].status, "resolved");
    }

    #[test]
    fn context_that_never_came_is_found() {
        let mut scene = Scene::new();
        (0..40).for_each(|_| scene.message(true, false));
        assert_eq!(scene.stage.found().len(), 1);
    }

    #[test]
    fn messages_of_a_producer_that_is_not_traced_have_no_context_to_lose() {
        let mut scene = Scene::new();
        for _ in 0..300 {
            scene.message(true, true);
            scene.message(false, false);
        }
        assert!(scene.stage.found().is_empty(), "{:?}", scene.stage.found());
        let mut scene = Scene::new();
        (0..300).for_each(|_| scene.message(false, false));
        assert!(scene.stage.found().is_empty());
    }

    fn call(is_attached: bool) -> [Vec<Act>; 2] {
        let client = Act { id: 2, kind: SpanKind::Client, name: "POST", ..Act::default() };
        let server = Act { id: 3, service: "pay", kind: SpanKind::Server, name: "POST /pay", ..Act::default() };
        if is_attached { [vec![client, Act { parent: 2, ..server }], vec![]] } else { [vec![client], vec![server]] }
    }

    #[test]
    fn calls_that_arrive_without_their_context_are_found_and_calls_of_strangers_are_not() {
        let mut scene = Scene::new();
        for _ in 0..100 {
            call(true).iter().for_each(|acts| scene.shows(acts, false));
            // A probe from outside.
            scene.shows(&call(false)[1], false);
        }
        assert!(scene.stage.found().is_empty(), "{:?}", scene.stage.found());
        for _ in 0..60 {
            call(false).iter().for_each(|acts| scene.shows(acts, false));
        }
        assert_eq!(scene.stage.found().len(), 1);
    }
}
