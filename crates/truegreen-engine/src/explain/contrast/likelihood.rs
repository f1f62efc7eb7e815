//! How well a rate explains what was counted, in nats.

use statrs::function::gamma::ln_gamma;

/// Failures and attempts. Not whole numbers where rows count for less than their attempts, since those of one row resemble
/// each other, and where what is usual was taken off.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Counts {
    pub(super) bad: f64,
    pub(super) size: f64,
}

impl Counts {
    pub(super) fn new(bad: f64, size: f64) -> Counts {
        Counts { bad, size }
    }

    pub(super) fn minus(self, other: Counts) -> Counts {
        Counts { bad: (self.bad - other.bad).max(0.0), size: (self.size - other.size).max(0.0) }
    }

    pub(super) fn plus(self, other: Counts) -> Counts {
        Counts { bad: self.bad + other.bad, size: self.size + other.size }
    }
}

/// Of these counts under the rate that explains them best.
pub(super) fn likelihood(Counts { bad, size }: Counts) -> f64 {
    if bad <= 0.0 || bad >= size {
        return 0.0;
    }
    bad * (bad / size).ln() + (size - bad) * ((size - bad) / size).ln()
}

/// By how much two rates explain the whole better than one.
pub(super) fn gain(inside: Counts, whole: Counts) -> f64 {
    likelihood(inside) + likelihood(whole.minus(inside)) - likelihood(whole)
}

/// How many times the odds of one are those of the other. Half a failure is added everywhere, so that it is a number.
pub(super) fn odds_ratio(one: Counts, other: Counts) -> f64 {
    let odds = |counts: Counts| (counts.bad + 0.5) / ((counts.size - counts.bad).max(0.0) + 0.5);
    odds(one) / odds(other)
}

pub(super) fn is_higher(one: Counts, other: Counts) -> bool {
    one.bad * other.size > other.bad * one.size
}

/// The logarithm of the chance of so many failures inside, or more, if inside were like outside: Fisher's exact test.
pub(super) fn ln_chance(inside: Counts, outside: Counts) -> f64 {
    let whole = |counts: Counts| {
        let bad = counts.bad.max(0.0).round();
        (bad, counts.size.round().max(bad))
    };
    let ((bad, size), (other_bad, other)) = (whole(inside), whole(outside));
    let all = ln_choose(size + other, bad + other_bad);
    let term = |k: f64| ln_choose(size, k) + ln_choose(other, bad + other_bad - k) - all;
    ln_tail(bad, size.min(bad + other_bad), term)
}

/// Terms of a tail that are added at most: they fall from one to the next, and what comes behind is below rounding.
const MAX_TERMS: usize = 100_000;

fn ln_tail(from: f64, to: f64, term: impl Fn(f64) -> f64) -> f64 {
    let highest = term(from);
    let mut sum = 1.0;
    let mut k = from + 1.0;
    let mut largest: f64 = 1.0;
    for _ in 0..MAX_TERMS {
        if k > to {
            break;
        }
        let next = (term(k) - highest).exp();
        sum += next;
        largest = largest.max(next);
        if next < largest * 1e-16 {
            break;
        }
        k += 1.0;
    }
    (highest + sum.ln()).min(0.0)
}

fn ln_choose(n: f64, k: f64) -> f64 {
    if k < 0.0 || k > n {
        return f64::NEG_INFINITY;
    }
    ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
}

/// How many times the rate inside is that outside, and what that is between with 95 % confidence: Katz's interval of the
/// logarithm, with half a failure added on both sides where one has none (Walter), so that it stays sensible.
pub(super) fn risk_ratio(inside: Counts, outside: Counts) -> (f64, [f64; 2]) {
    const Z: f64 = 1.959_963_984_540_054;
    let half = if inside.bad < 0.5 || outside.bad < 0.5 { 0.5 } else { 0.0 };
    let (a, n) = (inside.bad + half, inside.size + half);
    let (c, m) = (outside.bad + half, outside.size + half);
    if n <= 0.0 || m <= 0.0 {
        return (1.0, [0.0, f64::MAX]);
    }
    let ratio = (a / n) / (c / m);
    // Where everything fails on one side, its rate is not known without error either: that of half an attempt more.
    let part = |bad: f64, size: f64| {
        if bad >= size { 1.0 / (bad + 0.5) - 1.0 / (size + 1.0) } else { 1.0 / bad - 1.0 / size }
    };
    let variance = part(a, n) + part(c, m);
    let reach = (Z * variance.max(0.0).sqrt()).exp();
    (ratio, [ratio / reach, ratio * reach])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fishers_test_of_the_lady_tasting_tea() {
        // Of 8 cups 4 have milk first; she names 3 of 4: 17 of 70.
        let chance = ln_chance(Counts::new(3.0, 4.0), Counts::new(1.0, 4.0)).exp();
        assert!((chance - 17.0 / 70.0).abs() < 1e-12, "{chance}");
    }

    #[test]
    fn an_interval_by_katz() {
        // 20 of 100 against 10 of 100: 2 (0.98 to 4.06).
        let (ratio, [low, high]) = risk_ratio(Counts::new(20.0, 100.0), Counts::new(10.0, 100.0));
        assert!((ratio - 2.0).abs() < 1e-9 && (low - 0.99).abs() < 0.01 && (high - 4.05).abs() < 0.02, "{low} {high}");
    }

    #[test]
    fn no_failure_outside_is_a_number_nevertheless() {
        let (ratio, [low, high]) = risk_ratio(Counts::new(10.0, 10.0), Counts::new(0.0, 990.0));
        assert!(ratio.is_finite() && low > 50.0 && high.is_finite() && high > ratio, "{ratio} {low} {high}");
    }
}
