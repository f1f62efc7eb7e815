//! Traces for the tests of detectors, written down span by span.

use truegreen_model::flow::SpanKind;
use truegreen_model::observation::{Evidence, InstanceId, TraceId};
use truegreen_model::report::FindingReport;
use truegreen_model::time::Timestamp;

use super::View;
use crate::coverage::Coverage;
use crate::finding::{PlaceFindings, QUIET_AFTER};
use crate::symbols::Symbols;
use crate::trace::operation::{Operations, Told};
use crate::trace::span::{Outcome, TracedSpan};
use crate::trace::tree::Tree;

/// When every scene begins.
pub(super) const BEGINS: Timestamp = Timestamp::from_secs(1_800_000_000);

/// One span as a test writes it down: times in milliseconds since the trace began.
#[derive(Clone, Copy)]
pub(super) struct Act {
    pub(super) id: u64,
    pub(super) parent: u64,
    pub(super) service: &'static str,
    pub(super) kind: SpanKind,
    pub(super) name: &'static str,
    pub(super) from: u64,
    pub(super) until: u64,
    pub(super) outcome: Outcome,
    pub(super) status: u16,
    pub(super) error: &'static str,
    pub(super) refused: bool,
    pub(super) rows: Option<u32>,
    pub(super) hit: Option<bool>,
    pub(super) key: u64,
    /// Peer, subject, group, verb, system.
    pub(super) texts: [&'static str; 5],
}

impl Default for Act {
    fn default() -> Self {
        Act {
            id: 1,
            parent: 0,
            service: "shop",
            kind: SpanKind::Internal,
            name: "work",
            from: 0,
            until: 10,
            outcome: Outcome::Unset,
            status: 0,
            error: "",
            refused: false,
            rows: None,
            hit: None,
            key: 0,
            texts: [""; 5],
        }
    }
}

/// Where detectors are tried out.
pub(super) struct Stage {
    pub(super) operations: Operations,
    pub(super) symbols: Symbols,
    pub(super) coverage: Coverage,
    pub(super) findings: PlaceFindings,
    pub(super) now: Timestamp,
    traces: u128,
}

impl Stage {
    pub(super) fn new() -> Self {
        Stage {
            operations: Operations::default(),
            symbols: Symbols::new(),
            coverage: Coverage::default(),
            findings: PlaceFindings::default(),
            now: BEGINS,
            traces: 0,
        }
    }

    /// A trace of these spans that began now; time passes by ten milliseconds.
    pub(super) fn tree(&mut self, acts: &[Act]) -> Tree {
        self.traces += 1;
        let spans = acts.iter().map(|act| self.span(act)).collect();
        self.now = self.now + std::time::Duration::from_millis(10);
        Tree::new(TraceId(self.traces), spans, false)
    }

    fn span(&mut self, act: &Act) -> TracedSpan {
        let service_name = self.symbols.intern(act.service.as_bytes());
        let service = self.coverage.service(service_name, 0, &[]);
        let instance = self.coverage.instance(service, 1, "1").unwrap_or(InstanceId(0));
        let texts = act.texts.map(str::as_bytes);
        let told = Told { service, service_name, kind: act.kind, name: act.name.as_bytes(), texts };
        let at = |ms| self.now + std::time::Duration::from_millis(ms);
        TracedSpan {
            span: act.id,
            parent: act.parent,
            operation: self.operations.enter(told, &mut self.symbols),
            instance,
            outcome: act.outcome,
            start: at(act.from),
            end: at(act.until),
            received: at(act.until),
            status: act.status,
            error: (!act.error.is_empty()).then(|| self.symbols.intern(act.error.as_bytes())),
            refused: act.refused,
            rows: act.rows,
            hit: act.hit,
            key: act.key,
            partition: None,
            links: Vec::new(),
            evidence: Evidence::default(),
        }
    }

    /// So long nothing happens that findings are quiet.
    pub(super) fn rest(&mut self) {
        self.now = self.now + QUIET_AFTER;
    }

    /// Lets a detector see something.
    pub(super) fn show(&mut self, mut see: impl FnMut(&View<'_>, &mut PlaceFindings)) {
        let Stage { operations, symbols, coverage, findings, now, .. } = self;
        findings.pass(*now);
        see(&View { operations, symbols, coverage, now: *now }, findings);
    }

    /// What was found so far.
    pub(super) fn found(&self) -> Vec<FindingReport> {
        self.findings.list(self.now, &self.symbols)
    }
}
