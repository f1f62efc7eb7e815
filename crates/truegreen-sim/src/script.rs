//! A world written by hand, so that a scenario reads as prose.

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::flow::{
    Condition, Exit, ExitOutcome, Flow, Key, Limits, Pattern, ReasonSource, Reentry, Signal, SpanKind, Step, StepId,
    Test, Text,
};
use truegreen_model::time::Timestamp;

use crate::reference::Reference;
use crate::run::Run;
use crate::telemetry::{Content, Happening, Log, Sender, Span, SpanRef, Value, second};

/// What happens, in any order of writing; times in seconds.
#[derive(Clone, Debug)]
pub struct Script {
    flows: Vec<Flow>,
    happenings: Vec<(Timestamp, Happening)>,
    next_id: u64,
}

/// A moment in a script.
#[derive(Debug)]
pub struct Moment<'a> {
    script: &'a mut Script,
    at: f64,
    delay: f64,
    instance: Option<String>,
    environment: Option<String>,
    times: usize,
}

impl Script {
    /// Nothing happens yet.
    pub fn new(flows: Vec<Flow>) -> Script {
        Script { flows, happenings: Vec::new(), next_id: 1 }
    }

    /// The instance `<service>-1` shows every 5 s from..to that it lives.
    pub fn alive(&mut self, service: &str, from: f64, to: f64) -> &mut Script {
        self.instance_alive(service, &format!("{service}-1"), from, to)
    }

    /// This instance shows every 5 s from..to that it lives, by metrics.
    pub fn instance_alive(&mut self, service: &str, instance: &str, from: f64, to: f64) -> &mut Script {
        let mut at = from;
        while at < to {
            self.measured(at + 0.5, 0.0, service, instance);
            at += 5.0;
        }
        self
    }

    /// At this second an instance measures something, which is received so many seconds later.
    pub fn measured(&mut self, at: f64, delay: f64, service: &str, instance: &str) -> &mut Script {
        let content = Content::Metrics(vec![(Sender::new(service, instance), second(at))]);
        self.happenings.push((second(at + delay), Happening::Accepted(content)));
        self
    }

    /// At this second something ends and, a second later, is received.
    pub fn at(&mut self, at: f64) -> Moment<'_> {
        Moment { script: self, at, delay: 1.0, instance: None, environment: None, times: 1 }
    }

    /// A request of this service is refused.
    pub fn refused(&mut self, at: f64, service: &str, instance: Option<&str>) -> &mut Script {
        let happening = Happening::Refused { service: service.into(), instance: instance.map(str::to_owned) };
        self.happenings.push((second(at), happening));
        self
    }

    /// We are down in between: nothing that was written for then is received.
    pub fn down(&mut self, from: f64, to: f64) -> &mut Script {
        self.happenings.retain(|(at, _)| *at < second(from) || *at > second(to));
        let down_since = second(from);
        self.happenings.push((second(to), Happening::Resumed { down_since }));
        self
    }

    /// What happens, in the order of writing.
    pub fn written(&self) -> &[(Timestamp, Happening)] {
        &self.happenings
    }

    /// What happens, in order.
    pub fn happenings(&self) -> Vec<(Timestamp, Happening)> {
        let mut happenings = self.happenings.clone();
        happenings.sort_by_key(|(at, _)| *at);
        happenings
    }

    /// The contracts.
    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }

    /// By the rules alone.
    pub fn reference(&self) -> Reference {
        Reference::of_happenings(self.flows.clone(), &self.happenings())
    }

    /// An engine that lived through it until this second.
    ///
    /// # Errors
    /// Where its books do not balance.
    pub fn run(&self, until: f64) -> Result<Run, String> {
        let mut run = Run::new(self.flows.clone());
        run.through(&self.happenings(), second(until))?;
        Ok(run)
    }
}

impl Moment<'_> {
    /// Received so many seconds after its end, rather than one.
    pub fn delayed(mut self, seconds: f64) -> Self {
        self.delay = seconds;
        self
    }

    /// By this instance rather than `<service>-1`.
    pub fn by(mut self, instance: &str) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// In this environment rather than production.
    pub fn inside(mut self, environment: &str) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// The same request so many times.
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// One request with these spans, which end now.
    pub fn spans(mut self, service: &str, drafts: impl IntoIterator<Item = Draft>) -> Vec<SpanRef> {
        let mut spans = Vec::new();
        for draft in drafts {
            spans.push(self.span(draft));
        }
        let places = spans.iter().map(|span| span.place).collect();
        let sender = self.sender(service);
        self.send(Content::Spans(vec![(sender, spans)]));
        places
    }

    /// One request with these log records, which are written now.
    pub fn logs(self, service: &str, drafts: impl IntoIterator<Item = Draft>) {
        let at = second(self.at);
        let log = |draft: Draft| Log {
            at: draft.at.unwrap_or(at),
            place: draft.place,
            body: draft.name.clone(),
            name: draft.name,
            severity: 9,
            attributes: draft.attributes,
        };
        let logs = drafts.into_iter().map(log).collect();
        let sender = self.sender(service);
        self.send(Content::Logs(vec![(sender, logs)]));
    }

    fn span(&mut self, draft: Draft) -> Span {
        self.script.next_id += 1;
        let id = self.script.next_id;
        let end = draft.at.unwrap_or(second(self.at));
        Span {
            place: draft.place.unwrap_or(SpanRef {
                // Random-looking: trace ids that are not look like a sample.
                trace: draft.trace.unwrap_or(u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
                span: id,
            }),
            parent: draft.parent,
            links: draft.links,
            name: draft.name,
            kind: draft.kind,
            start: end - draft.lasts,
            end,
            error: draft.error,
            trace_state: draft.trace_state,
            attributes: draft.attributes,
        }
    }

    fn sender(&self, service: &str) -> Sender {
        let instance = self.instance.clone().unwrap_or_else(|| format!("{service}-1"));
        let mut sender = Sender::new(service, &instance);
        if let Some(environment) = &self.environment {
            sender.environment.clone_from(environment);
        }
        sender
    }

    fn send(self, content: Content) {
        let received_at = second(self.at + self.delay);
        for _ in 0..self.times {
            self.script.happenings.push((received_at, Happening::Accepted(content.clone())));
        }
    }
}

/// A span or log record to be.
#[derive(Clone, Debug)]
pub struct Draft {
    name: String,
    kind: SpanKind,
    trace: Option<u128>,
    place: Option<SpanRef>,
    parent: Option<u64>,
    links: Vec<SpanRef>,
    error: bool,
    at: Option<Timestamp>,
    lasts: Duration,
    trace_state: String,
    attributes: Vec<(String, Value)>,
}

/// A span or log record of this name.
pub fn record(name: &str) -> Draft {
    Draft {
        name: name.into(),
        kind: SpanKind::Internal,
        trace: None,
        place: None,
        parent: None,
        links: Vec::new(),
        error: false,
        at: None,
        lasts: Duration::ZERO,
        trace_state: String::new(),
        attributes: Vec::new(),
    }
}

impl Draft {
    /// With `order.id`.
    pub fn of(self, order: &str) -> Draft {
        self.with("order.id", order)
    }

    /// With an attribute.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Draft {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// Of this kind.
    pub fn kind(mut self, kind: SpanKind) -> Draft {
        self.kind = kind;
        self
    }

    /// With status ERROR.
    pub fn failed(mut self) -> Draft {
        self.error = true;
        self
    }

    /// In this trace.
    pub fn in_trace(mut self, trace: u128) -> Draft {
        self.trace = Some(trace);
        self
    }

    /// At this place, or written within the span there.
    pub fn at_place(mut self, place: SpanRef) -> Draft {
        self.place = Some(place);
        self
    }

    /// A child of the span there.
    pub fn child_of(mut self, parent: SpanRef) -> Draft {
        self.trace = Some(parent.trace);
        self.parent = Some(parent.span);
        self
    }

    /// Linked to the span there.
    pub fn linked_to(mut self, cause: SpanRef) -> Draft {
        self.links.push(cause);
        self
    }

    /// Ends at this second, whenever it is sent.
    pub fn dated(mut self, at: f64) -> Draft {
        self.at = Some(second(at));
        self
    }

    /// Starts so many seconds before its end.
    pub fn lasting(mut self, seconds: f64) -> Draft {
        self.lasts = Duration::from_secs_f64(seconds);
        self
    }

    /// With this tracestate.
    pub fn trace_state(mut self, state: &str) -> Draft {
        self.trace_state = state.into();
        self
    }
}

/// A flow over `order.id` whose start is this service's span.
pub fn flow(name: &str, service: &str, span: &str) -> Flow {
    Flow {
        name: name.into(),
        description: String::new(),
        key: Key::Attributes(vec!["order.id".into()]),
        bind: Vec::new(),
        scope: vec!["deployment.environment.name".into(), "service.namespace".into()],
        steps: vec![step("entered", service, span, 0, 0)],
        exits: Vec::new(),
        grace: Duration::ZERO,
        reentry: Reentry::Once,
        limits: Limits::default(),
        expect: None,
        sampled: BTreeMap::new(),
        reconcile: Vec::new(),
    }
}

/// A step shown by this service's span, within so many seconds of the step with this index.
pub fn step(name: &str, service: &str, span: &str, within: u64, after: u8) -> Step {
    Step {
        name: name.into(),
        any_of: vec![pattern(Signal::Span, service, span)],
        within: Duration::from_secs(within),
        after: StepId(after),
        optional: false,
        when: Vec::new(),
        unless: Vec::new(),
        fan_out: None,
        confirm: None,
    }
}

/// An exit shown by this service's span, with its reason in `reason`.
pub fn exit(name: &str, service: &str, span: &str, outcome: ExitOutcome) -> Exit {
    Exit {
        name: name.into(),
        any_of: vec![pattern(Signal::Span, service, span)],
        outcome,
        reason: ReasonSource::Attributes(vec!["reason".into()]),
    }
}

/// Records of this service with this name; an empty service matches any.
pub fn pattern(signal: Signal, service: &str, name: &str) -> Pattern {
    Pattern {
        signal,
        service: (!service.is_empty()).then(|| Text(service.into())),
        name: Some(Text(name.into())),
        kind: None,
        body: None,
        severity_at_least: None,
        attributes: Vec::new(),
    }
}

/// The attribute is one of these.
pub fn any_of(attribute: &str, values: &[&str]) -> Condition {
    Condition {
        attribute: attribute.into(),
        test: Test::AnyOf(values.iter().map(|&value| Text(value.into())).collect()),
    }
}
