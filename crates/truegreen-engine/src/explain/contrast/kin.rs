//! By what values of one attribute differ anyway: a cause must stand out from that, too.

use truegreen_model::contrast::Op;

use super::likelihood::Counts;
use super::search::Clauses;
use super::view::View;

/// Fewer values do not tell by what they differ.
const LEAST_VALUES: usize = 6;
/// Failures to be expected of a value for its rate to be known well enough.
const LEAST_EXPECTED: f64 = 3.0;
/// So many standard deviations from its like is no value like the others: one in 740 by chance.
const DEVIATIONS: f64 = 3.0;
/// The median of absolute deviations, as a standard deviation of what is normal.
const OF_MEDIAN: f64 = 1.4826;

/// For each view, by what the logarithm of the odds of its values differs in the background, beyond chance.
pub(super) fn differences(views: &[View], counts: &[Counts], places: &[Option<usize>]) -> Vec<f64> {
    views.iter().map(|view| difference(view, counts, places)).collect()
}

fn difference(view: &View, counts: &[Counts], places: &[Option<usize>]) -> f64 {
    if view.is_cuts() || view.several.is_some() {
        return 0.0;
    }
    let mut sums = vec![Counts::default(); view.count];
    let mut whole = Counts::default();
    for (row, bin) in view.bins.iter().enumerate().filter(|(row, _)| places[*row].is_none()) {
        sums[*bin as usize] = sums[*bin as usize].plus(counts[row]);
        whole = whole.plus(counts[row]);
    }
    // Others are many values in one bin.
    sums.pop();
    let rate = whole.bad / whole.size.max(f64::MIN_POSITIVE);
    let known: Vec<&Counts> = sums.iter().filter(|sum| sum.size * rate >= LEAST_EXPECTED).collect();
    if known.len() < LEAST_VALUES {
        return 0.0;
    }
    let cells = |sum: &Counts| (sum.bad.max(0.0) + 0.5, (sum.size - sum.bad).max(0.0) + 0.5);
    let odds: Vec<f64> = known.iter().map(|sum| cells(sum)).map(|(bad, well)| (bad / well).ln()).collect();
    let by_chance: Vec<f64> = known.iter().map(|sum| cells(sum)).map(|(bad, well)| 1.0 / bad + 1.0 / well).collect();
    let middle = median(&odds);
    let apart: Vec<f64> = odds.iter().map(|odds| (odds - middle).abs()).collect();
    ((OF_MEDIAN * median(&apart)).powi(2) - median(&by_chance)).max(0.0).sqrt()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { 0.5 * (sorted[middle - 1] + sorted[middle]) }
}

/// How many times the odds must be those of what it lies in, for a conjunction of these.
pub(super) fn least_odds(clauses: &Clauses, views: &[View], differences: &[f64]) -> f64 {
    let is_value = |op: Op| op == Op::Is;
    let variance = |one: &super::view::Clause| {
        let view = one.view as usize;
        if is_value(views[view].exact(*one).op) { differences[view].powi(2) } else { 0.0 }
    };
    (DEVIATIONS * clauses.iter().map(variance).sum::<f64>().sqrt()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
    }
}
