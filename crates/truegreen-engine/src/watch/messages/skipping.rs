//! Consumers that skip: they go on taking messages, and nothing is done with some of them. What is usually done under a
//! process span (a table written, a cache changed, a service called, another message published) is its effect. One that
//! failed, or was refused with a reason, is no skip; nor is one taken again, which may have been done before.
//!
//! Traces in which nothing is done settle sooner than those that go on elsewhere, and how much sooner changes as exporters
//! become slow. So the messages of one second of receipt are decided together, once all their traces have settled, and
//! seconds in their order.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::finding::FindingKind;
use truegreen_model::observation::TraceId;
use truegreen_model::time::Timestamp;

use super::super::habit::Habit;
use super::super::role::{Role, Roles};
use super::super::share::Deviation;
use super::super::table::Table;
use super::super::{View, hex};
use crate::finding::PlaceFindings;
use crate::finding::place::Place;
use crate::trace::operation::OperationId;
use crate::trace::span::TracedSpan;
use crate::trace::tree::Tree;

/// Spans below one processing that are looked at.
const MAX_LOOKED_AT: usize = 256;
/// Effects of one operation told apart.
const MAX_EFFECTS: usize = 8;
/// Those of one second that are named.
const MAX_EXAMPLES: usize = 16;
/// What has not settled so long after two export lags is not waited for.
const LONGEST: Duration = Duration::from_secs(60);
const SECOND: u64 = 1_000_000_000;

/// What is usually done with messages, by the operation that processes them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Skipping {
    consumers: Table<OperationId, Consumer>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Consumer {
    has_effect: Habit,
    /// How often each was met.
    effects: SmallVec<[(OperationId, u64); 2]>,
    /// In a row.
    skipped: u64,
    /// By the second of receipt, what is not decided yet.
    cohorts: BTreeMap<u64, Cohort>,
}

/// What was received in the same second.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cohort {
    /// Whose traces have not settled.
    unsettled: u32,
    done: u32,
    skipped: u32,
    examples: SmallVec<[Deviation; 1]>,
}

/// What was done under a process span.
enum Done {
    Something(OperationId),
    Nothing,
    /// It failed, or was refused.
    Refused,
}

impl Skipping {
    pub(super) fn overflowed(&self) -> u64 {
        self.consumers.overflowed()
    }

    /// A message was taken by this span, whose trace has not settled.
    pub(super) fn heard(&mut self, span: &TracedSpan) {
        if let Some(consumer) = self.consumers.entry(span.operation, Consumer::default) {
            consumer.cohorts.entry(span.received.0 / SECOND).or_default().unsettled += 1;
        }
    }

    /// The trace has settled in which this span took a message, which says nothing where it was taken before.
    pub(super) fn processed(
        &mut self,
        tree: &Tree,
        process: usize,
        says_nothing: bool,
        roles: &mut Roles,
        view: &View<'_>,
    ) {
        let span = &tree.spans[process];
        let Some(consumer) = self.consumers.get_mut(&span.operation) else { return };
        let Some(cohort) = consumer.cohorts.get_mut(&(span.received.0 / SECOND)) else { return };
        cohort.unsettled = cohort.unsettled.saturating_sub(1);
        if says_nothing {
            return;
        }
        let done = done(tree, process, roles, view);
        // What is done is done, also where not all of the trace came at once; what is not may be in the rest of it.
        if matches!(done, Done::Refused) || (tree.is_partial && matches!(done, Done::Nothing)) {
            return;
        }
        match done {
            Done::Something(effect) => {
                cohort.done += 1;
                consumer.met(effect);
            }
            _ => {
                cohort.skipped += 1;
                if cohort.examples.len() < MAX_EXAMPLES {
                    cohort.examples.push(Deviation { at: span.start, trace: tree.trace });
                }
            }
        }
    }

    /// Decides what has settled; `lag` is how long telemetry takes to come.
    pub(super) fn decide(&mut self, lag: Duration, view: &View<'_>, findings: &mut PlaceFindings) {
        let given_up = (view.now - 2 * lag - LONGEST).0 / SECOND;
        for operation in self.consumers.keys() {
            let Some(consumer) = self.consumers.get_mut(&operation) else { continue };
            while let Some(first) = consumer.cohorts.first_entry() {
                let (second, is_settled) = (*first.key(), first.get().unsettled == 0);
                // More may come of this very second.
                if second + 1 >= view.now.0 / SECOND || !(is_settled || second < given_up) {
                    break;
                }
                let cohort = first.remove();
                // Of what did not settle nothing is known, nor whether it would have had company.
                if is_settled {
                    consumer.decide(operation, &cohort, view, findings);
                }
            }
        }
    }
}

impl Consumer {
    /// Within a second nothing tells which was first: those skipped are spread evenly.
    fn decide(&mut self, operation: OperationId, cohort: &Cohort, view: &View<'_>, findings: &mut PlaceFindings) {
        let operation = &view.operations[operation];
        let (kind, place) = (FindingKind::SkippingConsumer, Place::operation(operation));
        let usual = self.effects.iter().max_by_key(|(_, n)| *n).map(|(effect, _)| *effect);
        let (all, mut examples) = (u64::from(cohort.done) + u64::from(cohort.skipped), cohort.examples.iter());
        for n in 0..all {
            let skipped_until = |n: u64| n * u64::from(cohort.skipped) / all;
            if skipped_until(n) == skipped_until(n + 1) {
                self.skipped = 0;
                self.has_effect.kept(kind, place, findings);
                continue;
            }
            self.skipped += 1;
            let skipped = self.skipped;
            let unnamed = cohort.examples.first().map_or(Timestamp::default(), |first| first.at);
            let deviation = examples.next().copied().unwrap_or(Deviation { at: unnamed, trace: TraceId(0) });
            let evidence = |habit: &Habit| {
                let effect = usual.map_or("anything", |effect| view.symbols.text(view.operations[effect].name));
                let row = if skipped > 1 { format!(", {skipped} in a row") } else { String::new() };
                format!(
                    "`{}` in trace {} had no `{effect}` under it{row}; usually {:.1} % have",
                    view.symbols.text(operation.name),
                    hex(deviation.trace),
                    habit.percent(),
                )
            };
            self.has_effect.broken((kind, place), deviation, evidence, view, findings);
        }
    }

    fn met(&mut self, effect: OperationId) {
        let has_room = self.effects.len() < MAX_EFFECTS;
        match self.effects.iter_mut().find(|(known, _)| *known == effect) {
            Some((_, n)) => *n += 1,
            None if has_room => self.effects.push((effect, 1)),
            None => {}
        }
    }
}

fn done(tree: &Tree, process: usize, roles: &mut Roles, view: &View<'_>) -> Done {
    let own = &tree.spans[process];
    if own.failed() || own.refused || own.error.is_some() {
        return Done::Refused;
    }
    let service = view.operations[own.operation].service;
    let mut found = Done::Nothing;
    let mut below: SmallVec<[usize; 16]> = SmallVec::from_slice(tree.children(process));
    let mut looked_at = 0;
    while let Some(index) = below.pop() {
        looked_at += 1;
        let span = &tree.spans[index];
        if span.refused || looked_at > MAX_LOOKED_AT {
            return Done::Refused;
        }
        if view.operations[span.operation].service != service {
            continue;
        }
        match roles.of(span.operation, view.operations, view.symbols) {
            // What is done with another message is that one's effect.
            Role::Process => continue,
            Role::Publish | Role::Effect(_) => found = Done::Something(span.operation),
            Role::CacheRead | Role::Read | Role::Other => {}
        }
        below.extend_from_slice(tree.children(index));
    }
    found
}
