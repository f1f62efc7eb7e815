//! Calls between services that are not made any more: most requests of an operation used to lead to a call of another
//! service, they still go well, and none does. A call that appears is no finding: who calls whom for the first time is what
//! releases change every day, and nothing follows from it for anyone's request.
//!
//! With a share s of requests that call, n in a row without a call come by chance once in 1 / (1 - s)^n: with s >= 0.8 and
//! n = 60 that is never. A call is known by the services at its ends, so new names of operations are no new calls; and who
//! was called is known of a call whose server is not seen, since it usually is. What came from a cache needed no call.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::finding::FindingKind;
use truegreen_model::flow::SpanKind;
use truegreen_model::time::Timestamp;

use super::View;
use super::kin::{Kin, is_entry};
use super::table::Table;
use crate::coverage::ServiceId;
use crate::finding::place::Place;
use crate::finding::{PlaceFindings, Sign};
use crate::trace::operation::OperationId;
use crate::trace::span::TracedSpan;
use crate::trace::tree::{Parent, Tree};

/// Services called that are remembered of one operation.
const MAX_EDGES: usize = 8;
const KNOWN_BY: u32 = 200;
const MOSTLY: f64 = 0.8;
const IN_A_ROW: u32 = 60;
/// Caches that were cold when they began are warm by then.
const KNOWN_FOR: Duration = Duration::from_secs(600);
const FOR: Duration = Duration::from_secs(60);

/// Who calls whom.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Edges {
    callers: Table<OperationId, SmallVec<[Edge; 1]>>,
}

/// Calls of one service in requests of an operation.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Edge {
    called: ServiceId,
    /// Requests since it was first called, until it was last called, and those with a call.
    requests: u32,
    calls: u32,
    /// Requests without a call since the last.
    without: u32,
    first: Timestamp,
    latest: Timestamp,
}

impl Edges {
    pub(super) fn overflowed(&self) -> u64 {
        self.callers.overflowed()
    }

    pub(super) fn settled(&mut self, tree: &Tree, kin: &Kin, view: &View<'_>, findings: &mut PlaceFindings) {
        if tree.is_partial {
            return;
        }
        let calls = calls(tree, kin, view);
        for (index, span) in tree.spans.iter().enumerate() {
            let operation = &view.operations[span.operation];
            let made = calls.iter().filter(|(request, _)| *request == index).map(|(_, called)| *called);
            if !is_entry(operation.kind) || span.failed() || span.status >= 400 {
                continue;
            }
            if self.callers.get(&span.operation).is_none() && made.clone().next().is_none() {
                continue;
            }
            let Some(edges) = self.callers.entry(span.operation, SmallVec::new) else { continue };
            for called in made.clone() {
                if !edges.iter().any(|edge| edge.called == called) && edges.len() < MAX_EDGES {
                    edges.push(Edge {
                        called,
                        requests: 0,
                        calls: 0,
                        without: 0,
                        first: span.received,
                        latest: span.received,
                    });
                }
            }
            let hit = |below: &TracedSpan| {
                below.hit == Some(true) && view.operations[below.operation].service == operation.service
            };
            let was_cached = tree.spans.iter().any(hit);
            for edge in edges.iter_mut() {
                let peer = Some(view.coverage[edge.called].name);
                let (kind, place) = (FindingKind::EdgeVanished, Place { peer, ..Place::operation(operation) });
                if made.clone().any(|called| called == edge.called) {
                    edge.requests = edge.requests.saturating_add(1 + std::mem::take(&mut edge.without));
                    edge.calls = edge.calls.saturating_add(1);
                    edge.latest = span.received;
                    findings.went_well(kind, place, 1);
                    continue;
                }
                if was_cached {
                    continue;
                }
                edge.without = edge.without.saturating_add(1);
                let was_usual = edge.latest >= edge.first + KNOWN_FOR
                    && edge.requests >= KNOWN_BY
                    && f64::from(edge.calls) >= MOSTLY * f64::from(edge.requests);
                if !was_usual || edge.without < IN_A_ROW || view.now < edge.latest + FOR {
                    continue;
                }
                if findings.is_open(kind, place) {
                    continue;
                }
                let evidence = format!(
                    "{:.0} % of its requests called `{}`; of the last {} none did, and all went well",
                    100.0 * f64::from(edge.calls) / f64::from(edge.requests),
                    view.symbols.text(view.coverage[edge.called].name),
                    edge.without,
                );
                let sign = Sign { kind, place, at: edge.latest, example: None, share: 0.5, evidence };
                findings.deviate(sign, view.now, view.symbols);
            }
        }
    }
}

/// The calls of other services, each with the request that it is a part of.
fn calls(tree: &Tree, kin: &Kin, view: &View<'_>) -> SmallVec<[(usize, ServiceId); 8]> {
    let mut calls = SmallVec::new();
    for (index, span) in tree.spans.iter().enumerate() {
        let caller = &view.operations[span.operation];
        if caller.kind != SpanKind::Client {
            continue;
        }
        let seen = tree.children(index).iter().map(|child| tree.spans[*child].operation);
        let learned = kin.of(span.operation).into_iter().flat_map(|habit| habit.children.iter().copied());
        let called = seen.chain(learned).map(|called| &view.operations[called]);
        let called = called.filter(|called| called.kind == SpanKind::Server && called.service != caller.service);
        let Some(called) = called.map(|called| called.service).next() else { continue };
        let request = request_of(tree, index, view);
        if !calls.contains(&(request, called)) {
            calls.push((request, called));
        }
    }
    calls
}

/// The span by which the request entered the service that this span is of.
fn request_of(tree: &Tree, span: usize, view: &View<'_>) -> usize {
    let service = view.operations[tree.spans[span].operation].service;
    let own = tree.upwards(span).take_while(|above| view.operations[tree.spans[*above].operation].service == service);
    let mut request = span;
    for above in own {
        request = above;
        let is_top = !matches!(tree.parent(above), Parent::At(_));
        if is_top || is_entry(view.operations[tree.spans[above].operation].kind) {
            break;
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::stage::{Act, Stage};

    fn checkout(call: Option<&'static str>) -> Vec<Act> {
        let mut acts =
            vec![Act { id: 1, kind: SpanKind::Server, name: "POST /checkout", status: 200, ..Act::default() }];
        if let Some(name) = call {
            acts.push(Act { id: 2, parent: 1, kind: SpanKind::Client, name, ..Act::default() });
            let served = Act { service: "fraud", kind: SpanKind::Server, name: "POST /score", ..Act::default() };
            acts.push(Act { id: 3, parent: 2, ..served });
        }
        acts
    }

    struct Scene(Stage, Kin, Edges);

    impl Scene {
        fn shows(&mut self, acts: &[Act]) {
            let Scene(stage, kin, edges) = self;
            stage.now = stage.now + Duration::from_secs(1);
            let tree = stage.tree(acts);
            kin.learn(&tree);
            stage.show(|view, findings| edges.settled(&tree, kin, view, findings));
        }
    }

    #[test]
    fn a_call_that_is_no_longer_made_is_found_and_resolves_when_it_is() {
        let mut scene = Scene(Stage::new(), Kin::default(), Edges::default());
        (0..700).for_each(|_| scene.shows(&checkout(Some("POST"))));
        (0..100).for_each(|_| scene.shows(&checkout(None)));
        let found = scene.0.found();
        assert_eq!((found.len(), found[0].kind.as_str(), found[0].count), (1, "edge_vanished", 1));
        assert_eq!((found[0].service.as_deref(), found[0].peer.as_deref()), (Some("shop"), Some("fraud")));
        scene.0.rest();
        (0..10).for_each(|_| scene.shows(&checkout(Some("POST"))));
        assert_eq!(scene.0.found()[0].status, "resolved");
    }

    #[test]
    fn a_new_name_of_the_call_a_server_not_seen_and_a_call_made_now_and_then_are_harmless() {
        let mut scene = Scene(Stage::new(), Kin::default(), Edges::default());
        (0..700).for_each(|_| scene.shows(&checkout(Some("POST"))));
        for _ in 0..300 {
            let mut acts = checkout(None);
            acts.push(Act { id: 9, parent: 1, name: "cache.get", hit: Some(true), ..Act::default() });
            scene.shows(&acts);
        }
        (0..300).for_each(|_| scene.shows(&checkout(Some("POST /score"))));
        (0..300).for_each(|_| scene.shows(&checkout(Some("POST /score"))[..2]));
        let mut scene = Scene(scene.0, Kin::default(), Edges::default());
        for n in 0..1_000 {
            scene.shows(&checkout((n % 100 < 20).then_some("POST")));
        }
        assert!(scene.0.found().is_empty(), "{:?}", scene.0.found());
    }
}
