//! Dropping what is too old or too much: whole segments, oldest first, never the newest.

use std::io;
use std::time::Duration;

use truegreen_model::time::Timestamp;

use super::catalog::{Segment, Shared};
use super::disk::Disk;
use super::segment::failed;
use crate::error::Error;

/// What was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Dropped {
    /// Segment files.
    pub segments: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of these files.
    pub bytes: u64,
}

/// What may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_age: Duration,
    pub(crate) max_bytes: u64,
}

/// Drops segments beyond the limits.
pub(crate) fn enforce<D: Disk>(disk: &D, shared: &Shared, limits: Limits, now: Timestamp) -> Result<Dropped, Error> {
    let mut dropped = Dropped::default();
    while let Some(segment) = take_oldest(shared, limits, now) {
        if let Err(error) = remove(disk, &segment) {
            // It stays the oldest, to be tried again: a later one removed before it would leave a gap.
            shared.write().segments.push_front(segment);
            return Err(error);
        }
        dropped.segments += 1;
        dropped.entries += segment.totals.entries;
        dropped.bytes += segment.disk_bytes;
    }
    Ok(dropped)
}

/// Hides the oldest segment from readers, if it is beyond the limits.
fn take_oldest(shared: &Shared, limits: Limits, now: Timestamp) -> Option<Segment> {
    let mut catalog = shared.write();
    if catalog.segments.len() < 2 {
        return None;
    }
    let oldest = catalog.segments.front()?;
    let too_old = now.since(oldest.totals.latest) > limits.max_age;
    let too_much = catalog.disk_bytes() > limits.max_bytes;
    if too_old || too_much { catalog.segments.pop_front() } else { None }
}

fn remove<D: Disk>(disk: &D, segment: &Segment) -> Result<(), Error> {
    match disk.remove(&segment.name) {
        Ok(()) => {}
        // Removed the last time, when making that durable failed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(disk, "remove", Some(&segment.name))(error)),
    }
    // One at a time: after a crash only the oldest can be back, so that no gap is left.
    disk.sync_names().map_err(failed(disk, "sync", None))
}
