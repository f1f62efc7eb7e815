//! One run: written once, then only read.

use super::format::{FOOTER_BYTES, Header, PAGE_BYTES, PAGE_RECORDS, Page, Record, VERSION, covered_by, run_name};
use crate::embedded::disk::Disk;
use crate::embedded::format::HeaderFault;
use crate::embedded::walk::failed;
use crate::error::Error;

/// Told where a run is damaged or newer.
pub(crate) const HINT: &str = "stop truegreen and delete the folder of this file: the next start builds the index anew \
     from the log";

/// A run that is whole; its pages are read when they are needed.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) header: Header,
    /// Of each page the term of its first record: 8 bytes in memory for each 4096 on disk.
    fences: Vec<u64>,
}

impl Run {
    /// The run in this file; else what is not whole about it.
    pub(crate) fn open<D: Disk>(disk: &D, name: &str) -> Result<Result<Run, &'static str>, Error> {
        let mut bytes = vec![0; PAGE_BYTES];
        let read = disk.read_at(name, 0, &mut bytes).map_err(failed(disk, "read", Some(name)))?;
        let header = match Header::decode(&bytes[..read]) {
            Ok(header) => header,
            Err(HeaderFault::Newer(found)) => {
                return Err(Error::NewerVersion {
                    file: disk.path(Some(name)),
                    found,
                    known: VERSION,
                    hint: HINT_NEWER,
                });
            }
            Err(HeaderFault::Broken) => return Ok(Err("the run's header is not whole")),
        };
        if covered_by(name) != Some((header.first, header.end)) {
            return Ok(Err("the file is named by other sequences than it covers"));
        }
        let length = disk.length(name).map_err(failed(disk, "read", Some(name)))?;
        if length != header.file_bytes() {
            return Ok(Err("the file is not as long as its header says"));
        }
        // The length is that of a file that is there, so the room for its end is bounded by it.
        let end = header.page_offset(header.pages());
        let mut bytes = vec![0; usize::try_from(length - end).unwrap_or(FOOTER_BYTES)];
        let read = disk.read_at(name, end, &mut bytes).map_err(failed(disk, "read", Some(name)))?;
        let fences = header.decode_end(&bytes[..read]).ok_or("the run's fences or its footer are not whole");
        Ok(fences.map(|fences| Run { name: name.to_owned(), header, fences }))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.header.file_bytes()
    }

    /// Appends the sequences from `floor` on of requests that mention `term`, ascending, until `out` holds `most`.
    pub(crate) fn find<D: Disk>(
        &self,
        disk: &D,
        term: u64,
        floor: u64,
        most: usize,
        out: &mut Vec<u64>,
    ) -> Result<(), Error> {
        // The last page that begins before the term may end with it.
        let begun = self.fences.partition_point(|fence| *fence < term);
        let mut bytes = Vec::new();
        for page in begun.saturating_sub(1) as u64..self.header.pages() {
            if out.len() >= most || self.fences.get(page as usize).is_none_or(|fence| *fence > term) {
                break;
            }
            let records = self.read(disk, page, 1, &mut bytes)?;
            let records = self.page(disk, page, records)?;
            for record in (records.before(term)..records.len()).map_while(|index| records.record(index)) {
                if record.term != term || out.len() >= most {
                    return Ok(());
                }
                let sequence = self.header.base + u64::from(record.offset);
                if sequence >= floor {
                    out.push(sequence);
                }
            }
        }
        Ok(())
    }

    /// Reads these many pages, or those that there are.
    pub(crate) fn read<'a, D: Disk>(
        &self,
        disk: &D,
        page: u64,
        pages: u64,
        room: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], Error> {
        let pages = pages.min(self.header.pages() - page);
        room.resize(pages as usize * PAGE_BYTES, 0);
        let offset = self.header.page_offset(page);
        let read = disk.read_at(&self.name, offset, room).map_err(failed(disk, "read", Some(&self.name)))?;
        Ok(&room[..read])
    }

    /// The records of a page that was read.
    pub(crate) fn page<'a, D: Disk>(&self, disk: &D, page: u64, bytes: &'a [u8]) -> Result<Page<'a>, Error> {
        self.header.page(page, bytes).ok_or_else(|| Error::Damaged {
            file: disk.path(Some(&self.name)),
            offset: self.header.page_offset(page),
            what: "the checksum of a page is wrong",
            hint: HINT,
        })
    }
}

const HINT_NEWER: &str = "start the newer Truegreen again; or delete the folder of this file: the next start builds the \
     index anew from the log";

/// More pending bytes than this are handed to the disk.
const MOST_PENDING_BYTES: usize = 512 << 10;

/// A run that is being written.
#[derive(Debug)]
pub(crate) struct RunWriter {
    name: String,
    header: Header,
    fences: Vec<u64>,
    page: Vec<Record>,
    pending: Vec<u8>,
}

impl RunWriter {
    /// Begins the run that covers these sequences and will hold exactly these many records.
    pub(crate) fn create<D: Disk>(disk: &D, first: u64, end: u64, base: u64, records: u64) -> Result<RunWriter, Error> {
        let mut header = Header { first, end, base, records, seed: 0 };
        let pending = header.encode();
        let name = run_name(first, end);
        disk.create(&name).map_err(failed(disk, "create", Some(&name)))?;
        let page = Vec::with_capacity(PAGE_RECORDS);
        Ok(RunWriter { name, header, fences: Vec::with_capacity(header.pages() as usize), page, pending })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Adds the next record, in order.
    pub(crate) fn push<D: Disk>(&mut self, disk: &D, record: Record) -> Result<(), Error> {
        self.page.push(record);
        if self.page.len() == PAGE_RECORDS { self.close_page(disk) } else { Ok(()) }
    }

    fn close_page<D: Disk>(&mut self, disk: &D) -> Result<(), Error> {
        if let Some(first) = self.page.first() {
            let number = self.fences.len() as u64;
            self.fences.push(first.term);
            self.header.encode_page(number, &self.page, &mut self.pending);
            self.page.clear();
        }
        if self.pending.len() >= MOST_PENDING_BYTES { self.write(disk) } else { Ok(()) }
    }

    fn write<D: Disk>(&mut self, disk: &D) -> Result<(), Error> {
        disk.append(&self.name, &self.pending).map_err(failed(disk, "write", Some(&self.name)))?;
        self.pending.clear();
        Ok(())
    }

    /// Makes the run whole, and durable.
    pub(crate) fn finish<D: Disk>(mut self, disk: &D) -> Result<Run, Error> {
        self.close_page(disk)?;
        self.write(disk)?;
        // Pages first: a footer that outlived them in a crash would vouch for bytes that are not there.
        disk.sync(&self.name).map_err(failed(disk, "sync", Some(&self.name)))?;
        self.pending = self.header.encode_end(&self.fences);
        self.write(disk)?;
        disk.sync(&self.name).map_err(failed(disk, "sync", Some(&self.name)))?;
        disk.sync_names().map_err(failed(disk, "sync", None))?;
        Ok(Run { name: self.name, header: self.header, fences: self.fences })
    }
}
