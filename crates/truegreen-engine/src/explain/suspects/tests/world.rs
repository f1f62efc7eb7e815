//! Seeded worlds of services: random topologies, requests as traces and logs, and one fault.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use std::collections::BTreeMap;
use truegreen_otlp::Signal;

/// A seeded sequence (splitmix64): the same on every machine.
#[derive(Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Lognormal with this median; sums of uniforms are normal enough.
    fn around(&mut self, median: f64, spread: f64) -> f64 {
        let normal: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        median * (spread * normal).exp()
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Log(String),
    /// Another operation, of another service; in so many of the requests.
    Call(usize, f64),
    /// A database, which does not show.
    Query(String, f64),
    /// A function of its own, as an internal span.
    Part(String, f64),
}

#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) service: usize,
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
    /// Median of its own work, in milliseconds.
    work: f64,
    /// Whether it goes on where a call fails.
    tolerant: bool,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) services: Vec<Vec<String>>,
    pub(super) operations: Vec<Operation>,
    pub(super) entries: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Fault {
    None,
    /// The instance's own work takes so many times as long.
    Cpu {
        service: usize,
        instance: usize,
        times: f64,
    },
    /// Every message from and to the instance takes longer, in milliseconds.
    Network {
        service: usize,
        instance: usize,
        delay: f64,
    },
    /// The operation takes so many times as long everywhere.
    SlowCode {
        operation: usize,
        times: f64,
    },
    /// It throws before this step.
    Exception {
        operation: usize,
        step: usize,
    },
    /// It returns before this step, and says nothing.
    Return {
        operation: usize,
        step: usize,
    },
    /// It leaves this step out.
    Branch {
        operation: usize,
        step: usize,
    },
    /// It does this step so many times.
    Loop {
        operation: usize,
        step: usize,
        times: usize,
    },
    /// It answers no more.
    Down {
        service: usize,
    },
    /// It logs an error, and goes on.
    Mutter {
        operation: usize,
    },
    /// It hangs, and its callers give up.
    Hang {
        operation: usize,
    },
}

/// How requests are made.
#[derive(Clone, Debug)]
pub(super) struct Period {
    pub(super) requests: usize,
    pub(super) start: u64,
    pub(super) fault: Fault,
    /// Part of the requests that the fault hits.
    pub(super) hits: f64,
    /// The weight of each entry.
    pub(super) mix: Vec<f64>,
    /// Added to the names of instances: after a restart they are others.
    pub(super) suffix: &'static str,
    /// Times as slow as usual, everywhere: another load.
    pub(super) load: f64,
    /// Logs name no trace.
    pub(super) loose_logs: bool,
    /// Spans tell neither their role nor how they ended, as those of older tracers.
    pub(super) bare: bool,
}

impl World {
    /// A random one: so many services in layers, each with some operations.
    pub(super) fn random(seed: u64, services: usize) -> World {
        let mut dice = Dice(seed);
        let names = |service: usize, n: usize| (0..n).map(|at| format!("s{service}-{at}")).collect::<Vec<_>>();
        let services: Vec<Vec<String>> = (0..services).map(|at| names(at, 1 + dice.below(3))).collect();
        let mut operations = Vec::new();
        let mut of_service: Vec<Vec<usize>> = vec![Vec::new(); services.len()];
        // From the back, so that calls go to what there is, and never in a circle.
        for service in (0..services.len()).rev() {
            for n in 0..2 + dice.below(3) {
                let mut steps = vec![Step::Log(format!("{} received", word(service, n)))];
                for at in 0..2 + dice.below(4) {
                    let later = service + 1 + dice.below(3);
                    steps.push(match dice.below(5) {
                        0 | 1 if later < services.len() => {
                            let callees = &of_service[later];
                            let often = [1.0, 1.0, 0.5, 0.2][dice.below(4)];
                            Step::Call(callees[dice.below(callees.len())], often)
                        }
                        2 => Step::Query(format!("SELECT t{service}{}", letter(at)), dice.around(3.0, 0.5)),
                        3 => Step::Part(format!("{}.part_{}", word(service, n), letter(at)), dice.around(4.0, 0.5)),
                        _ => Step::Log(format!("{} reached {}", word(service, n), letter(at))),
                    });
                }
                if service < 2 && services.len() > service + 1 {
                    let callees = &of_service[service + 1];
                    steps.push(Step::Call(callees[dice.below(callees.len())], 1.0));
                }
                steps.push(Step::Log(format!("{} done", word(service, n))));
                of_service[service].push(operations.len());
                let (work, tolerant) = (dice.around(6.0, 0.7), dice.chance(0.2));
                operations.push(Operation { service, name: word(service, n), steps, work, tolerant });
            }
        }
        let entries = of_service[0].clone();
        World { services, operations, entries }
    }

    pub(super) fn service(&self, at: usize) -> String {
        format!("service-{}", letter(at))
    }

    pub(super) fn period(&self, requests: usize, start: u64) -> Period {
        let mix = vec![1.0; self.entries.len()];
        Period {
            requests,
            start,
            fault: Fault::None,
            hits: 1.0,
            mix,
            suffix: "",
            load: 1.0,
            loose_logs: false,
            bare: false,
        }
    }

    /// OTLP requests of a period.
    pub(super) fn record(&self, period: &Period, seed: u64) -> Vec<(Signal, Vec<u8>)> {
        let mut run = Run {
            world: self,
            period,
            dice: Dice(seed),
            spans: BTreeMap::new(),
            logs: BTreeMap::new(),
            trace: 0,
            hit: false,
        };
        for n in 0..period.requests {
            run.trace = (u128::from(run.dice.next()) << 64) | u128::from(run.dice.next() | 1);
            run.hit = run.dice.chance(period.hits);
            let entry = run.entry();
            let start = (period.start * 1_000 + 200 * n as u64) as f64;
            run.operation(entry, 0, start, None);
        }
        run.finish()
    }

    /// Operations that requests come to in this world, the entries apart, the most frequent first.
    pub(super) fn reached(&self, seed: u64) -> Vec<(usize, usize)> {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        let mut dice = Dice(seed);
        for n in 0..200 {
            self.walk(self.entries[n % self.entries.len()], &mut dice, &mut counts);
        }
        let mut counts: Vec<(usize, usize)> = counts.into_iter().map(|(operation, n)| (n, operation)).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts
    }

    fn walk(&self, operation: usize, dice: &mut Dice, counts: &mut BTreeMap<usize, usize>) {
        *counts.entry(operation).or_default() += 1;
        for step in &self.operations[operation].steps {
            if let Step::Call(callee, often) = step
                && dice.chance(*often)
            {
                self.walk(*callee, dice, counts);
            }
        }
    }
}

fn letter(n: usize) -> String {
    let mut n = n;
    let mut text = String::new();
    loop {
        text.insert(0, char::from(b'a' + (n % 26) as u8));
        if n < 26 {
            return text;
        }
        n = n / 26 - 1;
    }
}

fn word(service: usize, n: usize) -> String {
    format!("{}/{}", letter(service), ["get", "put", "list", "check"][n])
}

/// What came of an operation: when it ended, and whether it failed.
type Outcome = (f64, bool);

const TIMEOUT: f64 = 2_000.0;

struct Run<'w> {
    world: &'w World,
    period: &'w Period,
    dice: Dice,
    spans: BTreeMap<(usize, usize), Vec<Span>>,
    logs: BTreeMap<(usize, usize), Vec<LogRecord>>,
    trace: u128,
    hit: bool,
}

impl Run<'_> {
    fn entry(&mut self) -> usize {
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
    fn operation(&mut self, at: usize, parent: u64, start: f64, instance: Option<usize>) -> Outcome {
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
        for (n, step) in operation.steps.iter().enumerate() {
            now += own(&mut self.dice) * pace;
            match self.fault() {
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
                kind: 2,
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
            Step::Call(callee, often) if self.dice.chance(*often) => self.call(*callee, sender, parent, now),
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

    fn span(&mut self, sender: (usize, usize), span: Span) {
        let trace_id = self.trace.to_be_bytes().to_vec();
        let span = Span { trace_id, ..span };
        let bare = || Span { kind: 0, status: None, ..span.clone() };
        let span = if self.period.bare { bare() } else { span };
        self.spans.entry(sender).or_default().push(span);
    }

    fn log(&mut self, sender: (usize, usize), span: u64, now: f64, line: &str, severity: i32) {
        let (trace_id, span_id) = match self.period.loose_logs {
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

    fn finish(self) -> Vec<(Signal, Vec<u8>)> {
        let resource = |(service, instance): (usize, usize)| {
            let pod = format!("{}{}", self.world.services[service][instance], self.period.suffix);
            let attributes = vec![pair("service.name", &self.world.service(service)), pair("k8s.pod.name", &pod)];
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
