//! What a recording says of itself: how much of what a service did it can hold.
//!
//! Where it shows that a service keeps a sample, loses spans, or has an instance or a signal that fell silent, what is
//! missing of that service proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::Why;
use truegreen_otlp::Signal;

/// Silence is looked at in stretches of ten seconds: exporters send about as often.
const STRETCH: u64 = 10_000_000_000;
/// Who was heard in fewer stretches is too rare for its silence to tell anything…
const OFTEN: usize = 12;
/// …and so is who was heard in less than every second one.
const DENSE: usize = 2;
/// As long as the engine waits for who fell silent to be heard again.
const SPELL: u64 = 12;
/// Most stretches that are remembered, over all services; past it only the latest counts.
const MAX_STRETCHES: usize = 4_000_000;
/// Most instances and series of counters that are told apart.
const MAX_SENDERS: usize = 20_000;
/// Most proofs of lost spans that are remembered.
const MAX_LOSSES: usize = 1_000_000;
/// Most trace ids of a service that are looked at.
const MAX_IDS: usize = 4_096;
/// Fewest trace ids before anything is inferred, and how unlikely chance must be.
const FEWEST_IDS: usize = 16;
const CHANCE: f64 = 1e-9;
/// Samplers compare the last 56 bits of a trace id with a threshold.
const RANDOM_BITS: u32 = 56;
/// Spans wait so long in a queue before it is counted that they were dropped.
const COUNTED_WITHIN: Duration = Duration::from_secs(60);
/// So many spans that others hang at must be missing of a service: one may still have been running.
const LOSSES: usize = 2;

/// When each service was heard, and how well.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    services: BTreeMap<Box<str>, Service>,
    stretches: usize,
    senders: usize,
    /// What counters of drops said last, by their series.
    counters: HashMap<u64, f64, FixedState>,
}

#[derive(Clone, Debug, Default)]
struct Service {
    last: Timestamp,
    by_signal: [Spells; 2],
    by_instance: BTreeMap<Box<str>, Spells>,
    ids: HashSet<u64, FixedState>,
    /// When it was counted that spans were dropped.
    counted: Vec<Timestamp>,
    /// When spans came whose parent must have been one of its own, and never did.
    orphaned: Vec<Timestamp>,
}

/// The stretches in which something was heard.
#[derive(Clone, Debug, Default)]
struct Spells(BTreeSet<u64>);

impl Spells {
    /// Whether it was usually heard, and then was not, at this time or shortly before it.
    fn fell_silent(&self, from: Timestamp, due: Timestamp, until: Timestamp) -> bool {
        let (from, due, until) = (from.0 / STRETCH, due.0 / STRETCH, until.0 / STRETCH);
        let Some(last) = self.0.range(..=due).next_back().copied() else { return false };
        let Some(first) = self.0.first() else { return false };
        let heard = self.0.range(..=last).count();
        if heard < OFTEN || heard * DENSE < (last - first + 1) as usize || last + SPELL < from {
            return false;
        }
        let next = self.0.range(due..).next().copied();
        match next {
            Some(next) => next > last + SPELL,
            None => until > last + SPELL,
        }
    }
}

impl Heard {
    /// Something of this service, by this signal and instance.
    pub(super) fn note(&mut self, (service, instance): (&str, &str), signal: Signal, at: Timestamp) {
        if !self.services.contains_key(service) {
            if self.services.len() >= MAX_SENDERS {
                return;
            }
            self.services.insert(service.into(), Service::default());
        }
        let Some(of) = self.services.get_mut(service) else { return };
        of.last = of.last.max(at);
        if self.stretches >= MAX_STRETCHES {
            return;
        }
        let stretch = at.0 / STRETCH;
        let by_signal = match signal {
            Signal::Traces => of.by_signal.first_mut(),
            Signal::Logs => of.by_signal.last_mut(),
            Signal::Metrics => None,
        };
        self.stretches += usize::from(by_signal.is_some_and(|spells| spells.0.insert(stretch)));
        if instance.is_empty() {
            return;
        }
        if let Some(spells) = of.by_instance.get_mut(instance) {
            self.stretches += usize::from(spells.0.insert(stretch));
        } else if self.senders < MAX_SENDERS {
            self.senders += 1;
            self.stretches += 1;
            of.by_instance.insert(instance.into(), Spells([stretch].into()));
        }
    }

    /// A trace that the service was part of.
    pub(super) fn traced(&mut self, service: &str, trace: u128) {
        if let Some(of) = self.services.get_mut(service).filter(|of| of.ids.len() < MAX_IDS) {
            of.ids.insert(trace as u64 & ((1 << RANDOM_BITS) - 1));
        }
    }

    /// A counter of dropped spans, as it stands; `delta` counts only since the last time.
    pub(super) fn counted(&mut self, service: &str, (series, value): (u64, f64), is_delta: bool, at: Timestamp) {
        if self.counters.len() >= MAX_SENDERS && !self.counters.contains_key(&series) {
            return;
        }
        let before = self.counters.insert(series, value);
        // Where it stood at the beginning says nothing of what was dropped since.
        let grew = if is_delta { value > 0.0 } else { before.is_some_and(|before| value > before) };
        if let Some(of) = self.services.get_mut(service).filter(|of| grew && of.counted.len() < MAX_LOSSES) {
            of.counted.push(at);
        }
    }

    /// A span came that hangs at one of this service, which did not.
    pub(super) fn orphaned(&mut self, service: &str, at: Timestamp) {
        if let Some(of) = self.services.get_mut(service).filter(|of| of.orphaned.len() < MAX_LOSSES) {
            of.orphaned.push(at);
        }
    }

    pub(super) fn finish(&mut self) {
        for of in self.services.values_mut() {
            of.counted.sort_unstable();
            of.orphaned.sort_unstable();
        }
    }

    /// When the service was last heard, by whatever signal.
    pub(super) fn last(&self, service: &str) -> Option<Timestamp> {
        self.services.get(service).map(|of| of.last)
    }

    /// Services that keep only a sample of their traces.
    pub(super) fn sampled(&self) -> BTreeSet<Box<str>> {
        let sampled = self.services.iter().filter(|(_, of)| in_one_tail(&of.ids));
        sampled.map(|(name, _)| name.clone()).collect()
    }

    /// Why what is missing of this service between these times proves nothing; nothing where it does. `by` is the signal
    /// that would show it.
    pub(super) fn doubt(
        &self,
        service: &str,
        by: Signal,
        wait: (Timestamp, Timestamp),
        until: Timestamp,
    ) -> Option<Why> {
        let of = self.services.get(service)?;
        let (from, due) = wait;
        let within = |losses: &[Timestamp]| {
            let first = losses.partition_point(|at| *at + COUNTED_WITHIN < from);
            losses.partition_point(|at| *at <= due + COUNTED_WITHIN).saturating_sub(first)
        };
        if within(&of.counted) > 0 || within(&of.orphaned) >= LOSSES {
            return Some(Why::TelemetryLost);
        }
        if of.by_instance.values().any(|spells| spells.fell_silent(from, due, until)) {
            return Some(Why::InstanceGone);
        }
        let spells = if by == Signal::Logs { of.by_signal.last() } else { of.by_signal.first() };
        spells.is_some_and(|spells| spells.fell_silent(from, due, until)).then_some(Why::SignalSilent)
    }
}

/// Whether all of these lie in one tail, which cannot be chance.
fn in_one_tail(ids: &HashSet<u64, FixedState>) -> bool {
    let (Some(low), Some(high)) = (ids.iter().min(), ids.iter().max()) else { return false };
    let range = (1u64 << RANDOM_BITS) as f64;
    let width = ((high + 1) as f64 / range).min(1.0 - *low as f64 / range);
    ids.len() >= FEWEST_IDS && width.powi(ids.len() as i32) < CHANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(at: u64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + at)
    }

    fn heard(until: u64, instance: impl Fn(u64) -> &'static str) -> Heard {
        let mut heard = Heard::default();
        for at in (0..until).step_by(5) {
            heard.note(("stock", instance(at)), Signal::Traces, second(at));
            heard.note(("stock", "a"), Signal::Metrics, second(at));
        }
        heard
    }

    #[test]
    fn an_instance_that_fell_silent_leaves_doubt_for_as_long_as_the_engine_waits() {
        let heard = heard(1_000, |at| if at < 300 && at % 10 == 0 { "b" } else { "a" });
        let doubt = |at| heard.doubt("stock", Signal::Traces, (second(at - 10), second(at)), second(1_000));
        assert_eq!([doubt(200), doubt(320), doubt(600)], [None, Some(Why::InstanceGone), None]);
    }

    #[test]
    fn a_signal_that_fell_silent_leaves_doubt_and_a_rare_one_does_not() {
        let mut heard = Heard::default();
        for at in (0..1_000).step_by(5) {
            heard.note(("stock", "a"), Signal::Metrics, second(at));
            if at < 300 {
                heard.note(("stock", "a"), Signal::Traces, second(at));
            }
            if at % 200 == 0 {
                heard.note(("stock", "a"), Signal::Logs, second(at));
            }
        }
        let doubt = |by| heard.doubt("stock", by, (second(330), second(350)), second(1_000));
        assert_eq!((doubt(Signal::Traces), doubt(Signal::Logs)), (Some(Why::SignalSilent), None));
    }

    #[test]
    fn what_counters_and_orphans_prove_is_doubted_around_that_time() {
        let mut heard = heard(1_000, |_| "a");
        heard.counted("stock", (1, 7.0), false, second(100));
        heard.counted("stock", (1, 9.0), false, second(500));
        heard.orphaned("stock", second(800));
        heard.finish();
        let doubt =
            |heard: &Heard, at| heard.doubt("stock", Signal::Traces, (second(at - 10), second(at)), second(1_000));
        assert_eq!(
            [doubt(&heard, 100), doubt(&heard, 480), doubt(&heard, 800)],
            [None, Some(Why::TelemetryLost), None]
        );
        heard.orphaned("stock", second(801));
        assert_eq!(doubt(&heard, 800), Some(Why::TelemetryLost));
    }

    #[test]
    fn a_sample_shows_in_its_trace_ids() {
        let mut heard = heard(10, |_| "a");
        let id = |n: u64| u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 8);
        (0..200).for_each(|n| heard.traced("stock", id(n)));
        assert!(heard.sampled().is_empty());
        let mut kept = self::heard(10, |_| "a");
        (0..2_000).map(id).filter(|id| *id < 1 << 53).for_each(|id| kept.traced("stock", id));
        assert_eq!(kept.sampled().len(), 1);
    }
}
