//! What the builder, the keeper and the finders of an index share.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::memory::Memory;
use super::run::Run;
use crate::error::Error;

/// The state, locked for moments only, never across the disk's work.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// All of the index: runs, then what waits to become one, then what is added to; without a gap.
#[derive(Debug)]
pub(crate) struct State {
    /// Entries before are dropped.
    pub(crate) floor: u64,
    /// Oldest first.
    pub(crate) runs: Vec<Arc<Run>>,
    /// Oldest first.
    pub(crate) frozen: VecDeque<Arc<Memory>>,
    pub(crate) active: Memory,
    /// Files that no one looks into any more.
    pub(crate) unwanted: Vec<String>,
    /// Why nothing more is taken.
    pub(crate) failure: Option<String>,
    /// The builder is gone.
    pub(crate) is_closing: bool,
}

impl Shared {
    pub(crate) fn new(state: State) -> Shared {
        Shared { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes who waits for that.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        changed
    }

    /// Waits until the keeper has done what is waited for.
    pub(crate) fn wait(&self, done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.lock(), |state| !done(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(crate) fn check(&self, dir: PathBuf) -> Result<(), Error> {
        match &self.failure {
            None => Ok(()),
            Some(cause) => Err(Error::IndexStopped { dir, cause: cause.clone() }),
        }
    }
}
