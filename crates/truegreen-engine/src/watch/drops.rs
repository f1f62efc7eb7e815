//! Telemetry that its sender loses: a queue that is full, an exporter that fails. It must never be taken for loss, so a
//! service that drops is told to coverage: what is missing of it is then unknown.
//!
//! Most SDKs count what they drop, and that is believed at once. Without such a count it shows in traces: of requests
//! that went well a part is missing that always comes: the server's span of a call that was answered, the span that
//! others hang at, or one that always hangs below. A fault of the service itself hits one operation; what a full queue
//! drops is drawn at random, so several operations lack spans at a time, entries of requests among them, and go on to.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::{FindingKind, FindingStatus};
use truegreen_model::flow::SpanKind;
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::Why;

use super::kin::{Kin, is_entry};
use super::{Doubt, View};
use crate::coverage::ServiceId;
use crate::finding::place::Place;
use crate::finding::{PlaceFindings, Sign};
use crate::trace::operation::OperationId;
use crate::trace::tree::{Parent, Tree};

/// Services and operations past these are not watched.
const MAX_SERVICES: usize = 20_000;
const MAX_OPERATIONS: usize = 50_000;
/// Losses are looked at in stretches of this length…
const STRETCH: Duration = Duration::from_secs(10);
/// …and must be seen in five of the last six: a restart without a flush loses what lay in one queue, once.
const LATEST: u8 = 0b11_1111;
const STRETCHES: u32 = 5;
/// What counts of a stretch in the next one.
const FADES: f32 = 0.8;
/// The share of spans missing, beyond what is usual, from which on a service is said to drop.
const RAISED: f32 = 0.05;
/// So many spans must be missing of an operation for it to count, and so many operations lack some.
const MISSED: f32 = 2.0;
const OPERATIONS: usize = 2;
/// Spans of other operations that would be missing if drops explained what is missing of one.
const EXPECTED: f32 = 6.0;
/// So long after the last drop a service no longer drops.
const OVER: Duration = Duration::from_secs(120);
/// A service that was heard this lately reports.
const REPORTING: Duration = Duration::from_secs(30);
/// Spans wait about so long in a queue before it is counted that they were dropped.
const COUNTED_AFTER: Duration = Duration::from_secs(60);

/// Who drops.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Drops {
    by_operation: Vec<Tried>,
    by_service: Vec<Sender>,
    stretch_ends: Timestamp,
}

/// Spans that should have come lately, and those of them that did not; older ones count less.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Tried {
    all: f32,
    missing: f32,
}

/// One service.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Sender {
    tried: Tried,
    /// Server spans that came without their usual parent: then context is broken, and the caller's call lacks nothing.
    detached: f32,
    /// By stretch, the latest first: whether anything was missing.
    stretches: u8,
    usual: f32,
    /// Since when it drops; 0 for not.
    since: Timestamp,
    latest: Timestamp,
}

impl Tried {
    fn share(self) -> f32 {
        if self.all > 0.0 { self.missing / self.all } else { 0.0 }
    }

    fn add(&mut self, is_missing: bool) {
        self.all += 1.0;
        self.missing += f32::from(u8::from(is_missing));
    }

    fn fade(&mut self) {
        self.all *= FADES;
        self.missing *= FADES;
    }
}

impl Drops {
    /// Whether a service is known to drop.
    pub(super) fn is_dropping(&self, service: ServiceId) -> bool {
        self.by_service.get(service.index() as usize).is_some_and(|sender| sender.since != Timestamp(0))
    }

    /// Whether spans of the service's other operations all come, though of this one some are missing; nothing where too few
    /// were expected to tell.
    pub(super) fn others_come(&self, operation: OperationId, view: &View<'_>) -> Option<bool> {
        let own = self.by_operation.get(operation.0 as usize).copied().unwrap_or_default();
        let sender = self.by_service.get(view.operations[operation].service.index() as usize)?;
        let others = Tried { all: sender.tried.all - own.all, missing: sender.tried.missing - own.missing };
        let expected = own.share() * others.all;
        (expected >= EXPECTED).then_some(others.missing < 0.25 * expected)
    }

    /// A span of this operation should have come.
    pub(super) fn tried(&mut self, operation: OperationId, is_missing: bool, view: &View<'_>) {
        let index = operation.0 as usize;
        if index >= MAX_OPERATIONS {
            return;
        }
        if index >= self.by_operation.len() {
            self.by_operation.resize(index + 1, Tried::default());
        }
        self.by_operation[index].add(is_missing);
        if let Some(sender) = self.sender(view.operations[operation].service) {
            sender.tried.add(is_missing);
            sender.stretches |= u8::from(is_missing);
        }
    }

    /// Nothing more is expected of this trace.
    pub(super) fn settled(&mut self, tree: &Tree, kin: &Kin, view: &View<'_>) {
        if tree.is_partial {
            return self.came_late(tree, view);
        }
        for (index, span) in tree.spans.iter().enumerate() {
            let operation = &view.operations[span.operation];
            let children = tree.children(index);
            if operation.kind == SpanKind::Server
                && tree.parent(index) == Parent::Root
                && kin.of(span.operation).is_some_and(|habit| habit.tied() > habit.roots)
                && let Some(sender) = self.sender(operation.service)
            {
                sender.detached += 1.0;
            }
            if is_entry(operation.kind) && !children.is_empty() {
                self.tried(span.operation, false, view);
            }
            if span.failed() || span.status >= 400 {
                continue;
            }
            for expected in kin.regular_children(span.operation) {
                let came = children.iter().any(|child| tree.spans[*child].operation == expected);
                let called = &view.operations[expected];
                let is_call = called.service != operation.service;
                if is_call && (called.kind != SpanKind::Server || !is_reporting(called.service, view)) {
                    continue;
                }
                // What hangs there instead was called otherwise, and says nothing.
                if came || !is_call || children.is_empty() {
                    self.tried(expected, !came, view);
                }
            }
        }
    }

    /// What was missing was only late.
    fn came_late(&mut self, tree: &Tree, view: &View<'_>) {
        for span in &tree.spans {
            let service = view.operations[span.operation].service;
            if let Some(tried) = self.by_operation.get_mut(span.operation.0 as usize)
                && tried.missing >= 1.0
            {
                tried.missing -= 1.0;
                if let Some(sender) = self.sender(service) {
                    sender.tried.missing = (sender.tried.missing - 1.0).max(0.0);
                }
            }
        }
    }

    /// A service said that it dropped so many spans.
    pub(super) fn told(
        &mut self,
        service: ServiceId,
        dropped: f64,
        why: &str,
        view: &View<'_>,
        findings: &mut PlaceFindings,
        doubts: &mut Vec<Doubt>,
    ) {
        let evidence = format!("its own count says that it dropped {dropped:.0} spans ({why})");
        self.drops(service, view.now - COUNTED_AFTER, evidence, view, findings, doubts);
    }

    /// Time passed.
    pub(super) fn tick(&mut self, view: &View<'_>, findings: &mut PlaceFindings, doubts: &mut Vec<Doubt>) {
        for (index, sender) in self.by_service.iter_mut().enumerate() {
            if sender.since == Timestamp(0) {
                continue;
            }
            let service = ServiceId::at(index);
            if view.now <= sender.latest + OVER {
                let (from, until) = (sender.since, view.now);
                doubts.push(Doubt { service, why: Why::TelemetryLost, from, until, is_new: false });
                continue;
            }
            sender.since = Timestamp(0);
            let place = Place::service(view.coverage[service].name);
            findings.close(FindingKind::ExporterDrops, place, FindingStatus::Resolved);
        }
        if view.now < self.stretch_ends {
            return;
        }
        self.stretch_ends = view.now + STRETCH;
        for index in 0..self.by_service.len() {
            let service = ServiceId::at(index);
            if let Some(evidence) = self.shown(service, view) {
                self.drops(service, view.now - STRETCH * 6, evidence, view, findings, doubts);
            }
            let sender = &mut self.by_service[index];
            sender.tried.fade();
            sender.detached *= FADES;
            sender.stretches = (sender.stretches << 1) & LATEST;
        }
        self.by_operation.iter_mut().for_each(Tried::fade);
    }

    /// What shows that a service drops, where traces do.
    fn shown(&mut self, service: ServiceId, view: &View<'_>) -> Option<String> {
        let sender = &mut self.by_service[service.index() as usize];
        let share = sender.tried.share();
        let is_raised = share >= RAISED + 2.0 * sender.usual;
        if !is_raised {
            sender.usual += (share - sender.usual) * 0.02;
        }
        let goes_on = sender.stretches.count_ones() >= STRETCHES;
        let is_known_sample = view.coverage[service].sampled().is_some();
        if !is_raised || !goes_on || is_known_sample || sender.detached > sender.tried.missing / 2.0 {
            return None;
        }
        let lack = |operation: OperationId| {
            let tried = self.by_operation.get(operation.0 as usize).copied().unwrap_or_default();
            tried.missing >= MISSED && tried.share() >= share / 4.0
        };
        let of_service = view.operations.iter().filter(|(_, operation)| operation.service == service);
        let lacking: Vec<_> = of_service.filter(|(id, _)| lack(*id)).map(|(_, operation)| operation).collect();
        if lacking.len() < OPERATIONS || !lacking.iter().any(|operation| is_entry(operation.kind)) {
            return None;
        }
        let names: Vec<_> = lacking.iter().take(3).map(|one| format!("`{}`", view.symbols.text(one.name))).collect();
        Some(format!(
            "{:.0} % of its spans are missing from requests that went well, of several operations at random: {}",
            share * 100.0,
            names.join(", "),
        ))
    }

    fn drops(
        &mut self,
        service: ServiceId,
        from: Timestamp,
        evidence: String,
        view: &View<'_>,
        findings: &mut PlaceFindings,
        doubts: &mut Vec<Doubt>,
    ) {
        let Some(sender) = self.sender(service) else { return };
        let is_new = sender.since == Timestamp(0);
        if is_new {
            sender.since = from;
        }
        sender.latest = view.now;
        let (from, until) = (sender.since, view.now);
        doubts.push(Doubt { service, why: Why::TelemetryLost, from, until, is_new });
        let place = Place::service(view.coverage[service].name);
        let kind = FindingKind::ExporterDrops;
        let sign = Sign { kind, place, at: view.now, example: None, share: 1.0, evidence };
        findings.deviate(sign, view.now, view.symbols);
    }

    fn sender(&mut self, service: ServiceId) -> Option<&mut Sender> {
        let index = service.index() as usize;
        if index >= MAX_SERVICES {
            return None;
        }
        if index >= self.by_service.len() {
            self.by_service.resize(index + 1, Sender::default());
        }
        self.by_service.get_mut(index)
    }
}

/// Whether anything of the service comes: one that is silent altogether drops nothing.
fn is_reporting(service: ServiceId, view: &View<'_>) -> bool {
    view.coverage.last_heard(&view.coverage[service]) >= Some(view.now - REPORTING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::Heard;
    use crate::watch::stage::{Act, Stage};

    struct Scene {
        stage: Stage,
        kin: Kin,
        drops: Drops,
        doubts: Vec<Doubt>,
    }

    /// A page that asks the stock, which asks its database.
    fn page() -> Vec<Act> {
        let stock = Act { service: "stock", ..Act::default() };
        vec![
            Act { id: 1, kind: SpanKind::Server, name: "GET /page", until: 40, ..Act::default() },
            Act { id: 2, parent: 1, kind: SpanKind::Client, name: "GET", until: 30, ..Act::default() },
            Act { id: 3, parent: 2, kind: SpanKind::Server, name: "GET /stock", until: 25, ..stock },
            Act { id: 4, parent: 3, kind: SpanKind::Client, name: "SELECT stock", until: 3, ..stock },
            Act { id: 5, parent: 3, kind: SpanKind::Client, name: "SELECT prices", until: 3, ..stock },
        ]
    }

    impl Scene {
        fn new() -> Self {
            let (stage, kin, drops) = (Stage::new(), Kin::default(), Drops::default());
            Scene { stage, kin, drops, doubts: Vec::new() }
        }

        fn shows(&mut self, acts: &[Act]) {
            let tree = self.stage.tree(acts);
            let Scene { stage, kin, drops, .. } = self;
            stage.show(|view, _| drops.settled(&tree, kin, view));
            kin.learn(&tree);
        }

        fn second(&mut self) {
            self.stage.now = self.stage.now + Duration::from_millis(900);
            let name = self.stage.symbols.intern(b"stock");
            let service = self.stage.coverage.service(name, 0, &[]);
            let instance = self.stage.coverage.instance(service, 1, "1");
            let now = self.stage.now;
            self.stage.coverage.hear(service, instance, &Heard::default(), now);
            let Scene { stage, drops, doubts, .. } = self;
            stage.show(|view, findings| drops.tick(view, findings, doubts));
        }

        /// So many seconds of ten requests each; the n-th lacks these spans.
        fn passes(&mut self, seconds: usize, lacks: impl Fn(usize) -> &'static [u64]) {
            for n in 0..10 * seconds {
                let mut acts = page();
                acts.retain(|act| !lacks(n).contains(&act.id));
                self.shows(&acts);
                if n % 10 == 9 {
                    self.second();
                }
            }
        }
    }

    #[test]
    fn spans_that_are_missing_of_everything_at_random_are_dropped_and_cast_doubt() {
        let mut scene = Scene::new();
        scene.passes(60, |_| &[]);
        assert!(scene.stage.found().is_empty());
        const LACKS: [&[u64]; 5] = [&[3, 4, 5], &[4], &[5], &[], &[]];
        scene.passes(90, |n| LACKS[n % 5]);
        let found = scene.stage.found();
        assert_eq!((found.len(), found[0].kind.as_str()), (1, "exporter_drops"), "{found:?}");
        assert_eq!(found[0].service.as_deref(), Some("stock"));
        assert_eq!(scene.doubts.iter().filter(|doubt| doubt.is_new).count(), 1);
        assert_eq!(scene.doubts[0].why, Why::TelemetryLost);
        scene.passes(300, |_| &[]);
        assert_eq!(scene.stage.found()[0].status, "resolved");
    }

    #[test]
    fn one_operation_that_is_skipped_and_a_queue_lost_in_a_restart_are_no_drops() {
        let mut scene = Scene::new();
        scene.passes(60, |_| &[]);
        scene.passes(90, |n| if n % 2 == 0 { &[4] } else { &[] });
        let mut scene = Scene { stage: scene.stage, ..Scene::new() };
        scene.passes(60, |_| &[]);
        scene.passes(6, |_| &[3, 4, 5]);
        scene.passes(120, |_| &[]);
        assert!(scene.stage.found().is_empty(), "{:?}", scene.stage.found());
    }

    #[test]
    fn what_an_sdk_says_that_it_dropped_is_believed_at_once() {
        let mut scene = Scene::new();
        scene.second();
        let Scene { stage, drops, doubts, .. } = &mut scene;
        stage.show(|view, findings| drops.told(ServiceId::at(0), 40.0, "queue_full", view, findings, doubts));
        let found = scene.stage.found();
        assert_eq!((found.len(), found[0].kind.as_str()), (1, "exporter_drops"));
        assert!(found[0].evidence[0].contains("dropped 40 spans (queue_full)"));
        assert!(scene.doubts[0].is_new);
        (0..200).for_each(|_| scene.second());
        assert_eq!(scene.stage.found()[0].status, "resolved");
    }
}
