//! One run: a system lives, an engine and the usual rules watch it.

use truegreen_engine::flow::{Source, compile};
use truegreen_engine::{Effect, Engine, Input, Options, Request};
use truegreen_model::flow::Flow;
use truegreen_model::report::{FindingReport, Report};
use truegreen_otlp::{Limits, Signal, check};

use super::baselines::Baselines;
use super::bytes::{Sending, encode};
use super::fault::{Fault, Strike};
use super::kept::Kept;
use super::noise::{Control, Noise};
use super::planted::{Reported, plant};
use super::record::Content;
use super::system::{Shown, System, Truth};
use super::why::{Why, ask, ask_of_nothing};
use crate::telemetry::second;

/// The promise of the shop: the one contract that there is, for those faults that the ledger finds.
pub const CONTRACT: &str = r#"
flow: order-fulfilment
description: Every order placed reduces the stock, or is refused with a reason.
key: order.id
start: {name: placed, span: "POST /checkout", service: gateway, kind: server}
steps:
  - {name: accepted, span: "POST /orders", service: orders, kind: server, within: 5s}
  - {name: published, span: "publish orders.placed", service: orders, kind: producer, within: 5s}
  - name: stock_updated
    span: UPDATE stock
    service: inventory
    kind: client
    within: 10s
    unless: {order.kind: digital}
exits:
  - {name: refused, log: inventory.event.rejected, service: inventory, outcome: rejected, reason: {attribute: reason}}
"#;

/// Requests of the end of an hour in which nothing is wrong that are kept: some minutes of a busy shop.
const KEPT_OF_CONTROLS: usize = 2_000;

/// Seconds that a run goes on after the fault began.
const AFTER_STRIKE: f64 = 180.0;
/// The same where a silence must be waited for.
const AFTER_SILENCE: f64 = 300.0;

/// What a run is about.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Subject {
    /// A fault.
    Fault(Fault, Start),
    /// A fault that strikes some alone, after some healthy minutes.
    Limited(Fault),
    /// Harmless noise for so many seconds.
    Control(Control, u32),
}

/// When a fault begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// After some healthy minutes.
    Later,
    /// Before anything was seen.
    AtOnce,
}

/// One run to be lived through.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Plan {
    /// What happens.
    pub subject: Subject,
    /// All chance.
    pub seed: u64,
    /// Root requests a second.
    pub rate: f64,
}

impl Plan {
    /// How the fault strikes, if there is one.
    pub fn strike(&self) -> Option<Strike> {
        match self.subject {
            Subject::Fault(fault, start) => Some(Strike::draw(fault, self.seed, start == Start::AtOnce)),
            Subject::Limited(fault) => Strike::draw_limited(fault, self.seed),
            Subject::Control(..) => None,
        }
    }

    fn length(&self) -> f64 {
        match (self.subject, self.strike()) {
            (Subject::Control(_, length), _) => f64::from(length),
            (_, Some(strike)) if strike.fault == Fault::DeadExporter => strike.from.max(60.0) + AFTER_SILENCE,
            (_, strike) => strike.map_or(0.0, |strike| strike.from) + AFTER_STRIKE,
        }
    }

    /// The system, and which changes were reported of it.
    fn system(&self) -> (System, Reported) {
        let mut rng = fastrand::Rng::with_seed(self.seed ^ 0x005e_ed0f_0420_15e5);
        let mut noise = match self.subject {
            Subject::Control(control, length) => control.noise(&mut rng, f64::from(length)),
            Subject::Fault(..) | Subject::Limited(_) => Noise::default(),
        };
        let strike = self.strike();
        // What was there before anything was seen can be put down to no change.
        let is_brought = !matches!(self.subject, Subject::Fault(_, Start::AtOnce));
        let planted = strike.filter(|_| is_brought).map(|strike| plant(&strike, self.seed, &mut noise));
        (System::new(self.seed, self.rate, noise, strike, self.length()), planted.unwrap_or_default())
    }

    fn flows(&self) -> Vec<Flow> {
        let has_contract = match self.subject {
            Subject::Fault(fault, _) | Subject::Limited(fault) => fault.has_contract(),
            Subject::Control(..) => true,
        };
        let source = Source { path: "shop.yaml".into(), text: CONTRACT.into() };
        if has_contract { compile(&[source]).map(|compiled| compiled.flows).unwrap_or_default() } else { Vec::new() }
    }
}

/// All that was said in a run, and what really happened.
pub struct Record {
    /// Which run.
    pub plan: Plan,
    /// What really happened.
    pub truth: Truth,
    /// Findings as they opened, with the second.
    pub opened: Vec<(f64, FindingReport)>,
    /// The report at the end.
    pub report: Report,
    /// When each of the usual rules began to fire, and for what.
    pub alerts: [Vec<(f64, String)>; 5],
    /// Simulated seconds.
    pub length: f64,
    /// Spans that arrived.
    pub spans: u64,
    /// What was said of why.
    pub why: Option<Why>,
}

/// Lives through it.
///
/// # Errors
/// Where a request of the simulated services would be refused.
pub fn live(plan: Plan) -> Result<Record, String> {
    let (mut system, reported) = plan.system();
    let most = if system.strike.is_some() { usize::MAX } else { KEPT_OF_CONTROLS };
    let mut watch = Watching::new(plan.flows(), &system, Kept::new(most));
    let mut baselines = Baselines::default();
    while let Some((at, shown)) = system.advance() {
        match shown {
            Shown::Offsets(offsets) => baselines.offsets(at, &offsets),
            Shown::Request(instance, content) => {
                baselines.hear(at, system.fleet.instances[instance].service, &content);
                watch.take(&system, (at, instance), content)?;
            }
        }
    }
    let length = plan.length();
    watch.pass(length);
    let now = second(length);
    let why = match system.strike {
        Some(strike) => ask(&watch.engine, &watch.kept, (&strike, &reported), now),
        None => Some(ask_of_nothing(&watch.kept, (&reported, now))),
    };
    Ok(Record {
        plan,
        truth: system.truth,
        opened: watch.opened,
        report: watch.engine.report(),
        alerts: baselines.alerts,
        length,
        spans: watch.spans,
        why,
    })
}

struct Watching {
    engine: Engine,
    kept: Kept,
    opened: Vec<(f64, FindingReport)>,
    trace_state: String,
    sequence: u64,
    spans: u64,
    passed: f64,
}

impl Watching {
    fn new(flows: Vec<Flow>, system: &System, kept: Kept) -> Watching {
        Watching {
            engine: Engine::new(flows, Options::default()),
            kept,
            opened: Vec::new(),
            trace_state: system.noise.sampling.map(|sampling| sampling.trace_state()).unwrap_or_default(),
            sequence: 0,
            spans: 0,
            passed: 0.0,
        }
    }

    /// A request arrives.
    fn take(&mut self, system: &System, (at, instance): (f64, usize), content: Content) -> Result<(), String> {
        self.pass(at);
        let of = &system.fleet.instances[instance];
        let (resource, since) = (&of.resource, of.from.max(0.0));
        let body = encode(&content, &Sending { resource, since, trace_state: &self.trace_state });
        self.sequence += 1;
        let request = Request { sequence: self.sequence, body: &body };
        let (signal, input) = match &content {
            Content::Spans(spans) => {
                self.spans += spans.len() as u64;
                (Signal::Traces, Input::Traces(request))
            }
            Content::Logs(_) => (Signal::Logs, Input::Logs(request)),
            Content::Points(..) => (Signal::Metrics, Input::Metrics(request)),
        };
        check(signal, &body, &Limits::default()).map_err(|error| format!("refused at {at:.3} s: {error}"))?;
        self.apply(at, input);
        self.kept.keep((signal, second(at)), &content, body);
        Ok(())
    }

    /// Nothing but time passes.
    fn pass(&mut self, until: f64) {
        while self.passed + 1.0 <= until {
            self.passed += 1.0;
            self.apply(self.passed, Input::Tick);
        }
    }

    fn apply(&mut self, at: f64, input: Input<'_>) {
        for effect in self.engine.apply(second(at), input) {
            if let Effect::FindingOpened(finding) = effect {
                self.opened.push((at, finding));
            }
        }
    }
}
