//! The books: `entered = open + completed + late + rejected + dead-lettered + UNACCOUNTED + unknown` (INV-BOOKS-1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::observation::Symbol;
use crate::verdict::{Standing, Verdict, Why};

/// One line of the books: one flow in one minute of event time, or summed over many.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Tally {
    /// Journeys that entered.
    pub entered: u64,
    /// Not decided yet.
    pub open: u64,
    /// Completed in time.
    pub completed: u64,
    /// Completed past a deadline.
    pub late: u64,
    /// Refused, by reason.
    pub rejected: BTreeMap<Symbol, u64>,
    /// Dead-lettered, by reason.
    pub dead_lettered: BTreeMap<Symbol, u64>,
    /// Neither completed nor refused: silent failures.
    pub unaccounted: u64,
    /// Could not be judged, by why.
    pub unknown: BTreeMap<Why, u64>,
}

impl Tally {
    /// Counts a journey that entered and stands so.
    pub fn enter(&mut self, standing: Standing) {
        self.entered += 1;
        *self.slot(standing) += 1;
    }

    /// Takes a journey out again, as if it had never entered here (its start turned out to lie in another minute).
    pub fn withdraw(&mut self, standing: Standing) {
        self.entered = self.entered.saturating_sub(1);
        let slot = self.slot(standing);
        *slot = slot.saturating_sub(1);
        self.drop_empty();
    }

    /// Adds another line to this one.
    pub fn add(&mut self, other: &Tally) {
        self.entered += other.entered;
        self.open += other.open;
        self.completed += other.completed;
        self.late += other.late;
        self.unaccounted += other.unaccounted;
        add_map(&mut self.rejected, &other.rejected);
        add_map(&mut self.dead_lettered, &other.dead_lettered);
        add_map(&mut self.unknown, &other.unknown);
    }

    /// INV-BOOKS-1.
    pub fn balances(&self) -> bool {
        self.entered == self.open + self.decided()
    }

    /// Journeys with a verdict.
    pub fn decided(&self) -> u64 {
        self.completed + self.late + self.rejected() + self.dead_lettered() + self.unaccounted + self.unknown()
    }

    /// Refused, whatever the reason.
    pub fn rejected(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Dead-lettered, whatever the reason.
    pub fn dead_lettered(&self) -> u64 {
        self.dead_lettered.values().sum()
    }

    /// Unknown, whatever the cause.
    pub fn unknown(&self) -> u64 {
        self.unknown.values().sum()
    }

    fn slot(&mut self, standing: Standing) -> &mut u64 {
        match standing {
            Standing::Open { .. } => &mut self.open,
            Standing::Ended(Verdict::Completed) => &mut self.completed,
            Standing::Ended(Verdict::Late) => &mut self.late,
            Standing::Ended(Verdict::Rejected(reason)) => self.rejected.entry(reason).or_default(),
            Standing::Ended(Verdict::DeadLettered(reason)) => self.dead_lettered.entry(reason).or_default(),
            Standing::Ended(Verdict::Unaccounted(_)) => &mut self.unaccounted,
            Standing::Ended(Verdict::Unknown(why)) => self.unknown.entry(why).or_default(),
        }
    }

    fn drop_empty(&mut self) {
        self.rejected.retain(|_, n| *n > 0);
        self.dead_lettered.retain(|_, n| *n > 0);
        self.unknown.retain(|_, n| *n > 0);
    }
}

fn add_map<K: Ord + Copy>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, n) in from {
        *to.entry(*key).or_default() += n;
    }
}
