//! Whether an answer is the truth: the same set of causes, each with exactly its rows.

use truegreen_model::contrast::{Condition, Op};

use super::world::{Values, World, name, text};

/// Share of common rows from which on a cut through numbers is the same one: between two neighbouring numbers any will do.
const SAME_CUT: f64 = 0.97;

/// How an answer went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Judged {
    /// Nothing too much, nothing missing, no condition more or less.
    pub is_exact: bool,
    /// Causes that are in the answer.
    pub hits: usize,
    /// Of so many.
    pub causes: usize,
    /// Explanations in the answer.
    pub told: usize,
}

/// Holds an answer against the truth. Conditions that cover the very same rows are the same: no data can tell them apart.
pub fn judge(world: &World, answer: &[Vec<Condition>]) -> Judged {
    let causes: Vec<Vec<bool>> =
        world.causes.iter().map(|cause| (0..world.rows()).map(|row| world.holds(cause, row)).collect()).collect();
    let told: Vec<Vec<bool>> = answer.iter().map(|conditions| rows(world, conditions)).collect();
    let mut used = vec![false; told.len()];
    let mut hits = 0;
    for cause in &causes {
        let found = (0..told.len()).find(|at| {
            let has_cut = answer[*at].iter().any(|one| matches!(one.op, Op::Above | Op::AtMost));
            !used[*at] && is_same(cause, &told[*at], if has_cut { SAME_CUT } else { 1.0 })
        });
        if let Some(at) = found {
            used[at] = true;
            hits += 1;
        }
    }
    Judged {
        is_exact: hits == causes.len() && told.len() == causes.len(),
        hits,
        causes: causes.len(),
        told: told.len(),
    }
}

fn is_same(one: &[bool], other: &[bool], least: f64) -> bool {
    let both = one.iter().zip(other).filter(|(one, other)| **one && **other).count();
    let either = one.iter().zip(other).filter(|(one, other)| **one || **other).count();
    both as f64 >= least * either as f64
}

fn rows(world: &World, conditions: &[Condition]) -> Vec<bool> {
    let mut rows = vec![true; world.rows()];
    for one in conditions {
        let Some(attribute) = (0..world.values.len()).find(|attribute| name(*attribute) == one.attribute) else {
            continue;
        };
        match &world.values[attribute] {
            Values::Words(words) => {
                let is = |word: u32| match one.op {
                    Op::Is => text(word) == one.value,
                    Op::IsNot => text(word) != one.value,
                    Op::Absent | Op::Present | Op::AtMost | Op::Above => false,
                };
                let truth: Vec<bool> = (0..world.values[attribute].count()).map(is).collect();
                // What is absent is any other value, too.
                let absent = matches!(one.op, Op::Absent | Op::IsNot);
                let holds = |word: u32| match truth.get(word as usize) {
                    Some(is) => *is || one.op == Op::Present,
                    None => absent,
                };
                rows.iter_mut().zip(words).for_each(|(so_far, word)| *so_far &= holds(*word));
            }
            Values::Numbers(numbers) => {
                let cut: f64 = one.value.parse().unwrap_or(f64::NAN);
                rows.iter_mut().zip(numbers).for_each(|(holds, number)| {
                    *holds &= match one.op {
                        Op::Above => *number > cut,
                        Op::AtMost => *number <= cut,
                        Op::Is => *number == cut,
                        Op::IsNot => *number != cut,
                        Op::Absent => number.is_nan(),
                        Op::Present => !number.is_nan(),
                    }
                });
            }
        }
    }
    rows
}
