//! Stale caches: entries that are served after what they are a copy of was changed.
//!
//! A write of a table's row tells which row it is (`docs/telemetry.md`), and so does whatever is done with a cache's entry.
//! Usually the entry of a row that was written is soon removed, put anew or missed; where hits go on instead, it is
//! stale. That it must not be is known from the past: of entries that were there, nearly all went with their rows, and
//! far fewer go without. A row of another table may have the same id, and entries go for their age, too.
//!
//! Or, where there is no past, it is known because the cache is filled from that very table, and either its service is
//! told of the write by a message and does nothing with it, or it removes the entry by a name that is never asked for.

mod base;
mod fill;

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
use crate::trace::operation::{Operation, OperationId};
use crate::trace::span::TracedSpan;
use crate::trace::tree::{Parent, Tree};
use base::Base;

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
/// The same where it did something with nearly all before: less than once in ten thousand by chance.
const NO_LONGER: u32 = 5;
/// Spans between a message that is processed and what is done for it.
const MAX_DEPTH: usize = 16;
const MAX_DESTINATIONS: usize = 4;

/// The upper bits of a cache's key tell the words around the id.
const ID: u64 = (1 << 48) - 1;
/// Entries removed by a name, from which on it is known that the name is never asked for.
const MISNAMED: u32 = 3;
const REMOVES: [&str; 8] = ["remove", "delete", "del", "unlink", "evict", "invalidate", "hdel", "clear"];

/// A cache: the service that asks it, what it holds, and the words around the ids of its keys.
type Cache = (Symbol, Option<Symbol>, u16);

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
    /// How often entries go and are served where nothing was written.
    bases: Table<Cache, Base>,
    /// Names by which entries are asked for, and by which they are removed.
    named: Table<Cache, Named>,
    /// Destinations to which is published where something is written.
    told: Table<OperationId, SmallVec<[Symbol; 1]>>,
    /// What a service does with the messages of a destination.
    heeded: Table<(Symbol, Symbol), Heeded>,
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
    /// Whether it is known to be there, and was when its row was written, and when it was last freed since.
    is_held: bool,
    was_held: bool,
    freed_held: bool,
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

/// What an entry becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Gone,
    Put,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Hit {
    operation: OperationId,
    at: Timestamp,
    trace: TraceId,
}

/// Messages with which something was done, and those with which nothing was, in all and lately in a row.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Heeded {
    heeded: u32,
    ignored: u32,
    in_a_row: u32,
}

impl Heeded {
    fn add(&mut self, is_heeded: bool) {
        if is_heeded {
            self.heeded = self.heeded.saturating_add(1);
            self.in_a_row = 0;
        } else {
            self.ignored = self.ignored.saturating_add(1);
            self.in_a_row = self.in_a_row.saturating_add(1);
        }
    }

    /// Whether nothing is done with any of them, or no longer is with those with which something mostly was.
    fn is_idle(&self) -> bool {
        let is_mostly = |some: u32, others: u32| some / 9 >= others;
        (self.in_a_row >= IDLE && is_mostly(self.ignored, self.heeded))
            || (self.in_a_row >= NO_LONGER && is_mostly(self.heeded, self.ignored - self.in_a_row))
    }
}

/// Where in a trace a message of a destination is processed by a service, and whether something is done for it.
struct Processed {
    at: usize,
    message: (Symbol, Symbol),
    has_effect: bool,
}

/// What is done by one name.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Named {
    asked: u32,
    removed: u32,
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

impl Caches {
    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed
            + self.pairs.overflowed()
            + self.filled.overflowed()
            + self.heeded.overflowed()
            + self.bases.overflowed()
            + self.named.overflowed()
    }

    pub(super) fn settled(&mut self, tree: &Tree, clocks: &Clocks, view: &View<'_>, findings: &mut PlaceFindings) {
        let mut published: SmallVec<[Symbol; 2]> = SmallVec::new();
        let mut written: SmallVec<[OperationId; 2]> = SmallVec::new();
        // Where each message is processed, and whether something is done under that.
        let mut processed: SmallVec<[Processed; 1]> = SmallVec::new();
        let mut effects: SmallVec<[usize; 8]> = SmallVec::new();
        for (index, span) in tree.spans.iter().enumerate() {
            let role = self.roles.of(span.operation, view.operations, view.symbols);
            let operation = &view.operations[span.operation];
            let cache = (operation.service_name, operation.subject, words(span));
            match role {
                Role::Publish => published.extend(operation.subject),
                Role::Process => {
                    let process =
                        |of| Processed { at: index, message: (of, operation.service_name), has_effect: false };
                    processed.extend(operation.subject.map(process));
                }
                Role::Effect(Effect::TableWrite) => {
                    effects.push(index);
                    if span.key != 0 && !span.failed() && span.rows != Some(0) {
                        written.push(span.operation);
                        self.written(span, clocks, view, findings);
                    }
                }
                Role::Effect(Effect::CacheWrite) => {
                    effects.push(index);
                    if span.key != 0 && !span.failed() {
                        let becomes = if removes(operation, view) { Entry::Gone } else { Entry::Put };
                        if becomes == Entry::Gone {
                            self.removed(cache);
                        }
                        self.freed(span, cache, becomes, clocks, view, findings);
                    }
                }
                Role::CacheRead if span.key != 0 => match is_hit(tree, index, &mut self.roles, view) {
                    _ if span.failed() => {}
                    true => {
                        self.asked(cache);
                        self.hit(span, cache, tree.trace, clocks, view, findings);
                    }
                    false => {
                        self.asked(cache);
                        for table in fill::tables(tree, index, &mut self.roles, view) {
                            self.filled.entry((cache, table), || ());
                        }
                        self.freed(span, cache, Entry::Gone, clocks, view, findings);
                    }
                },
                Role::Effect(Effect::Call) => effects.push(index),
                Role::CacheRead | Role::Read | Role::Other => {}
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
        effects.truncate(if processed.is_empty() { 0 } else { effects.len() });
        for effect in &effects {
            let mut above = tree.upwards(*effect).take(MAX_DEPTH);
            let process = above.find_map(|above| processed.iter().position(|process| process.at == above));
            if let Some(process) = process {
                processed[process].has_effect = true;
            }
        }
        // Nothing follows from what is missing in a piece.
        for Processed { message, has_effect, .. } in processed {
            if (has_effect || !tree.is_partial)
                && let Some(heeded) = self.heeded.entry(message, Heeded::default)
            {
                heeded.add(has_effect);
            }
        }
    }

    fn asked(&mut self, cache: Cache) {
        if let Some(named) = self.named.entry(cache, Named::default) {
            named.asked = named.asked.saturating_add(1);
        }
    }

    fn removed(&mut self, cache: Cache) {
        if let Some(named) = self.named.entry(cache, Named::default) {
            named.removed = named.removed.saturating_add(1);
        }
    }

    /// Whether this copy of a row was removed after the write, by a name that nothing is ever asked for by.
    fn is_misnamed(&self, key: u64, (service, subject, name): Cache, write: &Write) -> bool {
        let is_other = |(its, of, other): Cache| its == service && of == subject && other != name;
        let is_never_asked = |cache: &Cache| {
            let named = self.named.get(cache);
            named.is_some_and(|named| named.asked == 0 && named.removed >= MISNAMED)
        };
        let mut copies = self.rows.get(&key).into_iter().flat_map(|row| &row.copies);
        copies.any(|copy| is_other(copy.cache) && copy.freed + BEFORE >= write.start && is_never_asked(&copy.cache))
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
            let (was_freed, freed_held) = (copy.freed + BEFORE >= write.start, copy.freed_held);
            (copy.was_held, copy.freed_held) = (copy.is_held, false);
            if was_freed {
                (copy.state, copy.hit) = (State::Fresh, None);
                if freed_held {
                    fresh.push((copy.cache, copy.freed.since(write.end)));
                }
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
        becomes: Entry,
        clocks: &Clocks,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let at = clocks.by_reference((span.instance, span.start));
        let Some(row) = self.row(span.key, view.now) else { return };
        let write = row.write;
        let Some(copy) = row.copy(cache) else { return };
        let was_held = std::mem::replace(&mut copy.is_held, becomes == Entry::Put);
        copy.freed = copy.freed.max(at);
        copy.freed_held |= was_held;
        let before = copy.was_held;
        // What was put anew after a write goes for another reason.
        let is_apart = copy.state == State::Fresh || write.is_none_or(|write| at > write.end + BY_AGE);
        if was_held && is_apart {
            self.base(cache, |base| base.went());
        }
        let Some(write) = write else { return };
        let Some(copy) = self.rows.get_mut(&(span.key & ID)).and_then(|row| row.copy(cache)) else { return };
        if at + BEFORE < write.start || copy.state == State::Fresh {
            return;
        }
        let is_late = copy.hit.is_some_and(|hit| at > hit.at);
        let was_stale = copy.state == State::Stale;
        // A hit in doubt stays so where the entry went only after it.
        if was_stale || !is_late {
            (copy.state, copy.hit) = (State::Fresh, None);
        }
        if !was_stale && !is_late && (before || was_held) {
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
        let Some(row) = self.rows.get_mut(&(span.key & ID)) else { return };
        let write = row.write;
        let Some(copy) = row.copy(cache) else { return };
        let was_held = copy.is_held;
        copy.is_held |= at > copy.freed;
        let is_apart = copy.state == State::Fresh || write.is_none_or(|write| at > write.end + BY_AGE);
        if was_held && is_apart {
            self.base(cache, |base| base.stayed());
        }
        let Some(write) = write else { return };
        let pair = self.pairs.get_mut(&(write.operation, cache));
        let usual = pair.as_ref().map_or(Duration::ZERO, |pair| pair.usual);
        let is_soon = at <= write.end + GRACE.max(usual * USUAL_GRACES);
        if let Some(pair) = pair.filter(|_| is_soon && at >= write.end) {
            pair.soon = pair.soon.saturating_add(1);
        }
        let hit = Hit { operation: span.operation, at, trace };
        let Some(copy) = self.rows.get_mut(&(span.key & ID)).and_then(|row| row.copy(cache)) else { return };
        if is_soon || copy.state == State::Fresh || copy.freed >= at {
            return;
        }
        match copy.state {
            State::Stale => Self::served(hit, cache, view, findings),
            _ if copy.hit.is_some() => {}
            _ => {
                copy.hit = Some(hit);
                let lag = self.lag.clamp(LEAST_LAG, MOST_LAG);
                self.doubtful.push_back((view.now + lag, span.key & ID, cache));
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
        let service = view.operations[hit.operation].service;
        let unseen = (write.end - BEFORE, view.now);
        if view.coverage.had_gap(service, unseen.0, unseen.1) || view.coverage.is_doubted(service, unseen.0, unseen.1) {
            return;
        }
        let is_misnamed = self.is_misnamed(key, cache, &write);
        let is_owed = self.is_owed(write.operation, cache, is_misnamed, view);
        let base = self.bases.get(&cache).copied().unwrap_or_default();
        let Some(pair) = self.pairs.entry((write.operation, cache), Pair::default) else { return };
        if is_owed {
            pair.is_freed.is_proven();
        } else if pair.is_freed.percent() < MOSTLY || !base.is_beyond(&pair.is_freed, pair.soon) {
            return pair.is_freed.excused();
        }
        let of_write = &view.operations[write.operation];
        let of_hit = &view.operations[hit.operation];
        let evidence = |habit: &Habit| {
            let usually = match habit.percent() {
                _ if is_misnamed => "its service removes entries by a name that nothing is asked for by".to_owned(),
                _ if is_owed => "its service takes messages of such writes, and does nothing with them".to_owned(),
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

    /// Whether the cache is a copy of that table, and its service is told of such writes and does nothing with them, or
    /// removes the entry by a wrong name.
    fn is_owed(&self, write: OperationId, cache: Cache, is_misnamed: bool, view: &View<'_>) -> bool {
        let is_copy = view.operations[write].subject.is_some_and(|table| self.filled.get(&(cache, table)).is_some());
        let ignores = |subject: &Symbol| self.heeded.get(&(*subject, cache.0)).is_some_and(Heeded::is_idle);
        is_copy && (is_misnamed || self.told.get(&write).is_some_and(|told| told.iter().any(ignores)))
    }

    fn base(&mut self, cache: Cache, count: impl FnOnce(&mut Base)) {
        if let Some(base) = self.bases.entry(cache, Base::default) {
            count(base);
        }
    }
}

impl Copied {
    fn new(cache: Cache) -> Copied {
        Copied {
            cache,
            freed: Timestamp(0),
            is_held: false,
            was_held: false,
            freed_held: false,
            hit: None,
            state: State::Undecided,
        }
    }
}

impl Row {
    /// The copy that a cache holds, entered where there is room.
    fn copy(&mut self, cache: Cache) -> Option<&mut Copied> {
        let known = self.copies.iter().position(|copy| copy.cache == cache);
        if known.is_none() && self.copies.len() < MAX_COPIES {
            self.copies.push(Copied::new(cache));
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

/// The words around the id, as far as they are told apart.
fn words(span: &TracedSpan) -> u16 {
    (span.key >> 48) as u16
}

fn removes(operation: &Operation, view: &View<'_>) -> bool {
    let verb = view.symbols.text(operation.verb.unwrap_or(operation.name));
    let mut words = verb.split(|c: char| !c.is_ascii_alphabetic());
    words.any(|word| REMOVES.iter().any(|removes| word.eq_ignore_ascii_case(removes)))
}

fn place((service, subject, _): Cache) -> Place {
    Place { service, operation: None, peer: None, subject }
}

#[cfg(test)]
mod tests;
