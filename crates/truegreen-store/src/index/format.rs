//! The bytes of a run, format 1. All numbers are little-endian.
//!
//! An index is a directory of runs, each named by the sequences it covers, `<first>-<end>.run` with 20 digits each. A
//! run is written once and never changed.
//!
//! | run | bytes | |
//! | --- | --- | --- |
//! | header | 4096 | |
//! | pages | 4096 each | records in order, 341 in each but the last |
//! | fences | 8 each | of each page the term of its first record |
//! | footer | 24 | written once all before it is durable: with it, the run is whole |
//!
//! | header | bytes | |
//! | --- | --- | --- |
//! | magic | 8 | `TGINDEXR` |
//! | format | 4 | 1 |
//! | checksum | 4 | of the 12 bytes before; these 16 stay as they are in every format to come |
//! | first, end | 16 | the sequences covered, the second exclusive; the same as in the file's name |
//! | base | 8 | what the offsets of its records count from |
//! | records | 8 | at least 1 |
//! | | | zeros |
//! | checksum | 4 | of the 4092 bytes before; the *seed* of all checksums behind it |
//!
//! | page | bytes | |
//! | --- | --- | --- |
//! | records | 12 each | term (8), sequence minus base (4); ascending, none twice |
//! | | | zeros |
//! | checksum | 4 | of the page's number (8, not stored) and the 4092 bytes before |
//!
//! | footer | bytes | |
//! | --- | --- | --- |
//! | magic | 8 | `TGINDEXE` |
//! | records | 8 | as in the header |
//! | checksum | 4 | of the fences |
//! | checksum | 4 | of the 20 bytes before |

use crate::embedded::format::{Fields, HeaderFault, checksum};

/// The format this program writes, and the newest it reads.
pub(crate) const VERSION: u32 = 1;
pub(crate) const PAGE_BYTES: usize = 4096;
pub(crate) const RECORD_BYTES: usize = 12;
/// Records in each page but the last.
pub(crate) const PAGE_RECORDS: usize = (PAGE_BYTES - CHECKSUM_BYTES) / RECORD_BYTES;
pub(crate) const FENCE_BYTES: usize = 8;
pub(crate) const FOOTER_BYTES: usize = 24;

const CHECKSUM_BYTES: usize = 4;
const HEADER_MAGIC: &[u8; 8] = b"TGINDEXR";
const FOOTER_MAGIC: &[u8; 8] = b"TGINDEXE";
const PROLOGUE_BYTES: usize = 16;

/// That a request mentions a term.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Record {
    pub(crate) term: u64,
    /// The request's sequence, minus the base of the run.
    pub(crate) offset: u32,
}

/// The first bytes of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// The sequences covered.
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) base: u64,
    pub(crate) records: u64,
    /// What every checksum behind the header starts from; set by [`Header::encode`].
    pub(crate) seed: u32,
}

impl Header {
    /// The bytes of this header; sets its seed.
    pub(crate) fn encode(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PAGE_BYTES);
        bytes.extend_from_slice(HEADER_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&checksum(0, &bytes).to_le_bytes());
        for number in [self.first, self.end, self.base, self.records] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.resize(PAGE_BYTES - CHECKSUM_BYTES, 0);
        self.seed = checksum(0, &bytes);
        bytes.extend_from_slice(&self.seed.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, HeaderFault> {
        let prologue = bytes.get(..PROLOGUE_BYTES).ok_or(HeaderFault::Broken)?;
        if !prologue.starts_with(HEADER_MAGIC) || checked(0, prologue).is_none() {
            return Err(HeaderFault::Broken);
        }
        // The format is judged before anything behind the prologue is looked at: a newer one may differ in all of it.
        let mut fields = Fields(bytes);
        let _magic = fields.u64();
        match fields.u32() {
            Some(VERSION) => {}
            Some(found) if found > VERSION => return Err(HeaderFault::Newer(found)),
            _ => return Err(HeaderFault::Broken),
        }
        let _prologue_checksum = fields.u32();
        let decoded = (|| {
            let seed = checked(0, bytes.get(..PAGE_BYTES)?)?;
            let header =
                Header { first: fields.u64()?, end: fields.u64()?, base: fields.u64()?, records: fields.u64()?, seed };
            let believable = header.first <= header.base && header.base < header.end && header.records > 0;
            believable.then_some(header)
        })();
        decoded.ok_or(HeaderFault::Broken)
    }

    pub(crate) fn pages(&self) -> u64 {
        self.records.div_ceil(PAGE_RECORDS as u64)
    }

    /// Records in the page of this number.
    pub(crate) fn records_in(&self, page: u64) -> usize {
        let behind = self.records.saturating_sub(page.saturating_mul(PAGE_RECORDS as u64));
        usize::try_from(behind).unwrap_or(PAGE_RECORDS).min(PAGE_RECORDS)
    }

    pub(crate) fn page_offset(&self, page: u64) -> u64 {
        (page + 1).saturating_mul(PAGE_BYTES as u64)
    }

    /// How long the whole file is.
    pub(crate) fn file_bytes(&self) -> u64 {
        let fences = self.pages().saturating_mul(FENCE_BYTES as u64);
        self.page_offset(self.pages()).saturating_add(fences).saturating_add(FOOTER_BYTES as u64)
    }

    /// Appends a page with these records, at most [`PAGE_RECORDS`].
    pub(crate) fn encode_page(&self, page: u64, records: &[Record], out: &mut Vec<u8>) {
        let start = out.len();
        for record in records {
            out.extend_from_slice(&record.term.to_le_bytes());
            out.extend_from_slice(&record.offset.to_le_bytes());
        }
        out.resize(start + PAGE_BYTES - CHECKSUM_BYTES, 0);
        let sum = checksum(self.page_seed(page), &out[start..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// The records of a page as bytes, if it is what was written.
    pub(crate) fn page<'a>(&self, page: u64, bytes: &'a [u8]) -> Option<Page<'a>> {
        let bytes = bytes.get(..PAGE_BYTES)?;
        checked(self.page_seed(page), bytes)?;
        bytes.get(..self.records_in(page) * RECORD_BYTES).map(Page)
    }

    fn page_seed(&self, page: u64) -> u32 {
        checksum(self.seed, &page.to_le_bytes())
    }

    /// The fences and the footer, as they end the file.
    pub(crate) fn encode_end(&self, fences: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(fences.len() * FENCE_BYTES + FOOTER_BYTES);
        for fence in fences {
            bytes.extend_from_slice(&fence.to_le_bytes());
        }
        let sum = checksum(self.seed, &bytes);
        let footer = bytes.len();
        bytes.extend_from_slice(FOOTER_MAGIC);
        bytes.extend_from_slice(&self.records.to_le_bytes());
        bytes.extend_from_slice(&sum.to_le_bytes());
        let sum = checksum(self.seed, &bytes[footer..]);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The fences, if these bytes are the whole end of the file.
    pub(crate) fn decode_end(&self, bytes: &[u8]) -> Option<Vec<u64>> {
        let (fences, footer) = bytes.split_at_checked(bytes.len().checked_sub(FOOTER_BYTES)?)?;
        checked(self.seed, footer)?;
        let mut fields = Fields(footer);
        let whole = fields.array::<8>()? == *FOOTER_MAGIC
            && fields.u64()? == self.records
            && fields.u32()? == checksum(self.seed, fences)
            && fences.len() as u64 == self.pages().checked_mul(FENCE_BYTES as u64)?;
        let mut fields = Fields(fences);
        whole.then(|| std::iter::from_fn(|| fields.u64()).collect())
    }
}

/// The checksum that ends these bytes, if it is that of those before.
fn checked(seed: u32, bytes: &[u8]) -> Option<u32> {
    let (before, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    let sum = u32::from_le_bytes(*sum);
    (checksum(seed, before) == sum).then_some(sum)
}

/// The records of one page, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page<'a>(&'a [u8]);

impl Page<'_> {
    pub(crate) fn len(self) -> usize {
        self.0.len() / RECORD_BYTES
    }

    pub(crate) fn record(self, index: usize) -> Option<Record> {
        let mut fields = Fields(self.0.get(index * RECORD_BYTES..)?);
        Some(Record { term: fields.u64()?, offset: fields.u32()? })
    }

    /// How many of its records come before the first of `term`.
    pub(crate) fn before(self, term: u64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.record(middle).is_some_and(|record| record.term < term) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

/// The file name of the run that covers these sequences.
pub(crate) fn run_name(first: u64, end: u64) -> String {
    format!("{first:020}-{end:020}.run")
}

/// The sequences that a file's name tells, if it is a run's.
pub(crate) fn covered_by(name: &str) -> Option<(u64, u64)> {
    let (first, end) = name.strip_suffix(".run")?.split_once('-')?;
    let number = |digits: &str| {
        let whole = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole { digits.parse::<u64>().ok() } else { None }
    };
    Some((number(first)?, number(end)?))
}
