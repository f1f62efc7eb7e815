//! Traces in pieces: what is below a span that processes a message is a segment of its own, and belongs to the case
//! whose span sent it.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::traces::Traces;

/// Most senders that one segment belongs to.
pub(super) const MAX_LINKS: usize = 64;
/// Most segments from a message's processing back to where it all began.
const MAX_CHAIN: usize = 16;
/// Longest way up to the span that a segment begins with.
const MAX_DEPTH: usize = 10_000;
/// No span, no segment.
pub(super) const NONE: u32 = u32::MAX;

/// Pieces of traces; each belongs to one case, or to several.
pub(super) struct Segments {
    /// The trace that each is a piece of. The first piece of a trace is what no link cut off.
    pub(super) traces: Vec<u128>,
    by_trace: HashMap<u128, u32, FixedState>,
    pub(super) of_span: Vec<u32>,
    spanless: Vec<bool>,
    /// Where what a segment processes was sent.
    senders: Vec<Vec<u32>>,
    pub(super) left_out: u64,
}

impl Segments {
    pub(super) fn new(all: &Traces, parents: &[u32], by_span: &HashMap<(u128, u64), u32, FixedState>) -> Segments {
        let mut segments = Segments {
            traces: Vec::new(),
            by_trace: HashMap::default(),
            of_span: vec![NONE; all.spans.len()],
            spanless: Vec::new(),
            senders: Vec::new(),
            left_out: 0,
        };
        for index in 0..all.spans.len() {
            segments.place(index, all, parents);
        }
        for seen in &all.logs {
            if !segments.by_trace.contains_key(&seen.trace) {
                let segment = segments.home_of(seen.trace);
                segments.spanless[segment as usize] = true;
            }
        }
        for (index, trace, span) in &all.links {
            let sender = match by_span.get(&(*trace, *span)) {
                Some(sender) => segments.of_span[*sender as usize],
                None => match segments.by_trace.get(trace) {
                    Some(home) => *home,
                    None => continue,
                },
            };
            let own = segments.of_span[*index as usize];
            let senders = &mut segments.senders[own as usize];
            if sender != own && !senders.contains(&sender) {
                senders.push(sender);
            }
        }
        segments
    }

    /// The segment of a span: its own if it links, else that of its parent, else the trace's first.
    fn place(&mut self, index: usize, all: &Traces, parents: &[u32]) {
        let mut way = Vec::new();
        let mut at = index;
        let found = loop {
            if self.of_span[at] != NONE {
                break self.of_span[at];
            }
            way.push(at);
            if all.spans[at].linked {
                break self.begin(all.spans[at].trace);
            }
            match parents[at] {
                NONE => break self.home_of(all.spans[at].trace),
                // A ring of parents, or a chain beyond reason, is no way to anywhere.
                _ if way.len() > MAX_DEPTH => break self.home_of(all.spans[at].trace),
                parent => at = parent as usize,
            }
        };
        for at in way {
            self.of_span[at] = found;
        }
    }

    fn begin(&mut self, trace: u128) -> u32 {
        let segment = self.traces.len() as u32;
        self.traces.push(trace);
        self.senders.push(Vec::new());
        self.spanless.push(false);
        segment
    }

    pub(super) fn home_of(&mut self, trace: u128) -> u32 {
        match self.by_trace.get(&trace) {
            Some(segment) => *segment,
            None => {
                let segment = self.begin(trace);
                self.by_trace.insert(trace, segment);
                segment
            }
        }
    }

    pub(super) fn is_spanless(&self, segment: u32) -> bool {
        self.spanless.get(segment as usize).copied().unwrap_or(false)
    }

    /// For each segment the ones that it belongs to in the end.
    pub(super) fn homes(&mut self) -> Vec<Vec<u32>> {
        let mut homes = Vec::with_capacity(self.traces.len());
        for segment in 0..self.traces.len() as u32 {
            let mut ends = Vec::new();
            let mut here = vec![segment];
            for _ in 0..MAX_CHAIN {
                let mut next = Vec::new();
                for one in here {
                    match self.senders[one as usize].as_slice() {
                        [] => ends.push(one),
                        senders => next.extend_from_slice(senders),
                    }
                }
                next.sort_unstable();
                next.dedup();
                self.left_out += next.len().saturating_sub(MAX_LINKS) as u64;
                next.truncate(MAX_LINKS);
                here = next;
            }
            self.left_out += here.len() as u64;
            ends.sort_unstable();
            ends.dedup();
            ends.truncate(MAX_LINKS);
            homes.push(ends);
        }
        homes
    }
}
