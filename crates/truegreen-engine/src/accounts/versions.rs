//! The accounts as contracts change: books and findings are of a flow's name, and go on.

use std::collections::{BTreeMap, BTreeSet};

use truegreen_model::finding::{Finding, FindingStatus};
use truegreen_model::flow::FlowId;
use truegreen_model::time::Timestamp;

use super::finding::{Findings, Folder, Turn};
use super::trial::Trial;
use super::{Accounts, share};
use crate::matcher::Matcher;

impl Accounts {
    /// Other contracts are in force.
    pub(crate) fn revise(&mut self, matcher: &Matcher, now: Timestamp) {
        self.books.fit(matcher.lineages.len());
        self.findings.revise(matcher);
        self.revise_counters(matcher, now);
    }
}

impl Findings {
    /// Other contracts are in force. What was found goes on under the newest version that has its steps.
    pub(super) fn revise(&mut self, matcher: &Matcher) {
        for (account, lineage) in matcher.lineages.iter().enumerate() {
            let newest = lineage.known().next().map(|newest| matcher.plan(newest));
            self.begin_trial(account, newest);
            let limits = newest.map(|newest| newest.flow.limits);
            match self.shares.get_mut(account) {
                Some(shares) => share::revise(shares, &limits.unwrap_or_default()),
                None => self.shares.push(share::watched(&limits.unwrap_or_default())),
            }
        }
        self.effects_found.resize(self.shares.len(), 0);
        let mut open = BTreeMap::new();
        for (folder, mut case) in std::mem::take(&mut self.open) {
            let folder = folder.newest(matcher);
            (case.finding.flow, case.finding.hop) = (folder.flow, folder.hop);
            open.insert(folder, case);
        }
        self.open = open;
        for trial in self.trials.iter_mut().flatten() {
            trial.refold(|folder| folder.newest(matcher));
        }
        self.take_over(matcher);
        for finding in &mut self.closed {
            (finding.flow, finding.hop) = matcher.fold(finding.flow, finding.hop);
        }
        let ordinals = std::mem::take(&mut self.ordinals).into_iter();
        self.ordinals = ordinals.map(|(folder, ordinal)| (folder.newest(matcher), ordinal)).collect();
    }

    /// Closes what no journey can say anything about any more: no version that has any, or is in force, has its steps.
    pub(crate) fn let_go(&mut self, matcher: &Matcher) {
        let can_be_judged = |folder: &Folder| {
            let mut live = matcher.lineage(folder.account).live();
            live.any(|version| folder.hop.is_none_or(|hop| matcher.same_hop(folder.flow, hop, version).is_some()))
        };
        let over: Vec<Folder> = self.open.keys().filter(|folder| !can_be_judged(folder)).copied().collect();
        for folder in over {
            self.close(folder, FindingStatus::Resolved);
        }
    }

    /// The versions by whose numbers steps are told.
    pub(crate) fn versions(&self) -> BTreeSet<FlowId> {
        let told = |turn: &Turn| match turn {
            Turn::Opened(finding) | Turn::Closed(finding) => finding.flow,
        };
        let tried = self.trials.iter().flatten().flat_map(Trial::versions);
        let folders = self.open.keys().chain(self.ordinals.keys()).map(|folder| folder.flow).chain(tried);
        let closed = self.closed.iter().map(|finding: &Finding| finding.flow);
        folders.chain(closed).chain(self.turns.iter().map(told)).collect()
    }
}

impl Folder {
    fn newest(self, matcher: &Matcher) -> Folder {
        let (flow, hop) = matcher.fold(self.flow, self.hop);
        Folder { flow, hop, ..self }
    }
}
