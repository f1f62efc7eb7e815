//! Edited copies that wait to be sent. The original stays where it lies, and here.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::journal::{self, Journal};
use super::redrive::entry::Edited;

/// An edit, or that one was taken back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Edit {
    /// The system.
    pub system: String,
    /// The place.
    pub place: String,
    /// The letter's id.
    pub letter: String,
    /// What the letter is: an edit is of this one and no other of its id.
    pub hash: String,
    /// How; none where it was taken back.
    pub edited: Option<Edited>,
}

fn file(folder: &Path) -> PathBuf {
    folder.join(format!("edits.{}", journal::ENDING))
}

/// All edits, the oldest first; none where nothing was ever edited.
///
/// # Errors
/// Where they cannot be read.
pub fn all(folder: &Path) -> Result<Vec<Edit>, journal::Error> {
    let path = file(folder);
    if !path.exists() {
        return Ok(Vec::new());
    }
    Ok(Journal::read::<Edit>(&path)?.into_iter().map(|line| line.fact).collect())
}

/// The edit in force of this letter.
pub fn of<'a>(edits: &'a [Edit], system: &str, place: &str, letter: &str, hash: &str) -> Option<&'a Edited> {
    let is_its =
        |edit: &&Edit| edit.system == system && edit.place == place && edit.letter == letter && edit.hash == hash;
    edits.iter().rev().find(is_its)?.edited.as_ref()
}

/// Remembers one.
///
/// # Errors
/// Where it cannot be written.
pub fn add(folder: &Path, at: &str, edit: &Edit) -> Result<(), journal::Error> {
    let path = file(folder);
    let mut journal = if path.exists() { Journal::open::<Edit>(&path)?.0 } else { Journal::create(&path)? };
    journal.append(at, std::slice::from_ref(edit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_edit_of_the_same_letter_is_in_force() {
        let folder = tempfile::tempdir().unwrap();
        assert!(all(folder.path()).unwrap().is_empty());
        let edit = |hash: &str, after: Option<&str>| Edit {
            system: "broker".into(),
            place: "dead".into(),
            letter: "1".into(),
            hash: hash.into(),
            edited: after.map(|after| Edited { after: after.into(), ..Edited::default() }),
        };
        for edit in [edit("a", Some("x")), edit("a", Some("y")), edit("b", Some("z")), edit("b", None)] {
            add(folder.path(), "2026-01-01T00:00:00Z", &edit).unwrap();
        }
        let edits = all(folder.path()).unwrap();
        assert_eq!(of(&edits, "broker", "dead", "1", "a").unwrap().after, "y");
        assert_eq!(of(&edits, "broker", "dead", "1", "b"), None, "taken back");
        assert_eq!(of(&edits, "broker", "other", "1", "a"), None);
    }
}
