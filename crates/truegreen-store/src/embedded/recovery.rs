//! What is found on disk when a log is opened, and how a torn tail is mended.
//!
//! Older segments are believed by their headers and seals; the newest is checked block by block. Where it stops being
//! whole, it was either torn by a crash in the middle of a write, or damaged later. It was damaged if a block further
//! on says that the place was durable when that block was written; then nothing is changed and the place is told.
//! Else no commit that included it can have been answered, save the very last one, for which no later block vouches:
//! it is cut off and counted.

use std::path::PathBuf;

use super::catalog::{Catalog, Segment};
use super::disk::Disk;
use super::format::{
    BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockHeader, SEAL_BYTES, SEAL_MAGIC, SEGMENT_HEADER_BYTES, Seal, SegmentHeader,
};
use super::walk::{self, Depth, HINT_NEWEST, HINT_OLDER, Stop, Walk, failed, read_header, segment_names, walk};
use crate::error::Error;

/// What opening a log cut off.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Recovery {
    /// The file with the torn tail; none where everything was whole.
    pub file: Option<PathBuf>,
    /// Where it was cut, in bytes from its start.
    pub offset: u64,
    /// How much was cut off, in bytes.
    pub cut_bytes: u64,
}

/// The segments of a log, and what has to be done before more is written.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) catalog: Catalog,
    tail: Option<Tail>,
    /// A newest file whose header was never whole, so that it holds nothing; with its length.
    unborn: Option<(String, u64)>,
}

/// The end of the newest segment.
#[derive(Debug)]
struct Tail {
    name: String,
    length: u64,
    /// Behind the last whole block, or the seal.
    end: u64,
    /// Known to have been durable up to here.
    proven: u64,
}

/// Reads what is there and changes nothing.
pub(crate) fn survey<D: Disk>(disk: &D) -> Result<Survey, Error> {
    let mut names = segment_names(disk)?;
    let unborn = take_unborn(disk, &mut names)?;
    let mut catalog = Catalog { end_sequence: 1, ..Catalog::default() };
    let mut tail = None;
    let newest = names.pop();
    for (sequence, name) in names {
        let segment = sealed(disk, sequence, name)?;
        follow(disk, &mut catalog, segment)?;
    }
    if let Some((sequence, name)) = newest {
        let (segment, end) = newest_segment(disk, sequence, name)?;
        tail = Some(end);
        follow(disk, &mut catalog, segment)?;
    }
    if let Some((sequence, ..)) = &unborn {
        check_born_in_order(disk, &catalog, *sequence)?;
        catalog.end_sequence = *sequence;
    }
    Ok(Survey { catalog, tail, unborn: unborn.map(|(_, name, length)| (name, length)) })
}

/// Adds the next segment, which must begin where the one before ended.
fn follow<D: Disk>(disk: &D, catalog: &mut Catalog, segment: Segment) -> Result<(), Error> {
    if let Some(before) = catalog.segments.back()
        && before.end_sequence != segment.header.first_sequence
    {
        let stop = Stop { offset: before.disk_bytes, what: "entries are missing between this segment and the next" };
        return Err(stop.damaged(disk.path(Some(&before.name)), HINT_OLDER));
    }
    catalog.end_sequence = segment.end_sequence;
    catalog.segments.push_back(segment);
    Ok(())
}

/// Takes a newest file off the list that a crash left before its header was durable.
fn take_unborn<D: Disk>(disk: &D, names: &mut Vec<(u64, String)>) -> Result<Option<(u64, String, u64)>, Error> {
    let Some((sequence, name)) = names.last() else { return Ok(None) };
    let length = disk.length(name).map_err(failed(disk, "read", Some(name)))?;
    // Blocks are only written behind a durable header: where there are any, a broken header is damage.
    if length > SEGMENT_HEADER_BYTES as u64 || read_header(disk, *sequence, name)?.is_ok() {
        return Ok(None);
    }
    Ok(names.pop().map(|(sequence, name)| (sequence, name, length)))
}

/// A next segment is begun only when the one before is sealed and durable.
fn check_born_in_order<D: Disk>(disk: &D, catalog: &Catalog, sequence: u64) -> Result<(), Error> {
    match catalog.segments.back() {
        Some(before) if !before.sealed || before.end_sequence != sequence => {
            let stop =
                Stop { offset: before.end_offset, what: "entries are missing between this segment and the next" };
            Err(stop.damaged(disk.path(Some(&before.name)), HINT_NEWEST))
        }
        _ => Ok(()),
    }
}

/// A segment with newer ones behind it, believed by its header and its seal.
fn sealed<D: Disk>(disk: &D, sequence: u64, name: String) -> Result<Segment, Error> {
    let damaged = |stop: Stop| stop.damaged(disk.path(Some(&name)), HINT_OLDER);
    let header = read_header(disk, sequence, &name)?.map_err(damaged)?;
    let length = disk.length(&name).map_err(failed(disk, "read", Some(&name)))?;
    let Some(seal) = read_seal(disk, &name, &header, length)? else {
        let walk = walk(disk, &name, &header, length, Depth::Checksums)?;
        let stop = walk.stop.unwrap_or(Stop { offset: walk.end_offset, what: "the segment's seal is missing" });
        return Err(damaged(stop));
    };
    Ok(Segment {
        end_sequence: header.first_sequence.saturating_add(seal.totals.entries),
        header,
        end_offset: seal.offset,
        disk_bytes: length,
        totals: seal.totals,
        sealed: true,
        points: None,
        name,
    })
}

fn read_seal<D: Disk>(disk: &D, name: &str, header: &SegmentHeader, length: u64) -> Result<Option<Seal>, Error> {
    let Some(offset) = length.checked_sub(SEAL_BYTES as u64) else { return Ok(None) };
    match walk::next_at(disk, name, header.seed, offset, length)? {
        walk::Next::Seal(seal) => Ok(Some(seal)),
        _ => Ok(None),
    }
}

/// The segment that no other follows, block by block, and its end.
fn newest_segment<D: Disk>(disk: &D, sequence: u64, name: String) -> Result<(Segment, Tail), Error> {
    let damaged = |stop: Stop| stop.damaged(disk.path(Some(&name)), HINT_NEWEST);
    let header = read_header(disk, sequence, &name)?.map_err(damaged)?;
    let length = disk.length(&name).map_err(failed(disk, "read", Some(&name)))?;
    let Walk { end_sequence, end_offset, totals, sealed, proven, points, stop, .. } =
        walk(disk, &name, &header, length, Depth::Checksums)?;
    if let Some(stop) = stop
        && vouched_for(disk, &name, &header, stop.offset, length)?
    {
        return Err(damaged(stop));
    }
    let end = if sealed { length } else { end_offset };
    let tail = Tail { name: name.clone(), length, end, proven };
    let points = Some(points);
    Ok((Segment { name, header, end_sequence, end_offset, disk_bytes: end, totals, sealed, points }, tail))
}

/// How much is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Whether anything behind `bad` says that `bad` was durable.
pub(crate) fn vouched_for<D: Disk>(
    disk: &D,
    name: &str,
    header: &SegmentHeader,
    bad: u64,
    length: u64,
) -> Result<bool, Error> {
    let mut chunk = vec![0; CHUNK_BYTES + BLOCK_HEADER_BYTES];
    let mut start = bad + 1;
    while start < length {
        let read = disk.read_at(name, start, &mut chunk).map_err(failed(disk, "read", Some(name)))?;
        let bytes = &chunk[..read];
        for (index, magic) in bytes.windows(4).take(CHUNK_BYTES).enumerate() {
            if magic != BLOCK_MAGIC && magic != SEAL_MAGIC {
                continue;
            }
            let (bytes, offset) = (&bytes[index..], start + index as u64);
            let block = BlockHeader::decode(bytes, header.seed, offset).map(|block| block.synced_to);
            let synced_to = block.or_else(|| Seal::decode(bytes, header.seed, offset).map(|seal| seal.synced_to));
            if synced_to.is_some_and(|synced_to| synced_to > bad) {
                return Ok(true);
            }
        }
        start += CHUNK_BYTES as u64;
    }
    Ok(false)
}

impl Survey {
    /// Cuts off what is torn and makes durable what stays.
    pub(crate) fn mend<D: Disk>(&self, disk: &D) -> Result<Recovery, Error> {
        let mut recovery = Recovery::default();
        if let Some(tail) = &self.tail {
            let name = Some(tail.name.as_str());
            if tail.end < tail.length {
                disk.truncate(&tail.name, tail.end).map_err(failed(disk, "truncate", name))?;
                recovery =
                    Recovery { file: Some(disk.path(name)), offset: tail.end, cut_bytes: tail.length - tail.end };
            }
            write_again(disk, tail)?;
            disk.sync(&tail.name).map_err(failed(disk, "sync", name))?;
        }
        if let Some((name, length)) = &self.unborn {
            disk.remove(name).map_err(failed(disk, "remove", Some(name)))?;
            recovery = Recovery { file: Some(disk.path(Some(name))), offset: 0, cut_bytes: *length };
        }
        disk.sync_names().map_err(failed(disk, "sync", None))?;
        Ok(recovery)
    }
}

/// Writes the end of the newest segment over itself.
///
/// A sync that failed may have left bytes readable in memory that the disk never got, and marked as written, so that
/// no later sync writes them. What a reader is about to be shown must not vanish in the next crash.
fn write_again<D: Disk>(disk: &D, tail: &Tail) -> Result<(), Error> {
    let name = Some(tail.name.as_str());
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut offset = tail.proven;
    while offset < tail.end {
        let length = usize::try_from(tail.end - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let read = disk.read_at(&tail.name, offset, &mut chunk[..length]).map_err(failed(disk, "read", name))?;
        if read == 0 {
            let ended = std::io::ErrorKind::UnexpectedEof.into();
            return Err(failed(disk, "read", name)(ended));
        }
        disk.rewrite(&tail.name, offset, &chunk[..read]).map_err(failed(disk, "write", name))?;
        offset += read as u64;
    }
    Ok(())
}
