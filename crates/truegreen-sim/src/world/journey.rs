//! What becomes of one key: which records show it.

use std::time::Duration;

use fastrand::Rng;
use truegreen_model::flow::{FanOut, Key, ReasonSource, Signal, SpanKind};

use super::contract::Contract;
use super::fleet::Fleet;
use crate::telemetry::{Attributes, EPOCH, Log, Span, SpanRef, Value, second};

/// Seconds after the entry in which a record may leave its key to its trace: well within the window of binding.
const INHERITANCE: f64 = 80.0;

/// A record, and the instance (service, index) whose it is.
#[derive(Clone, Debug)]
pub struct Deed {
    /// Who did it.
    pub by: (usize, usize),
    /// What shows it.
    pub record: Record,
}

/// A span or a log record.
#[derive(Clone, Debug)]
pub enum Record {
    /// A span.
    Span(Span),
    /// A log record.
    Log(Log),
}

impl Record {
    /// Seconds: before this it cannot be received.
    pub fn end(&self) -> f64 {
        let end = match self {
            Record::Span(span) => span.end,
            Record::Log(log) => log.at,
        };
        end.since(EPOCH).as_secs_f64()
    }

    /// Whether it carries its key.
    pub fn has_key(&self) -> bool {
        let attributes = match self {
            Record::Span(span) => &span.attributes,
            Record::Log(log) => &log.attributes,
        };
        attributes.iter().any(|(name, _)| name == "order.id" || name == "orderId")
    }

    /// Rather than a log record.
    pub fn is_span(&self) -> bool {
        matches!(self, Record::Span(_))
    }
}

/// What goes wrong, at which step.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Fine,
    Lost(usize),
    LosesOneItem(usize),
    OnlyAttempts(usize),
    Late(usize),
    Unseen(usize),
    Exits(usize, usize),
}

/// One passage.
#[derive(Debug)]
pub struct Journey<'a> {
    rng: Rng,
    contract: &'a Contract,
    fleet: &'a Fleet,
    key: &'a str,
    environment: &'a str,
    trace: u128,
    start: Option<SpanRef>,
    entered: f64,
    about: Attributes,
    lines: Vec<String>,
    parts: usize,
    deeds: Vec<Deed>,
    /// Whether everything was done in time that was to be done, whatever was seen of it.
    pub whole: bool,
}

impl<'a> Journey<'a> {
    /// A passage to come, from a seed of its own.
    pub fn new(seed: u64, contract: &'a Contract, fleet: &'a Fleet, key: &'a str, environment: &'a str) -> Journey<'a> {
        let mut rng = Rng::with_seed(seed);
        let mut about = vec![("amount".to_owned(), Value::Integer(rng.i64(1..100)))];
        if let Some(tier) = [Some("gold"), Some("basic"), None][rng.usize(0..3)] {
            about.push(("tier".into(), tier.into()));
        }
        Journey {
            trace: rng.u128(1..),
            lines: (1..=rng.usize(1..4)).map(|line| format!("line-{line}")).collect(),
            parts: rng.usize(1..4),
            rng,
            contract,
            fleet,
            key,
            environment,
            start: None,
            entered: 0.0,
            about,
            deeds: Vec::new(),
            whole: true,
        }
    }

    /// Lives through the flow from this second on.
    pub fn enter(mut self, entry: f64) -> (Vec<Deed>, bool) {
        let flow = &self.contract.flow;
        let fate = self.fate();
        self.entered = entry;
        let mut done: Vec<Option<f64>> = Vec::new();
        for (index, step) in flow.steps.iter().enumerate() {
            let base = done[..].get(usize::from(step.after.0)).copied().unwrap_or(Some(entry));
            // What it waits for never came.
            let Some(base) = base else {
                done.push(None);
                continue;
            };
            let within = step.within.as_secs_f64();
            let mut at = match index {
                0 => entry,
                _ if fate == Fate::Late(index) => {
                    base + within + flow.grace.as_secs_f64() + 5.0 + self.rng.f64() * 20.0
                }
                _ => base + within * (0.05 + 0.7 * self.rng.f64()),
            };
            let skips = index > 0 && (step.optional || !step.when.is_empty() || !step.unless.is_empty());
            if skips && self.rng.f64() < 0.4 {
                // Not owed, or so it thinks: the next step counts from what came before.
                self.whole &= step.optional;
                done.push(Some(base));
                continue;
            }
            match fate {
                Fate::Lost(lost) if lost == index => {
                    self.whole = false;
                    done.push(None);
                    continue;
                }
                Fate::OnlyAttempts(failed) if failed == index => {
                    self.whole = false;
                    self.attempts(index, at);
                    done.push(None);
                    continue;
                }
                Fate::Exits(refused, exit) if refused == index => {
                    self.whole = false;
                    self.exit(exit, at);
                    if self.rng.f64() < 0.4 {
                        // Refused twice, or by another rule too: the earliest gives the reason.
                        let other = self.rng.usize(0..flow.exits.len());
                        let later = at + 0.2 + self.rng.f64() * 4.0;
                        self.exit(other, later);
                    }
                    done.push(None);
                    continue;
                }
                Fate::Unseen(unseen) if unseen == index => {
                    self.whole = false;
                    done.push(Some(at));
                    continue;
                }
                _ => {}
            }
            if index > 0 && self.rng.f64() < 0.12 {
                self.attempts(index, at);
                at += 0.5;
            }
            self.whole &= fate != Fate::Late(index);
            let all = fate != Fate::LosesOneItem(index);
            self.whole &= all;
            let did = self.perform(index, at, all);
            self.whole &= did;
            done.push(did.then_some(at));
        }
        if self.rng.f64() < 0.05 {
            let again = entry + 1.0 + self.rng.f64() * 5.0;
            self.perform(0, again, true);
        }
        (self.deeds, self.whole)
    }

    fn fate(&mut self) -> Fate {
        let last = self.contract.flow.steps.len();
        let step = self.rng.usize(1..last);
        let exits = self.contract.flow.exits.len();
        match self.rng.u8(0..20) {
            0..10 => Fate::Fine,
            10..13 => Fate::Lost(step),
            13 => Fate::LosesOneItem(step),
            14 => Fate::OnlyAttempts(step),
            15..17 => Fate::Late(step),
            17 => Fate::Unseen(step),
            _ if exits > 0 => Fate::Exits(step, self.rng.usize(0..exits)),
            _ => Fate::Fine,
        }
    }

    /// One to three failed attempts, none after `at`.
    fn attempts(&mut self, index: usize, at: f64) {
        for attempt in 0..self.rng.usize(1..4) {
            let name = self.name(index);
            let earlier = 0.01 + attempt as f64 * 0.3;
            if let (Some(Signal::Span), Some(by)) = (self.signal(index), self.by(self.contract.staff[index], at)) {
                let mut span = self.span(name, at - earlier, true);
                span.error = true;
                self.deeds.push(Deed { by, record: Record::Span(span) });
            }
        }
    }

    /// Does the step, for all its items or for all but one; whether there was somebody to do it.
    fn perform(&mut self, index: usize, at: f64, all: bool) -> bool {
        let Some(by) = self.by(self.contract.staff[index], at) else {
            return false;
        };
        let mut items: Vec<Attributes> = match &self.contract.flow.steps[index].fan_out {
            None => vec![Vec::new()],
            Some(FanOut::ForEach { item, .. }) => {
                self.lines.iter().map(|line| vec![(item.clone(), Value::from(line.as_str()))]).collect()
            }
            Some(FanOut::CountFrom { .. }) => vec![Vec::new(); self.parts],
        };
        if !all {
            items.pop();
        }
        for (nth, item) in items.into_iter().enumerate() {
            let at = at + nth as f64 * 0.37;
            let mut record = self.record(index, at);
            record.attributes().extend(item);
            self.deeds.push(Deed { by, record });
        }
        true
    }

    /// One record that shows the step; the start tells what the journey is about.
    fn record(&mut self, index: usize, at: f64) -> Record {
        let name = self.name(index);
        if self.signal(index) == Some(Signal::Log) {
            let log = self.log(name, at, index > 0);
            let mut record = Record::Log(log);
            if index == 0 {
                record.attributes().extend(self.introduction());
            }
            return record;
        }
        let mut span = self.span(name, at, index > 0);
        if index == 0 {
            // A start counts from its beginning.
            let length = span.end.since(span.start);
            span.start = second(at);
            span.end = span.start + length;
            span.attributes.extend(self.introduction());
            self.start.get_or_insert(span.place);
        } else if self.rng.f64() < 0.1 {
            // It may turn out later what the journey is about.
            span.attributes.push(("tier".into(), "gold".into()));
        }
        Record::Span(span)
    }

    fn introduction(&self) -> Attributes {
        let mut attributes = self.about.clone();
        attributes.push(("order.lines".into(), Value::List(self.lines.clone())));
        attributes.push(("order.parts".into(), Value::Integer(i64::try_from(self.parts).unwrap_or(1))));
        attributes
    }

    fn exit(&mut self, index: usize, at: f64) {
        let exit = &self.contract.flow.exits[index];
        let Some(by) = self.by(self.contract.exit_staff[index], at) else {
            return;
        };
        let name = format!("exit {index}");
        let mut record = if exit.any_of[0].signal == Signal::Span {
            let mut span = self.span(name, at, true);
            span.error = self.rng.bool();
            Record::Span(span)
        } else {
            Record::Log(self.log(name, at, true))
        };
        if let (ReasonSource::Attributes(_), true) = (&exit.reason, self.rng.f64() < 0.8) {
            let name = if self.rng.bool() { "reason" } else { "truegreen.reason" };
            let reason = if self.rng.bool() { "no_stock" } else { "bad_card" };
            record.attributes().push((name.into(), reason.into()));
        }
        self.deeds.push(Deed { by, record });
    }

    /// A span that ends at `at`, in the journey's trace or linked to its start; it may have no key of its own.
    fn span(&mut self, name: String, at: f64, may_inherit: bool) -> Span {
        let may_inherit = may_inherit && at < self.entered + INHERITANCE;
        let end = second(at);
        let mut span = Span {
            place: SpanRef { trace: self.trace, span: self.rng.u64(1..) },
            parent: None,
            links: Vec::new(),
            name,
            kind: SpanKind::Internal,
            start: end - Duration::from_secs_f64(0.01 + self.rng.f64() * 0.2),
            end,
            error: false,
            trace_state: String::new(),
            attributes: Vec::new(),
        };
        let by_trace = self.contract.flow.key == Key::TraceId;
        match self.start.filter(|_| may_inherit) {
            Some(start) if by_trace => span.parent = Some(start.span),
            Some(start) if self.rng.f64() < 0.15 => span.parent = Some(start.span),
            Some(start) if self.rng.f64() < 0.15 => {
                span.place.trace = self.rng.u128(1..);
                span.links.push(start);
            }
            _ => span.attributes.push(self.own_key()),
        }
        span
    }

    fn log(&mut self, name: String, at: f64, may_inherit: bool) -> Log {
        let may_inherit = may_inherit && at < self.entered + INHERITANCE;
        let inherits = may_inherit && self.start.is_some() && self.rng.f64() < 0.2;
        let by_trace = self.contract.flow.key == Key::TraceId;
        let own_place = SpanRef { trace: self.trace, span: self.rng.u64(1..) };
        Log {
            at: second(at),
            place: if inherits || by_trace { self.start.or(Some(own_place)) } else { None },
            body: format!("{name} of {}", self.key),
            name,
            severity: 9,
            attributes: if inherits || by_trace { Vec::new() } else { vec![self.own_key()] },
        }
    }

    fn own_key(&mut self) -> (String, Value) {
        let name = if self.rng.f64() < 0.8 { "order.id" } else { "orderId" };
        (name.into(), self.key.into())
    }

    fn name(&mut self, index: usize) -> String {
        let otherwise = self.contract.flow.steps[index].any_of.len() > 1 && self.rng.bool();
        if otherwise { format!("step {index} otherwise {}", self.rng.u8(..)) } else { format!("step {index}") }
    }

    fn signal(&self, index: usize) -> Option<Signal> {
        self.contract.flow.steps[index].any_of.first().map(|pattern| pattern.signal)
    }

    fn by(&mut self, service: Option<usize>, at: f64) -> Option<(usize, usize)> {
        self.fleet.working(&mut self.rng, service, self.environment, at)
    }
}

impl Record {
    /// Its attributes.
    fn attributes(&mut self) -> &mut Attributes {
        match self {
            Record::Span(span) => &mut span.attributes,
            Record::Log(log) => &mut log.attributes,
        }
    }
}

/// When the last of these ended.
pub fn last_end(deeds: &[Deed]) -> f64 {
    deeds.iter().map(|deed| deed.record.end()).fold(0.0, f64::max)
}
