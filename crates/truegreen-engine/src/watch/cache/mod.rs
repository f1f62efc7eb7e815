//! Stale caches: entries that are served after what they are a copy of was changed.
//!
//! A write of a table's row tells which row it is (`docs/telemetry.md`), and so does whatever is done with a cache's entry.
//! Usually the entry of a row that was written is soon removed, put anew or missed; where hits go on instead, it is
//! stale. That it must not be is known from the past of this table and this cache; or, where there is none, because the
//! cache is filled from that very table, and its service is told of the write by a message and does nothing with it.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::finding::FindingKind;
use truegreen_model::observation::{Symbol, TraceId};
use truegreen_model::time::Timestamp;

use super::clocks::Clocks;
use super::habit::Habit;
use super::role::{Effect, Role, Roles};
use super::share::Deviation;
use super::table::Table;
use super::{View, hex};
use crate::finding::place::Place;
use crate::finding::{PlaceFindings, Sign};
use crate::trace::operation::OperationId;
use crate::trace::span::TracedSpan;
use crate::trace::tree::{Parent, Tree};

/// Rows remembered, and for how long.
const MAX_ROWS: usize = 20_000;
const REMEMBERED: Duration = Duration::from_secs(900);
/// Copies of one row.
const MAX_COPIES: usize = 8;
/// An entry may be served so long after the write, and longer where that is usual.
const GRACE: Duration = Duration::from_secs(5);
const USUAL_GRACES: u32 = 3;
/// An entry removed so shortly before the write was removed for it.
const BEFORE: Duration = Duration::from_secs(2);
const BY_AGE: Duration = Duration::from_secs(60);
/// Where fewer in a hundred entries go with their rows, the cache lives by their age.
const MOSTLY: f64 = 90.0;
/// What removes an entry may be told later than a hit by so much at least.
const LEAST_LAG: Duration = Duration::from_secs(10);
const MOST_LAG: Duration = Duration::from_secs(60);
/// Messages of a service that came to nothing, from which on it does nothing with any.
const IDLE: u32 = 3;
const MAX_DESTINATIONS: usize = 4;

/// A cache: the service that asks it, and what it holds.
type Cache = (Symbol, Option<Symbol>);

/// All caches.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Caches {
    #[serde(skip)]
    roles: Roles,
    rows: Table<u64, Row>,
    /// By the write, and the cache.
    pairs: Table<(OperationId, Cache), Pair>,
    /// Caches that were filled from a table.
    filled: Table<(Cache, Symbol), ()>,
    /// Destinations to which is published where something is written.
    told: Table<OperationId, SmallVec<[Symbol; 1]>>,
    /// Messages of a destination with which a service did something, and those with which it did nothing.
    heeded: Table<(Symbol, Symbol), (u32, u32)>,
    /// Hits that are stale unless something is heard until then.
    doubtful: VecDeque<(Timestamp, u64, Cache)>,
    lag: Duration,
    tidied: Timestamp,
    overflowed: u64,
}

/// One row that was written, and its copies.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Row {
    write: Option<Write>,
    copies: SmallVec<[Copied; 1]>,
    touched: Timestamp,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Write {
    operation: OperationId,
    start: Timestamp,
    end: Timestamp,
}

/// The entry of one cache that is a copy of a row.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Copied {
    cache: Cache,
    /// When it was last removed, put anew or missed.
    freed: Timestamp,
    /// The first hit after the write, while it is in doubt.
    hit: Option<Hit>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum State {
    Undecided,
    Fresh,
    Stale,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Hit {
    operation: OperationId,
    at: Timestamp,
    trace: TraceId,
}

/// A table's writes and a cache.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Pair {
    is_freed: Habit,
    /// How long it takes at most, usually.
    usual: Duration,
}

impl Caches {
    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed + self.pairs.overflowed() + self.filled.overflowed() + self.heeded.overflowed()
    }

    pub(super) fn settled(&mut self, tree: &Tree, clocks: &Clocks, view: &View<'_>, findings: &mut PlaceFindings) {
        let mut published: SmallVec<[Symbol; 2]> = SmallVec::new();
        let mut written: SmallVec<[OperationId; 2]> = SmallVec::new();
        let mut read: SmallVec<[Symbol; 4]> = SmallVec::new();
        let mut missed: SmallVec<[Cache; 2]> = SmallVec::new();
        let mut processed: SmallVec<[(Symbol, Symbol); 1]> = SmallVec::new();
        let mut has_effect = false;
        for (index, span) in tree.spans.iter().enumerate() {
            let role = self.roles.of(span.operation, view.operations, view.symbols);
            let operation = &view.operations[span.operation];
            let cache = (operation.service_name, operation.subject);
            match role {
                Role::Publish => published.extend(operation.subject),
                Role::Process => processed.extend(operation.subject.map(|subject| (subject, operation.service_name))),
                Role::Read => read.extend(operation.subject),
                Role::Effect(Effect::TableWrite) => {
                    has_effect = true;
                    if span.key != 0 && !span.failed() && span.rows != Some(0) {
                        written.push(span.operation);
                        self.written(span, clocks, view, findings);
                    }
                }
                Role::Effect(Effect::CacheWrite) => {
                    has_effect = true;
                    self.freed(span, cache, clocks, view, findings);
                }
                Role::CacheRead if span.key != 0 => match is_hit(tree, index, &mut self.roles, view) {
                    true => self.hit(span, cache, tree.trace, clocks, view, findings),
                    false => {
                        missed.push(cache);
                        self.freed(span, cache, clocks, view, findings);
                    }
                },
                Role::Effect(Effect::Call) => has_effect = true,
                Role::CacheRead | Role::Other => {}
            }
        }
        for cache in missed {
            for table in &read {
                self.filled.entry((cache, *table), || ());
            }
        }
        for write in written {
            let Some(told) = self.told.entry(write, SmallVec::new) else { continue };
            for subject in &published {
                if told.len() < MAX_DESTINATIONS && !told.contains(subject) {
                    told.push(*subject);
                }
            }
        }
        for message in processed {
            if let Some((heeded, ignored)) = self.heeded.entry(message, || (0, 0)) {
                *if has_effect { heeded } else { ignored } += 1;
            }
        }
    }

    fn row(&mut self, key: u64, now: Timestamp) -> Option<&mut Row> {
        if self.rows.len() >= MAX_ROWS && self.rows.get(&key).is_none() {
            self.overflowed += 1;
            return None;
        }
        let row = self.rows.entry(key, Row::default)?;
        row.touched = now;
        Some(row)
    }

    fn written(&mut self, span: &TracedSpan, clocks: &Clocks, view: &View<'_>, findings: &mut PlaceFindings) {
        let by_reference = |at| clocks.by_reference((span.instance, at));
        let write = Write { operation: span.operation, start: by_reference(span.start), end: by_reference(span.end) };
        let Some(row) = self.row(span.key, view.now) else { return };
        if row.write.is_some_and(|earlier| write.start < earlier.start) {
            return;
        }
        let mut fresh: SmallVec<[(Cache, Duration); 1]> = SmallVec::new();
        let mut is_in_doubt = false;
        for copy in &mut row.copies {
            if copy.freed + BEFORE >= write.start {
                (copy.state, copy.hit) = (State::Fresh, None);
                fresh.push((copy.cache, copy.freed.since(write.end)));
            } else if copy.state == State::Fresh {
                copy.state = State::Undecided;
            } else {
                is_in_doubt |= copy.hit.is_some();
            }
        }
        // What was not removed after an earlier write is stale since then.
        if !is_in_doubt {
            row.write = Some(write);
        }
        for (cache, after) in fresh {
            self.is_fresh(write.operation, cache, after, findings);
        }
    }

    /// An entry was removed, put anew or missed.
    fn freed(
        &mut self,
        span: &TracedSpan,
        cache: Cache,
        clocks: &Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        if span.key == 0 || span.failed() {
            return;
        }
        let at = clocks.by_reference((span.instance, span.start));
        let Some(row) = self.row(span.key, view.now) else { return };
        let Some(write) = row.copy(cache).map(|copy| copy.freed = copy.freed.max(at)).and(row.write) else { return };
        let Some(copy) = row.copy(cache) else { return };
        if at + BEFORE < write.start || copy.state == State::Fresh {
            return;
        }
        let is_late = copy.hit.is_some_and(|hit| at > hit.at);
        let was_stale = copy.state == State::Stale;
        // A hit in doubt stays so where the entry went only after it.
        if was_stale || !is_late {
            (copy.state, copy.hit) = (State::Fresh, None);
        }
        if !was_stale && !is_late {
            self.is_fresh(write.operation, cache, at.since(write.end), findings);
        }
    }

    fn hit(
        &mut self,
        span: &TracedSpan,
        cache: Cache,
        trace: TraceId,
        clocks: &Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let at = clocks.by_reference((span.instance, span.start));
        // Most rows were not written lately.
        let Some(row) = self.rows.get_mut(&span.key) else { return };
        let Some(write) = row.write else { return };
        let Some(copy) = row.copy(cache) else { return };
        let usual = self.pairs.get(&(write.operation, cache)).map_or(Duration::ZERO, |pair| pair.usual);
        let hit = Hit { operation: span.operation, at, trace };
        if at <= write.end + GRACE.max(usual * USUAL_GRACES) || copy.state == State::Fresh || copy.freed >= at {
            return;
        }
        match copy.state {
            State::Stale => Self::served(hit, cache, view, findings),
            _ if copy.hit.is_some() => {}
            _ => {
                copy.hit = Some(hit);
                let lag = self.lag.clamp(LEAST_LAG, MOST_LAG);
                self.doubtful.push_back((view.now + lag, span.key, cache));
            }
        }
    }

    fn is_fresh(&mut self, write: OperationId, cache: Cache, after: Duration, findings: &mut PlaceFindings) {
        let Some(pair) = self.pairs.entry((write, cache), Pair::default) else { return };
        // One that went so late went for its age, and not for the write.
        if after > BY_AGE {
            return;
        }
        if after <= GRACE * USUAL_GRACES {
            pair.usual = after.max(pair.usual.mul_f64(0.99));
        }
        pair.is_freed.kept(FindingKind::StaleCache, place(cache), findings);
    }

    /// Another stale entry was served.
    fn served(hit: Hit, cache: Cache, view: &View<'_>, findings: &mut PlaceFindings) {
        let (kind, place) = (FindingKind::StaleCache, place(cache));
        if findings.is_open(kind, place) {
            let evidence = String::new();
            let sign = Sign { kind, place, at: hit.at, example: Some(hex(hit.trace)), share: 1.0, evidence };
            findings.deviate(sign, view.now, view.symbols);
        }
    }

    pub(super) fn tick(&mut self, view: &View<'_>, findings: &mut PlaceFindings) {
        self.lag = view.coverage.longest_export_lag();
        while let Some((_, key, cache)) = self.doubtful.pop_front_if(|(due, ..)| *due <= view.now) {
            self.decide(key, cache, view, findings);
        }
        if view.now.since(self.tidied) >= REMEMBERED / 15 {
            self.tidied = view.now;
            self.rows.retain(|_, row| view.now.since(row.touched) < REMEMBERED);
        }
    }

    /// Nothing was heard that removed the entry before the hit.
    fn decide(&mut self, key: u64, cache: Cache, view: &View<'_>, findings: &mut PlaceFindings) {
        let Some(row) = self.rows.get_mut(&key) else { return };
        let Some(write) = row.write else { return };
        let Some(copy) = row.copy(cache) else { return };
        let Some(hit) = copy.hit.filter(|_| copy.state == State::Undecided) else { return };
        copy.state = State::Stale;
        let is_owed = self.is_owed(write.operation, cache, view);
        let Some(pair) = self.pairs.entry((write.operation, cache), Pair::default) else { return };
        if is_owed {
            pair.is_freed.is_owed();
        } else if pair.is_freed.percent() < MOSTLY {
            return pair.is_freed.excused();
        }
        let of_write = &view.operations[write.operation];
        let of_hit = &view.operations[hit.operation];
        let evidence = |habit: &Habit| {
            let usually = match habit.percent() {
                0.0 => "its service takes messages of such writes, and does nothing with them".to_owned(),
                percent => format!("usually {percent:.1} % are"),
            };
            format!(
                "`{}` in trace {} served an entry {:.1} s after `{}` of `{}` changed what it is a copy of, and it was neither removed nor put anew; {usually}",
                view.symbols.text(of_hit.name),
                hex(hit.trace),
                hit.at.since(write.end).as_secs_f64(),
                view.symbols.text(of_write.name),
                view.symbols.text(of_write.service_name),
            )
        };
        let folder = (FindingKind::StaleCache, place(cache));
        let deviation = Deviation { at: hit.at, trace: hit.trace };
        pair.is_freed.broken(folder, deviation, evidence, view, findings);
    }

    /// Whether the cache is a copy of that table, and its service is told of such writes and does nothing with them.
    fn is_owed(&self, write: OperationId, cache: Cache, view: &View<'_>) -> bool {
        let is_copy = view.operations[write].subject.is_some_and(|table| self.filled.get(&(cache, table)).is_some());
        let ignores = |subject: &Symbol| {
            let heeded = self.heeded.get(&(*subject, cache.0));
            heeded.is_some_and(|(heeded, ignored)| *ignored >= IDLE && 10 * heeded <= *ignored)
        };
        is_copy && self.told.get(&write).is_some_and(|told| told.iter().any(ignores))
    }
}

impl Row {
    /// The copy that a cache holds, entered where there is room.
    fn copy(&mut self, cache: Cache) -> Option<&mut Copied> {
        let known = self.copies.iter().position(|copy| copy.cache == cache);
        if known.is_none() && self.copies.len() < MAX_COPIES {
            self.copies.push(Copied { cache, freed: Timestamp(0), hit: None, state: State::Undecided });
        }
        let at = known.or(self.copies.len().checked_sub(1))?;
        self.copies.get_mut(at).filter(|copy| copy.cache == cache)
    }
}

/// Whether the entry was there: as told, else because nothing was put there afterwards.
fn is_hit(tree: &Tree, read: usize, roles: &mut Roles, view: &View<'_>) -> bool {
    let span = &tree.spans[read];
    if let Some(hit) = span.hit {
        return hit;
    }
    let Parent::At(parent) = tree.parent(read) else { return true };
    let mut siblings = tree.children(parent).iter().take(64).map(|sibling| &tree.spans[*sibling]);
    !siblings.any(|sibling| {
        sibling.key == span.key
            && sibling.start >= span.start
            && roles.of(sibling.operation, view.operations, view.symbols) == Role::Effect(Effect::CacheWrite)
    })
}

fn place((service, subject): Cache) -> Place {
    Place { service, operation: None, peer: None, subject }
}

#[cfg(test)]
mod tests;
