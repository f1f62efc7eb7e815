//! Requests through a world, as its services record them.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use truegreen_otlp::Signal;

use super::{Dice, Fault, Period, Step, World};

/// What came of an operation: when it ended, and whether it failed.
type Outcome = (f64, bool);

const TIMEOUT: f64 = 2_000.0;

pub(super) struct Run<'w> {
    world: &'w World,
    period: &'w Period,
    pub(super) dice: Dice,
    /// What befalls telemetry, which is no part of what happens.
    weather: Dice,
    spans: BTreeMap<(usize, usize), Vec<Span>>,
    logs: BTreeMap<(usize, usize), Vec<LogRecord>>,
    trace: u128,
    hit: bool,
    /// What the next operation follows from: a trace and a span of it.
    linked: Option<(u128, u64)>,
}

impl<'w> Run<'w> {
    pub(super) fn new(world: &'w World, period: &'w Period, seed: u64) -> Run<'w> {
        Run {
            world,
            period,
            dice: Dice(seed),
            weather: Dice(seed ^ 0x77ea),
            spans: BTreeMap::new(),
            logs: BTreeMap::new(),
            trace: 0,
            hit: false,
            linked: None,
        }
    }

    /// Another request.
    pub(super) fn begin(&mut self) {
        self.trace = (u128::from(self.dice.next()) << 64) | u128::from(self.dice.next() | 1);
        self.hit = self.dice.chance(self.period.hits);
    }

    pub(super) fn entry(&mut self) -> usize {
        let all: f64 = self.period.mix.iter().sum();
        let mut at = self.dice.unit() * all;
        for (entry, weight) in self.world.entries.iter().zip(&self.period.mix) {
            at -= weight;
            if at <= 0.0 {
                return *entry;
            }
        }
        self.world.entries[0]
    }

    fn fault(&self) -> Fault {
        if self.hit { self.period.fault } else { Fault::None }
    }

    /// Times in milliseconds.
    pub(super) fn operation(&mut self, at: usize, parent: u64, start: f64, instance: Option<usize>) -> Outcome {
        let world = self.world;
        let operation = &world.operations[at];
        let instance = instance.unwrap_or_else(|| self.dice.below(world.services[operation.service].len()));
        let id = self.dice.next() | 1;
        let sender = (operation.service, instance);
        let own = |dice: &mut Dice| operation.work / operation.steps.len() as f64 * dice.around(1.0, 0.25);
        let pace = self.pace(sender, at);
        if matches!(self.fault(), Fault::Mutter { operation } if operation == at) {
            self.log(sender, id, start, "connection pool is exhausted", 17);
        }
        let (mut now, mut failed, mut events) = (start, false, Vec::new());
        let linked = self.linked.take();
        for (n, step) in operation.steps.iter().enumerate() {
            now += own(&mut self.dice) * pace;
            match self.fault() {
                Fault::Sick { operation, instance: sick, step } if (operation, sick, step) == (at, instance, n) => {
                    failed = true;
                    break;
                }
                Fault::Exception { operation, step } if (operation, step) == (at, n) => {
                    self.log(sender, id, now, &format!("{} broke: invalid state", world.operations[at].name), 17);
                    events.push(event("exception", "IllegalState", now));
                    failed = true;
                    break;
                }
                Fault::Return { operation, step } if (operation, step) == (at, n) => break,
                Fault::Branch { operation, step } if (operation, step) == (at, n) => continue,
                _ => {}
            }
            let times = match self.fault() {
                Fault::Loop { operation, step, times } if (operation, step) == (at, n) => times,
                _ => 1,
            };
            for _ in 0..times {
                let (end, broke) = self.step(step, sender, id, now, pace);
                now = end;
                if broke && !operation.tolerant {
                    self.log(sender, id, now, &format!("{} gave up: a call failed", operation.name), 17);
                    failed = true;
                }
            }
            if failed {
                break;
            }
        }
        now += own(&mut self.dice) * pace;
        let hangs = matches!(self.fault(), Fault::Hang { operation } if operation == at);
        if hangs {
            return (start + TIMEOUT, true);
        }
        self.span(
            sender,
            Span {
                span_id: id.to_be_bytes().to_vec(),
                parent_span_id: bytes(parent),
                name: operation.name.clone(),
                kind: if linked.is_some() { 5 } else { 2 },
                links: linked.map(link).into_iter().collect(),
                start_time_unix_nano: nanos(start),
                end_time_unix_nano: nanos(now),
                status: failed.then(broken),
                events,
                ..Span::default()
            },
        );
        (now, failed)
    }

    fn pace(&self, (service, instance): (usize, usize), operation: usize) -> f64 {
        let slow = match self.fault() {
            Fault::Cpu { service: s, instance: i, times } if (s, i) == (service, instance) => times,
            Fault::SlowCode { operation: o, times } if o == operation => times,
            _ => 1.0,
        };
        slow * self.period.load
    }

    fn step(&mut self, step: &Step, sender: (usize, usize), parent: u64, now: f64, pace: f64) -> Outcome {
        match step {
            Step::Log(text) => {
                let n = self.dice.below(10_000);
                self.log(sender, parent, now, &format!("{text} {n}"), 9);
                (now, false)
            }
            Step::Part(name, work) => {
                let end = now + self.dice.around(*work, 0.3) * pace;
                self.leaf(sender, parent, name, 1, now, end);
                (end, false)
            }
            Step::Query(name, work) => {
                let end = now + self.dice.around(*work, 0.3) * self.period.load + self.delay(sender);
                self.leaf(sender, parent, name, 3, now, end);
                (end, false)
            }
            Step::Call(callee, often) if self.dice.chance(*often) => {
                if self.period.weather.is_sent(*callee) {
                    return (self.send(*callee, sender, parent, now), false);
                }
                let mut outcome = self.call(*callee, sender, parent, now);
                for _ in 0..self.period.weather.retries {
                    if !outcome.1 {
                        break;
                    }
                    outcome = self.call(*callee, sender, parent, outcome.0);
                }
                outcome
            }
            Step::Call(..) => (now, false),
        }
    }

    fn call(&mut self, callee: usize, sender: (usize, usize), parent: u64, now: f64) -> Outcome {
        let world = self.world;
        let (to, name) = (world.operations[callee].service, &world.operations[callee].name);
        let instance = self.dice.below(world.services[to].len());
        let id = self.dice.next() | 1;
        let way = |run: &mut Self| run.dice.around(0.6, 0.3) * run.period.load;
        let delay = self.delay(sender) + self.delay((to, instance));
        let (end, failed) = match self.fault() {
            Fault::Down { service } if service == to => (now + way(self), true),
            _ => {
                let arrived = now + way(self) + delay;
                let (answered, failed) = self.operation(callee, id, arrived, Some(instance));
                (answered + way(self) + delay, failed)
            }
        };
        self.span(
            sender,
            Span {
                span_id: id.to_be_bytes().to_vec(),
                parent_span_id: bytes(parent),
                name: format!("call {name}"),
                kind: 3,
                start_time_unix_nano: nanos(now),
                end_time_unix_nano: nanos(end),
                status: failed.then(broken),
                ..Span::default()
            },
        );
        (end, failed)
    }

    /// A message, which is processed in a trace of its own that links to its sending.
    fn send(&mut self, callee: usize, sender: (usize, usize), parent: u64, now: f64) -> f64 {
        let end = now + self.dice.around(0.6, 0.3) * self.period.load;
        let (id, trace) = (self.dice.next() | 1, self.trace);
        let name = format!("send {}", self.world.operations[callee].name);
        self.span(
            sender,
            Span {
                span_id: id.to_be_bytes().to_vec(),
                parent_span_id: bytes(parent),
                name,
                kind: 4,
                start_time_unix_nano: nanos(now),
                end_time_unix_nano: nanos(end),
                ..Span::default()
            },
        );
        self.trace = (u128::from(self.dice.next()) << 64) | u128::from(self.dice.next() | 1);
        let waits = self.dice.around(20.0, 0.5);
        self.linked = Some((trace, id));
        self.operation(callee, 0, end + waits, None);
        self.trace = trace;
        end
    }

    fn delay(&self, sender: (usize, usize)) -> f64 {
        match self.fault() {
            Fault::Network { service, instance, delay } if (service, instance) == sender => delay,
            _ => 0.0,
        }
    }

    fn leaf(&mut self, sender: (usize, usize), parent: u64, name: &str, kind: i32, start: f64, end: f64) {
        let id = self.dice.next() | 1;
        self.span(
            sender,
            Span {
                span_id: id.to_be_bytes().to_vec(),
                parent_span_id: bytes(parent),
                name: name.to_owned(),
                kind,
                start_time_unix_nano: nanos(start),
                end_time_unix_nano: nanos(end),
                ..Span::default()
            },
        );
    }

    fn span(&mut self, sender: (usize, usize), mut span: Span) {
        if self.is_late((span.end_time_unix_nano - nanos(0.0)) as f64 / 1e6)
            || self.weather.chance(self.period.weather.lost)
        {
            return;
        }
        let skew = self.period.weather.skew(sender);
        span.start_time_unix_nano = span.start_time_unix_nano.saturating_add_signed(skew);
        span.end_time_unix_nano = span.end_time_unix_nano.saturating_add_signed(skew);
        span.events
            .iter_mut()
            .for_each(|event| event.time_unix_nano = event.time_unix_nano.saturating_add_signed(skew));
        let trace_id = self.trace.to_be_bytes().to_vec();
        let span = Span { trace_id, ..span };
        let bare = || Span { kind: 0, status: None, ..span.clone() };
        let span = if self.period.bare { bare() } else { span };
        self.spans.entry(sender).or_default().push(span);
    }

    /// Whether what is sent at this time, in milliseconds, is not written any more.
    fn is_late(&self, now: f64) -> bool {
        let Period { written, gap, requests, start, .. } = *self.period;
        now - (start * 1_000) as f64 > written * (gap * requests as u64) as f64
    }

    fn log(&mut self, sender: (usize, usize), span: u64, now: f64, line: &str, severity: i32) {
        if self.is_late(now) {
            return;
        }
        let is_loose = self.period.loose_logs || sender.0 % 2 == 1 && self.period.weather.half_loose;
        let now = now + self.period.weather.skew(sender) as f64 / 1e6;
        let (trace_id, span_id) = match is_loose {
            true => (Vec::new(), Vec::new()),
            false => (self.trace.to_be_bytes().to_vec(), span.to_be_bytes().to_vec()),
        };
        self.logs.entry(sender).or_default().push(LogRecord {
            time_unix_nano: nanos(now),
            severity_number: severity,
            body: Some(text(line)),
            trace_id,
            span_id,
            ..LogRecord::default()
        });
    }

    pub(super) fn finish(self) -> Vec<(Signal, Vec<u8>)> {
        let resource = |(service, instance): (usize, usize)| {
            let pod = format!("{}{}", self.world.services[service][instance], self.period.suffix);
            let attributes =
                vec![pair("service.name", &self.world.service(service)), pair(self.period.weather.identity, &pod)];
            Some(Resource { attributes, ..Resource::default() })
        };
        let mut bodies = Vec::new();
        for (sender, spans) in self.spans {
            let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
            let group = ResourceSpans { resource: resource(sender), scope_spans, ..ResourceSpans::default() };
            bodies.push((Signal::Traces, ExportTraceServiceRequest { resource_spans: vec![group] }.encode_to_vec()));
        }
        for (sender, log_records) in self.logs {
            let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
            let group = ResourceLogs { resource: resource(sender), scope_logs, ..ResourceLogs::default() };
            bodies.push((Signal::Logs, ExportLogsServiceRequest { resource_logs: vec![group] }.encode_to_vec()));
        }
        bodies
    }
}

fn link((trace, span): (u128, u64)) -> Link {
    Link { trace_id: trace.to_be_bytes().to_vec(), span_id: span.to_be_bytes().to_vec(), ..Link::default() }
}

fn nanos(ms: f64) -> u64 {
    1_700_000_000_000_000_000 + (ms * 1e6) as u64
}

fn bytes(id: u64) -> Vec<u8> {
    if id == 0 { Vec::new() } else { id.to_be_bytes().to_vec() }
}

fn broken() -> Status {
    Status { code: 2, ..Status::default() }
}

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) }
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text(value)), ..KeyValue::default() }
}

fn event(name: &str, kind: &str, now: f64) -> Event {
    let attributes = vec![pair("exception.type", kind)];
    Event { time_unix_nano: nanos(now), name: name.to_owned(), attributes, ..Event::default() }
}
