//! What earlier redrives did with a letter that lies dead: it may be at its target already.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Serialize;
use truegreen_connect::dead_letters::headers;
use truegreen_model::letter::Letter;

use super::outgoing::{REDRIVE_ID, times_sent_back};
use super::record;
use super::redrive::{Action, Memory, Stage};

/// Journals that are read, the newest first, and bytes of all of them; what is older is not known.
const MAX_JOURNALS: usize = 100;
const MAX_BYTES: u64 = 256 << 20;
/// Bytes of an id of a redrive that a letter carries: it came from outside.
const MAX_ID_BYTES: usize = 64;

/// What the journals tell of one place.
#[derive(Debug, Default)]
pub struct Earlier {
    /// By the letter's id and what it is.
    by: HashMap<(String, String), Sending>,
    /// Journals that could not be read, and why.
    pub unread: Vec<String>,
    /// Journals that were not read for their number or length.
    pub left_out: usize,
}

/// That an earlier redrive sent a letter, or began to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Sending {
    /// The redrive.
    pub redrive: String,
    /// How far it came with the letter; none where only the letter itself tells of it, since it died again.
    pub outcome: Option<Stage>,
    /// How often the letter was sent back so far, as it tells itself.
    pub times: u32,
}

impl Earlier {
    /// Of this place. A journal that cannot be read is told of, and no reason to know nothing.
    ///
    /// # Errors
    /// Where the folder of journals cannot be read.
    pub fn of(folder: &Path, system: &str, place: &str) -> std::io::Result<Earlier> {
        let (mut earlier, mut bytes) = (Earlier::default(), 0);
        for (nth, id) in record::ids(folder)?.into_iter().enumerate() {
            let path = record::path(folder, &id);
            bytes += std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            if nth >= MAX_JOURNALS || bytes > MAX_BYTES {
                earlier.left_out += 1;
                continue;
            }
            match record::memory(&path) {
                Ok(memory) => earlier.learn(&memory, system, place),
                Err(error) => earlier.unread.push(error.to_string()),
            }
        }
        Ok(earlier)
    }

    fn learn(&mut self, memory: &Memory, system: &str, place: &str) {
        let is_its = |order: &&super::redrive::Order| {
            order.action == Action::Redrive && order.system == system && order.place == place
        };
        let Some(order) = memory.order.as_ref().filter(is_its) else { return };
        for letter in memory.letters.iter().filter(|letter| letter.sendings > 0) {
            let key = (letter.chosen.letter.clone(), letter.chosen.hash.clone());
            // The newest comes first, and knows best.
            self.by.entry(key).or_insert_with(|| Sending {
                redrive: order.id.clone(),
                outcome: Some(letter.stage),
                times: 0,
            });
        }
    }

    /// What was done with this letter, which is `hash`: by the journals, else by what it carries.
    pub fn sending(&self, letter: &Letter, hash: &str) -> Option<Sending> {
        let times = times_sent_back(letter);
        if let Some(known) = self.by.get(&(letter.id.clone(), hash.to_owned())) {
            return Some(Sending { times, ..known.clone() });
        }
        let redrive = headers::value(&letter.headers, REDRIVE_ID).filter(|id| id.len() <= MAX_ID_BYTES);
        (times > 0).then(|| Sending { redrive: redrive.unwrap_or_default().to_owned(), outcome: None, times })
    }
}

/// Letters of a selection that were sent before, by redrive.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SentBefore {
    /// They died again.
    died_again: BTreeMap<String, usize>,
    /// It began to send them, or sent them, and did not remove them.
    unfinished: BTreeMap<String, usize>,
    /// It removed them, and they lie there again.
    returned: BTreeMap<String, usize>,
}

impl SentBefore {
    /// One letter more.
    pub fn add(&mut self, sending: &Sending) {
        let kind = match sending.outcome {
            None => &mut self.died_again,
            Some(Stage::Removed | Stage::Missing) => &mut self.returned,
            Some(_) => &mut self.unfinished,
        };
        *kind.entry(sending.redrive.clone()).or_default() += 1;
    }

    /// What to know before these are sent once more, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let were = |n: usize| if n == 1 { "1 was".to_owned() } else { format!("{n} were") };
        let mut told = Vec::new();
        for (redrive, n) in &self.died_again {
            let by = if redrive.is_empty() { String::new() } else { format!(", the last time by {redrive}") };
            told.push(format!("{} sent back before and died again{by}: is what they died of mended?", were(*n)));
        }
        for (redrive, n) in &self.unfinished {
            told.push(format!(
                "{} sent by {redrive}, or about to be, and not removed: sent once more they may be there twice; \
                 better go on with: truegreen dlq redrive --resume {redrive}",
                were(*n)
            ));
        }
        for (redrive, n) in &self.returned {
            told.push(format!(
                "{} sent, confirmed and removed by {redrive}, and the same lies here: the system forgot the removal, or \
                 others are like them in everything; see first whether they are at their target",
                were(*n)
            ));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::Journal;
    use super::super::redrive::entry::Certainty;
    use super::super::redrive::{Chosen, Entry, Order, Person};
    use super::*;

    fn journal(folder: &Path, id: &str, facts: Vec<Entry>) {
        let order = Order {
            id: id.to_owned(),
            action: Action::Redrive,
            system: "broker".to_owned(),
            place: "dead".to_owned(),
            by: Person::default(),
            asked: String::new(),
            canary: 0,
            per_second: None,
            max_failed_percent: 10,
            left_out: Vec::new(),
            left_out_count: 0,
        };
        let chosen = |n: usize| {
            let (letter, hash) = (format!("l-{n}"), "h".to_owned());
            Entry::Chosen(Chosen { n, letter, hash, to: "orders".to_owned(), ..Chosen::default() })
        };
        let mut entries = vec![Entry::Begun(order)];
        entries.extend((0..4).map(chosen));
        entries.push(Entry::Frozen { letters: 4 });
        entries.extend(facts);
        let mut journal = Journal::create(&record::path(folder, id)).unwrap();
        journal.append("2026-01-01T00:00:00Z", &entries).unwrap();
    }

    /// Scenario: one redrive ended, a later one was killed; letters lie there that either knows. Guarantee: each is told of with
    /// the redrive that knows best, and what was never sent is not told of.
    #[test]
    fn each_letter_is_linked_to_who_sent_it_last() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Earlier::of(folder.path(), "broker", "dead").unwrap().by.is_empty());
        let sent = |n| [Entry::Sending { n }, Entry::Confirmed { n, sent: Certainty::Once }, Entry::Removed { n }];
        journal(folder.path(), "20260101", [sent(0), sent(1)].concat());
        journal(folder.path(), "20260102", vec![Entry::Sending { n: 1 }]);
        let earlier = Earlier::of(folder.path(), "broker", "dead").unwrap();
        let of = |id: &str, hash: &str, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            earlier.sending(&Letter { id: id.to_owned(), headers, ..Letter::default() }, hash)
        };
        let told = |sending: Option<Sending>| sending.map(|sending| (sending.redrive, sending.outcome, sending.times));
        assert_eq!(told(of("l-0", "h", &[])), Some(("20260101".into(), Some(Stage::Removed), 0)));
        assert_eq!(told(of("l-1", "h", &[])), Some(("20260102".into(), Some(Stage::Sending), 0)));
        assert_eq!(told(of("l-2", "h", &[])), None, "chosen and never sent");
        assert_eq!(told(of("l-0", "other", &[])), None, "another under the same id");
        let carried = [(REDRIVE_ID, "20260103"), ("truegreen-redrive-count", "2")];
        assert_eq!(told(of("l-9", "h", &carried)), Some(("20260103".into(), None, 2)));
        assert!(Earlier::of(folder.path(), "broker", "other").unwrap().by.is_empty());

        let mut before = SentBefore::default();
        for sending in [of("l-0", "h", &[]), of("l-1", "h", &[]), of("l-9", "h", &carried)] {
            before.add(&sending.unwrap());
        }
        let warnings = before.warnings();
        assert_eq!(warnings.len(), 3);
        assert!(warnings[0].starts_with("1 was sent back before and died again, the last time by 20260103"));
        assert!(warnings[1].contains("--resume 20260102") && warnings[2].contains("removed by 20260101"));
    }

    #[test]
    fn a_damaged_journal_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("20260101.journal"), "hello").unwrap();
        let earlier = Earlier::of(folder.path(), "broker", "dead").unwrap();
        assert!(earlier.unread.len() == 1 && earlier.unread[0].contains("damaged"), "{:?}", earlier.unread);
    }
}
