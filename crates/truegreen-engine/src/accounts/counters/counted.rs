//! What a service's counter counted, and when: points of all its instances and attributes become increments, each within
//! a stretch of time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::observation::{InstanceId, Symbol};
use truegreen_model::time::Timestamp;

use super::Span;
use super::held::Bounds;

/// Instances times sets of attributes; a service that puts ids into them is told of no further ones.
const MAX_SERIES: usize = 2_000;
const MAX_INSTANCES: usize = 2_000;
const MAX_INCREMENTS: usize = 20_000;
const MAX_BLIND: usize = 256;
/// Points of one series remembered to know a duplicate by.
const MAX_RECENT: usize = 8;
/// An instance that exported nothing for so long is gone.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(300);
/// What an instance counted and did not export any more when it went was counted in so long.
const UNTOLD: Duration = Duration::from_secs(120);
/// Series and instances of which nothing came for so long are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(6 * 3600);

/// One point of a counter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CounterPoint {
    pub(crate) service: Symbol,
    pub(crate) instance: InstanceId,
    /// Of the metric and its attributes.
    pub(crate) series: u64,
    /// Since when it counts; 0 for not said.
    pub(crate) start: Timestamp,
    pub(crate) time: Timestamp,
    pub(crate) value: f64,
    pub(crate) is_delta: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Series {
    start: Timestamp,
    time: Timestamp,
    value: f64,
    recent: VecDeque<Timestamp>,
}

/// So much was counted between these times.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Increment {
    span: Span,
    reason: Option<Symbol>,
    amount: f64,
}

/// What was counted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Counted {
    series: BTreeMap<(InstanceId, u64), Series>,
    /// When each last exported metrics, and whether it has any series.
    instances: BTreeMap<InstanceId, (Timestamp, bool)>,
    increments: VecDeque<Increment>,
    /// Stretches of time in which more may have been counted than we were told.
    blind: VecDeque<Span>,
    /// Who counts.
    pub(super) service: Option<Symbol>,
    /// The first time of which all is known.
    pub(super) since: Option<Timestamp>,
    /// Points past the bounds.
    pub(super) overflowed: u64,
}

impl Counted {
    /// An instance exported metrics: what it did not name stood at zero then.
    pub(super) fn exported(&mut self, instance: InstanceId, time: Timestamp) {
        if self.instances.len() >= MAX_INSTANCES && !self.instances.contains_key(&instance) {
            self.overflowed += 1;
            return;
        }
        let (last, _) = self.instances.entry(instance).or_insert((time, false));
        *last = time.max(*last);
    }

    /// A point, with the reason that it names. Points of a request are told before their instance's export.
    pub(super) fn take(&mut self, point: &CounterPoint, reason: Option<Symbol>, now: Timestamp) {
        self.service = Some(point.service);
        let first_heard = *self.since.get_or_insert(point.time);
        let id = (point.instance, point.series);
        let exported = self.instances.get(&point.instance).map(|(time, _)| *time);
        if !self.series.contains_key(&id) && self.series.len() >= MAX_SERIES {
            self.overflowed += 1;
            self.be_blind(Span { from: point.time - UNTOLD, to: point.time });
            return;
        }
        self.exported(point.instance, exported.unwrap_or(point.time));
        if let Some((_, counts)) = self.instances.get_mut(&point.instance) {
            *counts = true;
        }
        let before = self.series.get(&id).map(|series| (series.start, series.time, series.value));
        let increment = if point.is_delta {
            self.delta(point, before.map(|(_, time, _)| time))
        } else {
            self.cumulative(point, before, exported, first_heard)
        };
        let Some((from, amount)) = increment else { return };
        let series = self.series.entry(id).or_insert_with(|| Series {
            start: point.start,
            time: point.time,
            value: 0.0,
            recent: VecDeque::new(),
        });
        if point.time >= series.time {
            (series.start, series.time, series.value) = (point.start, point.time, point.value);
        }
        if point.is_delta {
            series.recent.push_back(point.time);
            if series.recent.len() > MAX_RECENT {
                series.recent.pop_front();
            }
        }
        if amount > 0.0 {
            if self.increments.len() >= MAX_INCREMENTS {
                self.increments.pop_front();
                self.since = Some(now);
            }
            let span = Span { from: from.min(point.time), to: point.time };
            self.increments.push_back(Increment { span, reason, amount });
        }
    }

    /// Since when it counted how much; nothing for a point that says nothing new.
    fn delta(&mut self, point: &CounterPoint, last: Option<Timestamp>) -> Option<(Timestamp, f64)> {
        let known = self.series.get(&(point.instance, point.series));
        if known.is_some_and(|series| series.recent.contains(&point.time)) {
            return None;
        }
        let from = if point.start.0 == 0 { last.unwrap_or(point.time - UNTOLD) } else { point.start };
        // Between two points that do not touch one is missing.
        if let Some(last) = last.filter(|last| *last + Duration::from_secs(1) < from) {
            self.be_blind(Span { from: last, to: from });
        }
        Some((from, point.value))
    }

    fn cumulative(
        &mut self,
        point: &CounterPoint,
        before: Option<(Timestamp, Timestamp, f64)>,
        exported: Option<Timestamp>,
        first_heard: Timestamp,
    ) -> Option<(Timestamp, f64)> {
        let Some((start, time, value)) = before else {
            // It stood at zero when its instance last exported without it, or when it began, if that was since we listen.
            let at_zero = exported.filter(|exported| *exported < point.time);
            let began = Some(point.start).filter(|start| *start >= first_heard && *start <= point.time);
            if let Some(from) = at_zero.max(began) {
                return Some((from, point.value));
            }
            // Its history is not ours.
            self.be_blind(Span { from: first_heard, to: point.time });
            return Some((point.time, 0.0));
        };
        if point.time <= time {
            // Out of order, or the same once more.
            return None;
        }
        let began_anew = point.start > start && point.start > time - Duration::from_secs(1);
        if began_anew || point.value < value {
            let from = if began_anew { point.start.min(point.time) } else { time };
            self.be_blind(Span { from: time, to: from.max(time + UNTOLD) });
            return Some((from, point.value));
        }
        Some((time, point.value - value))
    }

    /// Between these times more may have been counted.
    pub(super) fn be_blind(&mut self, span: Span) {
        if self.blind.len() >= MAX_BLIND {
            self.blind.pop_front();
        }
        self.blind.push_back(span);
    }

    /// Until when every instance that is there has told us what it counted.
    pub(super) fn told_until(&self, now: Timestamp) -> Timestamp {
        let counting = self.instances.values().filter(|(_, counts)| *counts).map(|(time, _)| *time);
        counting.filter(|time| *time + GONE_AFTER > now).min().unwrap_or(Timestamp(0))
    }

    /// What was counted for this reason (or whichever) in this time, as far as can be told.
    pub(super) fn within(&self, reason: Option<Symbol>, span: Span) -> Bounds {
        let mut bounds = Bounds::default();
        for increment in &self.increments {
            let Increment { span: at, reason: of, amount } = *increment;
            if at.to < span.from || at.from > span.to || (reason.is_some() && of.is_some() && of != reason) {
                continue;
            }
            bounds.most += amount;
            if at.from >= span.from && at.to <= span.to && (reason.is_none() || of == reason) {
                bounds.least += amount;
            }
        }
        if self.blind.iter().any(|blind| blind.to >= span.from && blind.from <= span.to) {
            bounds.most = f64::INFINITY;
        }
        bounds
    }

    /// When something was counted for this reason, the earliest first.
    pub(super) fn times(&self, reason: Option<Symbol>) -> impl Iterator<Item = Timestamp> + '_ {
        let of = self.increments.iter().filter(move |increment| reason.is_none() || increment.reason == reason);
        of.map(|increment| increment.span.from)
    }

    /// Whether nothing was counted lately.
    pub(super) fn is_empty(&self) -> bool {
        self.increments.is_empty()
    }

    pub(super) fn reasons(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.increments.iter().filter_map(|increment| increment.reason)
    }

    /// Forgets what is not asked for any more; instances that are gone may have counted what they told nobody.
    pub(super) fn forget_before(&mut self, time: Timestamp, now: Timestamp) {
        self.increments.retain(|increment| increment.span.to >= time);
        self.blind.retain(|blind| blind.to >= time);
        let mut gone = Vec::new();
        for (last, counts) in self.instances.values_mut() {
            if *counts && *last + GONE_AFTER <= now {
                *counts = false;
                gone.push(Span { from: *last, to: *last + UNTOLD });
            }
        }
        gone.into_iter().for_each(|span| self.be_blind(span));
        self.instances.retain(|_, (last, _)| *last + FORGOTTEN_AFTER > now);
        self.series.retain(|(instance, _), _| self.instances.contains_key(instance));
    }
}
