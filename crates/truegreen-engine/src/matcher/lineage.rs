//! The versions of each contract, by the flow's name. A journey stays with the version under which it entered; whatever
//! enters after an edit is the new version's. The books, and what is found, are the name's.

use serde::{Deserialize, Serialize};
use truegreen_model::flow::FlowId;

/// Index of a flow's name: whose books they are, whatever the version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct AccountId(pub(crate) u32);

impl AccountId {
    /// Nobody's.
    pub(crate) const NONE: AccountId = AccountId(u32::MAX);
}

/// All versions of one contract that are known.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Lineage {
    /// The flow's name.
    pub(crate) name: String,
    /// Oldest first.
    versions: Vec<Version>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Version {
    flow: FlowId,
    standing: Standing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Standing {
    /// What enters is its.
    Current,
    /// Superseded, or removed: only what it has is its.
    Former,
    /// It has nothing any more; a finding may name its steps.
    Retired,
}

impl Lineage {
    pub(super) fn new(name: &str) -> Self {
        Lineage { name: name.to_owned(), versions: Vec::new() }
    }

    /// The version that is in force, unless the flow was removed.
    pub(crate) fn current(&self) -> Option<FlowId> {
        self.versions.last().filter(|last| last.standing == Standing::Current).map(|last| last.flow)
    }

    /// Those that only follow the journeys they have, newest first.
    pub(crate) fn former(&self) -> impl Iterator<Item = FlowId> + '_ {
        self.versions.iter().rev().filter(|version| version.standing == Standing::Former).map(|version| version.flow)
    }

    /// Those that may have journeys, newest first.
    pub(crate) fn live(&self) -> impl Iterator<Item = FlowId> + '_ {
        self.versions.iter().rev().filter(|version| version.standing != Standing::Retired).map(|version| version.flow)
    }

    /// All whose steps are known, newest first.
    pub(crate) fn known(&self) -> impl Iterator<Item = FlowId> + '_ {
        self.versions.iter().rev().map(|version| version.flow)
    }

    /// Whether `one` came after `other`.
    pub(crate) fn is_newer(&self, one: FlowId, other: FlowId) -> bool {
        self.known().find(|flow| *flow == one || *flow == other) == Some(one) && one != other
    }

    /// A further version comes into force.
    pub(super) fn begin(&mut self, flow: FlowId) {
        self.supersede();
        self.versions.push(Version { flow, standing: Standing::Current });
    }

    /// None is in force any more; true if one was.
    pub(super) fn supersede(&mut self) -> bool {
        let current = self.versions.last_mut().filter(|last| last.standing == Standing::Current);
        current.map(|last| last.standing = Standing::Former).is_some()
    }

    /// Former versions without anything retire, and are added to `gone`.
    pub(super) fn retire(&mut self, has_any: impl Fn(FlowId) -> bool, gone: &mut Vec<FlowId>) {
        for version in self.versions.iter_mut().filter(|version| version.standing == Standing::Former) {
            if !has_any(version.flow) {
                version.standing = Standing::Retired;
                gone.push(version.flow);
            }
        }
    }

    /// Retired versions that nobody names are forgotten.
    pub(super) fn forget(&mut self, is_named: impl Fn(FlowId) -> bool) {
        self.versions.retain(|version| version.standing != Standing::Retired || is_named(version.flow));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_into_force_retire_and_are_forgotten() {
        let mut lineage = Lineage::new("orders");
        for flow in [7, 2, 5] {
            lineage.begin(FlowId(flow));
        }
        assert_eq!(lineage.current(), Some(FlowId(5)));
        assert!(lineage.former().eq([FlowId(2), FlowId(7)]), "newest first, whatever the numbers");
        assert!(lineage.is_newer(FlowId(2), FlowId(7)) && !lineage.is_newer(FlowId(7), FlowId(2)));
        assert!(!lineage.is_newer(FlowId(2), FlowId(2)));
        let mut gone = Vec::new();
        lineage.retire(|flow| flow == FlowId(7), &mut gone);
        assert_eq!(gone, [FlowId(2)]);
        assert!(lineage.live().eq([FlowId(5), FlowId(7)]));
        lineage.forget(|_| true);
        assert!(lineage.known().eq([FlowId(5), FlowId(2), FlowId(7)]), "a finding names it");
        lineage.forget(|_| false);
        assert!(lineage.known().eq([FlowId(5), FlowId(7)]));
        assert!(lineage.supersede() && !lineage.supersede(), "removed once");
        assert_eq!(lineage.current(), None);
        assert!(lineage.former().eq([FlowId(5), FlowId(7)]));
    }
}
