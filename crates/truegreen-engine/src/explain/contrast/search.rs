//! The search for conjunctions: all single conditions, all pairs that could still be worth their price, and triples of the
//! pairs that are. What cannot be better than its price even if nothing healthy were left in it is not looked at.

use super::bits::Bits;
use super::known::{Known, Single};
use super::likelihood::{Counts, gain, is_higher, likelihood};
use super::postings::{Postings, Side, rows_of};
use super::tally::{Hits, Tally};
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

/// What a further condition costs beyond being one of many: that there is one more has to be said, too.
pub(super) const FURTHER: f64 = 1.0;
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
    pub(super) postings: &'a [Postings],
    /// Where each row is one attempt.
    pub(super) single: Option<&'a Single>,
    /// Of each row; nothing where it does not count any more.
    pub(super) counts: &'a [Counts],
    /// Columns that are looked at.
    pub(super) columns: usize,
    pub(super) max_conditions: usize,
}

/// Everything that is found of rows that count.
pub(super) fn search(space: &Space<'_>, known: &mut Known<'_>, least: f64) -> Vec<Found> {
    let alive: Vec<u32> = (0..space.counts.len() as u32).filter(|row| space.counts[*row as usize].size > 0.0).collect();
    let whole = alive.iter().fold(Counts::default(), |sum, row| sum.plus(space.counts[*row as usize]));
    if whole.bad <= 0.0 {
        return Vec::new();
    }
    let mut search = Search {
        space,
        whole,
        least,
        worth: Worth::new(whole),
        singles: Vec::new(),
        found: Vec::new(),
        tally: Tally::new(space.views),
        known,
        region: Region::default(),
    };
    search.singles(&alive);
    let first = search.found.len();
    if space.max_conditions > 1 {
        search.pairs();
        if space.max_conditions > 2 {
            search.triples(first);
        }
    }
    search.best()
}

/// How many failures are worth how much, if nothing healthy is with them.
struct Worth(Vec<(f64, f64)>);

impl Worth {
    fn new(whole: Counts) -> Worth {
        const STEP: f64 = 1.05;
        let mut steps = Vec::new();
        let mut bad = 0.5;
        while bad < whole.bad {
            steps.push((bad, gain(Counts::new(bad, bad), whole)));
            bad = if bad < 20.0 { bad + 0.5 } else { bad * STEP };
        }
        Worth(steps)
    }

    /// Fewer are not worth it.
    fn least_bad(&self, price: f64) -> f64 {
        let steps = self.0.partition_point(|(_, worth)| *worth <= price);
        steps.checked_sub(1).map_or(0.0, |at| self.0[at].0)
    }
}

/// The rows where some conditions hold. All but those with failures only once they are asked for.
#[derive(Default)]
struct Region {
    failing: Vec<u32>,
    healthy: Option<Vec<u32>>,
    alive: Option<Bits>,
}

struct Search<'a, 'k> {
    space: &'a Space<'a>,
    whole: Counts,
    /// What an explanation must be worth beyond its price.
    least: f64,
    /// All single conditions, by view, so that a pair can be held against its parts.
    singles: Vec<(Clause, Counts)>,
    found: Vec<Found>,
    worth: Worth,
    tally: Tally,
    known: &'a mut Known<'k>,
    region: Region,
}

impl Search<'_, '_> {
    fn price(&self, clause: Clause) -> f64 {
        self.space.views[clause.view as usize].price(clause, self.space.columns)
    }

    /// Whether this many failures could be worth it, if nothing healthy were with them.
    fn could(&self, bad: f64, price: f64) -> bool {
        bad > 0.0 && gain(Counts::new(bad, bad), self.whole) > price + self.least
    }

    fn singles(&mut self, alive: &[u32]) {
        for (number, view) in self.space.views.iter().enumerate() {
            self.tally.of(view, alive, self.space.counts);
            let singles = &mut self.singles;
            self.tally.each(number, view, self.whole, |clause, counts| singles.push((clause, counts)));
            // Only alone: "this, but not there" says less of a cause than the values where it is.
            self.tally.each_opposite(number, view, self.whole, |clause, counts| singles.push((clause, counts)));
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

    fn pairs(&mut self) {
        for (base, counts) in self.bases() {
            // Two values meet from one side only.
            let from = if base.test == Test::In { base.view as usize + 1 } else { 0 };
            self.extend(&[base], counts, from);
        }
        self.merge_doubles();
    }

    fn triples(&mut self, first: usize) {
        let mut pairs: Vec<Found> = self.found[first..].to_vec();
        pairs.sort_by(|a, b| b.score().total_cmp(&a.score()).then_with(|| a.clauses.cmp(&b.clauses)));
        pairs.truncate(DEEPENED);
        let mut work = 0;
        for pair in pairs {
            work += self.extend(&pair.clauses, pair.counts, 0);
            if work > DEEP_WORK {
                break;
            }
        }
        self.merge_doubles();
    }

    /// One more condition on a region. How many rows were counted for it.
    fn extend(&mut self, base: &[Clause], counts: Counts, from: usize) -> usize {
        let Space { views, postings, .. } = *self.space;
        let price = base.iter().map(|clause| self.price(*clause)).sum::<f64>() + FURTHER * (base.len() - 1) as f64;
        let mut region = std::mem::take(&mut self.region);
        (region.healthy, region.alive) = (None, None);
        rows_of(base, Side::Failing, views, postings, &mut region.failing);
        region.failing.retain(|row| self.space.counts[*row as usize].size > 0.0);
        let (mut work, mut hits) = (0, Hits::new());
        let mut fresh: Vec<(Clause, Counts)> = Vec::new();
        for (number, view) in views.iter().enumerate().skip(from) {
            let step = view.price(ANY, self.space.columns).min(view.price(ABSENT, self.space.columns));
            let least_bad = self.worth.least_bad(price + self.least.max(step));
            // Not even what parts failing from healthy ones would be worth it.
            let is_pure = -likelihood(counts) <= step + FURTHER;
            if is_pure || counts.bad < least_bad || !fits(base, number, view, views) {
                continue;
            }
            work += region.failing.len();
            let mut take = |clause: Clause, inside: Counts| {
                if inside.bad >= least_bad && is_higher(inside, counts) && is_new(base, clause) {
                    fresh.push((clause, inside));
                }
            };
            if let (Some(single), false) = (self.space.single, view.is_cuts()) {
                self.tally.hits(view, &region.failing, least_bad, &mut hits);
                let clause = |test, bin| Clause { view: number as u32, test, bin };
                for (bin, bad) in hits.iter().map(|(bin, bad)| (*bin, f64::from(*bad))) {
                    let is_told = if bin == 0 { view.tells_absence && bad >= least_bad } else { !view.is_others(bin) };
                    let is_presence = bin == 0 && view.tells_presence && counts.bad - bad >= least_bad;
                    if is_told || is_presence {
                        let alive = region.alive.get_or_insert_with(|| self.known.alive(base, single));
                        let inside = Counts::new(bad, f64::from(alive.count(self.known.of(clause(Test::In, bin)))));
                        is_told.then(|| take(clause(Test::In, bin), inside));
                        (is_presence && inside.size > 0.0).then(|| take(clause(Test::NotIn, 0), counts.minus(inside)));
                    }
                }
                continue;
            }
            self.tally.of(view, &region.failing, self.space.counts);
            if self.tally.could(view, counts, least_bad) {
                let healthy = region.healthy.get_or_insert_with(|| {
                    let mut rows = Vec::new();
                    rows_of(base, Side::Healthy, views, postings, &mut rows);
                    rows
                });
                self.tally.add(view, healthy, self.space.counts);
                work += healthy.len();
                self.tally.each(number, view, counts, take);
            }
        }
        self.region = region;
        self.take(base, counts, price, fresh);
        work
    }

    /// Of these conditions on a region those that are worth it.
    fn take(&mut self, base: &[Clause], region: Counts, price: f64, fresh: Vec<(Clause, Counts)>) {
        for (clause, counts) in fresh {
            let step = self.price(clause) + FURTHER;
            let worth = gain(counts, self.whole);
            // Not better than what it was made of, or than what was added: not a conjunction of both.
            if worth <= price + step || gain(counts, region) <= step {
                continue;
            }
            if base.len() == 1 {
                let other = self.single(clause);
                let is_better = is_higher(counts, other) && gain(counts, other) > self.price(base[0]) + FURTHER;
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
const ABSENT: Clause = Clause { view: 0, test: Test::In, bin: 0 };

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
