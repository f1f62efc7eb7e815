//! The segment file that is written to.

use truegreen_model::time::Timestamp;

use super::block::{OpenBlock, Place};
use super::catalog::{Points, Segment};
use super::disk::Disk;
use super::format::{SEAL_BYTES, Seal, SegmentHeader, Totals, segment_name};
use super::walk::failed;
use crate::error::Error;

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) name: String,
    pub(crate) header: SegmentHeader,
    /// The sequence behind the last block.
    pub(crate) end_sequence: u64,
    pub(crate) totals: Totals,
    pub(crate) sealed: bool,
    /// Bytes handed to the disk, of which the first `synced` are durable.
    written: u64,
    synced: u64,
    /// Bytes to be handed to the disk next.
    pending: Vec<u8>,
    points: Points,
}

/// More pending bytes than this are handed to the disk before the commit.
const MOST_PENDING_BYTES: usize = 8 << 20;

impl Active {
    /// Creates the file, durably: a block is only ever written behind a header that cannot be lost.
    pub(crate) fn create<D: Disk>(disk: &D, first_sequence: u64, created_at: Timestamp) -> Result<Active, Error> {
        Active::create_as(disk, segment_name(first_sequence), first_sequence, created_at)
    }

    /// [`Active::create`], under a name of the caller's.
    pub(crate) fn create_as<D: Disk>(
        disk: &D,
        name: String,
        first_sequence: u64,
        created_at: Timestamp,
    ) -> Result<Active, Error> {
        let (header, bytes) = SegmentHeader::encode(first_sequence, created_at);
        disk.create(&name).map_err(failed(disk, "create", Some(&name)))?;
        disk.append(&name, &bytes).map_err(failed(disk, "write", Some(&name)))?;
        disk.sync(&name).map_err(failed(disk, "sync", Some(&name)))?;
        disk.sync_names().map_err(failed(disk, "sync", None))?;
        let length = bytes.len() as u64;
        let (end_sequence, points) = (first_sequence, Points::default());
        let (written, synced, pending) = (length, length, Vec::new());
        Ok(Active { name, header, end_sequence, totals: Totals::NONE, sealed: false, written, synced, pending, points })
    }

    /// Goes on with a segment found on disk, all of it durable.
    pub(crate) fn resume(segment: &Segment) -> Active {
        Active {
            name: segment.name.clone(),
            header: segment.header,
            end_sequence: segment.end_sequence,
            totals: segment.totals,
            sealed: false,
            written: segment.end_offset,
            synced: segment.end_offset,
            pending: Vec::new(),
            points: segment.points.clone().unwrap_or_default(),
        }
    }

    pub(crate) fn length(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.synced == self.length()
    }

    /// Closes the block behind what is here; hands it to the disk where much is pending.
    pub(crate) fn add<D: Disk>(&mut self, disk: &D, block: &mut OpenBlock) -> Result<(), Error> {
        let place = Place { first_sequence: self.end_sequence, offset: self.length(), synced_to: self.synced };
        let header = block.close(&mut self.pending, self.header.seed, place);
        self.points.offer(header.first_sequence, header.offset);
        self.totals.add(&header);
        self.end_sequence = header.end_sequence();
        if self.pending.len() >= MOST_PENDING_BYTES { self.write(disk) } else { Ok(()) }
    }

    /// Makes all of it durable, with a seal behind: no block follows.
    pub(crate) fn seal<D: Disk>(&mut self, disk: &D) -> Result<(), Error> {
        let seal = Seal { totals: self.totals, offset: self.length(), synced_to: self.synced };
        self.pending.extend_from_slice(&seal.encode(self.header.seed));
        self.sync(disk)?;
        self.sealed = true;
        Ok(())
    }

    /// Makes all of it durable.
    pub(crate) fn sync<D: Disk>(&mut self, disk: &D) -> Result<(), Error> {
        self.write(disk)?;
        disk.sync(&self.name).map_err(failed(disk, "sync", Some(&self.name)))?;
        self.synced = self.written;
        Ok(())
    }

    fn write<D: Disk>(&mut self, disk: &D) -> Result<(), Error> {
        if !self.pending.is_empty() {
            disk.append(&self.name, &self.pending).map_err(failed(disk, "write", Some(&self.name)))?;
            self.written += self.pending.len() as u64;
            self.pending.clear();
            self.pending.shrink_to(MOST_PENDING_BYTES);
        }
        Ok(())
    }

    /// Tells the readers' view of this segment what is durable now.
    pub(crate) fn publish(&self, segment: &mut Segment) {
        segment.end_sequence = self.end_sequence;
        segment.end_offset = if self.sealed { self.synced - SEAL_BYTES as u64 } else { self.synced };
        segment.disk_bytes = self.synced;
        segment.totals = self.totals;
        segment.sealed = self.sealed;
        let known = segment.points.get_or_insert_default();
        known.take_new(&self.points);
    }

    /// The readers' view of a segment just created.
    pub(crate) fn view(&self) -> Segment {
        Segment {
            name: self.name.clone(),
            header: self.header,
            end_sequence: self.end_sequence,
            end_offset: self.synced,
            disk_bytes: self.synced,
            totals: self.totals,
            sealed: self.sealed,
            points: Some(self.points.clone()),
        }
    }
}
