//! A table from a seed: attributes that come each in their own shares, causes that are planted, and what then fails.

use fastrand::Rng;

use super::chance::{Draw, between, binomial, drawn, normal};
use super::setting::{Effect, Form, Kinship, Setting};
use super::world::{Planted, Values, World};

/// Tries to find a place for a cause.
const TRIES: usize = 4_000;
/// Failures that a cause must bring, for it to be found at all: of each, and beyond those of the others.
const LEAST_FAILURES: f64 = 40.0;
/// Combinations that a cause must cover where rows are counts.
const LEAST_ROWS: usize = 6;

impl World {
    /// One of this kind; none where its causes found no place.
    pub(super) fn plain(setting: &Setting, seed: u64) -> Option<World> {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9).wrapping_add(setting.name.len() as u64));
        let rows = drawn(&mut rng, setting.rows.clone());
        let attributes = drawn(&mut rng, setting.attributes.clone());
        let (values, roots) = attributes_of(setting, rows, attributes, &mut rng);
        let attempts = (0..rows).map(|_| attempts(setting.form, &mut rng)).collect();
        let mut world = World::blank(values, roots, attempts, setting.form);
        let background = setting.background * (0.1 + 0.9 * rng.f64());
        let usual = world.background(setting, background, &mut rng);
        let effects = world.plant(setting, background, &mut rng)?;
        world.fail(setting, &usual, &effects, &mut rng);
        Some(world)
    }

    /// What fails anyway, for each row.
    fn background(&self, setting: &Setting, background: f64, rng: &mut Rng) -> Vec<f64> {
        let mut usual = vec![background; self.rows()];
        if setting.background_by_value > 0.0 {
            let attribute = rng.usize(..self.values.len());
            if let Values::Words(words) = &self.values[attribute] {
                let most = words.iter().max().map_or(0, |most| *most as usize);
                let by_value: Vec<f64> =
                    (0..=most).map(|_| (setting.background_by_value * normal(rng)).exp()).collect();
                usual.iter_mut().zip(words).for_each(|(usual, word)| *usual *= by_value[*word as usize]);
            }
        }
        usual.into_iter().map(|rate| rate.min(0.9)).collect()
    }

    /// Finds a place for each cause; what each does.
    fn plant(&mut self, setting: &Setting, background: f64, rng: &mut Rng) -> Option<Vec<f64>> {
        let wanted = drawn(rng, setting.causes.clone());
        let mut effects: Vec<f64> = Vec::new();
        let mut tries = 0;
        while self.causes.len() < wanted {
            tries += 1;
            if tries > TRIES {
                return None;
            }
            let cause = self.drawn_cause(setting, rng)?;
            let mut effect = match setting.effect {
                Effect::Share(least, most) => between(rng, (least, most)),
                Effect::Times(times) => times * background - background,
            };
            if setting.kinship == Kinship::Nested && !effects.is_empty() {
                // Four times the odds at the least: less is no cause of its own.
                let odds = effects[0] / (1.0 - effects[0]).max(0.01);
                effect = (4.0 * odds / (1.0 + 4.0 * odds)).max(effect);
            } else if setting.kinship == Kinship::Nested {
                effect *= 0.5;
            }
            if self.has_place(setting, &cause, effect) {
                self.causes.push(cause);
                effects.push(effect);
            }
        }
        Some(effects)
    }

    fn drawn_cause(&self, setting: &Setting, rng: &mut Rng) -> Option<Vec<Planted>> {
        let first = self.causes.first();
        // Within the first, where it is nested or shares a condition.
        let mut row = rng.usize(..self.rows());
        if let (Some(first), Kinship::Nested | Kinship::SharedCondition) = (first, setting.kinship) {
            let shared = if setting.kinship == Kinship::Nested { &first[..] } else { &first[..1] };
            row = (0..200).map(|_| rng.usize(..self.rows())).find(|row| self.holds(shared, *row))?;
        }
        let mut attributes: Vec<usize> = (0..self.values.len()).collect();
        rng.shuffle(&mut attributes);
        // Of attributes that depend on each other one is enough.
        let mut seen = Vec::new();
        attributes.retain(|attribute| {
            let root = self.roots[*attribute];
            let is_new = !seen.contains(&root);
            seen.push(root);
            is_new
        });
        let mut conditions = drawn(rng, setting.conditions.clone());
        let mut cause: Vec<Planted> = Vec::new();
        match (first, setting.kinship) {
            (Some(first), Kinship::SameAttributes) => {
                attributes = first.iter().map(|one| one.attribute()).collect();
                conditions = attributes.len();
            }
            (Some(first), Kinship::SharedCondition) => cause.push(first[0]),
            (Some(first), Kinship::Nested) => {
                cause.extend(first);
                conditions = first.len() + 1;
            }
            _ => {}
        }
        for attribute in attributes {
            let is_free = cause.iter().all(|one| self.roots[one.attribute()] != self.roots[attribute]);
            if cause.len() < conditions && is_free {
                cause.push(match &self.values[attribute] {
                    Values::Words(words) => Planted::Is(attribute, words[row]),
                    Values::Numbers(numbers) => Planted::Above(attribute, numbers[row]),
                });
            }
        }
        Some(cause)
    }

    /// Whether a cause could be found by anyone: it covers enough by itself, not too much, and less than each of its
    /// conditions would without the others.
    fn has_place(&self, setting: &Setting, cause: &[Planted], effect: f64) -> bool {
        let is_within_other = |row: usize| self.causes.iter().any(|other| self.holds(other, row));
        let is_nested = setting.kinship == Kinship::Nested;
        let (mut all, mut inside, mut own, mut rows) = (0, 0, 0, 0_usize);
        for row in 0..self.rows() {
            all += self.attempts[row];
            if self.holds(cause, row) {
                inside += self.attempts[row];
                rows += 1;
                own += if is_nested || !is_within_other(row) { self.attempts[row] } else { 0 };
            }
        }
        let share = inside as f64 / all as f64;
        let is_enough = own as f64 * effect >= LEAST_FAILURES && own * 2 >= inside && share <= 0.6;
        if !is_enough || (self.form == Form::Aggregated && rows < LEAST_ROWS) {
            return false;
        }
        // The others keep half of what is theirs, too.
        let keep = self.causes.iter().all(|other| {
            let theirs: Vec<usize> = (0..self.rows()).filter(|row| self.holds(other, *row)).collect();
            theirs.iter().filter(|row| self.holds(cause, **row)).count() * 2 <= theirs.len()
        });
        let is_told_apart = |left_out: usize| {
            let wider: Vec<Planted> =
                cause.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, one)| *one).collect();
            let beyond: Vec<usize> = (0..self.rows())
                .filter(|row| self.holds(&wider, *row) && !self.holds(cause, *row) && !is_within_other(*row))
                .collect();
            let attempts: u64 = beyond.iter().map(|row| self.attempts[*row]).sum();
            let is_enough_rows = self.form == Form::Single || beyond.len() >= LEAST_ROWS;
            is_enough_rows && attempts as f64 * effect >= LEAST_FAILURES
        };
        keep && (is_nested && !self.causes.is_empty() || (0..cause.len()).all(is_told_apart))
    }

    fn fail(&mut self, setting: &Setting, usual: &[f64], effects: &[f64], rng: &mut Rng) {
        for (row, usual) in usual.iter().enumerate() {
            let mut well = 1.0 - usual;
            for (cause, effect) in self.causes.iter().zip(effects) {
                if self.holds(cause, row) {
                    well *= 1.0 - effect;
                }
            }
            let mut rate = 1.0 - well;
            if setting.spread > 0.0 {
                // On the odds: what nearly always fails cannot fail more than always.
                let odds = rate / (1.0 - rate).max(1e-9) * (setting.spread * normal(rng)).exp();
                rate = odds / (1.0 + odds);
            }
            self.bad[row] = binomial(self.attempts[row], rate, rng);
        }
    }
}

fn attributes_of(setting: &Setting, rows: usize, attributes: usize, rng: &mut Rng) -> (Vec<Values>, Vec<usize>) {
    let mut values: Vec<Values> = Vec::new();
    let mut roots = Vec::new();
    for attribute in 0..attributes {
        let earlier = (0..attribute).filter(|other| matches!(values[*other], Values::Words(_))).collect::<Vec<_>>();
        if attribute > 0 && !earlier.is_empty() && rng.f64() < setting.derived {
            let from = earlier[rng.usize(..earlier.len())];
            roots.push(roots[from]);
            let derived = derived(&values[from], rng);
            values.push(derived);
            continue;
        }
        roots.push(attribute);
        if rng.f64() < setting.numbers {
            let (scale, power) = (10_f64.powi(rng.i32(0..5)), 1.0 + 2.0 * rng.f64());
            let number = |rng: &mut Rng| (rng.f64().powf(power) * scale * 1e3).round() / 1e3;
            values.push(Values::Numbers((0..rows).map(|_| number(rng)).collect()));
        } else {
            let count = drawn(rng, setting.values.clone());
            let draw = Draw::new(setting.shares, count);
            values.push(Values::Words((0..rows).map(|_| draw.one(rng)).collect()));
        }
    }
    (values, roots)
}

/// Coarser than another (a host's region), finer (a region's hosts), or nearly the same.
fn derived(from: &Values, rng: &mut Rng) -> Values {
    let Values::Words(words) = from else { return from.clone() };
    let count = words.iter().max().map_or(1, |most| most + 1);
    let kind = rng.u32(..3);
    let coarser: Vec<u32> = (0..count).map(|_| rng.u32(..count.div_ceil(3).max(2))).collect();
    let one = |word: u32, rng: &mut Rng| match kind {
        0 => coarser[word as usize],
        1 => word * 3 + rng.u32(..3),
        _ if rng.f64() < 0.05 => rng.u32(..count),
        _ => word,
    };
    Values::Words(words.iter().map(|word| one(*word, rng)).collect())
}

fn attempts(form: Form, rng: &mut Rng) -> u64 {
    match form {
        Form::Single => 1,
        Form::Aggregated => (30.0 * (1.5 * normal(rng)).exp() * 10.0).max(5.0) as u64,
    }
}
