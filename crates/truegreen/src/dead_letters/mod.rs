//! The desk for dead letters: they are looked at, chosen, edited, sent back or thrown away, and all of it is remembered.
//!
//! Read in this order: [`choice`] (which letters), [`looking`] (how a place is read), [`redrive`] (the pure state machine
//! that decides what is done next, and what it remembers), [`journal`] (the file that outlives a crash), [`mod@bench`] (the one
//! place that does what the machine decides), [`outgoing`] (what travels), [`canary`] (whether the first few had their
//! effect), [`edits`], [`earlier`] (what was sent before), [`record`] (who did what, and what became of each), [`lock`], [`desk`] (what pages and API see).
//!
//! INV-REDRIVE-1: a letter is published and confirmed before it is removed; an interrupted redrive resumes without losing
//! or silently doubling one.

pub mod bench;
pub mod canary;
pub mod choice;
pub mod desk;
pub mod earlier;
pub mod edits;
pub mod fingerprint;
pub mod journal;
pub mod lock;
pub mod looking;
pub mod outgoing;
pub mod record;
pub mod redrive;
#[cfg(test)]
pub(crate) mod simulated;

use std::path::{Path, PathBuf};

/// The folder of all of this within the folder of the data.
pub const FOLDER: &str = "dead-letters";

/// Where journals, edits and locks are.
pub fn folder(data: &Path) -> PathBuf {
    data.join(FOLDER)
}

/// Why the desk cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system.
    #[error("{system}: {source}")]
    System {
        /// Its name.
        system: String,
        /// What it said.
        source: truegreen_connect::Error,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// Somebody else is at this place.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// More letters than are taken at once.
    #[error("more than {0} letters are chosen\nhint: choose fewer, by --error, --type, --search or --limit")]
    TooMany(usize),
}

impl Error {
    /// Of what this system said.
    pub fn of(system: &str) -> impl Fn(truegreen_connect::Error) -> Error + '_ {
        move |source| Error::System { system: system.to_owned(), source }
    }
}
