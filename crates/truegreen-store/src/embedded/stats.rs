//! Counts over a log.

use truegreen_model::time::Timestamp;

use super::catalog::Catalog;
use super::format::Totals;

/// Counts over what is committed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Segment files.
    pub segments: u64,
    /// Entries retained.
    pub entries: u64,
    /// Their bodies with 13 bytes each, before compression.
    pub plain_bytes: u64,
    /// Bytes of the segment files.
    pub disk_bytes: u64,
    /// The earliest sequence retained, if any.
    pub first_sequence: Option<u64>,
    /// The last sequence committed and retained, if any.
    pub last_sequence: Option<u64>,
    /// The earliest `received_at` retained, if any.
    pub first_received_at: Option<Timestamp>,
    /// The latest `received_at` retained, if any.
    pub last_received_at: Option<Timestamp>,
}

impl Stats {
    pub(crate) fn of(catalog: &Catalog) -> Stats {
        let mut totals = Totals::NONE;
        for segment in &catalog.segments {
            totals.entries += segment.totals.entries;
            totals.plain_bytes += segment.totals.plain_bytes;
            totals.earliest = totals.earliest.min(segment.totals.earliest);
            totals.latest = totals.latest.max(segment.totals.latest);
        }
        let some = totals.entries > 0;
        Stats {
            segments: catalog.segments.len() as u64,
            entries: totals.entries,
            plain_bytes: totals.plain_bytes,
            disk_bytes: catalog.disk_bytes(),
            first_sequence: some.then(|| catalog.first_sequence()),
            last_sequence: some.then(|| catalog.end_sequence - 1),
            first_received_at: some.then_some(totals.earliest),
            last_received_at: some.then_some(totals.latest),
        }
    }
}
