//! Tables as sets for multi-dimensional root causes have them: a row for each leaf, which is a combination of values of all
//! dimensions, with what was predicted and what was counted. A cause changes all leaves below it by one ratio ("ripple");
//! what is predicted of the others is off by noise.
//!
//! Attempts are what was predicted, failures what is lacking. Or, since a time: errors among attempts by the minute, of which
//! each leaf has its own usual share.

use fastrand::Rng;

use super::chance::{between, binomial, drawn, normal};
use super::setting::Form;
use super::world::{Planted, Values, World};

/// Tries to find a place for a cause.
const TRIES: usize = 2_000;
/// Leaves that a cause must cover, and that must be left of each of its conditions without the others.
const LEAST_LEAVES: usize = 4;
/// What it takes off must be so many times what noise does to as many leaves: else nobody could see it.
const CLEAR: f64 = 6.0;
/// Minutes of the time before and of that after, where there is one.
const MINUTES: (usize, usize) = (8, 4);

/// One kind of them.
#[derive(Clone, Debug)]
pub struct Leaves {
    /// Its name in the report.
    pub name: &'static str,
    /// How many dimensions.
    pub dimensions: std::ops::RangeInclusive<usize>,
    /// Leaves at most; combinations beyond are not there.
    pub leaves: usize,
    /// How many causes.
    pub causes: std::ops::RangeInclusive<usize>,
    /// How many conditions each has.
    pub conditions: std::ops::RangeInclusive<usize>,
    /// All causes lie in the same dimensions.
    pub in_one_cuboid: bool,
    /// Standard deviation of what is predicted, as a share of it.
    pub noise: f64,
    /// What a cause takes off, as a share.
    pub ratio: (f64, f64),
    /// Errors since a time instead of what is lacking.
    pub is_since: bool,
}

impl Leaves {
    const PLAIN: Leaves = Leaves {
        name: "",
        dimensions: 4..=5,
        leaves: 12_000,
        causes: 1..=3,
        conditions: 1..=3,
        in_one_cuboid: true,
        noise: 0.0,
        ratio: (0.2, 0.9),
        is_since: false,
    };

    /// All of them.
    pub fn all() -> Vec<Leaves> {
        let noisy = |name, noise| Leaves { name, noise, ..Leaves::PLAIN };
        vec![
            Leaves { name: "leaves, no noise", ..Leaves::PLAIN },
            noisy("leaves, noise 1 %", 0.01),
            noisy("leaves, noise 5 %", 0.05),
            noisy("leaves, noise 10 %", 0.1),
            Leaves { ratio: (0.4, 0.9), ..noisy("leaves, noise 20 %", 0.2) },
            Leaves { in_one_cuboid: false, ..noisy("leaves, different cuboids, noise 5 %", 0.05) },
            Leaves { leaves: 600, ..noisy("leaves, 600 of them, noise 5 %", 0.05) },
            Leaves {
                leaves: 400,
                is_since: true,
                ratio: (0.05, 0.6),
                ..noisy("leaves by the minute, since a time", 0.0)
            },
        ]
    }

    /// Whether nothing is noisy.
    pub fn is_easy(&self) -> bool {
        self.noise == 0.0 && !self.is_since
    }
}

impl World {
    /// One of this kind; none where its causes found no place.
    pub(super) fn leaves(kind: &Leaves, seed: u64) -> Option<World> {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x51_7cc1).wrapping_add(kind.name.len() as u64));
        let values = combinations(kind, &mut rng);
        let leaves = values[0].words().len();
        let predicted: Vec<u64> =
            (0..leaves).map(|_| (300.0 * (1.2 * normal(&mut rng)).exp()).max(20.0) as u64).collect();
        let mut world = World::blank(values, (0..8).collect(), predicted, Form::Aggregated);
        let ratios = world.plant_leaves(kind, &mut rng)?;
        if kind.is_since {
            world.fail_since(&ratios, &mut rng);
        } else {
            world.lack(kind, &ratios, &mut rng);
        }
        Some(world)
    }

    fn plant_leaves(&mut self, kind: &Leaves, rng: &mut Rng) -> Option<Vec<f64>> {
        let wanted = drawn(rng, kind.causes.clone());
        let mut ratios = Vec::new();
        for _ in 0..TRIES {
            if self.causes.len() == wanted {
                return Some(ratios);
            }
            let ratio = between(rng, kind.ratio);
            let mut dimensions: Vec<usize> = (0..self.values.len()).collect();
            rng.shuffle(&mut dimensions);
            dimensions.truncate(drawn(rng, kind.conditions.clone()));
            if let (Some(first), true) = (self.causes.first(), kind.in_one_cuboid) {
                dimensions = first.iter().map(|one| one.attribute()).collect();
            }
            let row = rng.usize(..self.rows());
            let is = |dimension: usize| Planted::Is(dimension, self.values[dimension].words()[row]);
            let cause: Vec<Planted> = dimensions.into_iter().map(is).collect();
            if self.is_seen(&cause, ratio, kind.noise) {
                self.causes.push(cause);
                ratios.push(ratio);
            }
        }
        None
    }

    /// Whether anybody could see it: it covers some leaves of its own, less than each of its conditions would without the
    /// others, and more than noise does.
    fn is_seen(&self, cause: &[Planted], ratio: f64, noise: f64) -> bool {
        let rows: Vec<usize> = (0..self.rows()).filter(|row| self.holds(cause, *row)).collect();
        let common = |other: &Vec<Planted>| rows.iter().filter(|row| self.holds(other, **row)).count();
        let of = |other: &Vec<Planted>| (0..self.rows()).filter(|row| self.holds(other, *row)).count();
        let is_apart = self.causes.iter().all(|other| {
            let common = common(other);
            common * 2 <= rows.len() && common * 2 <= of(other)
        });
        let is_told_apart = (0..cause.len()).all(|left_out| {
            let mut wider = cause.to_vec();
            wider.remove(left_out);
            let beyond = (0..self.rows()).filter(|row| self.holds(&wider, *row) && !self.holds(cause, *row)).count();
            beyond >= LEAST_LEAVES
        });
        let is_clear = ratio * (rows.len() as f64).sqrt() >= CLEAR * noise;
        rows.len() >= LEAST_LEAVES && rows.len() * 2 <= self.rows() && is_apart && is_told_apart && is_clear
    }

    /// What remains of a leaf: each cause takes off its part.
    fn remains(&self, row: usize, ratios: &[f64]) -> f64 {
        let taken = self.causes.iter().zip(ratios).filter(|(cause, _)| self.holds(cause, row));
        taken.fold(1.0, |left, (_, ratio)| left * (1.0 - ratio))
    }

    fn lack(&mut self, kind: &Leaves, ratios: &[f64], rng: &mut Rng) {
        for row in 0..self.rows() {
            let predicted = self.attempts[row] as f64;
            let counted = predicted * self.remains(row, ratios) * (1.0 + kind.noise * normal(rng)).max(0.0);
            self.bad[row] = (predicted - counted).round().clamp(0.0, predicted) as u64;
        }
    }

    /// Errors by the minute: each leaf has a usual share of its own, some of them high.
    fn fail_since(&mut self, ratios: &[f64], rng: &mut Rng) {
        let leaves = self.rows();
        let usual: Vec<f64> = (0..leaves).map(|_| (0.01 * (1.2 * normal(rng)).exp()).min(0.5)).collect();
        let rates: Vec<f64> = (0..leaves).map(|leaf| 1.0 - (1.0 - usual[leaf]) * self.remains(leaf, ratios)).collect();
        let minutes = MINUTES.0 + MINUTES.1;
        let attempts = std::mem::take(&mut self.attempts);
        self.bad.clear();
        for minute in 0..minutes {
            for leaf in 0..leaves {
                let is_before = minute < MINUTES.0;
                let tried = (attempts[leaf] as f64 * (0.9 + 0.2 * rng.f64())) as u64;
                self.attempts.push(tried);
                self.bad.push(binomial(tried, if is_before { usual[leaf] } else { rates[leaf] }, rng));
                self.before.push(is_before);
            }
        }
        for values in &mut self.values {
            if let Values::Words(words) = values {
                *words = words.repeat(minutes);
            }
        }
    }
}

/// Each combination once, as far as it is there.
fn combinations(kind: &Leaves, rng: &mut Rng) -> Vec<Values> {
    let dimensions = drawn(rng, kind.dimensions.clone());
    let counts: Vec<u32> = (0..dimensions).map(|_| drawn(rng, 4..=20) as u32).collect();
    let all: u64 = counts.iter().map(|count| u64::from(*count)).product();
    let share = kind.leaves as f64 / all as f64;
    let mut values = vec![Vec::new(); dimensions];
    for mut number in 0..all {
        if rng.f64() >= share {
            continue;
        }
        for (values, count) in values.iter_mut().zip(&counts) {
            values.push((number % u64::from(*count)) as u32);
            number /= u64::from(*count);
        }
    }
    values.into_iter().map(Values::Words).collect()
}
