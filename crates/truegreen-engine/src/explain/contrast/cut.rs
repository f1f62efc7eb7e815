//! The exact place of a cut through numbers: the search only knows some.

use truegreen_model::contrast::Op;

use super::fit::Problem;
use super::likelihood::{Counts, is_higher, likelihood};
use super::view::{Exact, Value};

/// Moves each cut to where it explains most, the other conditions as they are, on the rows that are its own or nobody's.
pub(super) fn sharpen(
    problem: &Problem<'_>,
    conditions: &mut [Exact],
    rows: &[u32],
    counts: &[Counts],
    own: impl Fn(usize) -> bool,
) {
    for at in 0..conditions.len() {
        let Value::Number(_) = conditions[at].value else { continue };
        let place = conditions[at].column;
        let column = &problem.table.columns[place];
        let Some(numbers) = numbers(problem, place) else { continue };
        let truths: Vec<_> = conditions.iter().map(|one| truth(problem, one)).collect();
        let satisfies_rest = |row: u32| {
            let holds = |(n, truth): (usize, &Vec<bool>)| {
                let column = &problem.table.columns[conditions[n].column];
                n == at || any(column, truth, row)
            };
            truths.iter().enumerate().all(holds)
        };
        let mut outside = Counts::default();
        let mut placed: Vec<(f64, Counts)> = Vec::new();
        for (n, row) in rows.iter().enumerate().filter(|(n, _)| own(*n)) {
            let code = column.first(*row as usize) as usize;
            if code > 0 && satisfies_rest(*row) {
                placed.push((numbers[code - 1], counts[n]));
            } else {
                outside = outside.plus(counts[n]);
            }
        }
        if let Some(cut) = best(&mut placed, outside, conditions[at].op) {
            conditions[at].value = Value::Number(cut);
        }
    }
}

fn best(placed: &mut [(f64, Counts)], outside: Counts, op: Op) -> Option<f64> {
    placed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let numbers = placed.iter().fold(Counts::default(), |sum, (_, counts)| sum.plus(*counts));
    let mut below = Counts::default();
    let mut best = None;
    for pair in placed.windows(2) {
        below = below.plus(pair[0].1);
        if pair[0].0 == pair[1].0 {
            continue;
        }
        let above = numbers.minus(below);
        let (inside, rest) = if op == Op::AtMost { (below, above) } else { (above, below) };
        let worth = likelihood(inside) + likelihood(rest.plus(outside));
        if is_higher(inside, rest) && best.is_none_or(|(most, _)| worth > most) {
            best = Some((worth, pair[0].0));
        }
    }
    best.map(|(_, cut)| cut)
}

pub(super) fn numbers<'a>(problem: &'a Problem<'_>, column: usize) -> Option<&'a [f64]> {
    let one = problem.considered.iter().find(|one| one.column == column)?;
    one.numbers.as_deref()
}

pub(super) fn truth(problem: &Problem<'_>, one: &Exact) -> Vec<bool> {
    one.truth(&problem.table.columns[one.column], numbers(problem, one.column))
}

/// Whether the first value of a row makes it hold: rows with several have no numbers to cut.
fn any(column: &super::table::Column, truth: &[bool], row: u32) -> bool {
    truth[column.first(row as usize) as usize]
        || column.more.binary_search_by_key(&row, |(at, _)| *at).is_ok_and(|found| {
            let from = column.more[..found].partition_point(|(at, _)| *at < row);
            column.more[from..].iter().take_while(|(at, _)| *at == row).any(|(_, code)| truth[*code as usize])
        })
}
