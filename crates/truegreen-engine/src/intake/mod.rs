//! Accepted requests, record by record: who sends, which steps a record shows, and for whom.

mod logs;
mod metrics;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use truegreen_model::flow::{FlowId, Signal, StepId};
use truegreen_model::observation::{
    Conditions, Evidence, Identity, InstanceId, KeyHash, Observation, Role, Share, Symbol, TraceId,
};
use truegreen_model::time::Timestamp;
use truegreen_otlp::{Limits, Value};

use crate::counters::{self, Counters};
use crate::ledger::{Desk, Ledger};
use crate::matcher::names::{Found, NameId};
use crate::matcher::pattern::{Record, holds};
use crate::matcher::plan::{FanOutPlan, Plan, ReasonPlan};
use crate::matcher::resource::{Resource, Resources};
use crate::matcher::{Meaning, key};
use crate::symbols::Symbols;
use crate::trace::{Binder, Bound, Place, Sighting};

/// Event times further ahead of receipt than this are nonsense.
const MAX_AHEAD: Duration = Duration::from_secs(300);
const MAX_ITEMS: usize = 256;
const MAX_KEY_BYTES: usize = 512;

/// One request on its way through the engine.
pub(crate) struct Intake<'e> {
    pub(crate) desk: Desk<'e>,
    pub(crate) ledger: &'e mut Ledger,
    pub(crate) binder: &'e mut Binder,
    pub(crate) resources: &'e mut Resources,
    pub(crate) symbols: &'e mut Symbols,
    pub(crate) retention: Duration,
    pub(crate) limits: &'e Limits,
    pub(crate) sequence: u64,
    /// The sender of the records at hand; none before the first resource.
    pub(crate) sender: Option<Arc<Resource>>,
}

/// What a record says about itself, whatever its signal.
struct Told {
    trace: TraceId,
    place: Option<Place>,
    /// When a start step began, and when every other step was done.
    began: Timestamp,
    done: Timestamp,
    failed: bool,
    identity: u64,
    offset: u32,
    instance: InstanceId,
}

impl Intake<'_> {
    pub(crate) fn traces(mut self, body: &[u8]) {
        let scanned = truegreen_otlp::scan_traces(body, &self.limits.clone(), &mut self);
        self.finish(scanned.is_ok());
    }

    pub(crate) fn logs(mut self, body: &[u8]) {
        let scanned = truegreen_otlp::scan_logs(body, &self.limits.clone(), &mut self);
        self.finish(scanned.is_ok());
    }

    pub(crate) fn metrics(mut self, body: &[u8]) {
        let scanned = truegreen_otlp::scan_metrics(body, &self.limits.clone(), &mut self);
        self.finish(scanned.is_ok());
    }

    fn finish(mut self, readable: bool) {
        if !readable {
            self.desk.counters.count(counters::UNREADABLE_BODY);
        }
        let mut bound = Vec::new();
        self.binder.settle(self.desk.matcher, self.desk.now, self.desk.timers, self.desk.counters, &mut bound);
        place_bound(bound, self.ledger, &mut self.desk);
    }

    /// Every instance in an accepted request was heard, whatever it sent.
    fn hear(&mut self, sent: &truegreen_otlp::Resource<'_, '_>) {
        let resource = self.resources.of(sent, self.desk.matcher, self.desk.coverage, self.symbols);
        if let Some(instance) = resource.instance {
            self.desk.coverage.heard(instance, self.desk.now);
        }
        self.sender = Some(resource);
    }

    /// Replaces an event time that cannot be (INV-DROP-1: counted), and takes back what the sender's clock is ahead.
    fn plausible(&mut self, time: u64, instance: InstanceId) -> Timestamp {
        let (time, now) = (Timestamp(time), self.desk.now);
        let counter = if time.0 == 0 {
            counters::TIME_MISSING
        } else if time > now + MAX_AHEAD {
            counters::TIME_IN_FUTURE
        } else if time < now - self.retention {
            counters::TIME_TOO_OLD
        } else {
            return time - self.desk.coverage.shift(instance, now);
        };
        self.desk.counters.count(counter);
        now
    }

    /// Whether any pattern may match: most records of most services match none.
    fn is_candidate(&self, record: &Record<'_, '_>) -> bool {
        let says_outcome = record.own(self.desk.matcher.outcome).is_some();
        record.resource.candidates.of(record.signal, record.name, says_outcome).next().is_some()
    }

    /// Matches one record against every pattern that its sender's records can match.
    fn match_record(&mut self, record: &Record<'_, '_>, told: &Told) {
        let matcher = self.desk.matcher;
        let says_outcome = record.own(matcher.outcome).is_some();
        let mut met: SmallVec<[Meaning; 4]> = SmallVec::new();
        for id in record.resource.candidates.of(record.signal, record.name, says_outcome) {
            let (meaning, pattern) = matcher.pattern(id);
            // A record that matches two patterns of one step is one observation of it.
            if !met.contains(&meaning) && pattern.matches(record) {
                met.push(meaning);
            }
        }
        for meaning in met {
            match meaning {
                Meaning::Step(flow, step) => self.sight(flow, Role::Step(step), true, record, told),
                Meaning::Exit(flow, exit) => {
                    let exit_plan = &matcher.plan(flow).exits[exit.0 as usize];
                    let reason = self.reason(&exit_plan.reason, record);
                    self.sight(flow, Role::Exit(exit, reason), exit_plan.declared, record, told);
                }
                Meaning::Bind(flow, bind) => self.bind(matcher.plan(flow), bind, record),
            }
        }
    }

    /// One step or exit was seen; for whom, the record says itself, or its trace must.
    fn sight(&mut self, flow: FlowId, role: Role, declared: bool, record: &Record<'_, '_>, told: &Told) {
        let plan = self.desk.matcher.plan(flow);
        let observation = Observation {
            flow,
            role,
            key: KeyHash(0),
            identity: identity(told.identity, role),
            at: if role == Role::Step(StepId::START) { told.began } else { told.done },
            attempt: told.failed && matches!(role, Role::Step(_)),
            instance: told.instance,
            trace: told.trace,
            conditions: conditions(plan, record),
            shares: shares(plan, role, record, self.desk.counters),
            evidence: Evidence { sequence: self.sequence, offset: told.offset },
        };
        let scope = record.resource.scopes[flow.0 as usize];
        let sighting = Sighting { observation, scope, declared };
        if plan.keyed_by_trace() {
            if told.trace == TraceId(0) {
                return self.desk.counters.count(counters::UNBOUND_NO_TRACE);
            }
            let text = format!("{:032x}", told.trace.0).into_bytes().into();
            return place(Bound { sighting, name: key::PRIMARY, text }, self.ledger, &mut self.desk);
        }
        match (own_key(plan, record), &told.place) {
            (Some((name, text)), _) => place(Bound { sighting, name, text }, self.ledger, &mut self.desk),
            (None, Some(place)) => self.binder.wait(sighting, place.clone(), self.desk.now, self.desk.counters),
            (None, None) if declared => self.desk.counters.count(counters::UNBOUND_NO_TRACE),
            (None, None) => {}
        }
    }

    /// A record that carries both a key and a bound attribute.
    fn bind(&mut self, plan: &Plan, bind: u8, record: &Record<'_, '_>) {
        let Some(other) = record.value(plan.bind_names[bind as usize]).map(|value| cut(&value)) else {
            return;
        };
        let scope = record.resource.scopes[plan.id.0 as usize];
        let Some((name, text)) = own_key(plan, record).filter(|(name, _)| *name != bind + 1) else {
            return;
        };
        let (owner, other) = (key::key(scope, name, &text), key::key(scope, bind + 1, &other));
        self.ledger.bind(plan.id, owner, other, &mut self.desk);
    }

    fn reason(&mut self, from: &ReasonPlan, record: &Record<'_, '_>) -> Option<Symbol> {
        match from {
            ReasonPlan::Fixed(reason) => Some(*reason),
            ReasonPlan::Attributes(names) => {
                let value = names.iter().find_map(|name| record.value(*name)).filter(|value| !value.is_empty())?;
                Some(self.symbols.intern(&value))
            }
        }
    }

    /// Lends the keys that the record carries to its trace; without any it may still connect others.
    fn lend(&mut self, found: &Found<'_>, place: Place) {
        let lent = &self.desk.matcher.lent_names;
        let keys: SmallVec<[(NameId, Box<[u8]>); 2]> = found
            .iter()
            .filter(|(name, _)| lent.contains(name))
            .map(|(name, value)| (*name, cut(&value.text())))
            .filter(|(_, text)| !text.is_empty())
            .collect();
        if !keys.is_empty() {
            self.binder.lend(place, &keys, self.desk.now, self.desk.counters);
        } else if place.span != 0 && !lent.is_empty() {
            self.binder.pass(place);
        }
    }
}

/// Hands observations whose key is known to the ledger.
pub(crate) fn place_bound(bound: Vec<Bound>, ledger: &mut Ledger, desk: &mut Desk<'_>) {
    for bound in bound {
        place(bound, ledger, desk);
    }
}

fn place(bound: Bound, ledger: &mut Ledger, desk: &mut Desk<'_>) {
    let Sighting { mut observation, scope, .. } = bound.sighting;
    observation.key = key::key(scope, bound.name, &bound.text);
    ledger.observe(observation, &bound.text, scope, desk);
}

/// The flow's key as the record itself carries it: by its own name, or else by one that is bound to it.
fn own_key(plan: &Plan, record: &Record<'_, '_>) -> Option<(u8, Box<[u8]>)> {
    let value = |name: &NameId| record.value(*name).map(|value| cut(&value)).filter(|value| !value.is_empty());
    if let Some(text) = plan.key_names.iter().find_map(value) {
        return Some((key::PRIMARY, text));
    }
    let bound = plan.bind_names.iter().enumerate();
    bound.filter_map(|(index, name)| Some((index as u8 + 1, value(name)?))).next()
}

/// A longer key keeps its beginning and the hash of the whole, so that no two become one.
fn cut(text: &[u8]) -> Box<[u8]> {
    if text.len() <= MAX_KEY_BYTES {
        return text.into();
    }
    let beginning = String::from_utf8_lossy(&text[..MAX_KEY_BYTES]);
    format!("{beginning}…{:016x}", key::hash(text)).into_bytes().into()
}

fn identity(record: u64, role: Role) -> Identity {
    let role = match role {
        Role::Step(step) => u64::from(step.0),
        Role::Exit(exit, _) => 0x100 | u64::from(exit.0),
    };
    Identity(key::mix(record, role))
}

fn conditions(plan: &Plan, record: &Record<'_, '_>) -> Conditions {
    let mut conditions = Conditions::default();
    for (bit, (name, test)) in plan.conditions.iter().enumerate() {
        if let Some(value) = record.value(*name) {
            conditions.known |= 1 << bit;
            conditions.holds |= u64::from(holds(test, Some(&value))) << bit;
        }
    }
    conditions
}

/// What the record adds to the fan-outs of its own step and of later ones.
fn shares(plan: &Plan, role: Role, record: &Record<'_, '_>, counters: &mut Counters) -> Vec<Share> {
    let mut shares = Vec::new();
    let Role::Step(seen) = role else { return shares };
    for (index, step) in plan.steps.iter().enumerate().skip(seen.0 as usize) {
        let Some(fan_out) = step.fan_out else { continue };
        let step = StepId(index as u8);
        match fan_out {
            FanOutPlan::ForEach { item, .. } if step == seen => {
                items(record, item, counters, |hash| shares.push(Share::Item(hash)))
            }
            FanOutPlan::ForEach { attribute, .. } => {
                items(record, attribute, counters, |hash| shares.push(Share::Expected(step, hash)));
            }
            FanOutPlan::CountFrom { attribute } if step != seen => {
                let text = record.value(attribute);
                let count = text.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok());
                shares.extend(count.map(|count: u32| Share::Count(step, count)));
            }
            FanOutPlan::CountFrom { .. } => {}
        }
    }
    shares
}

/// The items under a name: the elements of an array, or the one value.
fn items(record: &Record<'_, '_>, name: NameId, counters: &mut Counters, mut take: impl FnMut(u64)) {
    let Some(Value::Array(array)) = record.own(name) else {
        return record.value(name).iter().for_each(|value| take(key::hash(value)));
    };
    for (index, element) in array.iter().enumerate() {
        if index >= MAX_ITEMS {
            return counters.count(counters::ITEMS_BOUND);
        }
        take(key::hash(&element.text()));
    }
}

const _: () = assert!(Signal::Event as usize == 2, "coverage keeps one place for each signal");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_with_one_beginning_stay_apart() {
        let long = |end: &str| format!("{}{end}", "k".repeat(2 * MAX_KEY_BYTES));
        assert_ne!(cut(long("a").as_bytes()), cut(long("b").as_bytes()));
        assert!(cut(long("a").as_bytes()).len() < MAX_KEY_BYTES + 32);
        assert_eq!(&*cut(b"short"), b"short");
    }
}
