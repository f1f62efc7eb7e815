//! Traces of the last seconds, gathered until nothing more comes of them, then handed on and forgotten.

use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};
use truegreen_model::observation::TraceId;
use truegreen_model::time::Timestamp;

use super::span::TracedSpan;
use super::tree::Tree;
use crate::counters::{self, Counters};
use crate::timers::{Tick, Timers};

/// A trace that goes on and on is looked at in pieces of this age.
const MAX_AGE: Duration = Duration::from_secs(120);
/// Spans kept of one trace.
const MAX_SPANS_OF_TRACE: usize = 20_000;
/// One of which so many spans came over so long is glanced at meanwhile, every five seconds.
const LONG: usize = 8;
const LONG_OVER: Duration = Duration::from_secs(4);
const GLANCES: u64 = 50;
/// Traces that were looked at are remembered so long, to know what comes after for a piece of them.
const REMEMBERED: Duration = Duration::from_secs(300);
const MAX_REMEMBERED: usize = 500_000;

/// What came of one trace so far.
#[derive(Debug)]
struct Gathering {
    spans: Vec<TracedSpan>,
    first: Timestamp,
    /// When it is looked at, should nothing more come.
    until: Timestamp,
    /// When it is next glanced at.
    glance: Tick,
    is_partial: bool,
}

impl Gathering {
    fn is_over(&self) -> Timestamp {
        self.until.min(self.first + MAX_AGE)
    }

    /// The first tick that is not before `tick` on which it may be glanced at: the same ones whenever that is asked.
    fn glance(&self, tick: Tick) -> Tick {
        let first = Tick::at_or_after(self.first).0;
        Tick(first + tick.0.saturating_sub(first).div_ceil(GLANCES).max(1) * GLANCES)
    }

    fn is_long(&self) -> bool {
        self.spans.last().is_some_and(|span| span.received.since(self.first) >= LONG_OVER)
    }
}

/// Traces that are being put together. Their spans are not kept across restarts: they are read from the log again.
#[derive(Debug)]
pub(crate) struct Assembly {
    max_spans: usize,
    spans: usize,
    traces: HashMap<TraceId, Gathering, FixedState>,
    due: Timers<TraceId>,
    glances: Timers<TraceId>,
    looked_at: Remembered,
}

/// What has to be known to put the same traces together again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outline {
    looked_at: Remembered,
    /// Traces of which a part was looked at before, with when their present part began. Few are.
    partial: Vec<(TraceId, Timestamp)>,
    /// The first accepted request that a span of any of them came in.
    pub(crate) from: Option<u64>,
}

impl Assembly {
    pub(crate) fn new(max_spans: usize) -> Self {
        Assembly {
            max_spans: max_spans.max(1),
            spans: 0,
            traces: HashMap::default(),
            due: Timers::default(),
            glances: Timers::default(),
            looked_at: Remembered::default(),
        }
    }

    /// One span came; `quiet` is how long nothing must come of its trace until it is looked at.
    pub(crate) fn take(&mut self, trace: TraceId, span: TracedSpan, quiet: Duration, counters: &mut Counters) {
        let is_partial = self.looked_at.knows(trace, span.received);
        self.add(trace, span, is_partial, quiet, counters);
    }

    fn add(&mut self, trace: TraceId, span: TracedSpan, is_partial: bool, quiet: Duration, counters: &mut Counters) {
        let (now, timers) = (span.received, &mut self.due);
        let gathering = self.traces.entry(trace).or_insert_with(|| {
            timers.set(Tick::at_or_after(now + quiet), trace);
            Gathering { spans: Vec::with_capacity(4), first: now, until: now, glance: Tick::NEVER, is_partial }
        });
        gathering.until = gathering.until.max(now + quiet);
        if gathering.spans.len() >= MAX_SPANS_OF_TRACE {
            gathering.is_partial = true;
            return counters.count(counters::ASSEMBLY_TRACE_BOUND);
        }
        gathering.spans.push(span);
        self.spans += 1;
        if gathering.spans.len() == LONG {
            gathering.glance = gathering.glance(Tick(Tick::at_or_before(now).0 + 1));
            self.glances.set(gathering.glance, trace);
        }
    }

    /// The first tick on which a trace may have to be looked at; the next one where memory is short.
    pub(crate) fn next_timer(&self) -> Tick {
        if self.spans > self.max_spans { Tick(0) } else { self.due.next().min(self.glances.next()) }
    }

    /// Hands over the traces of which nothing came for long enough, in the order in which they began.
    pub(crate) fn settled(&mut self, tick: Tick, counters: &mut Counters) -> Vec<Tree> {
        let now = tick.time();
        let mut trees = Vec::new();
        for id in self.in_order(tick) {
            let Some(gathering) = self.traces.get(&id) else { continue };
            if gathering.is_over() > now {
                self.due.set(Tick::at_or_after(gathering.is_over()), id);
                continue;
            }
            let goes_on = gathering.until > now;
            trees.extend(self.hand_over(id, goes_on, now));
        }
        // Those that are due first make room.
        while self.spans > self.max_spans && self.due.next() != Tick::NEVER {
            for id in self.in_order(self.due.next()) {
                counters.count(counters::ASSEMBLY_BOUND);
                trees.extend(self.hand_over(id, true, now));
            }
        }
        trees
    }

    /// What came so far of long traces of which more and more comes.
    pub(crate) fn going_on(&mut self, tick: Tick) -> Vec<Tree> {
        let mut ids = self.glances.take_due(tick);
        ids.sort_unstable();
        ids.dedup();
        let mut trees = Vec::new();
        for id in ids {
            let Some(gathering) = self.traces.get_mut(&id).filter(|gathering| gathering.glance <= tick) else {
                continue;
            };
            // After a restart glances of before it come due at once, and are not repeated.
            if gathering.glance(tick) == tick && gathering.is_long() {
                trees.push(Tree::new(id, gathering.spans.clone(), true));
            }
            gathering.glance = gathering.glance(Tick(tick.0 + 1));
            self.glances.set(gathering.glance, id);
        }
        trees
    }

    /// What is due, in an order that a restart does not change.
    fn in_order(&mut self, tick: Tick) -> Vec<TraceId> {
        let mut due = self.due.take_due(tick);
        due.sort_by_cached_key(|id| (self.traces.get(id).map(|gathering| gathering.first), *id));
        due
    }

    fn hand_over(&mut self, id: TraceId, goes_on: bool, now: Timestamp) -> Option<Tree> {
        let gathering = self.traces.remove(&id)?;
        self.spans -= gathering.spans.len();
        self.looked_at.add(id, now);
        Some(Tree::new(id, gathering.spans, gathering.is_partial || goes_on))
    }

    /// What has to be kept, beside the log itself.
    pub(crate) fn outline(&self) -> Outline {
        let partial = self.traces.iter().filter(|(_, gathering)| gathering.is_partial);
        let mut partial: Vec<_> = partial.map(|(id, gathering)| (*id, gathering.first)).collect();
        partial.sort_unstable();
        let firsts = self.traces.values().filter_map(|gathering| gathering.spans.first());
        let from = firsts.map(|span| span.evidence.sequence).min();
        Outline { looked_at: self.looked_at.clone(), partial, from }
    }

    pub(crate) fn restored(&mut self, outline: &Outline) {
        self.looked_at = outline.looked_at.clone();
    }

    /// Takes a span that was taken before, unless its trace was looked at since.
    pub(crate) fn take_again(&mut self, trace: TraceId, span: TracedSpan, quiet: Duration, outline: &Outline) {
        let partial = outline.partial.binary_search_by_key(&trace, |(id, _)| *id).ok().map(|at| outline.partial[at].1);
        let is_gathered = match partial {
            Some(first) => span.received >= first,
            None => !self.looked_at.contains(trace),
        };
        if is_gathered {
            // What was bounded then was counted then.
            self.add(trace, span, partial.is_some(), quiet, &mut Counters::default());
        }
    }
}

/// Trace ids of the last minutes, in two generations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Remembered {
    since: Timestamp,
    current: HashSet<u64, FixedState>,
    previous: HashSet<u64, FixedState>,
}

impl Remembered {
    fn knows(&self, id: TraceId, now: Timestamp) -> bool {
        self.contains(id) && now < self.since + REMEMBERED
    }

    fn contains(&self, id: TraceId) -> bool {
        let short = id.0 as u64;
        self.current.contains(&short) || self.previous.contains(&short)
    }

    fn add(&mut self, id: TraceId, now: Timestamp) {
        if now >= self.since + REMEMBERED / 2 || self.current.len() >= MAX_REMEMBERED {
            self.previous = std::mem::take(&mut self.current);
            self.since = now;
        }
        self.current.insert(id.0 as u64);
    }
}
