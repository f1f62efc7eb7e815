//! Failing and healthy requests, each with its traces. `table`: what was known of each, to be compared; `way`: where they went.

mod table;
mod way;

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use truegreen_model::observation::Evidence;

use super::recording::{Recording, Span};
use crate::cases::{Case, Cases};

/// Most traces that one is linked to which still belongs to each of them.
const MAX_LINKED: usize = 16;

/// Where a finding about a place is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    pub(super) service: Option<&'p str>,
    pub(super) operation: Option<&'p str>,
    /// What is found is that it comes a second time.
    pub(super) comes_again: bool,
}

/// One request or journey, with where its traces stand in the recording.
#[derive(Clone, Debug)]
pub(super) struct Row<'c> {
    pub(super) case: &'c Case,
    pub(super) is_failing: bool,
    /// Where in [`Recording::traces`] its traces stand, those it is linked to included.
    pub(super) traces: Vec<u32>,
    /// Nothing that began from here on, in nanoseconds since 1970, is looked at.
    until: u64,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Rows<'c> {
    recording: &'c Recording,
    pub(super) rows: Vec<Row<'c>>,
}

impl<'c> Rows<'c> {
    /// Of the cases of a finding about this service and operation, or about the step of a flow. Cases of which nothing was
    /// recorded are left out.
    pub(super) fn of(cases: &'c Cases, place: &Place<'_>, recording: &'c Recording) -> Rows<'c> {
        let numbers: HashMap<u128, u32, FixedState> =
            recording.traces().iter().enumerate().map(|(n, trace)| (trace.id, n as u32)).collect();
        let linked = linked(recording, &numbers);
        let starts: HashMap<Evidence, u64, FixedState> = records(recording).collect();
        let mut rows = Vec::new();
        let sides = [(&cases.failing, true), (&cases.healthy, false)];
        for (case, is_failing) in sides.into_iter().flat_map(|(of, is)| of.cases().map(move |case| (case, is))) {
            let own: Vec<u32> = case.traces.iter().filter_map(|id| numbers.get(id).copied()).collect();
            let mut traces = own.clone();
            let others = own.iter().filter_map(|own| linked.get(own)).flatten();
            // Who takes a batch links to many: what it does is of all of them, and tells them apart by nothing.
            traces.extend(others.filter(|other| linked.get(other).is_none_or(|of| of.len() <= MAX_LINKED)));
            traces.sort_unstable();
            traces.dedup();
            if traces.is_empty() {
                continue;
            }
            let until = case.went_on.and_then(|evidence| starts.get(&evidence).copied()).unwrap_or(u64::MAX);
            let until = until.min(passed(recording, &traces, place));
            rows.push(Row { case, is_failing, traces, until });
        }
        Rows { recording, rows }
    }

    /// How many there are of one side.
    pub(super) fn count(&self, is_failing: bool) -> u64 {
        self.rows.iter().filter(|row| row.is_failing == is_failing).count() as u64
    }

    fn spans<'r>(&'r self, row: &'r Row<'_>) -> impl Iterator<Item = &'r Span> {
        let traces = row.traces.iter().filter_map(|at| self.recording.traces().get(*at as usize));
        traces.flat_map(|trace| self.recording.spans_of(trace)).filter(|span| span.start < row.until)
    }
}

/// When the last span of this place ended: what began after that is a consequence of how it went. What comes again after it
/// went well is preceded by consequences of the first time.
fn passed(recording: &Recording, traces: &[u32], place: &Place<'_>) -> u64 {
    let Place { service: Some(service), operation: Some(operation), comes_again } = *place else { return u64::MAX };
    let spans =
        traces.iter().filter_map(|at| recording.traces().get(*at as usize)).flat_map(|trace| recording.spans_of(trace));
    let at_place =
        spans.filter(|span| recording.text(span.service) == service && recording.text(span.name) == operation);
    let ends = at_place.map(|span| span.end.saturating_add(1));
    if comes_again { ends.min() } else { ends.max() }.unwrap_or(u64::MAX)
}

fn records(recording: &Recording) -> impl Iterator<Item = (Evidence, u64)> + '_ {
    let spans = recording.spans().iter().filter_map(|span| Some((span.evidence?, span.start)));
    spans.chain(recording.logs().iter().filter_map(|log| Some((log.evidence?, log.time))))
}

/// Traces that link to each other, by where they stand.
fn linked(recording: &Recording, numbers: &HashMap<u128, u32, FixedState>) -> BTreeMap<u32, BTreeSet<u32>> {
    let mut linked: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for span in recording.spans() {
        for link in recording.links(span) {
            if let (Some(own), Some(other)) = (numbers.get(&span.trace), numbers.get(&link.trace)) {
                linked.entry(*own).or_default().insert(*other);
                linked.entry(*other).or_default().insert(*own);
            }
        }
    }
    linked
}
