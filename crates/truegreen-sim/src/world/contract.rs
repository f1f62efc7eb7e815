//! Random contracts.

use std::time::Duration;

use fastrand::Rng;
use truegreen_model::flow::{
    Condition, Exit, ExitOutcome, FanOut, Flow, Key, Limits, Pattern, ReasonSource, Reentry, Signal, Step, StepId,
    Test, Text,
};

use super::fleet::Fleet;

/// A contract, and who really does the work of each step and exit.
#[derive(Clone, Debug)]
pub struct Contract {
    /// The contract.
    pub flow: Flow,
    /// Index of the service that does it, by step; `None`: it does not exist.
    pub staff: Vec<Option<usize>>,
    /// The same by exit.
    pub exit_staff: Vec<Option<usize>>,
}

/// A random contract over the services of the fleet.
pub fn draw(rng: &mut Rng, fleet: &Fleet) -> Contract {
    let keyed_by_trace = rng.f64() < 0.1;
    let reenters = !keyed_by_trace && rng.f64() < 0.15;
    let count = if reenters { rng.usize(2..4) } else { rng.usize(2..7) };
    let slowest = if reenters { 15 } else { 35 };
    let mut staff = Vec::new();
    let mut steps = Vec::new();
    for index in 0..count {
        let service = fleet.draw(rng, index == 0);
        staff.push(service);
        steps.push(step(rng, index, fleet.name(service), slowest));
    }
    let exits: Vec<(Exit, Option<usize>)> = (0..rng.usize(0..3)).map(|index| exit(rng, index, fleet)).collect();
    Contract {
        staff,
        exit_staff: exits.iter().map(|(_, service)| *service).collect(),
        flow: Flow {
            name: "first".into(),
            description: String::new(),
            key: if keyed_by_trace { Key::TraceId } else { Key::Attributes(vec!["order.id".into(), "orderId".into()]) },
            bind: Vec::new(),
            scope: vec!["deployment.environment.name".into(), "service.namespace".into()],
            steps,
            exits: exits.into_iter().map(|(exit, _)| exit).collect(),
            grace: Duration::from_secs(rng.u64(0..4)),
            reentry: if reenters { Reentry::After(Duration::from_secs(60)) } else { Reentry::Once },
            limits: Limits::default(),
            expect: None,
            sampled: std::collections::BTreeMap::new(),
            reconcile: Vec::new(),
        },
    }
}

/// A second flow over the same records, with other deadlines and other duties.
pub fn vary(rng: &mut Rng, contract: &Contract) -> Contract {
    let mut other = contract.clone();
    other.flow.name = "second".into();
    for step in other.flow.steps.iter_mut().skip(1) {
        step.within = Duration::from_secs(rng.u64(5..35));
        step.optional = rng.f64() < 0.3;
        step.when = Vec::new();
    }
    other
}

fn step(rng: &mut Rng, index: usize, service: &str, slowest: u64) -> Step {
    let signal = if rng.f64() < 0.75 { Signal::Span } else { Signal::Log };
    let learned = index > 0 && rng.f64() < 0.15;
    let pattern = |name: String| Pattern {
        signal,
        service: (!learned).then(|| Text(service.into())),
        name: Some(Text(name)),
        kind: None,
        body: None,
        severity_at_least: None,
        attributes: Vec::new(),
    };
    let mut any_of = vec![pattern(format!("step {index}"))];
    if rng.f64() < 0.2 {
        any_of.push(pattern(format!("step {index} otherwise *")));
    }
    let after = match index {
        0 => 0,
        _ if rng.f64() < 0.75 => index - 1,
        _ => rng.usize(0..index),
    };
    let owed = rng.f64();
    Step {
        name: format!("step-{index}"),
        any_of,
        within: Duration::from_secs(rng.u64(5..slowest)),
        after: StepId(u8::try_from(after).unwrap_or(0)),
        optional: index > 0 && owed < 0.15,
        when: if index > 0 && (0.15..0.3).contains(&owed) { vec![condition(rng)] } else { Vec::new() },
        unless: if index > 0 && (0.3..0.4).contains(&owed) { vec![condition(rng)] } else { Vec::new() },
        fan_out: match rng.u8(0..12) {
            0 if index > 0 => Some(FanOut::ForEach { attribute: "order.lines".into(), item: "order.line".into() }),
            1 if index > 0 => Some(FanOut::CountFrom { attribute: "order.parts".into() }),
            _ => None,
        },
        confirm: None,
    }
}

fn condition(rng: &mut Rng) -> Condition {
    let (attribute, test) = match rng.u8(0..5) {
        0 => ("tier", Test::AnyOf(vec![Text("go*".into())])),
        1 => ("tier", Test::NoneOf(vec![Text("gold".into())])),
        2 => ("tier", Test::Present),
        3 => ("tier", Test::Absent),
        _ => ("amount", Test::Number { at_least: Some(50.0), below: rng.bool().then_some(80.0) }),
    };
    Condition { attribute: attribute.into(), test }
}

fn exit(rng: &mut Rng, index: usize, fleet: &Fleet) -> (Exit, Option<usize>) {
    let service = fleet.draw(rng, true);
    let exit = Exit {
        name: format!("exit-{index}"),
        any_of: vec![Pattern {
            signal: if rng.bool() { Signal::Span } else { Signal::Log },
            service: Some(Text(fleet.name(service).into())),
            name: Some(Text(format!("exit {index}"))),
            kind: None,
            body: None,
            severity_at_least: None,
            attributes: Vec::new(),
        }],
        outcome: if rng.bool() { ExitOutcome::Rejected } else { ExitOutcome::DeadLettered },
        reason: if rng.f64() < 0.3 {
            ReasonSource::Fixed("by_rule".into())
        } else {
            ReasonSource::Attributes(vec!["truegreen.reason".into(), "reason".into()])
        },
    };
    (exit, service)
}
