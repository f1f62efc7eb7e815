//! Truegreen's own counters (INV-DROP-1), written as Prometheus text by [`crate::api`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use truegreen_model::report::CounterReport;
use truegreen_otlp::Signal;

/// A number that only grows.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// So many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters by a reason. Reasons are named in the source, so there are few of them.
#[derive(Default, Debug)]
pub struct ByReason(Mutex<BTreeMap<&'static str, u64>>);

impl ByReason {
    /// Adds `n` for this reason.
    pub fn add(&self, reason: &'static str, n: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += n;
    }

    /// All of them, by reason.
    pub fn get(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the process counts of itself, beside what the engine counts.
#[derive(Default, Debug)]
pub struct Metrics {
    /// Requests taken, by signal.
    pub accepted_requests: BySignal,
    /// Records in them, by signal.
    pub accepted_records: BySignal,
    /// Requests refused as a whole.
    pub refused_requests: ByReason,
    /// Single records refused in requests that were taken.
    pub refused_records: ByReason,
    /// Refused requests whose sender could not be read, so that no coverage gap could be opened.
    pub refused_without_sender: Counter,
    /// Connections that were closed unserved because too many were open.
    pub refused_connections: Counter,
    /// Changes that were taken.
    pub accepted_changes: Counter,
    /// Reports of changes that were refused, by reason.
    pub refused_changes: ByReason,
    /// Reports of what is no change, as a push to a side branch, by reason.
    pub ignored_changes: ByReason,
    /// Alert posts that were answered with success.
    pub alerts_sent: Counter,
    /// Attempts to post an alert that failed and will be made again.
    pub alert_retries: Counter,
    /// Alerts given up, by reason.
    pub alerts_dropped: ByReason,
    /// Diagnoses made.
    pub diagnoses: Counter,
    /// How long that took, all of them together, in milliseconds.
    pub diagnosis_millis: Counter,
    /// Diagnoses that were not made, or not in time, by reason.
    pub diagnoses_failed: ByReason,
    /// Batches of keys that systems were asked for, by what came of them.
    pub asked_batches: ByReason,
    /// Questions that could not be asked, or whose answer could not be written down at once, by reason.
    pub unasked: ByReason,
}

impl Metrics {
    /// Everything that was refused or given up, by reason.
    pub fn losses(&self) -> Vec<CounterReport> {
        let mut losses = Vec::new();
        let mut add = |name: &str, reason: &str, value| {
            losses.push(CounterReport { name: name.to_owned(), reason: reason.to_owned(), value });
        };
        for (name, by_reason) in [
            ("refused_requests", &self.refused_requests),
            ("refused_records", &self.refused_records),
            ("refused_changes", &self.refused_changes),
            ("alerts_dropped", &self.alerts_dropped),
            ("unasked_questions", &self.unasked),
            ("diagnoses_failed", &self.diagnoses_failed),
        ] {
            for (reason, value) in by_reason.get() {
                add(name, reason, value);
            }
        }
        add("refused_connections", "too_many", self.refused_connections.get());
        losses
    }
}

/// One counter for each signal.
#[derive(Default, Debug)]
pub struct BySignal([Counter; 3]);

impl BySignal {
    /// That of this signal.
    pub fn of(&self, signal: Signal) -> &Counter {
        &self.0[signal as usize]
    }
}

/// Prometheus' text format, written family by family.
#[derive(Default)]
pub struct Exposition(String);

impl Exposition {
    /// Starts a family: `kind` is `counter` or `gauge`.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.0.push_str(&format!("# HELP truegreen_{name} {help}\n# TYPE truegreen_{name} {kind}\n"));
    }

    /// Adds one sample of the family.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str("truegreen_");
        self.0.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            self.0.push_str(if n == 0 { "{" } else { "," });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.0.push_str(&format!(" {value}\n"));
    }

    /// Adds a family of one sample without labels.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// Adds a counter family with one label.
    pub fn by_label<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        samples: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        self.family(name, "counter", help);
        for (value, n) in samples {
            self.sample(name, &[(label, value)], n);
        }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Exposition;

    #[test]
    fn labels_from_outside_cannot_break_the_format() {
        let mut text = Exposition::default();
        text.family("books", "gauge", "Journeys.");
        text.sample("books", &[("flow", "a\"b\\c\nd"), ("state", "open")], 3);
        let expected = "# HELP truegreen_books Journeys.\n# TYPE truegreen_books gauge\n\
                        truegreen_books{flow=\"a\\\"b\\\\c\\nd\",state=\"open\"} 3\n";
        assert_eq!(text.finish(), expected);
    }
}
