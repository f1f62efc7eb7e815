//! The numbers that are told of an explanation: counted on all rows of the table.

use truegreen_model::contrast::{Condition, Explanation, Op};

use super::bits::Bits;
use super::cut::truth;
use super::dispersion::{Row, Spread};
use super::fit::{Part, Problem};
use super::likelihood::{Counts, ln_chance, risk_ratio};
use super::scatter::Scatter;
use super::screen::is_aggregated;
use super::table::Table;
use super::view::{Exact, Value};

/// What some rows counted, as they are and as they count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) bad: u64,
    pub(super) attempts: u64,
    pub(super) counts: Counts,
    /// Failures that were to be expected of them, by the time before.
    expected: f64,
}

/// All rows that are explained.
pub(super) struct Evidence<'a> {
    problem: &'a Problem<'a>,
    /// Those that are not of the time before.
    pub(super) rows: Bits,
    none: Bits,
    spread: Spread,
    /// Rows that something explains.
    explained: Bits,
    /// By what those differ that nothing explains, where rows stand for many attempts.
    scatter: Option<Scatter>,
    pub(super) whole: Sum,
}

impl<'a> Evidence<'a> {
    /// Of the rows that are to be explained.
    pub(super) fn new(problem: &'a Problem<'a>, spread: Spread) -> Evidence<'a> {
        let table = problem.table;
        let rows = Bits::of(table.rows(), |row| !is_before(table, row));
        let none = Bits::none(table.rows());
        let explained = none.clone();
        let mut evidence = Evidence { problem, rows, none, spread, explained, scatter: None, whole: Sum::default() };
        evidence.whole = evidence.sum(&evidence.rows, &evidence.none);
        evidence
    }

    /// These are where something is wrong.
    pub(super) fn explain(&mut self, parts: &[Bits]) {
        parts.iter().for_each(|bits| self.explained.or(bits));
        self.scatter = is_aggregated(self.problem.table)
            .then(|| self.own(&self.rows, &self.explained))
            .and_then(|rows| Scatter::new(&rows));
    }

    fn own(&self, bits: &Bits, without: &Bits) -> Vec<Row> {
        let mut own = Vec::new();
        bits.each_without(without, |row| own.push(self.problem.row(row)));
        own
    }

    /// Of the rows before, too.
    pub(super) fn of_all(problem: &'a Problem<'a>) -> Evidence<'a> {
        let rows = Bits::of(problem.table.rows(), |_| true);
        let none = Bits::none(problem.table.rows());
        let explained = none.clone();
        Evidence { problem, rows, none, spread: Spread::default(), explained, scatter: None, whole: Sum::default() }
    }

    /// The rows where all conditions hold.
    pub(super) fn bits(&self, conditions: &[Exact]) -> Bits {
        let mut bits = self.rows.clone();
        for one in conditions {
            let column = &self.problem.table.columns[one.column];
            let truth = truth(self.problem, one);
            let mut holds = Bits::of(self.problem.table.rows(), |row| truth[column.first(row) as usize]);
            for (row, code) in &column.more {
                match one.op {
                    // Any other value is said only where none of them is this one.
                    Op::IsNot if !truth[*code as usize] => holds.clear(*row as usize),
                    Op::Is if truth[*code as usize] => holds.set(*row as usize),
                    _ => {}
                }
            }
            bits.and(&holds);
        }
        bits
    }

    pub(super) fn sum(&self, bits: &Bits, without: &Bits) -> Sum {
        let mut sum = Sum::default();
        bits.each_without(without, |row| {
            let own = self.problem.row(row);
            sum.bad += self.problem.table.bad[row];
            sum.attempts += self.problem.table.attempts[row];
            sum.expected += self.problem.usual.map_or(0.0, |usual| usual.expected[row]);
            sum.counts = sum.counts.plus(own.effective(self.spread.of(self.explained.has(row).then_some(0))));
        });
        sum
    }

    /// All that is told of it; `others` is what other explanations cover.
    pub(super) fn tell(&self, part: &Part, bits: &Bits, others: &Bits) -> Explanation {
        let inside = self.sum(bits, &self.none);
        let mut covered = others.clone();
        covered.or(bits);
        let outside = self.sum(&self.rows, &covered);
        let share = |part: f64, whole: u64| if whole == 0 { 0.0 } else { part / whole as f64 };
        // Against what else happened, or where that is known, what used to happen inside.
        let (other, other_counts) = match self.problem.usual {
            None => (Counts::new(outside.bad as f64, outside.attempts as f64), outside.counts),
            Some(_) => {
                let weight = inside.counts.size / inside.attempts.max(1) as f64;
                let expected = Counts::new(inside.expected, inside.attempts as f64);
                (expected, Counts::new(expected.bad * weight, expected.size * weight))
            }
        };
        // The point from what was counted, its reach from what that counts for.
        let (bad, attempts) = (inside.bad as f64, inside.attempts as f64);
        let (ratio, _) = risk_ratio(Counts::new(bad, attempts), other);
        let weight = inside.counts.size / attempts.max(1.0);
        let (middle, [low, high]) = risk_ratio(Counts::new(bad * weight, attempts * weight), other_counts);
        let interval = [low / middle * ratio, high / middle * ratio];
        let healthy = (inside.attempts - inside.bad) as f64;
        let by_scatter = self.scatter.map(|scatter| scatter.ln_chance(&self.own(bits, &self.none)));
        let chance = ln_chance(inside.counts, outside.counts).max(by_scatter.unwrap_or(f64::NEG_INFINITY));
        Explanation {
            conditions: part.conditions.iter().map(|one| condition(self.problem.table, one)).collect(),
            failing_share: share(bad, self.whole.bad),
            healthy_share: share(healthy, self.whole.attempts - self.whole.bad),
            risk_ratio: ratio,
            interval,
            p_value: (chance + part.price).exp().min(1.0),
            failing: inside.bad,
            attempts: inside.attempts,
            rate_inside: share(bad, inside.attempts),
            rate_outside: if other.size > 0.0 { other.bad / other.size } else { 0.0 },
        }
    }
}

pub(super) fn is_before(table: &Table, row: usize) -> bool {
    table.before.get(row).copied().unwrap_or(false)
}

fn condition(table: &Table, one: &Exact) -> Condition {
    let column = &table.columns[one.column];
    let value = match one.value {
        Value::Code(0) => String::new(),
        Value::Code(code) => column.values[code as usize - 1].to_string(),
        Value::Number(number) => number.to_string(),
    };
    Condition { attribute: column.name.clone(), op: one.op, value }
}
