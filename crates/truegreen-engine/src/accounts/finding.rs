//! Deviations folded into findings by flow, hop and kind: one lost journey opens one; a thousand more only grow it.
//! Hops are known by the names of their steps, so that a finding goes on when the contract changes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::{Finding, FindingId, FindingKind, FindingStatus};
use truegreen_model::flow::FlowId;
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Hop, Loss, Verdict, Why};

use super::case::{Case, Context};
use super::share::{self, Share};
use super::trial::Trial;
use crate::ledger::event::Line;
use crate::matcher::Matcher;
use crate::matcher::key::{hash, mix};
use crate::matcher::lineage::AccountId;
use crate::matcher::plan::Plan;
use crate::symbols::NO_REASON;

/// Closed findings kept for the record.
const MAX_CLOSED: usize = 10_000;

/// A finding opened or closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Turn {
    Opened(Finding),
    Closed(Finding),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) struct Folder {
    pub(super) account: AccountId,
    pub(super) kind: FindingKind,
    /// The newest version that has the steps of the hop, which tells them by its own numbers.
    pub(super) flow: FlowId,
    pub(super) hop: Option<Hop>,
}

/// All findings.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Findings {
    pub(super) open: BTreeMap<Folder, Case>,
    pub(super) closed: Vec<Finding>,
    pub(super) ordinals: BTreeMap<Folder, u32>,
    /// By account.
    pub(super) shares: Vec<[Share; 4]>,
    /// By account, where the contract allows some journeys to end unaccounted.
    pub(super) trials: Vec<Option<Trial>>,
    /// By account: effects found since the last one that was missing.
    pub(super) effects_found: Vec<u64>,
    pub(super) turns: Vec<Turn>,
    /// Closed findings that had to go.
    pub(crate) forgotten: u64,
}

impl Findings {
    pub(super) fn new(matcher: &Matcher) -> Self {
        let mut findings = Findings {
            open: BTreeMap::new(),
            closed: Vec::new(),
            ordinals: BTreeMap::new(),
            shares: Vec::new(),
            trials: Vec::new(),
            effects_found: Vec::new(),
            turns: Vec::new(),
            forgotten: 0,
        };
        findings.revise(matcher);
        findings
    }

    /// A journey moved.
    pub(super) fn amend(&mut self, context: &Context<'_>, from: Option<&Line>, to: Option<&Line>) {
        let is_tried = self.try_journey(context, from, to);
        let by_itself = |line| deviation(context, line).filter(|folder| !(is_tried && folder.is_of_loss()));
        let (before, after) = (from.and_then(by_itself), to.and_then(by_itself));
        if before != after {
            if let Some(folder) = before {
                self.retract(folder, context.key);
            }
            if let (Some(folder), Some(line)) = (after, to) {
                self.deviate(context, folder, line);
            }
        }
        if let Some(line) = to {
            self.find_effects(context, line, from.map_or(0, |from| from.there));
        }
        let (was, is) = (from.and_then(Line::verdict), to.and_then(Line::verdict));
        if was == is {
            return;
        }
        if let (Some(verdict), Some(line)) = (was, from) {
            self.retract_share(context, verdict, line);
        }
        if let (Some(verdict), Some(line)) = (is, to) {
            // Amended journeys were counted when they were first decided.
            if was.is_none() {
                self.weigh(context, verdict, line);
            }
            if matches!(verdict, Verdict::Completed | Verdict::Late) {
                self.complete(context, line);
            }
        }
    }

    /// What opened and closed since it was last asked.
    pub(crate) fn take_turns(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.turns)
    }

    /// All findings as of `now`: open ones first, then the latest first.
    pub(crate) fn list(&self, now: Timestamp) -> Vec<Finding> {
        let mut open: Vec<Finding> = self.open.values().map(|case| case.as_of(now)).collect();
        open.sort_by_key(|finding| (finding.status != FindingStatus::Open, std::cmp::Reverse(finding.last_seen)));
        open.extend(self.closed.iter().rev().cloned());
        open
    }

    /// The finding with this id, open or closed.
    pub(crate) fn find(&self, id: &str) -> Option<&Finding> {
        let mut all = self.open.values().map(|case| &case.finding).chain(self.closed.iter().rev());
        all.find(|finding| format!("{:016x}", finding.id.0) == id)
    }

    /// The findings of a flow that are not closed.
    pub(crate) fn unresolved(&self, account: AccountId) -> impl Iterator<Item = &Finding> {
        self.open.iter().filter(move |(folder, _)| folder.account == account).map(|(_, case)| &case.finding)
    }

    pub(super) fn deviate(&mut self, context: &Context<'_>, folder: Folder, line: &Line) {
        if self.grow(context, folder, line) {
            self.turns.push(Turn::Opened(self.open[&folder].finding.clone()));
        }
    }

    /// One more deviates; true if it is the first.
    pub(super) fn grow(&mut self, context: &Context<'_>, folder: Folder, line: &Line) -> bool {
        let case = match self.open.entry(folder) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let ordinal = self.ordinals.get(&folder).copied().unwrap_or(0);
                let found = self.effects_found[folder.account.0 as usize];
                new.insert(Case::new(finding(context, folder, ordinal, line), context.books, found))
            }
        };
        let is_new = case.finding.count == 0;
        case.deviate(context, line);
        if folder.kind == FindingKind::EffectMissing {
            self.effects_found[folder.account.0 as usize] = 0;
        }
        is_new
    }

    pub(super) fn retract(&mut self, folder: Folder, key: &str) {
        let Some(case) = self.open.get_mut(&folder) else {
            return self.retract_closed(folder, key);
        };
        let finding = &mut case.finding;
        finding.count = finding.count.saturating_sub(1);
        finding.examples.retain(|example| example != key);
        if finding.count == 0 {
            self.close(folder, FindingStatus::Withdrawn);
        }
    }

    /// Counts follow current verdicts, also those of a finding that is closed.
    pub(super) fn retract_closed(&mut self, folder: Folder, key: &str) {
        let sought = (folder.flow, folder.kind, folder.hop);
        let of = |finding: &&mut Finding| (finding.flow, finding.kind, finding.hop) == sought;
        if let Some(finding) = self.closed.iter_mut().rev().find(of) {
            finding.count = finding.count.saturating_sub(1);
            finding.examples.retain(|example| example != key);
            if finding.count == 0 {
                finding.status = FindingStatus::Withdrawn;
            }
        }
    }

    /// A journey completed: it counts for every finding whose step it owed and took.
    fn complete(&mut self, context: &Context<'_>, line: &Line) {
        if self.open.is_empty() {
            return;
        }
        let Context { matcher, plan, .. } = context;
        let owes = |folder: &Folder, hop: Hop| {
            let step = matcher.same_step(folder.flow, hop.before, plan.id);
            step.is_some_and(|step| line.owed & (1 << step.0) != 0)
        };
        let mut resolved = Vec::new();
        let is_tried = self.trials[plan.account.0 as usize].is_some();
        // What is on trial, or held against a counter, is over by its own rules.
        let is_apart = |folder: &Folder| {
            (is_tried && folder.is_of_loss())
                || matches!(folder.kind, FindingKind::CounterMismatch | FindingKind::EffectMissing)
        };
        let of_flow = |folder: &Folder| folder.account == plan.account && !is_apart(folder);
        for (folder, case) in self.open.iter_mut().filter(|(folder, _)| of_flow(folder)) {
            let took = folder.hop.is_none_or(|hop| owes(folder, hop));
            // A late journey is no sign that lateness is over.
            let is_alike = line.verdict() == Some(Verdict::Late) && folder.kind == FindingKind::Late;
            if took && !is_alike && case.complete(line) {
                resolved.push(*folder);
            }
        }
        for folder in resolved {
            if self.share(folder).is_none_or(|share| share.is_calm()) {
                self.close(folder, FindingStatus::Resolved);
            }
        }
    }

    /// Effects were found where they belong. Only that counts for a finding about missing ones: what telemetry says of
    /// other journeys is just what is in doubt.
    fn find_effects(&mut self, context: &Context<'_>, line: &Line, before: u64) {
        let news = line.there & !before;
        if news == 0 || !matches!(line.verdict(), Some(Verdict::Completed | Verdict::Late)) {
            return;
        }
        let Context { matcher, plan, .. } = context;
        self.effects_found[plan.account.0 as usize] += 1;
        let is_about = |folder: &Folder| {
            let step = folder.hop.and_then(|hop| matcher.same_step(folder.flow, hop.before, plan.id));
            folder.account == plan.account
                && folder.kind == FindingKind::EffectMissing
                && step.is_some_and(|step| news & (1 << step.0) != 0)
        };
        let about = self.open.iter_mut().filter(|(folder, _)| is_about(folder));
        let resolved: Vec<Folder> = about.filter_map(|(folder, case)| case.complete(line).then_some(*folder)).collect();
        resolved.into_iter().for_each(|folder| self.close(folder, FindingStatus::Resolved));
    }

    pub(super) fn close(&mut self, folder: Folder, status: FindingStatus) {
        let Some(mut case) = self.open.remove(&folder) else {
            return;
        };
        case.finding.status = status;
        *self.ordinals.entry(folder).or_default() += 1;
        if let Some(share) = self.share(folder) {
            share.reset();
        }
        self.release(folder, case.latest_entry);
        self.turns.push(Turn::Closed(case.finding.clone()));
        if self.closed.len() >= MAX_CLOSED {
            self.closed.remove(0);
            self.forgotten += 1;
        }
        self.closed.push(case.finding);
    }

    /// A journey was decided: does its kind of end go beyond the tolerated share?
    fn weigh(&mut self, context: &Context<'_>, verdict: Verdict, line: &Line) {
        let account = context.plan.account.0 as usize;
        for index in 0..self.shares[account].len() {
            let share = &mut self.shares[account][index];
            let folder = Folder::of(context, share.kind, None);
            for (key, line) in share.decide(verdict, self.open.contains_key(&folder), context.key, line) {
                self.deviate(&Context { key: &key, ..*context }, folder, &line);
            }
        }
    }

    fn share(&mut self, folder: Folder) -> Option<&mut Share> {
        self.shares[folder.account.0 as usize].iter_mut().find(|share| share.kind == folder.kind)
    }

    fn retract_share(&mut self, context: &Context<'_>, verdict: Verdict, line: &Line) {
        let Some(kind) = share::kind_of(verdict) else { return };
        let folder = Folder::of(context, kind, None);
        // Only what was counted can be taken back: journeys from before the finding's onset were not.
        if self.open.get(&folder).is_some_and(|case| line.entered_at >= case.finding.onset) {
            self.retract(folder, context.key);
        }
    }
}

impl Folder {
    /// Whether its journeys ended unaccounted.
    pub(super) fn is_of_loss(&self) -> bool {
        matches!(self.kind, FindingKind::Loss | FindingKind::FailedWithoutExit | FindingKind::Abandonment)
    }

    /// Where a deviation of the journey at hand belongs.
    pub(super) fn of(context: &Context<'_>, kind: FindingKind, hop: Option<Hop>) -> Folder {
        let (flow, hop) = context.matcher.fold(context.plan.id, hop);
        Folder { account: context.plan.account, kind, flow, hop }
    }
}

/// The deviation that a single journey is by itself.
pub(super) fn deviation(context: &Context<'_>, line: &Line) -> Option<Folder> {
    let (kind, hop) = match line.verdict()? {
        Verdict::Unaccounted(Loss::Vanished) => (FindingKind::Loss, line.hop),
        Verdict::Unaccounted(Loss::FailedWithoutExit) => (FindingKind::FailedWithoutExit, line.hop),
        Verdict::Unaccounted(Loss::EffectMissing) => (FindingKind::EffectMissing, line.hop),
        Verdict::Unknown(Why::InstanceGone | Why::SignalSilent | Why::NeverSeen) => (FindingKind::Silence, line.hop),
        Verdict::Rejected(NO_REASON) | Verdict::DeadLettered(NO_REASON) => (FindingKind::NoReason, None),
        _ => return None,
    };
    Some(Folder::of(context, kind, hop))
}

fn finding(context: &Context<'_>, folder: Folder, ordinal: u32, line: &Line) -> Finding {
    Finding {
        id: id(context.matcher.plan(folder.flow), folder, ordinal),
        kind: folder.kind,
        flow: folder.flow,
        hop: folder.hop,
        ordinal,
        count: 0,
        onset: line.entered_at,
        first_seen: context.now,
        last_seen: context.now,
        status: FindingStatus::Open,
        examples: Vec::new(),
        raised: None,
        evidence: Vec::new(),
    }
}

pub(super) fn id(plan: &Plan, folder: Folder, ordinal: u32) -> FindingId {
    let hop = folder
        .hop
        .map_or(0, |hop| mix(hash(plan.step_name(hop.after).as_bytes()), hash(plan.step_name(hop.before).as_bytes())));
    let kind = hash(folder.kind.name().as_bytes());
    FindingId(mix(mix(mix(hash(plan.flow.name.as_bytes()), hop), kind), u64::from(ordinal)))
}
