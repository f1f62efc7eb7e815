//! Adtributor (Bhagwan and others, NSDI 2014), without its recursive form: for each dimension the values that by themselves
//! deviate most from what was forecast (surprise), until they account for enough of the change (explanatory power); the
//! dimension with the most surprise is the answer. It names values of one dimension, never conjunctions.
//!
//! Forecast here is that every value has its share of the failures by its share of the attempts.

use truegreen_model::contrast::{Condition, Op};

use super::super::world::{ABSENT, Values, World, name, text};

/// Explanatory power of all values of the answer together, as published.
const ENOUGH: f64 = 0.67;
/// And of each.
const LEAST: f64 = 0.10;
/// Values of an answer at most.
const MOST: usize = 3;

/// Its answer: each value is an explanation of its own.
pub fn answer(world: &World) -> Vec<Vec<Condition>> {
    let sum = |of: &[u64]| -> u64 { (0..world.rows()).filter(|row| !world.is_before(*row)).map(|row| of[row]).sum() };
    let (all_bad, all) = (sum(&world.bad), sum(&world.attempts));
    let mut best: (f64, Vec<Vec<Condition>>) = (0.0, Vec::new());
    for (attribute, values) in world.values.iter().enumerate() {
        let Values::Words(words) = values else { continue };
        let mut sums = vec![(0_u64, 0_u64); values.count() as usize];
        for (row, word) in words.iter().enumerate().filter(|(row, word)| **word != ABSENT && !world.is_before(*row)) {
            let sum = &mut sums[*word as usize];
            *sum = (sum.0 + world.bad[row], sum.1 + world.attempts[row]);
        }
        let shares = |(bad, attempts): (u64, u64)| (attempts as f64 / all as f64, bad as f64 / all_bad.max(1) as f64);
        let mut order: Vec<(f64, f64, u32)> = sums
            .iter()
            .enumerate()
            .map(|(value, sum)| {
                let (forecast, actual) = shares(*sum);
                (surprise(forecast, actual), actual, value as u32)
            })
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
        let (mut power, mut surprise, mut told) = (0.0, 0.0, Vec::new());
        for (own, actual, value) in order {
            if actual > LEAST && told.len() < MOST {
                power += actual;
                surprise += own;
                told.push(vec![Condition { attribute: name(attribute), op: Op::Is, value: text(value) }]);
            }
            if power > ENOUGH {
                break;
            }
        }
        if power > ENOUGH && surprise > best.0 {
            best = (surprise, told);
        }
    }
    best.1
}

/// One value's part of the Jensen-Shannon divergence.
fn surprise(forecast: f64, actual: f64) -> f64 {
    let part = |one: f64| if one > 0.0 { one * (2.0 * one / (forecast + actual)).ln() } else { 0.0 };
    0.5 * (part(forecast) + part(actual))
}
