//! The choice of the set: few conjunctions that together explain most, each worth its price.

use super::bits::Bits;
use super::cells::Cells;
use super::likelihood::{Counts, gain, is_higher, likelihood};
use super::search::{Clauses, Found};
use super::view::{Clause, Test, View};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// A conjunction with the rows that it covers.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) found: Found,
    pub(super) bits: Bits,
    /// Its rows.
    rows: Vec<u32>,
    /// How many times the odds of failure must be those of what it lies in.
    pub(super) least_odds: f64,
}

impl Member {
    pub(super) fn new(found: Found, bits: Bits) -> Member {
        let rows = bits.rows();
        Member { found, bits, rows, least_odds: 1.0 }
    }

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
    /// The failing rows, where each row is one attempt: then rows are counted many at once.
    failing: Option<Bits>,
    columns: usize,
    /// What an explanation must be worth beyond its price.
    least: f64,
    /// How many times the odds of failure must be those of what it lies in, of each.
    least_odds: f64,
    /// Explanations at most: fewer than the bits of a row's mark.
    most: usize,
}

/// The rows of single conditions, so that each is looked up once.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<Clause, Bits, FixedState>);

impl Known {
    fn bits(&mut self, clauses: &Clauses, views: &[View]) -> Bits {
        let mut all: Option<Bits> = None;
        for clause in clauses {
            let own = self.0.entry(*clause).or_insert_with(|| views[clause.view as usize].bits(*clause));
            match &mut all {
                Some(all) => all.and(own),
                None => all = Some(own.clone()),
            }
        }
        all.unwrap_or_else(|| Bits::none(0))
    }
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
        let is_single = |count: &Counts| count.size == 1.0 && (count.bad == 0.0 || count.bad == 1.0);
        let failing = counts.iter().all(is_single).then(|| Bits::of(counts.len(), |row| counts[row].bad > 0.0));
        Ground { views, counts, whole, failing, columns, least, least_odds, most: most.min(MOST) }
    }

    pub(super) fn whole(&self) -> Counts {
        self.whole
    }

    pub(super) fn sum(&self, bits: &Bits) -> Counts {
        bits.rows().iter().fold(Counts::default(), |sum, row| sum.plus(self.counts[*row as usize]))
    }

    /// The members of a pool, without those of which a condition could be left out.
    pub(super) fn members(&self, found: Vec<Found>, known: &mut Known) -> Vec<Member> {
        let mut members = Vec::new();
        for found in found {
            if self.is_minimal(&found, known) {
                let bits = known.bits(&found.clauses, self.views);
                members.push(Member::new(found, bits));
            }
        }
        members
    }

    fn is_minimal(&self, found: &Found, known: &mut Known) -> bool {
        // Of pairs the search has seen to it.
        if found.clauses.len() < 3 {
            return true;
        }
        (0..found.clauses.len()).all(|left_out| {
            let mut fewer = found.clauses.clone();
            let clause = fewer.remove(left_out);
            let step = self.views[clause.view as usize].price(clause, self.columns);
            let wider = self.sum(&known.bits(&fewer, self.views));
            is_higher(found.counts, wider) && gain(found.counts, wider) > step
        })
    }

    fn marked(&self, pool: &[Member], set: &[usize]) -> Marked {
        let mut marks = vec![0_u8; self.counts.len()];
        let mut sums = vec![Counts::default(); 1 << set.len()];
        sums[0] = self.whole;
        for (at, place) in set.iter().enumerate() {
            for row in &pool[*place].rows {
                let (mark, counts) = (&mut marks[*row as usize], self.counts[*row as usize]);
                sums[usize::from(*mark)] = sums[usize::from(*mark)].minus(counts);
                *mark |= 1 << at;
                sums[usize::from(*mark)] = sums[usize::from(*mark)].plus(counts);
            }
        }
        let price = set.iter().map(|place| pool[*place].found.price + self.least).sum();
        let rows = match &self.failing {
            None => Vec::new(),
            Some(_) => {
                let is_there = |mark: &usize| sums[*mark].size > 0.0;
                let of = |mark: usize| (mark, Bits::of(marks.len(), |row| usize::from(marks[row]) == mark));
                (0..sums.len()).filter(is_there).map(of).collect()
            }
        };
        Marked { marks, cells: Cells { members: set.len(), sums }, rows, price }
    }

    /// What a set and one more are worth; nothing where one of them does not stand out from what it lies in.
    fn score_with(&self, pool: &[Member], marked: &Marked, set: &[usize], place: usize) -> Option<f64> {
        if set.iter().any(|own| self.says_the_same(&pool[*own].found.clauses, &pool[place].found.clauses)) {
            return None;
        }
        let bit = 1 << set.len();
        let mut cells = Cells { members: set.len() + 1, sums: marked.cells.sums.clone() };
        cells.sums.resize(2 * bit, Counts::default());
        match &self.failing {
            Some(failing) => {
                for (mark, rows) in &marked.rows {
                    let (bad, size) = pool[place].bits.count_common(rows, failing);
                    cells.sums[mark | bit] = Counts::new(f64::from(bad), f64::from(size));
                }
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
