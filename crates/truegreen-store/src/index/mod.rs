//! Which accepted requests mention a trace, a key or a message: a term leads to sequences in the log.
//!
//! The index is derived from the log and can be built again from it at any time: nothing waits for it, and what of it
//! is lost or damaged is removed when it is opened, to be built anew from [`Index::next_sequence`] on. What was added
//! last is in memory; so many records become a *run*, a sorted file that never changes, and runs are merged into
//! larger ones by a thread of the index's own.
//!
//! Read in this order: `format` (the bytes on disk), `run`, `memory`, `merge` (which runs, and how), `keeper` (the
//! thread), `finder`, `survey` (what is believed when it is opened).

mod finder;
mod format;
mod keeper;
mod memory;
mod merge;
mod run;
mod shared;
mod survey;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

pub use self::finder::{Finder, Found};
use self::keeper::{Appetite, Keeper};
use self::memory::Memory;
use self::run::Run;
use self::shared::{Shared, State};
pub use self::survey::Mended;
use self::survey::survey;
pub use self::verify::{Stats, info, verify};
use crate::embedded::disk::{Directory, Disk, create_directory};
use crate::embedded::walk::failed;
use crate::error::Error;

/// What requests can be found by: a stable 64-bit hash that the caller chooses, evenly spread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Term(pub u64);

/// How an index is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// So many records in memory become a run. A record takes 16 bytes in memory, 12 on disk; at most five times so
    /// many are in memory at once (80 MiB by default), those included that are being written.
    pub run_records: usize,
    /// No run is written that would leave fewer bytes free on the disk.
    pub min_free_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { run_records: 1 << 20, min_free_bytes: 1 << 30 }
    }
}

/// A run of so many times `run_records` is merged no further: retention drops whole runs.
const FULL_RUN: u64 = 8;
/// So many full parts of the memory wait to be written, then whoever adds waits.
const MOST_FROZEN: usize = 2;

impl Options {
    fn full_records(&self) -> u64 {
        (self.run_records as u64).saturating_mul(FULL_RUN)
    }

    /// About what a run of these many records takes on disk.
    fn run_bytes(records: u64) -> u64 {
        format::Header { first: 0, end: 0, base: 0, records, seed: 0 }.file_bytes()
    }
}

/// The index, added to by the one thread that owns this value.
#[derive(Debug)]
pub struct Index<D: Disk + 'static = Directory> {
    disk: Arc<D>,
    shared: Arc<Shared>,
    options: Options,
    mended: Mended,
    /// The terms of the request that is added, sorted.
    terms: Vec<u64>,
    keeping: Keeping<D>,
}

/// Who writes and merges.
#[derive(Debug)]
enum Keeping<D: Disk> {
    /// The caller, at once.
    Here(Box<Keeper<D>>),
    /// A thread; it ends when it can no longer be woken.
    Thread { wake: Option<SyncSender<()>>, thread: Option<JoinHandle<()>> },
}

/// What was dropped from an index.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Dropped {
    /// Run files.
    pub runs: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of these files.
    pub bytes: u64,
}

impl Index<Directory> {
    /// Opens the index in this directory, or begins one; the caller holds the log that it is about, and `log` is what
    /// that holds: its first sequence, and the next.
    ///
    /// Reads the first and last bytes of each run. What is not whole, or does not fit the log, is removed: see
    /// [`Index::mended`].
    ///
    /// # Errors
    /// [`Error::NewerVersion`], [`Error::Io`].
    pub fn open(dir: &Path, options: Options, log: Range<u64>) -> Result<Self, Error> {
        let disk = Directory::new(dir);
        create_directory(dir).map_err(failed(&disk, "create", None))?;
        let (keeper, mended) = prepare(disk, options, log)?;
        let (disk, shared) = (Arc::clone(&keeper.disk), Arc::clone(&keeper.shared));
        let keeping = in_thread(keeper).map_err(failed(&*disk, "start a thread for", None))?;
        let mut index = Index { disk, shared, options, mended, terms: Vec::new(), keeping };
        index.wake();
        Ok(index)
    }
}

/// Drops the runs of what the log no longer holds, and merges the others as far as they go; the caller holds the log,
/// and `log` is what that holds. Counts before and after; all zero where there is no index.
///
/// # Errors
/// As [`Index::open`], and [`Error::IndexStopped`].
pub fn compact(dir: &Path, options: Options, log: Range<u64>) -> Result<(Stats, Stats), Error> {
    let before = verify::info(dir)?;
    if !dir.exists() {
        return Ok((before, Stats::default()));
    }
    let mut index = Index::open_on(Directory::new(dir), options, log)?;
    if let Keeping::Here(keeper) = &mut index.keeping {
        keeper.appetite = Appetite::Any;
    }
    index.wake();
    index.shared.lock().check(index.disk.path(None))?;
    Ok((before, index.stats()))
}

/// Finds what is on disk, and mends it.
fn prepare<D: Disk>(disk: D, options: Options, log: Range<u64>) -> Result<(Keeper<D>, Mended), Error> {
    let found = survey(&disk, &log)?;
    let mended = found.mend(&disk)?;
    let next = found.runs.last().map_or(log.start, |newest| newest.header.end);
    let state = State {
        floor: log.start,
        runs: found.runs.into_iter().map(Arc::new).collect(),
        frozen: VecDeque::new(),
        active: Memory::new(next),
        unwanted: Vec::new(),
        failure: None,
        is_closing: false,
    };
    let (disk, shared) = (Arc::new(disk), Arc::new(Shared::new(state)));
    Ok((Keeper { disk, shared, options, appetite: Appetite::Many, merge: None }, mended))
}

/// Leaves the keeping to a thread.
fn in_thread<D: Disk + 'static>(mut keeper: Keeper<D>) -> std::io::Result<Keeping<D>> {
    let (wake, woken) = mpsc::sync_channel(1);
    let work = move || {
        let _told = ToldOnPanic(Arc::clone(&keeper.shared));
        while woken.recv().is_ok() {
            keeper.work();
        }
    };
    let thread = std::thread::Builder::new().name("truegreen-index".to_owned()).spawn(work)?;
    Ok(Keeping::Thread { wake: Some(wake), thread: Some(thread) })
}

/// Whoever waits for the thread must not wait for one that is gone.
struct ToldOnPanic(Arc<Shared>);

impl Drop for ToldOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.change(|state| state.failure = Some("its thread panicked".to_owned()));
        }
    }
}

impl<D: Disk + 'static> Index<D> {
    /// Opens the index on this disk; runs are written and merged by the calls that add.
    ///
    /// # Errors
    /// As [`Index::open`].
    pub fn open_on(disk: D, options: Options, log: Range<u64>) -> Result<Self, Error> {
        let (keeper, mended) = prepare(disk, options, log)?;
        let (disk, shared) = (Arc::clone(&keeper.disk), Arc::clone(&keeper.shared));
        Ok(Index { disk, shared, options, mended, terms: Vec::new(), keeping: Keeping::Here(Box::new(keeper)) })
    }

    /// Entries of the log before this one are in the index: go on from here.
    pub fn next_sequence(&self) -> u64 {
        self.shared.lock().active.end
    }

    /// What opening removed.
    pub fn mended(&self) -> &Mended {
        &self.mended
    }

    /// Adds an entry of the log with all its terms; a term given twice counts once. Entries come in the order of
    /// their sequences. One that is in the index already is passed over; one that is never added has no terms.
    ///
    /// Waits for the disk only where two parts of the memory are full and not written yet.
    ///
    /// # Errors
    /// [`Error::IndexStopped`]: nothing was added. What was added before is still found.
    pub fn add(&mut self, sequence: u64, terms: impl IntoIterator<Item = Term>) -> Result<(), Error> {
        self.terms.clear();
        self.terms.extend(terms.into_iter().map(|term| term.0));
        self.terms.sort_unstable();
        self.terms.dedup();
        let mut state = self.shared.lock();
        state.check(self.disk.path(None))?;
        if sequence < state.active.end {
            return Ok(());
        }
        if !state.active.reaches(sequence) {
            drop(state);
            self.freeze()?;
            state = self.shared.lock();
        }
        state.active.add(sequence, &self.terms);
        let is_full = state.active.records() >= self.options.run_records;
        drop(state);
        if is_full { self.freeze() } else { Ok(()) }
    }

    /// Makes what was added durable; a crash after this loses none of it.
    ///
    /// Each call writes a file where anything was added since the last, so not after each request.
    ///
    /// # Errors
    /// [`Error::IndexStopped`].
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.shared.lock().active.records() > 0 {
            self.freeze()?;
        }
        let state = self.shared.wait(|state| state.frozen.is_empty() || state.failure.is_some());
        state.check(self.disk.path(None))
    }

    /// For other threads.
    pub fn finder(&self) -> Finder<D> {
        Finder { disk: Arc::clone(&self.disk), shared: Arc::clone(&self.shared) }
    }

    /// Forgets entries before this one: runs that hold no other are dropped, the rest is no longer found.
    ///
    /// # Errors
    /// [`Error::IndexStopped`].
    pub fn drop_before(&mut self, first_sequence: u64) -> Result<Dropped, Error> {
        let mut dropped = Dropped::default();
        self.shared.change(|state| {
            state.floor = state.floor.max(first_sequence);
            let gone = state.runs.partition_point(|run| run.header.end <= first_sequence);
            for run in state.runs.drain(..gone) {
                dropped.runs += 1;
                dropped.records += run.header.records;
                dropped.bytes += run.bytes();
                state.unwanted.push(run.name.clone());
            }
        });
        self.wake();
        self.shared.lock().check(self.disk.path(None))?;
        Ok(dropped)
    }

    /// Counts over the runs; what is in memory is not among them.
    pub fn stats(&self) -> Stats {
        let state = self.shared.lock();
        let over = |count: fn(&Run) -> u64| state.runs.iter().map(|run| count(run)).sum();
        Stats {
            runs: state.runs.len() as u64,
            records: over(|run| run.header.records),
            disk_bytes: over(Run::bytes),
            next_sequence: state.runs.last().map(|run| run.header.end),
            damage: None,
        }
    }

    /// Hands the active part of the memory to the keeper.
    fn freeze(&mut self) -> Result<(), Error> {
        {
            let mut state = self.shared.wait(|state| state.frozen.len() < MOST_FROZEN || state.failure.is_some());
            state.check(self.disk.path(None))?;
            let end = state.active.end;
            let frozen = std::mem::replace(&mut state.active, Memory::new(end));
            state.frozen.push_back(Arc::new(frozen));
        }
        self.wake();
        self.shared.lock().check(self.disk.path(None))
    }

    fn wake(&mut self) {
        match &mut self.keeping {
            Keeping::Here(keeper) => keeper.work(),
            // Where it is full, it is about to wake.
            Keeping::Thread { wake: Some(wake), .. } => drop(wake.try_send(())),
            Keeping::Thread { wake: None, .. } => {}
        }
    }
}

impl<D: Disk> Drop for Index<D> {
    fn drop(&mut self) {
        self.shared.change(|state| state.is_closing = true);
        match &mut self.keeping {
            Keeping::Here(keeper) => keeper.work(),
            Keeping::Thread { wake, thread } => {
                *wake = None;
                if let Some(thread) = thread.take() {
                    drop(thread.join());
                }
            }
        }
    }
}
