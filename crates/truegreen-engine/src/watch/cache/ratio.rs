//! Caches whose entries have no names in telemetry: only hits and misses are seen, and writes of the tables that fill
//! them. Where entries go with their rows, so many misses follow so many writes. When they stop while writes and requests
//! go on as usual, the hit ratio is too good.
//!
//! It is watched in stretches of so many writes and requests. The fewest misses a write of any stretch lately are the
//! measure, halved: a cold cache, or one whose entries go for their age, has more. A stretch in which far more is written
//! for each request than usual, as by an import, is left out.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::finding::{FindingKind, FindingStatus};
use truegreen_model::observation::{Symbol, TraceId};
use truegreen_model::time::Timestamp;

use super::row::Cache;
use crate::finding::place::Place;
use crate::finding::{Example, PlaceFindings, Sign};
use crate::watch::View;
use crate::watch::table::Table;

/// A stretch lasts for so many requests and writes, and so long.
const ASKED: u64 = 200;
const WRITTEN: u64 = 20;
const LASTS: Duration = Duration::from_secs(30);
/// Stretches known before anything is said, and remembered.
const KNOWN: usize = 4;
const REMEMBERED: usize = 12;
/// Writes for each request are as usual up to so many times more or fewer.
const AS_USUAL: f64 = 2.0;
/// So few misses come by chance less often than this, were they half as many as in the stretch that had fewest.
const BY_CHANCE: f64 = 1e-7;
/// Tables that fill one cache.
const MAX_TABLES: usize = 4;

/// Caches whose entries have no names.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Unnamed {
    ratios: Table<Cache, Ratio>,
    /// How often each table was written.
    written: Table<Symbol, u64>,
}

/// One cache without names.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Ratio {
    /// The tables that fill it, and what was written to them when the stretch began.
    tables: SmallVec<[Symbol; 1]>,
    written_before: u64,
    since: Timestamp,
    asked: u64,
    missed: u64,
    stretches: VecDeque<Stretch>,
    /// That of the latest hit.
    trace: Option<TraceId>,
    service: Option<Symbol>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Stretch {
    misses_per_write: f64,
    writes_per_request: f64,
}

/// What a stretch that is over, or may be, says.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Says {
    Nothing,
    Well,
    /// Misses, requests and writes of the stretch, and the fewest misses a write of those before; since when.
    TooGood {
        missed: u64,
        asked: u64,
        written: u64,
        fewest: f64,
        since: Timestamp,
    },
}

impl Unnamed {
    pub(super) fn overflowed(&self) -> u64 {
        self.ratios.overflowed() + self.written.overflowed()
    }

    /// A table was written.
    pub(super) fn written(&mut self, table: Option<Symbol>) {
        if let Some(written) = table.and_then(|table| self.written.entry(table, || 0)) {
            *written += 1;
        }
    }

    /// A cache was asked.
    pub(super) fn asked(&mut self, cache: Cache, is_hit: bool, trace: TraceId, service: Symbol) {
        if let Some(ratio) = self.ratios.entry(cache, Ratio::default) {
            ratio.asked(is_hit, trace, service);
        }
    }

    /// A cache is filled from these tables.
    pub(super) fn filled(&mut self, cache: Cache, tables: &[Symbol]) {
        if let Some(ratio) = self.ratios.entry(cache, Ratio::default) {
            tables.iter().for_each(|table| ratio.fills(*table));
        }
    }

    /// Time passed.
    pub(super) fn tick(&mut self, view: &View<'_>, findings: &mut PlaceFindings) {
        for cache in self.ratios.keys() {
            self.look(cache, view, findings);
        }
    }

    /// Fewer entries go than rows are written.
    fn look(&mut self, cache: Cache, view: &View<'_>, findings: &mut PlaceFindings) {
        let Some(ratio) = self.ratios.get_mut(&cache) else { return };
        let written = |table: Symbol| self.written.get(&table).copied().unwrap_or(0);
        let service = ratio.service.unwrap_or(cache.owner);
        let place = Place { service, operation: None, peer: None, subject: cache.subject };
        let kind = FindingKind::StaleCache;
        match ratio.look(view.now, written) {
            Says::Nothing => {}
            Says::Well => findings.close(kind, place, FindingStatus::Resolved),
            Says::TooGood { missed, asked, written: writes, fewest, since } => {
                ratio.found(view.now, written);
                let service = view.symbols.text(service);
                let evidence = format!(
                    "hits go on though rows are written: {missed} misses of {asked} requests of `{service}` while what fills the cache was written {writes} times; usually at least {:.1} are missed for ten writes",
                    fewest * 10.0,
                );
                let example = ratio.trace.map(Example::Trace);
                let sign = Sign { kind, place, at: since, example, share: 1.0, evidence };
                findings.deviate(sign, view.now, view.symbols);
            }
        }
    }
}

impl Ratio {
    fn asked(&mut self, is_hit: bool, trace: TraceId, service: Symbol) {
        self.asked += 1;
        self.missed += u64::from(!is_hit);
        self.service.get_or_insert(service);
        if is_hit {
            self.trace = Some(trace);
        }
    }

    /// It is filled from this table too: what was learned before says nothing.
    fn fills(&mut self, table: Symbol) {
        if !self.tables.contains(&table) && self.tables.len() < MAX_TABLES {
            self.tables.push(table);
            self.stretches.clear();
            self.since = Timestamp(0);
        }
    }

    /// Looks at the stretch as of now; `written` tells how often a table was written so far.
    fn look(&mut self, now: Timestamp, written: impl Fn(Symbol) -> u64) -> Says {
        let all: u64 = self.tables.iter().map(|table| written(*table)).sum();
        if self.since == Timestamp(0) {
            self.begin(now, all);
            return Says::Nothing;
        }
        let written = all - self.written_before.min(all);
        if self.asked < ASKED || written < WRITTEN || now.since(self.since) < LASTS {
            return Says::Nothing;
        }
        let stretch = Stretch {
            misses_per_write: self.missed as f64 / written as f64,
            writes_per_request: written as f64 / self.asked as f64,
        };
        let fewest = self.stretches.iter().map(|known| known.misses_per_write).fold(f64::INFINITY, f64::min);
        let is_known = self.stretches.len() >= KNOWN;
        if is_known && !self.is_usual(&stretch) {
            self.begin(now, all);
            return Says::Nothing;
        }
        if is_known && stretch.misses_per_write < fewest / 2.0 {
            // It is neither learned nor over until it is known what it is.
            let expected = fewest / 2.0 * written as f64;
            let (missed, asked, since) = (self.missed, self.asked, self.since);
            let is_too_good = at_most(missed, expected) < BY_CHANCE;
            return if is_too_good { Says::TooGood { missed, asked, written, fewest, since } } else { Says::Nothing };
        }
        if self.stretches.len() >= REMEMBERED {
            self.stretches.pop_front();
        }
        self.stretches.push_back(stretch);
        self.begin(now, all);
        Says::Well
    }

    /// Begins a new stretch.
    fn begin(&mut self, now: Timestamp, written: u64) {
        (self.since, self.written_before, self.asked, self.missed) = (now, written, 0, 0);
    }

    /// What was found counts; the next stretch is looked at on its own.
    fn found(&mut self, now: Timestamp, written: impl Fn(Symbol) -> u64) {
        let all = self.tables.iter().map(|table| written(*table)).sum();
        self.begin(now, all);
    }

    fn is_usual(&self, stretch: &Stretch) -> bool {
        let mut usual: SmallVec<[f64; REMEMBERED]> =
            self.stretches.iter().map(|known| known.writes_per_request).collect();
        usual.sort_unstable_by(f64::total_cmp);
        let median = usual.get(usual.len() / 2).copied().unwrap_or(0.0);
        stretch.writes_per_request <= AS_USUAL * median && AS_USUAL * stretch.writes_per_request >= median
    }
}

/// How often chance makes so few of so many that are expected.
fn at_most(few: u64, expected: f64) -> f64 {
    let mut term = (-expected).exp();
    let mut all = term;
    for n in 1..=few.min(10_000) {
        term *= expected / n as f64;
        all += term;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of a cache of which so many requests, writes and misses come each second; what was said.
    struct World {
        ratio: Ratio,
        now: Timestamp,
        written: u64,
        random: u64,
    }

    impl World {
        fn new() -> World {
            let mut ratio = Ratio::default();
            ratio.fills(Symbol(1));
            World { ratio, now: Timestamp::from_secs(1_000), written: 0, random: 7 }
        }

        fn chance(&mut self, share: f64) -> bool {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.random >> 33) as f64 / f64::from(1_u32 << 31)) < share
        }

        fn run(&mut self, seconds: u64, asked: u64, written: u64, missed: f64) -> Option<u64> {
            for second in 0..seconds {
                for _ in 0..asked {
                    let is_hit = !self.chance(missed / asked as f64);
                    self.ratio.asked(is_hit, TraceId(1), Symbol(0));
                }
                self.written += written;
                self.now = self.now + Duration::from_secs(1);
                let written = self.written;
                if let Says::TooGood { .. } = self.ratio.look(self.now, |_| written) {
                    return Some(second);
                }
            }
            None
        }
    }

    #[test]
    fn misses_that_stop_while_writes_go_on_are_told() {
        let mut world = World::new();
        assert_eq!(world.run(600, 20, 1, 1.0), None);
        assert!(world.run(120, 20, 1, 0.0).is_some());
    }

    #[test]
    fn imports_quiet_hours_and_cold_caches_are_harmless() {
        let mut world = World::new();
        assert_eq!(world.run(30, 20, 1, 15.0), None, "cold");
        assert_eq!(world.run(900, 20, 1, 1.0), None);
        assert_eq!(world.run(300, 20, 40, 1.0), None, "an import");
        assert_eq!(world.run(600, 20, 1, 1.0), None);
        assert_eq!(world.run(900, 2, 0, 0.0), None, "nothing is written");
        assert_eq!(world.run(600, 80, 4, 4.0), None, "a burst");
        assert_eq!(world.run(900, 20, 1, 0.8), None, "a little less");
    }

    #[test]
    fn an_hour_as_usual_says_nothing() {
        assert_eq!(World::new().run(3_600, 10, 1, 0.5), None);
    }

    #[test]
    fn chance_is_told_as_it_is() {
        assert!((at_most(0, 2.0) - 0.135).abs() < 0.001 && (at_most(3, 2.0) - 0.857).abs() < 0.001);
    }
}
