//! Rewriting full segments whose blocks are small into full blocks.
//!
//! A commit closes the open block, so that a log of few requests at a time has small blocks, which compress poorly. What
//! is rewritten is made durable beside the old file and checked against it entry by entry, and then takes its name: at
//! any instant a crash leaves the one or the other, whole.

use crc32fast::Hasher;
use truegreen_model::time::Timestamp;

use super::block::{self, OpenBlock};
use super::catalog::Segment;
use super::disk::Disk;
use super::format::{ENTRY_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::retention::Dropped;
use super::segment::Active;
use super::walk::{Depth, HINT_OLDER, Next, Stop, failed, next_at, read_header, read_payload, walk};
use super::{Log, Options};
use crate::compact::Sizes;
use crate::entry::Entry;
use crate::error::Error;

/// What compacting did to the log.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rewritten {
    /// Segments rewritten; the others gain nothing.
    pub segments: u64,
    /// What was dropped because it is beyond the limits.
    pub dropped: Dropped,
    /// Of all segment files.
    pub bytes: Sizes,
}

/// Drops what is beyond the limits, save what comes after the sequence `through`, and rewrites what can be smaller. The
/// log must have no reader, since places of entries change; and it is only to be closed afterwards.
///
/// Reads all sealed segments; needs room for the largest of them beside the reserve.
pub(crate) fn compact_log<D: Disk>(log: &mut Log<D>, now: Timestamp, through: u64) -> Result<Rewritten, Error> {
    let mut done = Rewritten { bytes: Sizes { before: log.stats().disk_bytes, after: 0 }, ..Rewritten::default() };
    done.dropped = log.enforce_retention_through(now, through)?;
    done.bytes.after = log.stats().disk_bytes;
    let segments: Vec<Segment> = log.catalog.read().segments.iter().filter(|segment| segment.sealed).cloned().collect();
    for segment in &segments {
        let rewriting = Rewriting { disk: &*log.disk, segment, options: log.options };
        if let Some(bytes) = rewriting.run()? {
            done.segments += 1;
            done.bytes.after -= segment.disk_bytes - bytes;
        }
    }
    Ok(done)
}

const SUFFIX: &str = ".rewritten";

/// Removes what a crash left beside a segment that was rewritten.
pub(crate) fn remove_leftovers<D: Disk>(disk: &D) -> Result<(), Error> {
    let names = disk.list().map_err(failed(disk, "list", None))?;
    for name in names.iter().filter(|name| name.ends_with(SUFFIX)) {
        disk.remove(name).map_err(failed(disk, "remove", Some(name)))?;
    }
    Ok(())
}

/// One segment that is rewritten.
struct Rewriting<'a, D: Disk> {
    disk: &'a D,
    segment: &'a Segment,
    options: Options,
}

impl<D: Disk> Rewriting<'_, D> {
    /// How long the segment is then; none where it would not be smaller.
    fn run(&self) -> Result<Option<u64>, Error> {
        let Segment { name, header, disk_bytes, .. } = self.segment;
        let found = walk(self.disk, name, header, *disk_bytes, Depth::Headers)?;
        if let Some(stop) = found.stop {
            return Err(self.damaged(stop));
        }
        let full = self.options.block_bytes as u64;
        if found.totals.plain_bytes / found.blocks.max(1) >= full / 2 {
            return Ok(None);
        }
        self.check_room()?;
        let beside = format!("{name}{SUFFIX}");
        let old = self.write(&beside)?;
        let length = self.disk.length(&beside).map_err(failed(self.disk, "read", Some(&beside)))?;
        if length >= *disk_bytes {
            self.disk.remove(&beside).map_err(failed(self.disk, "remove", Some(&beside)))?;
            return Ok(None);
        }
        self.check(&beside, length, old)?;
        self.disk.rename(&beside, name).map_err(failed(self.disk, "rename", Some(&beside)))?;
        self.disk.sync_names().map_err(failed(self.disk, "sync", None))?;
        Ok(Some(length))
    }

    fn check_room(&self) -> Result<(), Error> {
        let free = self.disk.free_bytes().map_err(failed(self.disk, "measure the free space of", None))?;
        let least = self.options.min_free_bytes;
        if free < least.saturating_add(self.segment.disk_bytes) {
            return Err(Error::NoSpace { dir: self.disk.path(None), free, least });
        }
        Ok(())
    }

    /// Writes all entries into full blocks, durably; a digest of what was read.
    fn write(&self, beside: &str) -> Result<u32, Error> {
        let header = &self.segment.header;
        let mut active = Active::create_as(self.disk, beside.to_owned(), header.first_sequence, header.created_at)?;
        let (mut block, mut digest) = (OpenBlock::new(), Hasher::new());
        self.entries(&self.segment.name, header, self.segment.disk_bytes, |entry| {
            add_to_digest(&mut digest, entry);
            let bytes = ENTRY_HEADER_BYTES + entry.body.len();
            if !block.is_empty() && block.plain_bytes() + bytes > self.options.block_bytes {
                active.add(self.disk, &mut block)?;
            }
            block.push(entry.received_at, entry.kind, &entry.body);
            Ok(())
        })?;
        if !block.is_empty() {
            active.add(self.disk, &mut block)?;
        }
        // Durable before it is sealed: only then does the seal vouch for all of it.
        active.sync(self.disk)?;
        active.seal(self.disk)?;
        Ok(digest.finalize())
    }

    /// Whether the new file is whole, and holds the very same entries.
    fn check(&self, beside: &str, length: u64, digest: u32) -> Result<(), Error> {
        let name = Some(beside);
        let differs = || {
            let what = "what was rewritten is not what was read";
            Stop { offset: 0, what }.damaged(self.disk.path(name), "run `truegreen store compact` again")
        };
        let header = read_header(self.disk, self.segment.header.first_sequence, beside)?.map_err(|_| differs())?;
        let found = walk(self.disk, beside, &header, length, Depth::Entries)?;
        let mut again = Hasher::new();
        self.entries(beside, &header, length, |entry| {
            add_to_digest(&mut again, entry);
            Ok(())
        })?;
        let same = found.stop.is_none()
            && found.sealed
            && found.totals == self.segment.totals
            && found.end_sequence == self.segment.end_sequence
            && again.finalize() == digest;
        if same { Ok(()) } else { Err(differs()) }
    }

    /// Gives all entries of a segment, in order.
    fn entries(
        &self,
        name: &str,
        header: &SegmentHeader,
        length: u64,
        mut give: impl FnMut(&Entry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (mut offset, mut payload) = (SEGMENT_HEADER_BYTES as u64, Vec::new());
        loop {
            let block = match next_at(self.disk, name, header.seed, offset, length)? {
                Next::Block(block) => block,
                Next::Seal(_) | Next::End => return Ok(()),
                Next::Bad(stop) => return Err(self.damaged(stop)),
            };
            read_payload(self.disk, name, &block, &mut payload)?;
            let entries = block::entries(&block, &payload, header.seed);
            let entries = entries.map_err(|what| self.damaged(Stop { offset, what }))?;
            entries.iter().try_for_each(&mut give)?;
            offset = block.end();
        }
    }

    fn damaged(&self, stop: Stop) -> Error {
        stop.damaged(self.disk.path(Some(&self.segment.name)), HINT_OLDER)
    }
}

fn add_to_digest(digest: &mut Hasher, entry: &Entry) {
    digest.update(&entry.sequence.to_le_bytes());
    digest.update(&entry.received_at.0.to_le_bytes());
    digest.update(&[entry.kind.byte()]);
    digest.update(&entry.body);
}
