//! By how much times and repetitions changed, and what of that is natural.

use std::collections::BTreeMap;

use super::super::recording::Name;
use super::chance::{self, Sides};

/// A change is natural unless it is more than so many times the spread between the halves of normal: of a normal
/// distribution 1 in 700 is.
pub(super) const NATURAL: f64 = 3.0;
/// Less than a tenth slower is nothing that anybody asks about.
const LEAST: f64 = 0.1;
/// Fewest services whose middle says what all of them have in common: of three one may have a fault.
const MANY_SERVICES: usize = 3;
/// A normal distribution's deviation, from the median of what lies off its middle.
const STANDARD: f64 = 1.4826;

/// What is known of a measure beyond its weight.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    /// Normal and failing: the middle, and what a tenth is beyond; in nanoseconds, or how often.
    pub(super) middle: (f64, f64),
    pub(super) slowest: (f64, f64),
    /// Failing requests with a value.
    pub(super) failing: u64,
    /// Logarithm of the ratio of the middles, and of the tenths; the same between the halves of normal.
    pub(super) change: (f64, f64),
    natural: (f64, f64),
}

/// Normal values of one measure in one kind of request.
#[derive(Debug, Default)]
pub(super) struct Base {
    pub(super) halves: [Vec<f64>; 2],
    pub(super) threshold: f64,
}

impl Base {
    pub(super) fn len(&self) -> usize {
        self.halves.iter().map(Vec::len).sum()
    }
}

/// What all services have in common between normal and failing, as under another load: the middle of their changes, and how
/// these are spread. A fault in one service moves neither.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shared {
    pub(super) middle: f64,
    pub(super) spread: f64,
}

impl Shared {
    pub(super) fn of(sizes: &[(Option<Name>, Size)]) -> Shared {
        let mut by_service: BTreeMap<Name, Vec<f64>> = BTreeMap::new();
        for (service, size) in sizes {
            if let Some(service) = service {
                by_service.entry(*service).or_default().push(size.change.0);
            }
        }
        if by_service.len() < MANY_SERVICES {
            return Shared::default();
        }
        let mut middles: Vec<f64> = by_service.into_values().map(|mut of| chance::quantile(&mut of, 0.5)).collect();
        let middle = chance::quantile(&mut middles, 0.5).max(0.0);
        let mut away: Vec<f64> = middles.iter().map(|value| (value - middle).abs()).collect();
        Shared { middle, spread: STANDARD * chance::quantile(&mut away, 0.5) }
    }
}

/// What changes between the halves of normal, of middles and of tenths.
pub(super) fn limits(sizes: &[(Option<Name>, Size)]) -> (f64, f64) {
    let limit = |pick: fn(&Size) -> f64| {
        let mut away: Vec<f64> = sizes.iter().map(|(_, size)| pick(size).abs()).collect();
        (NATURAL * STANDARD * chance::quantile(&mut away, 0.5)).max(LEAST)
    };
    (limit(|size| size.natural.0), limit(|size| size.natural.1))
}

/// Failing against normal, and the second half of normal against the first.
pub(super) fn sides(values: &[f64], base: &Base) -> (Sides, Sides) {
    let beyond = |values: &[f64]| values.iter().filter(|value| **value > base.threshold).count() as f64;
    let [first, second] = &base.halves;
    let (in_first, in_second) = (beyond(first), beyond(second));
    let against = Sides {
        failing: values.len() as f64,
        failing_shown: beyond(values),
        normal: base.len() as f64,
        normal_shown: in_first + in_second,
    };
    let halves = Sides {
        failing: second.len() as f64,
        failing_shown: in_second,
        normal: first.len() as f64,
        normal_shown: in_first,
    };
    (against, halves)
}

pub(super) fn size(groups: &[(&Vec<f64>, &Base)]) -> Size {
    let failing: usize = groups.iter().map(|(values, _)| values.len()).sum();
    let mut size = Size { failing: failing as u64, ..Size::default() };
    let all = failing as f64;
    for (values, base) in groups {
        let part = values.len() as f64 / all.max(1.0);
        let mut normal: Vec<f64> = base.halves.iter().flatten().copied().collect();
        let (mut failing, mut first, mut second) = ((*values).clone(), base.halves[0].clone(), base.halves[1].clone());
        let mut at = |share: f64| {
            let pick = |values: &mut Vec<f64>| chance::quantile(values, share);
            (pick(&mut normal), pick(&mut failing), pick(&mut second) - pick(&mut first))
        };
        let (middle, slowest) = (at(0.5), at(0.9));
        size.change.0 += part * (middle.1 - middle.0);
        size.change.1 += part * (slowest.1 - slowest.0);
        size.natural.0 += part * middle.2;
        size.natural.1 += part * slowest.2;
        size.middle = (size.middle.0 + part * middle.0.exp(), size.middle.1 + part * middle.1.exp());
        size.slowest = (size.slowest.0 + part * slowest.0.exp(), size.slowest.1 + part * slowest.1.exp());
    }
    size
}
