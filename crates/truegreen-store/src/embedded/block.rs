//! Entries put together, compressed and checked as one.

use truegreen_model::time::Timestamp;

use super::format::{BLOCK_HEADER_BYTES, BlockHeader, ENTRY_HEADER_BYTES, Encoding, Fields, checksum};
use crate::entry::{Entry, Kind};

/// The block that entries are appended to until it is closed.
#[derive(Debug)]
pub(crate) struct OpenBlock {
    plain: Vec<u8>,
    entries: u32,
    earliest: Timestamp,
    latest: Timestamp,
}

impl OpenBlock {
    pub(crate) fn new() -> Self {
        OpenBlock { plain: Vec::new(), entries: 0, earliest: Timestamp::NEVER, latest: Timestamp(0) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub(crate) fn plain_bytes(&self) -> usize {
        self.plain.len()
    }

    pub(crate) fn entries(&self) -> u64 {
        u64::from(self.entries)
    }

    pub(crate) fn earliest(&self) -> Timestamp {
        self.earliest
    }

    pub(crate) fn latest(&self) -> Timestamp {
        self.latest
    }

    /// Adds an entry; the caller keeps bodies within [`MAX_BODY_BYTES`](super::format::MAX_BODY_BYTES).
    pub(crate) fn push(&mut self, received_at: Timestamp, kind: Kind, body: &[u8]) {
        self.plain.extend_from_slice(&received_at.0.to_le_bytes());
        self.plain.push(kind.byte());
        self.plain.extend_from_slice(&(body.len() as u32).to_le_bytes());
        self.plain.extend_from_slice(body);
        self.entries += 1;
        self.earliest = self.earliest.min(received_at);
        self.latest = self.latest.max(received_at);
    }

    /// Appends the block to `out` as it stands on disk, and empties it.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>, seed: u32, at: Place) -> BlockHeader {
        let start = out.len();
        let payload_at = start + BLOCK_HEADER_BYTES;
        let plain_length = self.plain.len();
        // Offering the compressor no more room than plain bytes take would end it early where nothing is gained, but
        // it refuses outputs that might not fit, so it gets the room it wants and what it did not use is cut off.
        out.resize(payload_at + lz4_flex::block::get_maximum_output_size(plain_length), 0);
        let compressed = lz4_flex::block::compress_into(&self.plain, &mut out[payload_at..]);
        let encoding = match compressed {
            Ok(length) if length < plain_length => {
                out.truncate(payload_at + length);
                Encoding::Lz4
            }
            Ok(_) | Err(_) => {
                out.truncate(payload_at);
                out.extend_from_slice(&self.plain);
                Encoding::Plain
            }
        };
        let header = BlockHeader {
            encoding,
            plain_length: plain_length as u32,
            stored_length: (out.len() - payload_at) as u32,
            entries: self.entries,
            payload_checksum: checksum(seed, &out[payload_at..]),
            first_sequence: at.first_sequence,
            offset: at.offset,
            synced_to: at.synced_to,
            earliest: self.earliest,
            latest: self.latest,
        };
        out[start..payload_at].copy_from_slice(&header.encode(seed));
        self.plain.clear();
        // One large body must not be paid for in memory ever after.
        self.plain.shrink_to(1 << 20);
        *self = OpenBlock { plain: std::mem::take(&mut self.plain), ..OpenBlock::new() };
        header
    }
}

/// Where a block comes to stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) first_sequence: u64,
    pub(crate) offset: u64,
    pub(crate) synced_to: u64,
}

/// The entries of a block whose header is believed; else what is wrong with the payload.
pub(crate) fn entries(header: &BlockHeader, stored: &[u8], seed: u32) -> Result<Vec<Entry>, &'static str> {
    check(header, stored, seed)?;
    let decompressed;
    let plain = match header.encoding {
        Encoding::Plain => stored,
        Encoding::Lz4 => {
            let mut room = vec![0; header.plain_length as usize];
            let length = lz4_flex::block::decompress_into(stored, &mut room).map_err(|_| "the block is no lz4")?;
            room.truncate(length);
            decompressed = room;
            &decompressed
        }
    };
    if plain.len() != header.plain_length as usize {
        return Err("the block is not as long as its header says");
    }
    // `entries` is what a file claims: the room for it is bounded by the bytes that are there.
    let mut entries = Vec::with_capacity((header.entries as usize).min(plain.len() / ENTRY_HEADER_BYTES));
    let mut fields = Fields(plain);
    for index in 0..u64::from(header.entries) {
        entries.push(
            entry(&mut fields, header.first_sequence + index).ok_or("an entry is cut short or of no known kind")?,
        );
    }
    if fields.0.is_empty() { Ok(entries) } else { Err("the block holds more than its entries") }
}

/// Whether the payload is what was written.
pub(crate) fn check(header: &BlockHeader, stored: &[u8], seed: u32) -> Result<(), &'static str> {
    if checksum(seed, stored) == header.payload_checksum { Ok(()) } else { Err("the checksum of a block is wrong") }
}

fn entry(fields: &mut Fields<'_>, sequence: u64) -> Option<Entry> {
    let received_at = fields.time()?;
    let kind = Kind::from_byte(fields.u8()?)?;
    let length = fields.u32()?;
    let body = fields.bytes(length as usize)?.to_vec();
    Some(Entry { sequence, received_at, kind, body })
}
