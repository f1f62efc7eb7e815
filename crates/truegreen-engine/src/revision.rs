//! Contracts that change while journeys are under way. A journey stays with the version under which it entered; a
//! version that is no longer in force is let go of once it has no journey any more.

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::flow::{Flow, StepId};

use crate::asking::system_of;
use crate::counters;
use crate::engine::{Engine, trace_window};
use crate::matcher::Matcher;
use crate::matcher::plan::Plan;
use crate::matcher::revision::Begun;
use crate::timers::Tick;

/// Cases are forgotten in steps of so long.
const GRAIN: Duration = Duration::from_secs(10);

impl Engine {
    /// Whether these contracts are in force, and no others; their order does not matter.
    pub fn watches(&self, flows: &[Flow]) -> bool {
        let plans = self.matcher.watched.iter().map(|id| self.matcher.plan(*id));
        let in_force: BTreeMap<&str, &Flow> = plans.map(|plan| (plan.flow.name.as_str(), &plan.flow)).collect();
        let is_in_force = |flow: &Flow| in_force.get(flow.name.as_str()) == Some(&flow);
        flows.len() == in_force.len() && flows.iter().all(is_in_force)
    }

    /// The contracts that are in force.
    pub fn in_force(&self) -> impl Iterator<Item = &Flow> {
        self.matcher.watched.iter().map(|id| &self.matcher.plan(*id).flow)
    }

    /// From now on these contracts are in force.
    pub(crate) fn revise(&mut self, flows: &[Flow]) {
        self.settle();
        let revised = self.matcher.revise(flows, &mut self.symbols);
        self.counters.add(counters::VERSIONS_BOUND, revised.refused);
        if revised.begun.is_empty() && !revised.any_superseded {
            return;
        }
        for begun in &revised.begun {
            self.begin(*begun);
        }
        self.accounts.revise(&self.matcher, self.now);
        self.retire();
        self.reindex();
    }

    /// A version begins with what is known of the one before it, as far as that still holds.
    fn begin(&mut self, Begun { flow, before }: Begun) {
        let plan = self.matcher.plan(flow);
        let old = before.map(|before| self.matcher.plan(before));
        let same = old.map(|old| same_steps(old, plan)).unwrap_or_default();
        self.learned.begin(plan, &same, before);
        self.ledger.begin(plan);
        if let Some(old) = old {
            self.ledger.hand_over(old.id, flow, &same);
            self.binder.follow(old, plan);
        }
        if let Some(old) = old.filter(|old| old.scope_names == plan.scope_names) {
            self.coverage.follow(old.id, flow);
        }
    }

    /// Lets go of versions that have nothing any more.
    pub(crate) fn let_go(&mut self) {
        self.settle();
        if self.retire() {
            self.reindex();
        }
    }

    /// True if any version retired.
    fn retire(&mut self) -> bool {
        let held = self.ledger.held(self.matcher.plans.len());
        let gone = self.matcher.retire(|flow| held[flow.0 as usize]);
        for flow in &gone {
            let old = self.matcher.plan(*flow);
            if let Some(current) = self.matcher.lineage(old.account).current() {
                self.ledger.hand_over(*flow, current, &same_steps(old, self.matcher.plan(current)));
            }
            self.ledger.let_go(*flow);
            self.questions.let_go(*flow, |id| system_of(&self.matcher, id));
            self.binder.let_go(*flow, &mut self.counters);
            self.coverage.let_go(*flow);
        }
        self.accounts.findings.let_go(&self.matcher);
        let named = self.accounts.findings.versions();
        self.matcher.forget(|flow| named.contains(&flow));
        // By then ended journeys are forgotten; open ones take as long again.
        let again = Tick::at_or_after(self.now + self.options.retention + GRAIN);
        self.letting_go = if self.matcher.has_former() { again } else { Tick::NEVER };
        !gone.is_empty()
    }

    fn reindex(&mut self) {
        self.matcher.index();
        self.resources.forget();
        self.binder.keep_for(trace_window(&self.matcher, &self.options));
    }

    /// The versions that are shown: those in force, then the newest of each flow that was removed and has open journeys.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Plan> {
        let Matcher { watched, lineages, .. } = &self.matcher;
        let removed = lineages.iter().filter(|lineage| lineage.current().is_none());
        let removed = removed.filter_map(|lineage| Some(self.matcher.plan(lineage.live().next()?)));
        let is_open = |plan: &&Plan| self.accounts.books.flow(plan.account).total.open > 0;
        watched.iter().map(|flow| self.matcher.plan(*flow)).chain(removed.filter(is_open))
    }
}

/// Steps of both that have one name and are shown by the same records.
fn same_steps(old: &Plan, new: &Plan) -> Vec<(StepId, StepId)> {
    let steps = (0..old.steps.len()).map(|step| StepId(step as u8));
    steps.filter_map(|step| Some((step, old.kin_in(step, new)?))).collect()
}

#[cfg(test)]
mod tests {
    use truegreen_model::time::Timestamp;

    use super::*;
    use crate::engine::Options;
    use crate::flow::{Source, compile};
    use crate::input::Input;

    fn flow(words: &str) -> Flow {
        let text = format!(
            "flow: orders\ndescription: {words}\nkey: order.id\nstart: {{span: place, service: shop}}\n\
             steps:\n  - {{name: shipped, span: ship, service: depot, within: 5s}}\n"
        );
        let mut flows = compile(&[Source { path: "orders.yaml".to_owned(), text }]).unwrap().flows;
        flows.remove(0)
    }

    #[test]
    fn versions_without_journeys_leave_nothing_behind() {
        let mut engine = Engine::new(vec![flow("first")], Options::default());
        let patterns = engine.matcher.patterns().count();
        let names = engine.matcher.names.all().count();
        for second in 1..300 {
            let edited = [flow(&format!("version {second}"))];
            engine.apply(Timestamp::from_secs(second), Input::Contracts(&edited));
            assert!(engine.watches(&edited));
        }
        assert!(engine.matcher.plans.len() <= 2, "numbers are used again: {}", engine.matcher.plans.len());
        assert_eq!(engine.matcher.patterns().count(), patterns, "old versions are not matched any more");
        assert_eq!(engine.matcher.names.all().count(), names);
        assert_eq!(engine.letting_go, Tick::NEVER);
        assert_eq!(engine.flows().count(), 1);
    }

    #[test]
    fn of_two_contracts_with_one_name_the_first_counts() {
        let engine = Engine::new(vec![flow("first"), flow("second")], Options::default());
        assert!(engine.watches(&[flow("first")]));
    }
}
