//! The edges of a recording: of requests there some was before it began, or came after it ended. That is no failure.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::recording::{Recording, Span, Trace};
use super::cases::Case;
use super::ways::{Place, place_of};

/// Nanoseconds from an edge within which a request may have been cut off: callers hardly ever wait longer.
const WIDTH: u64 = 30_000_000_000;
/// Of a short recording no more than such a part on either side.
const PART: u64 = 10;

/// The requests of one part of a recording.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recorded {
    /// Those that were recorded whole, in order.
    pub cases: Vec<Case>,
    /// How many were cut off: near an edge, and still under way when the last span began, or without what called them.
    pub cut_off: usize,
}

impl Recorded {
    /// Each trace of this part as a request.
    pub fn of(recording: &Recording, part: u16) -> Recorded {
        let numbered = recording.traces().iter().enumerate();
        let own: Vec<(usize, &Trace)> = numbered.filter(|(_, trace)| trace.part == part).collect();
        let Some(edges) = Edges::of(recording, &own) else { return Recorded::default() };
        let callers = Callers::of(recording);
        let is_whole = |trace: &Trace| {
            !edges.are_near(trace) || callers.are_there(recording, trace) && !edges.is_under_way(recording, trace)
        };
        let whole = own.iter().filter(|(_, trace)| is_whole(trace));
        let cases: Vec<Case> = whole.map(|(at, _)| Case { traces: vec![*at as u32] }).collect();
        let cut_off = own.len() - cases.len();
        Recorded { cases, cut_off }
    }
}

/// When a recording begins, and its last span.
struct Edges {
    begins: u64,
    last_start: u64,
    width: u64,
}

impl Edges {
    fn of(recording: &Recording, traces: &[(usize, &Trace)]) -> Option<Edges> {
        let begins = traces.iter().map(|(_, trace)| trace.start).min()?;
        let ends = traces.iter().map(|(_, trace)| trace.end).max()?;
        let spans = traces.iter().flat_map(|(_, trace)| recording.spans_of(trace));
        let last_start = spans.map(|span| span.start).max().unwrap_or(ends);
        Some(Edges { begins, last_start, width: WIDTH.min(ends.saturating_sub(begins) / PART) })
    }

    fn are_near(&self, trace: &Trace) -> bool {
        trace.start < self.begins.saturating_add(self.width) || trace.start.saturating_add(self.width) > self.last_start
    }

    /// When the last span of others began: more of it may have come.
    fn is_under_way(&self, recording: &Recording, trace: &Trace) -> bool {
        let began_by_then = recording.spans_of(trace).iter().all(|span| span.start < self.last_start);
        began_by_then && trace.end > self.last_start
    }
}

/// How many spans of each place are there without what called them: of some callers nothing is ever recorded.
struct Callers(HashMap<Place, [u32; 2], FixedState>);

impl Callers {
    fn of(recording: &Recording) -> Callers {
        let mut counts: HashMap<Place, [u32; 2], FixedState> = HashMap::default();
        for span in recording.spans() {
            counts.entry(place_of(span)).or_default()[usize::from(is_orphan(span))] += 1;
        }
        Callers(counts)
    }

    fn are_there(&self, recording: &Recording, trace: &Trace) -> bool {
        let is_usual = |span: &Span| self.0.get(&place_of(span)).is_some_and(|[known, without]| without >= known);
        recording.spans_of(trace).iter().all(|span| !is_orphan(span) || is_usual(span))
    }
}

fn is_orphan(span: &Span) -> bool {
    span.parent.is_none() && span.parent_id != 0
}
