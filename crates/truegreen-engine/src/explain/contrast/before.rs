//! What was to be expected of each row, by the time before: the usual troubles, found as any others are, and where rows
//! stand for many attempts, how each combination went by itself.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::evidence::{Evidence, is_before};
use super::fit::Problem;
use super::screen::is_aggregated;
use super::table::Table;

/// Failures that are added to a group of rows, and as many attempts, so that nothing is expected never to fail.
const HALF: f64 = 0.5;

/// What was usual.
#[derive(Debug)]
pub(super) struct Usual {
    /// For each row of the table the failures that were to be expected of its attempts.
    pub(super) expected: Vec<f64>,
    /// Failures to be expected of an attempt of the time that is explained.
    pub(super) on_average: f64,
}

impl Usual {
    pub(super) fn of(problem: &Problem<'_>) -> Usual {
        let expected = expected(problem);
        let table = problem.table;
        let during = (0..table.rows()).filter(|row| !is_before(table, *row));
        let (failures, attempts) = during.fold((0.0, 0.0), |(failures, attempts), row| {
            (failures + expected[row], attempts + table.attempts[row] as f64)
        });
        Usual { expected, on_average: if attempts > 0.0 { failures / attempts } else { 0.0 } }
    }
}

fn expected(problem: &Problem<'_>) -> Vec<f64> {
    let table = problem.table;
    let fit = problem.fit(|row| is_before(table, row));
    let rates = usual_rates(problem, &fit.parts);
    let correlation = if is_aggregated(table) { fit.spread.of(None) } else { 0.0 };
    if correlation <= 0.0 {
        return (0..table.rows()).map(|row| rates[row] * table.attempts[row] as f64).collect();
    }
    // A combination's own rate, drawn to that of its like as far as combinations are alike.
    let weight = (1.0 - correlation) / correlation;
    let mut own: HashMap<u64, (f64, f64), FixedState> = HashMap::with_hasher(FixedState::with_seed(2));
    let keys: Vec<u64> = (0..table.rows()).map(|row| key(problem, row)).collect();
    for row in (0..table.rows()).filter(|row| is_before(table, *row)) {
        let sum = own.entry(keys[row]).or_default();
        *sum = (sum.0 + table.bad[row] as f64, sum.1 + table.attempts[row] as f64);
    }
    let rate = |row: usize| {
        let (bad, attempts) = own.get(&keys[row]).copied().unwrap_or_default();
        (bad + weight * rates[row]) / (attempts + weight)
    };
    (0..table.rows()).map(|row| rate(row) * table.attempts[row] as f64).collect()
}

/// The rate of each row before, by what it belongs to.
fn usual_rates(problem: &Problem<'_>, parts: &[super::fit::Part]) -> Vec<f64> {
    let table = problem.table;
    // Conditions are matched on every row, those of the time before and those after.
    let evidence = Evidence::of_all(problem);
    let mut places = vec![0_usize; table.rows()];
    for (at, part) in parts.iter().enumerate() {
        let bits = evidence.bits(&part.conditions);
        for (row, place) in places.iter_mut().enumerate() {
            if *place == 0 && bits.has(row) {
                *place = at + 1;
            }
        }
    }
    let mut sums = vec![(HALF, 2.0 * HALF); parts.len() + 1];
    for row in (0..table.rows()).filter(|row| is_before(table, *row)) {
        let sum = &mut sums[places[row]];
        *sum = (sum.0 + table.bad[row] as f64, sum.1 + table.attempts[row] as f64);
    }
    places.into_iter().map(|place| sums[place].0 / sums[place].1).collect()
}

fn key(problem: &Problem<'_>, row: usize) -> u64 {
    let mut hasher = FixedState::with_seed(3).build_hasher();
    for one in problem.considered {
        hasher.write_u32(problem.table.columns[one.column].first(row));
    }
    hasher.finish()
}

/// Whether any row is of the time before.
pub(super) fn has_before(table: &Table) -> bool {
    table.before.iter().any(|before| *before)
}
