//! From a record to the observations it shows. Compiled once from all contracts; what depends on the sender alone
//! is worked out once per resource.

pub(crate) mod counter;
pub(crate) mod key;
pub(crate) mod lineage;
pub(crate) mod names;
pub(crate) mod pattern;
pub(crate) mod plan;
pub(crate) mod resource;
pub(crate) mod revision;
pub(crate) mod scopes;
pub(crate) mod vocabulary;

use truegreen_model::flow::{ExitId, Flow, FlowId, StepId};
use truegreen_model::observation::Symbol;

use crate::symbols::Symbols;
use counter::CounterPlan;
use lineage::{AccountId, Lineage};
use names::{NameId, Names};
use pattern::Compiled;
use plan::Plan;
use vocabulary::Vocabulary;

/// Index of a pattern among all of all contracts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct PatternId(u32);

/// What a record that matches a pattern is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    Step(FlowId, StepId),
    Exit(FlowId, ExitId),
    /// The n-th `bind` of a flow.
    Bind(FlowId, u8),
}

/// All contracts, compiled.
#[derive(Debug)]
pub(crate) struct Matcher {
    /// By number: all versions of all contracts that are known.
    pub(crate) plans: Vec<Plan>,
    /// By account.
    pub(crate) lineages: Vec<Lineage>,
    /// The versions that are in force, in the order in which they were told.
    pub(crate) watched: Vec<FlowId>,
    pub(crate) names: Names,
    /// Grows whenever the index is made anew.
    pub(crate) epoch: u64,
    patterns: Vec<(Meaning, Compiled)>,
    /// The names of keys and binds of any flow: records that carry one may lend it to others of their trace.
    pub(crate) lent_names: Vec<NameId>,
    /// What tells services of one name apart.
    pub(crate) home_names: Vec<NameId>,
    pub(crate) event_id: NameId,
    pub(crate) event_source: NameId,
    pub(crate) event_name: NameId,
    pub(crate) outcome: NameId,
    /// Those that the books of contracts in force are held against.
    pub(crate) counters: Vec<CounterPlan>,
    /// None where traces are not put together.
    pub(crate) vocabulary: Option<Vocabulary>,
}

impl Matcher {
    pub(crate) fn new(flows: &[Flow], symbols: &mut Symbols, watches_traces: bool) -> Self {
        let mut matcher = Matcher::empty(Names::default(), watches_traces);
        matcher.revise(flows, symbols);
        matcher.index();
        matcher
    }

    fn empty(mut names: Names, watches_traces: bool) -> Self {
        let home_names = ["deployment.environment.name", "service.namespace"].map(|name| names.intern(name)).to_vec();
        let event_id = names.intern("cloudevents.event_id");
        let event_source = names.intern("cloudevents.event_source");
        let event_name = names.intern("event.name");
        let outcome = names.intern(plan::OUTCOME);
        let vocabulary = watches_traces.then(|| Vocabulary::new(&mut names));
        Matcher {
            plans: Vec::new(),
            lineages: Vec::new(),
            watched: Vec::new(),
            names,
            epoch: 0,
            patterns: Vec::new(),
            lent_names: Vec::new(),
            home_names,
            event_id,
            event_source,
            event_name,
            outcome,
            counters: Vec::new(),
            vocabulary,
        }
    }

    pub(crate) fn plan(&self, flow: FlowId) -> &Plan {
        &self.plans[flow.0 as usize]
    }

    pub(crate) fn lineage(&self, account: AccountId) -> &Lineage {
        &self.lineages[account.0 as usize]
    }

    /// Whether this version is in force.
    pub(crate) fn is_current(&self, plan: &Plan) -> bool {
        self.lineages.get(plan.account.0 as usize).and_then(Lineage::current) == Some(plan.id)
    }

    /// Whether the contract says that this service keeps only a sample of its traces.
    pub(crate) fn declared_sampled(&self, plan: &Plan, service: Symbol) -> bool {
        plan.sampled.contains(&service)
    }

    pub(crate) fn pattern(&self, id: PatternId) -> (Meaning, &Compiled) {
        let (meaning, compiled) = &self.patterns[id.0 as usize];
        (*meaning, compiled)
    }

    pub(crate) fn patterns(&self) -> impl Iterator<Item = (PatternId, &Compiled)> {
        self.patterns.iter().enumerate().map(|(id, (_, compiled))| (PatternId(id as u32), compiled))
    }
}

fn patterns_of(plan: &Plan, names: &mut Names) -> Vec<(Meaning, Compiled)> {
    let mut patterns = Vec::new();
    for (index, step) in plan.flow.steps.iter().enumerate() {
        let meaning = Meaning::Step(plan.id, StepId(index as u8));
        patterns.extend(step.any_of.iter().map(|pattern| (meaning, Compiled::new(pattern, false, names))));
    }
    for (index, exit) in plan.exits.iter().enumerate() {
        let meaning = Meaning::Exit(plan.id, ExitId(index as u8));
        patterns.extend(exit.any_of.iter().map(|pattern| (meaning, Compiled::new(pattern, !exit.declared, names))));
    }
    for (index, bind) in plan.flow.bind.iter().enumerate() {
        let meaning = Meaning::Bind(plan.id, index as u8);
        patterns.extend(bind.on.iter().map(|pattern| (meaning, Compiled::new(pattern, false, names))));
    }
    patterns
}
