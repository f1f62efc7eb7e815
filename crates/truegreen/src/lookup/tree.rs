//! Spans as a tree: a parent before its children, siblings by their start. Senders make up the ids, so that there may
//! be circles, and children without parents.

use std::collections::HashMap;

use super::scan::FoundSpan;

/// Why a span stands where it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PlacedBy {
    /// It has no parent.
    Root,
    /// Below its parent.
    Parent,
    /// Below the span that it links to.
    Link,
    /// Its parent is not here: it never ended, was lost, is not kept, or was cut.
    ParentNotSeen,
}

impl PlacedBy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            PlacedBy::Root => "root",
            PlacedBy::Parent => "parent",
            PlacedBy::Link => "link",
            PlacedBy::ParentNotSeen => "parent_not_seen",
        }
    }
}

/// One span's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Which span.
    pub(crate) index: usize,
    pub(crate) depth: u32,
    pub(crate) by: PlacedBy,
}

/// The spans in the order of drawing.
pub(crate) fn grown(spans: &[FoundSpan]) -> Vec<Place> {
    let by_id: HashMap<(u128, u64), usize> =
        spans.iter().enumerate().map(|(index, span)| ((span.trace, span.id), index)).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut placed_by = Vec::with_capacity(spans.len());
    let mut roots = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let parent = by_id.get(&(span.trace, span.parent)).filter(|parent| span.parent != 0 && **parent != index);
        let linked = || span.links.iter().find_map(|link| by_id.get(&(link.trace_id, link.span_id)));
        // Only the first span of a trace goes below what it links to: further down the parent says more.
        let (above, by) = match (parent, span.parent) {
            (Some(parent), _) => (Some(parent), PlacedBy::Parent),
            (None, 0) => (linked(), PlacedBy::Root),
            (None, _) => (linked(), PlacedBy::ParentNotSeen),
        };
        match above.filter(|above| **above != index) {
            Some(above) => {
                children[*above].push(index);
                placed_by.push(if by == PlacedBy::Parent { by } else { PlacedBy::Link });
            }
            None => {
                roots.push(index);
                placed_by.push(by);
            }
        }
    }
    let order = |index: &usize| (spans[*index].start, spans[*index].trace, spans[*index].id);
    for list in &mut children {
        list.sort_by_key(order);
    }
    roots.sort_by_key(order);
    // Whoever stands in a circle is reached from no root.
    let mut rest: Vec<usize> = (0..spans.len()).collect();
    rest.sort_by_key(order);

    let mut places = Vec::with_capacity(spans.len());
    let mut is_placed = vec![false; spans.len()];
    for root in roots.into_iter().chain(rest) {
        let mut open = vec![(root, 0)];
        while let Some((index, depth)) = open.pop() {
            if std::mem::replace(&mut is_placed[index], true) {
                continue;
            }
            places.push(Place { index, depth, by: placed_by[index] });
            open.extend(children[index].iter().rev().map(|child| (*child, depth + 1)));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use truegreen_model::observation::Evidence;
    use truegreen_model::time::Timestamp;
    use truegreen_otlp::{Link, SpanKind, Status};

    use super::*;

    fn span(trace: u128, id: u64, parent: u64, start: u64, links: &[(u128, u64)]) -> FoundSpan {
        FoundSpan {
            evidence: Evidence::default(),
            received_at: Timestamp(0),
            sender: Arc::default(),
            trace,
            id,
            parent,
            name: String::new(),
            kind: SpanKind::Internal,
            start,
            end: start,
            time_replaced: false,
            status: Status::Unset,
            status_message: String::new(),
            attributes: BTreeMap::new(),
            links: links.iter().map(|(trace_id, span_id)| Link { trace_id: *trace_id, span_id: *span_id }).collect(),
            events: Vec::new(),
        }
    }

    fn drawn(spans: &[FoundSpan]) -> Vec<(u64, u32, &'static str)> {
        grown(spans).into_iter().map(|place| (spans[place.index].id, place.depth, place.by.name())).collect()
    }

    #[test]
    fn parents_come_before_children_and_consumers_below_producers() {
        let spans = [
            span(2, 20, 0, 9, &[(1, 11)]),
            span(1, 12, 10, 3, &[]),
            span(1, 11, 10, 2, &[]),
            span(1, 10, 0, 1, &[]),
            span(1, 13, 99, 4, &[]),
        ];
        let expected =
            [(10, 0, "root"), (11, 1, "parent"), (20, 2, "link"), (12, 1, "parent"), (13, 0, "parent_not_seen")];
        assert_eq!(drawn(&spans), expected);
    }

    /// Scenario: spans that are each other's parents, and one that is its own. Guarantee: each is drawn once.
    #[test]
    fn circles_are_drawn_once() {
        let spans = [span(1, 1, 2, 1, &[]), span(1, 2, 1, 2, &[]), span(1, 3, 3, 3, &[(1, 3)])];
        assert_eq!(drawn(&spans), [(3, 0, "parent_not_seen"), (1, 0, "parent"), (2, 1, "parent")]);
    }
}
