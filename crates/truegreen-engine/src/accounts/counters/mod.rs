//! Services' own counters of what they drop or skip, held against how journeys ended. Neither side says exactly when: a
//! counter tells how many there were between two exports, and of a journey is known when it entered and when its end was
//! heard of. So both are bounds, over a stretch of time that is long enough ago for both to have arrived; only what no
//! moment in between can explain is a disagreement.

mod counted;
mod held;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::flow::{ExitOutcome, Reconcile};
use truegreen_model::observation::{InstanceId, Symbol};
use truegreen_model::time::Timestamp;

use super::books::FlowBooks;
use crate::ledger::event::Line;
use crate::matcher::plan::Plan;
use crate::timers::Tick;
use counted::Counted;
pub(crate) use counted::CounterPoint;
use held::{Bounds, Held};

/// Compared over at least so long, and twice what a journey may take.
const SHORTEST_WINDOW: Duration = Duration::from_secs(15 * 60);
const LONGEST_WINDOW: Duration = Duration::from_secs(6 * 3600);
/// Both sides have arrived so long after, and the longest export lag on top.
const ARRIVED_AFTER: Duration = Duration::from_secs(180);
/// Clocks of services differ by this much at the most, or time itself is the finding.
const SKEW: Duration = Duration::from_secs(5);
/// Fewer are no disagreement: a message that is delivered again is counted again.
const FEWEST: f64 = 3.0;
/// Nor is a smaller share of what was counted.
const SMALLEST: f64 = 0.05;
const MAX_REASONS: usize = 64;
const EVERY: u64 = 10;
/// Once both agreed for so long, it is over.
const OVER_AFTER: Duration = Duration::from_secs(300);
/// Moments that are tried when a disagreement's onset is sought.
const MOMENTS: usize = 200;

/// A stretch of time.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// All counters that one flow's books are held against.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct FlowCounters {
    pub(super) counters: Vec<Counter>,
    held: Held,
    window: Duration,
    /// Nothing is said of an earlier time: we did not listen, or did not know the contract.
    from: Timestamp,
    pub(super) due: Tick,
}

/// One counter.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Counter {
    pub(super) rule: Reconcile,
    counted: Counted,
    /// What disagrees, by reason; nothing where all reasons are counted together.
    pub(super) open: BTreeMap<Option<Symbol>, Mismatch>,
    /// As of the last look, for who asks.
    pub(super) latest: BTreeMap<Option<Symbol>, (f64, f64)>,
}

/// The counter says one thing and the books another.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Mismatch {
    pub(super) onset: Timestamp,
    pub(super) counted: f64,
    pub(super) held: f64,
    /// Since when they agree again, at the edge of what can be told.
    agrees_since: Option<Timestamp>,
}

/// What is known beside the counters when they are looked at.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) books: &'a FlowBooks,
    /// The share of journeys that is seen, where they are a sample.
    pub(super) seen: Option<f64>,
    pub(super) longest_lag: Duration,
    pub(super) now: Timestamp,
}

impl FlowCounters {
    /// Those of the contract in force, each going on with what is known of it.
    pub(super) fn revise(&mut self, plan: Option<&Plan>, now: Timestamp) {
        let rules = plan.map_or(&[][..], |plan| plan.flow.reconcile.as_slice());
        if self.counters.is_empty() {
            (self.from, self.held) = (now, Held::default());
        }
        let mut old = std::mem::take(&mut self.counters);
        for rule in rules {
            let known = old.iter().position(|counter| counter.rule == *rule).map(|place| old.remove(place));
            self.counters.push(known.unwrap_or_else(|| Counter::new(rule.clone())));
        }
        let longest = plan.map(Plan::longest).unwrap_or_default();
        self.window = (2 * longest).clamp(SHORTEST_WINDOW, LONGEST_WINDOW);
        self.due = Tick::NEVER;
        self.stir(now);
    }

    /// There may be something to look at.
    fn stir(&mut self, now: Timestamp) {
        let is_idle = self.held.is_empty() && self.counters.iter().all(Counter::is_idle);
        self.due = if is_idle { Tick::NEVER } else { self.due.min(next_look(now)) };
    }

    /// A journey stands so (1), or does not any more (-1).
    pub(super) fn note(&mut self, line: &Line, by: i32, now: Timestamp) {
        if !self.counters.is_empty() {
            self.held.note(line, by, now);
            self.stir(now);
        }
    }

    pub(super) fn take(&mut self, index: u8, point: &CounterPoint, reason: Option<Symbol>, now: Timestamp) {
        if let Some(counter) = self.counters.get_mut(index as usize) {
            counter.counted.take(point, reason, now);
            self.stir(now);
        }
    }

    pub(super) fn exported(&mut self, index: u8, instance: InstanceId, time: Timestamp) {
        if let Some(counter) = self.counters.get_mut(index as usize) {
            counter.counted.exported(instance, time);
        }
    }

    /// Until now something may have been missed of what was counted, or of the journeys.
    pub(super) fn missed(&mut self, now: Timestamp) {
        self.from = self.from.max(now);
    }

    pub(super) fn overflowed(&self) -> u64 {
        self.counters.iter().map(|counter| counter.counted.overflowed).sum()
    }

    /// Holds each counter against the books.
    pub(super) fn look(&mut self, around: Around<'_>) {
        let now = around.now;
        let arrived = now - (ARRIVED_AFTER + around.longest_lag);
        for counter in &mut self.counters {
            let to = arrived.min(counter.counted.told_until(now) - SKEW);
            let begins =
                [Some(to - self.window), Some(self.from), counter.counted.since, Some(self.held.complete_since)];
            let from = begins.into_iter().flatten().max().unwrap_or_default();
            if counter.counted.since.is_some() && from < to {
                counter.look(&self.held, around, Span { from, to });
            }
            counter.counted.forget_before(now - self.window - 2 * ARRIVED_AFTER - counted::GONE_AFTER, now);
        }
        self.held.forget_before(now - self.window - 2 * ARRIVED_AFTER - counted::GONE_AFTER);
        self.due = Tick::NEVER;
        self.stir(now);
    }
}

impl Counter {
    fn new(rule: Reconcile) -> Counter {
        Counter { rule, counted: Counted::default(), open: BTreeMap::new(), latest: BTreeMap::new() }
    }

    /// Nothing was counted lately, and nothing disagrees.
    fn is_idle(&self) -> bool {
        self.open.is_empty() && self.counted.is_empty()
    }

    /// Who counts, once that was heard.
    pub(super) fn service(&self) -> Option<Symbol> {
        self.counted.service
    }

    fn look(&mut self, held: &Held, around: Around<'_>, span: Span) {
        let reasons: BTreeSet<Option<Symbol>> = match self.rule.by {
            None => [None].into(),
            Some(_) => {
                let all = self.counted.reasons().chain(held.reasons(self.rule.outcome)).map(Some);
                all.chain(self.open.keys().copied()).take(100 * MAX_REASONS).collect()
            }
        };
        self.latest.clear();
        for reason in reasons.into_iter().take(MAX_REASONS) {
            let sides = Sides { counted: &self.counted, held, around, outcome: self.rule.outcome, reason };
            let (counted, journeys) = sides.within(span);
            self.latest.insert(reason, (counted.least, journeys.least));
            let known = self.open.get(&reason).copied();
            match (disagreement(counted, journeys), known) {
                (Some(gap), None) => {
                    let onset = sides.onset(span, gap);
                    self.open.insert(reason, sides.mismatch(onset, span));
                }
                (Some(_), Some(known)) => {
                    let now = sides.mismatch(known.onset, span);
                    // The window leaves behind what began long ago; the finding still tells of it.
                    let larger = if now.gap() >= known.gap() { now } else { known };
                    self.open.insert(reason, Mismatch { agrees_since: None, ..larger });
                }
                (None, Some(known)) => {
                    let since = known.agrees_since.unwrap_or(around.now);
                    if around.now >= since + OVER_AFTER {
                        self.open.remove(&reason);
                    } else {
                        self.open.insert(reason, Mismatch { agrees_since: Some(since), ..known });
                    }
                }
                (None, None) => {}
            }
        }
    }
}

/// Both sides of one reason.
struct Sides<'a> {
    counted: &'a Counted,
    held: &'a Held,
    around: Around<'a>,
    outcome: Option<ExitOutcome>,
    reason: Option<Symbol>,
}

impl Sides<'_> {
    /// How much was counted in this time, and how many journeys ended so.
    fn within(&self, span: Span) -> (Bounds, Bounds) {
        let counted = self.counted.within(self.reason, span);
        let wider = Span { from: span.from - SKEW, to: span.to + SKEW };
        let mut journeys = self.held.within(self.outcome, self.reason, wider);
        // What is sure on this side must surely have been counted in that time, too.
        journeys.least =
            self.held.within(self.outcome, self.reason, Span { from: span.from + SKEW, to: span.to - SKEW }).least;
        if let Some(seen) = self.around.seen {
            journeys = extrapolated(journeys, seen);
        }
        // One that is not decided may have ended so, unheard.
        journeys.most += self.undecided(span.to);
        (counted, journeys)
    }

    fn undecided(&self, until: Timestamp) -> f64 {
        let books = self.around.books;
        let later: u64 = books.minutes.range(until.minute()..).skip(1).map(|(_, tally)| tally.open).sum();
        books.total.open.saturating_sub(later) as f64
    }

    /// What disagrees since then; of the journeys the number that is nearest to the counter's is told.
    fn mismatch(&self, onset: Timestamp, span: Span) -> Mismatch {
        let (counted, journeys) = self.within(Span { from: onset.max(span.from), ..span });
        let held = if counted.least > journeys.most { journeys.most } else { journeys.least };
        Mismatch { onset, counted: counted.least, held, agrees_since: None }
    }

    /// The latest moment since which the disagreement is as large: nothing before it adds to it.
    fn onset(&self, span: Span, gap: f64) -> Timestamp {
        let mut moments: Vec<Timestamp> = self.counted.times(self.reason).filter(|at| *at >= span.from).collect();
        let steps = (0..=90).map(|step| span.from + (span.to.since(span.from) / 90) * step);
        moments.extend(steps);
        moments.sort_unstable();
        moments.dedup();
        let every = moments.len().div_ceil(MOMENTS).max(1);
        let as_large = |from: Timestamp| {
            let (counted, journeys) = self.within(Span { from, ..span });
            disagreement(counted, journeys).is_some_and(|still| still >= gap)
        };
        moments.into_iter().step_by(every).rev().find(|from| as_large(*from)).unwrap_or(span.from)
    }
}

/// By how much the two differ whatever happened in between, if they do.
fn disagreement(counted: Bounds, journeys: Bounds) -> Option<f64> {
    let gap = (counted.least - journeys.most).max(journeys.least - counted.most);
    let larger = counted.least.max(journeys.least);
    (gap >= FEWEST && gap > SMALLEST * larger).then_some(gap)
}

/// How many there were of which this share is seen: three standard deviations to either side.
fn extrapolated(seen: Bounds, share: f64) -> Bounds {
    let share = share.clamp(1e-4, 1.0);
    let spread = |n: f64| 3.0 * (n * (1.0 - share)).sqrt();
    let missed = 9.0 * (1.0 - share);
    Bounds {
        least: ((seen.least - spread(seen.least)) / share).max(0.0).floor(),
        most: ((seen.most + spread(seen.most) + missed) / share).ceil(),
    }
}

fn next_look(now: Timestamp) -> Tick {
    let seconds = now.0 / 1_000_000_000 / EVERY * EVERY + EVERY;
    Tick::at_or_after(Timestamp::from_secs(seconds))
}

impl Mismatch {
    /// By how much they differ.
    pub(super) fn gap(&self) -> f64 {
        (self.counted - self.held).abs()
    }
}
