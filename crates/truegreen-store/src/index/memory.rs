//! The newest part of the index, not on disk yet.

use super::format::Record;

/// Records are kept in sorted chunks, and the last few as they came.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The sequences covered.
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// The sequence of the first record; where there is none yet, of no meaning.
    pub(crate) base: u64,
    records: usize,
    /// Each sorted; the sequences of one come before those of the next.
    chunks: Vec<Vec<Record>>,
    tail: Vec<Record>,
}

/// A tail of so many records is sorted: a look-up passes all of the tail.
const TAIL_RECORDS: usize = 4096;
/// Chunks are put together up to so many records: a look-up searches each chunk, and sorting must not be felt.
const CHUNK_RECORDS: usize = 128 << 10;

impl Memory {
    pub(crate) fn new(first: u64) -> Memory {
        Memory { first, end: first, base: first, records: 0, chunks: Vec::new(), tail: Vec::new() }
    }

    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// Whether offsets can tell this sequence.
    pub(crate) fn reaches(&self, sequence: u64) -> bool {
        self.records == 0 || u32::try_from(sequence - self.base).is_ok()
    }

    /// Adds a request with its terms, none of them twice; it [`reaches`](Memory::reaches) it, and it covers no later.
    pub(crate) fn add(&mut self, sequence: u64, terms: &[u64]) {
        if self.records == 0 {
            self.base = sequence;
        }
        self.end = sequence + 1;
        let offset = (sequence - self.base) as u32;
        self.tail.extend(terms.iter().map(|&term| Record { term, offset }));
        self.records += terms.len();
        if self.tail.len() >= TAIL_RECORDS {
            self.sort_tail();
        }
    }

    fn sort_tail(&mut self) {
        self.tail.sort_unstable();
        let mut newest = std::mem::replace(&mut self.tail, Vec::with_capacity(TAIL_RECORDS));
        while let Some(before) =
            self.chunks.pop_if(|before| before.len() <= newest.len() && before.len() + newest.len() <= CHUNK_RECORDS)
        {
            newest.extend(before);
            // A sort that finds what is sorted already, as both parts are.
            newest.sort();
        }
        self.chunks.push(newest);
    }

    /// Appends the sequences from `floor` on of requests that mention `term`, ascending, until `out` holds `most`.
    pub(crate) fn find(&self, term: u64, floor: u64, most: usize, out: &mut Vec<u64>) {
        let sequence = |record: &Record| self.base + u64::from(record.offset);
        for chunk in &self.chunks {
            let start = chunk.partition_point(|record| (record.term, sequence(record)) < (term, floor));
            let alike = chunk[start..].iter().take_while(|record| record.term == term);
            let room = most.saturating_sub(out.len());
            out.extend(alike.take(room).map(sequence));
        }
        let alike = self.tail.iter().filter(|record| record.term == term && sequence(record) >= floor);
        let room = most.saturating_sub(out.len());
        out.extend(alike.take(room).map(sequence));
    }

    /// All records in order.
    pub(crate) fn sorted(&self) -> Vec<Record> {
        let mut records = Vec::with_capacity(self.records);
        for chunk in &self.chunks {
            records.extend_from_slice(chunk);
        }
        records.extend_from_slice(&self.tail);
        records.sort();
        records
    }
}
