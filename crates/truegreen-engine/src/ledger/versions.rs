//! The ledger as contracts change: journeys stay with the version that they are of.

use truegreen_model::flow::{FlowId, StepId};
use truegreen_model::observation::{Identity, KeyHash};

use super::{Ledger, shard_of};
use crate::matcher::Matcher;
use crate::matcher::plan::Plan;

impl Ledger {
    /// A version begins.
    pub(crate) fn begin(&mut self, plan: &Plan) {
        self.former.begin(plan);
        self.shards.iter_mut().for_each(|shard| shard.sums.begin(plan));
    }

    /// What is known of the steps of all journeys of a version is another version's from now on, where it has them.
    pub(crate) fn hand_over(&mut self, from: FlowId, to: FlowId, same: &[(StepId, StepId)]) {
        for (old, new) in same {
            let shards = self.shards.iter_mut().map(|shard| shard.sums.of(from, *old).take_traces());
            let sums =
                shards.fold((0, 0), |(with, apart), (also_with, also_apart)| (with + also_with, apart + also_apart));
            let former = self.former.of(from, *old).take_traces();
            let mine = self.former.of(to, *new);
            mine.with_start += sums.0 + former.0;
            mine.apart_from_start += sums.1 + former.1;
        }
    }

    /// Whether there is a journey of this key, by whichever of its names.
    pub(crate) fn holds(&self, flow: FlowId, key: KeyHash) -> bool {
        let owner = self.owner(flow, key);
        self.shards[shard_of(owner)].holds(flow, owner)
    }

    /// Whether this very observation is among those of the key's journey.
    pub(crate) fn has_seen(&self, flow: FlowId, key: KeyHash, identity: Identity) -> bool {
        let is_among = self.read(flow, key, |case| case.seen.iter().any(|one| one.identity == identity));
        is_among.unwrap_or(false)
    }

    /// Whether each version, by its number, has anything.
    pub(crate) fn held(&self, versions: usize) -> Vec<bool> {
        let mut held = vec![false; versions];
        self.shards.iter().for_each(|shard| shard.mark_held(&mut held));
        held
    }

    /// A version has nothing any more, and so its second names lead nowhere.
    pub(crate) fn let_go(&mut self, flow: FlowId) {
        let names: Vec<KeyHash> = self.aliases.keys().filter(|(of, _)| *of == flow).map(|(_, name)| *name).collect();
        self.unname(flow, &names);
        self.unclaimed.retain(|unclaimed| unclaimed.flow != flow);
    }

    /// After all was taken back: whether it is of versions that there are.
    pub(crate) fn fit(&mut self, matcher: &Matcher) -> bool {
        let held = self.held(1 << 16);
        let is_known = |flow: usize| matcher.plans.get(flow).is_some_and(|plan| !plan.is_free());
        self.former.fit(&matcher.plans);
        self.shards.iter_mut().for_each(|shard| shard.sums.fit(&matcher.plans));
        held.iter().enumerate().all(|(flow, held)| !held || is_known(flow))
    }
}
