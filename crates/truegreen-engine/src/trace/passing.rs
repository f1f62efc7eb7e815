//! Spans of which nothing is known but how they hang together.

use super::SpanRef;

/// Spans that pass by: most spans of most traces. Few of them matter and few have links, so these lie apart.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    spans: Vec<(SpanRef, u64)>,
    /// By the span's place in the list above.
    links: Vec<(usize, SpanRef)>,
}

impl Passing {
    pub(crate) fn push(&mut self, span: SpanRef, parent: u64, links: impl Iterator<Item = SpanRef>) {
        let index = self.spans.len();
        self.spans.push((span, parent));
        self.links.extend(links.map(|link| (index, link)));
    }

    /// Each with its place among the others.
    pub(crate) fn spans(&self) -> impl Iterator<Item = (usize, SpanRef, u64)> {
        self.spans.iter().enumerate().map(|(index, (span, parent))| (index, *span, *parent))
    }

    pub(crate) fn links_of(&self, index: usize) -> impl Iterator<Item = SpanRef> {
        let from = self.links.partition_point(|(of, _)| *of < index);
        self.links[from..].iter().take_while(move |(of, _)| *of == index).map(|(_, link)| *link)
    }
}
