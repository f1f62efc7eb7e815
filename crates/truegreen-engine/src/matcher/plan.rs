//! A flow as the matcher and the ledger need it: names interned, conditions numbered, the owing services listed.

use std::collections::BTreeMap;
use std::time::Duration;

use smallvec::SmallVec;
use truegreen_model::flow::{
    Condition, ExitOutcome, FanOut, Flow, FlowId, Key, Limits, Pattern, ReasonSource, Reentry, Signal, Step, StepId,
    Test, Text,
};
use truegreen_model::observation::{Role, Symbol};

use super::key;
use super::lineage::AccountId;
use super::names::{NameId, Names};
use crate::symbols::Symbols;

/// How every flow may say what became of a journey, without a line in its contract.
pub(crate) const OUTCOME: &str = "truegreen.outcome";
const REASON: &str = "truegreen.reason";

/// One version of one flow, ready to match and to judge.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) id: FlowId,
    /// Whose books it keeps.
    pub(crate) account: AccountId,
    pub(crate) flow: Flow,
    /// Some step's effect can be looked up.
    pub(crate) is_confirmed: bool,
    /// Another version of the same contract may have the journey that a record is of.
    pub(crate) has_rivals: bool,
    /// The key's names, the first present counting; empty where the key is the trace id.
    pub(crate) key_names: Vec<NameId>,
    /// The attribute of each `bind`.
    pub(crate) bind_names: Vec<NameId>,
    pub(crate) scope_names: Vec<NameId>,
    /// Bit n of an observation's conditions is the n-th of these.
    pub(crate) conditions: Vec<(NameId, Test)>,
    /// Conditions that hold where the attribute is absent.
    pub(crate) holds_absent: u64,
    pub(crate) steps: Vec<StepPlan>,
    pub(crate) exits: Vec<ExitPlan>,
    /// Services that the contract declares to be sampled.
    pub(crate) sampled: Vec<Symbol>,
}

/// One step.
#[derive(Debug)]
pub(crate) struct StepPlan {
    pub(crate) after: usize,
    pub(crate) within: Duration,
    pub(crate) optional: bool,
    /// All of these conditions must hold.
    pub(crate) when: u64,
    /// Not all of these must hold, if there are any.
    pub(crate) unless: u64,
    pub(crate) fan_out: Option<FanOutPlan>,
    pub(crate) signals: SmallVec<[Signal; 2]>,
    /// Services named in the contract; empty where they must be learned.
    pub(crate) services: SmallVec<[Symbol; 2]>,
}

/// How many observations a step needs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FanOutPlan {
    ForEach { attribute: NameId, item: NameId },
    CountFrom { attribute: NameId },
}

/// One exit, those that need no line in the contract included.
#[derive(Debug)]
pub(crate) struct ExitPlan {
    pub(crate) name: String,
    pub(crate) outcome: ExitOutcome,
    pub(crate) reason: ReasonPlan,
    /// Whether the contract names it: what it misses for lack of a key is then worth counting.
    pub(crate) declared: bool,
    pub(crate) any_of: Vec<Pattern>,
}

/// Where an exit's reason is from.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum ReasonPlan {
    Attributes(Vec<NameId>),
    Fixed(Symbol),
}

impl Plan {
    pub(crate) fn new(id: FlowId, account: AccountId, flow: Flow, names: &mut Names, symbols: &mut Symbols) -> Self {
        let mut numbered = Numbered { names, conditions: Vec::new() };
        let steps: Vec<_> = flow.steps.iter().map(|step| step_plan(step, &mut numbered, symbols)).collect();
        let conditions = numbered.conditions;
        let absent = |(bit, (_, test)): (usize, &(NameId, Test))| u64::from(matches!(test, Test::Absent)) << bit;
        let mut interned = |texts: &[String]| texts.iter().map(|name| names.intern(name)).collect::<Vec<_>>();
        let key_names = match &flow.key {
            Key::TraceId => Vec::new(),
            Key::Attributes(attributes) => interned(attributes),
        };
        let bind_names = flow.bind.iter().flat_map(|bind| interned(std::slice::from_ref(&bind.attribute))).collect();
        let scope_names = interned(&flow.scope);
        let exits = exit_plans(&flow, names, symbols);
        let declared = flow.sampled.iter().filter(|(_, ratio)| **ratio < 1.0);
        let sampled = declared.map(|(service, _)| symbols.intern(service.as_bytes())).collect();
        let holds_absent = conditions.iter().enumerate().map(absent).sum();
        let has_rivals = false;
        let is_confirmed = flow.steps.iter().any(|step| step.confirm.is_some());
        Plan {
            id,
            account,
            is_confirmed,
            has_rivals,
            key_names,
            bind_names,
            scope_names,
            holds_absent,
            conditions,
            steps,
            exits,
            sampled,
            flow,
        }
    }

    /// Whether the number names nothing.
    pub(crate) fn is_free(&self) -> bool {
        self.account == AccountId::NONE
    }

    /// Nothing, so that the number is free.
    pub(super) fn free(id: FlowId) -> Self {
        let flow = Flow {
            name: String::new(),
            description: String::new(),
            key: Key::Attributes(Vec::new()),
            bind: Vec::new(),
            scope: Vec::new(),
            steps: Vec::new(),
            exits: Vec::new(),
            grace: Duration::ZERO,
            reentry: Reentry::Once,
            limits: Limits::default(),
            expect: None,
            sampled: BTreeMap::new(),
            reconcile: Vec::new(),
        };
        Plan {
            id,
            account: AccountId::NONE,
            is_confirmed: false,
            has_rivals: false,
            key_names: Vec::new(),
            bind_names: Vec::new(),
            scope_names: Vec::new(),
            holds_absent: 0,
            conditions: Vec::new(),
            steps: Vec::new(),
            exits: Vec::new(),
            sampled: Vec::new(),
            flow,
        }
    }

    /// By which of its names for a journey this version knows what another one knows by `name`, if it does.
    pub(crate) fn name_as(&self, other: &Plan, name: u8) -> Option<u8> {
        if self.id == other.id {
            return Some(name);
        }
        if self.scope_names != other.scope_names {
            return None;
        }
        let Some(bind) = name.checked_sub(1) else {
            let is_shared = self.key_names.iter().any(|name| other.key_names.contains(name));
            let is_same = is_shared || (self.keyed_by_trace() && other.keyed_by_trace());
            return is_same.then_some(key::PRIMARY);
        };
        let attribute = other.bind_names.get(bind as usize)?;
        if self.key_names.contains(attribute) {
            return Some(key::PRIMARY);
        }
        let index = self.bind_names.iter().position(|name| name == attribute)?;
        Some(index as u8 + 1)
    }

    /// The step of this name in another version, if the same records show it.
    pub(crate) fn kin_in(&self, step: StepId, other: &Plan) -> Option<StepId> {
        let own = self.flow.steps.get(step.0 as usize)?;
        let is_kin = |other: &Step| other.name == own.name && other.any_of == own.any_of;
        Some(StepId(other.flow.steps.iter().position(is_kin)? as u8))
    }

    /// Whether an observation that another version made of a record is the one that this version would make of it.
    pub(crate) fn sees_alike(&self, other: &Plan, role: Role) -> bool {
        let fan_out = |plan: &Plan, step: usize| plan.flow.steps.get(step).and_then(|step| step.fan_out.clone());
        let steps = self.steps.len().max(other.steps.len());
        self.scope_names == other.scope_names
            && self.conditions == other.conditions
            && (0..steps).all(|step| fan_out(self, step) == fan_out(other, step))
            && match role {
                Role::Step(step) => self.step_name(step) == other.step_name(step),
                Role::Exit(exit, _) => {
                    let [own, others] = [self, other].map(|plan| plan.exits.get(exit.0 as usize));
                    own.zip(others).is_some_and(|(own, others)| {
                        (&own.name, own.outcome, &own.reason) == (&others.name, others.outcome, &others.reason)
                    })
                }
            }
    }

    /// From the start to the last deadline along the longest way, grace included.
    pub(crate) fn longest(&self) -> Duration {
        let mut reached: Vec<Duration> = Vec::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            reached.push(if index == 0 { Duration::ZERO } else { reached[step.after] + step.within });
        }
        reached.into_iter().max().unwrap_or_default() + self.flow.grace
    }

    /// Whether the key is the trace id, so that every record of a trace carries it.
    pub(crate) fn keyed_by_trace(&self) -> bool {
        self.flow.key == Key::TraceId
    }

    pub(crate) fn step_name(&self, step: StepId) -> &str {
        self.flow.steps.get(step.0 as usize).map_or("", |step| &step.name)
    }
}

struct Numbered<'n> {
    names: &'n mut Names,
    conditions: Vec<(NameId, Test)>,
}

impl Numbered<'_> {
    fn mask(&mut self, conditions: &[Condition]) -> u64 {
        let mut mask = 0;
        for condition in conditions {
            mask |= 1 << self.conditions.len();
            self.conditions.push((self.names.intern(&condition.attribute), condition.test.clone()));
        }
        mask
    }
}

fn step_plan(step: &Step, numbered: &mut Numbered<'_>, symbols: &mut Symbols) -> StepPlan {
    let when = numbered.mask(&step.when);
    let unless = numbered.mask(&step.unless);
    let mut signals: SmallVec<[Signal; 2]> = step.any_of.iter().map(|pattern| pattern.signal).collect();
    signals.sort_unstable();
    signals.dedup();
    // One alternative that any service may fulfil makes the owing services unknown.
    let named = |pattern: &Pattern| pattern.service.clone().filter(Text::is_exact);
    let services: Option<Vec<Text>> = step.any_of.iter().map(named).collect();
    let services = services.unwrap_or_default().iter().map(|name| symbols.intern(name.0.as_bytes())).collect();
    let fan_out = step.fan_out.as_ref().map(|fan_out| match fan_out {
        FanOut::ForEach { attribute, item } => {
            FanOutPlan::ForEach { attribute: numbered.names.intern(attribute), item: numbered.names.intern(item) }
        }
        FanOut::CountFrom { attribute } => FanOutPlan::CountFrom { attribute: numbered.names.intern(attribute) },
    });
    StepPlan {
        after: step.after.0 as usize,
        within: step.within,
        optional: step.optional,
        when,
        unless,
        fan_out,
        signals,
        services,
    }
}

fn exit_plans(flow: &Flow, names: &mut Names, symbols: &mut Symbols) -> Vec<ExitPlan> {
    let mut exits: Vec<ExitPlan> = flow
        .exits
        .iter()
        .map(|exit| ExitPlan {
            name: exit.name.clone(),
            outcome: exit.outcome,
            reason: match &exit.reason {
                ReasonSource::Attributes(attributes) => {
                    ReasonPlan::Attributes(attributes.iter().map(|name| names.intern(name)).collect())
                }
                ReasonSource::Fixed(text) => ReasonPlan::Fixed(symbols.intern(text.as_bytes())),
            },
            declared: true,
            any_of: exit.any_of.clone(),
        })
        .collect();
    for (outcome, said) in [(ExitOutcome::Rejected, "rejected"), (ExitOutcome::DeadLettered, "dead_lettered")] {
        exits.push(ExitPlan {
            name: format!("{OUTCOME}={said}"),
            outcome,
            reason: ReasonPlan::Attributes(vec![names.intern(REASON)]),
            declared: false,
            any_of: [Signal::Span, Signal::Log, Signal::Event].map(|signal| said_outcome(signal, said)).to_vec(),
        });
    }
    exits
}

fn said_outcome(signal: Signal, said: &str) -> Pattern {
    Pattern {
        signal,
        service: None,
        name: None,
        kind: None,
        body: None,
        severity_at_least: None,
        attributes: vec![Condition { attribute: OUTCOME.to_owned(), test: Test::AnyOf(vec![Text(said.to_owned())]) }],
    }
}
