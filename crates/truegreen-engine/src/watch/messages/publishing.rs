//! Publications: as they come, and once it is known which request they were made for.

use smallvec::SmallVec;
use truegreen_model::observation::{Symbol, TraceId};

use super::super::View;
use super::super::clocks::Clocks;
use super::super::role::Role;
use super::losses::CHECKED_AFTER;
use super::window::{MessageId, Publication};
use super::{MAX_BATCH, Messages};
use crate::finding::PlaceFindings;
use crate::trace::SpanRef;
use crate::trace::span::TracedSpan;
use crate::trace::tree::{Parent, Tree};

impl Messages {
    /// A message was sent, which begins to wait.
    pub(super) fn sent(
        &mut self,
        (trace, span): (TraceId, &TracedSpan),
        clocks: &mut Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let Some(subject) = view.operations[span.operation].subject else { return };
        // A client's send of messages whose own spans were created before says nothing new.
        if !span.links.is_empty() || !self.window.follows(trace) {
            return;
        }
        let at = clocks.by_reference((span.instance, span.end));
        let publication = Publication {
            operation: span.operation,
            instance: span.instance,
            subject,
            partition: span.partition,
            trace,
            start: span.start,
            end: span.end,
            at,
            received: span.received,
            latest: span.received,
            failed: span.failed(),
            error: span.error,
            is_settled: false,
            is_told: false,
            twin: None,
            taken: SmallVec::new(),
        };
        let id = MessageId::of_span(SpanRef { trace, span: span.span });
        let is_named = span.key != 0 && self.goes_by_name(subject);
        let name = is_named.then(|| MessageId::of_text(subject, span.key));
        let due = span.received + self.lag() + CHECKED_AFTER;
        let Some(early) = self.window.publish((id, name), publication, due) else { return };
        for stream in self.groups.get(&subject).into_iter().flatten() {
            let stream = &mut self.streams[*stream as usize];
            stream.pace.published(at);
            if !span.failed() {
                stream.lane(span.partition).published(at);
            }
        }
        for processing in early {
            self.join(id, processing, clocks, view, findings);
        }
    }

    /// Whether consumers may know messages of this destination by nothing but their ids.
    fn goes_by_name(&self, subject: Symbol) -> bool {
        let groups = self.groups.get(&subject).map_or(&[][..], |groups| groups);
        groups.is_empty() || groups.iter().any(|stream| self.streams[*stream as usize].goes_by_name())
    }

    /// The trace in which a message was published has settled.
    pub(super) fn published(&mut self, tree: &Tree, index: usize, view: &View<'_>, findings: &mut PlaceFindings) {
        let span = &tree.spans[index];
        let id = MessageId::of_span(SpanRef { trace: tree.trace, span: span.span });
        let above = match tree.parent(index) {
            Parent::At(parent) => Some(parent),
            _ => None,
        };
        let is_of_created = above.is_some_and(|above| {
            self.roles.of(tree.spans[above].operation, view.operations, view.symbols) == Role::Publish
        });
        if is_of_created {
            let name = view.operations[span.operation].subject.filter(|_| span.key != 0);
            return self.forget((id, name.map(|subject| MessageId::of_text(subject, span.key))));
        }
        let Some(publication) = self.window.get_mut(id) else { return };
        publication.is_settled = true;
        publication.is_told =
            span.failed() && above.is_some_and(|above| tree.upwards(above).any(|above| tree.spans[above].failed()));
        publication.twin = twin(tree, index);
        if publication.twin.is_none() {
            return;
        }
        let streams: SmallVec<[u16; 4]> = publication.taken.iter().map(|taken| taken.stream).collect();
        for stream in streams {
            self.took_twice(id, stream, view, findings);
        }
    }
}

/// The same message published before or after it for the same request: one of both failed, or they have one id.
fn twin(tree: &Tree, index: usize) -> Option<MessageId> {
    let Parent::At(parent) = tree.parent(index) else { return None };
    let span = &tree.spans[index];
    let is_twin = |other: &TracedSpan| {
        other.span != span.span
            && other.operation == span.operation
            && (other.failed() != span.failed() || (span.key != 0 && other.key == span.key))
    };
    let siblings = tree.children(parent).iter().take(MAX_BATCH).map(|sibling| &tree.spans[*sibling]);
    let twin = siblings.into_iter().find(|sibling| is_twin(sibling))?;
    Some(MessageId::of_span(SpanRef { trace: tree.trace, span: twin.span }))
}
