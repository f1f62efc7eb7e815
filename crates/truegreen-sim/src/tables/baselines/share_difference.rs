//! A ranking by share difference: of all conjunctions of up to three values the one that covers most of the failing and
//! least of the healthy; then again without the failures that it covers. As tools that compare two groups do it, on a sample
//! of each.

use std::collections::HashMap;

use truegreen_model::contrast::{Condition, Op};

use super::super::world::{ABSENT, Values, World, name, text};

/// Rows of each side, fewer where there are more conjunctions of three attributes.
const SAMPLE: usize = 1_500;
const CONJUNCTIONS: usize = 3_000_000;
/// It ends when so little of the failures is left.
const LEFT: f64 = 0.1;
/// Or when nothing stands out by so much.
const LEAST: f64 = 0.1;
/// Explanations at most.
const MOST: usize = 3;

type Key = [(u16, u32); 3];
const NOTHING: (u16, u32) = (u16::MAX, 0);

/// Its answer.
pub fn answer(world: &World) -> Vec<Vec<Condition>> {
    let rows = |is_failing: bool| -> Vec<(usize, f64)> {
        let weight = |row: usize| {
            let bad = world.bad[row];
            (if is_failing { bad } else { world.attempts[row] - bad }) as f64
        };
        let (n, during) = (world.values.len(), |row: &usize| !world.is_before(*row));
        let most = (CONJUNCTIONS * 6 / (n * n * n).max(1)).clamp(100, SAMPLE);
        let all: Vec<(usize, f64)> = (0..world.rows())
            .filter(during)
            .map(|row| (row, weight(row)))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        let step = all.len().div_ceil(most).max(1);
        all.into_iter().step_by(step).collect()
    };
    let (mut failing, healthy) = (rows(true), rows(false));
    let at_first: f64 = failing.iter().map(|(_, weight)| weight).sum();
    let well: HashMap<Key, f64> = shares(world, &healthy);
    let mut told = Vec::new();
    while told.len() < MOST {
        let left: f64 = failing.iter().map(|(_, weight)| weight).sum();
        if left <= LEFT * at_first {
            break;
        }
        let difference = |key: &Key, share: f64| share - well.get(key).copied().unwrap_or(0.0);
        let conditions = |key: &Key| key.iter().filter(|one| **one != NOTHING).count();
        let best = shares(world, &failing).into_iter().max_by(|(a, x), (b, y)| {
            let by_difference = difference(a, *x).total_cmp(&difference(b, *y));
            by_difference.then(conditions(b).cmp(&conditions(a))).then(b.cmp(a))
        });
        let Some((key, share)) = best.filter(|(key, share)| difference(key, *share) >= LEAST) else { break };
        _ = share;
        told.push(words(&key));
        failing.retain(|(row, _)| !has(world, &key, *row));
    }
    told
}

fn words(key: &Key) -> Vec<Condition> {
    let is = |(attribute, value): &(u16, u32)| Condition {
        attribute: name(usize::from(*attribute)),
        op: Op::Is,
        value: text(*value),
    };
    key.iter().filter(|one| **one != NOTHING).map(is).collect()
}

fn value(world: &World, attribute: usize, row: usize) -> Option<u32> {
    match &world.values[attribute] {
        Values::Words(words) => Some(words[row]).filter(|word| *word != ABSENT),
        Values::Numbers(_) => None,
    }
}

fn has(world: &World, key: &Key, row: usize) -> bool {
    let of = |(attribute, own): &(u16, u32)| value(world, usize::from(*attribute), row) == Some(*own);
    key.iter().filter(|one| **one != NOTHING).all(of)
}

fn shares(world: &World, rows: &[(usize, f64)]) -> HashMap<Key, f64> {
    let all: f64 = rows.iter().map(|(_, weight)| weight).sum();
    let mut shares: HashMap<Key, f64> = HashMap::new();
    for (row, weight) in rows {
        let own: Vec<(u16, u32)> = (0..world.values.len())
            .filter_map(|attribute| Some((attribute as u16, value(world, attribute, *row)?)))
            .collect();
        let mut add = |key: Key| *shares.entry(key).or_default() += weight / all;
        for (at, one) in own.iter().enumerate() {
            add([*one, NOTHING, NOTHING]);
            for (further, two) in own.iter().enumerate().skip(at + 1) {
                add([*one, *two, NOTHING]);
                own[further + 1..].iter().for_each(|three| add([*one, *two, *three]));
            }
        }
    }
    shares
}
