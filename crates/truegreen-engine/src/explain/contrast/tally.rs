//! Sums for each bin of one view, of some rows.

use smallvec::SmallVec;

use super::likelihood::Counts;
use super::view::{Clause, Test, View};

/// What was summed up last; only what was touched is cleaned.
#[derive(Debug)]
pub(super) struct Tally {
    sums: Vec<Counts>,
    touched: Vec<u16>,
    /// Rows in each bin, where each is one failure; nothing between two counts.
    hits: Vec<u32>,
}

/// Bins with the rows in them.
pub(super) type Hits = SmallVec<[(u32, u32); 16]>;

impl Tally {
    pub(super) fn new(views: &[View]) -> Tally {
        let most = views.iter().map(|view| view.count).max().unwrap_or(0);
        Tally { sums: vec![Counts::default(); most], touched: Vec::new(), hits: vec![0; most] }
    }

    /// The bins with so many of these rows, or more, the last of which are others; absence in any case.
    pub(super) fn hits(&mut self, view: &View, rows: &[u32], least: f64, frequent: &mut Hits) {
        frequent.clear();
        let (hits, least) = (&mut self.hits, least.ceil().max(1.0) as u32);
        // A bin is told as soon as it has enough, and counted on.
        let mut add = |bin: u16| {
            let own = &mut hits[usize::from(bin)];
            *own += 1;
            if *own == least {
                frequent.push((u32::from(bin), 0));
            }
        };
        match &view.several {
            None => rows.iter().for_each(|row| add(view.bins[*row as usize])),
            Some((starts, bins)) => {
                for row in rows {
                    let row = *row as usize;
                    bins[starts[row] as usize..starts[row + 1] as usize].iter().for_each(|bin| add(*bin));
                }
            }
        }
        frequent.iter_mut().for_each(|(bin, count)| *count = hits[*bin as usize]);
        if !frequent.iter().any(|(bin, _)| *bin == 0) {
            frequent.push((0, hits[0]));
        }
        match &view.several {
            None if rows.len() < hits.len() => {
                rows.iter().for_each(|row| hits[usize::from(view.bins[*row as usize])] = 0)
            }
            _ => hits[..view.count].fill(0),
        }
    }

    /// Begins anew with these rows.
    pub(super) fn of(&mut self, view: &View, rows: &[u32], counts: &[Counts]) {
        for bin in self.touched.drain(..) {
            self.sums[usize::from(bin)] = Counts::default();
        }
        self.add(view, rows, counts);
    }

    /// These rows, too.
    pub(super) fn add(&mut self, view: &View, rows: &[u32], counts: &[Counts]) {
        let (sums, touched) = (&mut self.sums, &mut self.touched);
        let mut add = |bin: u16, count: Counts| {
            let sum = &mut sums[usize::from(bin)];
            // Rows that do not count any more touch nothing.
            if sum.size == 0.0 && count.size > 0.0 {
                touched.push(bin);
            }
            sum.bad += count.bad;
            sum.size += count.size;
        };
        match &view.several {
            None => rows.iter().for_each(|row| add(view.bins[*row as usize], counts[*row as usize])),
            Some((starts, bins)) => {
                for row in rows {
                    let row = *row as usize;
                    bins[starts[row] as usize..starts[row + 1] as usize].iter().for_each(|bin| add(*bin, counts[row]));
                }
            }
        }
    }

    /// Whether any condition could have so many failures; where rows with failures are summed up, no others can make it more.
    pub(super) fn could(&self, view: &View, region: Counts, least: f64) -> bool {
        let most = || self.touched.iter().map(|bin| self.sums[usize::from(*bin)].bad).fold(0.0, f64::max);
        let numbers =
            || self.touched.iter().filter(|bin| **bin != 0).map(|bin| self.sums[usize::from(*bin)].bad).sum::<f64>();
        let present = view.tells_presence && region.bad - self.sums[0].bad >= least;
        present || if view.is_cuts() { numbers().max(self.sums[0].bad) >= least } else { most() >= least }
    }

    pub(super) fn bin(&self, bin: u32) -> Counts {
        self.sums[bin as usize]
    }

    /// Every condition of the view with what it leaves of a region.
    pub(super) fn each(&self, number: usize, view: &View, region: Counts, mut tell: impl FnMut(Clause, Counts)) {
        let clause = |test, bin| Clause { view: number as u32, test, bin };
        let absent = self.sums[0];
        if view.tells_absence && absent.size > 0.0 {
            tell(clause(Test::In, 0), absent);
        }
        if view.tells_presence && absent.size > 0.0 {
            tell(clause(Test::NotIn, 0), region.minus(absent));
        }
        if view.is_cuts() {
            let numbers = region.minus(absent);
            let mut below = Counts::default();
            for bin in 1..=view.last_cut() {
                below = below.plus(self.sums[bin]);
                tell(clause(Test::UpTo, bin as u32), below);
                tell(clause(Test::Above, bin as u32), numbers.minus(below));
            }
            return;
        }
        let others = if view.has_others { view.count - 1 } else { usize::MAX };
        for bin in self.touched.iter().filter(|bin| **bin != 0 && usize::from(**bin) != others) {
            tell(clause(Test::In, u32::from(*bin)), self.sums[usize::from(*bin)]);
        }
    }

    /// The same of every value but one.
    pub(super) fn each_opposite(
        &self,
        number: usize,
        view: &View,
        region: Counts,
        mut tell: impl FnMut(Clause, Counts),
    ) {
        for bin in &view.common {
            let clause = Clause { view: number as u32, test: Test::NotIn, bin: *bin };
            tell(clause, region.minus(self.bin(*bin)));
        }
    }
}
