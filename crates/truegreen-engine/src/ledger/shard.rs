//! One of the ledger's shards: the cases whose keys hash into it. It knows no other shard and writes nothing but its
//! own cases; what changes for the books it hands out as events.

mod ageing;
mod keeping;

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashTable;
use smallvec::SmallVec;
use truegreen_model::confirmation::QuestionId;
use truegreen_model::flow::{FlowId, StepId};
use truegreen_model::observation::{KeyHash, Role, Symbol, TraceId};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Standing, Verdict};

use super::case::{Case, Passage, Seen};
use super::confirmed::Confirmed;
use super::event::{Event, Line, Moved};
use super::judge::{Wanted, judge, wanted};
use super::knowledge::{Learned, StepSums};
use super::pack::{pack, unpack};
use super::slots::{Packed, Slot, Slots};
use super::stand::{Known, Passing, Stand};
use crate::counters;
use crate::coverage::CameDue;
use crate::matcher::Matcher;
use crate::matcher::key::{KeyText, mix};
use crate::matcher::plan::Plan;
use crate::matcher::scopes::ScopeId;
use crate::timers::{Tick, Timers};
use ageing::{Generation, age, age_tick};

const MAX_OBSERVATIONS: usize = 2_000;
/// An observation on its way to its shard.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) now: Timestamp,
    pub(crate) flow: FlowId,
    pub(crate) key: KeyHash,
    pub(crate) text: KeyText,
    pub(crate) scope: ScopeId,
    pub(crate) service: Symbol,
    pub(crate) seen: Seen,
}

/// What all shards may read while observations arrive.
#[derive(Clone, Copy)]
pub(super) struct House<'h> {
    pub(super) matcher: &'h Matcher,
    pub(super) learned: &'h Learned,
    pub(super) retention: Duration,
    /// Most cases of one shard.
    pub(super) max_cases: usize,
}

/// Cases by key.
#[derive(Debug)]
pub(super) struct Shard {
    table: HashTable<u32>,
    slots: Slots,
    timers: Timers<u32>,
    /// Every case once, by when it is next considered for forgetting.
    by_age: VecDeque<Generation>,
    pub(super) open: u64,
    pub(super) sums: StepSums,
    /// Whether anyone asks for what changed.
    is_kept: bool,
    dirty: Vec<u32>,
    removed: Vec<(FlowId, KeyHash)>,
    scratch: Case,
    bytes: Vec<u8>,
}

/// When a case is judged: as an observation arrives, or on a tick.
enum When<'w> {
    Arrival(Timestamp),
    Tick(Tick, &'w Known<'w>),
}

impl Shard {
    pub(super) fn new(matcher: &Matcher, is_kept: bool) -> Self {
        Shard {
            table: HashTable::new(),
            slots: Slots::default(),
            timers: Timers::default(),
            by_age: VecDeque::new(),
            open: 0,
            sums: StepSums::new(matcher),
            is_kept,
            dirty: Vec::new(),
            removed: Vec::new(),
            scratch: Case::empty(),
            bytes: Vec::new(),
        }
    }

    pub(super) fn next_timer(&self) -> Tick {
        let forgetting = self.by_age.front().map_or(Tick::NEVER, |oldest| age_tick(oldest.age));
        self.timers.next().min(forgetting)
    }

    /// Takes in one observation.
    pub(super) fn observe(&mut self, arrival: Arrival, house: &House<'_>, events: &mut Vec<Event>) {
        let Arrival { now, flow, key, text, scope, service, seen } = arrival;
        if let Role::Step(step) = seen.role
            && !seen.attempt
            && house.learned.is_news(house.matcher.plan(flow), step, service)
        {
            events.push(Event::Learned(flow, step, service));
        }
        let mut case = std::mem::replace(&mut self.scratch, Case::empty());
        let known = self.find(flow, key);
        match known {
            Some(index) => self.open_case(index, &mut case),
            None => case.begin(&text, scope),
        }
        if case.seen.iter().any(|one| one.identity == seen.identity) {
            // The same one twice counts once (INV-SET-1).
        } else if case.seen.len() >= MAX_OBSERVATIONS {
            events.push(Event::Counted(counters::JOURNEY_BOUND));
        } else {
            case.seen.push(seen);
            let index = known.unwrap_or_else(|| self.admit(flow, key, now, house));
            self.judge_anew(index, &mut case, &When::Arrival(now), house.matcher, events);
            if known.is_none() {
                self.make_room(now, house, events);
            }
        }
        self.scratch = case;
    }

    /// Takes in what was seen under another name of a journey.
    pub(super) fn adopt(
        &mut self,
        (flow, key): (FlowId, KeyHash),
        merged: Case,
        now: Timestamp,
        house: &House<'_>,
        events: &mut Vec<Event>,
    ) {
        let mut case = Case::empty();
        let known = self.find(flow, key);
        match known {
            Some(index) => self.open_case(index, &mut case),
            None => case.begin(merged.text.as_bytes(), merged.scope),
        }
        case.aliases.extend(merged.aliases);
        for told in merged.told.iter() {
            case.told.add(*told);
        }
        for one in merged.seen {
            if !case.seen.iter().any(|known| known.identity == one.identity) {
                case.seen.push(one);
            }
        }
        let index = known.unwrap_or_else(|| self.admit(flow, key, now, house));
        self.judge_anew(index, &mut case, &When::Arrival(now), house.matcher, events);
        self.make_room(now, house, events);
    }

    /// Gives up a case that belongs to another key, and takes it out of the accounts.
    pub(super) fn surrender(
        &mut self,
        (flow, key): (FlowId, KeyHash),
        matcher: &Matcher,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) -> Option<Case> {
        let index = self.find(flow, key)?;
        let mut case = Case::empty();
        self.open_case(index, &mut case);
        let passages = std::mem::take(&mut case.passages);
        passages.iter().for_each(|passage| self.leave(flow, passage));
        settle(matcher.plan(flow), &case.text, &passages, &[], now, events);
        if passages.is_empty() {
            events.push(Event::Orphans(flow, -1));
        }
        self.remove(index);
        Some(case)
    }

    /// A case learns that its journey has a second name; false where there is no such case.
    pub(super) fn name(&mut self, flow: FlowId, key: KeyHash, other: KeyHash) -> bool {
        let Some(index) = self.find(flow, key) else { return false };
        let mut case = Case::empty();
        self.open_case(index, &mut case);
        if !case.aliases.contains(&other) {
            case.aliases.push(other);
            self.close_case(index, &case);
        }
        true
    }

    pub(super) fn holds(&self, flow: FlowId, key: KeyHash) -> bool {
        self.find(flow, key).is_some()
    }

    /// Judges what wants to be looked at on this tick, and forgets what is over.
    pub(super) fn wake(&mut self, tick: Tick, known: &Known<'_>, retention: Duration, events: &mut Vec<Event>) {
        let mut due = self.timers.take_due(tick);
        due.sort_unstable_by_key(|index| (self.slots[*index].key, self.slots[*index].flow));
        due.dedup();
        let mut case = std::mem::replace(&mut self.scratch, Case::empty());
        for index in due {
            if self.slots[index].packed.is_empty() {
                continue;
            }
            self.open_case(index, &mut case);
            // Lazy cancel: the timer may be an old one, or that of a case which has this slot no more.
            if case.timer > tick {
                continue;
            }
            case.timer = Tick::NEVER;
            if case.next_check <= tick {
                self.judge_anew(index, &mut case, &When::Tick(tick, known), known.matcher, events);
            } else {
                case.timer = case.next_check;
                self.timers.set(case.timer, index);
                self.pack_case(index, &case);
            }
        }
        self.scratch = case;
        while let Some(index) = self.next_of_age(Some(tick)) {
            self.forget(index, tick.time(), retention, events);
        }
    }

    /// Telemetry turned out to be a sample, or a clock to be wrong: what that made unaccounted or late is something else.
    pub(super) fn judge_doubted_anew(&mut self, tick: Tick, known: &Known<'_>, events: &mut Vec<Event>) {
        let mut doubted: Vec<u32> =
            self.table.iter().copied().filter(|index| self.slots[*index].may_be_amended).collect();
        doubted.sort_unstable_by_key(|index| (self.slots[*index].key, self.slots[*index].flow));
        let mut case = Case::empty();
        for index in doubted {
            self.open_case(index, &mut case);
            self.judge_anew(index, &mut case, &When::Tick(tick, known), known.matcher, events);
        }
    }

    /// A system answered about a case; false where there is no such case.
    pub(super) fn tell(
        &mut self,
        (flow, key): (FlowId, KeyHash),
        told: Confirmed,
        now: Timestamp,
        matcher: &Matcher,
        events: &mut Vec<Event>,
    ) -> bool {
        let Some(index) = self.find(flow, key) else { return false };
        let mut case = Case::empty();
        self.open_case(index, &mut case);
        if case.told.add(told) {
            self.judge_anew(index, &mut case, &When::Arrival(now), matcher, events);
        }
        true
    }

    /// Hands a case to `read`.
    pub(super) fn read<R>(&self, flow: FlowId, key: KeyHash, read: impl FnOnce(&Case) -> R) -> Option<R> {
        let index = self.find(flow, key)?;
        let mut case = Case::empty();
        self.open_case(index, &mut case);
        Some(read(&case))
    }

    /// Hands every case to `read`, in no order.
    pub(super) fn read_all(&self, mut read: impl FnMut(FlowId, &Case)) {
        let mut case = Case::empty();
        for index in &self.table {
            self.open_case(*index, &mut case);
            read(self.slots[*index].flow, &case);
        }
    }

    fn find(&self, flow: FlowId, key: KeyHash) -> Option<u32> {
        let is_it = |index: &u32| self.slots[*index].key == key && self.slots[*index].flow == flow;
        self.table.find(hash(flow, key), is_it).copied()
    }

    fn open_case(&self, index: u32, case: &mut Case) {
        let readable = unpack(&self.slots[index].packed, case);
        debug_assert!(readable.is_some(), "what was packed here is read back here");
    }

    fn close_case(&mut self, index: u32, case: &Case) {
        self.pack_case(index, case);
        if self.is_kept && !std::mem::replace(&mut self.slots[index].is_dirty, true) {
            self.dirty.push(index);
        }
    }

    fn pack_case(&mut self, index: u32, case: &Case) {
        self.bytes.clear();
        pack(case, &mut self.bytes);
        let is_in_doubt =
            |passage: &Passage| matches!(passage.standing, Standing::Ended(Verdict::Unaccounted(_) | Verdict::Late));
        let slot = &mut self.slots[index];
        slot.may_be_amended = case.passages.iter().any(is_in_doubt);
        slot.packed.clear();
        slot.packed.extend_from_slice(&self.bytes);
        if slot.packed.spilled() && slot.packed.capacity() > self.bytes.len() + 32 {
            slot.packed.shrink_to_fit();
        }
    }

    fn admit(&mut self, flow: FlowId, key: KeyHash, now: Timestamp, house: &House<'_>) -> u32 {
        let age = age(now + house.retention);
        let index = self.insert(flow, key, age);
        self.grow_old(age, index);
        index
    }

    fn insert(&mut self, flow: FlowId, key: KeyHash, age: u32) -> u32 {
        let slot = Slot { key, packed: Packed::new(), age, flow, is_dirty: false, may_be_amended: false };
        let index = self.slots.put(slot);
        let slots = &self.slots;
        self.table.insert_unique(hash(flow, key), index, |index| hash(slots[*index].flow, slots[*index].key));
        index
    }

    fn remove(&mut self, index: u32) {
        let (flow, key) = (self.slots[index].flow, self.slots[index].key);
        if let Ok(entry) = self.table.find_entry(hash(flow, key), |other| *other == index) {
            entry.remove();
        }
        self.slots.free(index);
        if self.is_kept {
            self.removed.push((flow, key));
        }
    }

    /// Judges a case anew and hands out the difference.
    fn judge_anew(&mut self, index: u32, case: &mut Case, when: &When<'_>, matcher: &Matcher, events: &mut Vec<Event>) {
        let (flow, key) = (self.slots[index].flow, self.slots[index].key);
        let plan = matcher.plan(flow);
        let before = std::mem::take(&mut case.passages);
        before.iter().for_each(|passage| self.leave(flow, passage));
        let mut next_check = Tick::NEVER;
        let mut after: SmallVec<[Passage; 1]> = SmallVec::new();
        for group in case.split(plan) {
            let Some(judgement) = judge(plan, &group, &case.told) else { continue };
            let earlier = before.get(after.len());
            let there = case.told.there();
            let passing = Passing { plan, scope: case.scope, group: &group, judgement: &judgement, earlier, there };
            let Stand { passage, check, came_due } = match when {
                When::Arrival(now) => passing.on_arrival(*now),
                When::Tick(tick, known) => passing.on_tick(*tick, known),
            };
            let due = |step, entered_at| CameDue { flow, scope: case.scope, step, key, entered_at };
            if let Some(earlier) = earlier
                && let Some(step) = is_due(earlier)
                && is_due(&passage) != Some(step)
            {
                events.push(Event::NoLongerDue(due(step, earlier.entered_at)));
            }
            if let Some(step) = came_due {
                events.push(Event::CameDue(due(step, passage.entered_at)));
            }
            if matches!(passage.standing, Standing::Ended(_)) && earlier.is_none_or(is_open) {
                self.compare_traces(flow, &group);
            }
            if plan.is_confirmed {
                for Wanted { step, from } in wants(plan, key, case, &group, &passage) {
                    events.push(Event::Wanted(QuestionId { flow, key, step }, Tick::at_or_after(from)));
                }
            }
            next_check = next_check.min(check);
            self.enter(flow, &passage);
            after.push(passage);
        }
        let now = match when {
            When::Arrival(now) => *now,
            When::Tick(tick, _) => tick.time(),
        };
        let was_orphan = before.is_empty() && !self.slots[index].packed.is_empty();
        match (was_orphan, after.is_empty()) {
            (true, false) => events.push(Event::Orphans(flow, -1)),
            (false, true) => events.push(Event::Orphans(flow, 1)),
            _ => {}
        }
        settle(plan, &case.text, &before, &after, now, events);
        case.passages = after;
        case.next_check = next_check;
        if next_check < case.timer {
            case.timer = next_check;
            self.timers.set(next_check, index);
        }
        self.close_case(index, case);
    }

    fn enter(&mut self, flow: FlowId, passage: &Passage) {
        self.open += u64::from(is_open(passage));
        if let Some(step) = waits_for(passage) {
            self.sums.of(flow, step).waiting += 1;
        }
    }

    fn leave(&mut self, flow: FlowId, passage: &Passage) {
        self.open -= u64::from(is_open(passage));
        if let Some(step) = waits_for(passage) {
            self.sums.of(flow, step).waiting -= 1;
        }
    }

    /// Learns of each step whether it is usually in the start's own trace.
    fn compare_traces(&mut self, flow: FlowId, group: &[&Seen]) {
        let start = group.iter().find(|one| one.role == Role::Step(StepId::START)).map(|start| start.trace);
        let Some(start) = start.filter(|trace| *trace != TraceId(0)) else { return };
        for one in group.iter().filter(|one| !one.attempt) {
            if let Role::Step(step) = one.role {
                let sums = self.sums.of(flow, step);
                if one.trace == start {
                    sums.with_start += 1;
                } else {
                    sums.apart_from_start += 1;
                }
            }
        }
    }
}

/// The effects of a passage that are worth asking for as it stands.
pub(super) fn wants(
    plan: &Plan,
    key: KeyHash,
    case: &Case,
    group: &[&Seen],
    passage: &Passage,
) -> SmallVec<[Wanted; 2]> {
    let Standing::Ended(verdict) = passage.standing else { return SmallVec::new() };
    // By the key alone, so that it does not matter when and how often it is looked at.
    let is_sampled = |step: StepId, share: f64| {
        let drawn = mix(key.0 as u64, u64::from(step.0) + 1);
        (drawn as f64) < share * 2.0_f64.powi(64)
    };
    wanted(plan, group, &case.told, verdict, is_sampled)
}

fn is_open(passage: &Passage) -> bool {
    matches!(passage.standing, Standing::Open { .. })
}

/// The step that is missing past its deadline.
fn is_due(passage: &Passage) -> Option<StepId> {
    let is_missing = matches!(
        passage.standing,
        Standing::Open { due: true } | Standing::Ended(Verdict::Unaccounted(_) | Verdict::Unknown(_))
    );
    passage.hop.filter(|_| is_missing).map(|hop| hop.before)
}

fn waits_for(passage: &Passage) -> Option<StepId> {
    let waits = passage.standing == Standing::Open { due: false };
    passage.hop.filter(|_| waits).map(|hop| hop.before)
}

/// Hands out what changed between two states of a case.
fn settle(plan: &Plan, text: &str, before: &[Passage], after: &[Passage], at: Timestamp, events: &mut Vec<Event>) {
    for index in 0..before.len().max(after.len()) {
        let (from, to) = (before.get(index), after.get(index));
        let duplicates = |passage: Option<&Passage>| passage.map_or(0, |passage| passage.duplicates as i64);
        let more = duplicates(to) - duplicates(from);
        if more != 0 {
            events.push(Event::Duplicates(plan.id, more));
        }
        let (from, to) = (from.map(Line::of), to.map(Line::of));
        if from != to {
            let names_it = |line: &Option<Line>| line.as_ref().is_some_and(Line::may_deviate);
            let key = if names_it(&from) || names_it(&to) { text.to_owned() } else { String::new() };
            events.push(Event::Moved(Moved { flow: plan.id, key, from, to, at }));
        }
    }
}

fn hash(flow: FlowId, key: KeyHash) -> u64 {
    key.0 as u64 ^ u64::from(flow.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
