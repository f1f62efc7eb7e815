//! Traces as far as binding needs them: consumers' spans and log lines often carry no key, and inherit it from an
//! ancestor, then from what their span links to, then from their trace if it holds only one.

mod window;

use std::time::Duration;

use smallvec::SmallVec;
use truegreen_model::observation::{Observation, TraceId};
use truegreen_model::time::Timestamp;

use crate::counters::{self, Counters};
use crate::matcher::Matcher;
use crate::matcher::names::NameId;
use crate::matcher::plan::Plan;
use crate::timers::{Timer, Timers};
use window::{Named, Several, Trace, Window};

/// How long a record waits for ancestors and linked spans that may still be on their way, before the only key of its
/// trace is taken for its own. Shorter than any export lag, so that waiting never looks like loss.
const HOLD: Duration = Duration::from_secs(5);

/// Ancestors looked at, and links followed one after another.
const MAX_ANCESTORS: usize = 64;
const MAX_LINK_HOPS: usize = 4;
const MAX_WAITING: usize = 1024;

/// A span in its trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct SpanRef {
    pub(crate) trace: TraceId,
    pub(crate) span: u64,
}

/// Where a record stands among the spans of its trace.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) trace: TraceId,
    /// The span itself; 0 for a log record.
    pub(crate) span: u64,
    /// The parent span; for a log record the span it was written in.
    pub(crate) parent: u64,
    pub(crate) links: SmallVec<[SpanRef; 1]>,
}

/// An observation that lacks only its key.
#[derive(Clone, Debug)]
pub(crate) struct Sighting {
    pub(crate) observation: Observation,
    pub(crate) scope: u64,
    /// Whether missing it is worth counting.
    pub(crate) declared: bool,
}

/// A sighting whose key was found, by this one of the flow's names for a journey.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) sighting: Sighting,
    pub(crate) name: u8,
    pub(crate) text: Box<[u8]>,
}

#[derive(Debug)]
struct Waiting {
    sighting: Sighting,
    place: Place,
    since: Timestamp,
}

enum Search {
    Found(u8, Box<[u8]>),
    NotYet,
    Ambiguous,
}

/// Binds records to keys.
#[derive(Debug)]
pub(crate) struct Binder {
    window: Window,
    /// Spans of the request at hand; kept only where their trace turns out to matter.
    passing: Vec<Place>,
    /// Traces of the request at hand for whose waiting records something may have changed.
    stirred: Vec<TraceId>,
}

impl Binder {
    pub(crate) fn new(window: Duration, max_traces: usize) -> Self {
        Binder { window: Window::new(window, max_traces), passing: Vec::new(), stirred: Vec::new() }
    }

    /// A span without a key passes by: it may connect others.
    pub(crate) fn pass(&mut self, place: Place) {
        self.passing.push(place);
    }

    /// A record carries a value under a name of some flow's key, and lends it to its trace.
    pub(crate) fn lend(&mut self, place: Place, keys: &[(NameId, Box<[u8]>)], now: Timestamp, counters: &mut Counters) {
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
            let place = Place { links: SmallVec::from_slice(&[*link]), ..place.clone() };
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

    /// The request is over: what it connected may have told some waiting records their key.
    pub(crate) fn settle(
        &mut self,
        matcher: &Matcher,
        now: Timestamp,
        timers: &mut Timers,
        counters: &mut Counters,
        bound: &mut Vec<Bound>,
    ) {
        for place in self.passing.drain(..) {
            if let Some(trace) = self.window.get_mut(place.trace) {
                if trace.is_awaited() {
                    self.stirred.push(place.trace);
                }
                trace.connect(place, counters);
            }
        }
        let mut stirred = std::mem::take(&mut self.stirred);
        let watchers: Vec<_> =
            stirred.iter().filter_map(|id| self.window.get(*id)).flat_map(|t| &t.watchers).copied().collect();
        stirred.extend(watchers);
        stirred.sort_unstable();
        stirred.dedup();
        for id in stirred.drain(..) {
            if self.retry(id, matcher, now, counters, bound) {
                timers.set(now + HOLD, Timer::HoldOver(id));
            }
        }
        self.stirred = stirred;
    }

    /// A hold is over.
    pub(crate) fn hold_over(
        &mut self,
        id: TraceId,
        matcher: &Matcher,
        now: Timestamp,
        counters: &mut Counters,
        bound: &mut Vec<Bound>,
    ) {
        self.retry(id, matcher, now, counters, bound);
    }

    /// Forgets traces past the window.
    pub(crate) fn expire(&mut self, now: Timestamp, counters: &mut Counters) {
        self.window.expire(now, counters);
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
            match self.search(matcher.plan(waiting.sighting.observation.flow), &waiting.place, patient) {
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
        let links = if place.links.is_empty() { &climb.links } else { &place.links };
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
