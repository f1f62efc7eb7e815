//! The ledger: journeys, their deadlines and verdicts. Each change of an observation set, and each deadline, judges
//! the journey anew; the difference to what stood before is handed to the accounts.

pub(crate) mod case;
pub(crate) mod judge;
mod steps;

use std::collections::VecDeque;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use truegreen_model::flow::FlowId;
use truegreen_model::observation::{KeyHash, Observation};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Standing, Verdict};

use crate::accounts::{Accounts, Line};
use crate::counters::{self, Counters};
use crate::coverage::Coverage;
use crate::matcher::Matcher;
use crate::matcher::plan::Plan;
use crate::timers::{Timer, Timers};
use case::{Case, Passage, Seen};
use judge::judge;
use steps::{Passing, Steps};

const MAX_OBSERVATIONS: usize = 2_000;
const MAX_ALIAS_HOPS: usize = 8;
/// How many ended journeys may be looked at to make room for one new one.
const MAX_EVICTIONS: usize = 16;

/// What the ledger works with but does not own.
pub(crate) struct Desk<'e> {
    pub(crate) matcher: &'e Matcher,
    pub(crate) coverage: &'e mut Coverage,
    pub(crate) accounts: &'e mut Accounts,
    pub(crate) timers: &'e mut Timers,
    pub(crate) counters: &'e mut Counters,
    pub(crate) now: Timestamp,
}

/// Every journey in memory.
#[derive(Debug)]
pub(crate) struct Ledger {
    flows: Vec<FlowLedger>,
    /// Every case once, by when it is next considered for forgetting.
    by_age: VecDeque<(Timestamp, FlowId, KeyHash)>,
    cases: usize,
    open: u64,
    retention: Duration,
    max_cases: usize,
}

#[derive(Debug)]
struct FlowLedger {
    cases: HashMap<KeyHash, Case, FixedState>,
    /// Second names of journeys, each leading to one that is nearer to the journey's own.
    aliases: HashMap<KeyHash, KeyHash, FixedState>,
    /// The scopes in which a key was ever seen.
    scopes: Vec<u64>,
    steps: Steps,
}

impl Ledger {
    pub(crate) fn new(matcher: &Matcher, retention: Duration, max_cases: usize) -> Self {
        let flows = matcher.plans.iter().map(|plan| FlowLedger {
            cases: HashMap::default(),
            aliases: HashMap::default(),
            scopes: Vec::new(),
            steps: Steps::new(plan),
        });
        Ledger { flows: flows.collect(), by_age: VecDeque::new(), cases: 0, open: 0, retention, max_cases }
    }

    /// Takes in one observation.
    pub(crate) fn observe(&mut self, observation: Observation, text: &[u8], scope: u64, desk: &mut Desk<'_>) {
        let flow = observation.flow;
        let key = self.flows[flow.0 as usize].owner(observation.key);
        let ledger = &mut self.flows[flow.0 as usize];
        ledger.steps.learn(&observation, desk);
        let counted = ledger.cases.len();
        let case = ledger.cases.entry(key).or_insert_with(|| Case::new(&String::from_utf8_lossy(text), scope));
        if case.seen.iter().any(|one| one.identity == observation.identity) {
            return;
        }
        if case.seen.len() >= MAX_OBSERVATIONS {
            return desk.counters.count(counters::JOURNEY_BOUND);
        }
        case.seen.push(Seen::from(observation));
        if ledger.cases.len() > counted {
            self.admit(flow, key, scope, desk);
        }
        self.rejudge(flow, key, desk);
    }

    /// `other` names the journey that `key` names.
    pub(crate) fn bind(&mut self, flow: FlowId, key: KeyHash, other: KeyHash, desk: &mut Desk<'_>) {
        let ledger = &mut self.flows[flow.0 as usize];
        let owner = ledger.owner(key);
        if ledger.aliases.contains_key(&other) {
            if ledger.owner(other) != owner {
                desk.counters.count(counters::BIND_CONFLICT);
            }
            return;
        }
        if other == owner {
            return;
        }
        ledger.aliases.insert(other, owner);
        let Some(merged) = ledger.cases.remove(&other) else {
            return;
        };
        self.cases -= 1;
        self.withdraw(flow, &merged, desk);
        let ledger = &mut self.flows[flow.0 as usize];
        let is_new = !ledger.cases.contains_key(&owner);
        let scope = merged.scope;
        let case = ledger.cases.entry(owner).or_insert_with(|| Case::new(&merged.text, scope));
        case.aliases.push(other);
        case.aliases.extend(merged.aliases);
        for one in merged.seen {
            if !case.seen.iter().any(|known| known.identity == one.identity) {
                case.seen.push(one);
            }
        }
        if is_new {
            self.admit(flow, owner, scope, desk);
        }
        self.rejudge(flow, owner, desk);
    }

    /// A timer of this case fired.
    pub(crate) fn wake(&mut self, flow: FlowId, key: KeyHash, desk: &mut Desk<'_>) {
        let Some(case) = self.flows[flow.0 as usize].cases.get_mut(&key) else {
            return;
        };
        if case.timer > desk.now {
            return;
        }
        case.timer = Timestamp::NEVER;
        if case.next_check <= desk.now {
            self.rejudge(flow, key, desk);
        } else {
            case.timer = case.next_check;
            desk.timers.set(case.next_check, Timer::Journey(flow, key));
        }
    }

    /// Forgets ended journeys and orphans that were kept for the retention.
    pub(crate) fn expire(&mut self, desk: &mut Desk<'_>) {
        while let Some((_, flow, key)) = self.by_age.front().copied().filter(|(due, ..)| *due <= desk.now) {
            self.by_age.pop_front();
            self.forget(flow, key, desk);
        }
    }

    pub(crate) fn open(&self) -> u64 {
        self.open
    }

    pub(crate) fn cases(&self, flow: FlowId) -> impl Iterator<Item = &Case> {
        self.flows[flow.0 as usize].cases.values()
    }

    pub(crate) fn scopes(&self, flow: FlowId) -> &[u64] {
        &self.flows[flow.0 as usize].scopes
    }

    pub(crate) fn case(&self, flow: FlowId, key: KeyHash) -> Option<&Case> {
        let ledger = &self.flows[flow.0 as usize];
        ledger.cases.get(&ledger.owner(key))
    }

    fn admit(&mut self, flow: FlowId, key: KeyHash, scope: u64, desk: &mut Desk<'_>) {
        self.cases += 1;
        self.by_age.push_back((desk.now + self.retention, flow, key));
        desk.accounts.orphan(flow, 1);
        let scopes = &mut self.flows[flow.0 as usize].scopes;
        if !scopes.contains(&scope) && scopes.len() < MAX_OBSERVATIONS {
            scopes.push(scope);
        }
        for _ in 0..MAX_EVICTIONS {
            if self.cases <= self.max_cases {
                break;
            }
            let Some((_, flow, key)) = self.by_age.pop_front() else {
                break;
            };
            if self.forget(flow, key, desk) {
                desk.counters.count(counters::JOURNEYS_BOUND);
            }
        }
    }

    /// Forgets a case, unless it is open: open journeys are never dropped.
    fn forget(&mut self, flow: FlowId, key: KeyHash, desk: &mut Desk<'_>) -> bool {
        let ledger = &mut self.flows[flow.0 as usize];
        let Some(case) = ledger.cases.get(&key) else {
            return false;
        };
        if case.is_open() {
            self.by_age.push_back((desk.now + self.retention, flow, key));
            return false;
        }
        if let Some(case) = ledger.cases.remove(&key) {
            for alias in case.aliases {
                ledger.aliases.remove(&alias);
            }
            self.cases -= 1;
        }
        true
    }

    /// Telemetry turned out to be a sample: what it made unaccounted is unknown.
    pub(crate) fn rejudge_unaccounted(&mut self, desk: &mut Desk<'_>) {
        for flow in (0..self.flows.len() as u16).map(FlowId) {
            let lost = |passage: &Passage| matches!(passage.standing, Standing::Ended(Verdict::Unaccounted(_)));
            let cases = self.flows[flow.0 as usize].cases.iter();
            let mut keys: Vec<_> =
                cases.filter(|(_, case)| case.passages.iter().any(lost)).map(|(key, _)| *key).collect();
            keys.sort_unstable();
            for key in keys {
                self.rejudge(flow, key, desk);
            }
        }
    }

    /// Judges a case anew and hands the difference to the accounts.
    fn rejudge(&mut self, flow: FlowId, key: KeyHash, desk: &mut Desk<'_>) {
        let FlowLedger { cases, steps, .. } = &mut self.flows[flow.0 as usize];
        let Some(case) = cases.get_mut(&key) else { return };
        let plan = desk.matcher.plan(flow);
        let before = std::mem::take(&mut case.passages);
        before.iter().for_each(|passage| steps.leave(passage));
        let mut next_check = Timestamp::NEVER;
        let mut after: SmallVec<[Passage; 1]> = SmallVec::new();
        for group in case.split(plan) {
            let Some(judgement) = judge(plan, &group, |one| desk.coverage.skew_bound(one.instance)) else {
                continue;
            };
            let passing = Passing { plan, key, scope: case.scope, group: &group, earlier: before.get(after.len()) };
            let (passage, check) = steps.stand(&passing, &judgement, desk);
            next_check = next_check.min(check);
            steps.enter(&passage);
            after.push(passage);
        }
        self.open -= open_in(&before);
        self.open += open_in(&after);
        settle(plan, &case.text, &before, &after, desk);
        case.passages = after;
        case.next_check = next_check;
        if next_check < case.timer {
            case.timer = next_check;
            desk.timers.set(next_check, Timer::Journey(flow, key));
        }
    }

    /// Takes a case that was merged into another out of the accounts.
    fn withdraw(&mut self, flow: FlowId, case: &Case, desk: &mut Desk<'_>) {
        for passage in &case.passages {
            self.flows[flow.0 as usize].steps.leave(passage);
        }
        self.open -= open_in(&case.passages);
        settle(desk.matcher.plan(flow), &case.text, &case.passages, &[], desk);
        desk.accounts.orphan(flow, -1);
    }
}

impl FlowLedger {
    fn owner(&self, mut key: KeyHash) -> KeyHash {
        if self.aliases.is_empty() {
            return key;
        }
        for _ in 0..MAX_ALIAS_HOPS {
            match self.aliases.get(&key) {
                Some(owner) => key = *owner,
                None => break,
            }
        }
        key
    }
}

/// Hands what changed between two states of a case to the accounts.
fn settle(plan: &Plan, text: &str, before: &[Passage], after: &[Passage], desk: &mut Desk<'_>) {
    match (before.is_empty(), after.is_empty()) {
        (true, false) => desk.accounts.orphan(plan.id, -1),
        (false, true) => desk.accounts.orphan(plan.id, 1),
        _ => {}
    }
    for index in 0..before.len().max(after.len()) {
        let (from, to) = (before.get(index), after.get(index));
        let duplicates = |passage: Option<&Passage>| passage.map_or(0, |passage| passage.duplicates as i64);
        desk.accounts.duplicates(plan.id, duplicates(to) - duplicates(from));
        let (from, to) = (from.map(line), to.map(line));
        if from != to {
            desk.accounts.amend(plan, text, from, to, desk.now);
        }
    }
}

fn open_in(passages: &[Passage]) -> u64 {
    passages.iter().filter(|passage| matches!(passage.standing, Standing::Open { .. })).count() as u64
}

fn line(passage: &Passage) -> Line {
    Line { entered_at: passage.entered_at, standing: passage.standing, hop: passage.hop, owed: passage.owed }
}
