//! Whose a record is: by its own key, else by what is known of its trace. Judged as of each moment at which something
//! of that became known; the first moment that tells a key decides, whatever comes later.

use std::collections::BTreeSet;
use std::time::Duration;

use truegreen_model::flow::{Flow, Key};
use truegreen_model::time::Timestamp;

use super::reading::Record;
use crate::telemetry::SpanRef;

/// So long a record waits for ancestors and for what it links to, before the only key of its trace counts.
const HOLD: Duration = Duration::from_secs(5);
/// Time is looked at so often.
const TICK: u64 = 100_000_000;
/// How far up ancestors are looked for, and how far links lead.
const ANCESTORS: usize = 64;
const LINKS: usize = 4;

/// Its keys, each with the time since when it is known; several where it links to several.
pub(super) fn keys(flow: &Flow, record: &Record, all: &[Record]) -> BTreeSet<(String, Timestamp)> {
    let place = record.place.or(record.parent);
    if flow.key == Key::TraceId {
        return place.map(|place| (format!("{:032x}", place.trace), record.received_at)).into_iter().collect();
    }
    if let Some(key) = own_key(flow, record) {
        return BTreeSet::from([(key, record.received_at)]);
    }
    let Some(place) = place else { return BTreeSet::new() };
    // A batch is one for each of what it links to.
    let alternatives: Vec<&[SpanRef]> =
        if record.links.len() < 2 { vec![record.links] } else { record.links.chunks(1).collect() };
    let held_until = Timestamp((record.received_at + HOLD).0.div_ceil(TICK) * TICK);
    let related = related(record, place.trace, all);
    let mut moments: Vec<Timestamp> = related.iter().map(|other| other.received_at).collect();
    moments.extend([record.received_at, held_until]);
    moments.retain(|moment| *moment >= record.received_at);
    moments.sort();
    moments.dedup();
    let bound = |links: &[SpanRef]| {
        moments.iter().find_map(|&moment| {
            let known =
                Known { flow, records: related.iter().copied().filter(|other| other.received_at <= moment).collect() };
            match known.search(record.parent, place.trace, links, moment < held_until) {
                Search::Found(key) => Some(Some((key, moment))),
                Search::Ambiguous => Some(None),
                Search::NotYet => None,
            }
        })
    };
    alternatives.into_iter().filter_map(bound).flatten().collect()
}

/// Records of its trace, and of all that links lead to from there: no other can tell whose it is.
fn related<'r>(record: &Record, trace: u128, all: &'r [Record<'r>]) -> Vec<&'r Record<'r>> {
    let mut traces: BTreeSet<u128> = record.links.iter().map(|link| link.trace).chain([trace]).collect();
    loop {
        let of_traces = |other: &&Record| other.place.or(other.parent).is_some_and(|at| traces.contains(&at.trace));
        let related: Vec<&Record> = all.iter().filter(of_traces).collect();
        let further: BTreeSet<u128> = related.iter().flat_map(|other| other.links).map(|link| link.trace).collect();
        if further.is_subset(&traces) {
            return related;
        }
        traces.extend(further);
    }
}

fn own_key(flow: &Flow, record: &Record) -> Option<String> {
    let Key::Attributes(names) = &flow.key else { return None };
    names.iter().find_map(|name| record.attributes.get(name)?.first().cloned())
}

enum Search {
    Found(String),
    NotYet,
    /// It is nobody's, for ever.
    Ambiguous,
}

/// What is known at some moment.
struct Known<'k> {
    flow: &'k Flow,
    records: Vec<&'k Record<'k>>,
}

/// What was met on the way up.
#[derive(Default)]
struct Climb {
    key: Option<String>,
    /// Of the nearest ancestor that has any.
    links: Vec<SpanRef>,
    reached_root: bool,
}

impl Known<'_> {
    /// The nearest ancestor's key; else that of what it links to, or its nearest ancestor that links; else the only one
    /// of its trace. `patient`: an ancestor, or another link, may still come.
    fn search(&self, parent: Option<SpanRef>, trace: u128, links: &[SpanRef], patient: bool) -> Search {
        let climb = self.climb(parent);
        if let Some(key) = climb.key {
            return Search::Found(key);
        }
        let links = if links.is_empty() { &climb.links } else { links };
        let linked: BTreeSet<String> = links.iter().filter_map(|link| self.linked(*link, LINKS)).collect();
        let waits = patient && !(climb.reached_root && links.is_empty());
        match linked.len() {
            1 => linked.into_iter().next().map_or(Search::NotYet, Search::Found),
            2.. if patient => Search::NotYet,
            2.. => Search::Ambiguous,
            0 if waits => Search::NotYet,
            0 => match self.keys_of(|span| span.trace == trace) {
                keys if keys.len() == 1 => keys.into_iter().next().map_or(Search::NotYet, Search::Found),
                keys if keys.is_empty() || patient => Search::NotYet,
                _ => Search::Ambiguous,
            },
        }
    }

    fn linked(&self, link: SpanRef, further: usize) -> Option<String> {
        let climb = self.climb(Some(link));
        let by_links = || {
            let mut links = climb.links.iter().filter(|_| further > 0);
            links.find_map(|link| self.linked(*link, further - 1))
        };
        climb.key.clone().or_else(by_links).or_else(|| only(self.keys_of(|span| span.trace == link.trace)))
    }

    fn climb(&self, mut span: Option<SpanRef>) -> Climb {
        let mut climb = Climb::default();
        for _ in 0..ANCESTORS {
            let Some(at) = span else {
                climb.reached_root = true;
                break;
            };
            climb.key = only(self.keys_of(|span| span == at));
            if climb.key.is_some() {
                break;
            }
            let Some(ancestor) = self.records.iter().find(|record| record.place == Some(at)) else { break };
            if climb.links.is_empty() {
                climb.links = ancestor.links.to_vec();
            }
            span = ancestor.parent;
        }
        climb
    }

    /// Keys that are carried there; a log record speaks for the span it was written in.
    fn keys_of(&self, is_there: impl Fn(SpanRef) -> bool) -> BTreeSet<String> {
        let there = self.records.iter().filter(|record| record.place.or(record.parent).is_some_and(&is_there));
        there.filter_map(|record| own_key(self.flow, record)).collect()
    }
}

/// A span that carries several is a batch, which says nothing of which is meant.
fn only(keys: BTreeSet<String>) -> Option<String> {
    if keys.len() == 1 { keys.into_iter().next() } else { None }
}
