//! The numbers that decide what is learned and when it is told, in one place, and how they are computed with.

/// Share of cases in the learned traffic that may be unhealthy. An expectation broken no more often is still one.
pub const NOISE: f64 = 0.02;
/// Share of later healthy cases that may be judged wrongly, on top of the noise.
pub const MISJUDGED: f64 = 0.01;
/// Most cases that may be unhealthy where both an expectation and a rare way on say so.
pub const MOST_NOISE: f64 = 0.25;
/// A whole course that more cases took than these is no noise.
pub const ALIKE: u32 = 2;
/// Chance that a watch over as many healthy cases as were learned from raises any finding at all.
pub const FALSE_ALARM: f64 = 0.01;
/// Fewest cases that an expectation rests on: without an exception among twenty, a share of exceptions of 14 % or more
/// would have shown at 95 % confidence.
pub const SUPPORT: u32 = 20;
/// Fewest times that a way on was open, before one never taken counts as closed: 5 % at 95 % confidence.
pub const SUPPORT_OF_NEXT: u32 = 52;
/// A way on taken more often than this is a lawful, if rare one.
pub const RARE: f64 = 0.005;
/// A deadline is this many times the slowest of a thousand.
pub const DEADLINE_FACTOR: u64 = 2;
/// The quantile of delays that deadlines are made of; the slowest of all, of fewer than a thousand.
pub const DEADLINE_QUANTILE: f64 = 0.999;

/// One-sided 95 %.
const Z: f64 = 1.645;

/// Upper bound of the true share where `k` of `n` were seen (Wilson, one-sided 95 %).
pub fn upper(k: u32, n: u32) -> f64 {
    wilson(k, n, 1.0)
}

/// Lower bound of the true share where `k` of `n` were seen (Wilson, one-sided 95 %).
pub fn lower(k: u32, n: u32) -> f64 {
    wilson(k, n, -1.0)
}

fn wilson(k: u32, n: u32, side: f64) -> f64 {
    if n == 0 {
        return if side > 0.0 { 1.0 } else { 0.0 };
    }
    let (k, n) = (f64::from(k.min(n)), f64::from(n));
    let share = k / n;
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((share + Z * Z / (2.0 * n) + side * spread) / (1.0 + Z * Z / n)).clamp(0.0, 1.0)
}

/// `k` of `n`, 0 of 0 being 0.
pub fn share(k: u32, n: u32) -> f64 {
    if n == 0 { 0.0 } else { f64::from(k) / f64::from(n) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_the_share_and_close_in_on_it() {
        assert!((upper(0, 20) - 0.119).abs() < 0.001);
        assert!((upper(0, 52) - 0.049).abs() < 0.001);
        assert!((lower(1000, 1000) - 0.9973).abs() < 0.0001);
        for (k, n) in [(0, 1), (1, 10), (50, 100), (999, 1000), (1000, 1000)] {
            assert!(lower(k, n) <= share(k, n) && share(k, n) <= upper(k, n), "{k} of {n}");
            assert!(upper(k, n) >= upper(k * 10, n * 10) && lower(k, n) <= lower(k * 10, n * 10), "{k} of {n}");
        }
        assert_eq!((lower(0, 0), upper(0, 0)), (0.0, 1.0));
    }
}
