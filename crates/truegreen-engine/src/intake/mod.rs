//! Accepted requests, record by record: who sends, which steps a record shows, and for whom. Reading changes nothing: it
//! makes a [`Digest`] of a body, so that many can be read side by side; the engine then takes them in one by one.

pub(crate) mod digest;
mod entry;
mod logs;
pub(crate) mod metrics;
pub(crate) mod spans;
mod taking;
mod traced;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use truegreen_model::flow::{FlowId, Signal, StepId};
use truegreen_model::observation::{Conditions, Identity, Share, TraceId};
use truegreen_model::time::Timestamp;
use truegreen_otlp::{Limits, Value};

use crate::counters::{self, Counter};
use crate::coverage::{Coverage, Heard};
use crate::matcher::key::KeyText;
use crate::matcher::names::{Found, NameId};
use crate::matcher::pattern::{Record, holds};
use crate::matcher::plan::{FanOutPlan, Plan, ReasonPlan};
use crate::matcher::resource::{Resource, Resources};
use crate::matcher::{Matcher, Meaning, key};
use crate::symbols::Symbols;
use crate::trace::Place;
use crate::trace::operation::Operations;
use digest::{Bind, Digest, Item, Key, Lend, Reason, Section, Shows, Sighted, When};

/// Event times further ahead of receipt than this are nonsense.
const MAX_AHEAD: Duration = Duration::from_secs(300);
const MAX_ITEMS: usize = 256;
/// What a span takes in a body, or more: room is made for as many at once.
const BYTES_OF_SPAN: usize = 500;
const MAX_KEY_BYTES: usize = 512;

/// What reading goes by.
#[derive(Clone, Copy)]
pub(crate) struct Lamp<'e> {
    pub(crate) matcher: &'e Matcher,
    pub(crate) symbols: &'e Symbols,
    pub(crate) resources: &'e Resources,
    pub(crate) coverage: &'e Coverage,
    pub(crate) operations: &'e Operations,
    pub(crate) limits: &'e Limits,
    pub(crate) retention: Duration,
    /// When the request was received.
    pub(crate) now: Timestamp,
}

/// One body being read.
pub(crate) struct Reading<'e> {
    lamp: Lamp<'e>,
    /// Senders introduced just now, should the table of resources have been emptied meanwhile.
    introduced: &'e [(u64, Arc<Resource>)],
    digest: Digest,
    sender: Option<Arc<Resource>>,
    /// The service's trace ids are being looked at.
    wants_trace_ids: bool,
    /// A sender was met that is not in the table.
    met_stranger: bool,
}

/// There is a sender that the engine must be introduced to before the body can be read.
#[derive(Debug)]
pub(crate) struct Stranger;

/// What a record says about itself, whatever its signal.
struct Told {
    trace: TraceId,
    place: Option<Place>,
    /// When a start step began, and when every other step was done.
    began: When,
    done: When,
    failed: bool,
    identity: u64,
    offset: u32,
}

impl<'e> Reading<'e> {
    pub(crate) fn new(lamp: Lamp<'e>, introduced: &'e [(u64, Arc<Resource>)]) -> Self {
        let digest = Digest::default();
        Reading { lamp, introduced, digest, sender: None, wants_trace_ids: false, met_stranger: false }
    }

    pub(crate) fn traces(mut self, body: &[u8]) -> Result<Digest, Stranger> {
        let limits = self.lamp.limits;
        if self.lamp.matcher.vocabulary.is_some() {
            self.digest.traced.reserve_exact(body.len() / BYTES_OF_SPAN);
        }
        let scanned = truegreen_otlp::scan_traces(body, limits, &mut self);
        self.finish(scanned.is_ok())
    }

    pub(crate) fn logs(mut self, body: &[u8]) -> Result<Digest, Stranger> {
        let limits = self.lamp.limits;
        let scanned = truegreen_otlp::scan_logs(body, limits, &mut self);
        self.finish(scanned.is_ok())
    }

    pub(crate) fn metrics(mut self, body: &[u8]) -> Result<Digest, Stranger> {
        let limits = self.lamp.limits;
        let scanned = truegreen_otlp::scan_metrics(body, limits, &mut self);
        self.finish(scanned.is_ok())
    }

    fn finish(mut self, readable: bool) -> Result<Digest, Stranger> {
        if self.met_stranger {
            return Err(Stranger);
        }
        if !readable {
            self.count(counters::UNREADABLE_BODY);
        }
        Ok(self.digest)
    }

    /// Every instance in an accepted request was heard, whatever it sent.
    fn enter(&mut self, sent: &truegreen_otlp::Resource<'_, '_>) {
        let Lamp { resources, coverage, now, .. } = self.lamp;
        let Some(resource) = resources.find(sent, self.introduced) else {
            self.met_stranger = true;
            self.sender = None;
            return;
        };
        self.wants_trace_ids = coverage.wants_trace_ids(resource.service, now);
        let section =
            Section { resource: Arc::clone(&resource), heard: Heard::default(), items: self.digest.items.len() };
        self.digest.sections.push(section);
        self.sender = Some(resource);
    }

    fn heard(&mut self) -> Option<&mut Heard> {
        self.digest.sections.last_mut().map(|section| &mut section.heard)
    }

    fn count(&mut self, counter: Counter) {
        self.count_many(counter, 1);
    }

    fn count_many(&mut self, counter: Counter, many: u64) {
        match self.digest.counts.iter_mut().find(|(known, _)| *known == counter) {
            Some((_, n)) => *n += many,
            None => self.digest.counts.push((counter, many)),
        }
    }

    /// An event time, or that of receipt where it cannot be (INV-DROP-1: counted).
    fn plausible(&mut self, time: u64) -> When {
        let (time, now) = (Timestamp(time), self.lamp.now);
        let counter = if time.0 == 0 {
            counters::TIME_MISSING
        } else if time > now + MAX_AHEAD {
            counters::TIME_IN_FUTURE
        } else if time < now - self.lamp.retention {
            counters::TIME_TOO_OLD
        } else {
            return When::Told(time);
        };
        self.count(counter);
        When::Replaced
    }

    /// Whether any pattern may match: most records of most services match none.
    fn is_candidate(&self, record: &Record<'_, '_>) -> bool {
        let says_outcome = record.own(self.lamp.matcher.outcome).is_some();
        record.resource.candidates.of(record.signal, record.name, says_outcome).next().is_some()
    }

    /// Matches one record against every pattern that its sender's records can match.
    fn match_record(&mut self, record: &Record<'_, '_>, told: &Told) {
        let matcher = self.lamp.matcher;
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
                Meaning::Step(flow, step) => self.sight(flow, Shows::Step(step), true, record, told),
                Meaning::Exit(flow, exit) => {
                    let exit_plan = &matcher.plan(flow).exits[exit.0 as usize];
                    let reason = self.reason(&exit_plan.reason, record);
                    self.sight(flow, Shows::Exit(exit, reason), exit_plan.declared, record, told);
                }
                Meaning::Bind(flow, bind) => self.bind(matcher.plan(flow), bind, record),
            }
        }
    }

    /// One step or exit was seen; for whom, the record says itself, or its trace must.
    fn sight(&mut self, flow: FlowId, shows: Shows, declared: bool, record: &Record<'_, '_>, told: &Told) {
        let plan = self.lamp.matcher.plan(flow);
        let key = if plan.keyed_by_trace() {
            Key::Trace
        } else {
            own_key(plan, record).map_or(Key::None, |(name, text)| Key::Own(name, text))
        };
        let place = if matches!(key, Key::None) { told.place.clone() } else { None };
        let is_start = matches!(shows, Shows::Step(StepId::START));
        let shares = match shows {
            Shows::Step(step) => self.shares(plan, step, record),
            Shows::Exit(..) => Vec::new(),
        };
        self.digest.items.push(Item::Sighted(Sighted {
            flow,
            identity: identity(told.identity, &shows),
            attempt: told.failed && matches!(shows, Shows::Step(_)),
            shows,
            declared,
            key,
            place,
            trace: told.trace,
            began: told.began,
            done: if is_start { None } else { Some(told.done) },
            conditions: conditions(plan, record),
            shares,
            offset: told.offset,
        }));
    }

    /// A record that carries both a key and a bound attribute.
    fn bind(&mut self, plan: &Plan, bind: u8, record: &Record<'_, '_>) {
        let Some(other) = record.value(plan.bind_names[bind as usize]).map(|value| cut(&value)) else {
            return;
        };
        let scope = record.resource.scopes[plan.id.0 as usize].hash;
        let Some((name, text)) = own_key(plan, record).filter(|(name, _)| *name != bind + 1) else {
            return;
        };
        let (owner, other) = (key::key(scope, name, &text), key::key(scope, bind + 1, &other));
        self.digest.items.push(Item::Bind(Bind { flow: plan.id, owner, other }));
    }

    fn reason(&self, from: &ReasonPlan, record: &Record<'_, '_>) -> Reason {
        match from {
            ReasonPlan::Fixed(reason) => Reason::Known(*reason),
            ReasonPlan::Attributes(names) => {
                let value = names.iter().find_map(|name| record.value(*name)).filter(|value| !value.is_empty());
                match value {
                    None => Reason::None,
                    Some(text) => match self.lamp.symbols.find_bytes(&text) {
                        Some(symbol) => Reason::Known(symbol),
                        None => Reason::New((*text).into()),
                    },
                }
            }
        }
    }

    /// Lends the keys that the record carries to its trace; false if it carries none.
    fn lend(&mut self, found: &Found<'_>, place: impl FnOnce() -> Place) -> bool {
        let lent = &self.lamp.matcher.lent_names;
        if found.is_empty() {
            return false;
        }
        let keys: SmallVec<[(NameId, KeyText); 1]> = found
            .iter()
            .filter(|(name, _)| lent.contains(name))
            .map(|(name, value)| (*name, cut(&value.text())))
            .filter(|(_, text)| !text.is_empty())
            .collect();
        let carries_any = !keys.is_empty();
        if carries_any {
            self.digest.items.push(Item::Lend(Lend { place: place(), keys }));
        }
        carries_any
    }

    /// What the record adds to the fan-outs of its own step and of later ones.
    fn shares(&mut self, plan: &Plan, seen: StepId, record: &Record<'_, '_>) -> Vec<Share> {
        let mut shares = Vec::new();
        for (index, step) in plan.steps.iter().enumerate().skip(seen.0 as usize) {
            let Some(fan_out) = step.fan_out else { continue };
            let step = StepId(index as u8);
            match fan_out {
                FanOutPlan::ForEach { item, .. } if step == seen => {
                    self.items(record, item, |hash| shares.push(Share::Item(hash)));
                }
                FanOutPlan::ForEach { attribute, .. } => {
                    self.items(record, attribute, |hash| shares.push(Share::Expected(step, hash)));
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
    fn items(&mut self, record: &Record<'_, '_>, name: NameId, mut take: impl FnMut(u64)) {
        let Some(Value::Array(array)) = record.own(name) else {
            return record.value(name).iter().for_each(|value| take(key::hash(value)));
        };
        for (index, element) in array.iter().enumerate() {
            if index >= MAX_ITEMS {
                return self.count(counters::ITEMS_BOUND);
            }
            take(key::hash(&element.text()));
        }
    }
}

/// The flow's key as the record itself carries it: by its own name, or else by one that is bound to it.
fn own_key(plan: &Plan, record: &Record<'_, '_>) -> Option<(u8, KeyText)> {
    let value = |name: &NameId| record.value(*name).map(|value| cut(&value)).filter(|value| !value.is_empty());
    if let Some(text) = plan.key_names.iter().find_map(value) {
        return Some((key::PRIMARY, text));
    }
    let bound = plan.bind_names.iter().enumerate();
    bound.filter_map(|(index, name)| Some((index as u8 + 1, value(name)?))).next()
}

/// A longer key keeps its beginning and the hash of the whole, so that no two become one.
fn cut(text: &[u8]) -> KeyText {
    if text.len() <= MAX_KEY_BYTES {
        return KeyText::from_slice(text);
    }
    let beginning = String::from_utf8_lossy(&text[..MAX_KEY_BYTES]);
    KeyText::from_slice(format!("{beginning}…{:016x}", key::hash(text)).as_bytes())
}

fn identity(record: u64, shows: &Shows) -> Identity {
    let shows = match shows {
        Shows::Step(step) => u64::from(step.0),
        Shows::Exit(exit, _) => 0x100 | u64::from(exit.0),
    };
    Identity(key::mix(record, shows))
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
