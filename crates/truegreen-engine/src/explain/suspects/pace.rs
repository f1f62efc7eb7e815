//! Time, and repetition: how long each place takes in its own work, how long calls take on their way, how often the same
//! is done in one request.
//!
//! A span's own time is its duration without what its children cover, so that a slow callee does not make its callers
//! slow. Of a call to another service that shows, it is the time on the way. What is tested is how many requests
//! are beyond what 95 of 100 normal ones keep to: that holds for any distribution, and finds what is slow for a tenth
//! of requests only.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::recording::Name;
use super::cases::{ALL, Cases, FAILING, Stratum};
use super::chance::{self, Sides};
use super::measure::{Measure, grain, own_time};
use super::sizes::{Base, NATURAL, Shared, Size, limits, sides, size};
use super::structure::Tested;
use super::ways::{Item, Ways};

/// Share of normal requests that are not beyond.
const USUAL: f64 = 0.95;
/// Fewest normal values that give a threshold.
const ENOUGH: usize = 30;

/// One value of one case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) measure: u32,
    /// The same over all instances.
    pub(super) any: u32,
    pub(super) case: u32,
    /// The walk in which it was the largest.
    pub(super) walk: u32,
    value: f64,
}

/// All comparisons of times and repetitions.
#[derive(Debug, Default)]
pub(super) struct Pace {
    pub(super) measures: Vec<Measure>,
    pub(super) readings: Vec<Reading>,
    pub(super) tested: Vec<Tested<u32>>,
    pub(super) sizes: HashMap<u32, Size, FixedState>,
    /// Measures over all instances of what is measured at each.
    pub(super) pooled: BTreeSet<u32>,
    ids: HashMap<Measure, u32, FixedState>,
    bases: HashMap<(u32, Stratum), Base, FixedState>,
    shared: Shared,
}

pub(super) fn compare(cases: &Cases<'_>, ways: &Ways) -> Pace {
    let mut pace = Pace::default();
    pace.read(cases, ways);
    pace.base(cases);
    // Once to know what all services have in common, and again without it.
    pace.test(cases);
    pace.shared = Shared::of(&pace.sized(true));
    pace.test(cases);
    pace
}

impl Pace {
    fn id(&mut self, measure: Measure) -> u32 {
        let next = self.measures.len() as u32;
        *self.ids.entry(measure).or_insert_with(|| {
            self.measures.push(measure);
            next
        })
    }

    fn read(&mut self, cases: &Cases<'_>, ways: &Ways) {
        let recording = cases.recording;
        let grain = grain(recording);
        // Per case: sum, count, and the largest with its walk.
        let mut of_case: BTreeMap<u32, (f64, u32, f64, u32)> = BTreeMap::new();
        let mut passes: HashMap<u32, u32, FixedState> = HashMap::default();
        for case in 0..cases.all.len() {
            of_case.clear();
            let mut add = |id: u32, value: f64, walk: usize| {
                let entry = of_case.entry(id).or_insert((0.0, 0, f64::MIN, 0));
                *entry = (entry.0 + value, entry.1 + 1, entry.2, entry.3);
                if value > entry.2 {
                    (entry.2, entry.3) = (value, walk as u32);
                }
            };
            for at in ways.of_case[case].clone() {
                let walk = &ways.walks[at];
                if let Some((measure, value)) = own_time(recording, walk) {
                    let id = self.id(measure);
                    add(id, value as f64, at);
                }
                passes.clear();
                for step in ways.steps(walk) {
                    if !matches!(ways.points[step.point as usize].item, Item::Start | Item::End) {
                        *passes.entry(step.point).or_default() += 1;
                    }
                }
                let mut passes: Vec<_> = passes.iter().map(|(point, n)| (*point, *n)).collect();
                passes.sort_unstable();
                for (point, n) in passes {
                    let id = self.id(Measure::Repeats(point));
                    add(id, f64::from(n), at);
                }
            }
            for (&measure, &(sum, n, largest, walk)) in &of_case {
                let what = self.measures[measure as usize];
                let any = self.id(what.of_any());
                if any != measure {
                    self.pooled.insert(any);
                }
                // A mean, so that a request that does something more often is not slower for it.
                let value = if what.is_time() { (sum / f64::from(n) + grain).ln() } else { largest.ln() };
                self.readings.push(Reading { measure, any, case: case as u32, walk, value });
            }
        }
    }

    fn base(&mut self, cases: &Cases<'_>) {
        for reading in &self.readings {
            let (stratum, side) = (cases.strata[reading.case as usize], cases.sides[reading.case as usize]);
            if usize::from(side) == FAILING {
                continue;
            }
            for id in [Some(reading.measure), Some(reading.any).filter(|any| *any != reading.measure)] {
                let Some(id) = id else { continue };
                for stratum in [stratum, ALL] {
                    let base = self.bases.entry((id, stratum)).or_default();
                    base.halves[usize::from(side)].push(reading.value);
                }
            }
        }
        self.bases.retain(|_, base| base.len() >= ENOUGH);
        for base in self.bases.values_mut() {
            let mut all: Vec<f64> = base.halves.iter().flatten().copied().collect();
            base.threshold = chance::quantile(&mut all, USUAL);
        }
    }

    /// What a value is held against: the same instance and kind of request before any.
    fn base_of(&self, reading: &Reading, stratum: Stratum) -> Option<(u32, Stratum)> {
        let keys = [(reading.measure, stratum), (reading.any, stratum), (reading.measure, ALL), (reading.any, ALL)];
        keys.into_iter().find(|key| self.bases.contains_key(key))
    }

    /// A value without what all failing requests have in common.
    fn value(&self, cases: &Cases<'_>, reading: &Reading) -> f64 {
        let is_failing = usize::from(cases.sides[reading.case as usize]) == FAILING;
        let is_time = self.measures.get(reading.measure as usize).is_some_and(|measure| measure.is_time());
        if is_failing && is_time { reading.value - self.shared.middle } else { reading.value }
    }

    /// Whether a value is beyond what is usual.
    pub(super) fn is_beyond(&self, cases: &Cases<'_>, reading: &Reading) -> bool {
        let base = self.base_of(reading, cases.strata[reading.case as usize]).and_then(|key| self.bases.get(&key));
        base.is_some_and(|base| self.value(cases, reading) > base.threshold)
    }

    /// The measures over all instances of these.
    pub(super) fn siblings(&self, of: impl Iterator<Item = u32>) -> BTreeSet<u32> {
        of.filter_map(|id| self.measures.get(id as usize))
            .filter_map(|measure| self.ids.get(&measure.of_any()).copied())
            .filter(|any| self.pooled.contains(any))
            .collect()
    }

    /// By how much everything takes longer than normal: 0.3 for three tenths.
    pub(super) fn load(&self) -> f64 {
        self.shared.middle.exp() - 1.0
    }

    fn test(&mut self, cases: &Cases<'_>) {
        let mut failing: BTreeMap<(u32, (u32, Stratum)), Vec<f64>> = BTreeMap::new();
        for reading in &self.readings {
            if usize::from(cases.sides[reading.case as usize]) != FAILING {
                continue;
            }
            if let Some(key) = self.base_of(reading, cases.strata[reading.case as usize]) {
                let value = self.value(cases, reading);
                failing.entry((reading.measure, key)).or_default().push(value);
                // What is too rare at each instance may be enough at all of them.
                if reading.any != reading.measure {
                    failing.entry((reading.any, key)).or_default().push(value);
                }
            }
        }
        let failing: Vec<_> = failing.into_iter().collect();
        self.tested.clear();
        for of_measure in failing.chunk_by(|a, b| a.0.0 == b.0.0) {
            let id = of_measure[0].0.0;
            let groups: Vec<_> =
                of_measure.iter().filter_map(|((_, key), values)| Some((values, self.bases.get(key)?))).collect();
            let (strata, halves): (Vec<Sides>, Vec<Sides>) =
                groups.iter().map(|(values, base)| sides(values, base)).unzip();
            let shown: f64 = strata.iter().map(|s| s.failing_shown).sum();
            let n: f64 = strata.iter().map(|s| s.failing).sum();
            let usual: f64 = strata.iter().map(|s| s.normal_shown / s.normal.max(1.0) * s.failing).sum();
            let (weight, natural) = (chance::weight(&strata), chance::weight(&halves));
            let shares = (shown / n.max(1.0), usual / n.max(1.0));
            let size = size(&groups);
            self.tested.push(Tested { what: id, is_error: false, weight, natural, shares });
            self.sizes.insert(id, size);
        }
    }

    /// Those measures whose change is beyond what is natural in size, whatever its weight.
    pub(super) fn beyond_natural(&self) -> impl Fn(u32) -> bool + '_ {
        let times: Vec<(Option<Name>, Size)> = self.sized(true);
        let counts: Vec<(Option<Name>, Size)> = self.sized(false);
        let bounds = [(limits(&times), self.shared.spread), (limits(&counts), 0.0)];
        move |id| {
            let (Some(measure), Some(size)) = (self.measures.get(id as usize), self.sizes.get(&id)) else {
                return false;
            };
            let ((middle, slowest), spread) = bounds[usize::from(!measure.is_time())];
            size.change.0 > middle.max(NATURAL * spread) || size.change.1 > slowest.max(NATURAL * spread)
        }
    }

    fn sized(&self, of_time: bool) -> Vec<(Option<Name>, Size)> {
        let measures = self.measures.iter().enumerate().filter(|(_, measure)| measure.is_time() == of_time);
        measures.filter_map(|(id, measure)| Some((measure.service(), *self.sizes.get(&(id as u32))?))).collect()
    }
}
