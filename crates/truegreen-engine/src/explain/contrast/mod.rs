//! What is different about the failing rows of a table.
//!
//! A set of conjunctions is a model of the failure rate of each row; the answer is the set that explains most for its price.
//! The price of a condition is the logarithm of how many there are to choose from, so that what is found by trying much must
//! be worth more: that is the control of false discoveries.
//!
//! 1. [`table`]: attempts with their attributes and outcome.
//! 2. `screen`: attributes that can be no cause. `sample`: rows that are searched. `view`: columns as bins.
//! 3. `search`: conjunctions that are worth their price, on `postings`, `known`, `tally` and `likelihood`. `cells`, `selection`: the set of them.
//! 4. `pool`, `fit`: both until nothing is left; `dispersion`, `kin`: by what rows and values differ anyway; `cut`: where numbers part.
//! 5. `before`: what was to be expected. `evidence`, `scatter`: the numbers that are told, counted on all rows. `words`: the verdict.

mod before;
mod bits;
mod cells;
mod cut;
mod dispersion;
mod evidence;
mod fit;
mod kin;
mod known;
mod likelihood;
mod pool;
mod postings;
mod sample;
mod scatter;
mod screen;
mod search;
mod selection;
pub mod table;
mod tally;
#[cfg(test)]
mod tests;
mod view;
mod words;

use truegreen_model::contrast::{Alternative, Contrast, Op};

use bits::Bits;
use evidence::Evidence;
use fit::{Fit, Part, Problem};
pub use table::{Full, Outcome, Table, decimal};
use view::Exact;

/// Explanations whose adjusted chance is more than this are not told as such.
const CHANCE: f64 = 0.01;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Attributes that are left out, by name.
    pub ignore: Vec<String>,
    /// Runners-up at most.
    pub top: usize,
    /// Conditions of one explanation at most, 1 to 3.
    pub max_conditions: usize,
    /// Explanations at most.
    pub max_explanations: usize,
    /// "Anything but this value" may explain.
    pub opposites: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { ignore: Vec::new(), top: 5, max_conditions: 3, max_explanations: 6, opposites: true }
    }
}

/// What is different about the failing rows: the smallest set of conditions that explains them, and what nearly did.
///
/// Where rows of the time before are in the table, those are not explained: they tell what was to be expected of the others.
pub fn contrast(table: &Table, options: &Options) -> Contrast {
    let (considered, ignored) = screen::screen(table, &options.ignore);
    let plain = Problem { table, considered: &considered, usual: None, options };
    let mut contrast = Contrast { attributes: considered.len(), ignored, ..Contrast::default() };
    let sum = |of: &[u64]| -> u64 {
        of.iter().enumerate().filter(|(row, _)| !evidence::is_before(table, *row)).map(|(_, n)| n).sum()
    };
    (contrast.failing, contrast.attempts) = (sum(&table.bad), sum(&table.attempts));
    let is_comparable = contrast.failing > 0 && contrast.failing < contrast.attempts && !considered.is_empty();
    if is_comparable {
        let usual = before::has_before(table).then(|| before::Usual::of(&plain));
        let problem = Problem { usual: usual.as_ref(), ..plain };
        let fit = problem.fit(|row| !evidence::is_before(table, row));
        tell(&problem, fit, &mut contrast);
    }
    let (verdict, summary) = words::verdict(&contrast);
    contrast.verdict = verdict.to_owned();
    contrast.summary = summary;
    contrast
}

fn tell(problem: &Problem<'_>, fit: Fit, contrast: &mut Contrast) {
    let mut evidence = Evidence::new(problem, fit.spread);
    let rows = problem.table.rows();
    let bits: Vec<Bits> = fit.parts.iter().map(|part| evidence.bits(&part.conditions)).collect();
    evidence.explain(&bits);
    let others = |but: Option<usize>| {
        let mut others = Bits::none(rows);
        bits.iter().enumerate().filter(|(at, _)| Some(*at) != but).for_each(|(_, own)| others.or(own));
        others
    };
    let mut places = vec![None; fit.parts.len()];
    let mut doubtful = Vec::new();
    for (at, part) in fit.parts.iter().enumerate() {
        let explanation = evidence.tell(part, &bits[at], &others(Some(at)));
        // The likelihood is only near the truth where counts are small: the exact test has the last word.
        if explanation.p_value <= CHANCE {
            places[at] = Some(contrast.explanations.len());
            contrast.explanations.push(explanation);
        } else {
            doubtful.push(Alternative { explanation, instead_of: None, tie: false });
        }
    }
    contrast.covered = {
        let mut covered = Bits::none(rows);
        let told = bits.iter().zip(&places).filter(|(_, place)| place.is_some());
        told.for_each(|(own, _)| covered.or(own));
        let sum = evidence.sum(&covered, &Bits::none(rows));
        sum.bad as f64 / evidence.whole.bad.max(1) as f64
    };
    contrast.alternatives = doubtful;
    let mut told: Vec<Told> = Vec::new();
    let parts = fit.parts.iter().zip(bits.iter().cloned());
    told.extend(parts.map(|(part, bits)| Told { conditions: part.conditions.clone(), bits }));
    for one in fit.runners_up {
        if contrast.alternatives.len() >= problem.options.top {
            break;
        }
        let place = one.instead_of.and_then(|at| places[at]);
        let own = evidence.bits(&one.part.conditions);
        let tie = one.is_same && one.instead_of.is_some_and(|at| bits[at] == own);
        // What covers the same rows as another runner-up says nothing that this one does not.
        if told.iter().any(|other| says_the_same(&other.conditions, &one.part) || !tie && other.bits == own) {
            continue;
        }
        let explanation = evidence.tell(&one.part, &own, &others(one.instead_of));
        // Beside an answer nothing is a runner-up that chance would bring.
        if !tie && !contrast.explanations.is_empty() && explanation.p_value > CHANCE {
            continue;
        }
        told.push(Told { conditions: one.part.conditions, bits: own });
        contrast.alternatives.push(Alternative { explanation, instead_of: place, tie });
    }
}

/// What was told already.
struct Told {
    conditions: Vec<Exact>,
    bits: Bits,
}

/// The same but for where numbers are cut; or anything but some value of an attribute of which another was told.
fn says_the_same(one: &[Exact], other: &Part) -> bool {
    let is_opposite = |one: &Exact| one.op == Op::IsNot;
    if let [opposite] = &other.conditions[..]
        && is_opposite(opposite)
    {
        return one.len() == 1 && one[0].column == opposite.column;
    }
    one.len() == other.conditions.len()
        && one.iter().zip(&other.conditions).all(|(one, other)| {
            let is_cut = matches!(one.op, Op::AtMost | Op::Above);
            one.column == other.column && one.op == other.op && (is_cut || one.value == other.value)
        })
}
