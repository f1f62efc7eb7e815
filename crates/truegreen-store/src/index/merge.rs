//! Which runs are put together, and how: streaming, in slices, so that whoever waits is soon served.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

use super::format::Record;
use super::run::{Run, RunWriter};
use crate::embedded::disk::Disk;
use crate::error::Error;

/// So many runs of like size become one.
const FAN_IN: usize = 4;
/// So many neighbours become one whatever their sizes.
const MOST_NEIGHBOURS: usize = 16;
/// How many pages of each run are read at once.
const READ_PAGES: u64 = 16;

/// What the choice looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Size {
    pub(crate) records: u64,
    pub(crate) first: u64,
    pub(crate) end: u64,
}

impl Size {
    fn class(self) -> u32 {
        self.records.max(1).ilog2() / 2
    }
}

/// The neighbours to be merged next, oldest first; none where all is well. None of them has `full` records, and
/// together they have at most twice as many.
pub(crate) fn due(runs: &[Size], full: u64) -> Option<Range<usize>> {
    let most_class = Size { records: full, first: 0, end: 0 }.class();
    (0..=most_class).find_map(|class| {
        stretches(runs, |run| run.class() <= class && run.records < full).find_map(|stretch| {
            let alike = runs[stretch.clone()].iter().filter(|run| run.class() == class).count();
            let many = alike >= FAN_IN || stretch.len() >= MOST_NEIGHBOURS;
            if many { fitting(runs, stretch, full) } else { None }
        })
    })
}

/// The first neighbours that can be merged at all; none where merging gains nothing more.
pub(crate) fn mergeable(runs: &[Size], full: u64) -> Option<Range<usize>> {
    stretches(runs, |run| run.records < full).find_map(|stretch| fitting(runs, stretch, full))
}

/// The longest ranges of neighbours that are all `wanted`.
fn stretches(runs: &[Size], wanted: impl Fn(Size) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let start = next + runs[next..].iter().position(|run| wanted(*run))?;
        let length = runs[start..].iter().take_while(|run| wanted(**run)).count();
        next = start + length;
        Some(start..next)
    })
}

/// The first of these that together stay within what one run holds.
fn fitting(runs: &[Size], stretch: Range<usize>, full: u64) -> Option<Range<usize>> {
    let start = stretch.start;
    let mut records = 0;
    let fits = runs[stretch].iter().take_while(|run| {
        records += run.records;
        records <= full.saturating_mul(2) && u32::try_from(run.end - runs[start].first).is_ok()
    });
    let length = fits.take(MOST_NEIGHBOURS).count();
    (length >= 2).then_some(start..start + length)
}

/// A merge that is under way.
#[derive(Debug)]
pub(crate) struct Merge {
    pub(crate) inputs: Vec<Arc<Run>>,
    sources: Vec<Source>,
    /// The next record of each source that has one.
    heap: BinaryHeap<Reverse<(Record, usize)>>,
    writer: RunWriter,
}

impl Merge {
    /// Begins to merge neighbours, at least one.
    pub(crate) fn begin<D: Disk>(disk: &D, inputs: Vec<Arc<Run>>) -> Result<Option<Merge>, Error> {
        let (Some(oldest), Some(newest)) = (inputs.first(), inputs.last()) else { return Ok(None) };
        let (first, end, base) = (oldest.header.first, newest.header.end, oldest.header.base);
        let records = inputs.iter().map(|run| run.header.records).sum();
        let writer = RunWriter::create(disk, first, end, base, records)?;
        let sources = inputs.iter().map(|run| Source::new(run, base)).collect();
        let mut merge = Merge { inputs, sources, heap: BinaryHeap::new(), writer };
        for index in 0..merge.sources.len() {
            merge.heap.extend(merge.sources[index].next(disk)?.map(|record| Reverse((record, index))));
        }
        Ok(Some(merge))
    }

    /// The file that is written.
    pub(crate) fn name(&self) -> &str {
        self.writer.name()
    }

    /// Takes these many records on at the most; true at the end of all.
    pub(crate) fn step<D: Disk>(&mut self, disk: &D, records: usize) -> Result<bool, Error> {
        for _ in 0..records {
            let Some(mut top) = self.heap.peek_mut() else { return Ok(true) };
            let Reverse((record, index)) = *top;
            self.writer.push(disk, record)?;
            match self.sources[index].next(disk)? {
                Some(next) => *top = Reverse((next, index)),
                None => drop(std::collections::binary_heap::PeekMut::pop(top)),
            }
        }
        Ok(false)
    }

    /// Makes the merged run whole, and durable.
    pub(crate) fn finish<D: Disk>(self, disk: &D) -> Result<Run, Error> {
        self.writer.finish(disk)
    }
}

/// The records of one run in order, a few pages in memory.
#[derive(Debug)]
struct Source {
    run: Arc<Run>,
    /// What is added to the offsets of its records.
    shift: u32,
    next_page: u64,
    bytes: Vec<u8>,
    /// Last first.
    records: Vec<Record>,
}

impl Source {
    fn new(run: &Arc<Run>, base: u64) -> Source {
        // Both bases lie in the merged run, whose offsets are 32 bits wide.
        let shift = (run.header.base - base) as u32;
        Source { run: Arc::clone(run), shift, next_page: 0, bytes: Vec::new(), records: Vec::new() }
    }

    fn next<D: Disk>(&mut self, disk: &D) -> Result<Option<Record>, Error> {
        if self.records.is_empty() {
            self.load(disk)?;
        }
        Ok(self.records.pop())
    }

    fn load<D: Disk>(&mut self, disk: &D) -> Result<(), Error> {
        let pages = READ_PAGES.min(self.run.header.pages() - self.next_page);
        if pages == 0 {
            return Ok(());
        }
        let bytes = self.run.read(disk, self.next_page, pages, &mut self.bytes)?;
        for number in 0..pages {
            let bytes = bytes.get(number as usize * super::format::PAGE_BYTES..).unwrap_or_default();
            let page = self.run.page(disk, self.next_page + number, bytes)?;
            let records = (0..page.len()).filter_map(|index| page.record(index));
            self.records.extend(records.map(|record| Record { offset: record.offset + self.shift, ..record }));
        }
        self.records.reverse();
        self.next_page += pages;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of these sizes come one after the other, and what is due is done at once.
    fn after(sizes: impl IntoIterator<Item = u64>, full: u64) -> (Vec<u64>, u64) {
        let (mut runs, mut next, mut written): (Vec<Size>, u64, u64) = (Vec::new(), 0, 0);
        for records in sizes {
            runs.push(Size { records, first: next, end: next + 1 });
            next += 1;
            while let Some(range) = due(&runs, full) {
                let records = runs[range.clone()].iter().map(|run| run.records).sum();
                let merged = Size { records, first: runs[range.start].first, end: runs[range.end - 1].end };
                written += records;
                runs.splice(range, [merged]);
            }
        }
        (runs.iter().map(|run| run.records).collect(), written)
    }

    #[test]
    fn runs_stay_few_and_a_record_is_rewritten_seldom() {
        let (runs, written) = after(std::iter::repeat_n(1000, 400), 16_000);
        assert!(runs.len() <= 400_000 / 16_000 + 9, "{runs:?}");
        assert!(written <= 400_000 * 3, "each record {} times", written / 400_000);
        let mut random = fastrand::Rng::with_seed(1);
        let mixed: Vec<u64> = (0..2000).map(|_| random.u64(1..1000)).collect();
        let total: u64 = mixed.iter().sum();
        let (runs, written) = after(mixed, 100_000);
        assert!(runs.len() as u64 <= total / 100_000 + 40, "{runs:?}");
        assert!(written <= total * 8, "{written} of {total}");
        assert!(runs.iter().all(|records| *records <= 200_000));
    }

    #[test]
    fn no_run_covers_more_sequences_than_offsets_can_tell() {
        let run = |first: u64| Size { records: 1, first, end: first + (1 << 31) };
        let runs = [run(0), run(1 << 31), run(1 << 32), run(3 << 31)];
        assert_eq!(due(&runs, 1000), None);
        assert_eq!(due(&[runs[0], Size { end: u64::from(u32::MAX), ..runs[1] }, runs[2], runs[3]], 1000), Some(0..2));
    }
}
