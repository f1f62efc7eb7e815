//! The log and its index as a look-up reads them.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use truegreen_model::time::Timestamp;
use truegreen_store::index::{Finder, Found, Term};
use truegreen_store::{Entry, Error, Reader};

/// Reads the log of accepted requests by what they mention. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Archive {
    reader: Reader,
    shelf: Arc<Shelf>,
}

/// Where the index stands, as the indexer tells.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    state: RwLock<State>,
    /// The sequence that is indexed next.
    next: AtomicU64,
    /// Every segment was looked into.
    is_warm: AtomicBool,
}

#[derive(Default, Debug)]
enum State {
    #[default]
    Opening,
    Open(Finder),
    /// Why there is no index.
    Failed(String),
}

/// Why requests cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The log or the index cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Error),
    /// There is no index.
    #[error("only requests that showed steps can be read, since there is no index: {0}")]
    NoIndex(String),
}

impl Shelf {
    pub(crate) fn opened(&self, finder: Finder, next: u64) {
        self.next.store(next, Ordering::Release);
        self.set(State::Open(finder));
    }

    pub(crate) fn indexed(&self, next: u64) {
        self.next.store(next, Ordering::Release);
    }

    pub(crate) fn failed(&self, why: String) {
        self.set(State::Failed(why));
    }

    pub(crate) fn warmed(&self) {
        self.is_warm.store(true, Ordering::Relaxed);
    }

    fn set(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

impl Archive {
    pub(crate) fn new(reader: Reader, shelf: Arc<Shelf>) -> Archive {
        Archive { reader, shelf }
    }

    /// Requests in the log that are not in the index yet.
    pub fn behind(&self) -> u64 {
        let unindexed = self.unindexed();
        unindexed.end.saturating_sub(unindexed.start)
    }

    /// Whether everything is indexed, and nothing is left to be read for the first time since the start.
    pub fn is_ready(&self) -> bool {
        self.behind() == 0 && self.shelf.is_warm.load(Ordering::Relaxed)
    }

    /// Why there is no index, where that is so.
    pub fn failure(&self) -> Option<String> {
        match &*self.shelf.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Failed(why) => Some(why.clone()),
            State::Opening | State::Open(_) => None,
        }
    }

    /// Their sequences. Asked before [`Archive::find`], so that nothing falls between the two.
    pub(crate) fn unindexed(&self) -> Range<u64> {
        let next = self.shelf.next.load(Ordering::Acquire);
        next.max(self.reader.first_sequence())..self.reader.end_sequence()
    }

    /// The earliest requests that mention this term, at most so many; and now and then one that does not.
    pub(crate) fn find(&self, term: u64, most: usize) -> Result<Found, Fault> {
        let finder = match &*self.shelf.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Opening => return Ok(Found::default()),
            State::Open(finder) => finder.clone(),
            State::Failed(why) => return Err(Fault::NoIndex(why.clone())),
        };
        Ok(finder.find(Term(term), most)?)
    }

    /// The first request that was received at this time or after it: of the block that holds it.
    pub(crate) fn since(&self, time: Timestamp) -> Result<u64, Fault> {
        let (mut from, mut to) = (self.reader.first_sequence(), self.reader.end_sequence());
        while from < to {
            let block = self.block(from + (to - from) / 2)?;
            let (Some(first), Some(last)) = (block.first(), block.last()) else { break };
            match last.received_at < time {
                true => from = last.sequence + 1,
                false => to = first.sequence.max(from),
            }
        }
        Ok(from)
    }

    /// All requests of the block that holds this one; none where it is no longer there.
    pub(crate) fn block(&self, sequence: u64) -> Result<Vec<Entry>, Fault> {
        Ok(self.reader.get_block(sequence)?)
    }
}
