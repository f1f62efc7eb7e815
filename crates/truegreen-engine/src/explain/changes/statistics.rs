//! The few statistics that all of this shares.

use statrs::function::erf::erfc;

/// More than this a single test is never believed: minutes of one series resemble one another, and no model of them is
/// that exact.
pub(super) const MOST_EVIDENCE: f64 = 12.0;

/// The median; nothing of nothing.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let upper = values[middle];
    Some(if values.len() % 2 == 1 { upper } else { f64::midpoint(values[middle - 1], upper) })
}

/// The value that this share of values is below.
pub(super) fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().checked_sub(1)?)).copied()
}

/// Probability that a standard normal is above this.
pub(super) fn upper_tail(z: f64) -> f64 {
    0.5 * erfc(z / std::f64::consts::SQRT_2)
}

/// How much evidence a p-value is at most, as the logarithm of a Bayes factor: the bound −e·p·ln p, below which no
/// alternative comes. Nothing for p-values above 1/e.
pub(super) fn evidence(p: f64) -> f64 {
    let p = p.max(1e-30);
    if p >= (-1.0f64).exp() { 0.0 } else { (-(-std::f64::consts::E * p * p.ln()).ln()).clamp(0.0, MOST_EVIDENCE) }
}

/// The p-value of the best of several tests.
pub(super) fn best_of(p: f64, tests: f64) -> f64 {
    (p * tests.max(1.0)).clamp(0.0, 1.0)
}

/// False discovery rates by Benjamini and Hochberg, in the order of the p-values.
pub(super) fn false_discovery(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|a, b| ps[*b].total_cmp(&ps[*a]));
    let mut qs = vec![1.0; ps.len()];
    let mut least: f64 = 1.0;
    for (place, at) in order.iter().enumerate() {
        let rank = (ps.len() - place) as f64;
        least = least.min(ps[*at] * ps.len() as f64 / rank);
        qs[*at] = least;
    }
    qs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_and_medians_are_those_of_the_tables() {
        assert!((upper_tail(1.959_964) - 0.025).abs() < 1e-6);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn evidence_grows_as_p_falls_and_is_none_where_p_is_large() {
        assert_eq!(evidence(0.5), 0.0);
        assert!((evidence(0.05) - 0.898).abs() < 1e-2);
        assert_eq!(evidence(0.0), MOST_EVIDENCE);
    }

    #[test]
    fn false_discovery_rates_never_fall_with_p() {
        let qs = false_discovery(&[0.01, 0.04, 0.03, 0.5]);
        assert_eq!(qs.iter().map(|q| (q * 1e4).round() / 1e4).collect::<Vec<_>>(), [0.04, 0.0533, 0.0533, 0.5]);
    }
}
