//! Which segments there are, and what of them is durable: what readers see.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::format::{SegmentHeader, Totals};

/// A place where a look-up may begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) sequence: u64,
    pub(crate) offset: u64,
}

/// How far apart points are: a look-up passes the headers of this many bytes at most, and a segment of 1 GiB keeps
/// 4096 points.
const POINT_BYTES: u64 = 256 << 10;

/// Places of blocks, thinned out, in order.
#[derive(Clone, Default, Debug)]
pub(crate) struct Points(Vec<Point>);

impl Points {
    pub(crate) fn offer(&mut self, sequence: u64, offset: u64) {
        if self.0.last().is_none_or(|last| offset - last.offset >= POINT_BYTES) {
            self.0.push(Point { sequence, offset });
        }
    }

    /// Adds what `newer`, a longer list of the same places, has beyond this one.
    pub(crate) fn take_new(&mut self, newer: &Points) {
        self.0.extend_from_slice(newer.0.get(self.0.len()..).unwrap_or_default());
    }

    /// The last place at or before `sequence`.
    pub(crate) fn before(&self, sequence: u64) -> Option<u64> {
        let behind = self.0.partition_point(|point| point.sequence <= sequence);
        self.0.get(behind.checked_sub(1)?).map(|point| point.offset)
    }
}

/// The durable part of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) header: SegmentHeader,
    /// The sequence behind the last durable entry.
    pub(crate) end_sequence: u64,
    /// The offset behind the last durable block.
    pub(crate) end_offset: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) totals: Totals,
    pub(crate) sealed: bool,
    /// None until someone looks something up: a log of many segments opens without reading them all.
    pub(crate) points: Option<Points>,
}

/// All segments, oldest first.
#[derive(Default, Debug)]
pub(crate) struct Catalog {
    pub(crate) segments: VecDeque<Segment>,
    /// The sequence behind the last durable entry.
    pub(crate) end_sequence: u64,
}

impl Catalog {
    pub(crate) fn first_sequence(&self) -> u64 {
        self.segments.front().map_or(self.end_sequence, |segment| segment.header.first_sequence)
    }

    /// The segment that holds this entry durably.
    pub(crate) fn holding(&self, sequence: u64) -> Option<&Segment> {
        let behind = self.segments.partition_point(|segment| segment.header.first_sequence <= sequence);
        self.segments.get(behind.checked_sub(1)?).filter(|segment| sequence < segment.end_sequence)
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.disk_bytes).sum()
    }
}

/// The catalog as the writer and all readers share it. It is locked for moments only, never across the disk's work.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<RwLock<Catalog>>);

impl Shared {
    pub(crate) fn new(catalog: Catalog) -> Shared {
        Shared(Arc::new(RwLock::new(catalog)))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Catalog> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
