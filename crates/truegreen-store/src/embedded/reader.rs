//! Reading what is durable, while it is appended to and dropped.

use std::io;
use std::sync::Arc;
use std::vec;

use super::block;
use super::catalog::Shared;
use super::disk::{Directory, Disk};
use super::format::SegmentHeader;
use super::stats::Stats;
use super::walk::{Depth, HINT_NEWEST, HINT_OLDER, Next, Stop, next_at, read_payload, walk};
use crate::entry::Entry;
use crate::error::Error;

/// Reads a log from any thread; sees what is committed, and nothing before that.
#[derive(Debug)]
pub struct Reader<D: Disk = Directory> {
    disk: Arc<D>,
    catalog: Shared,
}

impl<D: Disk> Clone for Reader<D> {
    fn clone(&self) -> Self {
        Reader { disk: Arc::clone(&self.disk), catalog: self.catalog.clone() }
    }
}

/// Where to go on reading.
#[derive(Clone, Debug)]
struct Spot {
    name: String,
    header: SegmentHeader,
    sealed: bool,
    offset: u64,
    end_offset: u64,
}

impl<D: Disk> Reader<D> {
    pub(crate) fn new(disk: Arc<D>, catalog: Shared) -> Self {
        Reader { disk, catalog }
    }

    /// The entry with this sequence; none where it is dropped already or not committed yet.
    ///
    /// Reads at most the block headers of 256 KiB and one block. The first look into a segment that was there when
    /// the log was opened reads all its block headers.
    pub fn get(&self, sequence: u64) -> Result<Option<Entry>, Error> {
        Ok(self.get_block(sequence)?.into_iter().find(|entry| entry.sequence == sequence))
    }

    /// All entries of the block that holds this one, in order: whoever wants several of them decompresses it once. None
    /// where the entry is dropped already or not committed yet. Reads as much as [`Reader::get`].
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn get_block(&self, sequence: u64) -> Result<Vec<Entry>, Error> {
        let found = self.locate(sequence).and_then(|spot| spot.map(|spot| self.block(&spot)).transpose());
        match found {
            Ok(found) => Ok(found.map_or_else(Vec::new, |(entries, _)| entries)),
            Err(error) if self.is_dropped(sequence, &error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The entries from this sequence on, or from the earliest retained if that is later, in order.
    ///
    /// Ends at the last entry that is committed by then; ends after the first error. Keeps one block in memory.
    pub fn read_from(&self, sequence: u64) -> Entries<D> {
        Entries { reader: self.clone(), next: sequence, block: Vec::new().into_iter(), spot: None, ended: false }
    }

    /// The sequence of the earliest entry retained, or of the first to come where there is none.
    pub fn first_sequence(&self) -> u64 {
        self.catalog.read().first_sequence()
    }

    /// The sequence behind the last committed entry.
    pub fn end_sequence(&self) -> u64 {
        self.catalog.read().end_sequence
    }

    /// Counts over what is committed.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.catalog.read())
    }

    /// The sequence of the first entry of each segment, oldest first. A look at each of them once after the log is opened
    /// spares the first who wants something of that segment reading all its block headers.
    pub fn segment_starts(&self) -> Vec<u64> {
        let catalog = self.catalog.read();
        let filled = catalog.segments.iter().filter(|segment| segment.points.is_none() && segment.totals.entries > 0);
        filled.map(|segment| segment.header.first_sequence).collect()
    }

    /// Whether a failure is only that retention was quicker.
    fn is_dropped(&self, sequence: u64, error: &Error) -> bool {
        matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
            && sequence < self.first_sequence()
    }

    /// The block that holds this entry.
    fn locate(&self, sequence: u64) -> Result<Option<Spot>, Error> {
        let (mut spot, start) = {
            let catalog = self.catalog.read();
            let Some(segment) = catalog.holding(sequence) else { return Ok(None) };
            let spot = Spot {
                name: segment.name.clone(),
                header: segment.header,
                sealed: segment.sealed,
                offset: 0,
                end_offset: segment.end_offset,
            };
            (spot, segment.points.as_ref().map(|points| points.before(sequence)))
        };
        let start = match start {
            Some(known) => known,
            None => self.index(&spot, sequence)?,
        };
        let Some(start) = start else { return Ok(None) };
        spot.offset = start;
        loop {
            let block = self.block_header(&spot)?;
            if sequence < block.end_sequence() {
                return Ok(Some(spot));
            }
            spot.offset = block.end();
        }
    }

    /// Reads all block headers of a segment, keeps the points, and returns the one for `sequence`.
    fn index(&self, spot: &Spot, sequence: u64) -> Result<Option<u64>, Error> {
        let walk = walk(&*self.disk, &spot.name, &spot.header, spot.end_offset, Depth::Headers)?;
        if let Some(stop) = walk.stop {
            return Err(self.damaged(spot, stop));
        }
        let start = walk.points.before(sequence);
        let mut catalog = self.catalog.write();
        if let Some(segment) = catalog.segments.iter_mut().find(|segment| segment.name == spot.name) {
            segment.points.get_or_insert(walk.points);
        }
        Ok(start)
    }

    fn damaged(&self, spot: &Spot, stop: Stop) -> Error {
        stop.damaged(self.disk.path(Some(&spot.name)), if spot.sealed { HINT_OLDER } else { HINT_NEWEST })
    }

    fn block_header(&self, spot: &Spot) -> Result<super::format::BlockHeader, Error> {
        match next_at(&*self.disk, &spot.name, spot.header.seed, spot.offset, spot.end_offset)? {
            Next::Block(header) => Ok(header),
            Next::Bad(stop) => Err(self.damaged(spot, stop)),
            Next::Seal(_) | Next::End => {
                Err(self.damaged(spot, Stop { offset: spot.offset, what: "the segment ends before its last entry" }))
            }
        }
    }

    /// The entries of the block at this spot, and where the next begins.
    fn block(&self, spot: &Spot) -> Result<(Vec<Entry>, u64), Error> {
        let header = self.block_header(spot)?;
        let mut payload = Vec::new();
        read_payload(&*self.disk, &spot.name, &header, &mut payload)?;
        let entries = block::entries(&header, &payload, spot.header.seed)
            .map_err(|what| self.damaged(spot, Stop { offset: spot.offset, what }))?;
        Ok((entries, header.end()))
    }
}

/// Entries in order; see [`Reader::read_from`].
#[derive(Debug)]
pub struct Entries<D: Disk = Directory> {
    reader: Reader<D>,
    /// The sequence to be given next.
    next: u64,
    block: vec::IntoIter<Entry>,
    /// The block behind `block`, within the same segment.
    spot: Option<Spot>,
    ended: bool,
}

impl<D: Disk> Entries<D> {
    /// Loads the block that holds `next`; false at the end.
    fn load(&mut self) -> Result<bool, Error> {
        let first = self.reader.first_sequence();
        if self.next < first {
            (self.next, self.spot) = (first, None);
        }
        let spot = match self.spot.take().filter(|spot| spot.offset < spot.end_offset) {
            Some(spot) => spot,
            None => match self.reader.locate(self.next)? {
                Some(spot) => spot,
                None => return Ok(false),
            },
        };
        let (entries, end) = self.reader.block(&spot)?;
        self.block = entries.into_iter();
        self.spot = Some(Spot { offset: end, ..spot });
        Ok(true)
    }
}

impl<D: Disk> Iterator for Entries<D> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            if let Some(entry) = self.block.by_ref().find(|entry| entry.sequence >= self.next) {
                self.next = entry.sequence + 1;
                return Some(Ok(entry));
            }
            match self.load() {
                Ok(more) => self.ended = !more,
                // Each time round the earliest retained has moved on, so this ends.
                Err(error) if self.reader.is_dropped(self.next, &error) => {}
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
