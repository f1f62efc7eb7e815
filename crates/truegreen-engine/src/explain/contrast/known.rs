//! Rows as sets, so that many are counted at once.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::bits::Bits;
use super::likelihood::Counts;
use super::postings::Postings;
use super::search::Clauses;
use super::view::{Clause, View};

/// Rows that are one attempt each.
#[derive(Debug)]
pub(super) struct Single {
    pub(super) failing: Bits,
    /// Those that count.
    pub(super) alive: Bits,
}

impl Single {
    /// Nothing where a row stands for another number of attempts.
    pub(super) fn of(counts: &[Counts]) -> Option<Single> {
        let is_one = |n: f64| n == 0.0 || n == 1.0;
        counts.iter().all(|count| is_one(count.size) && is_one(count.bad)).then(|| Single {
            failing: Bits::of(counts.len(), |row| counts[row].bad > 0.0),
            alive: Bits::of(counts.len(), |row| counts[row].size > 0.0),
        })
    }
}

/// The rows of single conditions, so that each is looked up once.
#[derive(Debug)]
pub(super) struct Known<'a> {
    views: &'a [View],
    postings: &'a [Postings],
    rows: usize,
    bits: HashMap<Clause, Bits, FixedState>,
}

impl<'a> Known<'a> {
    pub(super) fn new(views: &'a [View], postings: &'a [Postings], rows: usize) -> Known<'a> {
        Known { views, postings, rows, bits: HashMap::with_hasher(FixedState::with_seed(6)) }
    }

    /// Of one condition.
    pub(super) fn of(&mut self, clause: Clause) -> &Bits {
        let view = clause.view as usize;
        let bits = || self.postings[view].bits(&self.views[view], clause, self.rows);
        self.bits.entry(clause).or_insert_with(bits)
    }

    /// Of all of them, as far as they count.
    pub(super) fn alive(&mut self, clauses: &[Clause], single: &Single) -> Bits {
        let mut all = single.alive.clone();
        clauses.iter().for_each(|clause| all.and(self.of(*clause)));
        all
    }

    /// Of all of them.
    pub(super) fn bits(&mut self, clauses: &Clauses) -> Bits {
        let Some((first, others)) = clauses.split_first() else { return Bits::none(0) };
        let mut all = self.of(*first).clone();
        others.iter().for_each(|clause| all.and(self.of(*clause)));
        all
    }
}
