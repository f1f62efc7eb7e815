//! Whether a difference is more than chance.
//!
//! Everything tested comes to one question: of so many requests on either side, more of the failing ones show something
//! than of the normal ones. The answer is a *weight*: the natural logarithm of the inverse of a bound on the probability
//! that chance does as much (Chernoff's bound, of the failing side's part in all that show it). It holds for any numbers,
//! however small, needs no approximation, and weights of kinds that differ can be compared.

/// What chance may do in so many of all diagnoses: once in fifty by what says itself that it failed, and once by all others.
const ALPHA: f64 = 0.02;

/// Requests of one kind on both sides, and how many of them show it.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub(super) struct Sides {
    pub(super) failing: f64,
    pub(super) failing_shown: f64,
    pub(super) normal: f64,
    pub(super) normal_shown: f64,
}

/// The weight of more failing than normal requests showing it. Kinds of requests are compared each with its own, so that
/// another mix of them is no difference.
pub(super) fn weight(strata: &[Sides]) -> f64 {
    let shown = strata.iter().map(|s| (s.failing_shown, s.normal_shown, s.failing, s.normal));
    let not = strata.iter().map(|s| (s.normal - s.normal_shown, s.failing - s.failing_shown, s.normal, s.failing));
    // More that show it is as good as fewer that do not: whichever is rarer says more.
    excess(shown).max(excess(not))
}

/// Of (on this side, on the other, requests on this side, on the other).
fn excess(strata: impl Iterator<Item = (f64, f64, f64, f64)>) -> f64 {
    let (mut total, mut here, mut expected) = (0.0, 0.0, 0.0);
    for (a, b, n, m) in strata.filter(|(_, _, n, m)| n + m > 0.0) {
        total += a + b;
        here += a;
        expected += (a + b) * n / (n + m);
    }
    if total <= 0.0 || here <= expected {
        return 0.0;
    }
    total * divergence(here / total, expected / total)
}

fn divergence(p: f64, q: f64) -> f64 {
    let term = |p: f64, q: f64| if p <= 0.0 { 0.0 } else { p * (p / q.max(f64::MIN_POSITIVE)).ln() };
    term(p, q) + term(1.0 - p, 1.0 - q)
}

/// The weight that so many comparisons together reach by chance once in fifty times. This bounds the chance of any
/// false alarm, which is stricter than bounding their share.
pub(super) fn needed(comparisons: usize) -> f64 {
    // Each is looked at from two sides.
    (2.0 * comparisons.max(1) as f64 / ALPHA).ln()
}

/// How much more than chance alone the two halves of normal differ: requests of one minute have more in common than
/// independent ones. Weights are divided by it.
pub(super) fn spread(halves: impl Iterator<Item = f64>) -> f64 {
    // Of twice the weight of independent requests a tenth are beyond this (chi-squared of one degree of freedom).
    const BEYOND_A_TENTH: f64 = 2.706;
    let mut weights: Vec<f64> = halves.map(|weight| 2.0 * weight).collect();
    (quantile(&mut weights, 0.9) / BEYOND_A_TENTH).max(1.0)
}

/// Sorts, and gives the value at this share; 0 of nothing.
pub(super) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = (share * values.len().saturating_sub(1) as f64).round() as usize;
    values.get(at).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(failing_shown: f64, failing: f64, normal_shown: f64, normal: f64) -> f64 {
        weight(&[Sides { failing, failing_shown, normal, normal_shown }])
    }

    #[test]
    fn weights_are_the_logarithms_of_what_chance_does() {
        // All twenty on one of two equal sides: 2^-20.
        assert!((of(20.0, 100.0, 0.0, 100.0) - 20.0 * 2.0_f64.ln()).abs() < 1e-9);
        assert!(of(100.0, 100.0, 50.0, 100.0) > 30.0, "what no longer fails to show says more");
        assert_eq!(of(5.0, 100.0, 5.0, 100.0), 0.0);
        assert_eq!(of(0.0, 100.0, 5.0, 100.0), 0.0, "fewer is no excess");
        assert_eq!(of(5.0, 100.0, 0.0, 0.0), 0.0, "nothing to compare with");
        assert!(of(3.0, 3.0, 0.0, 500.0) > 15.0);
    }

    #[test]
    fn another_mix_of_requests_is_no_difference() {
        let rare = Sides { failing: 900.0, failing_shown: 90.0, normal: 100.0, normal_shown: 10.0 };
        let often = Sides { failing: 100.0, failing_shown: 50.0, normal: 900.0, normal_shown: 450.0 };
        assert!(weight(&[rare, often]) < 1e-9);
    }
}
