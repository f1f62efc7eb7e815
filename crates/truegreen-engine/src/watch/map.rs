//! The map that traffic draws: arrows between services, destinations, databases and caches, with what each carried.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::flow::SpanKind;
use truegreen_model::map::ArrowKind;
use truegreen_model::observation::Symbol;
use truegreen_model::time::Timestamp;

use super::View;
use super::table::Table;
use crate::symbols::OTHER;
use crate::trace::operation::Operation;
use crate::trace::tree::{Parent, Tree};

/// Bounds of the buckets of durations grow by a fifth, from ten microseconds to a quarter of an hour.
const BUCKETS: usize = 100;
const SHORTEST: f64 = 1e-5;
const GROWS: f64 = 1.2;

/// One end of an arrow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) enum End {
    Service(Symbol),
    /// A host or service that is called and does not report.
    Peer(Symbol),
    Destination(Symbol),
    /// A system, and what in it.
    Store(Symbol, Option<Symbol>),
}

/// Which arrow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct ArrowId {
    pub(crate) kind: ArrowKind,
    pub(crate) from: End,
    pub(crate) to: End,
}

/// What an arrow carried.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Carried {
    pub(crate) count: u64,
    pub(crate) errors: u64,
    /// Whose other end reported, or that were tied to their producer.
    pub(crate) tied: u64,
    /// Spans under which something else was done: a message that is only taken has no such trace.
    pub(crate) with_effects: u64,
    /// Statements that may change rows, and those of them that say how many they changed.
    pub(crate) writes: u64,
    pub(crate) with_rows: u64,
    /// Look-ups in a cache that name the entry and say whether it was there.
    pub(crate) with_hit: u64,
    pub(crate) with_partition: u64,
    pub(crate) last_received: Timestamp,
    durations: Vec<u64>,
}

impl Default for Carried {
    fn default() -> Self {
        Carried {
            count: 0,
            errors: 0,
            tied: 0,
            with_effects: 0,
            writes: 0,
            with_rows: 0,
            with_hit: 0,
            with_partition: 0,
            last_received: Timestamp(0),
            durations: vec![0; BUCKETS],
        }
    }
}

/// All arrows met so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Paths {
    arrows: Table<ArrowId, Carried>,
}

impl Paths {
    pub(super) fn overflowed(&self) -> u64 {
        self.arrows.overflowed()
    }

    pub(super) fn settled(&mut self, tree: &Tree, view: &View<'_>) {
        for (index, span) in tree.spans.iter().enumerate() {
            let operation = &view.operations[span.operation];
            let Some((id, is_tied)) = arrow(tree, index, operation, view) else { continue };
            let Some(carried) = self.arrows.entry(id, Carried::default) else { continue };
            carried.count += 1;
            carried.errors += u64::from(span.failed());
            carried.tied += u64::from(is_tied);
            carried.with_effects += u64::from(!tree.children(index).is_empty());
            carried.with_partition += u64::from(span.partition.is_some());
            carried.with_hit += u64::from(span.hit.is_some() && span.key != 0);
            let writes = operation.verb.is_some_and(|verb| is_write(view.symbols.text(verb)));
            carried.writes += u64::from(writes);
            carried.with_rows += u64::from(writes && span.rows.is_some());
            carried.last_received = carried.last_received.max(span.received);
            carried.durations[bucket(span.duration())] += 1;
        }
    }

    /// All arrows, in order.
    pub(crate) fn arrows(&self) -> impl Iterator<Item = (ArrowId, &Carried)> {
        self.arrows.keys().into_iter().filter_map(|id| Some((id, self.arrows.get(&id)?)))
    }
}

impl Carried {
    /// The duration that this share of all stays below.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let total: u64 = self.durations.iter().sum();
        let mut left = (total as f64 * share).ceil() as u64;
        for (index, n) in self.durations.iter().enumerate() {
            left = left.saturating_sub(*n);
            if left == 0 {
                return Duration::from_secs_f64(SHORTEST * GROWS.powi(index as i32));
            }
        }
        Duration::ZERO
    }
}

/// The arrow that a span is of, and whether its other end is known from telemetry too. A call is told by its client's
/// span, or by the server's where the client does not report.
fn arrow(tree: &Tree, index: usize, operation: &Operation, view: &View<'_>) -> Option<(ArrowId, bool)> {
    let own = End::Service(operation.service_name);
    let span = &tree.spans[index];
    let messages = || operation.subject.map(End::Destination);
    let verb = operation.verb.map(|verb| view.symbols.text(verb));
    let is_message = operation.system.is_some()
        && matches!(verb, Some("send" | "publish" | "create" | "process" | "receive" | "settle"));
    match operation.kind {
        SpanKind::Producer => Some((ArrowId { kind: ArrowKind::Publish, from: own, to: messages()? }, true)),
        SpanKind::Client if is_message => match verb {
            Some("send" | "publish") => Some((ArrowId { kind: ArrowKind::Publish, from: own, to: messages()? }, true)),
            _ => None,
        },
        SpanKind::Consumer => {
            let is_tied = !span.links.is_empty() || tree.parent(index) != Parent::Root;
            Some((ArrowId { kind: ArrowKind::Process, from: messages()?, to: own }, is_tied))
        }
        SpanKind::Internal | SpanKind::Client if span.hit.is_some() => {
            let cache = End::Store(operation.system.unwrap_or(OTHER), operation.subject);
            Some((ArrowId { kind: ArrowKind::Cache, from: own, to: cache }, true))
        }
        SpanKind::Client if operation.system.is_some() => {
            let store = End::Store(operation.system?, operation.subject);
            Some((ArrowId { kind: ArrowKind::Database, from: own, to: store }, true))
        }
        SpanKind::Client => {
            let served = tree.children(index).iter().map(|child| &view.operations[tree.spans[*child].operation]);
            let server = served.filter(|child| child.kind == SpanKind::Server).map(|child| child.service_name).next();
            let to = server.map(End::Service).or(operation.peer.map(End::Peer))?;
            Some((ArrowId { kind: ArrowKind::Call, from: own, to }, server.is_some()))
        }
        _ => None,
    }
}

/// Whether a statement of this verb changes rows.
pub(crate) fn is_write(verb: &str) -> bool {
    ["update", "delete", "merge", "insert", "replace"].iter().any(|write| verb.eq_ignore_ascii_case(write))
}

fn bucket(duration: Duration) -> usize {
    let steps = (duration.as_secs_f64().max(SHORTEST) / SHORTEST).ln() / GROWS.ln();
    (steps.round() as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::stage::{Act, Stage};

    fn seen(acts: &[Act]) -> (Stage, Paths) {
        let (mut stage, mut paths) = (Stage::new(), Paths::default());
        for _ in 0..10 {
            let tree = stage.tree(acts);
            stage.show(|view, _| paths.settled(&tree, view));
        }
        (stage, paths)
    }

    #[test]
    fn a_call_is_one_arrow_though_both_ends_report() {
        let client = Act { id: 1, kind: SpanKind::Client, name: "POST", until: 100, ..Act::default() };
        let server = Act {
            id: 2,
            parent: 1,
            service: "payments",
            kind: SpanKind::Server,
            name: "POST /charge",
            ..Act::default()
        };
        let (stage, paths) = seen(&[client, server]);
        let arrows: Vec<_> = paths.arrows().collect();
        let (id, carried) = &arrows[0];
        assert_eq!((arrows.len(), id.kind, carried.count, carried.tied), (1, ArrowKind::Call, 10, 10));
        assert_eq!(id.to, End::Service(stage.symbols.find("payments").unwrap()));
        let p99 = carried.quantile(0.99).as_secs_f64();
        assert!((0.09..0.11).contains(&p99), "{p99}");
    }

    #[test]
    fn who_is_called_and_does_not_report_is_known_by_the_caller_alone() {
        let client =
            Act { kind: SpanKind::Client, name: "GET", texts: ["api.bank.example", "", "", "", ""], ..Act::default() };
        let (stage, paths) = seen(&[client]);
        let (id, carried) = paths.arrows().next().unwrap();
        assert_eq!((id.to, carried.tied), (End::Peer(stage.symbols.find("api.bank.example").unwrap()), 0));
    }

    #[test]
    fn a_message_is_two_arrows_by_way_of_its_destination() {
        let texts = ["", "stock", "", "send", "kafka"];
        let publish = Act { id: 1, kind: SpanKind::Producer, name: "send stock", texts, ..Act::default() };
        let texts = ["", "stock", "inventory", "process", "kafka"];
        let process = Act {
            id: 2,
            parent: 1,
            service: "inventory",
            kind: SpanKind::Consumer,
            name: "process stock",
            texts,
            ..Act::default()
        };
        let (_, paths) = seen(&[publish, process]);
        let kinds: Vec<_> = paths.arrows().map(|(id, carried)| (id.kind, carried.tied)).collect();
        assert_eq!(kinds, [(ArrowKind::Publish, 10), (ArrowKind::Process, 10)]);
    }
}
