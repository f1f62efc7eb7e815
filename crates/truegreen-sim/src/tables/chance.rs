//! Numbers by chance, from a seed.

use std::ops::RangeInclusive;

use fastrand::Rng;

use super::setting::Shares;

pub(super) fn drawn(rng: &mut Rng, range: RangeInclusive<usize>) -> usize {
    rng.usize(range)
}

pub(super) fn between(rng: &mut Rng, (least, most): (f64, f64)) -> f64 {
    least + (most - least) * rng.f64()
}

pub(super) fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

pub(super) fn binomial(attempts: u64, rate: f64, rng: &mut Rng) -> u64 {
    if attempts <= 200 {
        return (0..attempts).filter(|_| rng.f64() < rate).count() as u64;
    }
    let mean = attempts as f64 * rate;
    if mean < 30.0 {
        // Poisson, by waiting times.
        let (mut count, mut product, limit) = (0, rng.f64(), (-mean).exp());
        while product > limit {
            count += 1;
            product *= rng.f64();
        }
        return count.min(attempts);
    }
    let drawn = mean + normal(rng) * (mean * (1.0 - rate)).sqrt();
    (drawn.round().max(0.0) as u64).min(attempts)
}

/// Values that come each in its share.
pub(super) struct Draw {
    ends: Vec<f64>,
}

impl Draw {
    pub(super) fn new(shares: Shares, count: usize) -> Draw {
        let weight = |n: usize| match shares {
            Shares::Even => 1.0,
            Shares::Zipf => 1.0 / (n + 1) as f64,
            Shares::Dominated if n == 0 => 1.5 * (1..count).map(|n| 1.0 / n as f64).sum::<f64>().max(0.1),
            Shares::Dominated => 1.0 / n as f64,
        };
        let mut sum = 0.0;
        let ends = (0..count).map(|n| {
            sum += weight(n);
            sum
        });
        Draw { ends: ends.collect() }
    }

    pub(super) fn one(&self, rng: &mut Rng) -> u32 {
        let at = rng.f64() * self.ends.last().copied().unwrap_or(0.0);
        self.ends.partition_point(|end| *end <= at).min(self.ends.len().saturating_sub(1)) as u32
    }
}
