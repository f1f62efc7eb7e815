//! Dropping what is too old or too much: whole segments, oldest first, never the newest.

use std::time::Duration;

use truegreen_model::time::Timestamp;

use super::catalog::{Segment, Shared};
use super::disk::Disk;
use super::walk::failed;
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
    /// Later entries are needed whatever their age.
    pub(crate) through: u64,
}

/// Drops segments beyond the limits, one at a time: after a crash only the oldest can be back, so no gap is left.
///
/// `is_unsynced` tells, from one call to the next, that a file was removed and making that durable failed.
pub(crate) fn enforce<D: Disk>(
    disk: &D,
    shared: &Shared,
    limits: Limits,
    now: Timestamp,
    is_unsynced: &mut bool,
) -> Result<Dropped, Error> {
    let mut dropped = Dropped::default();
    loop {
        if *is_unsynced {
            disk.sync_names().map_err(failed(disk, "sync", None))?;
            *is_unsynced = false;
        }
        let Some(segment) = take_oldest(shared, limits, now) else { return Ok(dropped) };
        if let Err(error) = disk.remove(&segment.name) {
            let error = failed(disk, "remove", Some(&segment.name))(error);
            // It stays the oldest, to be tried again: a later one removed before it would leave a gap.
            shared.write().segments.push_front(segment);
            return Err(error);
        }
        *is_unsynced = true;
        dropped.segments += 1;
        dropped.entries += segment.totals.entries;
        dropped.bytes += segment.disk_bytes;
    }
}

/// Hides the oldest segment from readers, if it is beyond the limits.
fn take_oldest(shared: &Shared, limits: Limits, now: Timestamp) -> Option<Segment> {
    let mut catalog = shared.write();
    if catalog.segments.len() < 2 {
        return None;
    }
    let oldest = catalog.segments.front()?;
    if oldest.end_sequence > limits.through.saturating_add(1) {
        return None;
    }
    let too_old = now.since(oldest.totals.latest) > limits.max_age;
    let too_much = catalog.disk_bytes() > limits.max_bytes;
    if too_old || too_much { catalog.segments.pop_front() } else { None }
}
