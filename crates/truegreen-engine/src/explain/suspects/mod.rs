//! Where failing requests leave the way of healthy ones.
//!
//! Reading order: `cases` (requests, by kind and side), `edges` (which of a recording are whole), `ways` (each request as
//! sequences of events), `chance` (whether a difference is more than chance), `structure` (what is missing or new), `measure`,
//! `pace` and `sizes` (what is slow or repeated), `blame` (slow places to instances), `credit` (the cause, not the symptom),
//! `told` and `telling` (suspects in words), `ruled_out`, `loose` (logs that name no trace).
//!
//! Everything is counted per request, never in absolute numbers, so that stretches of any length and traffic can be compared;
//! and by kind of request, so that another mix of them is no difference.

mod blame;
mod cases;
mod chance;
mod credit;
mod edges;
mod loose;
mod measure;
mod pace;
mod ruled_out;
mod sizes;
mod structure;
mod telling;
#[cfg(test)]
mod tests;
mod told;
mod ways;

use std::collections::{BTreeMap, BTreeSet};

use truegreen_model::suspect::{Certainty, Diagnosis};

use super::recording::Recording;
pub use cases::Case;
use cases::Cases;
use credit::{Account, Deviating, Label};
pub use edges::Recorded;
use measure::Measure;
use pace::Pace;
use structure::{Change, Structure};
use ways::Ways;

/// Part of all that deviates which one suspect must account for to be the cause alone.
const MOST: f64 = 0.5;
/// Suspects whose weights are no further apart than odds of twenty to one cannot be told apart.
const TIED: f64 = 3.0;
/// Suspects that are named; the others explain less than each of these.
const NAMED: usize = 10;

/// Where `failing` requests leave the way of `normal` ones. Both are of the same recording. Failing requests need not all
/// have failed: those of a stretch of time will do, of which some did. Without requests on both sides there is nothing to
/// compare, and the verdict says so.
pub fn suspects(recording: &Recording, normal: &[Case], failing: &[Case]) -> Diagnosis {
    let cases = Cases::new(recording, normal, failing);
    if normal.is_empty() || failing.is_empty() {
        return telling::nothing_to_compare(&cases);
    }
    let ways = Ways::of(&cases);
    let structure = structure::compare(&cases, &ways);
    let pace = pace::compare(&cases, &ways);
    let comparisons = structure.tested.len() + pace.tested.len();
    let errors = structure.tested.iter().filter(|tested| tested.is_error).count();
    // Errors are few among all that is compared, and most failures show by one: half of what chance may do is theirs.
    let needed = Needed { errors: chance::needed(errors), others: chance::needed(comparisons - errors) };
    let (deviating, slow) = deviating(&structure, &pace, needed);
    let needed = needed.errors.min(needed.others);
    let (accounts, any) = credit::credit(&cases, &ways, &pace, &deviating, needed);
    let found =
        Found { cases: &cases, ways: &ways, structure: &structure, pace: &pace, slow: &slow, accounts: &accounts };
    let mut named = found.ranked(needed);
    let certainty = certainty(&named, &accounts, any, &cases);
    named.truncate(NAMED);
    let mut diagnosis = telling::diagnosis(&found, named, certainty, comparisons);
    loose::add(&cases, &mut diagnosis);
    diagnosis
}

/// Weights that are more than chance.
#[derive(Clone, Copy, Debug)]
struct Needed {
    errors: f64,
    others: f64,
}

/// All that was found, for telling it.
struct Found<'f> {
    cases: &'f Cases<'f>,
    ways: &'f Ways,
    structure: &'f Structure,
    pace: &'f Pace,
    slow: &'f [blame::Slow],
    accounts: &'f BTreeMap<Label, Account>,
}

impl Found<'_> {
    /// Labels with their ranks, the weightiest first.
    fn ranked(&self, needed: f64) -> Vec<(u32, Label)> {
        let mut labels: Vec<(f64, Label)> = self
            .accounts
            .iter()
            .filter(|(_, account)| account.weight >= needed)
            .map(|(label, account)| (account.weight, *label))
            .collect();
        labels.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut ranked = Vec::with_capacity(labels.len());
        let mut leader = (0, f64::INFINITY);
        for (n, (weight, label)) in labels.into_iter().enumerate() {
            if n == 0 || leader.1 - weight > TIED {
                leader = (n as u32 + 1, weight);
            }
            ranked.push((leader.0, label));
        }
        ranked
    }
}

/// What is beyond chance: its weight divided by how much more than chance the halves of normal differ, less what they differ
/// in this very thing, is as much as all comparisons together need.
fn deviating(structure: &Structure, pace: &Pace, needed: Needed) -> (Deviating, Vec<blame::Slow>) {
    let mut deviating = Deviating::default();
    let spread = chance::spread(structure.tested.iter().map(|tested| tested.natural));
    for tested in &structure.tested {
        let needed = if tested.is_error { needed.errors } else { needed.others };
        if tested.weight / spread - tested.natural < needed {
            continue;
        }
        match tested.what {
            Change::Missing { after, .. } => deviating.missing.entry(after).or_default().push(tested.what),
            Change::New { point, .. } => deviating.new.entry(point).or_default().push(tested.what),
        }
    }
    let spread = chance::spread(pace.tested.iter().map(|tested| tested.natural));
    let is_beyond_natural = pace.beyond_natural();
    let mut significant: BTreeMap<u32, f64> = BTreeMap::new();
    for tested in &pace.tested {
        let weight = tested.weight / spread - tested.natural;
        if weight >= needed.others && is_beyond_natural(tested.what) {
            significant.insert(tested.what, weight);
        }
    }
    // Over all instances only where none of them is known to be slow by itself.
    let known: BTreeSet<u32> = pace.siblings(significant.keys().copied().filter(|id| !pace.pooled.contains(id)));
    significant.retain(|id, _| !known.contains(id));
    let is_repeat = |id: &u32| matches!(pace.measures[*id as usize], Measure::Repeats(_));
    deviating.repeated = significant.keys().copied().filter(is_repeat).collect();
    let slow = blame::groups(pace, &significant);
    for (group, of) in slow.iter().enumerate() {
        deviating.slow.extend(of.measures.iter().map(|measure| (*measure, group as u32)));
    }
    (deviating, slow)
}

/// CONFIRMED: one first suspect accounts for at least half of the failing requests that deviate more than normal ones do.
/// LIKELY: there is a first suspect. INCONCLUSIVE: there is none.
fn certainty(ranked: &[(u32, Label)], accounts: &BTreeMap<Label, Account>, any: u32, cases: &Cases<'_>) -> Certainty {
    let Some(account) = ranked.first().and_then(|(_, label)| accounts.get(label)) else {
        return Certainty::Inconclusive;
    };
    let [first, second, failing] = cases.totals.map(f64::from);
    let usual = |requests: [u32; 3]| f64::from(requests[0] + requests[1]) * failing / (first + second).max(1.0);
    let excess = |requests: [u32; 3]| f64::from(requests[cases::FAILING]) - usual(requests);
    let all = f64::from(any) - accounts.values().map(|account| usual(account.requests)).sum::<f64>();
    let is_alone = ranked.get(1).is_none_or(|(rank, _)| *rank > 1);
    if is_alone && excess(account.requests) >= MOST * all { Certainty::Confirmed } else { Certainty::Likely }
}
