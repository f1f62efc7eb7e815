//! What caches owe: of which tables they are copies, and what is done where one of those is written.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use truegreen_model::observation::Symbol;

use super::fill::{self, Filled};
use super::heed::Heeded;
use super::names::Named;
use super::row::{Cache, Row, Write};
use crate::finding::place::Place;
use crate::trace::operation::OperationId;
use crate::trace::tree::Tree;
use crate::watch::View;
use crate::watch::role::Roles;
use crate::watch::table::Table;

/// Spans between a message that is processed and what is done for it.
const MAX_DEPTH: usize = 16;
const MAX_DESTINATIONS: usize = 4;

/// Of which tables caches are copies, and who is told of what is written there.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Debts {
    /// Misses for which a table was read, and all.
    filled: Table<(Cache, Symbol), Filled>,
    misses: Table<Cache, u32>,
    /// Names by which entries are asked for, and by which they are removed.
    named: Table<Cache, Named>,
    /// Destinations to which is published where something is written.
    told: Table<OperationId, SmallVec<[Symbol; 1]>>,
    /// What a service does with the messages of a destination.
    heeded: Table<(Symbol, Symbol), Heeded>,
}

/// Where in a trace a message of a destination is processed by a service, and whether something is done for it.
pub(super) struct Processed {
    pub(super) at: usize,
    pub(super) message: (Symbol, Symbol),
    pub(super) has_effect: bool,
}

impl Debts {
    pub(super) fn overflowed(&self) -> u64 {
        self.filled.overflowed()
            + self.misses.overflowed()
            + self.named.overflowed()
            + self.told.overflowed()
            + self.heeded.overflowed()
    }

    /// What is done by the name.
    pub(super) fn named(&mut self, cache: Cache) -> Option<&mut Named> {
        self.named.entry(cache, Named::default)
    }

    /// Where something is written, is published to these destinations.
    pub(super) fn tells(&mut self, write: OperationId, published: &[Symbol]) {
        let Some(told) = self.told.entry(write, SmallVec::new) else { return };
        for subject in published {
            if told.len() < MAX_DESTINATIONS && !told.contains(subject) {
                told.push(*subject);
            }
        }
    }

    /// Messages that were processed, and what was done for them.
    pub(super) fn heed(&mut self, tree: &Tree, mut processed: SmallVec<[Processed; 1]>, effects: &[usize]) {
        for effect in effects {
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

    /// An entry was missed, and read from tables: those that fill the cache.
    pub(super) fn missed(
        &mut self,
        cache: Cache,
        (tree, miss): (&Tree, usize),
        roles: &mut Roles,
        view: &View<'_>,
    ) -> SmallVec<[Symbol; 2]> {
        let mut sources = SmallVec::new();
        let tables = fill::tables(tree, miss, roles, view);
        // Where nothing is read that we see, another service may not be heard.
        if tables.is_empty() {
            return sources;
        }
        let Some(misses) = self.misses.entry(cache, || 0) else { return sources };
        *misses = misses.saturating_add(1);
        let misses = *misses;
        for (table, is_same_row) in tables {
            let Some(filled) = self.filled.entry((cache, table), Filled::default) else { continue };
            filled.add(is_same_row);
            sources.extend(filled.is_source(misses).then_some(table));
        }
        sources
    }

    /// Why the entry of a row had to go, where the cache is a copy of the table: its service is told of such writes and
    /// does nothing with them, or it was removed by a wrong name.
    pub(super) fn owes(&self, row: &Row, cache: Cache, write: &Write, view: &View<'_>) -> Option<&'static str> {
        let table = view.operations[write.operation].subject?;
        let misses = self.misses.get(&cache).copied().unwrap_or(0);
        if !self.filled.get(&(cache, table)).is_some_and(|filled| filled.is_source(misses)) {
            return None;
        }
        if self.is_misnamed(row, cache, write) {
            return Some("entries are removed by a name that nothing is asked for by");
        }
        let named = self.named.get(&cache).copied().unwrap_or_default();
        let ignores = |subject: &Symbol| {
            let mut services = [named.asks, named.removes].into_iter().flatten();
            services.any(|service| self.heeded.get(&(*subject, service)).is_some_and(Heeded::is_idle))
        };
        let told = self.told.get(&write.operation)?;
        told.iter().any(ignores).then_some("its service takes messages of such writes, and does nothing with them")
    }

    /// Whether a copy of the row was removed for the write, by a name that nothing is ever asked for by.
    fn is_misnamed(&self, row: &Row, cache: Cache, write: &Write) -> bool {
        row.copies.iter().any(|copy| {
            copy.cache != cache
                && copy.cache.owner == cache.owner
                && copy.is_fresh(write)
                && self.named.get(&copy.cache).is_some_and(Named::is_of_nothing)
        })
    }

    /// Where a finding about the cache is: with who was first seen to ask it.
    pub(super) fn place(&self, cache: Cache) -> Place {
        let asks = self.named.get(&cache).and_then(|named| named.asks);
        Place { service: asks.unwrap_or(cache.owner), operation: None, peer: None, subject: cache.subject }
    }
}
