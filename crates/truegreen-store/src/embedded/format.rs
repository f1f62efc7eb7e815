//! The bytes on disk, format 4. All numbers are little-endian; times are nanoseconds since 1970.
//!
//! A log is a directory of segment files named by the sequence of their first entry, `00000000000000000001.segment`,
//! and a file `LOCK`. A segment is a header, blocks one behind the other, and, once it is full, a seal. It is only
//! ever appended to, and a next segment begins only when the one before is sealed and durable.
//!
//! | segment header | bytes | |
//! | --- | --- | --- |
//! | magic | 8 | `TGSEGMNT` |
//! | format | 4 | 1 to 4 |
//! | checksum | 4 | of the 12 bytes before; these 16 stay as they are in every format to come |
//! | first sequence | 8 | of its first entry; the same as in the file's name |
//! | created at | 8 | when its first entry was received |
//! | checksum | 4 | of the 32 bytes before; the *seed* of all checksums behind it |
//!
//! | block | bytes | |
//! | --- | --- | --- |
//! | magic | 4 | `TGBK` |
//! | encoding | 4 | 0: plain, 1: lz4 block |
//! | plain length | 4 | of the entries |
//! | stored length | 4 | of the payload behind this header |
//! | entries | 4 | at least 1 |
//! | payload checksum | 4 | of the payload as stored |
//! | first sequence | 8 | of its first entry |
//! | offset | 8 | where in the file this header stands |
//! | synced to | 8 | the file was known to be durable up to here when this block was written |
//! | earliest, latest | 16 | `received_at` among its entries |
//! | header checksum | 4 | of the 64 bytes before |
//! | payload | | per entry: received at (8), kind (1), length (4), body |
//!
//! | seal | bytes | |
//! | --- | --- | --- |
//! | magic | 4 | `TGSL` |
//! | entries, plain length | 16 | in the whole segment |
//! | earliest, latest | 16 | `received_at` in the whole segment |
//! | offset, synced to | 16 | as in a block |
//! | checksum | 4 | of the 52 bytes before |
//!
//! Kinds of entries: 1 traces, 2 logs, 3 metrics, 4 refused, 5 resumed; since format 2 also 6 stopped and 7 contracts;
//! since format 3 also 8 confirmations; since format 4 also 9 changes. Nothing else differs between the formats. A program refuses a log with a segment of
//! a format that it does not know, and names both; so nothing is appended to a segment of an older format.
//!
//! Checksums are CRC-32 (IEEE). Behind the segment's header they start from its seed and cover their own offset, so
//! that a block within a hostile body, from another segment or from an earlier use of the disk never passes for one.
//! *Synced to* is what tells a torn write from damage: bytes that a later block vouches for were durable once.

use crc32fast::Hasher;
use truegreen_model::time::Timestamp;

/// The format this program writes, and the newest it reads.
pub(crate) const VERSION: u32 = 4;
/// The oldest it reads.
const OLDEST_VERSION: u32 = 1;
pub(crate) const SEGMENT_HEADER_BYTES: usize = 36;
pub(crate) const BLOCK_HEADER_BYTES: usize = 68;
pub(crate) const SEAL_BYTES: usize = 56;
/// What an entry takes in a block beside its body.
pub(crate) const ENTRY_HEADER_BYTES: usize = 13;
/// The longest body of one entry.
pub(crate) const MAX_BODY_BYTES: usize = 64 << 20;
/// The longest block, plain or stored: no length above it is believed.
pub(crate) const MAX_BLOCK_BYTES: usize = MAX_BODY_BYTES + (4 << 20);

const SEGMENT_MAGIC: &[u8; 8] = b"TGSEGMNT";
const PROLOGUE_BYTES: usize = 16;
pub(crate) const BLOCK_MAGIC: &[u8; 4] = b"TGBK";
pub(crate) const SEAL_MAGIC: &[u8; 4] = b"TGSL";

/// Reads fixed fields from the front of bytes.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn time(&mut self) -> Option<Timestamp> {
        self.u64().map(Timestamp)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }
}

/// CRC-32 of `bytes`, started from `seed`.
pub(crate) fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// Whether the last four bytes are the checksum of those before.
fn checks(seed: u32, bytes: &[u8]) -> bool {
    match bytes.split_last_chunk::<4>() {
        Some((fields, sum)) => checksum(seed, fields) == u32::from_le_bytes(*sum),
        None => false,
    }
}

/// The first bytes of a segment file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    pub(crate) version: u32,
    pub(crate) first_sequence: u64,
    pub(crate) created_at: Timestamp,
    /// What every checksum behind the header starts from; set by [`SegmentHeader::encode`].
    pub(crate) seed: u32,
}

/// Why bytes are no segment header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderFault {
    Newer(u32),
    Broken,
}

impl SegmentHeader {
    /// The header and its bytes.
    pub(crate) fn encode(first_sequence: u64, created_at: Timestamp) -> (SegmentHeader, Vec<u8>) {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.extend_from_slice(SEGMENT_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&checksum(0, &bytes).to_le_bytes());
        bytes.extend_from_slice(&first_sequence.to_le_bytes());
        bytes.extend_from_slice(&created_at.0.to_le_bytes());
        let seed = checksum(0, &bytes);
        bytes.extend_from_slice(&seed.to_le_bytes());
        (SegmentHeader { version: VERSION, first_sequence, created_at, seed }, bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderFault> {
        let prologue = bytes.get(..PROLOGUE_BYTES).ok_or(HeaderFault::Broken)?;
        if !prologue.starts_with(SEGMENT_MAGIC) || !checks(0, prologue) {
            return Err(HeaderFault::Broken);
        }
        // The format is judged before anything behind the prologue is looked at: a newer one may differ in all of it.
        let mut fields = Fields(bytes);
        let _magic = fields.u64();
        let version = match fields.u32() {
            Some(known @ OLDEST_VERSION..=VERSION) => known,
            Some(found) if found > VERSION => return Err(HeaderFault::Newer(found)),
            _ => return Err(HeaderFault::Broken),
        };
        if !bytes.get(..SEGMENT_HEADER_BYTES).is_some_and(|header| checks(0, header)) {
            return Err(HeaderFault::Broken);
        }
        let _prologue_checksum = fields.u32();
        let decoded = (|| {
            Some(SegmentHeader {
                version,
                first_sequence: fields.u64()?,
                created_at: fields.time()?,
                seed: fields.u32()?,
            })
        })();
        decoded.ok_or(HeaderFault::Broken)
    }
}

/// How a block's payload is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    Plain,
    Lz4,
}

/// What stands before a block's payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlockHeader {
    pub(crate) encoding: Encoding,
    pub(crate) plain_length: u32,
    pub(crate) stored_length: u32,
    pub(crate) entries: u32,
    pub(crate) payload_checksum: u32,
    pub(crate) first_sequence: u64,
    pub(crate) offset: u64,
    pub(crate) synced_to: u64,
    pub(crate) earliest: Timestamp,
    pub(crate) latest: Timestamp,
}

impl BlockHeader {
    pub(crate) fn encode(&self, seed: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK_HEADER_BYTES);
        bytes.extend_from_slice(BLOCK_MAGIC);
        let encoding = match self.encoding {
            Encoding::Plain => 0_u32,
            Encoding::Lz4 => 1,
        };
        for number in [encoding, self.plain_length, self.stored_length, self.entries, self.payload_checksum] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.first_sequence, self.offset, self.synced_to, self.earliest.0, self.latest.0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&checksum(seed, &bytes).to_le_bytes());
        bytes
    }

    /// The header at `offset`, if these bytes are one, whole, of this segment and of this place.
    pub(crate) fn decode(bytes: &[u8], seed: u32, offset: u64) -> Option<BlockHeader> {
        let bytes = bytes.get(..BLOCK_HEADER_BYTES)?;
        let mut fields = Fields(bytes);
        if fields.array::<4>()? != *BLOCK_MAGIC || !checks(seed, bytes) {
            return None;
        }
        let encoding = match fields.u32()? {
            0 => Encoding::Plain,
            1 => Encoding::Lz4,
            _ => return None,
        };
        let header = BlockHeader {
            encoding,
            plain_length: fields.u32()?,
            stored_length: fields.u32()?,
            entries: fields.u32()?,
            payload_checksum: fields.u32()?,
            first_sequence: fields.u64()?,
            offset: fields.u64()?,
            synced_to: fields.u64()?,
            earliest: fields.time()?,
            latest: fields.time()?,
        };
        let believable = header.offset == offset
            && header.synced_to <= offset
            && header.entries > 0
            && header.plain_length as usize <= MAX_BLOCK_BYTES
            && header.stored_length <= header.plain_length
            && header.first_sequence.checked_add(u64::from(header.entries)).is_some();
        believable.then_some(header)
    }

    /// Where the next block begins.
    pub(crate) fn end(&self) -> u64 {
        self.offset + BLOCK_HEADER_BYTES as u64 + u64::from(self.stored_length)
    }

    pub(crate) fn end_sequence(&self) -> u64 {
        self.first_sequence + u64::from(self.entries)
    }
}

/// Counts over the entries of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Totals {
    pub(crate) entries: u64,
    pub(crate) plain_bytes: u64,
    pub(crate) earliest: Timestamp,
    pub(crate) latest: Timestamp,
}

impl Totals {
    pub(crate) const NONE: Totals =
        Totals { entries: 0, plain_bytes: 0, earliest: Timestamp::NEVER, latest: Timestamp(0) };

    pub(crate) fn add(&mut self, block: &BlockHeader) {
        self.entries += u64::from(block.entries);
        self.plain_bytes += u64::from(block.plain_length);
        self.earliest = self.earliest.min(block.earliest);
        self.latest = self.latest.max(block.latest);
    }
}

/// The last bytes of a full segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seal {
    pub(crate) totals: Totals,
    pub(crate) offset: u64,
    pub(crate) synced_to: u64,
}

impl Seal {
    pub(crate) fn encode(&self, seed: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEAL_BYTES);
        bytes.extend_from_slice(SEAL_MAGIC);
        let Totals { entries, plain_bytes, earliest, latest } = self.totals;
        for number in [entries, plain_bytes, earliest.0, latest.0, self.offset, self.synced_to] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&checksum(seed, &bytes).to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], seed: u32, offset: u64) -> Option<Seal> {
        let bytes = bytes.get(..SEAL_BYTES)?;
        let mut fields = Fields(bytes);
        if fields.array::<4>()? != *SEAL_MAGIC || !checks(seed, bytes) {
            return None;
        }
        let totals = Totals {
            entries: fields.u64()?,
            plain_bytes: fields.u64()?,
            earliest: fields.time()?,
            latest: fields.time()?,
        };
        let seal = Seal { totals, offset: fields.u64()?, synced_to: fields.u64()? };
        (seal.offset == offset && seal.synced_to <= offset).then_some(seal)
    }
}

/// The file name of the segment that begins with this sequence.
pub(crate) fn segment_name(first_sequence: u64) -> String {
    format!("{first_sequence:020}.segment")
}

/// The first sequence that a file's name tells, if it is a segment's.
pub(crate) fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_as_the_tables_say() {
        let (header, bytes) = SegmentHeader::encode(7, Timestamp(9));
        assert_eq!(bytes.len(), SEGMENT_HEADER_BYTES);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        let block = BlockHeader {
            encoding: Encoding::Lz4,
            plain_length: 40,
            stored_length: 30,
            entries: 2,
            payload_checksum: 5,
            first_sequence: 7,
            offset: 36,
            synced_to: 36,
            earliest: Timestamp(1),
            latest: Timestamp(2),
        };
        let bytes = block.encode(3);
        assert_eq!(bytes.len(), BLOCK_HEADER_BYTES);
        assert_eq!(BlockHeader::decode(&bytes, 3, 36), Some(block));
        assert_eq!(BlockHeader::decode(&bytes, 4, 36), None, "of another segment");
        assert_eq!(BlockHeader::decode(&bytes, 3, 37), None, "of another place");
        let seal = Seal { totals: Totals::NONE, offset: 36, synced_to: 36 };
        assert_eq!(seal.encode(3).len(), SEAL_BYTES);
        assert_eq!(Seal::decode(&seal.encode(3), 3, 36), Some(seal));
    }

    #[test]
    fn a_newer_format_is_told_apart_from_damage() {
        let (_, mut bytes) = SegmentHeader::encode(1, Timestamp(0));
        bytes[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderFault::Broken), "a flipped bit");
        let sum = checksum(0, &bytes[..12]);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderFault::Newer(VERSION + 1)), "a newer program");
    }

    #[test]
    fn names_are_only_those_we_write() {
        assert_eq!(sequence_of(&segment_name(12)), Some(12));
        for other in ["LOCK", "12.segment", "0000000000000000000x.segment", "99999999999999999999.segment"] {
            assert_eq!(sequence_of(other), None, "{other}");
        }
    }
}
