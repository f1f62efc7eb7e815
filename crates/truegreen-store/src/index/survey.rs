//! What is found on disk when an index is opened, and what of it is believed.
//!
//! The runs must cover the log from its first entry on without a gap. Whatever does not is removed, and built again
//! from the log: a file that a crash left unfinished, one that is damaged, and everything behind one that is missing.

use std::ops::Range;
use std::path::PathBuf;

use super::format::covered_by;
use super::run::Run;
use crate::embedded::disk::Disk;
use crate::embedded::walk::failed;
use crate::error::Error;

/// What opening an index removed, to be built again.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Mended {
    /// Runs removed, those that a crash left unfinished included.
    pub runs: u64,
    /// The first of them, and what was wrong with it.
    pub first: Option<(PathBuf, &'static str)>,
}

/// The runs that are believed, and the files that are not.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Oldest first, without a gap.
    pub(crate) runs: Vec<Run>,
    /// With the reason; none where another run holds the same, or the log no longer holds what they are about.
    pub(crate) refused: Vec<(String, Option<&'static str>)>,
}

/// Reads what is there and changes nothing; `log` is what the log holds.
pub(crate) fn survey<D: Disk>(disk: &D, log: &Range<u64>) -> Result<Survey, Error> {
    let mut found = Survey { runs: Vec::new(), refused: Vec::new() };
    let mut whole = Vec::new();
    for name in run_names(disk)? {
        match Run::open(disk, &name)? {
            Ok(run) => whole.push(run),
            Err(what) => found.refused.push((name, Some(what))),
        }
    }
    // Of those that begin alike the longest first: it was merged from the others.
    whole.sort_by_key(|run| (run.header.first, std::cmp::Reverse(run.header.end)));
    let mut is_broken_off = false;
    for run in whole {
        let end = found.runs.last().map(|last| last.header.end);
        let follows = end.map_or(run.header.first <= log.start, |end| run.header.first == end);
        if run.header.end > log.end {
            found.refused.push((run.name, Some("it tells of entries that the log does not hold")));
            is_broken_off = true;
        } else if run.header.end <= log.start || end.is_some_and(|end| run.header.end <= end) {
            found.refused.push((run.name, None));
        } else if is_broken_off || !follows {
            found.refused.push((run.name, Some("a run before it is missing or damaged")));
            is_broken_off = true;
        } else {
            found.runs.push(run);
        }
    }
    Ok(found)
}

/// The files that are runs by their names, oldest first.
pub(crate) fn run_names<D: Disk>(disk: &D) -> Result<Vec<String>, Error> {
    let mut names = disk.list().map_err(failed(disk, "list", None))?;
    names.retain(|name| covered_by(name).is_some());
    names.sort_unstable();
    Ok(names)
}

impl Survey {
    /// Removes what is not believed.
    pub(crate) fn mend<D: Disk>(&self, disk: &D) -> Result<Mended, Error> {
        let mut mended = Mended::default();
        if self.refused.is_empty() {
            return Ok(mended);
        }
        // What replaces a file must be durable before that is removed.
        for run in &self.runs {
            disk.sync(&run.name).map_err(failed(disk, "sync", Some(&run.name)))?;
        }
        disk.sync_names().map_err(failed(disk, "sync", None))?;
        for (name, why) in &self.refused {
            disk.remove(name).map_err(failed(disk, "remove", Some(name)))?;
            if let Some(why) = why {
                mended.runs += 1;
                mended.first.get_or_insert_with(|| (disk.path(Some(name)), why));
            }
        }
        disk.sync_names().map_err(failed(disk, "sync", None))?;
        Ok(mended)
    }
}
