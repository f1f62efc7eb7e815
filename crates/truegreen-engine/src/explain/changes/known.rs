//! The changes that were reported, as the engine keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use truegreen_model::change::Change;
use truegreen_model::time::Timestamp;

use crate::engine::Engine;

/// Most changes that are kept: days of a busy company. The oldest make room, and are counted.
pub const MAX_CHANGES: usize = 2_000;

/// By id, each as it was told last.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct KnownChanges {
    by_id: BTreeMap<String, Change>,
    by_time: BTreeMap<(Timestamp, String), ()>,
}

impl KnownChanges {
    /// Returns whether an older one made room. One that is older than all that are kept makes none for itself.
    pub(crate) fn take(&mut self, change: &Change) -> bool {
        if let Some(before) = self.by_id.insert(change.id.clone(), change.clone()) {
            self.by_time.remove(&(before.at, before.id));
        }
        self.by_time.insert((change.at, change.id.clone()), ());
        if self.by_id.len() <= MAX_CHANGES {
            return false;
        }
        if let Some(((_, id), ())) = self.by_time.pop_first() {
            self.by_id.remove(&id);
        }
        true
    }
}

impl Engine {
    /// The changes that were reported, latest first; at most [`MAX_CHANGES`].
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.by_time.keys().rev().filter_map(|(_, id)| self.changes.by_id.get(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Input, Options};

    fn change(id: &str, at: u64) -> Change {
        Change { id: id.to_owned(), at: Timestamp::from_secs(at), ..Change::default() }
    }

    fn ids(engine: &Engine) -> Vec<&str> {
        engine.changes().map(|change| change.id.as_str()).collect()
    }

    #[test]
    fn the_same_id_twice_is_one_change_as_it_was_told_last() {
        let mut engine = Engine::new(Vec::new(), Options::default());
        for (id, at) in [("a", 10), ("b", 20), ("a", 30)] {
            engine.apply(Timestamp::from_secs(100), Input::Change(&change(id, at)));
        }
        assert_eq!(ids(&engine), ["a", "b"]);
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let mut engine = Engine::new(Vec::new(), Options::default());
        for n in 0..MAX_CHANGES as u64 + 3 {
            engine.apply(Timestamp::from_secs(10_000), Input::Change(&change(&format!("c-{n}"), n)));
        }
        assert_eq!(engine.changes().count(), MAX_CHANGES);
        assert_eq!(engine.changes().last().map(|change| change.id.as_str()), Some("c-3"));
        let counted = engine.counters().iter().find(|one| one.reason == "changes").map(|one| one.value);
        assert_eq!(counted, Some(3));
    }

    #[test]
    fn they_outlive_a_restart_from_a_checkpoint() {
        let options = Options { keeps_changes: true, ..Options::default() };
        let mut engine = Engine::new(Vec::new(), options.clone());
        engine.apply(Timestamp::from_secs(100), Input::Change(&change("a", 10)));
        let mut records = Vec::new();
        engine.checkpoint(&mut |key, value| records.push((key.to_vec(), value.unwrap_or_default().to_vec())));
        let restored = Engine::restore(options, records.into_iter()).unwrap();
        assert_eq!(ids(&restored), ["a"]);
    }
}
