//! From which tables an entry is filled that was missed: what is read afterwards within the same request. Of the same row
//! that is certain; else of those that are read for nearly every miss.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::observation::Symbol;

use super::ID;
use crate::trace::tree::{Parent, Tree};
use crate::watch::View;
use crate::watch::role::{Effect, Role, Roles};

/// Spans of a request that are looked at.
const MAX_LOOKED_AT: usize = 64;
/// Misses for which a table was read, from which on it counts, and of a hundred misses.
const ENOUGH: u32 = 3;
const NEARLY_ALL: u32 = 80;

/// Misses of a cache for which a table was read.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Filled {
    times: u32,
    is_certain: bool,
}

impl Filled {
    pub(super) fn add(&mut self, is_same_row: bool) {
        self.times = self.times.saturating_add(1);
        self.is_certain |= is_same_row;
    }

    /// Whether the cache is a copy of the table, of which there were so many misses.
    pub(super) fn is_source(&self, misses: u32) -> bool {
        let is_usual = self.times >= ENOUGH && u64::from(self.times) * 100 >= u64::from(misses) * u64::from(NEARLY_ALL);
        self.is_certain || is_usual
    }
}

/// Tables that are read between a miss and the put that follows, if one does, and whether that was of the same row.
pub(super) fn tables(tree: &Tree, miss: usize, roles: &mut Roles, view: &View<'_>) -> SmallVec<[(Symbol, bool); 2]> {
    let mut tables: SmallVec<[(Symbol, bool); 2]> = SmallVec::new();
    let Parent::At(parent) = tree.parent(miss) else { return tables };
    let missed = &tree.spans[miss];
    let service = view.operations[missed.operation].service;
    let mut role = |at: usize| roles.of(tree.spans[at].operation, view.operations, view.symbols);
    let siblings = tree.children(parent).iter().copied().take(MAX_LOOKED_AT);
    let mut after: SmallVec<[usize; 8]> =
        siblings.filter(|sibling| *sibling != miss && tree.spans[*sibling].start >= missed.end).collect();
    let put = after.iter().copied().filter(|at| tree.spans[*at].key == missed.key);
    let put = put.filter(|at| role(*at) == Role::Effect(Effect::CacheWrite)).map(|at| tree.spans[at].start).min();
    after.retain(|at| put.is_none_or(|put| tree.spans[*at].start <= put));
    let mut looked = 0;
    while let Some(at) = after.pop() {
        looked += 1;
        if looked > MAX_LOOKED_AT {
            break;
        }
        let (span, operation) = (&tree.spans[at], &view.operations[tree.spans[at].operation]);
        let is_same = missed.key != 0 && span.key & ID == missed.key & ID;
        // Elsewhere much else is read for the same request.
        let is_row = is_same || (span.key == 0 && operation.service == service);
        if role(at) == Role::Read && (is_row || span.key == 0) && !span.failed() {
            match operation.subject.map(|subject| (subject, tables.iter().position(|(known, _)| *known == subject))) {
                Some((_, Some(known))) => tables[known].1 |= is_row,
                Some((subject, None)) => tables.push((subject, is_row)),
                None => {}
            }
        }
        after.extend(tree.children(at).iter().copied().take(MAX_LOOKED_AT));
    }
    tables
}
