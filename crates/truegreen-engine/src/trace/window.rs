//! The traces of the last minutes, bounded in number and in size.

use std::collections::VecDeque;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::flow::FlowId;
use truegreen_model::observation::TraceId;
use truegreen_model::time::Timestamp;

use super::{MAX_ANCESTORS, Place, Sighting, SpanRef, Waiting, count_unbound};
use crate::counters::{self, Counters};
use crate::matcher::key::KeyText;
use crate::matcher::names::NameId;
use crate::matcher::plan::Plan;
use crate::timers::Tick;

const MAX_SPANS: usize = 4096;
const MAX_KEYS: usize = 64;
const MAX_WATCHERS: usize = 1024;

/// What is kept of one trace.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Trace {
    touched: Timestamp,
    /// When it is next considered for forgetting, and its place among those considered then.
    due: Timestamp,
    turn: u64,
    #[serde(skip)]
    is_dirty: bool,
    spans: Vec<Node>,
    /// What its spans link to; few do.
    links: Vec<(u64, SpanRef)>,
    /// Every value that was lent, with where; a span may have several.
    keys: SmallVec<[Key; 1]>,
    pub(super) waiting: Vec<Waiting>,
    /// Traces whose records wait for this one, since they link to it.
    pub(super) watchers: Watchers,
}

#[derive(Debug, Serialize, Deserialize)]
struct Node {
    span: u64,
    parent: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Key {
    span: u64,
    name: NameId,
    text: KeyText,
}

/// A key's text, and by which of the flow's names for a journey it is known.
pub(super) type Named = (u8, KeyText);

/// There are several keys where one was looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Several;

/// What was met on the way up.
#[derive(Default)]
pub(super) struct Climb {
    pub(super) found: Option<Named>,
    /// The links of the nearest ancestor that has any.
    pub(super) links: SmallVec<[SpanRef; 1]>,
    pub(super) reached_root: bool,
}

/// A bounded list of traces.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Watchers(Vec<TraceId>);

impl Watchers {
    pub(super) fn push(&mut self, id: TraceId) {
        if self.0.len() < MAX_WATCHERS && !self.0.contains(&id) {
            self.0.push(id);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'w> IntoIterator for &'w Watchers {
    type Item = &'w TraceId;
    type IntoIter = std::slice::Iter<'w, TraceId>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl Trace {
    pub(super) fn connect(
        &mut self,
        span: u64,
        parent: u64,
        links: impl Iterator<Item = SpanRef>,
        counters: &mut Counters,
    ) {
        if span == 0 {
            return;
        }
        if self.spans.len() >= MAX_SPANS {
            return counters.count(counters::TRACE_BOUND);
        }
        self.spans.push(Node { span, parent });
        self.links.extend(links.map(|link| (span, link)));
    }

    pub(super) fn lend(&mut self, place: &Place, keys: &[(NameId, KeyText)], counters: &mut Counters) {
        // A log record lends to the span it was written in.
        let span = if place.span == 0 { place.parent } else { place.span };
        for (name, text) in keys {
            if self.keys.iter().any(|key| key.span == span && key.name == *name && key.text == *text) {
                continue;
            }
            if self.keys.len() >= MAX_KEYS {
                counters.count(counters::TRACE_BOUND);
                break;
            }
            self.keys.push(Key { span, name: *name, text: text.clone() });
        }
        self.connect(place.span, place.parent, place.links.iter().copied(), counters);
    }

    /// From `span` upwards: the first span that carries a key of this flow.
    pub(super) fn climb(&self, plan: &Plan, mut span: u64) -> Climb {
        let mut climb = Climb::default();
        for _ in 0..MAX_ANCESTORS {
            if span == 0 {
                climb.reached_root = true;
                break;
            }
            // A span that carries several keys is a batch: it says nothing about which of them is meant.
            if let Ok(Some(found)) = only(plan, self.keys.iter().filter(|key| key.span == span)) {
                climb.found = Some(found);
                break;
            }
            let Some(node) = self.spans.iter().find(|node| node.span == span) else {
                break;
            };
            if climb.links.is_empty() {
                climb.links.extend(self.links.iter().filter(|(from, _)| *from == span).map(|(_, link)| *link));
            }
            span = node.parent;
        }
        climb
    }

    /// The key of this flow, if the trace holds only one; `Err` if it holds several.
    pub(super) fn only_key(&self, plan: &Plan) -> Result<Option<Named>, Several> {
        only(plan, self.keys.iter())
    }
}

/// The one value under the first of the flow's names that is there; `Err` if there are several values under it.
fn only<'k>(plan: &Plan, keys: impl Iterator<Item = &'k Key> + Clone) -> Result<Option<Named>, Several> {
    let primary = keys.clone().filter(|key| plan.key_names.contains(&key.name));
    if let Some(text) = one(primary)? {
        return Ok(Some((crate::matcher::key::PRIMARY, KeyText::from_slice(text))));
    }
    for (index, name) in plan.bind_names.iter().enumerate() {
        if let Some(text) = one(keys.clone().filter(|key| key.name == *name))? {
            return Ok(Some((index as u8 + 1, KeyText::from_slice(text))));
        }
    }
    Ok(None)
}

fn one<'k>(mut keys: impl Iterator<Item = &'k Key>) -> Result<Option<&'k [u8]>, Several> {
    let Some(first) = keys.next() else { return Ok(None) };
    if keys.all(|key| key.text == first.text) { Ok(Some(&first.text)) } else { Err(Several) }
}

/// The traces kept, oldest first to go.
#[derive(Debug)]
pub(super) struct Window {
    length: Duration,
    max_traces: usize,
    traces: HashMap<TraceId, Trace, FixedState>,
    by_age: VecDeque<(Timestamp, TraceId)>,
    turns: u64,
    /// Whether anyone asks for what changed.
    is_kept: bool,
    dirty: Vec<TraceId>,
    removed: Vec<TraceId>,
}

impl Window {
    pub(super) fn new(length: Duration, max_traces: usize, is_kept: bool) -> Self {
        Window {
            length,
            max_traces: max_traces.max(1),
            traces: HashMap::default(),
            by_age: VecDeque::new(),
            turns: 0,
            is_kept,
            dirty: Vec::new(),
            removed: Vec::new(),
        }
    }

    pub(super) fn get(&self, id: TraceId) -> Option<&Trace> {
        self.traces.get(&id)
    }

    /// The trace, to be changed.
    pub(super) fn get_mut(&mut self, id: TraceId) -> Option<&mut Trace> {
        let trace = self.traces.get_mut(&id)?;
        if self.is_kept && !std::mem::replace(&mut trace.is_dirty, true) {
            self.dirty.push(id);
        }
        Some(trace)
    }

    /// The trace, kept from now on.
    pub(super) fn open(&mut self, id: TraceId, now: Timestamp, counters: &mut Counters) -> &mut Trace {
        if !self.traces.contains_key(&id) {
            while self.traces.len() >= self.max_traces
                && let Some((_, oldest)) = self.by_age.pop_front()
            {
                counters.count(counters::TRACES_BOUND);
                self.remove(oldest, counters::UNBOUND_EVICTED, counters);
            }
            self.traces.insert(id, Trace::default());
            self.queue(id, now + self.length);
        }
        let trace = self.traces.entry(id).or_default();
        if self.is_kept && !std::mem::replace(&mut trace.is_dirty, true) {
            self.dirty.push(id);
        }
        trace.touched = now;
        trace
    }

    pub(super) fn keep_for(&mut self, length: Duration) {
        self.length = length;
    }

    /// What waits for the one version waits for the other too, and is counted for that one.
    pub(super) fn follow(&mut self, before: &Plan, plan: &Plan) {
        for trace in self.waiting_for(before.id) {
            let Some(trace) = self.get_mut(trace) else { continue };
            let mut further = Vec::new();
            for waiting in trace.waiting.iter_mut().filter(|waiting| waiting.sighting.flow == before.id) {
                if plan.sees_alike(before, waiting.sighting.seen.role) {
                    let sighting = Sighting { flow: plan.id, ..waiting.sighting.clone() };
                    further.push(Waiting { sighting, place: waiting.place.clone(), since: waiting.since });
                    waiting.sighting.declared = false;
                }
            }
            trace.waiting.extend(further);
        }
    }

    /// The traces of which something waits for a key of this flow.
    fn waiting_for(&self, flow: FlowId) -> Vec<TraceId> {
        let waits = |trace: &Trace| trace.waiting.iter().any(|waiting| waiting.sighting.flow == flow);
        self.traces.iter().filter(|(_, trace)| waits(trace)).map(|(id, _)| *id).collect()
    }

    /// Nothing waits for a key of this flow any more.
    pub(super) fn let_go(&mut self, flow: FlowId, counters: &mut Counters) {
        for trace in self.waiting_for(flow) {
            let Some(trace) = self.get_mut(trace) else { continue };
            let gone = trace.waiting.extract_if(.., |waiting| waiting.sighting.flow == flow);
            gone.for_each(|waiting| count_unbound(&waiting.sighting, counters::UNBOUND_SUPERSEDED, counters));
        }
    }

    /// When a trace is next considered for forgetting.
    pub(super) fn next_timer(&self) -> Tick {
        self.by_age.front().map_or(Tick::NEVER, |(due, _)| Tick::at_or_after(*due))
    }

    /// A trace goes when nothing of it came for the length of the window.
    pub(super) fn expire(&mut self, now: Timestamp, counters: &mut Counters) {
        while let Some((due, id)) = self.by_age.front().copied().filter(|(due, _)| *due <= now) {
            self.by_age.pop_front();
            match self.traces.get(&id).map(|trace| trace.touched + self.length) {
                Some(later) if later > due => self.queue(id, later),
                _ => self.remove(id, counters::UNBOUND_NO_KEY, counters),
            }
        }
    }

    /// Hands over what changed since the last time: the bytes of a trace, or nothing where it is gone.
    pub(super) fn changes(&mut self, mut keep: impl FnMut(TraceId, Option<&[u8]>)) {
        for id in self.removed.drain(..) {
            keep(id, None);
        }
        for id in std::mem::take(&mut self.dirty) {
            if let Some(trace) = self.traces.get_mut(&id)
                && std::mem::take(&mut trace.is_dirty)
                && let Ok(bytes) = postcard::to_allocvec(trace)
            {
                keep(id, Some(&bytes));
            }
        }
    }

    /// Takes a trace back; since when its waiting records are held.
    pub(super) fn restore(&mut self, id: TraceId, bytes: &[u8]) -> Option<Vec<Timestamp>> {
        let trace: Trace = postcard::from_bytes(bytes).ok()?;
        let held = trace.waiting.iter().map(|waiting| waiting.since).collect();
        self.turns = self.turns.max(trace.turn);
        self.traces.insert(id, trace);
        Some(held)
    }

    /// After all traces are restored: puts them in order of age.
    pub(super) fn restored(&mut self) {
        let mut queue: Vec<_> = self.traces.iter().map(|(id, trace)| (trace.turn, trace.due, *id)).collect();
        queue.sort_unstable();
        self.by_age = queue.into_iter().map(|(_, due, id)| (due, id)).collect();
    }

    fn queue(&mut self, id: TraceId, due: Timestamp) {
        self.turns += 1;
        let turn = self.turns;
        if let Some(trace) = self.get_mut(id) {
            (trace.due, trace.turn) = (due, turn);
        }
        self.by_age.push_back((due, id));
    }

    fn remove(&mut self, id: TraceId, why: counters::Counter, counters: &mut Counters) {
        let removed = self.traces.remove(&id);
        if self.is_kept {
            self.removed.push(id);
        }
        for waiting in removed.map(|trace| trace.waiting).unwrap_or_default() {
            count_unbound(&waiting.sighting, why, counters);
        }
    }
}
