//! Why the store did not do what was asked. A variant for each thing a caller does differently.

use std::io;
use std::path::PathBuf;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was appended and the log is sound: the same append passes once there is room. Refuse retryably.
    #[error(
        "{dir}: {free} bytes are free on this disk, and {least} must stay free\nhint: free some space, or lower the log's max_bytes"
    )]
    NoSpace {
        /// The log's directory.
        dir: PathBuf,
        /// What is free now, in bytes.
        free: u64,
        /// What [`Options::min_free_bytes`](crate::Options::min_free_bytes) keeps free.
        least: u64,
    },
    /// Nothing was appended and the log is sound: this body will never fit. Refuse for good.
    #[error("an entry of {bytes} bytes is larger than the log takes: {most}")]
    TooLarge {
        /// Length of the body.
        bytes: usize,
        /// [`Log::MAX_BODY_BYTES`](crate::Log::MAX_BODY_BYTES).
        most: usize,
    },
    /// A write or a sync failed, now or earlier, so what was not committed may or may not be on disk. Reading goes
    /// on; every write is refused until the log is opened anew, which keeps exactly what is whole.
    #[error("the log takes no more writes: {cause}\nhint: mend the disk, then open the log again (restart)")]
    Poisoned {
        /// The failure that began it.
        cause: String,
    },
    /// The disk failed while opening or reading.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes that were once durable are not what was written. Nothing was changed.
    #[error("{file}: damaged at byte {offset}: {what}\nhint: {hint}")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it, in bytes from its start.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
        /// How to go on.
        hint: &'static str,
    },
    /// A newer Truegreen wrote this. Nothing was changed.
    #[error("{file}: written in format {found}, but this program knows formats up to {known}\nhint: {hint}")]
    NewerVersion {
        /// The file, or the folder of a checkpoint.
        file: PathBuf,
        /// The format it is written in.
        found: u32,
        /// The newest format known here.
        known: u32,
        /// How to go on.
        hint: &'static str,
    },
    /// Nothing more is added to the index. What it knows is still found; it goes on where it is opened anew, from
    /// [`Index::next_sequence`](crate::index::Index::next_sequence).
    #[error("{dir}: the index takes nothing more: {cause}\nhint: mend the disk, then open the index again (restart)")]
    IndexStopped {
        /// The index's directory.
        dir: PathBuf,
        /// The failure that began it.
        cause: String,
    },
    /// The checkpoints cannot be read or written. The log is not touched by that.
    #[error("{dir}: cannot {action} the checkpoint: {cause}\nhint: {hint}")]
    Checkpoint {
        /// The checkpoints' directory.
        dir: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// What the key-value store said.
        cause: String,
        /// How to go on.
        hint: &'static str,
    },
    /// Another process, or another part of this one, holds the log.
    #[error("{dir}: in use by {by}\nhint: stop it first, or give this one a directory of its own")]
    Locked {
        /// The log's directory.
        dir: PathBuf,
        /// Who holds it, as far as it said so.
        by: String,
    },
}
