//! Which ways on were never, or hardly ever, taken: what came next after the last one, two or three activities.
//!
//! Only for plain event logs, whose rows have an order; spans of one trace run side by side.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::counts::FOLDS;
use super::tolerance::{RARE, SUPPORT_OF_NEXT, upper};
use super::vocabulary::ActivityId;

/// Longest stretch that is looked back upon.
const LOOK_BACK: usize = 3;
/// Most pairs of a stretch and what came next; past it only the shorter stretches are counted.
const MAX_WAYS: usize = 2_000_000;

/// The case begins.
pub(crate) const START: u32 = u32::MAX;
/// The case is over.
pub(crate) const END: u32 = u32::MAX - 1;
const ALL: u32 = u32::MAX - 2;

/// How often each way on was taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Next {
    ways: HashMap<u64, [u32; FOLDS], FixedState>,
    /// Cases, and those that were seen to be over.
    cases: u32,
    ends: u32,
}

/// What came before, the latest last, and what then came.
pub(crate) fn ways(activities: impl Iterator<Item = ActivityId>, is_over: bool) -> Vec<u32> {
    let mut way = vec![START];
    way.extend(activities.map(|activity| activity.0));
    if is_over {
        way.push(END);
    }
    way
}

impl Next {
    pub(crate) fn learn(&mut self, way: &[u32], fold: usize) {
        self.cases += 1;
        self.ends += u32::from(way.last() == Some(&END));
        for at in 1..way.len() {
            for back in 1..=LOOK_BACK.min(at) {
                if back > 1 && self.ways.len() >= MAX_WAYS {
                    break;
                }
                let stretch = stretch(&way[at - back..at]);
                for next in [way[at], ALL] {
                    if let Some(count) = self.ways.entry(mix(stretch, next)).or_default().get_mut(fold) {
                        *count += 1;
                    }
                }
            }
        }
    }

    /// How rare it was to come here, as an upper bound of the share, where it was rare. `without` leaves a part of the
    /// cases out.
    pub(crate) fn surprise(&self, way: &[u32], at: usize, without: Option<usize>) -> Option<f64> {
        // Where most cases were still running at the end of the log, it does not tell where they may end.
        if way.get(at) == Some(&END) && self.ends * 2 < self.cases {
            return None;
        }
        let mut least: Option<f64> = None;
        for back in 1..=LOOK_BACK.min(at) {
            let stretch = stretch(&way[at - back..at]);
            let all = self.count(mix(stretch, ALL), without);
            if all < SUPPORT_OF_NEXT {
                break;
            }
            let taken = self.count(mix(stretch, way[at]), without);
            if f64::from(taken) <= RARE * f64::from(all) {
                let bound = upper(taken, all);
                least = Some(least.map_or(bound, |least| least.min(bound)));
            }
        }
        least
    }

    fn count(&self, way: u64, without: Option<usize>) -> u32 {
        let Some(counts) = self.ways.get(&way) else { return 0 };
        let all: u32 = counts.iter().sum();
        match without {
            Some(fold) => all - counts.get(fold).copied().unwrap_or(0),
            // As much as the parts knew when they were calibrated: more would make every bound a little lower.
            None => all - all / FOLDS as u32,
        }
    }
}

fn stretch(activities: &[u32]) -> u64 {
    activities.iter().fold(activities.len() as u64, |hash, activity| mix(hash, *activity))
}

fn mix(hash: u64, with: u32) -> u64 {
    let mixed = (hash ^ u64::from(with)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) ^ (mixed >> 32)
}
