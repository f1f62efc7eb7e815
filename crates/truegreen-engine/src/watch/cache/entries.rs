//! Entries that are copies of rows that were written: freed for it, or served on.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::finding::FindingKind;
use truegreen_model::observation::TraceId;
use truegreen_model::time::Timestamp;

use super::ID;
use super::base::Base;
use super::debts::Debts;
use super::row::{Becomes, Cache, Hit, Row, Write};
use crate::finding::{Example, PlaceFindings, Sign};
use crate::trace::operation::OperationId;
use crate::trace::span::TracedSpan;
use crate::watch::clocks::Clocks;
use crate::watch::habit::Habit;
use crate::watch::share::Deviation;
use crate::watch::table::Table;
use crate::watch::{View, hex};

/// Rows remembered, and for how long.
const MAX_ROWS: usize = 20_000;
const REMEMBERED: Duration = Duration::from_secs(900);
/// An entry may be served so long after the write where nothing is known; else three times as long as is usual, or as
/// long as two processes need at the least, whatever they do.
const GRACE: Duration = Duration::from_secs(5);
const USUAL_GRACES: u32 = 3;
const LEAST_GRACE: Duration = Duration::from_secs(1);
const MOST_GRACE: Duration = Duration::from_secs(15);
/// Writes for which the entry went, from which on it is known how long that takes.
const GRACE_KNOWN_BY: u64 = 20;
const BY_AGE: Duration = Duration::from_secs(60);
/// Where fewer in a hundred entries go with their rows, the cache lives by their age.
const MOSTLY: f64 = 90.0;
/// What removes an entry may be told later than a hit by so much at least.
const LEAST_LAG: Duration = Duration::from_secs(10);
const MOST_LAG: Duration = Duration::from_secs(60);

/// Rows that were written, and what becomes of their copies.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Entries {
    rows: Table<u64, Row>,
    /// By the write, and the cache.
    pairs: Table<(OperationId, Cache), Pair>,
    /// How often entries go and are served where nothing was written.
    bases: Table<Cache, Base>,
    /// Hits that are stale unless something is heard until then.
    doubtful: BTreeSet<(Timestamp, u64, Cache)>,
    lag: Duration,
    tidied: Timestamp,
    overflowed: u64,
}

/// A table's writes and a cache.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Pair {
    is_freed: Habit,
    /// Hits so soon after a write that they say nothing.
    soon: u32,
    /// How long it takes at most, usually.
    usual: Duration,
}

/// What else is known when something is heard of an entry, and where to tell of it.
pub(super) struct Scene<'s, 'v> {
    pub(super) clocks: &'s Clocks,
    pub(super) debts: &'s Debts,
    pub(super) view: &'s View<'v>,
    pub(super) findings: &'s mut PlaceFindings,
}

impl Scene<'_, '_> {
    fn by_reference(&self, span: &TracedSpan, at: Timestamp) -> Timestamp {
        self.clocks.by_reference((span.instance, at))
    }
}

impl Entries {
    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed + self.pairs.overflowed() + self.bases.overflowed()
    }

    /// A row was written.
    pub(super) fn written(&mut self, span: &TracedSpan, scene: &mut Scene<'_, '_>) {
        let (start, end) = (scene.by_reference(span, span.start), scene.by_reference(span, span.end));
        let write = Write { operation: span.operation, start, end };
        let Some(row) = self.row(span.key, scene.view.now) else { return };
        if row.write.is_some_and(|earlier| write.start <= earlier.start) {
            return;
        }
        for (cache, after) in row.written(write) {
            self.is_fresh(write.operation, cache, after, scene);
        }
        // Hits may be told before the write.
        let Some(row) = self.rows.get(&(span.key & ID)) else { return };
        if row.write.is_none_or(|known| known.start != write.start) {
            return;
        }
        let copies = row.copies.iter().filter(|copy| copy.latest_hit().is_some()).map(|copy| copy.cache);
        for cache in copies.collect::<SmallVec<[Cache; 4]>>() {
            let grace = self.grace(span.key & ID, cache, &write, scene);
            let Some(copy) = self.rows.get_mut(&(span.key & ID)).and_then(|row| row.copy(cache)) else { continue };
            if copy.doubt(&write, grace)
                && let Some(hit) = copy.latest_hit()
            {
                self.wait(hit, span.key & ID, cache, scene.view);
            }
        }
    }

    /// An entry was removed, put anew or missed.
    pub(super) fn freed(&mut self, span: &TracedSpan, cache: Cache, becomes: Becomes, scene: &mut Scene<'_, '_>) {
        let at = scene.by_reference(span, span.start);
        let Some(row) = self.row(span.key, scene.view.now) else { return };
        let write = row.write;
        let Some(copy) = row.copy(cache) else { return };
        let was_held = copy.is_held();
        // What was put anew after a write goes for another reason.
        let is_apart = write.is_none_or(|write| copy.is_fresh(&write) || at > write.end + BY_AGE);
        let is_for_it = copy.freed(at, becomes, write.as_ref());
        if was_held && is_apart {
            self.base(cache, Base::went);
        }
        if let Some(write) = write.filter(|_| is_for_it) {
            self.is_fresh(write.operation, cache, at.since(write.end), scene);
        }
    }

    /// An entry was served.
    pub(super) fn hit(&mut self, span: &TracedSpan, trace: TraceId, cache: Cache, scene: &mut Scene<'_, '_>) {
        let key = span.key & ID;
        let hit = Hit { operation: span.operation, at: scene.by_reference(span, span.start), trace };
        let Some(row) = self.rows.get_mut(&key) else { return };
        let write = row.write;
        let Some(copy) = row.copy(cache) else { return };
        let was_held = copy.is_held();
        let is_fresh = write.is_none_or(|write| copy.is_fresh(&write));
        let is_stale = copy.is_stale;
        if was_held && (is_fresh || write.is_none_or(|write| hit.at > write.end + BY_AGE)) {
            self.base(cache, Base::stayed);
        }
        let grace = match write {
            Some(write) if !is_fresh && hit.at > write.end => {
                if is_stale {
                    return Self::served(hit, cache, scene);
                }
                let grace = self.grace(key, cache, &write, scene);
                if hit.at <= write.end + grace
                    && let Some(pair) = self.pairs.get_mut(&(write.operation, cache))
                {
                    pair.soon = pair.soon.saturating_add(1);
                }
                grace
            }
            _ => GRACE,
        };
        let Some(copy) = self.rows.get_mut(&key).and_then(|row| row.copy(cache)) else { return };
        if copy.served(hit, write.as_ref(), grace)
            && let Some(hit) = copy.latest_hit()
        {
            self.wait(hit, key, cache, scene.view);
        }
    }

    /// Waits until whatever removed the entry before the hit would have been heard.
    fn wait(&mut self, hit: Hit, key: u64, cache: Cache, view: &View<'_>) {
        let lag = self.lag.clamp(LEAST_LAG, MOST_LAG);
        let due = (hit.at + lag).clamp(view.now, view.now + lag);
        self.doubtful.insert((due, key, cache));
    }

    /// How long after a write its entry may be served.
    fn grace(&self, key: u64, cache: Cache, write: &Write, scene: &Scene<'_, '_>) -> Duration {
        let pair = self.pairs.get(&(write.operation, cache));
        let usual = pair.filter(|pair| pair.is_freed.decided() >= GRACE_KNOWN_BY).map(|pair| pair.usual);
        let owes = |row: &Row| scene.debts.owes(row, cache, write, scene.view).is_some();
        match usual {
            Some(usual) => (usual * USUAL_GRACES).clamp(LEAST_GRACE, MOST_GRACE),
            None if self.rows.get(&key).is_some_and(owes) => LEAST_GRACE,
            None => GRACE,
        }
    }

    fn is_fresh(&mut self, write: OperationId, cache: Cache, after: Duration, scene: &mut Scene<'_, '_>) {
        // One that went so late went for its age, and not for the write.
        if after > BY_AGE {
            return;
        }
        let Some(pair) = self.pairs.entry((write, cache), Pair::default) else { return };
        if after <= MOST_GRACE {
            pair.usual = after.max(pair.usual.mul_f64(0.99));
        }
        pair.is_freed.kept(FindingKind::StaleCache, scene.debts.place(cache), scene.findings);
    }

    /// Another stale entry was served.
    fn served(hit: Hit, cache: Cache, scene: &mut Scene<'_, '_>) {
        let (kind, place, view) = (FindingKind::StaleCache, scene.debts.place(cache), scene.view);
        if scene.findings.is_open(kind, place) {
            let evidence = String::new();
            let sign = Sign { kind, place, at: hit.at, example: Some(Example::Trace(hit.trace)), share: 1.0, evidence };
            scene.findings.deviate(sign, view.now, view.symbols);
        }
    }

    /// Time passed.
    pub(super) fn tick(&mut self, debts: &Debts, view: &View<'_>, findings: &mut PlaceFindings) {
        self.lag = view.coverage.longest_export_lag();
        while let Some((due, key, cache)) = self.doubtful.first().copied().filter(|(due, ..)| *due <= view.now) {
            self.doubtful.remove(&(due, key, cache));
            self.decide((key, cache), debts, view, findings);
        }
        if view.now.since(self.tidied) >= REMEMBERED / 15 {
            self.tidied = view.now;
            self.rows.retain(|_, row| view.now.since(row.touched) < REMEMBERED);
        }
    }

    /// Nothing was heard that removed the entry before the hit.
    fn decide(&mut self, (key, cache): (u64, Cache), debts: &Debts, view: &View<'_>, findings: &mut PlaceFindings) {
        let Some(row) = self.rows.get_mut(&key) else { return };
        let Some(write) = row.write else { return };
        let owes = debts.owes(row, cache, &write, view);
        let Some(copy) = row.copy(cache) else { return };
        let Some(hit) = copy.decide() else { return };
        let was_counted = std::mem::replace(&mut copy.is_counted, true);
        let service = view.operations[hit.operation].service;
        let unseen = (write.start, view.now);
        if view.coverage.had_gap(service, unseen.0, unseen.1) || view.coverage.is_doubted(service, unseen.0, unseen.1) {
            return;
        }
        let is_sampled = view.coverage[service].sampled().is_some();
        let base = self.bases.get(&cache).copied().unwrap_or_default();
        let Some(pair) = self.pairs.entry((write.operation, cache), Pair::default) else { return };
        let is_by_habit = !is_sampled && pair.is_freed.percent() >= MOSTLY && base.is_beyond(&pair.is_freed, pair.soon);
        if owes.is_some() {
            pair.is_freed.is_proven();
        } else if !is_by_habit {
            // It may be known later what it owes, so the entry is looked at again.
            if !was_counted {
                pair.is_freed.excused();
            }
            return;
        }
        copy.is_stale = true;
        let evidence = |habit: &Habit| {
            let usually = owes.map_or_else(|| format!("usually {:.1} % are", habit.percent()), str::to_owned);
            stale(&hit, &write, &usually, view)
        };
        let deviation = Deviation { at: hit.at, trace: hit.trace };
        pair.is_freed.broken((FindingKind::StaleCache, debts.place(cache)), deviation, evidence, view, findings);
    }

    fn row(&mut self, key: u64, now: Timestamp) -> Option<&mut Row> {
        let key = key & ID;
        if self.rows.len() >= MAX_ROWS && self.rows.get(&key).is_none() {
            self.overflowed += 1;
            return None;
        }
        let row = self.rows.entry(key, Row::default)?;
        row.touched = now;
        Some(row)
    }

    fn base(&mut self, cache: Cache, count: fn(&mut Base)) {
        if let Some(base) = self.bases.entry(cache, Base::default) {
            count(base);
        }
    }
}

/// What shows that an entry is stale.
fn stale(hit: &Hit, write: &Write, usually: &str, view: &View<'_>) -> String {
    let (of_hit, of_write) = (&view.operations[hit.operation], &view.operations[write.operation]);
    format!(
        "`{}` in trace {} served an entry {:.1} s after `{}` of `{}` changed what it is a copy of, and it was neither removed nor put anew; {usually}",
        view.symbols.text(of_hit.name),
        hex(hit.trace),
        hit.at.since(write.end).as_secs_f64(),
        view.symbols.text(of_write.name),
        view.symbols.text(of_write.service_name),
    )
}
