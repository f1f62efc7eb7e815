//! Which keys a round asks for: those that differed when they were last looked at, and then new ones, where the last round
//! left off.

use std::collections::{BTreeSet, VecDeque};

use truegreen_connect::keys::{Listed, MAX_LISTED};

/// A walk through all keys, some of them a round.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Listed, and not asked for yet.
    waiting: VecDeque<String>,
    /// Where the listing goes on; none: at its beginning.
    next: Option<String>,
}

impl Walk {
    /// How many keys have to be listed before so many can be added.
    pub(super) fn lacks(&self, keys: usize) -> usize {
        keys.saturating_sub(self.waiting.len())
    }

    /// Where the listing goes on.
    pub(super) fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Whether there is no key at all: nothing waits, and this listing was one of all keys.
    pub(super) fn is_empty_by(&self, listed: &Listed) -> bool {
        self.waiting.is_empty() && self.next.is_none() && listed.next.is_none() && listed.keys.is_empty()
    }

    /// What was listed there.
    pub(super) fn listed(&mut self, listed: Listed) {
        let room = (2 * MAX_LISTED).saturating_sub(self.waiting.len());
        self.waiting.extend(listed.keys.into_iter().take(room));
        self.next = listed.next;
    }

    /// Adds so many to these, which are asked for anyway, each once. All that came up: also those of these that did.
    pub(super) fn add(&mut self, keys: usize, asked: &mut Vec<String>) -> BTreeSet<String> {
        let mut known: BTreeSet<String> = asked.iter().cloned().collect();
        let (mut came_up, most) = (BTreeSet::new(), asked.len() + keys);
        while asked.len() < most
            && let Some(key) = self.waiting.pop_front()
        {
            if known.insert(key.clone()) {
                asked.push(key.clone());
            }
            came_up.insert(key);
        }
        came_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(numbers: std::ops::Range<usize>) -> Vec<String> {
        numbers.map(|n| n.to_string()).collect()
    }

    #[test]
    fn a_walk_goes_on_where_it_was_and_names_each_key_once() {
        let mut walk = Walk::default();
        assert_eq!((walk.lacks(4), walk.next()), (4, None));
        walk.listed(Listed { keys: keys(0..6), next: Some("7".to_owned()) });
        let take = |walk: &mut Walk, mut asked: Vec<String>| {
            let came_up = walk.add(4, &mut asked);
            (asked, came_up.into_iter().collect::<Vec<String>>())
        };
        let (asked, came_up) = take(&mut walk, keys(1..2));
        assert_eq!((asked, came_up), (["1", "0", "2", "3", "4"].map(str::to_owned).into(), keys(0..5)));
        assert_eq!((walk.lacks(4), walk.next()), (3, Some("7")));
        walk.listed(Listed { keys: ["5", "6", "6"].map(str::to_owned).into(), next: None });
        assert_eq!(take(&mut walk, vec![]), (keys(5..7), keys(5..7)));
        assert_eq!(walk.next(), None, "it begins anew");
    }

    #[test]
    fn a_listing_without_end_is_cut() {
        let mut walk = Walk::default();
        walk.listed(Listed { keys: keys(0..10_000), next: Some("1".to_owned()) });
        walk.listed(Listed { keys: keys(0..10_000), next: Some("1".to_owned()) });
        assert_eq!(walk.add(100_000, &mut vec![]).len(), 2 * MAX_LISTED);
    }
}
