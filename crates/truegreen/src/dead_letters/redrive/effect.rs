//! What the machine wants done, and what came of it.

use truegreen_connect::dead_letters::Sent;

use super::entry::Entry;

/// A letter that a reading shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Its id.
    pub id: String,
    /// What it is.
    pub hash: String,
}

/// What is to be done next; what came of it is told to [`heard`](super::Redrive::heard) before the next is asked for.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Begin to read the place.
    Open,
    /// Read the next letters.
    Read,
    /// Write this down, so that it outlives a crash.
    Record(Vec<Entry>),
    /// Write the letter down whole, as [`Entry::Kept`], so that it outlives a crash.
    Keep {
        /// Which letter.
        n: usize,
        /// Its place among those that were read last.
        slot: usize,
    },
    /// Send it.
    Send {
        /// Which letter.
        n: usize,
        /// Its place among those that were read last.
        slot: usize,
    },
    /// Remove it.
    Remove {
        /// Which letter.
        n: usize,
        /// Its place among those that were read last.
        slot: usize,
    },
    /// End the reading.
    Close,
    /// Wait so many seconds.
    Pause(u64),
    /// See whether the first few had their effect.
    Verify,
    /// Nothing: it stopped, or is at its end.
    Finished,
}

/// Whether the first few had their effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Canary {
    /// They had; who or what says so.
    Proven(String),
    /// They had not.
    Failed(String),
    /// Nothing tells.
    Undecided(String),
    /// Somebody wanted to stop before anything told.
    Interrupted,
}

/// What came of an effect.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// It is done.
    Done,
    /// These were read; none at the end.
    Shown(Vec<Shown>),
    /// It is confirmed to be there.
    Sent(Sent),
    /// It is not done, or may not be.
    Failed(String),
    /// It was not taken: nothing of it is there.
    Refused(String),
    /// What became of the first few.
    Verified(Canary),
}
