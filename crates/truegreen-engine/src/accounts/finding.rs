//! Deviations folded into findings by flow, hop and kind: one lost journey opens one; a thousand more only grow it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::{Finding, FindingId, FindingKind, FindingStatus};
use truegreen_model::flow::FlowId;
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Hop, Loss, Verdict, Why};

use super::case::{Case, Context};
use super::share::{self, Share};
use crate::ledger::event::Line;
use crate::matcher::Matcher;
use crate::matcher::key::{hash, mix};
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
struct Folder {
    flow: FlowId,
    kind: FindingKind,
    hop: Option<Hop>,
}

/// All findings.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Findings {
    open: BTreeMap<Folder, Case>,
    closed: Vec<Finding>,
    ordinals: BTreeMap<Folder, u32>,
    /// By flow.
    shares: Vec<[Share; 4]>,
    turns: Vec<Turn>,
    /// Closed findings that had to go.
    pub(crate) forgotten: u64,
}

impl Findings {
    pub(super) fn new(matcher: &Matcher) -> Self {
        Findings {
            open: BTreeMap::new(),
            closed: Vec::new(),
            ordinals: BTreeMap::new(),
            shares: matcher.plans.iter().map(|plan| share::watched(&plan.flow.limits)).collect(),
            turns: Vec::new(),
            forgotten: 0,
        }
    }

    /// A journey moved.
    pub(super) fn amend(&mut self, context: &Context<'_>, from: Option<&Line>, to: Option<&Line>) {
        let flow = context.plan.id;
        let before = from.and_then(|line| deviation(flow, line));
        let after = to.and_then(|line| deviation(flow, line));
        if before != after {
            if let Some(folder) = before {
                self.retract(folder, context.key);
            }
            if let (Some(folder), Some(line)) = (after, to) {
                self.deviate(context, folder, line);
            }
        }
        let (was, is) = (from.and_then(Line::verdict), to.and_then(Line::verdict));
        if was == is {
            return;
        }
        if let (Some(verdict), Some(line)) = (was, from) {
            self.retract_share(flow, verdict, context.key, line);
        }
        if let (Some(verdict), Some(line)) = (is, to) {
            // Amended journeys were counted when they were first decided.
            if was.is_none() {
                self.weigh(context, verdict, line);
            }
            if matches!(verdict, Verdict::Completed | Verdict::Late) {
                self.complete(flow, line);
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

    /// The findings of a flow that are not closed.
    pub(crate) fn unresolved(&self, flow: FlowId) -> impl Iterator<Item = &Finding> {
        self.open.iter().filter(move |(folder, _)| folder.flow == flow).map(|(_, case)| &case.finding)
    }

    fn deviate(&mut self, context: &Context<'_>, folder: Folder, line: &Line) {
        let case = match self.open.entry(folder) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let ordinal = self.ordinals.get(&folder).copied().unwrap_or(0);
                new.insert(Case::new(finding(context, folder, ordinal, line), context.books))
            }
        };
        let is_new = case.finding.count == 0;
        case.deviate(context, line);
        if is_new {
            self.turns.push(Turn::Opened(case.finding.clone()));
        }
    }

    fn retract(&mut self, folder: Folder, key: &str) {
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
    fn retract_closed(&mut self, folder: Folder, key: &str) {
        let of = |finding: &&mut Finding| Folder { flow: finding.flow, kind: finding.kind, hop: finding.hop } == folder;
        if let Some(finding) = self.closed.iter_mut().rev().find(of) {
            finding.count = finding.count.saturating_sub(1);
            finding.examples.retain(|example| example != key);
            if finding.count == 0 {
                finding.status = FindingStatus::Withdrawn;
            }
        }
    }

    /// A journey completed: it counts for every finding whose step it owed and took.
    fn complete(&mut self, flow: FlowId, line: &Line) {
        if self.open.is_empty() {
            return;
        }
        let mut resolved = Vec::new();
        for (folder, case) in self.open.iter_mut().filter(|(folder, _)| folder.flow == flow) {
            let took = folder.hop.is_none_or(|hop| line.owed & (1 << hop.before.0) != 0);
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

    fn close(&mut self, folder: Folder, status: FindingStatus) {
        let Some(mut case) = self.open.remove(&folder) else {
            return;
        };
        case.finding.status = status;
        *self.ordinals.entry(folder).or_default() += 1;
        if let Some(share) = self.share(folder) {
            share.reset();
        }
        self.turns.push(Turn::Closed(case.finding.clone()));
        if self.closed.len() >= MAX_CLOSED {
            self.closed.remove(0);
            self.forgotten += 1;
        }
        self.closed.push(case.finding);
    }

    /// A journey was decided: does its kind of end go beyond the tolerated share?
    fn weigh(&mut self, context: &Context<'_>, verdict: Verdict, line: &Line) {
        let flow = context.plan.id;
        for index in 0..self.shares[flow.0 as usize].len() {
            let share = &mut self.shares[flow.0 as usize][index];
            let folder = Folder { flow, kind: share.kind, hop: None };
            for (key, line) in share.decide(verdict, self.open.contains_key(&folder), context.key, line) {
                self.deviate(&Context { key: &key, ..*context }, folder, &line);
            }
        }
    }

    fn share(&mut self, folder: Folder) -> Option<&mut Share> {
        self.shares[folder.flow.0 as usize].iter_mut().find(|share| share.kind == folder.kind)
    }

    fn retract_share(&mut self, flow: FlowId, verdict: Verdict, key: &str, line: &Line) {
        let Some(kind) = share::kind_of(verdict) else { return };
        let folder = Folder { flow, kind, hop: None };
        // Only what was counted can be taken back: journeys from before the finding's onset were not.
        if self.open.get(&folder).is_some_and(|case| line.entered_at >= case.finding.onset) {
            self.retract(folder, key);
        }
    }
}

/// The deviation that a single journey is by itself.
fn deviation(flow: FlowId, line: &Line) -> Option<Folder> {
    let (kind, hop) = match line.verdict()? {
        Verdict::Unaccounted(Loss::Vanished) => (FindingKind::Loss, line.hop),
        Verdict::Unaccounted(Loss::FailedWithoutExit) => (FindingKind::FailedWithoutExit, line.hop),
        Verdict::Unknown(Why::InstanceGone | Why::SignalSilent | Why::NeverSeen) => (FindingKind::Silence, line.hop),
        Verdict::Rejected(NO_REASON) | Verdict::DeadLettered(NO_REASON) => (FindingKind::NoReason, None),
        _ => return None,
    };
    Some(Folder { flow, kind, hop })
}

fn finding(context: &Context<'_>, folder: Folder, ordinal: u32, line: &Line) -> Finding {
    Finding {
        id: id(context.plan, folder, ordinal),
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
    }
}

fn id(plan: &Plan, folder: Folder, ordinal: u32) -> FindingId {
    let hop = folder
        .hop
        .map_or(0, |hop| mix(hash(plan.step_name(hop.after).as_bytes()), hash(plan.step_name(hop.before).as_bytes())));
    let kind = hash(folder.kind.name().as_bytes());
    FindingId(mix(mix(mix(hash(plan.flow.name.as_bytes()), hop), kind), u64::from(ordinal)))
}
