//! Requests, and which kind each of them is.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::recording::{Name, Recording, Trace};

/// A request: a trace, or a journey of several.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Case {
    /// Where in [`Recording::traces`] its traces stand.
    pub traces: Vec<u32>,
}

/// Normal requests are looked at in two halves by time, since what differs between these is natural.
pub(super) const FAILING: usize = 2;

/// A kind of request, by its first operation; [`ALL`] for whatever kind.
pub(super) type Stratum = u32;
pub(super) const ALL: Stratum = u32::MAX;
/// Normal requests of a kind below which failing ones are compared with normal ones of all kinds.
pub(super) const FEW: u32 = 10;

/// All requests of both sides, normal ones first.
pub(super) struct Cases<'r> {
    pub(super) recording: &'r Recording,
    pub(super) all: Vec<&'r Case>,
    /// 0 and 1 for the halves of normal, [`FAILING`].
    pub(super) sides: Vec<u8>,
    pub(super) strata: Vec<Stratum>,
    /// How many of each side there are of each kind.
    pub(super) of_stratum: Vec<[u32; 3]>,
    pub(super) totals: [u32; 3],
}

impl<'r> Cases<'r> {
    pub(super) fn new(recording: &'r Recording, normal: &'r [Case], failing: &'r [Case]) -> Cases<'r> {
        let mut all: Vec<&Case> = normal.iter().collect();
        let start = |case: &&Case| traces(recording, case).map(|trace| trace.start).min().unwrap_or(0);
        all.sort_by_key(start);
        let half = all.len().div_ceil(2);
        let mut sides: Vec<u8> = (0..all.len()).map(|n| u8::from(n >= half)).collect();
        all.extend(failing);
        sides.resize(all.len(), FAILING as u8);
        let mut cases = Cases { recording, all, sides, strata: Vec::new(), of_stratum: Vec::new(), totals: [0; 3] };
        cases.sort_by_kind();
        cases
    }

    fn sort_by_kind(&mut self) {
        let mut kinds: HashMap<(Name, Name), Stratum, FixedState> = HashMap::default();
        for (case, side) in self.all.iter().zip(&self.sides) {
            let kind = entry(self.recording, case);
            let next = kinds.len() as Stratum;
            let stratum = *kinds.entry(kind).or_insert(next);
            if stratum == next {
                self.of_stratum.push([0; 3]);
            }
            self.strata.push(stratum);
            self.of_stratum[stratum as usize][usize::from(*side)] += 1;
            self.totals[usize::from(*side)] += 1;
        }
    }

    pub(super) fn traces(&self, case: usize) -> impl Iterator<Item = &'r Trace> + use<'r> {
        traces(self.recording, self.all[case])
    }

    /// Whether there are enough normal requests of this kind to compare with.
    pub(super) fn is_known(&self, stratum: Stratum) -> bool {
        self.of_stratum.get(stratum as usize).is_some_and(|[first, second, _]| first + second >= FEW)
    }
}

fn traces<'r>(recording: &'r Recording, case: &'r Case) -> impl Iterator<Item = &'r Trace> + use<'r> {
    case.traces.iter().filter_map(|trace| recording.traces().get(*trace as usize))
}

/// Service and operation of the first span, else of the first log.
fn entry(recording: &Recording, case: &Case) -> (Name, Name) {
    let first = traces(recording, case).min_by_key(|trace| (trace.start, trace.id));
    let Some(trace) = first else { return (Name::EMPTY, Name::EMPTY) };
    match (recording.spans_of(trace).first(), recording.logs_of(trace).first()) {
        (Some(span), _) => (span.service, span.operation),
        (None, Some(log)) => (log.service, log.says()),
        (None, None) => (Name::EMPTY, Name::EMPTY),
    }
}

/// How many requests of each side, by key and kind.
#[derive(Debug, Default)]
pub(super) struct Tally<K> {
    counts: HashMap<(K, Stratum), [u32; 3], FixedState>,
}

impl<K: std::hash::Hash + Eq + Copy + Ord> Tally<K> {
    pub(super) fn new() -> Self {
        Tally { counts: HashMap::default() }
    }

    pub(super) fn add(&mut self, key: K, stratum: Stratum, side: u8) {
        for stratum in [stratum, ALL] {
            self.counts.entry((key, stratum)).or_default()[usize::from(side)] += 1;
        }
    }

    pub(super) fn get(&self, key: K, stratum: Stratum) -> [u32; 3] {
        self.counts.get(&(key, stratum)).copied().unwrap_or_default()
    }

    pub(super) fn keys(&self) -> Vec<K> {
        let mut keys: Vec<K> = self.counts.keys().filter(|(_, stratum)| *stratum == ALL).map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }
}
