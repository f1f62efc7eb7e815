//! The search for conjunctions: all single conditions, all pairs that could still be worth their price, and triples of the
//! pairs that are. What cannot be better than its price even if nothing healthy were left in it is not looked at.

use super::likelihood::{Counts, gain, is_higher};
use super::view::{Clause, Test, View};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

/// The conditions of one conjunction, in the order of views.
pub(super) type Clauses = SmallVec<[Clause; 3]>;

/// A conjunction that is better than its parts.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) clauses: Clauses,
    pub(super) counts: Counts,
    /// What it explains, in nats.
    pub(super) gain: f64,
    /// What it costs.
    pub(super) price: f64,
}

impl Found {
    pub(super) fn score(&self) -> f64 {
        self.gain - self.price
    }
}

/// Conjunctions that a search hands on.
const KEPT: usize = 200;
/// Single conditions that it hands on whatever they are worth.
const KEPT_SINGLES: usize = 12;
/// Of those that differ only by where numbers are cut.
const KEPT_ALIKE: usize = 4;
/// Pairs that are made triples at most, the best first.
const DEEPENED: usize = 300;
/// And rows times views that are counted for it.
const DEEP_WORK: usize = 10_000_000;
/// Cuts of each numeric column that are combined with cuts of others.
const BASES: usize = 4;

/// The rows that are looked at.
pub(super) struct Space<'a> {
    pub(super) views: &'a [View],
    /// Of each row; nothing where it does not count any more.
    pub(super) counts: &'a [Counts],
    /// Columns that are looked at.
    pub(super) columns: usize,
    pub(super) max_conditions: usize,
}

/// Everything that is found of rows that count.
pub(super) fn search(space: &Space<'_>, least: f64) -> Vec<Found> {
    let alive: Vec<u32> = (0..space.counts.len() as u32).filter(|row| space.counts[*row as usize].size > 0.0).collect();
    let whole = alive.iter().fold(Counts::default(), |sum, row| sum.plus(space.counts[*row as usize]));
    if whole.bad <= 0.0 {
        return Vec::new();
    }
    let mut search =
        Search { space, whole, least, singles: Vec::new(), found: Vec::new(), scratch: Scratch::new(space) };
    search.singles(&alive);
    let first = search.found.len();
    if space.max_conditions > 1 {
        let postings: Vec<Postings> = space.views.iter().map(|view| Postings::new(view, &alive)).collect();
        search.pairs(&alive, &postings);
        if space.max_conditions > 2 {
            search.triples(first, &alive, &postings);
        }
    }
    search.best()
}

/// Sums for each bin of one view; only what was touched is cleaned.
struct Scratch {
    sums: Vec<Counts>,
    touched: Vec<u32>,
}

impl Scratch {
    fn new(space: &Space<'_>) -> Scratch {
        let most = space.views.iter().map(|view| view.count).max().unwrap_or(0);
        Scratch { sums: vec![Counts::default(); most], touched: Vec::new() }
    }

    fn tally(&mut self, view: &View, rows: &[u32], counts: &[Counts]) {
        for bin in self.touched.drain(..) {
            self.sums[bin as usize] = Counts::default();
        }
        let mut add = |bin: u32, count: Counts| {
            let sum = &mut self.sums[bin as usize];
            if sum.size == 0.0 {
                self.touched.push(bin);
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

    /// Every condition of the view with what it leaves of a region.
    fn each(&self, number: usize, view: &View, region: Counts, mut tell: impl FnMut(Clause, Counts)) {
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
        let others = if view.has_others { view.count as u32 - 1 } else { u32::MAX };
        for bin in self.touched.iter().filter(|bin| **bin != 0 && **bin != others) {
            tell(clause(Test::In, *bin), self.sums[*bin as usize]);
        }
    }

    /// The same of every value but one.
    fn each_opposite(&self, number: usize, view: &View, region: Counts, mut tell: impl FnMut(Clause, Counts)) {
        for bin in &view.common {
            let clause = Clause { view: number as u32, test: Test::NotIn, bin: *bin };
            tell(clause, region.minus(self.sums[*bin as usize]));
        }
    }
}

struct Search<'a> {
    space: &'a Space<'a>,
    whole: Counts,
    /// What an explanation must be worth beyond its price.
    least: f64,
    /// All single conditions, by view, so that a pair can be held against its parts.
    singles: Vec<(Clause, Counts)>,
    found: Vec<Found>,
    scratch: Scratch,
}

impl Search<'_> {
    fn price(&self, clause: Clause) -> f64 {
        self.space.views[clause.view as usize].price(clause, self.space.columns)
    }

    /// Whether this many failures could be worth it, if nothing healthy were with them.
    fn could(&self, bad: f64, price: f64) -> bool {
        bad > 0.0 && gain(Counts::new(bad, bad), self.whole) > price + self.least
    }

    fn singles(&mut self, alive: &[u32]) {
        for (number, view) in self.space.views.iter().enumerate() {
            self.scratch.tally(view, alive, self.space.counts);
            let singles = &mut self.singles;
            self.scratch.each(number, view, self.whole, |clause, counts| singles.push((clause, counts)));
            // Only alone: "this, but not there" says less of a cause than the values where it is.
            self.scratch.each_opposite(number, view, self.whole, |clause, counts| singles.push((clause, counts)));
        }
        self.singles.sort_by_key(|(clause, _)| *clause);
        for at in 0..self.singles.len() {
            let (clause, counts) = self.singles[at];
            if counts.bad > 0.0 && is_higher(counts, self.whole) {
                let worth = gain(counts, self.whole);
                let clauses = SmallVec::from_slice(&[clause]);
                self.found.push(Found { clauses, counts, gain: worth, price: self.price(clause) });
            }
        }
    }

    fn single(&self, clause: Clause) -> Counts {
        let at = self.singles.binary_search_by_key(&clause, |(clause, _)| *clause);
        at.map_or(Counts::default(), |at| self.singles[at].1)
    }

    /// What pairs begin with: every value, presence, and the best cuts of each view.
    fn bases(&self) -> Vec<(Clause, Counts)> {
        let cheapest = self.space.views.iter().map(|view| view.price(ANY, self.space.columns)).fold(f64::MAX, f64::min);
        let mut bases: Vec<(Clause, Counts)> = Vec::new();
        let could = |clause: Clause, counts: Counts| self.could(counts.bad, self.price(clause) + cheapest);
        for (clause, counts) in &self.singles {
            if clause.test == Test::In && could(*clause, *counts) {
                bases.push((*clause, *counts));
            }
        }
        let is_cut_or_presence = |one: &&Found| match one.clauses[0].test {
            Test::In => false,
            Test::NotIn => one.clauses[0].bin == 0,
            Test::UpTo | Test::Above => true,
        };
        let mut rest: Vec<&Found> = self.found.iter().filter(is_cut_or_presence).collect();
        rest.sort_by(|a, b| b.gain.total_cmp(&a.gain).then_with(|| a.clauses.cmp(&b.clauses)));
        let mut taken = vec![0; self.space.views.len()];
        for one in rest {
            let clause = one.clauses[0];
            let taken = &mut taken[clause.view as usize];
            if *taken < BASES && could(clause, one.counts) {
                *taken += 1;
                bases.push((clause, one.counts));
            }
        }
        bases
    }

    fn pairs(&mut self, alive: &[u32], postings: &[Postings]) {
        let mut rows = Vec::new();
        for (base, counts) in self.bases() {
            self.rows_of(&[base], alive, postings, &mut rows);
            // Two values meet from one side only.
            let from = if base.test == Test::In { base.view as usize + 1 } else { 0 };
            self.extend(&[base], counts, &rows, from);
        }
        self.merge_doubles();
    }

    fn triples(&mut self, first: usize, alive: &[u32], postings: &[Postings]) {
        let mut pairs: Vec<Found> = self.found[first..].to_vec();
        pairs.sort_by(|a, b| b.score().total_cmp(&a.score()).then_with(|| a.clauses.cmp(&b.clauses)));
        pairs.truncate(DEEPENED);
        let mut work = 0;
        let mut rows = Vec::new();
        for pair in pairs {
            self.rows_of(&pair.clauses, alive, postings, &mut rows);
            work += rows.len() * self.space.views.len();
            if work > DEEP_WORK {
                break;
            }
            self.extend(&pair.clauses, pair.counts, &rows, 0);
        }
        self.merge_doubles();
    }

    /// The rows where all of them hold.
    fn rows_of(&self, clauses: &[Clause], alive: &[u32], postings: &[Postings], rows: &mut Vec<u32>) {
        let own = |one: &Clause| postings[one.view as usize].of(one.bin);
        let values = clauses.iter().filter(|one| one.test == Test::In);
        let fewest = values.min_by_key(|one| own(one).len());
        let among = fewest.map_or(alive, own);
        let rest = |one: &&Clause| Some(*one) != fewest;
        let holds = |row: &&u32| {
            clauses.iter().filter(rest).all(|one| self.space.views[one.view as usize].holds(*one, **row as usize))
        };
        rows.clear();
        rows.extend(among.iter().filter(holds));
    }

    /// One more condition on a region.
    fn extend(&mut self, base: &[Clause], region: Counts, rows: &[u32], from: usize) {
        let price: f64 = base.iter().map(|clause| self.price(*clause)).sum();
        // Least failures that are worth a price that is at least this.
        let mut least_bad = 1.0;
        while least_bad < region.bad && !self.could(least_bad, price) {
            least_bad *= 1.25;
        }
        let least_bad = least_bad / 1.25;
        let mut fresh: Vec<(Clause, Counts)> = Vec::new();
        for (number, view) in self.space.views.iter().enumerate().skip(from) {
            if !fits(base, number, view, self.space.views) {
                continue;
            }
            self.scratch.tally(view, rows, self.space.counts);
            self.scratch.each(number, view, region, |clause, counts| {
                let worth = counts.bad >= least_bad && is_higher(counts, region);
                if worth && is_new(base, clause) {
                    fresh.push((clause, counts));
                }
            });
        }
        for (clause, counts) in fresh {
            let step = self.price(clause);
            let worth = gain(counts, self.whole);
            // Not better than what it was made of, or than what was added: not a conjunction of both.
            if worth <= price + step || gain(counts, region) <= step {
                continue;
            }
            if base.len() == 1 {
                let other = self.single(clause);
                let is_better = is_higher(counts, other) && gain(counts, other) > self.price(base[0]);
                if !is_better {
                    continue;
                }
            }
            let mut clauses: Clauses = base.iter().copied().chain([clause]).collect();
            clauses.sort_unstable();
            self.found.push(Found { clauses, counts, gain: worth, price: price + step });
        }
    }

    fn merge_doubles(&mut self) {
        let mut seen: HashSet<Clauses, FixedState> = HashSet::with_hasher(FixedState::with_seed(1));
        self.found.retain(|one| seen.insert(one.clauses.clone()));
    }

    fn best(mut self) -> Vec<Found> {
        let order = |a: &Found, b: &Found| b.score().total_cmp(&a.score()).then_with(|| a.clauses.cmp(&b.clauses));
        self.found.sort_by(order);
        let mut singles = 0;
        let mut shapes: HashMap<Clauses, usize, FixedState> = HashMap::with_hasher(FixedState::with_seed(4));
        let mut kept = Vec::new();
        for one in self.found {
            let alike = shapes.entry(shape(&one.clauses)).or_default();
            if *alike >= KEPT_ALIKE {
                continue;
            }
            let is_single = one.clauses.len() == 1;
            if kept.len() < KEPT || (is_single && singles < KEPT_SINGLES) {
                *alike += 1;
                singles += usize::from(is_single);
                kept.push(one);
            }
        }
        kept
    }
}

/// The same for all that differ only by where numbers are cut.
fn shape(clauses: &Clauses) -> Clauses {
    let is_cut = |one: &Clause| matches!(one.test, Test::UpTo | Test::Above);
    clauses.iter().map(|one| if is_cut(one) { Clause { bin: 0, ..*one } } else { *one }).collect()
}

const ANY: Clause = Clause { view: 0, test: Test::In, bin: 1 };

/// Whether a view can be added: another column, or the other side of a number.
fn fits(base: &[Clause], number: usize, view: &View, views: &[View]) -> bool {
    let mut same = base.iter().filter(|clause| views[clause.view as usize].column == view.column);
    match (same.next(), same.next()) {
        (None, _) => true,
        (Some(one), None) => view.is_cuts() && one.view as usize == number && one.test != Test::In,
        _ => false,
    }
}

fn is_new(base: &[Clause], clause: Clause) -> bool {
    base.iter().filter(|one| one.view == clause.view).all(|one| match (one.test, clause.test) {
        (Test::UpTo, Test::Above) => clause.bin < one.bin,
        (Test::Above, Test::UpTo) => one.bin < clause.bin,
        _ => false,
    })
}

/// The rows of each bin.
struct Postings {
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl Postings {
    fn new(view: &View, alive: &[u32]) -> Postings {
        let mut starts = vec![0_u32; view.count + 1];
        let each = |tell: &mut dyn FnMut(u32, u32)| match &view.several {
            None => alive.iter().for_each(|row| tell(view.bins[*row as usize], *row)),
            Some((from, bins)) => {
                for row in alive {
                    let own = from[*row as usize] as usize..from[*row as usize + 1] as usize;
                    bins[own].iter().for_each(|bin| tell(*bin, *row));
                }
            }
        };
        each(&mut |bin, _| starts[bin as usize + 1] += 1);
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; starts.last().copied().unwrap_or(0) as usize];
        each(&mut |bin, row| {
            let place = &mut next[bin as usize];
            rows[*place as usize] = row;
            *place += 1;
        });
        Postings { starts, rows }
    }

    fn of(&self, bin: u32) -> &[u32] {
        &self.rows[self.starts[bin as usize] as usize..self.starts[bin as usize + 1] as usize]
    }
}
