//! Looking at an index from outside, without changing it.

use std::path::Path;

use super::format::Record;
use super::run::Run;
use super::survey::run_names;
use crate::embedded::disk::{Directory, Disk};
use crate::embedded::verify::{Damage, beside_a_writer};
use crate::embedded::walk::failed;
use crate::error::Error;

/// Counts over the runs of an index.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Run files that are whole.
    pub runs: u64,
    /// Pairs of a term and a request in them.
    pub records: u64,
    /// Bytes of all run files.
    pub disk_bytes: u64,
    /// Entries of the log before this one are covered; none where there is no run.
    pub next_sequence: Option<u64>,
    /// The first file that is not whole. The next start builds anew what it covers, unless it is a page of a run that
    /// is damaged: then the index must be deleted. Told by [`verify`] only.
    pub damage: Option<Damage>,
}

/// Counts over the index in this directory, also beside the process that holds it; all zero where there is none.
///
/// # Errors
/// [`Error::NewerVersion`], [`Error::Io`].
pub fn info(dir: &Path) -> Result<Stats, Error> {
    if !dir.exists() {
        return Ok(Stats::default());
    }
    let disk = Directory::read_only(dir);
    beside_a_writer(|| look(&disk, false))
}

/// Reads every page of every run and checks all of it; the caller holds the log.
///
/// # Errors
/// [`Error::NewerVersion`], [`Error::Io`].
pub fn verify(dir: &Path) -> Result<Stats, Error> {
    if !dir.exists() {
        return Ok(Stats::default());
    }
    look(&Directory::read_only(dir), true)
}

pub(crate) fn look<D: Disk>(disk: &D, closely: bool) -> Result<Stats, Error> {
    let mut stats = Stats::default();
    for name in run_names(disk)? {
        stats.disk_bytes += disk.length(&name).map_err(failed(disk, "read", Some(&name)))?;
        let damage = match Run::open(disk, &name)? {
            Err(what) => Some(Damage { file: disk.path(Some(&name)), offset: 0, what, is_torn_tail: true }),
            Ok(run) => {
                stats.runs += 1;
                stats.records += run.header.records;
                stats.next_sequence = stats.next_sequence.max(Some(run.header.end));
                if closely { check(disk, &run)? } else { None }
            }
        };
        // What has to be mended by hand is told rather than what mends itself.
        if closely && damage.is_some() && stats.damage.as_ref().is_none_or(|told| told.is_torn_tail) {
            stats.damage = damage;
        }
    }
    Ok(stats)
}

/// The first page that is not as it was written.
fn check<D: Disk>(disk: &D, run: &Run) -> Result<Option<Damage>, Error> {
    let mut bytes = Vec::new();
    let mut last: Option<Record> = None;
    for number in 0..run.header.pages() {
        let damaged = |what| {
            let (file, offset) = (disk.path(Some(&run.name)), run.header.page_offset(number));
            Ok(Some(Damage { file, offset, what, is_torn_tail: false }))
        };
        let Some(page) = run.header.page(number, run.read(disk, number, 1, &mut bytes)?) else {
            return damaged("the checksum of a page is wrong");
        };
        for record in (0..page.len()).filter_map(|index| page.record(index)) {
            if last.is_some_and(|last| last >= record) {
                return damaged("its records are not in order");
            }
            last = Some(record);
        }
    }
    Ok(None)
}
