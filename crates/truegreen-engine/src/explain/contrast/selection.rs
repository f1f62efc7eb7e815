//! The choice of the set: few conjunctions that together explain most, each worth its price.

use super::bits::Bits;
use super::cells::Cells;
use super::known::{Known, Single};
use super::likelihood::{Counts, gain, is_higher, likelihood};
use super::search::{Clauses, FURTHER, Found};
use super::view::{Test, View};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// A conjunction with the rows that it covers.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) found: Found,
    pub(super) bits: Bits,
    /// Its rows, where they are counted one by one.
    rows: Vec<u32>,
    /// How many times the odds of failure must be those of what it lies in.
    pub(super) least_odds: f64,
}

impl Member {
    /// Whether it is any value but one.
    pub(super) fn is_opposite(&self) -> bool {
        self.found.clauses.iter().any(|one| one.test == Test::NotIn && one.bin != 0)
    }

    fn rate(&self) -> f64 {
        self.found.counts.bad / self.found.counts.size.max(f64::MIN_POSITIVE)
    }
}

/// The rows that sets are held against.
pub(super) struct Ground<'a> {
    pub(super) views: &'a [View],
    pub(super) counts: &'a [Counts],
    whole: Counts,
    /// Where each row is one attempt, or does not count: then rows are counted many at once.
    pub(super) single: Option<Single>,
    columns: usize,
    /// What an explanation must be worth beyond its price.
    least: f64,
    /// How many times the odds of failure must be those of what it lies in, of each.
    least_odds: f64,
    /// Explanations at most: fewer than the bits of a row's mark.
    most: usize,
}

/// A set, by the places of its members in the pool, and what it is worth.
#[derive(Clone, Debug, Default)]
pub(super) struct Set {
    pub(super) members: Vec<usize>,
    pub(super) score: f64,
}

/// For each row which of a set it satisfies, and the sums of that.
struct Marked {
    marks: Vec<u8>,
    cells: Cells,
    /// The rows of each mark that there is, where rows are counted many at once.
    rows: Vec<(usize, Bits)>,
    price: f64,
}

impl Marked {
    /// Row by row.
    fn mark(&mut self, ground: &Ground<'_>, pool: &[Member], set: &[usize]) {
        self.marks = vec![0; ground.counts.len()];
        self.cells.sums[0] = ground.whole;
        let sums = &mut self.cells.sums;
        for (at, place) in set.iter().enumerate() {
            for row in &pool[*place].rows {
                let (mark, counts) = (&mut self.marks[*row as usize], ground.counts[*row as usize]);
                sums[usize::from(*mark)] = sums[usize::from(*mark)].minus(counts);
                *mark |= 1 << at;
                sums[usize::from(*mark)] = sums[usize::from(*mark)].plus(counts);
            }
        }
    }

    /// All rows of a mark at once: each of the set parts those before it.
    fn part(&mut self, single: &Single, pool: &[Member], set: &[usize]) {
        self.rows.push((0, single.alive.clone()));
        for (at, place) in set.iter().enumerate() {
            for n in 0..self.rows.len() {
                let (mark, rows) = &mut self.rows[n];
                let inside = rows.parted(&pool[*place].bits);
                let mark = *mark | 1 << at;
                if !inside.is_empty() {
                    self.rows.push((mark, inside));
                }
            }
        }
        self.rows.retain(|(_, rows)| !rows.is_empty());
        for (mark, rows) in &self.rows {
            let (bad, size) = rows.count_common(rows, &single.failing);
            self.cells.sums[*mark] = Counts::new(f64::from(bad), f64::from(size));
        }
    }
}

/// More explanations would be no explanation: a row's mark has a bit for each.
pub(super) const MOST: usize = 7;
/// Sets that are grown from different beginnings.
const BEGINNINGS: usize = 8;
/// Of which so many are improved.
const IMPROVED: usize = 2;
/// Rounds of exchanges: each makes the set better, or is the last.
const ROUNDS: usize = 12;
/// What is better by less is not.
pub(super) const BETTER: f64 = 1e-9;

impl<'a> Ground<'a> {
    pub(super) fn new(
        views: &'a [View],
        counts: &'a [Counts],
        columns: usize,
        least: f64,
        most: usize,
        least_odds: f64,
    ) -> Ground<'a> {
        let whole = counts.iter().fold(Counts::default(), |sum, count| sum.plus(*count));
        let single = Single::of(counts);
        Ground { views, counts, whole, single, columns, least, least_odds, most: most.min(MOST) }
    }

    pub(super) fn whole(&self) -> Counts {
        self.whole
    }

    pub(super) fn sum(&self, bits: &Bits) -> Counts {
        if let Some(Single { failing, alive }) = &self.single {
            let (bad, size) = bits.count_common(alive, failing);
            return Counts::new(f64::from(bad), f64::from(size));
        }
        bits.rows().iter().fold(Counts::default(), |sum, row| sum.plus(self.counts[*row as usize]))
    }

    /// The members of a pool, without those of which a condition could be left out.
    pub(super) fn members(&self, found: Vec<Found>, known: &mut Known<'_>) -> Vec<Member> {
        let mut members = Vec::new();
        for found in found {
            if self.is_minimal(&found, known) {
                let bits = known.bits(&found.clauses);
                members.push(self.member(found, bits));
            }
        }
        members
    }

    /// One with its rows.
    pub(super) fn member(&self, found: Found, bits: Bits) -> Member {
        let rows = if self.single.is_some() { Vec::new() } else { bits.rows() };
        Member { found, bits, rows, least_odds: 1.0 }
    }

    fn is_minimal(&self, found: &Found, known: &mut Known<'_>) -> bool {
        // Of pairs the search has seen to it.
        if found.clauses.len() < 3 {
            return true;
        }
        (0..found.clauses.len()).all(|left_out| {
            let mut fewer = found.clauses.clone();
            let clause = fewer.remove(left_out);
            let step = self.views[clause.view as usize].price(clause, self.columns) + FURTHER;
            let wider = self.sum(&known.bits(&fewer));
            is_higher(found.counts, wider) && gain(found.counts, wider) > step
        })
    }

    fn marked(&self, pool: &[Member], set: &[usize]) -> Marked {
        let price = set.iter().map(|place| pool[*place].found.price + self.least).sum();
        let mut marked = Marked { marks: Vec::new(), rows: Vec::new(), cells: Cells::of(set.len()), price };
        match &self.single {
            Some(single) => marked.part(single, pool, set),
            None => marked.mark(self, pool, set),
        }
        marked
    }

    /// What a set and one more are worth; nothing where one of them does not stand out from what it lies in.
    fn score_with(&self, pool: &[Member], marked: &Marked, set: &[usize], place: usize) -> Option<f64> {
        if set.iter().any(|own| self.says_the_same(&pool[*own].found.clauses, &pool[place].found.clauses)) {
            return None;
        }
        let bit = 1 << set.len();
        let mut cells = Cells { members: set.len() + 1, sums: marked.cells.sums.clone() };
        cells.sums.resize(2 * bit, Counts::default());
        match &self.single {
            Some(Single { failing, .. }) => {
                // What is nowhere else lies in the background.
                let mut rest = pool[place].found.counts;
                for (mark, rows) in marked.rows.iter().filter(|(mark, _)| *mark != 0) {
                    let (bad, size) = pool[place].bits.count_common(rows, failing);
                    let common = Counts::new(f64::from(bad), f64::from(size));
                    cells.sums[mark | bit] = common;
                    rest = rest.minus(common);
                }
                cells.sums[bit] = rest;
            }
            None => {
                for row in &pool[place].rows {
                    let (mark, counts) = (usize::from(marked.marks[*row as usize]), self.counts[*row as usize]);
                    let sum = &mut cells.sums[mark | bit];
                    (sum.bad, sum.size) = (sum.bad + counts.bad, sum.size + counts.size);
                }
            }
        }
        for mark in 0..bit {
            cells.sums[mark] = cells.sums[mark].minus(cells.sums[mark | bit]);
        }
        let least_odds = |member: usize| {
            let place = set.get(member).copied().unwrap_or(place);
            self.least_odds.max(pool[place].least_odds)
        };
        let explained = cells.explain(least_odds)?;
        Some(explained - likelihood(self.whole) - marked.price - pool[place].found.price - self.least)
    }

    /// The same but for where numbers are cut: two cuts side by side are one that was not found.
    fn says_the_same(&self, one: &Clauses, other: &Clauses) -> bool {
        let is_cut = |test: Test| matches!(test, Test::UpTo | Test::Above);
        one.len() == other.len()
            && one.iter().zip(other).all(|(one, other)| {
                one.view == other.view && one.test == other.test && (is_cut(one.test) || one.bin == other.bin)
            })
    }

    pub(super) fn score(&self, pool: &[Member], set: &[usize]) -> Option<f64> {
        match set {
            [] => Some(0.0),
            [others @ .., last] => self.score_with(pool, &self.marked(pool, others), others, *last),
        }
    }

    /// The best set of those of a pool that may be in it.
    pub(super) fn best(&self, pool: &[Member], may: impl Fn(&Member) -> bool) -> Set {
        let mut choice = Choice::new(self, pool, may);
        let mut sets: Vec<Set> = Vec::new();
        for beginning in beginnings(pool, &choice.allowed) {
            let set = choice.grown(vec![beginning]);
            if set.score > 0.0 && !sets.iter().any(|other| other.members == set.members) {
                sets.push(set);
            }
        }
        sets.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.members.cmp(&b.members)));
        sets.truncate(IMPROVED);
        let mut best = Set::default();
        for set in sets {
            let set = choice.exchanged(set);
            if set.score > best.score + BETTER {
                best = set;
            }
        }
        best
    }

    /// A set made better by others of a pool.
    pub(super) fn improved(&self, pool: &[Member], may: impl Fn(&Member) -> bool, set: &Set) -> Set {
        let mut choice = Choice::new(self, pool, may);
        let set = choice.grown(set.members.clone());
        choice.exchanged(set)
    }

    /// Which of a set each row is told of: the one of the highest rate of those that hold; none for the background.
    pub(super) fn places(&self, pool: &[Member], set: &[usize]) -> Vec<Option<usize>> {
        let mut order: Vec<usize> = (0..set.len()).collect();
        order.sort_by(|a, b| pool[set[*b]].rate().total_cmp(&pool[set[*a]].rate()).then(set[*a].cmp(&set[*b])));
        let find = |row: usize| order.iter().copied().find(|at| pool[set[*at]].bits.has(row));
        (0..self.counts.len()).map(find).collect()
    }
}

/// Sets of one pool that are tried; what is best to add to each is looked up once.
struct Choice<'a> {
    ground: &'a Ground<'a>,
    pool: &'a [Member],
    allowed: Vec<usize>,
    additions: HashMap<Vec<usize>, Option<(f64, usize)>, FixedState>,
}

impl<'a> Choice<'a> {
    fn new(ground: &'a Ground<'a>, pool: &'a [Member], may: impl Fn(&Member) -> bool) -> Choice<'a> {
        let allowed = (0..pool.len()).filter(|place| may(&pool[*place])).collect();
        Choice { ground, pool, allowed, additions: HashMap::with_hasher(FixedState::with_seed(5)) }
    }

    fn grown(&mut self, mut members: Vec<usize>) -> Set {
        members.sort_unstable();
        let score = self.ground.score(self.pool, &members).unwrap_or(f64::NEG_INFINITY);
        let mut set = Set { members, score };
        while set.members.len() < self.ground.most {
            let Some((score, place)) = self.best_addition(&set.members) else { break };
            if score <= set.score + BETTER {
                break;
            }
            set.members.push(place);
            set.members.sort_unstable();
            set.score = score;
        }
        set
    }

    /// Of a set in order.
    fn best_addition(&mut self, set: &[usize]) -> Option<(f64, usize)> {
        if let Some(known) = self.additions.get(set) {
            return *known;
        }
        let marked = self.ground.marked(self.pool, set);
        let mut best: Option<(f64, usize)> = None;
        for place in self.allowed.iter().copied().filter(|place| !set.contains(place)) {
            if let Some(score) = self.ground.score_with(self.pool, &marked, set, place)
                && best.is_none_or(|(most, _)| score > most + BETTER)
            {
                best = Some((score, place));
            }
        }
        self.additions.insert(set.to_vec(), best);
        best
    }

    /// One left out, or exchanged for another, as long as that is better.
    fn exchanged(&mut self, mut set: Set) -> Set {
        for _ in 0..ROUNDS {
            let mut best = set.clone();
            for at in 0..set.members.len() {
                let mut fewer = set.members.clone();
                fewer.remove(at);
                let without = self.ground.score(self.pool, &fewer);
                if let Some(score) = without.filter(|score| *score > best.score + BETTER) {
                    best = Set { members: fewer.clone(), score };
                }
                if let Some((score, place)) = self.best_addition(&fewer)
                    && score > best.score + BETTER
                {
                    fewer.push(place);
                    best = Set { members: fewer, score };
                }
            }
            if best.score <= set.score + BETTER {
                break;
            }
            set = self.grown(best.members);
        }
        set
    }
}

/// The best of the pool, and the best of each number of conditions: what explains most by itself may be a coarser view
/// of several finer causes.
fn beginnings(pool: &[Member], allowed: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = allowed.to_vec();
    order.sort_by(|a, b| pool[*b].found.score().total_cmp(&pool[*a].found.score()).then(a.cmp(b)));
    let mut beginnings: Vec<usize> = order.iter().copied().take(BEGINNINGS / 2).collect();
    for conditions in 1..=3 {
        let of_it = order.iter().copied().filter(|place| pool[*place].found.clauses.len() == conditions);
        for place in of_it.take(BEGINNINGS / 3) {
            if !beginnings.contains(&place) {
                beginnings.push(place);
            }
        }
    }
    beginnings
}
