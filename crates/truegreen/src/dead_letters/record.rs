//! The audit record: who sent back or threw away what, when, from where to where, and what became of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::journal::{self, ENDING, Journal};
use super::redrive::entry::{Certainty, KeptLetter, LeftOut, Order, Person, StopWhy};
use super::redrive::memory::{Memory, Stage};
use super::redrive::{Action, Entry};

/// A record as JSON. Stable: fields are added, never renamed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// `redrive` or `discard`.
    pub action: Action,
    /// The system.
    pub system: String,
    /// Where the letters lay.
    pub place: String,
    /// Where they went, with how many.
    pub to: BTreeMap<String, usize>,
    /// Who asked.
    pub by: Person,
    /// Which letters were asked for, in words.
    pub asked: String,
    /// RFC 3339.
    pub began_at: String,
    /// RFC 3339: the last that is known.
    pub last_at: String,
    /// `ended`, `stopped`, or `interrupted` where it neither ended nor stopped: it runs, or was killed.
    pub state: &'static str,
    /// Why it stopped.
    pub stopped: Option<Stopped>,
    /// Who says that the first few had their effect.
    pub canary: Option<String>,
    /// Who resumed it.
    pub resumed: Vec<Resumed>,
    /// How many.
    pub counts: Counts,
    /// Letters that were asked for and not taken; the first few.
    pub left_out: Vec<LeftOut>,
    /// Each letter and what became of it.
    pub letters: Vec<LetterRecord>,
}

/// Why it stopped.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stopped {
    /// Why.
    pub why: StopWhy,
    /// In words.
    pub told: String,
}

/// Who resumed it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Resumed {
    /// Who.
    pub by: Person,
    /// RFC 3339.
    pub at: String,
}

/// How many letters came to what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Counts {
    /// The selection.
    pub letters: usize,
    /// Confirmed, or kept, and removed.
    pub done: usize,
    /// Confirmed, or kept, and lying there still.
    pub not_removed: usize,
    /// Begun to be sent and not confirmed: there, or not. Resuming sends them again under the same key.
    pub unsure: usize,
    /// Sent and not taken by the system: not there, and lying here as before. Resuming sends them again.
    pub refused: usize,
    /// Not there any more when their turn came.
    pub missing: usize,
    /// Nothing was done with them.
    pub waiting: usize,
    /// Sent more than once to a system that drops no second one: there twice, or once.
    pub may_be_doubled: usize,
    /// Sent edited.
    pub edited: usize,
    /// Asked for and not taken.
    pub left_out: u64,
}

/// One letter and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LetterRecord {
    /// Its id in its place.
    pub letter: String,
    /// SHA-256 of key, headers and body.
    pub hash: String,
    /// Where it went.
    pub to: String,
    /// How far it is.
    pub outcome: Stage,
    /// How sure its confirmation was.
    pub sent: Option<Certainty>,
    /// How often a sending was begun.
    pub sendings: u32,
    /// Whether it may be there twice.
    pub may_be_doubled: bool,
    /// SHA-256 of the body before and after, and who edited it.
    pub edited: Option<EditRecord>,
    /// What the system said, where it did not do it.
    pub told: String,
    /// The redrive that sent it before; empty where none is known to have.
    pub earlier: String,
}

/// An edit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct EditRecord {
    /// SHA-256 of the body as it was.
    pub hash_before: String,
    /// SHA-256 of the body as it went.
    pub hash_after: String,
    /// Who edited it.
    pub by: Person,
    /// RFC 3339.
    pub at: String,
}

impl Counts {
    /// Of this memory.
    pub fn of(memory: &Memory) -> Counts {
        let count = |stage| memory.count(stage);
        Counts {
            letters: memory.letters.len(),
            done: count(Stage::Removed),
            not_removed: count(Stage::Confirmed) + count(Stage::Kept),
            unsure: count(Stage::Sending) + count(Stage::NotConfirmed),
            refused: count(Stage::Refused),
            missing: count(Stage::Missing),
            waiting: count(Stage::Waiting),
            may_be_doubled: memory.letters.iter().filter(|letter| letter.may_be_doubled).count(),
            edited: memory.edits.len(),
            left_out: memory.order.as_ref().map_or(0, |order| order.left_out_count),
        }
    }
}

impl Record {
    /// Of this memory; none where it does not even say what was asked for, or was never in force.
    pub fn of(memory: &Memory) -> Option<Record> {
        let order: &Order = memory.order.as_ref().filter(|_| memory.is_frozen)?;
        let mut to = BTreeMap::new();
        for letter in &memory.letters {
            *to.entry(letter.chosen.to.clone()).or_default() += 1;
        }
        let letter = |standing: &super::redrive::Standing| LetterRecord {
            letter: standing.chosen.letter.clone(),
            hash: standing.chosen.hash.clone(),
            to: standing.chosen.to.clone(),
            outcome: standing.stage,
            sent: standing.sent,
            sendings: standing.sendings,
            may_be_doubled: standing.may_be_doubled,
            edited: memory.edits.get(&standing.chosen.n).map(|edited| EditRecord {
                hash_before: edited.hash_before.clone(),
                hash_after: edited.hash_after.clone(),
                by: edited.by.clone(),
                at: edited.at.clone(),
            }),
            told: standing.told.clone(),
            earlier: standing.chosen.earlier.clone(),
        };
        Some(Record {
            id: order.id.clone(),
            action: order.action,
            system: order.system.clone(),
            place: order.place.clone(),
            to: if order.action == Action::Discard { BTreeMap::new() } else { to },
            by: order.by.clone(),
            asked: order.asked.clone(),
            began_at: memory.began_at.clone(),
            last_at: memory.last_at.clone(),
            state: match (memory.is_ended, &memory.stopped) {
                (true, _) => "ended",
                (false, Some(_)) => "stopped",
                (false, None) => "interrupted",
            },
            stopped: memory.stopped.clone().map(|(why, told)| Stopped { why, told }),
            canary: memory.proven.clone(),
            resumed: memory.resumed.iter().map(|(by, at)| Resumed { by: by.clone(), at: at.clone() }).collect(),
            counts: Counts::of(memory),
            left_out: order.left_out.clone(),
            letters: memory.letters.iter().map(letter).collect(),
        })
    }
}

/// Where the journal of a redrive is.
pub fn path(folder: &Path, id: &str) -> PathBuf {
    // An id names a file of ours and nothing else.
    let id: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    folder.join(format!("{id}.{ENDING}"))
}

/// Ids of all redrives, the newest first.
///
/// # Errors
/// Where the folder cannot be read; it may be missing.
pub fn ids(folder: &Path) -> std::io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|ending| ending == ENDING) && stem != "edits" {
            ids.push(stem.to_owned());
        }
    }
    ids.sort_by(|a, b| b.cmp(a));
    Ok(ids)
}

/// What the journal of a redrive amounts to.
///
/// # Errors
/// Where it cannot be read, or contradicts itself.
pub fn memory(path: &Path) -> Result<Memory, journal::Error> {
    remembered(path, &Journal::read::<Entry>(path)?)
}

/// What these lines of a journal amount to.
///
/// # Errors
/// Where they contradict each other.
pub fn remembered(path: &Path, lines: &[journal::Line<Entry>]) -> Result<Memory, journal::Error> {
    Memory::of(lines.iter().map(|line| (line.at.as_str(), &line.fact))).map_err(|nonsense| journal::Error::Damaged {
        file: path.display().to_string(),
        offset: 0,
        what: nonsense.to_string(),
    })
}

/// The letters that a discard kept, whole.
///
/// # Errors
/// Where the journal cannot be read.
pub fn kept(path: &Path) -> Result<Vec<KeptLetter>, journal::Error> {
    let lines = Journal::read::<Entry>(path)?;
    let kept = lines.into_iter().filter_map(|line| match line.fact {
        Entry::Kept { kept, .. } => Some(kept),
        _ => None,
    });
    Ok(kept.collect())
}
