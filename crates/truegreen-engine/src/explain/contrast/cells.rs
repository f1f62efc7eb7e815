//! A set of conjunctions as a model of the failure rate of each row.
//!
//! Rows are told apart by which of the set they satisfy. What satisfies none has the background's rate; where one alone
//! holds, its rate is its own; where several hold at once, each makes attempts fail by itself, unless one lies within the
//! others and has no place of its own to be measured at.

use super::likelihood::{Counts, is_higher, likelihood, odds_ratio};

/// Share of what a conjunction covers that must be its own, for its rate to be measured there.
const OWN: f64 = 0.1;
/// A rate that is foreseen is never quite nothing nor quite all.
const EDGE: f64 = 1e-6;

/// Counts by which of a set hold: one bit for each.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    pub(super) members: usize,
    pub(super) sums: Vec<Counts>,
}

impl Cells {
    /// Nothing counted.
    pub(super) fn of(members: usize) -> Cells {
        Cells { members, sums: vec![Counts::default(); 1 << members] }
    }

    /// How well the set explains what was counted; nothing where one of it does not stand out by its odds from what it
    /// lies in.
    pub(super) fn explain(&self, least_odds: impl Fn(usize) -> f64) -> Option<f64> {
        let background = self.sums[0];
        let mut measured: Vec<Option<Counts>> = vec![None; self.members];
        let mut explained = likelihood(background);
        let mut is_measured = vec![false; self.sums.len()];
        is_measured[0] = true;
        while let Some((member, cell)) = self.next(&measured) {
            let counts = self.sums[cell];
            let around = self.foreseen(cell & !(1 << member), &measured, background);
            let stands_out = is_higher(counts, around) && odds_ratio(counts, around) >= least_odds(member);
            if !stands_out {
                return None;
            }
            explained += likelihood(counts);
            is_measured[cell] = true;
            measured[member] = Some(counts);
        }
        if measured.iter().any(Option::is_none) {
            return None;
        }
        for (cell, counts) in self.sums.iter().enumerate().filter(|(cell, _)| !is_measured[*cell]) {
            if counts.size > 0.0 {
                let rate = self.rate(cell, &measured, background);
                explained += counts.bad * rate.ln() + (counts.size - counts.bad).max(0.0) * (1.0 - rate).ln();
            }
        }
        Some(explained)
    }

    /// The next that can be measured, and where: alone, or within such as are measured already.
    fn next(&self, measured: &[Option<Counts>]) -> Option<(usize, usize)> {
        let unknown: Vec<usize> = (0..self.members).filter(|member| measured[*member].is_none()).collect();
        let alone = unknown.iter().copied().find(|member| self.sums[1 << member].size >= OWN * self.all(*member));
        if let Some(member) = alone {
            return Some((member, 1 << member));
        }
        let known: usize =
            (0..self.members).filter(|member| measured[*member].is_some()).map(|member| 1 << member).sum();
        let within = |member: usize| {
            let cells = (0..self.sums.len())
                .filter(move |cell| cell & (1 << member) != 0 && cell & !(1 << member) & !known == 0);
            cells.max_by(|a, b| self.sums[*a].size.total_cmp(&self.sums[*b].size).then(b.cmp(a)))
        };
        unknown.into_iter().find_map(|member| {
            let cell = within(member).filter(|cell| self.sums[*cell].size > 0.0)?;
            Some((member, cell))
        })
    }

    fn all(&self, member: usize) -> f64 {
        self.sums.iter().enumerate().filter(|(cell, _)| cell & (1 << member) != 0).map(|(_, counts)| counts.size).sum()
    }

    /// What a cell's attempts would come to by those of it that are measured.
    fn foreseen(&self, cell: usize, measured: &[Option<Counts>], background: Counts) -> Counts {
        match cell.count_ones() {
            0 => background,
            1 => measured[cell.trailing_zeros() as usize].unwrap_or(background),
            _ => {
                let size = background.size;
                Counts::new(self.rate(cell, measured, background) * size, size)
            }
        }
    }

    fn rate(&self, cell: usize, measured: &[Option<Counts>], background: Counts) -> f64 {
        let usual = rate(background);
        let mut well = 1.0 - usual;
        for (member, counts) in measured.iter().enumerate() {
            if let (true, Some(counts)) = (cell & (1 << member) != 0, counts) {
                well *= ((1.0 - rate(*counts)) / (1.0 - usual)).min(1.0);
            }
        }
        (1.0 - well).clamp(EDGE, 1.0 - EDGE)
    }
}

fn rate(counts: Counts) -> f64 {
    (counts.bad.max(0.0) + 0.5) / (counts.size.max(counts.bad) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(members: usize, sums: &[(f64, f64)]) -> Cells {
        Cells { members, sums: sums.iter().map(|(bad, size)| Counts::new(*bad, *size)).collect() }
    }

    #[test]
    fn where_two_hold_each_makes_its_own_fail() {
        let both = cells(2, &[(10.0, 1000.0), (50.0, 100.0), (50.0, 100.0), (75.0, 100.0)]).explain(|_| 2.0);
        let neither = cells(2, &[(10.0, 1000.0), (50.0, 100.0), (50.0, 100.0), (50.0, 100.0)]).explain(|_| 2.0);
        let saturated =
            |sums: &[(f64, f64)]| sums.iter().map(|(bad, size)| likelihood(Counts::new(*bad, *size))).sum::<f64>();
        let best = saturated(&[(10.0, 1000.0), (50.0, 100.0), (50.0, 100.0), (75.0, 100.0)]);
        assert!(
            best - both.unwrap() < 0.1
                && neither.unwrap() < saturated(&[(10.0, 1000.0), (50.0, 100.0), (50.0, 100.0), (50.0, 100.0)]) - 10.0
        );
    }

    #[test]
    fn one_within_another_is_measured_there_and_must_be_worse() {
        assert!(cells(2, &[(0.0, 1000.0), (30.0, 100.0), (0.0, 0.0), (45.0, 50.0)]).explain(|_| 2.0).is_some());
        assert!(cells(2, &[(0.0, 1000.0), (30.0, 100.0), (0.0, 0.0), (18.0, 50.0)]).explain(|_| 2.0).is_none());
    }
}
