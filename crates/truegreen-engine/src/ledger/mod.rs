//! The ledger: journeys, their deadlines and verdicts, in 64 shards by key. Observations arrive at their shard one by
//! one; on a tick, when coverage stands still, the shards judge what is due. Neither looks at another shard, so both
//! may run on as many threads as there are, and always come to the same: events in one order, for the accounts.

pub(crate) mod case;
pub(crate) mod confirmed;
pub(crate) mod event;
pub(crate) mod judge;
mod knowledge;
mod pack;
mod shard;
mod slots;
mod stand;
mod versions;

use std::collections::VecDeque;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use truegreen_model::confirmation::QuestionId;
use truegreen_model::flow::FlowId;
use truegreen_model::observation::KeyHash;
use truegreen_model::time::Timestamp;

use crate::coverage::Coverage;
use crate::engine::Options;
use crate::matcher::Matcher;
use crate::matcher::plan::Plan;
use crate::matcher::scopes::ScopeId;
use crate::side_by_side::side_by_side;
use crate::timers::Tick;
use case::Case;
use confirmed::Confirmed;
use event::Event;
pub(crate) use knowledge::{Learned, StepSums};
pub(crate) use shard::Arrival;
use shard::{House, Shard, wants};
use stand::Known;

/// Fixed, so that nothing depends on the number of cores.
const SHARDS: usize = 64;
const MAX_ALIAS_HOPS: usize = 8;
/// Fewer observations than this are not worth waking other threads for.
const WORTH_SHARING: usize = 2_000;

/// A second name whose journey was not there yet.
#[derive(Debug)]
struct Unclaimed {
    flow: FlowId,
    name: KeyHash,
    /// When it is forgotten if that has not changed.
    until: Tick,
}

/// Every journey in memory.
#[derive(Debug)]
pub(crate) struct Ledger {
    shards: Vec<Shard>,
    /// Observations on their way to their shards, in order.
    arriving: Vec<Arrival>,
    /// Second names of journeys, each leading to one that is nearer to the journey's own.
    aliases: HashMap<(FlowId, KeyHash), KeyHash, FixedState>,
    /// Second names that are new: their journeys must know them, to take them along when they are forgotten.
    unclaimed: VecDeque<Unclaimed>,
    /// Second names that came or went since the last checkpoint.
    changed_aliases: Vec<(FlowId, KeyHash)>,
    /// Sums of journeys that are no longer in memory.
    former: StepSums,
    retention: Duration,
    max_cases: usize,
    threads: usize,
    /// Whether anyone asks for what changed.
    is_kept: bool,
}

impl Ledger {
    pub(crate) fn new(matcher: &Matcher, options: &Options) -> Self {
        Ledger {
            shards: (0..SHARDS).map(|_| Shard::new(matcher, options.keeps_changes)).collect(),
            arriving: Vec::new(),
            aliases: HashMap::default(),
            unclaimed: VecDeque::new(),
            changed_aliases: Vec::new(),
            former: StepSums::new(matcher),
            retention: options.retention,
            max_cases: options.max_journeys.div_ceil(SHARDS),
            threads: options.threads.clamp(1, SHARDS),
            is_kept: options.keeps_changes,
        }
    }

    /// An observation arrives; it is judged when the ledger is settled.
    pub(crate) fn arrive(&mut self, mut arrival: Arrival) {
        arrival.key = self.owner(arrival.flow, arrival.key);
        self.arriving.push(arrival);
    }

    /// Judges what arrived since the last time.
    pub(crate) fn settle(&mut self, matcher: &Matcher, learned: &Learned, events: &mut Vec<Event>) {
        let house = House { matcher, learned, retention: self.retention, max_cases: self.max_cases };
        if self.threads == 1 || self.arriving.len() < WORTH_SHARING {
            for arrival in self.arriving.drain(..) {
                self.shards[shard_of(arrival.key)].observe(arrival, &house, events);
            }
            return;
        }
        let mut by_shard: Vec<Vec<(usize, Arrival)>> = (0..SHARDS).map(|_| Vec::new()).collect();
        for (order, arrival) in self.arriving.drain(..).enumerate() {
            by_shard[shard_of(arrival.key)].push((order, arrival));
        }
        let work = self.shards.iter_mut().zip(by_shard).collect();
        let mut ordered: Vec<(usize, Event)> = side_by_side(self.threads, work, |(shard, arrivals), out| {
            let mut events = Vec::new();
            for (order, arrival) in arrivals {
                shard.observe(arrival, &house, &mut events);
                out.extend(events.drain(..).map(|event| (order, event)));
            }
        });
        // One arrival's events stay in their order, since the sort is stable.
        ordered.sort_by_key(|(order, _)| *order);
        events.extend(ordered.into_iter().map(|(_, event)| event));
    }

    /// `other` names the journey that `key` names. What arrived before must be settled where this says so.
    pub(crate) fn bind(&mut self, flow: FlowId, key: KeyHash, other: KeyHash, now: Timestamp) -> Binding {
        let owner = self.owner(flow, key);
        if self.aliases.contains_key(&(flow, other)) {
            return if self.owner(flow, other) == owner { Binding::Known } else { Binding::Conflict };
        }
        if other == owner {
            return Binding::Known;
        }
        self.aliases.insert((flow, other), owner);
        self.note_alias(flow, other);
        let is_arriving = self.arriving.iter().any(|arrival| (arrival.flow, arrival.key) == (flow, other));
        let is_there = is_arriving || self.shards[shard_of(other)].holds(flow, other);
        if is_there {
            return Binding::Merges { owner, other };
        }
        if !self.shards[shard_of(owner)].name(flow, owner, other) {
            let until = Tick::at_or_after(now + self.retention);
            self.unclaimed.push_back(Unclaimed { flow, name: other, until });
        }
        Binding::Known
    }

    /// Moves what was seen under another name to its journey.
    pub(crate) fn merge(
        &mut self,
        flow: FlowId,
        (owner, other): (KeyHash, KeyHash),
        now: Timestamp,
        (matcher, learned): (&Matcher, &Learned),
        events: &mut Vec<Event>,
    ) {
        let house = House { matcher, learned, retention: self.retention, max_cases: self.max_cases };
        let Some(mut case) = self.shards[shard_of(other)].surrender((flow, other), matcher, now, events) else {
            return;
        };
        case.aliases.push(other);
        self.shards[shard_of(owner)].adopt((flow, owner), case, now, &house, events);
    }

    /// A system answered about a journey; false where it is not in memory any more.
    pub(crate) fn tell(
        &mut self,
        id: QuestionId,
        told: Confirmed,
        now: Timestamp,
        matcher: &Matcher,
        events: &mut Vec<Event>,
    ) -> bool {
        let owner = self.owner(id.flow, id.key);
        self.shards[shard_of(owner)].tell((id.flow, owner), told, now, matcher, events)
    }

    /// Whose effect is worth asking for, and from when on; `None` where it is not.
    pub(crate) fn wanted(&self, id: QuestionId, plan: &Plan) -> Option<WantedOf> {
        let owner = self.owner(id.flow, id.key);
        self.read(id.flow, owner, |case| {
            let groups = case.split(plan);
            let of_passages = groups.iter().zip(&case.passages);
            let mut wants = of_passages.flat_map(|(group, passage)| wants(plan, owner, case, group, passage));
            let one = wants.find(|wanted| wanted.step == id.step)?;
            Some(WantedOf { from: Tick::at_or_after(one.from), owner, text: case.text.clone(), scope: case.scope })
        })?
    }

    /// The first tick on which something may have to be looked at.
    pub(crate) fn next_timer(&self) -> Tick {
        let unclaimed = self.unclaimed.front().map_or(Tick::NEVER, |unclaimed| unclaimed.until);
        self.shards.iter().map(Shard::next_timer).min().unwrap_or(Tick::NEVER).min(unclaimed)
    }

    /// Judges what is due on this tick.
    pub(crate) fn wake(
        &mut self,
        tick: Tick,
        (matcher, coverage, learned): (&Matcher, &Coverage, &Learned),
        newly_sampled: bool,
        events: &mut Vec<Event>,
    ) {
        while let Some(Unclaimed { flow, name, .. }) = self.unclaimed.pop_front_if(|unclaimed| unclaimed.until <= tick)
        {
            let owner = self.owner(flow, name);
            if !self.shards[shard_of(owner)].name(flow, owner, name) {
                self.unname(flow, &[name]);
            }
        }
        let sums = self.sums();
        let known = Known { matcher, coverage, learned, sums: &sums };
        let retention = self.retention;
        let due = |shard: &&mut Shard| newly_sampled || shard.next_timer() <= tick;
        let work: Vec<&mut Shard> = self.shards.iter_mut().filter(due).collect();
        let threads = if work.len() < SHARDS / 2 { 1 } else { self.threads };
        events.extend(side_by_side(threads, work, |shard, events| {
            if newly_sampled {
                shard.judge_doubted_anew(tick, &known, events);
            }
            shard.wake(tick, &known, retention, events);
        }));
    }

    /// These second names are forgotten with their journey.
    pub(crate) fn unname(&mut self, flow: FlowId, names: &[KeyHash]) {
        for name in names {
            self.aliases.remove(&(flow, *name));
            self.note_alias(flow, *name);
        }
    }

    pub(crate) fn open(&self) -> u64 {
        self.shards.iter().map(|shard| shard.open).sum()
    }

    /// Hands one case to `read`, whichever of its names is asked for.
    pub(crate) fn read<R>(&self, flow: FlowId, key: KeyHash, read: impl FnOnce(&Case) -> R) -> Option<R> {
        let owner = self.owner(flow, key);
        self.shards[shard_of(owner)].read(flow, owner, read)
    }

    /// Hands over what changed since the last time: cases and second names, each gone where there are no bytes.
    pub(crate) fn changes(&mut self, keep: &mut dyn FnMut(Kept<'_>)) {
        for shard in &mut self.shards {
            shard.changes(|flow, key, case| keep(Kept::Case { flow, key, case }));
        }
        for (flow, name) in std::mem::take(&mut self.changed_aliases) {
            keep(Kept::Name { flow, name, owner: self.aliases.get(&(flow, name)).copied() });
        }
    }

    /// Takes a case back as it was handed over; `None` where the bytes are none.
    pub(crate) fn restore_case(&mut self, flow: FlowId, key: KeyHash, age: u32, bytes: &[u8]) -> Option<()> {
        self.shards[shard_of(key)].restore(flow, key, age, bytes)
    }

    pub(crate) fn restore_name(&mut self, flow: FlowId, name: KeyHash, owner: KeyHash) {
        self.aliases.insert((flow, name), owner);
    }

    /// After all cases and names are restored: whatever follows from them.
    pub(crate) fn restored(&mut self, former: StepSums, now: Timestamp) {
        self.former = former;
        self.shards.iter_mut().for_each(Shard::restored);
        let mut claimed: HashSet<(FlowId, KeyHash), FixedState> = HashSet::default();
        self.read_all(|flow, case| claimed.extend(case.aliases.iter().map(|name| (flow, *name))));
        let until = Tick::at_or_after(now + self.retention);
        let unclaimed = self.aliases.keys().filter(|name| !claimed.contains(*name));
        self.unclaimed.extend(unclaimed.map(|(flow, name)| Unclaimed { flow: *flow, name: *name, until }));
    }

    /// Hands every case to `read`, in no order.
    /// In so many parts all journeys can be read one after the other.
    pub(crate) fn parts(&self) -> usize {
        self.shards.len()
    }

    /// As [`read_all`](Ledger::read_all), of one part only.
    pub(crate) fn read_part(&self, part: usize, mut read: impl FnMut(FlowId, &Case)) {
        self.shards.get(part).into_iter().for_each(|shard| shard.read_all(&mut read));
    }

    pub(crate) fn read_all(&self, mut read: impl FnMut(FlowId, &Case)) {
        self.shards.iter().for_each(|shard| shard.read_all(&mut read));
    }

    fn note_alias(&mut self, flow: FlowId, name: KeyHash) {
        if self.is_kept {
            self.changed_aliases.push((flow, name));
        }
    }

    /// The name of a journey that leads to its case.
    pub(crate) fn owner(&self, flow: FlowId, mut key: KeyHash) -> KeyHash {
        if self.aliases.is_empty() {
            return key;
        }
        for _ in 0..MAX_ALIAS_HOPS {
            match self.aliases.get(&(flow, key)) {
                Some(owner) => key = *owner,
                None => break,
            }
        }
        key
    }

    /// Sums over all journeys that there ever were.
    pub(crate) fn sums(&self) -> StepSums {
        let mut sums = self.former.clone();
        self.shards.iter().for_each(|shard| sums.add(&shard.sums));
        sums
    }
}

/// A journey whose effect is worth asking for.
pub(crate) struct WantedOf {
    pub(crate) from: Tick,
    pub(crate) owner: KeyHash,
    pub(crate) text: String,
    pub(crate) scope: ScopeId,
}

/// One thing of the ledger that outlives a restart; nothing in it where it is gone.
pub(crate) enum Kept<'k> {
    /// With its age and its bytes.
    Case {
        flow: FlowId,
        key: KeyHash,
        case: Option<(u32, &'k [u8])>,
    },
    Name {
        flow: FlowId,
        name: KeyHash,
        owner: Option<KeyHash>,
    },
}

/// What a binding of two names asks for.
pub(crate) enum Binding {
    Known,
    /// The other name names another journey already.
    Conflict,
    /// Something was seen under the other name: settle, then merge.
    Merges {
        owner: KeyHash,
        other: KeyHash,
    },
}

fn shard_of(key: KeyHash) -> usize {
    (key.0 >> (128 - SHARDS.ilog2())) as usize
}
