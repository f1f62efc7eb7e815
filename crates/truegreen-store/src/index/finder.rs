//! Looking up, from any thread.

use std::io;
use std::sync::Arc;

use super::Term;
use super::shared::Shared;
use crate::embedded::disk::{Directory, Disk};
use crate::error::Error;

/// Looks up which requests mention a term; sees what was added at once.
#[derive(Debug)]
pub struct Finder<D: Disk = Directory> {
    pub(crate) disk: Arc<D>,
    pub(crate) shared: Arc<Shared>,
}

impl<D: Disk> Clone for Finder<D> {
    fn clone(&self) -> Self {
        Finder { disk: Arc::clone(&self.disk), shared: Arc::clone(&self.shared) }
    }
}

/// The requests that mention a term.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Found {
    /// Their sequences in the log, ascending, none twice.
    pub sequences: Vec<u64>,
    /// There are more, later ones, beyond the bound of the look-up.
    pub is_cut: bool,
}

impl<D: Disk> Finder<D> {
    /// The earliest requests that mention this term, at most `most`.
    ///
    /// Reads one or two pages of 4 KiB of each run, more only where one page does not hold all of them. A term is a
    /// hash, so a request found may mention another of the same hash: look into it.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn find(&self, term: Term, most: usize) -> Result<Found, Error> {
        loop {
            let (floor, runs, newest) = {
                let state = self.shared.lock();
                let mut newest = Vec::new();
                for memory in state.frozen.iter().map(Arc::as_ref).chain([&state.active]) {
                    memory.find(term.0, state.floor, most.saturating_add(1), &mut newest);
                }
                (state.floor, state.runs.clone(), newest)
            };
            let mut sequences = Vec::new();
            let read = runs.iter().try_for_each(|run| {
                let found = run.find(&*self.disk, term.0, floor, most.saturating_add(1), &mut sequences);
                found.map_err(|error| (run, error))
            });
            match read {
                Ok(()) => {}
                // Merged or dropped since: each time round the index has moved on, so this ends.
                Err((run, error)) if is_missing(&error) && !self.holds(run) => continue,
                Err((_, error)) => return Err(error),
            }
            sequences.extend(newest);
            let is_cut = sequences.len() > most;
            sequences.truncate(most);
            return Ok(Found { sequences, is_cut });
        }
    }

    fn holds(&self, run: &Arc<super::run::Run>) -> bool {
        self.shared.lock().runs.iter().any(|held| Arc::ptr_eq(held, run))
    }
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
