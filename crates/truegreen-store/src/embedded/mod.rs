//! The log as checksummed segment files in one directory.
//!
//! Read in this order: `format` (the bytes on disk), [`disk`] (the seam to the file system), `block`,
//! `segment`, `walk`, `catalog` (what readers see), [`recovery`], [`reader`], [`retention`], [`verify`],
//! [`compact`].

mod block;
mod catalog;
pub mod compact;
pub mod disk;
pub(crate) mod format;
mod lock;
pub mod reader;
pub mod recovery;
pub mod retention;
mod segment;
pub mod stats;
#[cfg(test)]
pub(crate) mod tests;
pub mod verify;
pub(crate) mod walk;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use truegreen_model::time::Timestamp;

use self::block::OpenBlock;
use self::catalog::Shared;
use self::disk::{Directory, Disk, create_directory};
use self::format::{BLOCK_HEADER_BYTES, ENTRY_HEADER_BYTES, MAX_BODY_BYTES, SEAL_BYTES, SEGMENT_HEADER_BYTES, VERSION};
use self::lock::Lock;
use self::reader::{Entries, Reader};
use self::recovery::{Recovery, survey};
use self::retention::{Dropped, Limits};
use self::segment::Active;
use self::stats::Stats;
use self::walk::failed;
use crate::entry::{Entry, Kind};
use crate::error::Error;

/// How a log is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// A segment of at least this many bytes is full; retention drops whole segments.
    pub segment_bytes: u64,
    /// A block of at least this many plain bytes is closed; a larger entry has a block of its own. At most 4 MiB.
    pub block_bytes: usize,
    /// Entries received longer ago may be dropped. A segment also counts as full at a quarter of this age, so that an
    /// entry outlives it by a quarter at most.
    pub max_age: Duration,
    /// The oldest entries are dropped while the segments take more than this many bytes.
    pub max_bytes: u64,
    /// Nothing is appended that would leave fewer bytes free on the disk; of our own notes ([`Kind::is_note`]) nothing
    /// that would leave fewer than half of it, so that what must be said about a full disk can be.
    pub min_free_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            segment_bytes: 1 << 30,
            block_bytes: 32 << 10,
            max_age: Duration::from_secs(7 * 24 * 3600),
            max_bytes: 50 << 30,
            min_free_bytes: 1 << 30,
        }
    }
}

const MOST_BLOCK_BYTES: usize = 4 << 20;
/// How many bytes are appended at most before the free space is measured again.
const ROOM_BYTES: u64 = 16 << 20;

/// The log, held for writing by this value alone.
#[derive(Debug)]
pub struct Log<D: Disk = Directory> {
    disk: Arc<D>,
    options: Options,
    catalog: Shared,
    /// None before the first entry, and where the newest segment was found sealed.
    active: Option<Active>,
    block: OpenBlock,
    /// The sequence of the first entry of `block`.
    block_sequence: u64,
    /// Bytes that may be appended before the free space is measured again.
    room: u64,
    /// Why nothing more is written.
    poison: Option<String>,
    /// The removal of a dropped segment is not known to be durable.
    is_removal_unsynced: bool,
    recovery: Recovery,
    _lock: Option<Lock>,
}

impl Log<Directory> {
    /// Opens the log in this directory, or begins one; holds it until dropped.
    ///
    /// A tail that a crash tore is cut off (see [`Log::recovery`]). Reads the whole newest segment; of the others only
    /// the first and last bytes.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::NewerVersion`], [`Error::Damaged`], [`Error::Io`].
    pub fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let disk = Directory::new(dir);
        create_directory(dir).map_err(failed(&disk, "create", None))?;
        let lock = Lock::exclusive(dir)?;
        let log = Log::open_on(disk, options)?;
        Ok(Log { _lock: Some(lock), ..log })
    }
}

impl<D: Disk> Log<D> {
    /// The longest body of one entry.
    pub const MAX_BODY_BYTES: usize = MAX_BODY_BYTES;

    /// Opens the log on this disk; the caller sees to it that no one else writes there.
    ///
    /// # Errors
    /// As [`Log::open`], save [`Error::Locked`].
    pub fn open_on(disk: D, options: Options) -> Result<Self, Error> {
        let found = survey(&disk)?;
        let recovery = found.mend(&disk)?;
        compact::remove_leftovers(&disk)?;
        let active = found.catalog.segments.back().filter(|newest| !newest.sealed).map(Active::resume);
        Ok(Log {
            disk: Arc::new(disk),
            options: Options { block_bytes: options.block_bytes.min(MOST_BLOCK_BYTES), ..options },
            active,
            block: OpenBlock::new(),
            block_sequence: found.catalog.end_sequence,
            catalog: Shared::new(found.catalog),
            room: 0,
            poison: None,
            is_removal_unsynced: false,
            recovery,
            _lock: None,
        })
    }

    /// Appends an entry and returns its sequence. It is buffered: not durable, and not to be read, before a commit.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and [`Error::TooLarge`] leave the log as it was; after [`Error::Poisoned`] it must be opened
    /// anew. [`Error::Io`]: the free space could not be measured, and nothing was appended.
    pub fn append(&mut self, received_at: Timestamp, kind: Kind, body: &[u8]) -> Result<u64, Error> {
        self.check_poison()?;
        if body.len() > MAX_BODY_BYTES {
            return Err(Error::TooLarge { bytes: body.len(), most: MAX_BODY_BYTES });
        }
        let bytes = ENTRY_HEADER_BYTES + body.len();
        self.take_room((bytes + BLOCK_HEADER_BYTES) as u64, kind)?;
        if self.block.plain_bytes() + bytes > self.options.block_bytes {
            self.close_block()?;
        }
        self.block.push(received_at, kind, body);
        let sequence = self.next_sequence() - 1;
        if self.block.plain_bytes() >= self.options.block_bytes {
            self.close_block()?;
        }
        Ok(sequence)
    }

    /// Makes everything appended durable, and readable (INV-ACK-1: only then may a sender be answered).
    ///
    /// # Errors
    /// [`Error::Poisoned`]: what was appended since the last commit may or may not be durable.
    pub fn commit(&mut self) -> Result<(), Error> {
        self.check_poison()?;
        // Others write to this disk too, so what was free a commit ago says nothing.
        self.room = 0;
        self.close_block()?;
        let synced = match &mut self.active {
            Some(active) if !active.is_durable() => active.sync(&*self.disk),
            _ => return Ok(()),
        };
        self.poisoning(synced)?;
        self.publish();
        Ok(())
    }

    /// A reader for other threads.
    pub fn reader(&self) -> Reader<D> {
        Reader::new(Arc::clone(&self.disk), self.catalog.clone())
    }

    /// See [`Reader::read_from`].
    pub fn read_from(&self, sequence: u64) -> Entries<D> {
        self.reader().read_from(sequence)
    }

    /// See [`Reader::get`].
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn get(&self, sequence: u64) -> Result<Option<Entry>, Error> {
        self.reader().get(sequence)
    }

    /// Drops whole segments beyond `max_age` and `max_bytes`, oldest first, never the newest.
    ///
    /// # Errors
    /// [`Error::Io`]: some may be dropped; call again. [`Error::Poisoned`]: nothing was dropped.
    pub fn enforce_retention(&mut self, now: Timestamp) -> Result<Dropped, Error> {
        self.enforce_retention_through(now, u64::MAX)
    }

    /// As [`Log::enforce_retention`], but no segment with an entry after the sequence `through`.
    ///
    /// # Errors
    /// As there.
    pub fn enforce_retention_through(&mut self, now: Timestamp, through: u64) -> Result<Dropped, Error> {
        self.check_poison()?;
        let Options { max_age, max_bytes, .. } = self.options;
        let limits = Limits { max_age, max_bytes, through };
        retention::enforce(&*self.disk, &self.catalog, limits, now, &mut self.is_removal_unsynced)
    }

    /// The sequence that the next entry will have.
    pub fn next_sequence(&self) -> u64 {
        self.block_sequence + self.block.entries()
    }

    /// The sequence of the earliest entry retained, or of the first to come where there is none.
    pub fn first_sequence(&self) -> u64 {
        self.catalog.read().first_sequence()
    }

    /// Counts over what is committed.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.catalog.read())
    }

    /// What opening cut off.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    fn check_poison(&self) -> Result<(), Error> {
        match &self.poison {
            None => Ok(()),
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
        }
    }

    /// After a failed write or sync no one knows what is on disk: nothing more is written.
    fn poisoning(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        result.map_err(|error| {
            let cause = error.to_string();
            self.poison = Some(cause.clone());
            Error::Poisoned { cause }
        })
    }

    /// Takes `bytes` of the free space, measured now and then; for a note each time.
    fn take_room(&mut self, bytes: u64, kind: Kind) -> Result<(), Error> {
        if self.room < bytes {
            let free = self.disk.free_bytes().map_err(failed(&*self.disk, "measure the free space of", None))?;
            let reserve = self.options.min_free_bytes;
            let least = if kind.is_note() { reserve / 2 } else { reserve };
            let pending = self.block.plain_bytes() + self.active.as_ref().map_or(0, Active::pending_bytes);
            let taken = (pending + SEGMENT_HEADER_BYTES + SEAL_BYTES) as u64;
            if free.saturating_sub(least).saturating_sub(taken) < bytes {
                return Err(Error::NoSpace { dir: self.disk.path(None), free, least });
            }
            // What is left over is for requests: it does not reach into the reserve.
            let room = free.saturating_sub(reserve).saturating_sub(taken);
            self.room = room.min(ROOM_BYTES.max(bytes));
        }
        self.room = self.room.saturating_sub(bytes);
        Ok(())
    }

    /// Puts the open block behind the others, in a new segment if the newest is full.
    fn close_block(&mut self) -> Result<(), Error> {
        if self.block.is_empty() {
            return Ok(());
        }
        let closed = self.try_close_block();
        self.poisoning(closed)
    }

    fn try_close_block(&mut self) -> Result<(), Error> {
        if self.is_full() {
            if let Some(active) = &mut self.active {
                active.seal(&*self.disk)?;
            }
            self.publish();
            self.active = None;
        }
        let active = match &mut self.active {
            Some(active) => active,
            None => {
                let created = Active::create(&*self.disk, self.block_sequence, self.block.earliest())?;
                self.catalog.write().segments.push_back(created.view());
                self.active.insert(created)
            }
        };
        active.add(&*self.disk, &mut self.block)?;
        self.block_sequence = active.end_sequence;
        Ok(())
    }

    /// Whether the newest segment takes no further block.
    fn is_full(&self) -> bool {
        self.active.as_ref().is_some_and(|active| {
            let age = self.block.latest().since(active.header.created_at);
            let is_full = active.length() >= self.options.segment_bytes || age > self.options.max_age / 4;
            active.totals.entries > 0 && (is_full || active.header.version < VERSION)
        })
    }

    /// Shows readers what is durable now.
    fn publish(&self) {
        if let Some(active) = &self.active {
            let mut catalog = self.catalog.write();
            catalog.end_sequence = active.end_sequence;
            if let Some(newest) = catalog.segments.back_mut() {
                active.publish(newest);
            }
        }
    }
}
