//! What the log holds of the requests that are compared, and some of what was there before them.

use std::collections::BTreeSet;

use truegreen_engine::cases::{Case, Cases};
use truegreen_engine::explain::recording::{Recorder, Recording};
use truegreen_model::passage::CutReport;
use truegreen_model::time::Timestamp;
use truegreen_otlp::Signal;
use truegreen_store::{Entry, Kind};

use crate::lookup::archive::Archive;
use crate::lookup::terms;

/// Most bytes of requests, decompressed, read for those that are compared; for what was before them; and for all that was
/// received before it began, and since.
const MAX_BYTES: usize = 48 << 20;
const MAX_BYTES_BEFORE: usize = 16 << 20;
const MAX_BYTES_STRETCH: usize = 8 << 20;
/// Of these, so many for traces that the compared ones link to.
const MAX_BYTES_LINKED: usize = 16 << 20;
/// Most requests that are read of one trace: who sends a span at a time sends many.
const MAX_OF_TRACE: usize = 64;

/// Telemetry, and what is missing of it.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) recording: Recording,
    /// All of some time before the onset and since.
    pub(super) stretch: Recording,
    pub(super) cut: Vec<CutReport>,
}

/// Reads it. Failing and healthy ones in turn, so that neither is left out where a bound is reached.
pub(super) fn gather(cases: &Cases, onset: Timestamp, archive: Option<&Archive>) -> Gathered {
    let Some(archive) = archive else {
        let why = "nothing is kept: `data` names no folder".to_owned();
        let cut = vec![CutReport { what: "requests".to_owned(), count: cases.failing.offered(), why }];
        return Gathered { cut, ..Gathered::default() };
    };
    let mut reading = Reading::of(archive);
    let (mut failing, mut healthy) = (cases.failing.cases(), cases.healthy.cases());
    let mut unread = 0;
    loop {
        let (one, other) = (failing.next(), healthy.next());
        if one.is_none() && other.is_none() {
            break;
        }
        for case in one.into_iter().chain(other) {
            match reading.bytes < MAX_BYTES - MAX_BYTES_LINKED {
                true => reading.case(case),
                false => unread += 1,
            }
        }
    }
    reading.linked(cases);
    reading.before();
    let mut cut = Vec::new();
    if unread > 0 {
        let why = format!("one diagnosis reads {} MiB at the most", MAX_BYTES >> 20);
        cut.push(CutReport { what: "cases".to_owned(), count: unread, why });
    }
    Gathered { recording: reading.recorder.finish(), stretch: stretch(archive, onset), cut }
}

/// Everything that was received right before this time and right after it. Of what cannot be read the look-up and /readyz tell.
fn stretch(archive: &Archive, onset: Timestamp) -> Recording {
    let mut reading = Reading::of(archive);
    let Ok(middle) = archive.since(onset) else { return Recording::default() };
    reading.back_from(middle, MAX_BYTES_STRETCH);
    reading.on_from(middle, MAX_BYTES_STRETCH);
    reading.recorder.finish()
}

struct Reading<'a> {
    archive: &'a Archive,
    recorder: Recorder,
    read: BTreeSet<u64>,
    bytes: usize,
}

impl<'a> Reading<'a> {
    fn of(archive: &'a Archive) -> Reading<'a> {
        Reading { archive, recorder: Recorder::default(), read: BTreeSet::new(), bytes: 0 }
    }

    fn case(&mut self, case: &Case) {
        let mut wanted: BTreeSet<u64> = case.evidence.iter().map(|evidence| evidence.sequence).collect();
        wanted.extend(self.archive.unindexed().take(MAX_OF_TRACE));
        wanted.extend(case.traces.iter().flat_map(|trace| self.of_trace(*trace)));
        wanted.into_iter().for_each(|sequence| self.request(sequence));
    }

    /// A log that cannot be read is told by the look-up and by /readyz; here what is there is compared.
    fn of_trace(&self, trace: u128) -> Vec<u64> {
        let found = self.archive.find(terms::of_trace(trace), MAX_OF_TRACE);
        found.map(|found| found.sequences).unwrap_or_default()
    }

    /// What a consumer works on was often begun in another trace, which its own links to.
    fn linked(&mut self, cases: &Cases) {
        let both = cases.failing.cases().chain(cases.healthy.cases());
        let own: BTreeSet<u128> = both.flat_map(|case| &case.traces).copied().collect();
        let most = self.bytes + MAX_BYTES_LINKED;
        for trace in self.recorder.linked(&own) {
            if self.bytes >= most {
                return;
            }
            self.of_trace(trace).into_iter().for_each(|sequence| self.request(sequence));
        }
    }

    /// Its whole block is decompressed anyway; so all of it is taken.
    fn request(&mut self, sequence: u64) {
        if self.read.contains(&sequence) {
            return;
        }
        for entry in self.archive.block(sequence).unwrap_or_default() {
            self.take(&entry);
        }
        self.read.insert(sequence);
    }

    fn take(&mut self, entry: &Entry) {
        if !self.read.insert(entry.sequence) {
            return;
        }
        let signal = match entry.kind {
            Kind::Traces => Signal::Traces,
            Kind::Logs => Signal::Logs,
            _ => return,
        };
        self.bytes += entry.body.len();
        self.recorder.take_accepted(signal, &entry.body, entry.received_at, entry.sequence);
    }

    /// What was received right before the first of them: what is new since then is a change.
    fn before(&mut self) {
        let Some(first) = self.read.first().copied() else { return };
        self.back_from(first, MAX_BYTES_BEFORE);
    }

    fn back_from(&mut self, mut sequence: u64, mut left: usize) {
        while sequence > 1 && left > 0 {
            let block = self.archive.block(sequence - 1).unwrap_or_default();
            let Some(first) = block.first().map(|entry| entry.sequence).filter(|first| *first < sequence) else {
                return;
            };
            left = left.saturating_sub(self.block(&block));
            sequence = first;
        }
    }

    fn on_from(&mut self, mut sequence: u64, mut left: usize) {
        while left > 0 {
            let block = self.archive.block(sequence).unwrap_or_default();
            let Some(last) = block.last().map(|entry| entry.sequence).filter(|last| *last >= sequence) else { return };
            left = left.saturating_sub(self.block(&block));
            sequence = last + 1;
        }
    }

    /// All of it. How many bytes were read for it, metrics among them, of which there may be many before anything of use.
    fn block(&mut self, block: &[Entry]) -> usize {
        block.iter().for_each(|entry| self.take(entry));
        block.iter().map(|entry| entry.body.len()).sum()
    }
}
