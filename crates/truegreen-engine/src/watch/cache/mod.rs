//! Stale caches: entries that are served after what they are a copy of was changed.
//!
//! A write of a table's row tells which row it is (`docs/telemetry.md`), and so does whatever is done with a cache's entry.
//! Usually the entry of a row that was written is soon removed, put anew or missed; where hits go on instead, it is
//! stale. That it must not be is known from the past: of entries that were there, nearly all went with their rows, and
//! far fewer go without. A row of another table may have the same id, and entries go for their age, too.
//!
//! Or, where there is no past, it is known because the cache is filled from that very table, and either its service is
//! told of the write by a message and does nothing with it, or entries are removed by a name that is never asked for.
//!
//! Entries are followed as their spans come, and held by event time: a hit is in doubt until whatever removed the entry
//! before it would have been heard.

mod base;
mod debts;
mod entries;
mod fill;
mod heed;
mod names;
mod ratio;
mod row;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::flow::SpanKind;
use truegreen_model::observation::{Symbol, TraceId};

use super::View;
use super::clocks::Clocks;
use super::role::{Effect, Role, Roles};
use crate::finding::PlaceFindings;
use crate::trace::operation::{Operation, OperationId};
use crate::trace::span::TracedSpan;
use crate::trace::tree::{Parent, Tree};
use debts::{Debts, Processed};
use entries::{Entries, Scene};
use ratio::Unnamed;
use row::{Becomes, Cache};

/// The upper bits of a cache's key tell the words around the id.
const ID: u64 = (1 << 48) - 1;
const REMOVES: [&str; 8] = ["remove", "delete", "del", "unlink", "evict", "invalidate", "hdel", "clear"];

/// All caches.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Caches {
    #[serde(skip)]
    roles: Roles,
    debts: Debts,
    entries: Entries,
    unnamed: Unnamed,
}

impl Caches {
    pub(super) fn overflowed(&self) -> u64 {
        self.debts.overflowed() + self.entries.overflowed() + self.unnamed.overflowed()
    }

    /// A span came.
    pub(super) fn heard(
        &mut self,
        trace: TraceId,
        span: &TracedSpan,
        clocks: &Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let role = self.roles.of(span.operation, view.operations, view.symbols);
        let operation = &view.operations[span.operation];
        match role {
            Role::Effect(Effect::TableWrite) if !span.failed() && span.rows != Some(0) => {
                self.unnamed.written(operation.subject);
                if span.key != 0 {
                    let Caches { entries, debts, .. } = self;
                    entries.written(span, &mut Scene { clocks, debts, view, findings });
                }
            }
            Role::Effect(Effect::CacheWrite) if span.key != 0 && !span.failed() => {
                let cache = cache(operation, span);
                let becomes = if removes(operation, view) { Becomes::Removed } else { Becomes::Put };
                let Caches { entries, debts, .. } = self;
                if let Some(named) = debts.named(cache) {
                    match becomes {
                        Becomes::Removed => named.removed(operation.service_name),
                        Becomes::Missed | Becomes::Put => named.put(),
                    }
                }
                entries.freed(span, cache, becomes, &mut Scene { clocks, debts, view, findings });
            }
            Role::CacheRead if !span.failed() => {
                // Of others it takes the whole trace to tell.
                if let Some(is_hit) = span.hit {
                    self.asked(span, (trace, is_hit), clocks, view, findings);
                }
            }
            _ => {}
        }
    }

    /// Nothing more is expected of this trace.
    pub(super) fn settled(&mut self, tree: &Tree, clocks: &Clocks, view: &View<'_>, findings: &mut PlaceFindings) {
        let mut published: SmallVec<[Symbol; 2]> = SmallVec::new();
        let mut written: SmallVec<[OperationId; 2]> = SmallVec::new();
        // Where each message is processed, and whether something is done under that.
        let mut processed: SmallVec<[Processed; 1]> = SmallVec::new();
        let mut effects: SmallVec<[usize; 8]> = SmallVec::new();
        for (index, span) in tree.spans.iter().enumerate() {
            let role = self.roles.of(span.operation, view.operations, view.symbols);
            let operation = &view.operations[span.operation];
            match role {
                Role::Publish => published.extend(operation.subject),
                Role::Process => {
                    let process =
                        |of| Processed { at: index, message: (of, operation.service_name), has_effect: false };
                    processed.extend(operation.subject.map(process));
                }
                Role::Effect(effect) => {
                    effects.push(index);
                    if effect == Effect::TableWrite && span.key != 0 {
                        written.push(span.operation);
                    }
                }
                Role::CacheRead if !span.failed() => {
                    let is_hit = is_hit(tree, index, &mut self.roles, view);
                    if !is_hit {
                        self.missed(tree, index, view);
                    }
                    if span.hit.is_none() {
                        self.asked(span, (tree.trace, is_hit), clocks, view, findings);
                    }
                }
                Role::CacheRead | Role::Read | Role::Other => {}
            }
        }
        written.into_iter().for_each(|write| self.debts.tells(write, &published));
        if !processed.is_empty() {
            self.debts.heed(tree, processed, &effects);
        }
    }

    /// An entry was missed, and what it is a copy of was read.
    fn missed(&mut self, tree: &Tree, miss: usize, view: &View<'_>) {
        let span = &tree.spans[miss];
        let cache = cache(&view.operations[span.operation], span);
        let tables = self.debts.missed(cache, (tree, miss), &mut self.roles, view);
        if span.key == 0 {
            self.unnamed.filled(cache, &tables);
        }
    }

    /// A cache was asked.
    fn asked(
        &mut self,
        span: &TracedSpan,
        (trace, is_hit): (TraceId, bool),
        clocks: &Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let operation = &view.operations[span.operation];
        let cache = cache(operation, span);
        if span.key == 0 {
            return self.unnamed.asked(cache, is_hit, trace, operation.service_name);
        }
        let Caches { entries, debts, .. } = self;
        if let Some(named) = debts.named(cache) {
            named.asked(operation.service_name);
        }
        let scene = &mut Scene { clocks, debts, view, findings };
        match is_hit {
            true => entries.hit(span, trace, cache, scene),
            false => entries.freed(span, cache, Becomes::Missed, scene),
        }
    }

    /// Time passed.
    pub(super) fn tick(&mut self, view: &View<'_>, findings: &mut PlaceFindings) {
        self.entries.tick(&self.debts, view, findings);
        self.unnamed.tick(view, findings);
    }
}

/// Whether the entry was there: as told, else because nothing was put there afterwards.
fn is_hit(tree: &Tree, read: usize, roles: &mut Roles, view: &View<'_>) -> bool {
    let span = &tree.spans[read];
    if let Some(hit) = span.hit {
        return hit;
    }
    let Parent::At(parent) = tree.parent(read) else { return true };
    let mut siblings = tree.children(parent).iter().take(64).map(|sibling| &tree.spans[*sibling]);
    !siblings.any(|sibling| {
        sibling.key == span.key
            && sibling.start >= span.start
            && roles.of(sibling.operation, view.operations, view.symbols) == Role::Effect(Effect::CacheWrite)
            && !removes(&view.operations[sibling.operation], view)
    })
}

/// The cache that a span is about: services share one that is called over the network.
fn cache(operation: &Operation, span: &TracedSpan) -> Cache {
    let server = operation.system.filter(|_| operation.kind == SpanKind::Client);
    let server = server.map(|system| operation.peer.unwrap_or(system));
    let words = (span.key >> 48) as u16;
    Cache { owner: server.unwrap_or(operation.service_name), subject: operation.subject, words }
}

fn removes(operation: &Operation, view: &View<'_>) -> bool {
    let verb = view.symbols.text(operation.verb.unwrap_or(operation.name));
    let mut words = verb.split(|c: char| !c.is_ascii_alphabetic());
    words.any(|word| REMOVES.iter().any(|removes| word.eq_ignore_ascii_case(removes)))
}

#[cfg(test)]
mod tests;
