//! Looking at a log from outside, without changing it.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Directory, Disk};
use super::format::SEGMENT_HEADER_BYTES;
use super::lock::Lock;
use super::recovery::{survey, vouched_for};
use super::stats::Stats;
use super::walk::{Depth, Stop, Walk, failed, read_header, segment_names, walk};
use crate::entry::ByKind;
use crate::error::Error;

/// The first thing in a log that is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The segment file.
    pub file: PathBuf,
    /// Where in it, in bytes from its start.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
    /// Whether it looks like a write that a crash cut short, which opening the log mends.
    pub is_torn_tail: bool,
}

/// What [`verify`] read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Verified {
    /// Segment files begun.
    pub segments: u64,
    /// Whole blocks.
    pub blocks: u64,
    /// Entries in them.
    pub entries: u64,
    /// The same by kind.
    pub kinds: ByKind,
    /// Their bodies with 13 bytes each, before compression.
    pub plain_bytes: u64,
    /// Bytes of the segment files.
    pub disk_bytes: u64,
    /// The first damage; nothing behind it was looked at.
    pub damage: Option<Damage>,
}

/// Reads every segment to the last entry and checks all of it; changes nothing.
pub fn verify(dir: &Path) -> Result<Verified, Error> {
    let _lock = Lock::shared(dir)?;
    verify_on(&Directory::read_only(dir))
}

/// Counts over the log as opening it would find it, also beside the process that holds it; changes nothing. Reads the
/// newest segment, of the others little.
pub fn info(dir: &Path) -> Result<Stats, Error> {
    let disk = Directory::read_only(dir);
    beside_a_writer(|| Ok(Stats::of(&survey(&disk)?.catalog)))
}

/// How often a look begins anew at most.
const MOST_LOOKS: usize = 10;

/// Looks at files that another process may remove meanwhile: then it looks again.
pub(crate) fn beside_a_writer<T>(look: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let gone = |error: &Error| matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
    let mut looks = 1;
    loop {
        match look() {
            Err(error) if gone(&error) && looks < MOST_LOOKS => looks += 1,
            seen => return seen,
        }
    }
}

/// [`verify`] on any disk.
pub fn verify_on<D: Disk>(disk: &D) -> Result<Verified, Error> {
    let mut verified = Verified::default();
    let names = segment_names(disk)?;
    let mut names = names.iter().peekable();
    while let Some((sequence, name)) = names.next() {
        let length = disk.length(name).map_err(failed(disk, "read", Some(name)))?;
        verified.segments += 1;
        verified.disk_bytes += length;
        let next = names.peek().map(|(sequence, _)| *sequence);
        let damage = match read_header(disk, *sequence, name)? {
            Ok(header) => {
                let walk = walk(disk, name, &header, length, Depth::Entries)?;
                verified.blocks += walk.blocks;
                verified.entries += walk.totals.entries;
                verified.kinds.add(&walk.kinds);
                verified.plain_bytes += walk.totals.plain_bytes;
                let stop = judge(&walk, next);
                let torn = |stop: Stop| Ok(next.is_none() && !vouched_for(disk, name, &header, stop.offset, length)?);
                stop.map(|stop| torn(stop).map(|torn| (stop, torn))).transpose()?
            }
            Err(stop) => Some((stop, next.is_none() && length <= SEGMENT_HEADER_BYTES as u64)),
        };
        if let Some((stop, is_torn_tail)) = damage {
            let file = disk.path(Some(name));
            verified.damage = Some(Damage { file, offset: stop.offset, what: stop.what, is_torn_tail });
            break;
        }
    }
    Ok(verified)
}

/// What is wrong with a segment that the one of sequence `next` follows.
fn judge(walk: &Walk, next: Option<u64>) -> Option<Stop> {
    let offset = walk.end_offset;
    match (walk.stop, next) {
        (Some(stop), _) => Some(stop),
        (None, Some(_)) if !walk.sealed => Some(Stop { offset, what: "the segment's seal is missing" }),
        (None, Some(next)) if next != walk.end_sequence => {
            Some(Stop { offset, what: "entries are missing between this segment and the next" })
        }
        (None, _) => None,
    }
}
