//! Ended cases leave memory, oldest first: after the retention, or sooner to make room for new ones.

use std::time::Duration;

use truegreen_model::time::Timestamp;

use super::super::case::Case;
use super::super::event::Event;
use super::{House, Shard};
use crate::counters;
use crate::timers::{Tick, push_tightly};

/// How many ended journeys may be looked at to make room for one new one.
const MAX_EVICTIONS: usize = 16;
/// Grain in which cases are considered for forgetting.
const AGE_SECONDS: u64 = 10;

/// Cases that are considered for forgetting together.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) age: u32,
    cases: Vec<u32>,
    /// The next to go is the last.
    is_sorted: bool,
}

impl Shard {
    pub(super) fn grow_old(&mut self, age: u32, index: u32) {
        self.slots[index].age = age;
        match self.by_age.binary_search_by_key(&age, |generation| generation.age) {
            Ok(at) => {
                push_tightly(&mut self.by_age[at].cases, index);
                self.by_age[at].is_sorted = false;
            }
            Err(at) => self.by_age.insert(at, Generation { age, cases: vec![index], is_sorted: false }),
        }
    }

    /// The next case to be considered for forgetting: the oldest, or none that is not of age on this tick.
    pub(super) fn next_of_age(&mut self, on: Option<Tick>) -> Option<u32> {
        loop {
            let slots = &self.slots;
            let oldest = self.by_age.front_mut().filter(|oldest| on.is_none_or(|tick| age_tick(oldest.age) <= tick))?;
            if !std::mem::replace(&mut oldest.is_sorted, true) {
                // In an order that a restart does not change.
                oldest.cases.sort_unstable_by_key(|index| std::cmp::Reverse((slots[*index].key, slots[*index].flow)));
                oldest.cases.dedup();
            }
            match oldest.cases.pop() {
                // A slot may have been given to another case since.
                Some(index) if slots[index].age == oldest.age && !slots[index].packed.is_empty() => return Some(index),
                Some(_) => {}
                None => drop(self.by_age.pop_front()),
            }
        }
    }

    pub(super) fn make_room(&mut self, now: Timestamp, house: &House<'_>, events: &mut Vec<Event>) {
        for _ in 0..MAX_EVICTIONS {
            if self.table.len() <= house.max_cases {
                break;
            }
            let Some(index) = self.next_of_age(None) else { break };
            if self.forget(index, now, house.retention, events) {
                events.push(Event::Counted(counters::JOURNEYS_BOUND));
            }
        }
    }

    /// Forgets a case, unless it is open: open journeys are never dropped.
    pub(super) fn forget(&mut self, index: u32, now: Timestamp, retention: Duration, events: &mut Vec<Event>) -> bool {
        let mut case = Case::empty();
        self.open_case(index, &mut case);
        if case.is_open() {
            self.grow_old(age(now + retention), index);
            return false;
        }
        if !case.aliases.is_empty() {
            events.push(Event::Unnamed(self.slots[index].flow, case.aliases));
        }
        self.remove(index);
        true
    }
}

pub(super) fn age(at: Timestamp) -> u32 {
    u32::try_from(at.0.div_ceil(AGE_SECONDS * 1_000_000_000)).unwrap_or(u32::MAX)
}

pub(super) fn age_tick(age: u32) -> Tick {
    Tick(u64::from(age) * AGE_SECONDS * 10)
}
