//! Contracts that change: new versions come into force, old ones go once they have nothing any more. The number of a
//! version stays its own as long as anything names it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::flow::{Flow, FlowId, StepId};
use truegreen_model::verdict::Hop;

use super::counter::CounterPlan;
use super::lineage::{AccountId, Lineage};
use super::names::Names;
use super::plan::Plan;
use super::{Matcher, patterns_of};
use crate::symbols::Symbols;

/// Versions that may be known at the same time: a number of 16 bits names each.
const MAX_VERSIONS: usize = 1 << 16;

/// A version that came into force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Begun {
    pub(crate) flow: FlowId,
    /// The one it supersedes.
    pub(crate) before: Option<FlowId>,
}

/// What a revision changed.
#[derive(Default, Debug)]
pub(crate) struct Revised {
    pub(crate) begun: Vec<Begun>,
    /// Whether any version lost its force.
    pub(crate) any_superseded: bool,
    /// Contracts that could not come into force, since there are too many versions.
    pub(crate) refused: u64,
}

/// All contracts as they are kept. `F` is a flow, or one that is borrowed.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptContracts<F, L> {
    /// By number; none where it is free.
    flows: Vec<Option<F>>,
    lineages: L,
    watched: Vec<FlowId>,
    /// Attribute names in the order of their numbers.
    names: Vec<String>,
}

impl Matcher {
    /// From now on these contracts are in force, each known by its name. Of two with one name the first counts.
    /// The index is not made anew.
    pub(crate) fn revise(&mut self, flows: &[Flow], symbols: &mut Symbols) -> Revised {
        let mut revised = Revised::default();
        let numbered = self.lineages.iter().enumerate();
        let mut accounts: BTreeMap<String, AccountId> =
            numbered.map(|(account, lineage)| (lineage.name.clone(), AccountId(account as u32))).collect();
        let mut told: BTreeSet<AccountId> = BTreeSet::new();
        let mut watched = Vec::new();
        for flow in flows {
            let next = AccountId(self.lineages.len() as u32);
            let account = *accounts.entry(flow.name.clone()).or_insert(next);
            if account == next {
                self.lineages.push(Lineage::new(&flow.name));
            }
            if !told.insert(account) {
                continue;
            }
            let before = self.lineage(account).current();
            match before.filter(|id| self.plan(*id).flow == *flow) {
                Some(same) => watched.push(same),
                None => match self.begin(account, flow, symbols) {
                    Some(id) => {
                        watched.push(id);
                        revised.begun.push(Begun { flow: id, before });
                        revised.any_superseded |= before.is_some();
                    }
                    None => {
                        watched.extend(before);
                        revised.refused += 1;
                    }
                },
            }
        }
        for (account, lineage) in self.lineages.iter_mut().enumerate() {
            revised.any_superseded |= !told.contains(&AccountId(account as u32)) && lineage.supersede();
        }
        self.watched = watched;
        revised
    }

    fn begin(&mut self, account: AccountId, flow: &Flow, symbols: &mut Symbols) -> Option<FlowId> {
        let free = self.plans.iter().position(Plan::is_free).unwrap_or(self.plans.len());
        if free >= MAX_VERSIONS {
            return None;
        }
        let id = FlowId(free as u16);
        let plan = Plan::new(id, account, flow.clone(), &mut self.names, symbols);
        match self.plans.get_mut(free) {
            Some(slot) => *slot = plan,
            None => self.plans.push(plan),
        }
        self.lineages[account.0 as usize].begin(id);
        Some(id)
    }

    /// Former versions without anything retire: these.
    pub(crate) fn retire(&mut self, has_any: impl Fn(FlowId) -> bool) -> Vec<FlowId> {
        let mut gone = Vec::new();
        self.lineages.iter_mut().for_each(|lineage| lineage.retire(&has_any, &mut gone));
        gone
    }

    /// Retired versions that nobody names are forgotten, and their numbers are free.
    pub(crate) fn forget(&mut self, is_named: impl Fn(FlowId) -> bool) {
        self.lineages.iter_mut().for_each(|lineage| lineage.forget(&is_named));
        let known: BTreeSet<FlowId> = self.lineages.iter().flat_map(Lineage::known).collect();
        for plan in &mut self.plans {
            if !plan.is_free() && !known.contains(&plan.id) {
                *plan = Plan::free(plan.id);
            }
        }
    }

    /// Makes the index anew: what is read by it must be read again.
    pub(crate) fn index(&mut self) {
        self.epoch += 1;
        let mut live = vec![false; self.plans.len()];
        for lineage in &self.lineages {
            let has_rivals = lineage.former().next().is_some();
            for flow in lineage.live() {
                live[flow.0 as usize] = true;
                self.plans[flow.0 as usize].has_rivals = has_rivals;
            }
        }
        let Matcher { plans, names, patterns, lent_names, .. } = self;
        let live: Vec<&Plan> = plans.iter().zip(live).filter(|(_, live)| *live).map(|(plan, _)| plan).collect();
        *patterns = live.iter().flat_map(|plan| patterns_of(plan, names)).collect();
        *lent_names = live.iter().flat_map(|plan| plan.key_names.iter().chain(&plan.bind_names)).copied().collect();
        lent_names.sort_unstable();
        lent_names.dedup();
        self.counters = CounterPlan::all(self.watched.iter().map(|flow| &self.plans[flow.0 as usize]));
    }

    /// Whether any former version still has something.
    pub(crate) fn has_former(&self) -> bool {
        self.lineages.iter().any(|lineage| lineage.former().next().is_some())
    }

    /// Versions that may have journeys.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Plan> {
        self.lineages.iter().flat_map(Lineage::live).map(|flow| self.plan(flow))
    }

    /// Under which version's names a deviation is folded: the newest that has its steps, so that what is found goes on
    /// over versions.
    pub(crate) fn fold(&self, flow: FlowId, hop: Option<Hop>) -> (FlowId, Option<Hop>) {
        let lineage = self.lineage(self.plan(flow).account);
        if lineage.current() == Some(flow) {
            return (flow, hop);
        }
        let folded = lineage.known().find_map(|version| {
            let hop = hop.map(|hop| self.same_hop(flow, hop, version));
            if hop == Some(None) { None } else { Some((version, hop.flatten())) }
        });
        folded.unwrap_or((flow, hop))
    }

    /// The same hop in another version, if it has both steps.
    pub(crate) fn same_hop(&self, flow: FlowId, hop: Hop, version: FlowId) -> Option<Hop> {
        let same = |step| self.same_step(flow, step, version);
        Some(Hop { after: same(hop.after)?, before: same(hop.before)? })
    }

    /// The step of this name in another version.
    pub(crate) fn same_step(&self, flow: FlowId, step: StepId, version: FlowId) -> Option<StepId> {
        if flow == version {
            return Some(step);
        }
        let name = self.plan(flow).step_name(step);
        let index = self.plan(version).flow.steps.iter().position(|step| step.name == name)?;
        Some(StepId(index as u8))
    }

    /// A step as all versions that may have journeys have it, shown by the same records: what is known of it in one
    /// version holds in all.
    pub(crate) fn kin(&self, plan: &Plan, step: StepId) -> SmallVec<[(FlowId, StepId); 1]> {
        if !plan.has_rivals {
            return SmallVec::from_buf([(plan.id, step)]);
        }
        let versions = self.lineage(plan.account).live().map(|version| self.plan(version));
        versions.filter_map(|version| Some((version.id, plan.kin_in(step, version)?))).collect()
    }

    /// All of it, to be kept.
    pub(crate) fn kept(&self) -> KeptContracts<&Flow, &[Lineage]> {
        KeptContracts {
            flows: self.plans.iter().map(|plan| (!plan.is_free()).then_some(&plan.flow)).collect(),
            lineages: &self.lineages,
            watched: self.watched.clone(),
            names: self.names.all().map(str::to_owned).collect(),
        }
    }

    /// Takes back what was kept; `None` where it does not fit together. Attribute names and versions have the numbers
    /// that they had.
    pub(crate) fn restore(
        kept: KeptContracts<Flow, Vec<Lineage>>,
        symbols: &mut Symbols,
        watches_traces: bool,
    ) -> Option<Matcher> {
        let KeptContracts { flows, lineages, watched, names: kept_names } = kept;
        let mut names = Names::default();
        for name in &kept_names {
            names.intern(name);
        }
        let mut matcher = Matcher::empty(names, watches_traces);
        let mut accounts = vec![AccountId::NONE; flows.len()];
        for (account, lineage) in lineages.iter().enumerate() {
            for flow in lineage.known() {
                *accounts.get_mut(flow.0 as usize)? = AccountId(account as u32);
            }
        }
        for (index, (flow, account)) in flows.into_iter().zip(accounts).enumerate() {
            let id = FlowId(u16::try_from(index).ok()?);
            matcher.plans.push(match flow {
                Some(flow) => Plan::new(id, account, flow, &mut matcher.names, symbols),
                None => Plan::free(id),
            });
        }
        // A version has a place among those of its name, and what is in force is a version.
        let fits = |plan: &Plan| plan.is_free() != lineages.get(plan.account.0 as usize).is_some();
        let is_known = |flow: &FlowId| matcher.plans.get(flow.0 as usize).is_some_and(|plan| !plan.is_free());
        if !matcher.plans.iter().all(fits) || !watched.iter().all(is_known) {
            return None;
        }
        matcher.lineages = lineages;
        matcher.watched = watched;
        matcher.index();
        Some(matcher)
    }
}
