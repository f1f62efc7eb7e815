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

use super::super::recording::{Name, Recording, Span};
use super::cases::{ALL, Cases, FAILING, Stratum};
use super::chance::{self, Sides};
use super::structure::Tested;
use super::ways::{Item, Place, Walk, Ways, place_of};

/// Share of normal requests that are not beyond.
const USUAL: f64 = 0.95;
/// Fewest normal values that give a threshold.
const ENOUGH: usize = 30;
/// A change is natural unless it is more than so many times the spread between the halves of normal: of a normal
/// distribution 1 in 700 is.
const NATURAL: f64 = 3.0;
/// Less than a tenth slower is nothing that anybody asks about.
const LEAST: f64 = 0.1;
/// Fewest services whose middle says what all of them have in common: of three one may have a fault.
const MANY_SERVICES: usize = 3;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Measure {
    /// Own time of this place at this instance.
    Own(Place, Name),
    /// Time on the way between two services, at these instances: caller, callee.
    Way((Name, Name), (Name, Name)),
    /// How often a point is passed in one span.
    Repeats(u32),
}

impl Measure {
    /// The same whatever the instance.
    fn of_any(self) -> Measure {
        match self {
            Measure::Own(place, _) => Measure::Own(place, Name::EMPTY),
            Measure::Way((from, _), (to, _)) => Measure::Way((from, Name::EMPTY), (to, Name::EMPTY)),
            repeats @ Measure::Repeats(_) => repeats,
        }
    }

    fn is_time(self) -> bool {
        !matches!(self, Measure::Repeats(_))
    }

    /// Service for which it speaks when services are one another's controls.
    fn service(self) -> Option<Name> {
        match self {
            Measure::Own(place, _) => Some(place.service),
            Measure::Way(_, (to, _)) => Some(to),
            Measure::Repeats(_) => None,
        }
    }
}

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

/// What is known of a measure beyond its weight.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    /// Normal and failing: the middle, and what a tenth is beyond; in nanoseconds, or how often.
    pub(super) middle: (f64, f64),
    pub(super) slowest: (f64, f64),
    /// Failing requests with a value.
    pub(super) failing: u64,
    /// Logarithm of the ratio of the middles, and of the tenths; the same between the halves of normal.
    change: (f64, f64),
    natural: (f64, f64),
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

/// Normal values of one measure in one kind of request.
#[derive(Debug, Default)]
struct Base {
    halves: [Vec<f64>; 2],
    threshold: f64,
}

impl Base {
    fn len(&self) -> usize {
        self.halves.iter().map(Vec::len).sum()
    }
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

/// What all services have in common between normal and failing, as under another load: the middle of their changes, and how
/// these are spread. A fault in one service moves neither.
#[derive(Clone, Copy, Debug, Default)]
struct Shared {
    middle: f64,
    spread: f64,
}

impl Shared {
    fn of(sizes: &[(Option<Name>, Size)]) -> Shared {
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

/// A normal distribution's deviation, from the median of what lies off its middle.
const STANDARD: f64 = 1.4826;

/// What changes between the halves of normal, of middles and of tenths.
fn limits(sizes: &[(Option<Name>, Size)]) -> (f64, f64) {
    let limit = |pick: fn(&Size) -> f64| {
        let mut away: Vec<f64> = sizes.iter().map(|(_, size)| pick(size).abs()).collect();
        (NATURAL * STANDARD * chance::quantile(&mut away, 0.5)).max(LEAST)
    };
    (limit(|size| size.natural.0), limit(|size| size.natural.1))
}

/// Failing against normal, and the second half of normal against the first.
fn sides(values: &[f64], base: &Base) -> (Sides, Sides) {
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

fn size(groups: &[(&Vec<f64>, &Base)]) -> Size {
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

/// What clocks cannot tell apart: below it no ratio means anything. Many write whole milliseconds; else it is what a
/// scheduler takes or not.
fn grain(recording: &Recording) -> f64 {
    let whole = recording.spans().iter().all(|span| span.start % 1_000_000 == 0 && span.end % 1_000_000 == 0);
    if whole { 1_000_000.0 } else { 50_000.0 }
}

/// What a span measures, and its own time in nanoseconds.
fn own_time(recording: &Recording, walk: &Walk) -> Option<(Measure, u64)> {
    let at = walk.span? as usize;
    let span = recording.spans().get(at)?;
    let mut covered = 0;
    let mut until = span.start;
    let mut remote: Option<&Span> = None;
    let mut children = 0;
    for child in recording.children(at) {
        let child = &recording.spans()[child];
        children += 1;
        if child.service != span.service && remote.is_none() {
            remote = Some(child);
        }
        let (start, end) = (child.start.max(until), child.end.min(span.end));
        covered += end.saturating_sub(start);
        until = until.max(end);
    }
    let own = span.duration().saturating_sub(covered);
    let place = place_of(span);
    let inside = span.parent.is_some_and(|parent| recording.spans()[parent as usize].service == span.service);
    // Where roles are not told: inside its service, and all that it does is one thing of another.
    let is_call = place.is_client() || (!place.is_server() && inside && children == 1);
    let measure = match remote {
        Some(callee) if is_call => Measure::Way((span.service, span.instance), (callee.service, callee.instance)),
        _ => Measure::Own(place, span.instance),
    };
    Some((measure, own))
}
