//! Traces as far as binding needs them: consumers' spans and log lines often carry no key, and inherit it from an
//! ancestor, then from what their span links to, then from their trace if it holds only one.

pub(crate) mod assembly;
pub(crate) mod operation;
mod passing;
pub(crate) mod span;
pub(crate) mod tree;
mod window;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::flow::FlowId;
use truegreen_model::observation::{Symbol, TraceId};
use truegreen_model::time::Timestamp;

use crate::counters::{self, Counters};
use crate::ledger::case::Seen;
use crate::matcher::Matcher;
use crate::matcher::key::KeyText;
use crate::matcher::names::NameId;
use crate::matcher::plan::Plan;
use crate::matcher::resource::Scope;
use crate::timers::{Tick, Timers};
pub(crate) use passing::Passing;
use window::{Named, Several, Trace, Window};

/// How long a record waits for ancestors and linked spans that may still be on their way, before the only key of its
/// trace is taken for its own. Shorter than any export lag, so that waiting never looks like loss.
const HOLD: Duration = Duration::from_secs(5);

/// Ancestors looked at, and links followed one after another.
const MAX_ANCESTORS: usize = 64;
const MAX_LINK_HOPS: usize = 4;
const MAX_WAITING: usize = 1024;

/// A span in its trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct SpanRef {
    pub(crate) trace: TraceId,
    pub(crate) span: u64,
}

/// Where a record stands among the spans of its trace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) trace: TraceId,
    /// The span itself; 0 for a log record.
    pub(crate) span: u64,
    /// The parent span; for a log record the span it was written in.
    pub(crate) parent: u64,
    /// Mostly none.
    pub(crate) links: Vec<SpanRef>,
}

/// An observation that lacks only its key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sighting {
    pub(crate) flow: FlowId,
    pub(crate) scope: Scope,
    /// `service.name` of who sent it.
    pub(crate) service: Symbol,
    pub(crate) seen: Seen,
    /// Whether missing it is worth counting.
    pub(crate) declared: bool,
}

/// A sighting whose key was found, by this one of the flow's names for a journey.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) sighting: Sighting,
    pub(crate) name: u8,
    pub(crate) text: KeyText,
}

#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    sighting: Sighting,
    place: Place,
    since: Timestamp,
}

enum Search {
    Found(u8, KeyText),
    NotYet,
    Ambiguous,
}

/// Binds records to keys.
#[derive(Debug)]
pub(crate) struct Binder {
    window: Window,
    /// When waiting records were held long enough, by trace.
    holds: Timers<TraceId>,
    /// Traces of the request at hand for whose waiting records something may have changed.
    stirred: Vec<TraceId>,
}

impl Binder {
    pub(crate) fn new(window: Duration, max_traces: usize, is_kept: bool) -> Self {
        Binder { window: Window::new(window, max_traces, is_kept), holds: Timers::default(), stirred: Vec::new() }
    }

    /// A record carries a value under a name of some flow's key, and lends it to its trace.
    pub(crate) fn lend(&mut self, place: &Place, keys: &[(NameId, KeyText)], now: Timestamp, counters: &mut Counters) {
        let id = place.trace;
        let trace = self.window.open(id, now, counters);
        trace.lend(place, keys, counters);
        if trace.is_awaited() {
            self.stirred.push(id);
        }
    }

    /// A record without a key waits for one. A batch span with several links is one observation for each.
    pub(crate) fn wait(&mut self, sighting: Sighting, place: Place, now: Timestamp, counters: &mut Counters) {
        if place.links.len() < 2 {
            return self.wait_one(sighting, place, now, counters);
        }
        for link in &place.links {
            let place = Place { links: vec![*link], ..place.clone() };
            self.wait_one(sighting.clone(), place, now, counters);
        }
    }

    fn wait_one(&mut self, sighting: Sighting, place: Place, now: Timestamp, counters: &mut Counters) {
        let id = place.trace;
        for link in &place.links {
            self.window.open(link.trace, now, counters).watchers.push(id);
        }
        let trace = self.window.open(id, now, counters);
        if trace.waiting.len() >= MAX_WAITING {
            return count_unbound(&sighting, counters::UNBOUND_EVICTED, counters);
        }
        trace.waiting.push(Waiting { sighting, place, since: now });
        self.stirred.push(id);
    }

    /// The request is over, and these spans without a key passed by, kept only where their trace matters: what was
    /// connected may have told some waiting records their key.
    pub(crate) fn settle(
        &mut self,
        passing: &Passing,
        matcher: &Matcher,
        now: Timestamp,
        counters: &mut Counters,
        bound: &mut Vec<Bound>,
    ) {
        // Spans of one trace often come one after another.
        let mut unknown = TraceId(0);
        for (index, span, parent) in passing.spans() {
            if span.trace == unknown {
                continue;
            }
            let Some(trace) = self.window.get_mut(span.trace) else {
                unknown = span.trace;
                continue;
            };
            if trace.is_awaited() {
                self.stirred.push(span.trace);
            }
            trace.connect(span.span, parent, passing.links_of(index), counters);
        }
        let mut stirred = std::mem::take(&mut self.stirred);
        let watchers: Vec<_> =
            stirred.iter().filter_map(|id| self.window.get(*id)).flat_map(|t| &t.watchers).copied().collect();
        stirred.extend(watchers);
        stirred.sort_unstable();
        stirred.dedup();
        for id in stirred.drain(..) {
            if self.retry(id, matcher, now, counters, bound) {
                self.holds.set(Tick::at_or_after(now + HOLD), id);
            }
        }
        self.stirred = stirred;
    }

    /// The first tick on which something may have to be looked at.
    pub(crate) fn next_timer(&self) -> Tick {
        self.holds.next().min(self.window.next_timer())
    }

    /// Looks again at what was held long enough, and forgets traces past the window.
    pub(crate) fn wake(&mut self, tick: Tick, matcher: &Matcher, counters: &mut Counters, bound: &mut Vec<Bound>) {
        let mut held = self.holds.take_due(tick);
        held.sort_unstable();
        held.dedup();
        for id in held {
            self.retry(id, matcher, tick.time(), counters, bound);
        }
        self.window.expire(tick.time(), counters);
    }

    /// From now on traces are kept so long.
    pub(crate) fn keep_for(&mut self, window: Duration) {
        self.window.keep_for(window);
    }

    /// A version begins: what waits for a key of the one before it waits for this one too, as far as both see it alike.
    pub(crate) fn follow(&mut self, before: &Plan, plan: &Plan) {
        self.window.follow(before, plan);
    }

    /// What waits for a key of this version of a contract waits in vain.
    pub(crate) fn let_go(&mut self, flow: FlowId, counters: &mut Counters) {
        self.window.let_go(flow, counters);
    }

    /// Hands over what changed since the last time: the bytes of a trace, or nothing where it is gone.
    pub(crate) fn changes(&mut self, keep: impl FnMut(TraceId, Option<&[u8]>)) {
        self.window.changes(keep);
    }

    /// Takes a trace back as it was handed over; `None` where the bytes are none.
    pub(crate) fn restore(&mut self, id: TraceId, bytes: &[u8]) -> Option<()> {
        for since in self.window.restore(id, bytes)? {
            self.holds.set(Tick::at_or_after(since + HOLD), id);
        }
        Some(())
    }

    /// After all traces are restored: puts them in order of age.
    pub(crate) fn restored(&mut self) {
        self.window.restored();
    }

    /// Looks again for the keys of a trace's waiting records; true if some were not held long enough yet.
    fn retry(
        &mut self,
        id: TraceId,
        matcher: &Matcher,
        now: Timestamp,
        counters: &mut Counters,
        bound: &mut Vec<Bound>,
    ) -> bool {
        let Some(trace) = self.window.get_mut(id) else {
            return false;
        };
        let waiting = std::mem::take(&mut trace.waiting);
        let mut held = false;
        let mut still = Vec::new();
        for waiting in waiting {
            let patient = now < waiting.since + HOLD;
            match self.search(matcher.plan(waiting.sighting.flow), &waiting.place, patient) {
                Search::Found(name, text) => bound.push(Bound { sighting: waiting.sighting, name, text }),
                Search::Ambiguous => count_unbound(&waiting.sighting, counters::UNBOUND_AMBIGUOUS, counters),
                Search::NotYet => {
                    held |= patient;
                    still.push(waiting);
                }
            }
        }
        if let Some(trace) = self.window.get_mut(id) {
            trace.waiting = still;
        }
        held
    }

    /// Parent, then links, then the only key of the trace. `patient`: more may come, so only an ancestor counts
    /// as long as the way up is not known to its end.
    fn search(&self, plan: &Plan, place: &Place, patient: bool) -> Search {
        let Some(trace) = self.window.get(place.trace) else {
            return Search::NotYet;
        };
        let climb = trace.climb(plan, place.parent);
        if let Some((name, text)) = climb.found {
            return Search::Found(name, text);
        }
        let links: &[SpanRef] = if place.links.is_empty() { &climb.links } else { &place.links };
        let mut linked: SmallVec<[Named; 1]> = SmallVec::new();
        for link in links {
            if let Some(found) = self.search_linked(plan, *link, MAX_LINK_HOPS)
                && !linked.contains(&found)
            {
                linked.push(found);
            }
        }
        match linked.len() {
            1 => {
                return linked.pop().map_or(Search::NotYet, |(name, text)| Search::Found(name, text));
            }
            0 => {}
            _ => return if patient { Search::NotYet } else { Search::Ambiguous },
        }
        if patient && !(climb.reached_root && links.is_empty()) {
            return Search::NotYet;
        }
        match trace.only_key(plan) {
            Ok(Some((name, text))) => Search::Found(name, text),
            Ok(None) => Search::NotYet,
            Err(Several) if patient => Search::NotYet,
            Err(Several) => Search::Ambiguous,
        }
    }

    fn search_linked(&self, plan: &Plan, link: SpanRef, hops: usize) -> Option<Named> {
        let trace = self.window.get(link.trace)?;
        let climb = trace.climb(plan, link.span);
        if climb.found.is_some() {
            return climb.found;
        }
        let further = climb.links.iter().filter(|_| hops > 0);
        let mut further = further.filter_map(|link| self.search_linked(plan, *link, hops - 1));
        further.next().or_else(|| trace.only_key(plan).ok().flatten())
    }
}

fn count_unbound(sighting: &Sighting, counter: counters::Counter, counters: &mut Counters) {
    if sighting.declared {
        counters.count(counter);
    }
}

impl Trace {
    fn is_awaited(&self) -> bool {
        !self.waiting.is_empty() || !self.watchers.is_empty()
    }
}
