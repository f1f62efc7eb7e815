//! More, fewer or other requests than before, where a recording holds all of them.

use std::collections::BTreeMap;

use statrs::distribution::{ChiSquared, ContinuousCDF};
use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;
use truegreen_otlp::SpanKind;

use super::shift::{Shift, shift};
use super::stretches::Stretches;
use super::{WRONG, seen};
use crate::explain::recording::{Name, Recording};

/// A service and what it is asked for.
type Entry = (Name, Name);

/// Fewer requests before or after tell no mix.
const LEAST_REQUESTS: usize = 20;
/// Requests come in bursts: as much as a tenth of all must be others than before.
const LEAST_MOVED: f64 = 0.1;

/// Requests from outside, by what they ask for.
pub(super) struct Requests<'r> {
    recording: &'r Recording,
    stretches: &'r Stretches,
    /// When each began.
    entries: BTreeMap<Entry, Vec<u64>>,
}

impl<'r> Requests<'r> {
    pub(super) fn of(recording: &'r Recording, stretches: &'r Stretches) -> Requests<'r> {
        let mut entries: BTreeMap<Entry, Vec<u64>> = BTreeMap::new();
        for span in recording.spans().iter().filter(|span| span.parent_id == 0) {
            // A message was sent by somebody whose requests are counted.
            let comes_in = !matches!(span.kind, SpanKind::Client | SpanKind::Producer | SpanKind::Consumer);
            if comes_in && stretches.at(span.start).is_some() {
                entries.entry((span.service, span.operation)).or_default().push(span.start);
            }
        }
        Requests { recording, stretches, entries }
    }

    fn name(&self, (service, operation): Entry) -> (&'r str, &'r str) {
        (self.recording.text(service), self.recording.text(operation))
    }

    /// Those that shifted.
    pub(super) fn shifts(&self) -> Vec<Change> {
        let wrong = WRONG / (2.0 * self.entries.len().max(1) as f64);
        self.entries.iter().filter_map(|(entry, times)| self.shift(self.name(*entry), times, wrong)).collect()
    }

    fn shift(&self, (service, operation): (&str, &str), times: &[u64], wrong: f64) -> Option<Change> {
        let mut counts = vec![0_u64; self.stretches.all().end as usize];
        times.iter().filter_map(|time| self.stretches.at(*time)).for_each(|at| counts[at as usize] += 1);
        let Shift { word, at, before, after, p } = shift(&counts, wrong)?;
        let rate = |count: f64| count * 60e9 / self.stretches.length as f64;
        let (before, after) = (rate(before), rate(after));
        let title = format!("{word} requests of {operation} to {service}: {after:.0} a minute, {before:.0} before");
        Some(seen(ChangeKind::Traffic, self.stretches.time(at as i64), Some(service), title, 1.0 - p))
    }

    /// Other requests than before: a G-test of what is asked for against before and after.
    pub(super) fn mix(&self, onset: Timestamp) -> Option<Change> {
        struct Row {
            entry: Entry,
            before: f64,
            after: f64,
        }
        let row = |(entry, times): (&Entry, &Vec<u64>)| {
            let before = times.iter().filter(|at| **at < onset.0).count();
            Row { entry: *entry, before: before as f64, after: (times.len() - before) as f64 }
        };
        let rows: Vec<Row> = self.entries.iter().map(row).collect();
        let (before, after) = rows.iter().fold((0.0, 0.0), |sum, row| (sum.0 + row.before, sum.1 + row.after));
        if rows.len() < 2 || before < LEAST_REQUESTS as f64 || after < LEAST_REQUESTS as f64 {
            return None;
        }
        let part = |seen: f64, expected: f64| if seen > 0.0 { seen * (seen / expected).ln() } else { 0.0 };
        let of_row = |row: &Row| {
            let all = (row.before + row.after) / (before + after);
            2.0 * (part(row.before, all * before) + part(row.after, all * after))
        };
        let p = ChiSquared::new((rows.len() - 1) as f64).ok()?.sf(rows.iter().map(of_row).sum());
        let moved = |row: &Row| (row.after / after - row.before / before).abs();
        if p > WRONG || rows.iter().map(moved).sum::<f64>() / 2.0 < LEAST_MOVED {
            return None;
        }
        let most = rows.iter().max_by(|a, b| moved(a).total_cmp(&moved(b)))?;
        let (service, operation) = self.name(most.entry);
        let title = format!(
            "the mix of requests: {operation} to {service} is {:.0} % of them, {:.0} % before",
            most.after / after * 100.0,
            most.before / before * 100.0
        );
        Some(seen(ChangeKind::Traffic, onset.0, Some(service), title, 1.0 - p))
    }
}
