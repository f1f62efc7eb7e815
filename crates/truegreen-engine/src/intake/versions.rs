//! Which version of a contract an observation is for, where several have journeys: that of the journey it is part of, and
//! else the one in force. Exactly one gets it.

use smallvec::SmallVec;
use truegreen_model::flow::{FlowId, Reentry, StepId};
use truegreen_model::observation::{Evidence, KeyHash, Role};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::Standing;

use super::digest::Bind;
use crate::counters;
use crate::engine::Engine;
use crate::ledger::case::Case;
use crate::matcher::key;
use crate::trace::Bound;

/// Versions and the keys by which they know one journey, newest first.
type Knowing = SmallVec<[(FlowId, KeyHash); 2]>;

impl Engine {
    /// Hands each observation to the version that it is for.
    pub(super) fn place_among_versions(&mut self, mut bound: Vec<Bound>) {
        bound.sort_by_key(record_of);
        let mut rest = bound.into_iter().peekable();
        while let Some(first) = rest.next() {
            let record = record_of(&first);
            let mut shown = vec![first];
            while let Some(next) = rest.next_if(|next| record_of(next) == record) {
                shown.push(next);
            }
            self.place_record(shown);
        }
    }

    /// All that one record shows, to whatever versions.
    fn place_record(&mut self, shown: Vec<Bound>) {
        if shown.iter().any(|one| shown.iter().any(|other| self.know_otherwise(one, other))) {
            // Two versions may each know this journey by a key of its own: both must be asked for what arrived, too.
            self.settle();
        }
        let owners: Vec<Option<FlowId>> = shown.iter().map(|one| self.owner(one, &shown)).collect();
        let is_taken: Vec<bool> = (0..shown.len()).map(|index| self.is_taken(index, &shown, &owners)).collect();
        for (one, is_taken) in shown.into_iter().zip(is_taken) {
            if is_taken {
                self.place(one);
            } else if one.sighting.declared && !self.matcher.is_current(self.matcher.plan(one.sighting.flow)) {
                // It waited for its key since before the contract changed, and no other version was shown it.
                self.counters.count(counters::UNBOUND_SUPERSEDED);
            }
        }
    }

    /// Whether what a version is shown is for this version.
    fn is_taken(&self, index: usize, shown: &[Bound], owners: &[Option<FlowId>]) -> bool {
        let own = self.matcher.plan(shown[index].sighting.flow);
        let lineage = self.matcher.lineage(own.account);
        let Some(owner) = owners[index].or(lineage.current()) else { return false };
        let takes_precedence = |other: FlowId| owners[index].is_none() || lineage.is_newer(other, owner);
        let is_known_otherwise = shown.iter().zip(owners).any(|(other, of_other)| {
            of_other.is_some_and(takes_precedence) && self.know_otherwise(&shown[index], other)
        });
        owner == own.id && !is_known_otherwise
    }

    /// Whether these are for versions of one contract that know journeys by different keys.
    fn know_otherwise(&self, one: &Bound, other: &Bound) -> bool {
        let [own, others] = [one, other].map(|bound| self.matcher.plan(bound.sighting.flow));
        own.account == others.account && own.name_as(others, other.name).is_none()
    }

    /// The version that has the journey of this key: of several the newest, unless an older one has seen this very
    /// record. None where no version has it, or where it begins anew.
    fn owner(&mut self, one: &Bound, shown: &[Bound]) -> Option<FlowId> {
        let own = self.matcher.plan(one.sighting.flow);
        let lineage = self.matcher.lineage(own.account);
        let known = lineage.live().filter_map(|version| {
            let name = self.matcher.plan(version).name_as(own, one.name)?;
            Some((version, key::key(one.sighting.scope.hash, name, &one.text)))
        });
        let (known, current): (Knowing, _) = (known.collect(), lineage.current());
        let owners = self.holding(known, current);
        let (newest, key) = *owners.first()?;
        let has_seen = |(version, key): &&(FlowId, KeyHash)| {
            let mut same = shown.iter().filter(|other| other.sighting.flow == *version);
            same.any(|other| self.ledger.has_seen(*version, *key, other.sighting.seen.identity))
        };
        if let Some((older, _)) = owners[1..].iter().find(has_seen) {
            return Some(*older);
        }
        let starts = shown.iter().filter(|other| [Some(newest), current].contains(&Some(other.sighting.flow)));
        let start = starts.map(|other| &other.sighting.seen).find(|seen| seen.role == Role::Step(StepId::START));
        let is_anew = Some(newest) != current && start.is_some_and(|start| self.begins_anew(newest, key, start.at));
        (!is_anew).then_some(newest)
    }

    /// Those of them that have a journey of their key.
    fn holding(&mut self, mut known: Knowing, current: Option<FlowId>) -> Knowing {
        if known.iter().any(|(version, key)| Some(*version) != current && self.ledger.holds(*version, *key)) {
            // What arrived meanwhile may be a journey of the version in force.
            self.settle();
        }
        known.retain(|(version, key)| self.ledger.holds(*version, *key));
        known
    }

    /// Whether a start at this time is no part of the journey that a former version has, but a further passage.
    fn begins_anew(&self, former: FlowId, key: KeyHash, at: Timestamp) -> bool {
        let of = |flow: FlowId| match self.matcher.plan(flow).flow.reentry {
            Reentry::After(pause) => Some(pause),
            Reentry::Once => None,
        };
        let current = self.matcher.lineage(self.matcher.plan(former).account).current();
        let Some(pause) = of(former).or_else(|| of(current?)) else { return false };
        let is_over = |case: &Case| {
            let is_ended = |standing| matches!(standing, Standing::Ended(_));
            let last = case.passages.iter().map(|passage| passage.entered_at).max();
            case.passages.iter().all(|passage| is_ended(passage.standing))
                && last.is_some_and(|last| at >= last + pause)
        };
        self.ledger.read(former, key, is_over).unwrap_or(false)
    }

    /// Whether two names that a record carries are bound in this version.
    pub(super) fn is_bound_here(&mut self, bind: &Bind) -> bool {
        let own = self.matcher.plan(bind.flow);
        let lineage = self.matcher.lineage(own.account);
        let is_alike = |version: &FlowId| {
            let plan = self.matcher.plan(*version);
            plan.bind_names == own.bind_names && plan.name_as(own, key::PRIMARY) == Some(key::PRIMARY)
        };
        let alike: SmallVec<[FlowId; 2]> = lineage.live().filter(is_alike).collect();
        let current = lineage.current();
        let by = |key: KeyHash| -> Knowing { alike.iter().map(|version| (*version, key)).collect() };
        let (by_owner, by_other) = (by(bind.owner), by(bind.other));
        let owner = self.holding(by_owner, current).first().copied();
        let owner = owner.or_else(|| self.holding(by_other, current).first().copied());
        owner.map(|(version, _)| version).or(current) == Some(bind.flow)
    }
}

fn record_of(one: &Bound) -> Evidence {
    one.sighting.seen.evidence
}
