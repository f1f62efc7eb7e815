//! From which tables an entry is filled that was missed: what is read afterwards within the same request, of the same row.

use smallvec::SmallVec;
use truegreen_model::observation::Symbol;

use super::ID;
use crate::trace::tree::{Parent, Tree};
use crate::watch::View;
use crate::watch::role::{Effect, Role, Roles};

/// Spans of a request that are looked at.
const MAX_LOOKED_AT: usize = 64;

/// Tables that are read between a miss and the put that follows, if one does.
pub(super) fn tables(tree: &Tree, miss: usize, roles: &mut Roles, view: &View<'_>) -> SmallVec<[Symbol; 2]> {
    let mut tables = SmallVec::new();
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
        // Elsewhere much else is read for the same request.
        let is_same_row = span.key & ID == missed.key & ID || (span.key == 0 && operation.service == service);
        if role(at) == Role::Read && is_same_row && !span.failed() {
            tables.extend(operation.subject.filter(|subject| !tables.contains(subject)));
        }
        after.extend(tree.children(at).iter().copied().take(MAX_LOOKED_AT));
    }
    tables
}
