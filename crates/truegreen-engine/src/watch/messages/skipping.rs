//! Consumers that skip: they go on taking messages, and nothing is done with some of them. What is usually done under a
//! process span (a table written, a cache changed, a service called, another message published) is its effect. One that
//! failed, or was refused with a reason, is no skip; nor is one taken again, which may have been done before.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::finding::FindingKind;

use super::super::habit::Habit;
use super::super::role::{Role, Roles};
use super::super::share::Deviation;
use super::super::table::Table;
use super::super::{View, hex};
use crate::finding::PlaceFindings;
use crate::finding::place::Place;
use crate::trace::operation::OperationId;
use crate::trace::tree::Tree;

/// Spans below one processing that are looked at.
const MAX_LOOKED_AT: usize = 256;
/// Effects of one operation told apart.
const MAX_EFFECTS: usize = 8;

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

    /// A message was processed for the first time, by this span.
    pub(super) fn processed(
        &mut self,
        tree: &Tree,
        process: usize,
        roles: &mut Roles,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let span = &tree.spans[process];
        let Some(consumer) = self.consumers.entry(span.operation, Consumer::default) else { return };
        let operation = &view.operations[span.operation];
        let (kind, place) = (FindingKind::SkippingConsumer, Place::operation(operation));
        match done(tree, process, roles, view) {
            Done::Refused => {}
            Done::Something(effect) => {
                consumer.met(effect);
                consumer.skipped = 0;
                consumer.has_effect.kept(kind, place, findings);
            }
            Done::Nothing => {
                consumer.skipped += 1;
                let usual = consumer.effects.iter().max_by_key(|(_, n)| *n).map(|(effect, _)| *effect);
                let skipped = consumer.skipped;
                let deviation = Deviation { at: span.start, trace: tree.trace };
                let evidence = |habit: &Habit| {
                    let effect = usual.map_or("anything", |effect| view.symbols.text(view.operations[effect].name));
                    let row = if skipped > 1 { format!(", {skipped} in a row") } else { String::new() };
                    format!(
                        "`{}` in trace {} had no `{effect}` under it{row}; usually {:.1} % have",
                        view.symbols.text(operation.name),
                        hex(tree.trace),
                        habit.percent(),
                    )
                };
                consumer.has_effect.broken((kind, place), deviation, evidence, view, findings);
            }
        }
    }
}

impl Consumer {
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
