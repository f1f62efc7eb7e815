//! What the engine derived from the log, as of a sequence: so that a start replays only what came after it.
//!
//! Records are bytes under a key, and what they mean is known elsewhere. They are written incrementally: each write
//! holds what changed since the one before, together with the sequence as of which it is true, all of it or nothing.
//! Beside the log they are the other authority: they outlive the entries that retention drops.
//!
//! The records are kept by fjall, a log-structured merge tree: see `folder` for what lies where.

mod folder;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use self::folder::{Folder, HINT, disk_bytes, told};
use crate::embedded::disk::{Directory, Disk};
use crate::error::Error;

/// A record's key and its new value; none removes it.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// How checkpoints are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Nothing is written that would leave fewer bytes free on the disk.
    pub min_free_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { min_free_bytes: 1 << 30 }
    }
}

/// Of the blocks read last. Records are read once, at a start.
const CACHE_BYTES: u64 = 8 << 20;
/// Changes in memory beyond this are written as sorted files; up to four times as many wait for that.
const MEMTABLE_BYTES: u64 = 16 << 20;
const BLOCK_BYTES: u32 = 32 << 10;
const JOURNAL_BYTES: u64 = 128 << 20;
/// One flushes and compacts; with a second, a long compaction holds up no flush.
const WORKERS: usize = 2;
/// What a change may take on disk beyond its key and value, until it is compacted: the journal's copy, and a sorted one.
const COPIES: u64 = 3;
const KEYSPACE: &str = "records";
const SEQUENCE_KEY: &[u8] = &[0];
const RECORD_PREFIX: u8 = 1;

/// The checkpoints in one folder, held by this value alone.
pub struct Checkpoints {
    folder: Folder,
    options: Options,
    /// None only while the folder is emptied, or where that failed.
    open: Option<Open>,
    sequence: Option<u64>,
    /// Changes that found no room on the disk; they are written with the next.
    owed: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

#[derive(Clone)]
struct Open {
    database: Database,
    records: Keyspace,
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoints")
            .field("dir", &self.folder.path)
            .field("sequence", &self.sequence)
            .field("owed", &self.owed.len())
            .finish_non_exhaustive()
    }
}

/// What is known of checkpoints from outside.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// As of which sequence the records were last said to be; none where there is nothing, or it cannot be told.
    pub sequence: Option<u64>,
    /// What the folder takes on disk.
    pub disk_bytes: u64,
}

/// Looks at the folder of checkpoints, also beside a running server; changes nothing.
pub fn info(dir: &Path) -> Stats {
    Stats { sequence: told(dir), disk_bytes: disk_bytes(dir) }
}

impl Checkpoints {
    /// The longest key of a record.
    pub const MAX_KEY_BYTES: usize = u16::MAX as usize - 1;

    /// Opens the checkpoints in this folder, or begins them; holds them until dropped.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::NewerVersion`], [`Error::Damaged`], [`Error::Checkpoint`], [`Error::Io`].
    pub fn open(dir: &Path, options: Options) -> Result<Checkpoints, Error> {
        let folder = Folder::open(dir)?;
        if !folder.records().exists() {
            folder.make(|new| open_database(new, dir).map(drop))?;
        }
        let open = open_database(&folder.records(), dir)?;
        let sequence = open.records.get(SEQUENCE_KEY).map_err(failed(dir, "read"))?;
        let sequence = sequence.map(|bytes| bytes[..].try_into().map(u64::from_le_bytes));
        let sequence = sequence.transpose().map_err(|_| Error::Damaged {
            file: folder.records(),
            offset: 0,
            what: "the sequence is not a number",
            hint: HINT,
        })?;
        if let Some(sequence) = sequence {
            folder.tell(sequence);
        }
        Ok(Checkpoints { folder, options, open: Some(open), sequence, owed: BTreeMap::new() })
    }

    /// The sequence as of which the records are: everything up to it is in them, and nothing after it. None: nothing
    /// was written yet.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// All records, by their keys; ends after the first error.
    pub fn records(&self) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), Error>> {
        let records = self.open.iter().flat_map(|open| open.records.range([RECORD_PREFIX]..));
        let mut is_ended = false;
        let read = records.map(|guard| {
            let (key, value) = guard.into_inner().map_err(failed(&self.folder.path, "read"))?;
            Ok((key.get(1..).unwrap_or_default().to_vec(), value.to_vec()))
        });
        read.take_while(move |record| !std::mem::replace(&mut is_ended, record.is_err()))
    }

    /// Makes these changes, as of this sequence, all at once, and durable. Of two changes of one key the later counts.
    ///
    /// All changes are in memory meanwhile, at about twice their size. They go into a journal first, and are sorted
    /// into place by threads of its own; where these are far behind, this call waits for them.
    ///
    /// # Errors
    /// [`Error::NoSpace`]: nothing was written, and the changes are kept in memory for the next call. After
    /// [`Error::Checkpoint`] the changes may or may not be there, all or none: the checkpoints must be opened anew, and
    /// the log be replayed from [`Checkpoints::sequence`] on.
    pub fn write(&mut self, sequence: u64, changes: Vec<Change>) -> Result<(), Error> {
        let dir = &self.folder.path;
        if changes.iter().any(|(key, _)| key.len() > Self::MAX_KEY_BYTES) {
            return Err(told_error(dir, "write", format!("a key is longer than {} bytes", Self::MAX_KEY_BYTES)));
        }
        let open = self.open.as_ref().ok_or_else(|| told_error(dir, "write", "it could not be emptied".to_owned()))?;
        let bytes = bytes_of(changes.iter().map(|(key, value)| (key, value))) + bytes_of(self.owed.iter());
        if let Err(error) = check_room(dir, self.options, bytes.saturating_mul(COPIES)) {
            self.owed.extend(changes);
            return Err(error);
        }
        let mut batch = open.database.batch().durability(Some(PersistMode::SyncData));
        let mut prefixed = vec![RECORD_PREFIX];
        for (key, value) in std::mem::take(&mut self.owed).into_iter().chain(changes) {
            prefixed.truncate(1);
            prefixed.extend_from_slice(&key);
            match value {
                Some(value) => batch.insert(&open.records, prefixed.as_slice(), value),
                None => batch.remove(&open.records, prefixed.as_slice()),
            }
        }
        batch.insert(&open.records, SEQUENCE_KEY, sequence.to_le_bytes());
        batch.commit().map_err(failed(dir, "write"))?;
        self.sequence = Some(sequence);
        self.folder.tell(sequence);
        Ok(())
    }

    /// Removes all of it: the log is replayed from its beginning. A crash leaves all of it or nothing.
    ///
    /// # Errors
    /// [`Error::Checkpoint`], [`Error::Io`]: open the checkpoints anew.
    pub fn clear(&mut self) -> Result<(), Error> {
        // Closes its files before they are moved.
        self.open = None;
        self.sequence = None;
        self.owed.clear();
        self.folder.empty()?;
        let dir = &self.folder.path;
        self.folder.make(|new| open_database(new, dir).map(drop))?;
        self.open = Some(open_database(&self.folder.records(), dir)?);
        Ok(())
    }

    /// Puts all that is on disk into order, so that it takes the least room. Seconds for a million records.
    ///
    /// # Errors
    /// [`Error::Checkpoint`]: open the checkpoints anew.
    pub fn compact(&mut self) -> Result<(), Error> {
        let dir = &self.folder.path;
        let Some(open) = &self.open else { return Ok(()) };
        open.records.rotate_memtable_and_wait().map_err(failed(dir, "compact"))?;
        open.records.major_compact().map_err(failed(dir, "compact"))?;
        // What is superseded is removed when the files are opened.
        self.open = None;
        self.open = Some(open_database(&self.folder.records(), dir)?);
        Ok(())
    }

    /// The sequence, and what the folder takes on disk.
    pub fn stats(&self) -> Stats {
        Stats { sequence: self.sequence, disk_bytes: disk_bytes(&self.folder.path) }
    }
}

fn open_database(path: &Path, dir: &Path) -> Result<Open, Error> {
    let builder = Database::builder(path)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .worker_threads(WORKERS)
        .manual_journal_persist(true);
    let database = builder.open().map_err(failed(dir, "open"))?;
    let options = || {
        KeyspaceCreateOptions::default()
            .max_memtable_size(MEMTABLE_BYTES)
            .manual_journal_persist(true)
            // Records are read in their order and all at once: no filter saves a look, and large blocks are quicker.
            .filter_policy(FilterPolicy::disabled())
            .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
    };
    let records = database.keyspace(KEYSPACE, options).map_err(failed(dir, "open"))?;
    Ok(Open { database, records })
}

/// What these changes hold.
fn bytes_of<'a>(changes: impl Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>) -> u64 {
    changes.map(|(key, value)| (key.len() + value.as_ref().map_or(0, Vec::len)) as u64).sum()
}

fn check_room(dir: &Path, options: Options, bytes: u64) -> Result<(), Error> {
    let measured = Directory::new(dir).free_bytes();
    let free = measured.map_err(|source| Error::Io {
        action: "measure the free space of",
        file: dir.to_path_buf(),
        source,
    })?;
    let least = options.min_free_bytes;
    if free < least.saturating_add(bytes) {
        return Err(Error::NoSpace { dir: dir.to_path_buf(), free, least });
    }
    Ok(())
}

/// An error of the key-value store as the caller is told of it.
fn failed<'a>(dir: &'a Path, action: &'static str) -> impl FnOnce(fjall::Error) -> Error + 'a {
    move |error| match error {
        fjall::Error::Locked => Error::Locked { dir: dir.to_path_buf(), by: "another process".to_owned() },
        error => told_error(dir, action, error.to_string()),
    }
}

fn told_error(dir: &Path, action: &'static str, cause: String) -> Error {
    let hint = if action == "open" || action == "read" { HINT } else { "mend the disk, then restart" };
    Error::Checkpoint { dir: PathBuf::from(dir), action, cause, hint }
}
