//! Where in a tree the parts of unfinished requests are, and who called them.

use truegreen_model::flow::SpanKind;

use super::super::View;
use super::super::kin::{Habit, Kin, is_entry};
use super::request::Caller;
use crate::trace::operation::OperationId;
use crate::trace::tree::{Parent, Tree};

/// Missing parents looked at in one trace.
const MAX_MISSING: usize = 16;

/// Parts of one request that came in one tree.
pub(super) struct Group {
    pub(super) parent: u64,
    pub(super) parts: Vec<usize>,
}

/// Parts of requests of which the span that holds them together did not come.
pub(super) fn missing(tree: &Tree, view: &View<'_>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for top in tree.tops().filter(|top| tree.parent(*top) == Parent::Missing) {
        let span = &tree.spans[top];
        // What hangs at a span of another service says nothing of its own service.
        if is_entry(view.operations[span.operation].kind) {
            continue;
        }
        match groups.iter().position(|group| group.parent == span.parent) {
            Some(at) => groups[at].parts.push(top),
            None if groups.len() < MAX_MISSING => groups.push(Group { parent: span.parent, parts: vec![top] }),
            None => {}
        }
    }
    groups
}

/// What became of who called the request whose span did not come.
pub(super) fn caller(
    tree: &Tree,
    called: Option<OperationId>,
    part: OperationId,
    kin: &Kin,
    view: &View<'_>,
) -> Caller {
    let service = view.operations[part].service;
    let habit = called.and_then(|called| kin.of(called));
    for (index, span) in tree.spans.iter().enumerate() {
        let operation = &view.operations[span.operation];
        if operation.kind != SpanKind::Client || operation.service == service || !tree.children(index).is_empty() {
            continue;
        }
        let calls_it = habit.is_none_or(|habit| habit.tie(span.operation).is_some());
        if calls_it && (span.failed() || span.status >= 400) {
            return Caller::GaveUp(span.operation, span.error);
        }
        if calls_it && habit.is_some() {
            return Caller::Answered;
        }
    }
    let calls = |habit: &Habit| {
        let parent = habit.usual_parent().map(|tie| &view.operations[tie.parent]);
        parent.is_some_and(|parent| parent.kind == SpanKind::Client && parent.service != service)
            && habit.tied() > habit.roots
    };
    if habit.is_some_and(calls) { Caller::Waits } else { Caller::Unknown }
}
