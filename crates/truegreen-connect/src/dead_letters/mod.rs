//! Dead letters where they lie: looked at, sent back, removed. What is selected, in which order it goes back and what is
//! remembered of it is the server's.
//!
//! Beside the interface stand pure parts that all of them share: [`headers`] and [`stack`] (what a letter tells of its
//! death), [`group`], [`search`], and [`redact`] and [`payload`] (what may be shown of it).

pub mod group;
pub mod headers;
pub mod payload;
pub mod redact;
pub mod search;
pub mod stack;

use async_trait::async_trait;
use truegreen_model::letter::Letter;

use crate::Error;

/// Bytes of a body that are read; a longer letter is shown in part and never sent.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Headers of a letter.
pub const MAX_HEADERS: usize = 64;
/// Bytes of each of their names and values.
pub const MAX_HEADER_BYTES: usize = 8 << 10;

/// Somewhere dead letters lie.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The queue, topic, stream or table.
    pub name: String,
    /// How many lie there, where that can be told.
    pub letters: Option<u64>,
    /// What to know of it before sending back: "no dead-letter exchange behind this queue: what fails again is lost".
    pub warning: String,
}

/// What is sent back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// Where to: a queue, topic, subject, stream or table.
    pub to: String,
    /// Its routing key, message key or subject there.
    pub key: String,
    /// Headers of its first life and of its lineage; those that the death left are taken out.
    pub headers: Vec<(String, String)>,
    /// The body, edited or as it was.
    pub body: Vec<u8>,
    /// The same each time this one is sent: its message id, or deduplication header, at the target.
    pub idempotency_key: String,
}

/// How sure it is that what was sent arrived once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// Confirmed, and a second sending of the same key would have been dropped.
    Once,
    /// Confirmed; sent again it would be there twice.
    AtLeastOnce,
    /// Confirmed to be there already, by its key.
    Already,
}

/// A system in which dead letters lie.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Where they lie, by the configuration or by name, at most 200 places.
    ///
    /// # Errors
    /// Where it cannot be asked.
    async fn places(&self) -> Result<Vec<Place>, Error>;

    /// Begins to read one place from its beginning. One reading of a place at a time.
    ///
    /// # Errors
    /// Where it cannot be asked.
    async fn open(&self, place: &str) -> Result<Box<dyn Reading>, Error>;

    /// Whether letters that another reader held when it died are not shown for a while.
    fn may_hide(&self) -> bool {
        false
    }
}

/// One place under inspection. Nothing is taken out of it but by [`Reading::remove`], also where the reading ends by a crash.
#[async_trait]
pub trait Reading: Send {
    /// The next letters, at most so many; none at the end.
    ///
    /// # Errors
    /// Where the place cannot be read.
    async fn next(&mut self, limit: usize) -> Result<Vec<Letter>, Error>;

    /// Sends one back, and returns once it is confirmed to be there (INV-REDRIVE-1).
    ///
    /// # Errors
    /// [`Error::Refused`] where it is not there for certain; any other where it is not confirmed, and may be there all the
    /// same.
    async fn send(&mut self, outgoing: &Outgoing) -> Result<Sent, Error>;

    /// Removes one that this reading has shown, for good.
    ///
    /// # Errors
    /// Where it is not confirmed to be gone.
    async fn remove(&mut self, id: &str) -> Result<(), Error>;

    /// Ends the reading; whatever was not removed lies there as before.
    ///
    /// # Errors
    /// Where that is not confirmed.
    async fn close(self: Box<Self>) -> Result<(), Error>;
}
