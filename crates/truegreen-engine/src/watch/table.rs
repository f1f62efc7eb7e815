//! A table that remote peers cannot grow without end: they choose the names of services, operations and keys.

use std::hash::Hash;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// Entries of one table.
const MAX_ENTRIES: usize = 50_000;

/// What is known, by key. Whoever goes through all of it puts it in order first: the order of a table is not the same after
/// a restart.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(
    serialize = "K: Serialize + Eq + Hash, V: Serialize",
    deserialize = "K: Deserialize<'de> + Eq + Hash, V: Deserialize<'de>"
))]
pub(super) struct Table<K, V> {
    entries: HashMap<K, V, FixedState>,
    /// What was not entered, since the table was full.
    overflowed: u64,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table { entries: HashMap::default(), overflowed: 0 }
    }
}

impl<K: Eq + Hash + Ord + Copy, V> Table<K, V> {
    /// The entry of this key, made where there is room for it.
    pub(super) fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> Option<&mut V> {
        if self.entries.len() >= MAX_ENTRIES && !self.entries.contains_key(&key) {
            self.overflowed += 1;
            return None;
        }
        Some(self.entries.entry(key).or_insert_with(new))
    }

    /// Enters what is not there yet, where there is room for it; whether it did.
    pub(super) fn insert(&mut self, key: K, value: V) -> bool {
        if self.entries.len() >= MAX_ENTRIES {
            self.overflowed += 1;
            return false;
        }
        self.entries.try_insert(key, value).is_ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets all but those of which this holds, whatever their order.
    pub(super) fn retain(&mut self, mut holds: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain(|key, value| holds(key, value));
    }

    /// The keys, in order.
    pub(super) fn keys(&self) -> Vec<K> {
        let mut keys: Vec<K> = self.entries.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed
    }
}
