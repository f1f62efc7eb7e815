//! Which rows lie in which bin, those with failures first: a conjunction of too few failures is nothing, and that is told by
//! looking at these alone, which are few.

use std::ops::Range;

use super::bits::Bits;
use super::likelihood::Counts;
use super::view::{Clause, Test, View};

/// The rows of each bin of one view.
#[derive(Debug)]
pub(super) struct Postings {
    /// Of each bin where its rows begin, and where those without failures do.
    starts: Vec<u32>,
    healthy: Vec<u32>,
    rows: Vec<u32>,
    bins: u32,
    /// A row may be in several bins.
    has_several: bool,
}

/// One part of the rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// With failures.
    Failing,
    /// Without.
    Healthy,
}

impl Side {
    pub(super) fn of(counts: Counts) -> Side {
        if counts.bad > 0.0 { Side::Failing } else { Side::Healthy }
    }
}

impl Postings {
    /// Of all rows.
    pub(super) fn new(view: &View, counts: &[Counts]) -> Postings {
        let mut sizes = vec![0_u32; 2 * view.count + 1];
        let place = |bin: u16, row: usize| 2 * usize::from(bin) + usize::from(Side::of(counts[row]) == Side::Healthy);
        view.each_bin(|bin, row| sizes[place(bin, row) + 1] += 1);
        for at in 1..sizes.len() {
            sizes[at] += sizes[at - 1];
        }
        let (starts, healthy) = (sizes.iter().copied().step_by(2), sizes[1..].iter().copied().step_by(2));
        let (starts, healthy) = (starts.collect(), healthy.collect());
        let mut rows = vec![0; sizes.last().copied().unwrap_or(0) as usize];
        view.each_bin(|bin, row| {
            let next = &mut sizes[place(bin, row)];
            rows[*next as usize] = row as u32;
            *next += 1;
        });
        Postings { starts, healthy, rows, bins: view.count as u32, has_several: view.several.is_some() }
    }

    /// The bins in which a condition holds; nothing where that cannot be told by bins.
    fn bins(&self, clause: Clause) -> Option<Range<u32>> {
        let bin = clause.bin;
        match clause.test {
            Test::In => Some(bin..bin + 1),
            Test::UpTo => Some(1..bin + 1),
            Test::Above => Some(bin + 1..self.bins),
            // Whoever has a value may have two.
            Test::NotIn if bin == 0 && !self.has_several => Some(1..self.bins),
            Test::NotIn => None,
        }
    }

    fn of(&self, bin: u32, side: Side) -> &[u32] {
        let bin = bin as usize;
        let (from, middle, to) = (self.starts[bin], self.healthy[bin], self.starts[bin + 1]);
        match side {
            Side::Failing => &self.rows[from as usize..middle as usize],
            Side::Healthy => &self.rows[middle as usize..to as usize],
        }
    }

    /// How many rows, or more.
    fn most(&self, clause: Clause) -> u32 {
        match self.bins(clause) {
            Some(bins) => self.starts[bins.end as usize] - self.starts[bins.start as usize],
            None => u32::MAX,
        }
    }

    /// The rows where a condition holds.
    pub(super) fn bits(&self, view: &View, clause: Clause, rows: usize) -> Bits {
        let Some(bins) = self.bins(clause) else { return view.bits(clause) };
        let mut bits = Bits::none(rows);
        let own = self.starts[bins.start as usize] as usize..self.starts[bins.end as usize] as usize;
        self.rows[own].iter().for_each(|row| bits.set(*row as usize));
        bits
    }
}

/// The rows of one side where all conditions hold, bin by bin of the one that holds most rarely.
pub(super) fn rows_of(clauses: &[Clause], side: Side, views: &[View], postings: &[Postings], rows: &mut Vec<u32>) {
    rows.clear();
    let of = |clause: &Clause| &postings[clause.view as usize];
    let known = clauses.iter().filter(|clause| of(clause).bins(**clause).is_some());
    let Some(fewest) = known.min_by_key(|clause| of(clause).most(**clause)) else {
        // Every row is in some bin of a view without several values.
        let Some(view) = views.iter().position(|view| view.several.is_none()) else { return };
        let holds = |row: &&u32| clauses.iter().all(|one| views[one.view as usize].holds(*one, **row as usize));
        for bin in 0..postings[view].bins {
            rows.extend(postings[view].of(bin, side).iter().filter(holds));
        }
        return;
    };
    let rest: smallvec::SmallVec<[Clause; 2]> = clauses.iter().copied().filter(|one| one != fewest).collect();
    for bin in of(fewest).bins(*fewest).into_iter().flatten() {
        let among = of(fewest).of(bin, side);
        match rest[..] {
            [] => rows.extend_from_slice(among),
            [one] => {
                let view = &views[one.view as usize];
                rows.extend(among.iter().filter(|row| view.holds(one, **row as usize)));
            }
            _ => {
                let holds = |row: &&u32| rest.iter().all(|one| views[one.view as usize].holds(*one, **row as usize));
                rows.extend(among.iter().filter(holds));
            }
        }
    }
}
