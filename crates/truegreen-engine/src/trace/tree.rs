//! The spans of one trace, put together.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use truegreen_model::observation::TraceId;

use super::span::TracedSpan;

/// Where a span hangs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Parent {
    /// Nowhere: a request begins here.
    Root,
    /// At the span of this index.
    At(usize),
    /// At a span that did not come.
    Missing,
}

/// The spans of one trace, put together. Indices are into [`Tree::spans`].
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) trace: TraceId,
    /// By start, each span id once.
    pub(crate) spans: Vec<TracedSpan>,
    parents: Vec<Parent>,
    /// Children of all spans, those of one beside each other, by start.
    children: Vec<usize>,
    /// Where in `children` those of each span begin; one more than there are spans.
    begins: Vec<usize>,
    /// Whether a part of the trace may be elsewhere: it came later than its rest was looked at, or had to make room. Then
    /// nothing follows from what is missing.
    pub(crate) is_partial: bool,
}

impl Tree {
    pub(crate) fn new(trace: TraceId, mut spans: Vec<TracedSpan>, is_partial: bool) -> Tree {
        spans.sort_by_key(|span| (span.start, span.span, span.received));
        // Senders that heard no answer send again.
        let mut index: HashMap<u64, usize, FixedState> =
            HashMap::with_capacity_and_hasher(spans.len(), FixedState::default());
        let mut kept = 0;
        spans.retain(|span| {
            let is_new = index.try_insert(span.span, kept).is_ok();
            kept += usize::from(is_new);
            is_new
        });
        let hangs = |(own, span): (usize, &TracedSpan)| match (span.parent, index.get(&span.parent)) {
            (0, _) => Parent::Root,
            (_, Some(parent)) if *parent != own => Parent::At(*parent),
            _ => Parent::Missing,
        };
        let parents: Vec<Parent> = spans.iter().enumerate().map(hangs).collect();
        let (children, begins) = children(&parents);
        Tree { trace, spans, parents, children, begins, is_partial }
    }

    pub(crate) fn parent(&self, span: usize) -> Parent {
        self.parents[span]
    }

    pub(crate) fn children(&self, span: usize) -> &[usize] {
        &self.children[self.begins[span]..self.begins[span + 1]]
    }

    /// The span and those it hangs at, upwards. Ends in bounded time also where a sender made a ring of them.
    pub(crate) fn upwards(&self, span: usize) -> impl Iterator<Item = usize> + '_ {
        let next = |at: &usize| match self.parents[*at] {
            Parent::At(parent) => Some(parent),
            Parent::Root | Parent::Missing => None,
        };
        std::iter::successors(Some(span), next).take(self.spans.len())
    }

    /// Spans that hang at no other that came.
    pub(crate) fn tops(&self) -> impl Iterator<Item = usize> + '_ {
        self.parents.iter().enumerate().filter(|(_, parent)| !matches!(parent, Parent::At(_))).map(|(span, _)| span)
    }
}

/// A counting sort of spans by their parents.
fn children(parents: &[Parent]) -> (Vec<usize>, Vec<usize>) {
    let mut begins = vec![0; parents.len() + 1];
    let hung = || {
        parents.iter().enumerate().filter_map(|(own, parent)| match parent {
            Parent::At(parent) => Some((own, *parent)),
            _ => None,
        })
    };
    hung().for_each(|(_, parent)| begins[parent + 1] += 1);
    for span in 0..parents.len() {
        begins[span + 1] += begins[span];
    }
    let mut next = begins.clone();
    let mut children = vec![0; begins.last().copied().unwrap_or(0)];
    for (own, parent) in hung() {
        children[next[parent]] = own;
        next[parent] += 1;
    }
    (children, begins)
}
