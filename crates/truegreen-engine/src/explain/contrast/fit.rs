//! From rows to the set that explains them: search, choice, and again what the first choice left in the background.

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use truegreen_model::contrast::Op;

use super::Options;
use super::before::Usual;
use super::bits::Bits;
use super::cut;
use super::dispersion::{Row, Spread};
use super::kin;
use super::known::Known;
use super::likelihood::{Counts, gain};
use super::postings::Postings;
use super::sample;
use super::screen::Considered;
use super::search::{Clauses, Found, Space, search};
use super::selection::{BETTER, Ground, Member, Set};
use super::table::Table;
use super::view::{self, Exact, Value, View};

/// An explanation is taken where chance would bring one like it in one table of a hundred: the logarithm of that.
pub(super) const LEAST: f64 = 4.605_170_185_988_091;
/// The odds of failure must be twice those around it: more of its failures are then due to it than would be there without.
const LEAST_ODDS: f64 = 2.0;
/// Where nothing is that strong, something weaker is said rather than nothing.
const WEAK_ODDS: f64 = 1.5;
/// And only what accounts for such a share of the failures beyond what would be there without it.
const WEIGHT: f64 = 0.1;
/// Rounds of searches in what the set so far leaves over.
const SEARCHES: usize = 4;
/// Passes over rows that stand for many attempts: how much they differ by themselves is known only once they are explained.
const PASSES: usize = 4;
/// Explanations of the first pass, whose counts are taken for more than they are.
const FIRST_MOST: usize = 3;
/// How often cuts through numbers are looked for again around those that explained most.
const SHARPENED: usize = 2;
/// Sets that are begun with "anything but this".
const OPPOSITES: usize = 2;
/// Runners-up that are handed on, before those that say the same are left out.
const RUNNERS_UP: usize = 60;

/// One explanation on a table's own values.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) conditions: Vec<Exact>,
    /// The logarithm of how many like it could have been tried.
    pub(super) price: f64,
}

impl Part {
    /// Whether all of its conditions but cuts are those of another, or hold wherever those do.
    fn is_coarser(&self, other: &Part) -> bool {
        let is_cut = |one: &Exact| matches!(one.value, Value::Number(_));
        let is_present = |one: &Exact| {
            one.op == Op::Present && other.conditions.iter().any(|of| of.column == one.column && of.op != Op::Absent)
        };
        self.conditions.iter().all(|one| is_cut(one) || is_present(one) || other.conditions.contains(one))
    }
}

/// A part that would do instead of another.
#[derive(Clone, Debug)]
pub(super) struct RunnerUp {
    pub(super) part: Part,
    pub(super) instead_of: Option<usize>,
    /// It covers the same of the rows that were searched.
    pub(super) is_same: bool,
}

/// The set, and what nearly was in it.
#[derive(Debug, Default)]
pub(super) struct Fit {
    pub(super) parts: Vec<Part>,
    pub(super) runners_up: Vec<RunnerUp>,
    /// By what rows differ by themselves.
    pub(super) spread: Spread,
}

/// What rows are fitted by.
pub(super) struct Problem<'a> {
    pub(super) table: &'a Table,
    pub(super) considered: &'a [Considered],
    /// What was usual, where that is known.
    pub(super) usual: Option<&'a Usual>,
    pub(super) options: &'a Options,
}

impl Problem<'_> {
    /// What a row of the table counted: instead of its own usual failures it has those that all have on average, so that
    /// what remains different is what went wrong.
    pub(super) fn row(&self, row: usize) -> Row {
        let attempts = self.table.attempts[row] as f64;
        let bad = self.table.bad[row] as f64;
        let Some(usual) = self.usual else { return Row { bad, attempts, noise: 1.0 } };
        // What fails often anyway is known less well by as many attempts.
        let variance = |rate: f64| (rate * (1.0 - rate)).max(0.0);
        let noise =
            variance(usual.expected[row] / attempts.max(1.0)) / variance(usual.on_average).max(f64::MIN_POSITIVE);
        let bad = bad + attempts * usual.on_average - usual.expected[row];
        Row { bad, attempts, noise: if noise.is_finite() { noise.max(1.0) } else { 1.0 } }
    }

    /// The set for these rows.
    pub(super) fn fit(&self, of: impl Fn(usize) -> bool) -> Fit {
        let rows = sample::rows(self.table, self.considered.len(), self.usual.is_none(), of);
        let mut sharp = Sharp::default();
        let mut fit = self.fit_with(&rows, &sharp);
        for _ in 0..SHARPENED {
            if !sharp.learn(&fit.parts) {
                break;
            }
            fit = self.fit_with(&rows, &sharp);
        }
        fit
    }

    /// The same, with cuts at places that are known to be good.
    fn fit_with(&self, rows: &[u32], sharp: &Sharp) -> Fit {
        let own: Vec<Row> = rows.iter().map(|row| self.row(*row as usize)).collect();
        let plain: Vec<Counts> = own.iter().map(|row| row.effective(0.0)).collect();
        let views = view::views(self.table, self.considered, rows, &plain, sharp);
        if views.is_empty() {
            return Fit::default();
        }
        if own.iter().all(|row| row.attempts <= 1.0) {
            let chosen = Chosen::new(self, &views, plain, self.options.max_explanations);
            return chosen.told(self, &views, rows, Spread::default());
        }
        let (mut spread, mut places) = (Spread::at_first(&own), vec![None; own.len()]);
        let mut most = FIRST_MOST.min(self.options.max_explanations);
        let mut pass = 0;
        loop {
            let counts = own.iter().zip(&places).map(|(row, place)| row.effective(spread.of(*place))).collect();
            let chosen = Chosen::new(self, &views, counts, most);
            let next = Spread::new(&own, &chosen.places);
            pass += 1;
            if pass > 1 && next.is_near(spread) || pass == PASSES {
                return chosen.told(self, &views, rows, spread);
            }
            (spread, places) = (next, chosen.places);
            most = self.options.max_explanations;
        }
    }
}

/// Cuts through numbers that explained most, by column.
#[derive(Debug, Default)]
pub(super) struct Sharp(Vec<(usize, f64)>);

impl Sharp {
    /// Whether there is one that was not known.
    fn learn(&mut self, parts: &[Part]) -> bool {
        let before = self.0.len();
        for one in parts.iter().flat_map(|part| &part.conditions) {
            if let (Value::Number(cut), false) = (one.value, self.0.iter().any(|known| one.is_cut_at(known))) {
                self.0.push((one.column, cut));
            }
        }
        self.0.len() > before
    }

    pub(super) fn of(&self, column: usize) -> impl Iterator<Item = f64> {
        self.0.iter().filter(move |(of, _)| *of == column).map(|(_, cut)| *cut)
    }
}

/// A set in its pool.
struct Chosen {
    counts: Vec<Counts>,
    pool: Vec<Member>,
    set: Set,
    places: Vec<Option<usize>>,
    least_odds: f64,
}

impl Chosen {
    fn new(problem: &Problem<'_>, views: &[View], counts: Vec<Counts>, most: usize) -> Chosen {
        let columns = problem.considered.len();
        let mut least_odds = LEAST_ODDS;
        let postings: Vec<Postings> = views.iter().map(|view| Postings::new(view, &counts)).collect();
        let ground = Ground::new(views, &counts, columns, LEAST, most, LEAST_ODDS);
        let mut pool = Pool::new(ground, &postings, columns, problem.options.max_conditions);
        let mut set = pool.choose(problem.options.opposites);
        let mut places = pool.ground.places(&pool.members, &set.members);
        // By what values differ is seen once the causes are out of the way.
        if pool.demand(&kin::differences(views, &counts, &places), &set) {
            set = pool.choose(problem.options.opposites);
        }
        if set.members.is_empty() {
            least_odds = WEAK_ODDS;
            pool.ground = Ground::new(views, &counts, columns, LEAST, most, WEAK_ODDS);
            set = pool.best_of_weight();
        }
        // The weightiest first.
        let members = &pool.members;
        set.members.sort_by(|a, b| members[*b].found.gain.total_cmp(&members[*a].found.gain).then(a.cmp(b)));
        places = pool.ground.places(members, &set.members);
        let pool = pool.members;
        Chosen { counts, pool, set, places, least_odds }
    }

    fn told(self, problem: &Problem<'_>, views: &[View], rows: &[u32], spread: Spread) -> Fit {
        let most = problem.options.max_explanations;
        let ground = Ground::new(views, &self.counts, problem.considered.len(), LEAST, most, self.least_odds);
        let exact = |clauses: &Clauses| -> Vec<Exact> {
            let mut exact: Vec<Exact> =
                clauses.iter().map(|clause| views[clause.view as usize].exact(*clause)).collect();
            exact.sort_by_key(|one| (one.column, one.op));
            exact
        };
        let part = |place: usize| {
            let found = &self.pool[place].found;
            Part { conditions: exact(&found.clauses), price: found.price }
        };
        let mut parts: Vec<Part> = self.set.members.iter().map(|place| part(*place)).collect();
        let coarser: Vec<Vec<usize>> =
            parts.iter().map(|one| (0..parts.len()).filter(|at| one.is_coarser(&parts[*at])).collect()).collect();
        for (at, one) in parts.iter_mut().enumerate() {
            // What is coarser takes what a cut that is not in its place leaves.
            let is_coarser = |place: usize| coarser[place].contains(&at);
            let own = |row: usize| self.places[row].is_none_or(|place| place == at || is_coarser(place));
            for _ in 0..SHARPENED {
                cut::sharpen(problem, &mut one.conditions, rows, &self.counts, own);
            }
        }
        let runners_up = runners_up(&ground, &self.pool, &self.set);
        let runners_up = runners_up
            .into_iter()
            .filter(|(place, ..)| problem.options.opposites || !self.pool[*place].is_opposite())
            .map(|(place, instead_of, is_same)| RunnerUp { part: part(place), instead_of, is_same })
            .collect();
        Fit { parts, runners_up, spread }
    }
}

/// Conjunctions to choose from.
struct Pool<'a> {
    ground: Ground<'a>,
    postings: &'a [Postings],
    members: Vec<Member>,
    /// What is in the pool.
    clauses: HashSet<Clauses, FixedState>,
    /// Sets that were left out of a search.
    searched: HashSet<Vec<usize>, FixedState>,
    known: Known<'a>,
    columns: usize,
    max_conditions: usize,
    differences: Vec<f64>,
}

impl<'a> Pool<'a> {
    /// Found in all rows.
    fn new(ground: Ground<'a>, postings: &'a [Postings], columns: usize, max_conditions: usize) -> Pool<'a> {
        let differences = vec![0.0; ground.views.len()];
        let known = Known::new(ground.views, postings, ground.counts.len());
        let mut pool = Pool {
            ground,
            postings,
            members: Vec::new(),
            clauses: HashSet::with_hasher(FixedState::with_seed(7)),
            searched: HashSet::with_hasher(FixedState::with_seed(8)),
            known,
            columns,
            max_conditions,
            differences,
        };
        pool.look(&[]);
        pool
    }

    /// Looks for more where these do not hold. Whether there is any.
    fn look(&mut self, without: &[usize]) -> bool {
        if !self.searched.insert(without.to_vec()) {
            return false;
        }
        let mut left = self.ground.counts.to_vec();
        let nobody = Bits::none(left.len());
        for place in without {
            self.members[*place].bits.each_without(&nobody, |row| left[row] = Counts::default());
        }
        let (views, postings, columns) = (self.ground.views, self.postings, self.columns);
        let in_left = Ground::new(views, &left, columns, LEAST, 1, LEAST_ODDS);
        let (single, max_conditions) = (in_left.single.as_ref(), self.max_conditions);
        let space = Space { views, postings, single, counts: &left, columns, max_conditions };
        let found = search(&space, &mut self.known, LEAST);
        let known = self.members.len();
        for member in in_left.members(found, &mut self.known) {
            let is_worth = without.is_empty() || member.found.score() > LEAST;
            if is_worth && self.clauses.insert(member.found.clauses.clone()) {
                let counts = self.ground.sum(&member.bits);
                let found = Found { counts, gain: gain(counts, self.ground.whole()), ..member.found };
                let least_odds = kin::least_odds(&found.clauses, views, &self.differences);
                let mut member = self.ground.member(found, member.bits);
                member.least_odds = least_odds;
                self.members.push(member);
            }
        }
        self.members.len() > known
    }

    /// The best set. Where something coarse stands for several causes, those are hidden by it: so more is looked for in
    /// what each of the set leaves by itself, and in what all leave.
    fn choose(&mut self, with_opposites: bool) -> Set {
        let mut set = self.best_of_values();
        for round in 0..SEARCHES {
            let mut fresh = self.look(&set.members);
            if set.members.len() > 1 {
                for at in 0..set.members.len() {
                    let mut others = set.members.clone();
                    others.remove(at);
                    fresh |= self.look(&others);
                }
            }
            if !fresh {
                break;
            }
            let mut better = self.ground.improved(&self.members, |member| !member.is_opposite(), &set);
            if round == 0 && set.members.len() > 1 {
                let anew = self.best_of_values();
                better = if anew.score > better.score + BETTER { anew } else { better };
            }
            if better.score <= set.score + BETTER {
                break;
            }
            set = better;
        }
        if !with_opposites {
            return set;
        }
        let with_opposites = self.with_opposites(&set);
        let is_much_better = with_opposites.score > set.score + LEAST.max(WEIGHT * set.score);
        // Or where it is as good, and says in one what takes all other values of something.
        let is_shorter = with_opposites.members.len() < set.members.len() && with_opposites.score > set.score + LEAST;
        if is_much_better || is_shorter { with_opposites } else { set }
    }

    /// The best set with "anything but this" in it: from the set without, and from each of the best of them.
    fn with_opposites(&self, set: &Set) -> Set {
        // One that stands for most of the set explains most of it by itself.
        let is_worth = |one: &Member| one.is_opposite() && one.found.score() > 0.5 * set.score;
        let mut opposites: Vec<usize> =
            (0..self.members.len()).filter(|place| is_worth(&self.members[*place])).collect();
        opposites
            .sort_by(|a, b| self.members[*b].found.score().total_cmp(&self.members[*a].found.score()).then(a.cmp(b)));
        let beginnings = opposites.into_iter().take(OPPOSITES).map(|place| Set { members: vec![place], score: 0.0 });
        let mut best = Set::default();
        for beginning in std::iter::once(set.clone()).chain(beginnings) {
            let grown = self.ground.improved(&self.members, |_| true, &beginning);
            best = if grown.score > best.score + BETTER { grown } else { best };
        }
        best
    }

    /// "Anything but this" is said only where nothing else is as good.
    fn best_of_values(&self) -> Set {
        self.ground.best(&self.members, |member| !member.is_opposite())
    }

    /// One that is weak, but accounts for much.
    fn best_of_weight(&self) -> Set {
        let whole = self.ground.whole();
        self.ground.best(&self.members, |member| {
            let inside = member.found.counts;
            let elsewhere = whole.minus(inside);
            let usual = inside.size * elsewhere.bad / elsewhere.size.max(f64::MIN_POSITIVE);
            !member.is_opposite() && inside.bad - usual >= WEIGHT * whole.bad
        })
    }

    /// From now on what is chosen must stand out from these differences. Whether one of the set does not.
    fn demand(&mut self, differences: &[f64], set: &Set) -> bool {
        self.differences = differences.to_vec();
        for member in &mut self.members {
            member.least_odds = kin::least_odds(&member.found.clauses, self.ground.views, differences);
        }
        !set.members.is_empty() && self.ground.score(&self.members, &set.members).is_none()
    }
}

/// Those that would do best instead of one of the set, or where there is none, that are the best: their place in the pool,
/// what they would stand for, and whether they cover the same rows.
fn runners_up(ground: &Ground<'_>, pool: &[Member], set: &Set) -> Vec<(usize, Option<usize>, bool)> {
    let mut ranked = Vec::new();
    for (place, member) in pool.iter().enumerate().filter(|(place, _)| !set.members.contains(place)) {
        if set.members.is_empty() {
            ranked.push((member.found.score(), place, None, false));
            continue;
        }
        let mut nearest: Option<(f64, usize, Option<usize>, bool)> = None;
        for (at, own) in set.members.iter().enumerate() {
            let is_same = pool[*own].bits == member.bits;
            let mut common = member.bits.clone();
            common.and(&pool[*own].bits);
            let common = ground.sum(&common);
            // Another cause is no runner-up of this one.
            if common.bad * 2.0 < pool[*own].found.counts.bad {
                continue;
            }
            let mut members = set.members.clone();
            members[at] = place;
            // One that is coarser may cover another of the set, or stand out less: it is a runner-up nevertheless.
            let score = ground.score(pool, &members).unwrap_or(member.found.score().min(0.0));
            if nearest.is_none_or(|(best, ..)| score > best) {
                nearest = Some((score, place, Some(at), is_same));
            }
        }
        ranked.extend(nearest);
    }
    ranked.sort_by(|a, b| b.3.cmp(&a.3).then(b.0.total_cmp(&a.0)).then(a.1.cmp(&b.1)));
    ranked.truncate(RUNNERS_UP);
    ranked.into_iter().map(|(_, place, at, is_same)| (place, at, is_same)).collect()
}
