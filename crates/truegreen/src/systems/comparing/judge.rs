//! When a key is stale: a pure function of what both said of it, round by round.
//!
//! A key is stale where the cache holds a value that is not the source's, and has done so with the same value for longer than it
//! lawfully may. What differs once is never stale: the two are not asked in one instant, and a replica may be behind by more
//! than it tells. Two things prove it of what differs again, with the same cached value:
//!
//! - watching: it differed longer than `within` ago;
//! - the age that the source tells: it has said so for longer than `within` when the cache still said something else.
//!
//! A replica says what was so a while ago. So what it says counts as of its answer less its lag, and proves nothing of a value
//! that may have come to the cache since.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use truegreen_connect::dead_letters::redact::Redaction;

use super::round::{Look, Round, Seen, Times};
use super::value::Value;

/// The share is that of keys which were sampled in so many rounds.
const WINDOW: u64 = 20;
/// Keys that differ and are looked at again; beyond it the earliest sampled are left, but for the one that differs longest.
const MAX_FOLLOWED: usize = 500;

/// What is known of each key that counts.
#[derive(Debug)]
pub(super) struct Judge {
    within: Duration,
    redaction: Redaction,
    rounds: u64,
    /// When the first round ended: nothing was watched for longer.
    first: Option<Duration>,
    known: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    /// The round for which it was last sampled.
    sampled: u64,
    /// The round in which it was last looked at.
    looked: u64,
    differing: Option<Differing>,
}

#[derive(Clone, Debug)]
struct Differing {
    /// Which value the cache has.
    cached: u64,
    /// The end of the round in which it was first seen to differ.
    since: Duration,
    /// How long it has, at least.
    lasted: Duration,
    is_stale: bool,
    /// Whether the source told that it has not said so for longer than the cache may be behind.
    is_lawful: bool,
    /// For people.
    says: (String, Option<String>),
}

/// How things stand after a round.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Outcome {
    /// Keys asked for in this round.
    pub(super) asked: usize,
    /// Of them: what both said something of.
    pub(super) compared: usize,
    /// Of them: not in the cache.
    pub(super) missed: usize,
    /// Of them: could not be compared, and why the first could not.
    pub(super) untold: usize,
    pub(super) why: Option<String>,
    /// Keys of the last rounds that were in the cache and could be compared, and how many of them are stale.
    pub(super) sampled: usize,
    pub(super) sampled_stale: usize,
    /// All that are known to be stale, the longest first.
    pub(super) stale: Vec<Stale>,
    /// Those that differ, and are not proven to do so for too long.
    pub(super) differing: usize,
    /// Of them: nothing can tell yet whether it is too long.
    pub(super) undecided: usize,
    /// How far the source was behind.
    pub(super) behind: Duration,
}

/// A key that is stale.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Stale {
    pub(super) key: String,
    /// For how long, at least.
    pub(super) lasted: Duration,
    pub(super) cached: String,
    /// None where the source has no such row.
    pub(super) source: Option<String>,
}

impl Judge {
    pub(super) fn new(within: Duration, redaction: Redaction) -> Judge {
        Judge { within, redaction, rounds: 0, first: None, known: BTreeMap::new() }
    }

    /// The keys that differed when they were last looked at, those first that were not for longest; at most so many.
    pub(super) fn follow(&self, most: usize) -> Vec<String> {
        let differ = self.known.iter().filter(|(_, known)| known.differing.is_some());
        let mut differ: Vec<(u64, &String)> = differ.map(|(key, known)| (known.looked, key)).collect();
        differ.sort_unstable();
        differ.into_iter().take(most).map(|(_, key)| key.clone()).collect()
    }

    /// Takes in a round, for which these keys were sampled; the others are only looked at again.
    pub(super) fn take(&mut self, round: Round, sampled: &BTreeSet<String>) -> Outcome {
        self.rounds += 1;
        let times = round.times;
        let first = *self.first.get_or_insert(times.source_answered);
        let mut outcome = Outcome { asked: round.looks.len(), behind: times.source_behind, ..Outcome::default() };
        for Look { key, seen } in round.looks {
            match seen {
                Seen::Missed => {
                    outcome.missed += 1;
                    self.known.remove(&key);
                }
                Seen::Untold(why) => {
                    outcome.untold += 1;
                    outcome.why.get_or_insert(why);
                    // It waits for its turn like all others.
                    self.known.entry(key).and_modify(|known| known.looked = self.rounds);
                }
                Seen::Both { cached, source, age } => {
                    outcome.compared += 1;
                    let differing = self.differing(&key, &cached, source.as_ref(), age, &times);
                    let before = self.known.get(&key).filter(|_| !sampled.contains(&key)).map(|known| known.sampled);
                    let known = Known { sampled: before.unwrap_or(self.rounds), looked: self.rounds, differing };
                    self.known.insert(key, known);
                }
            }
        }
        self.forget();
        let is_young = times.source_answered.saturating_sub(first) < self.within.saturating_add(times.source_behind);
        self.count(&mut outcome, is_young);
        outcome
    }

    /// How it differs now, if it does.
    fn differing(
        &self,
        key: &str,
        cached: &Value,
        source: Option<&Value>,
        age: Option<Duration>,
        times: &Times,
    ) -> Option<Differing> {
        if source.is_some_and(|source| cached.is_same(source)) {
            return None;
        }
        let fingerprint = cached.fingerprint();
        let before = self.known.get(key).and_then(|known| known.differing.as_ref());
        let before = before.filter(|before| before.cached == fingerprint);
        let since = before.map_or(times.source_answered, |before| before.since);
        let watched = times.held().map_or(Duration::ZERO, |held| held.saturating_sub(since));
        let was_held = times.is_known_after_cache() || times.held().is_some_and(|held| held >= since);
        let aged = age.filter(|_| before.is_some() && was_held).map(|age| age.saturating_sub(times.slack()));
        let lasted = watched.max(aged.unwrap_or_default());
        let is_proven = lasted > self.within || (before.is_some() && watched >= self.within);
        Some(Differing {
            cached: fingerprint,
            since,
            lasted: before.map_or(lasted, |before| lasted.max(before.lasted)),
            is_stale: is_proven || before.is_some_and(|before| before.is_stale),
            is_lawful: age.is_some_and(|age| age <= self.within),
            says: (cached.shown(&self.redaction), source.map(|source| source.shown(&self.redaction))),
        })
    }

    /// Keys of long ago that are well, and those that differ beyond the bound.
    fn forget(&mut self) {
        let rounds = self.rounds;
        self.known.retain(|_, known| known.differing.is_some() || known.sampled + WINDOW > rounds);
        let lasted = |known: &Known| known.differing.as_ref().map(|differing| differing.lasted);
        let mut differ: Vec<(u64, Duration, String)> =
            self.known.iter().filter_map(|(key, known)| Some((known.sampled, lasted(known)?, key.clone()))).collect();
        let Some(too_many @ 1..) = differ.len().checked_sub(MAX_FOLLOWED) else { return };
        let longest = differ.iter().map(|(_, lasted, _)| *lasted).max();
        let longest = differ.iter().position(|(_, lasted, _)| Some(*lasted) == longest);
        longest.map(|longest| differ.swap_remove(longest));
        differ.sort_unstable();
        for (_, _, key) in differ.into_iter().take(too_many) {
            self.known.remove(&key);
        }
    }

    fn count(&self, outcome: &mut Outcome, is_young: bool) {
        for (key, known) in &self.known {
            let is_sampled = known.sampled + WINDOW > self.rounds;
            outcome.sampled += usize::from(is_sampled);
            match &known.differing {
                Some(Differing { is_stale: true, lasted, says: (cached, source), .. }) => {
                    outcome.sampled_stale += usize::from(is_sampled);
                    let (cached, source) = (cached.clone(), source.clone());
                    outcome.stale.push(Stale { key: key.clone(), lasted: *lasted, cached, source });
                }
                Some(differing) => {
                    outcome.differing += 1;
                    outcome.undecided += usize::from(is_young && !differing.is_lawful);
                }
                None => {}
            }
        }
        outcome.stale.sort_by(|a, b| b.lasted.cmp(&a.lasted).then_with(|| a.key.cmp(&b.key)));
    }
}

impl Outcome {
    /// How it stands after a second look, told of the keys of the round as a whole.
    pub(super) fn of_round(self, whole: Outcome) -> Outcome {
        let Outcome { asked, compared, missed, untold, why, .. } = whole;
        Outcome { asked, compared, missed, untold, why, ..self }
    }
}

impl Times {
    /// What lies between the end of the round and the last time of which it tells.
    fn slack(&self) -> Duration {
        let of_cache = self.source_answered.saturating_sub(self.cache_asked).saturating_add(self.cache_behind);
        let of_source = self.source_answered.saturating_sub(self.source_asked).saturating_add(self.source_behind);
        of_cache.max(of_source)
    }

    /// The last time at which the cache surely held what it said, and the source is known; none before the beginning.
    fn held(&self) -> Option<Duration> {
        self.source_answered.checked_sub(self.slack())
    }

    /// Whether what the source said is of a time after the cache's answer, so that the cache could have known it.
    fn is_known_after_cache(&self) -> bool {
        self.source_asked.checked_sub(self.source_behind).is_some_and(|known| known >= self.cache_answered)
    }
}

#[cfg(test)]
mod tests;
