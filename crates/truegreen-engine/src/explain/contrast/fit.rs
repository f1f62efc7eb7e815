//! From rows to the set that explains them: search, choice, and again what the first choice left in the background.

use truegreen_model::contrast::Op;

use super::Options;
use super::before::Usual;
use super::cut;
use super::dispersion::{Row, Spread};
use super::kin;
use super::likelihood::Counts;
use super::pool::Pool;
use super::postings::Postings;
use super::sample;
use super::screen::Considered;
use super::search::Clauses;
use super::selection::{Ground, Member, Set};
use super::table::Table;
use super::view::{self, Exact, Value, View};

/// An explanation is taken where chance would bring one like it in one table of a hundred: the logarithm of that.
pub(super) const LEAST: f64 = 4.605_170_185_988_091;
/// The odds of failure must be twice those around it: more of its failures are then due to it than would be there without.
pub(super) const LEAST_ODDS: f64 = 2.0;
/// Where nothing is that strong, something weaker is said rather than nothing.
const WEAK_ODDS: f64 = 1.5;
/// Passes over rows that stand for many attempts: how much they differ by themselves is known only once they are explained.
const PASSES: usize = 4;
/// Explanations of the first pass, whose counts are taken for more than they are.
const FIRST_MOST: usize = 3;
/// How often cuts through numbers are looked for again around those that explained most.
const SHARPENED: usize = 2;
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
