//! What is remembered of a redrive, one fact after the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use truegreen_connect::dead_letters::Sent;
use truegreen_model::letter::Letter;

/// What is done with letters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Sent back, then removed.
    Redrive,
    /// Removed, after it was kept in the journal.
    Discard,
}

/// Who asked for it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Person {
    /// Name of the user on that host.
    pub user: String,
    /// The host.
    pub host: String,
    /// The process.
    pub pid: u32,
}

/// What was asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// What is done.
    pub action: Action,
    /// The system, by its name in the configuration.
    pub system: String,
    /// Where the letters lie.
    pub place: String,
    /// Who asked.
    pub by: Person,
    /// What letters, in words.
    pub asked: String,
    /// How many go first; 0 for none.
    pub canary: usize,
    /// At most so many a second; none for as many as go.
    pub per_second: Option<f64>,
    /// It stops where more of a hundred sendings are not confirmed.
    pub max_failed_percent: u32,
    /// Letters that were asked for and are not taken, and why; the first few.
    pub left_out: Vec<LeftOut>,
    /// How many these are.
    pub left_out_count: u64,
}

/// A letter that was asked for and is not taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its id.
    pub letter: String,
    /// Why.
    pub why: String,
}

/// A letter of the frozen selection.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Chosen {
    /// Its number, from 0.
    pub n: usize,
    /// Its id in its place.
    pub letter: String,
    /// What it is: see [`super::super::fingerprint`].
    pub hash: String,
    /// Where it goes; empty where it is thrown away.
    pub to: String,
    /// Its key there.
    pub key: String,
    /// By what its journey can be found in the books, the best first.
    pub asks: Vec<String>,
    /// Why it died.
    pub error_type: String,
    /// What it is.
    pub message_type: String,
    /// The redrive that sent it before, where one is known to have.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub earlier: String,
}

/// An edited copy that goes in place of a letter's body.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Edited {
    /// SHA-256 of the body as it was.
    pub hash_before: String,
    /// SHA-256 of the body as it goes.
    pub hash_after: String,
    /// Who edited it.
    pub by: Person,
    /// RFC 3339.
    pub at: String,
    /// The body as it was, in base64.
    pub before: String,
    /// The body as it goes, in base64.
    pub after: String,
}

impl Edited {
    /// The body as it goes.
    pub fn body(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.after).ok()
    }
}

/// A letter kept whole, so that throwing it away can be undone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KeptLetter {
    /// All but its body.
    pub letter: Letter,
    /// Its body, in base64.
    pub body: String,
}

impl KeptLetter {
    /// Of this letter.
    pub fn of(letter: &Letter) -> KeptLetter {
        let body = STANDARD.encode(&letter.body);
        KeptLetter { letter: Letter { body: Vec::new(), ..letter.clone() }, body }
    }

    /// The letter as it was.
    pub fn whole(&self) -> Option<Letter> {
        Some(Letter { body: STANDARD.decode(&self.body).ok()?, ..self.letter.clone() })
    }
}

/// How sure it is that it arrived once, as it is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// A second sending would have been dropped.
    Once,
    /// A second sending would be there twice.
    AtLeastOnce,
    /// It was there already.
    Already,
}

impl From<Sent> for Certainty {
    fn from(sent: Sent) -> Certainty {
        match sent {
            Sent::Once => Certainty::Once,
            Sent::AtLeastOnce => Certainty::AtLeastOnce,
            Sent::Already => Certainty::Already,
        }
    }
}

/// Why a redrive stopped before its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopWhy {
    /// The system cannot be reached, or the place cannot be read.
    Unreachable,
    /// The first few were sent, and nothing tells whether they had their effect.
    CanaryWaits,
    /// The first few were not confirmed, or did not have their effect.
    CanaryFailed,
    /// Too many are not confirmed.
    TooManyFailed,
    /// Some are not confirmed, or not removed.
    SomeLeft,
    /// Somebody wanted it.
    Interrupted,
}

/// One fact.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Entry {
    /// This was asked for.
    Begun(Order),
    /// This letter is part of it.
    Chosen(Chosen),
    /// It goes edited.
    Edited {
        /// Which letter.
        n: usize,
        /// How.
        edited: Edited,
    },
    /// These and no others; from here on it is in force.
    Frozen {
        /// How many.
        letters: usize,
    },
    /// It is about to be sent.
    Sending {
        /// Which letter.
        n: usize,
    },
    /// It is confirmed to be there.
    Confirmed {
        /// Which letter.
        n: usize,
        /// How sure that is.
        sent: Certainty,
    },
    /// It was sent and not confirmed: it may be there.
    NotConfirmed {
        /// Which letter.
        n: usize,
        /// What the system said.
        why: String,
        /// Whether the system said that it did not take it: then it is not there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_refused: bool,
    },
    /// It is about to be thrown away, and this is all of it.
    Kept {
        /// Which letter.
        n: usize,
        /// The letter.
        kept: KeptLetter,
    },
    /// It is gone from its place.
    Removed {
        /// Which letter.
        n: usize,
    },
    /// It may still lie there.
    NotRemoved {
        /// Which letter.
        n: usize,
        /// What the system said.
        why: String,
    },
    /// It did not lie there any more, by another hand.
    Missing {
        /// Which letter.
        n: usize,
    },
    /// The first few had their effect.
    Proven {
        /// Who or what says so.
        how: String,
    },
    /// It stopped before its end.
    Stopped {
        /// Why.
        why: StopWhy,
        /// The same in words.
        told: String,
    },
    /// It goes on.
    Resumed {
        /// Who wanted that.
        by: Person,
    },
    /// Nothing is left to do.
    Ended,
}
