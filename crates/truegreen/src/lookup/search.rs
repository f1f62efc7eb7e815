//! From what was asked for to the records that tell of it: which requests to read, in three rounds. First those that
//! carry the key or showed a step, then all of their traces, then the traces one link away. Every round is bounded,
//! and what a bound leaves out is told.

use std::collections::{BTreeMap, BTreeSet};

use truegreen_model::observation::Evidence;
use truegreen_model::passage::CutReport;
use truegreen_store::Entry;

use super::archive::Archive;
use super::scan::{Catch, Lens, Wanted, search};
use super::terms;

/// Most requests read for one answer.
const MAX_ENTRIES: usize = 128;
/// Most requests found by one term: those beyond what is read are counted.
const MAX_FOUND: usize = 1_000;
/// Most bytes of them, decompressed.
const MAX_BYTES: usize = 32 << 20;
/// Most traces that belong to what was asked for, and most that are one link away.
const MAX_TRACES: usize = 32;
/// Requests that are not indexed yet are read through if they are no more than these.
const MAX_TAIL: u64 = 64;

/// A look-up on its way.
#[derive(Default, Debug)]
pub(crate) struct Search {
    pub(crate) wanted: Wanted,
    pub(crate) catch: Catch,
    entries: BTreeMap<u64, Entry>,
    bytes: usize,
    /// Found, and not read since a bound was reached.
    unread: BTreeSet<u64>,
    /// Wanted, and no longer in the log.
    dropped: BTreeSet<u64>,
    untold_traces: BTreeSet<u128>,
    untold_linked: BTreeSet<u128>,
    /// Even more requests name it.
    more: bool,
    /// Requests that were not searched because the index is that far behind.
    pub(crate) behind: u64,
    /// Why something could not be read.
    pub(crate) faults: BTreeSet<String>,
}

impl Search {
    /// Wants what carries this key or message id.
    pub(crate) fn text(&mut self, text: &str) {
        let text = text.as_bytes();
        if !text.is_empty() && text.len() <= terms::MAX_TEXT_BYTES && !self.wanted.texts.iter().any(|own| own == text) {
            self.wanted.texts.push(text.to_vec());
        }
    }

    /// Wants this trace.
    pub(crate) fn trace(&mut self, id: u128) {
        if id != 0 {
            self.catch.traces.insert(id);
        }
    }

    /// Wants this record.
    pub(crate) fn evidence(&mut self, evidence: Evidence) {
        self.wanted.evidence.insert(evidence);
    }

    /// Reads what is wanted. May be called again once more is.
    pub(crate) fn run(&mut self, archive: &Archive, lens: &Lens) {
        self.adopt_traces();
        let tail = archive.unindexed();
        let behind = tail.end.saturating_sub(tail.start);
        // What showed the steps comes first, whatever is cut.
        let evidence = self.wanted.evidence.iter().map(|evidence| evidence.sequence).collect();
        self.read(archive, evidence);
        let mut sequences = BTreeSet::new();
        if behind <= MAX_TAIL {
            sequences.extend(tail);
            self.behind = 0;
        } else {
            self.behind = behind;
        }
        let texts: Vec<u64> = self.wanted.texts.iter().map(|text| terms::of_text(text)).collect();
        sequences.extend(self.find(archive, texts));
        sequences.extend(self.find(archive, self.wanted.traces.iter().map(|id| terms::of_trace(*id)).collect()));
        self.read(archive, sequences);
        self.scan(lens);

        let added = self.adopt_traces();
        if !added.is_empty() {
            let sequences = self.find(archive, added.into_iter().map(terms::of_trace).collect());
            self.read(archive, sequences);
            self.scan(lens);
        }
        let added = self.adopt_linked();
        if !added.is_empty() {
            let sequences = self.find(archive, added.into_iter().map(terms::of_trace).collect());
            self.read(archive, sequences);
            self.scan(lens);
        }
    }

    fn find(&mut self, archive: &Archive, terms: Vec<u64>) -> BTreeSet<u64> {
        let mut sequences = BTreeSet::new();
        for term in terms {
            match archive.find(term, MAX_FOUND) {
                Ok(found) => {
                    self.more |= found.is_cut;
                    sequences.extend(found.sequences);
                }
                Err(error) => drop(self.faults.insert(error.to_string())),
            }
        }
        sequences
    }

    fn read(&mut self, archive: &Archive, wanted: BTreeSet<u64>) {
        let mut missing: BTreeSet<u64> =
            wanted.into_iter().filter(|sequence| !self.entries.contains_key(sequence)).collect();
        // Each block is decompressed once, whatever of it is wanted.
        while let Some(first) = missing.pop_first() {
            if self.entries.len() >= MAX_ENTRIES || self.bytes >= MAX_BYTES {
                self.unread.insert(first);
                self.unread.append(&mut missing);
                return;
            }
            let block = match archive.block(first) {
                Ok(block) => block,
                Err(error) => {
                    self.faults.insert(error.to_string());
                    continue;
                }
            };
            if block.is_empty() {
                self.dropped.insert(first);
            }
            for entry in block {
                if entry.sequence == first || missing.remove(&entry.sequence) {
                    self.bytes += entry.body.len();
                    self.unread.remove(&entry.sequence);
                    self.entries.insert(entry.sequence, entry);
                }
            }
        }
    }

    fn scan(&mut self, lens: &Lens) {
        for entry in self.entries.values() {
            search(entry, &self.wanted, lens, &mut self.catch);
        }
    }

    /// Takes the traces that were come upon into those that are wanted, as many as may be; gives the new ones.
    fn adopt_traces(&mut self) -> Vec<u128> {
        let come_upon = std::mem::take(&mut self.catch.traces);
        adopt(come_upon, &mut self.wanted.traces, &mut self.untold_traces)
    }

    fn adopt_linked(&mut self) -> Vec<u128> {
        let mut come_upon = std::mem::take(&mut self.catch.linked);
        come_upon.retain(|id| *id != 0 && self.wanted.traces.binary_search(id).is_err());
        adopt(come_upon, &mut self.wanted.linked, &mut self.untold_linked)
    }

    /// What the bounds left out.
    pub(crate) fn cuts(&self) -> Vec<CutReport> {
        let (entries, mib) = (MAX_ENTRIES, MAX_BYTES >> 20);
        let collected = super::scan::MAX_COLLECTED;
        let counted = [
            (
                "requests",
                self.unread.len() + usize::from(self.more),
                format!("one answer reads {entries} requests or {mib} MiB at the most"),
            ),
            ("dropped_requests", self.dropped.len(), "they are no longer in the log (`data.max_age`)".to_owned()),
            ("traces", self.untold_traces.len(), format!("one answer follows {MAX_TRACES} traces at the most")),
            ("linked_traces", self.untold_linked.len(), format!("one answer follows {MAX_TRACES} links at the most")),
            ("records", self.catch.surplus.len(), format!("one answer collects {collected} of each kind at the most")),
        ];
        let cut = counted.into_iter().filter(|(_, count, _)| *count > 0);
        cut.map(|(what, count, why)| CutReport { what: what.to_owned(), count: count as u64, why }).collect()
    }
}

fn adopt(come_upon: BTreeSet<u128>, into: &mut Vec<u128>, untold: &mut BTreeSet<u128>) -> Vec<u128> {
    let mut added = Vec::new();
    for id in come_upon {
        let Err(at) = into.binary_search(&id) else { continue };
        if into.len() >= MAX_TRACES {
            untold.insert(id);
        } else {
            into.insert(at, id);
            added.push(id);
        }
    }
    added
}
