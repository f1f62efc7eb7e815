//! Deviations folded into findings by flow, hop and kind: one lost journey opens one; a thousand more only grow it.

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::finding::{Finding, FindingId, FindingKind, FindingStatus};
use truegreen_model::flow::FlowId;
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Hop, Loss, Verdict, Why};

use super::Line;
use super::rate::Rate;
use crate::matcher::Matcher;
use crate::matcher::key::{hash, mix};
use crate::matcher::plan::Plan;
use crate::symbols::NO_REASON;

const MAX_EXAMPLES: usize = 20;
/// Without a new deviation for so long a finding is quiet rather than open.
const QUIET_AFTER: Duration = Duration::from_secs(60);
/// `limits.unknown` where the contract gives none.
const UNKNOWN_LIMIT: f64 = 0.01;
/// Deviations remembered until the share rings: far more than that takes.
const MAX_RUN: usize = 1_000;
/// Closed findings kept for the record.
const MAX_CLOSED: usize = 10_000;

/// A finding opened or closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Opened(Finding),
    Closed(Finding),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Folder {
    flow: FlowId,
    kind: FindingKind,
    hop: Option<Hop>,
}

/// A finding that is not closed, with what it takes to close it.
#[derive(Debug)]
struct Case {
    finding: Finding,
    /// Failing share at the last deviation.
    share: f64,
    /// The latest entry of a journey that deviated.
    latest_entry: Timestamp,
    completed_since_onset: u64,
    completed_since_last: u64,
}

/// The shares of a flow that are watched.
#[derive(Debug)]
struct Rates {
    kinds: [Watched; 4],
}

#[derive(Debug)]
struct Watched {
    kind: FindingKind,
    rate: Rate,
    /// Deviations since nothing spoke for a raised share: what a finding begins with when it rings.
    run: Vec<(String, Line)>,
}

/// All findings.
#[derive(Debug)]
pub(crate) struct Findings {
    open: BTreeMap<Folder, Case>,
    closed: Vec<Finding>,
    ordinals: BTreeMap<Folder, u32>,
    rates: Vec<Rates>,
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
            rates: matcher.plans.iter().map(Rates::new).collect(),
            turns: Vec::new(),
            forgotten: 0,
        }
    }

    /// A journey moved.
    pub(super) fn amend(&mut self, plan: &Plan, key: &str, from: Option<&Line>, to: Option<&Line>, now: Timestamp) {
        let before = from.and_then(|line| deviation(plan.id, line));
        let after = to.and_then(|line| deviation(plan.id, line));
        if before != after {
            if let Some(folder) = before {
                self.retract(folder, key, now);
            }
            if let (Some(folder), Some(line)) = (after, to) {
                self.deviate(plan, folder, key, line, now);
            }
        }
        let (was, is) = (from.and_then(Line::verdict), to.and_then(Line::verdict));
        if was == is {
            return;
        }
        if let (Some(verdict), Some(line)) = (was, from) {
            self.retract_share(plan.id, verdict, key, line, now);
        }
        if let (Some(verdict), Some(line)) = (is, to) {
            // Amended journeys were counted when they were first decided.
            if was.is_none() {
                self.weigh(plan, verdict, key, line, now);
            }
            if matches!(verdict, Verdict::Completed | Verdict::Late) {
                self.complete(plan.id, line, now);
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

    fn deviate(&mut self, plan: &Plan, folder: Folder, key: &str, line: &Line, now: Timestamp) {
        let case = match self.open.entry(folder) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let ordinal = self.ordinals.get(&folder).copied().unwrap_or(0);
                new.insert(Case::new(plan, folder, ordinal, line, now))
            }
        };
        let is_new = case.finding.count == 0;
        case.deviate(key, line, now);
        if is_new {
            self.turns.push(Turn::Opened(case.finding.clone()));
        }
    }

    fn retract(&mut self, folder: Folder, key: &str, now: Timestamp) {
        let Some(case) = self.open.get_mut(&folder) else {
            return self.retract_closed(folder, key);
        };
        let finding = &mut case.finding;
        finding.count = finding.count.saturating_sub(1);
        finding.examples.retain(|example| example != key);
        if finding.count == 0 {
            self.close(folder, FindingStatus::Withdrawn, now);
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
    fn complete(&mut self, flow: FlowId, line: &Line, now: Timestamp) {
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
            let calm = self.rates[flow.0 as usize].of(folder.kind).is_none_or(|rate| rate.is_calm());
            if calm {
                self.close(folder, FindingStatus::Resolved, now);
            }
        }
    }

    fn close(&mut self, folder: Folder, status: FindingStatus, _now: Timestamp) {
        let Some(mut case) = self.open.remove(&folder) else {
            return;
        };
        case.finding.status = status;
        *self.ordinals.entry(folder).or_default() += 1;
        if let Some(rate) = self.rates[folder.flow.0 as usize].of(folder.kind) {
            rate.reset();
        }
        self.turns.push(Turn::Closed(case.finding.clone()));
        if self.closed.len() >= MAX_CLOSED {
            self.closed.remove(0);
            self.forgotten += 1;
        }
        self.closed.push(case.finding);
    }

    /// A journey was decided: does its kind of end go beyond the tolerated share?
    fn weigh(&mut self, plan: &Plan, verdict: Verdict, key: &str, line: &Line, now: Timestamp) {
        for index in 0..self.rates[plan.id.0 as usize].kinds.len() {
            let watched = &mut self.rates[plan.id.0 as usize].kinds[index];
            let folder = Folder { flow: plan.id, kind: watched.kind, hop: None };
            let deviates = share_kind(verdict) == Some(watched.kind);
            for (key, line) in watched.decide(deviates, self.open.contains_key(&folder), key, line) {
                self.deviate(plan, folder, &key, &line, now);
            }
        }
    }

    fn retract_share(&mut self, flow: FlowId, verdict: Verdict, key: &str, line: &Line, now: Timestamp) {
        let Some(kind) = share_kind(verdict) else { return };
        let folder = Folder { flow, kind, hop: None };
        // Only what was counted can be taken back: journeys from before the finding's onset were not.
        if self.open.get(&folder).is_some_and(|case| line.entered_at >= case.finding.onset) {
            self.retract(folder, key, now);
        }
    }
}

impl Case {
    fn new(plan: &Plan, folder: Folder, ordinal: u32, line: &Line, now: Timestamp) -> Self {
        let finding = Finding {
            id: id(plan, folder, ordinal),
            kind: folder.kind,
            flow: folder.flow,
            hop: folder.hop,
            ordinal,
            count: 0,
            onset: line.entered_at,
            first_seen: now,
            last_seen: now,
            status: FindingStatus::Open,
            examples: Vec::new(),
        };
        Case { finding, share: 1.0, latest_entry: line.entered_at, completed_since_onset: 0, completed_since_last: 0 }
    }

    fn deviate(&mut self, key: &str, line: &Line, now: Timestamp) {
        let finding = &mut self.finding;
        finding.count += 1;
        finding.last_seen = now;
        finding.onset = finding.onset.min(line.entered_at);
        if finding.examples.len() < MAX_EXAMPLES {
            finding.examples.push(key.to_owned());
        }
        self.latest_entry = self.latest_entry.max(line.entered_at);
        self.completed_since_last = 0;
        self.share = finding.count as f64 / (finding.count + self.completed_since_onset) as f64;
    }

    /// True if enough completed since the last deviation.
    fn complete(&mut self, line: &Line) -> bool {
        if line.entered_at >= self.finding.onset {
            self.completed_since_onset += 1;
        }
        if line.entered_at > self.latest_entry {
            self.completed_since_last += 1;
        }
        // A journey that fails with share p is missed by 3/p completed ones in a row once in twenty times.
        self.completed_since_last as f64 >= (3.0 / self.share).ceil().max(3.0)
    }

    fn as_of(&self, now: Timestamp) -> Finding {
        let is_quiet = now >= self.finding.last_seen + QUIET_AFTER;
        let status = if is_quiet { FindingStatus::Quiet } else { FindingStatus::Open };
        Finding { status, ..self.finding.clone() }
    }
}

impl Rates {
    fn new(plan: &Plan) -> Self {
        let limits = plan.flow.limits;
        Rates {
            kinds: [
                (FindingKind::Rejected, limits.rejected),
                (FindingKind::DeadLettered, limits.dead_lettered),
                (FindingKind::Late, limits.late),
                (FindingKind::Unknown, Some(limits.unknown.unwrap_or(UNKNOWN_LIMIT))),
            ]
            .map(|(kind, limit)| Watched { kind, rate: Rate::new(limit), run: Vec::new() }),
        }
    }

    fn of(&mut self, kind: FindingKind) -> Option<&mut Rate> {
        self.kinds.iter_mut().find(|watched| watched.kind == kind).map(|watched| &mut watched.rate)
    }
}

impl Watched {
    /// One more journey was decided; the deviations that a finding has to count now.
    fn decide(&mut self, deviates: bool, is_open: bool, key: &str, line: &Line) -> Vec<(String, Line)> {
        let rings = self.rate.decide(deviates);
        if self.rate.is_calm() {
            self.run.clear();
        }
        if !deviates {
            return Vec::new();
        }
        if is_open {
            return vec![(key.to_owned(), *line)];
        }
        if self.run.len() < MAX_RUN {
            self.run.push((key.to_owned(), *line));
        }
        if rings { std::mem::take(&mut self.run) } else { Vec::new() }
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

/// The share that a verdict counts towards.
fn share_kind(verdict: Verdict) -> Option<FindingKind> {
    match verdict {
        Verdict::Rejected(_) => Some(FindingKind::Rejected),
        Verdict::DeadLettered(_) => Some(FindingKind::DeadLettered),
        Verdict::Late => Some(FindingKind::Late),
        // A service that is not heard opens a finding of its own by the first journey.
        Verdict::Unknown(Why::Sampled | Why::IntakeGap) => Some(FindingKind::Unknown),
        Verdict::Unknown(_) => None,
        Verdict::Completed | Verdict::Unaccounted(_) => None,
    }
}

fn id(plan: &Plan, folder: Folder, ordinal: u32) -> FindingId {
    let hop = folder
        .hop
        .map_or(0, |hop| mix(hash(plan.step_name(hop.after).as_bytes()), hash(plan.step_name(hop.before).as_bytes())));
    let kind = hash(folder.kind.name().as_bytes());
    FindingId(mix(mix(mix(hash(plan.flow.name.as_bytes()), hop), kind), u64::from(ordinal)))
}
