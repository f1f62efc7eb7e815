//! A segment file as all who check or look up go through it.

use std::path::PathBuf;

use super::block;
use super::catalog::Points;
use super::disk::Disk;
use super::format::{
    BLOCK_HEADER_BYTES, BlockHeader, HeaderFault, SEAL_BYTES, SEGMENT_HEADER_BYTES, Seal, SegmentHeader, Totals,
    VERSION, sequence_of,
};
use crate::entry::ByKind;
use crate::error::Error;

/// Told where a segment is damaged that has newer ones behind it.
pub(crate) const HINT_OLDER: &str = "restore this file from a copy; or, to go on without it, move it and all older \
     segment files elsewhere: the newer ones stay readable";
/// Told where the newest segment is damaged.
pub(crate) const HINT_NEWEST: &str = "restore this file from a copy; or cut it to this length (truncate --size): every \
     entry behind is then lost, those before stay readable";

/// Told where a newer program wrote a segment.
const HINT_NEWER: &str = "start the newer Truegreen again, or give this one an empty directory";

/// An error of the disk as the caller is told of it.
pub(crate) fn failed<'a, D: Disk>(
    disk: &'a D,
    action: &'static str,
    name: Option<&'a str>,
) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |source| Error::Io { action, file: disk.path(name), source }
}

/// The segment files, oldest first, with the sequence each is named by.
pub(crate) fn segment_names<D: Disk>(disk: &D) -> Result<Vec<(u64, String)>, Error> {
    let names = disk.list().map_err(failed(disk, "list", None))?;
    let mut named: Vec<_> = names.into_iter().filter_map(|name| Some((sequence_of(&name)?, name))).collect();
    named.sort_unstable();
    Ok(named)
}

/// Why a segment cannot be walked any further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stop {
    pub(crate) offset: u64,
    pub(crate) what: &'static str,
}

impl Stop {
    pub(crate) fn damaged(self, file: PathBuf, hint: &'static str) -> Error {
        Error::Damaged { file, offset: self.offset, what: self.what, hint }
    }
}

/// Reads the header of the segment named by `sequence`.
pub(crate) fn read_header<D: Disk>(disk: &D, sequence: u64, name: &str) -> Result<Result<SegmentHeader, Stop>, Error> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let read = disk.read_at(name, 0, &mut bytes).map_err(failed(disk, "read", Some(name)))?;
    match SegmentHeader::decode(&bytes[..read]) {
        Ok(header) if header.first_sequence == sequence => Ok(Ok(header)),
        Ok(_) => Ok(Err(Stop { offset: 16, what: "the file is named by another sequence than it begins with" })),
        Err(HeaderFault::Newer(found)) => {
            Err(Error::NewerVersion { file: disk.path(Some(name)), found, known: VERSION, hint: HINT_NEWER })
        }
        Err(HeaderFault::Broken) => Ok(Err(Stop { offset: 0, what: "the segment's header is not whole" })),
    }
}

/// What stands at an offset of a segment.
pub(crate) enum Next {
    Block(BlockHeader),
    Seal(Seal),
    End,
    Bad(Stop),
}

/// Reads what stands at `offset` of a file of `length` bytes.
pub(crate) fn next_at<D: Disk>(disk: &D, name: &str, seed: u32, offset: u64, length: u64) -> Result<Next, Error> {
    if offset == length {
        return Ok(Next::End);
    }
    let mut bytes = [0; BLOCK_HEADER_BYTES];
    let read = disk.read_at(name, offset, &mut bytes).map_err(failed(disk, "read", Some(name)))?;
    if let Some(header) = BlockHeader::decode(&bytes[..read], seed, offset) {
        if header.end() <= length {
            return Ok(Next::Block(header));
        }
        return Ok(Next::Bad(Stop { offset, what: "the file ends within a block" }));
    }
    match Seal::decode(&bytes[..read], seed, offset) {
        Some(seal) if offset + SEAL_BYTES as u64 == length => Ok(Next::Seal(seal)),
        Some(_) => Ok(Next::Bad(Stop { offset: offset + SEAL_BYTES as u64, what: "bytes follow the segment's seal" })),
        None => Ok(Next::Bad(Stop { offset, what: "here is neither a block nor a seal" })),
    }
}

/// Reads the payload of a block into `room`.
pub(crate) fn read_payload<D: Disk>(
    disk: &D,
    name: &str,
    header: &BlockHeader,
    room: &mut Vec<u8>,
) -> Result<(), Error> {
    room.clear();
    // Both ends of the claim are checked by then: below a fixed most, and within the file.
    room.resize(header.stored_length as usize, 0);
    let offset = header.offset + BLOCK_HEADER_BYTES as u64;
    let read = disk.read_at(name, offset, room).map_err(failed(disk, "read", Some(name)))?;
    room.truncate(read);
    Ok(())
}

/// How closely a walk looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Depth {
    /// At headers only.
    Headers,
    /// At every checksum.
    Checksums,
    /// Into every entry.
    Entries,
}

/// What a walk through a segment found.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) blocks: u64,
    pub(crate) totals: Totals,
    /// Entries by kind, where it looks into every entry.
    pub(crate) kinds: ByKind,
    pub(crate) end_sequence: u64,
    /// Behind the last whole block.
    pub(crate) end_offset: u64,
    pub(crate) sealed: bool,
    /// Known to have been durable up to here.
    pub(crate) proven: u64,
    pub(crate) points: Points,
    /// Why it ended before the end of the file.
    pub(crate) stop: Option<Stop>,
}

/// Walks from the header to the end of the file, or to the first thing that is not whole.
pub(crate) fn walk<D: Disk>(
    disk: &D,
    name: &str,
    header: &SegmentHeader,
    length: u64,
    depth: Depth,
) -> Result<Walk, Error> {
    let mut walk = Walk {
        blocks: 0,
        totals: Totals::NONE,
        kinds: ByKind::default(),
        end_sequence: header.first_sequence,
        end_offset: SEGMENT_HEADER_BYTES as u64,
        sealed: false,
        proven: 0,
        points: Points::default(),
        stop: None,
    };
    let mut payload = Vec::new();
    loop {
        let offset = walk.end_offset;
        let stopped = match next_at(disk, name, header.seed, offset, length)? {
            Next::End => return Ok(walk),
            Next::Bad(stop) => Err(stop),
            Next::Block(block) => {
                let checked = check_block(disk, name, header.seed, &block, &walk, depth, &mut payload)?;
                checked.map(|kinds| walk.pass(&block, &kinds))
            }
            Next::Seal(seal) if seal.totals == walk.totals => {
                walk.sealed = true;
                walk.proven = seal.synced_to;
                return Ok(walk);
            }
            Next::Seal(_) => Err(Stop { offset, what: "the seal counts other entries than the segment holds" }),
        };
        if let Err(stop) = stopped {
            walk.stop = Some(stop);
            return Ok(walk);
        }
    }
}

impl Walk {
    fn pass(&mut self, block: &BlockHeader, kinds: &ByKind) {
        self.kinds.add(kinds);
        self.points.offer(block.first_sequence, block.offset);
        self.blocks += 1;
        self.totals.add(block);
        self.end_sequence = block.end_sequence();
        self.end_offset = block.end();
        self.proven = block.synced_to;
    }
}

fn check_block<D: Disk>(
    disk: &D,
    name: &str,
    seed: u32,
    block: &BlockHeader,
    walk: &Walk,
    depth: Depth,
    payload: &mut Vec<u8>,
) -> Result<Result<ByKind, Stop>, Error> {
    let offset = block.offset;
    if block.first_sequence != walk.end_sequence {
        return Ok(Err(Stop { offset, what: "the block does not follow on the one before" }));
    }
    if depth != Depth::Headers {
        read_payload(disk, name, block, payload)?;
    }
    let checked = match depth {
        Depth::Headers => Ok(ByKind::default()),
        Depth::Checksums => block::check(block, payload, seed).map(|()| ByKind::default()),
        Depth::Entries => block::entries(block, payload, seed).map(|entries| ByKind::of(&entries)),
    };
    Ok(checked.map_err(|what| Stop { offset, what }))
}
