//! One finding that is not closed: how it grows, and what it takes to close it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::{Finding, FindingKind, FindingStatus};
use truegreen_model::time::Timestamp;

use super::books::FlowBooks;
use crate::ledger::event::Line;
use crate::matcher::Matcher;
use crate::matcher::plan::Plan;

const MAX_EXAMPLES: usize = 20;
/// Without a new deviation for so long a finding is quiet rather than open.
const QUIET_AFTER: Duration = Duration::from_secs(60);

/// Around a journey that moved.
#[derive(Clone, Copy)]
pub(super) struct Context<'c> {
    pub(super) matcher: &'c Matcher,
    /// The version that the journey is of.
    pub(super) plan: &'c Plan,
    pub(super) books: &'c FlowBooks,
    pub(super) key: &'c str,
    pub(super) now: Timestamp,
}

/// A finding that is not closed, with what it takes to close it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) finding: Finding,
    /// Failing share at the last deviation.
    share: f64,
    /// The latest entry of a journey that deviated.
    pub(super) latest_entry: Timestamp,
    completed_since_onset: u64,
    completed_since_last: u64,
}

impl Case {
    /// `effects_found`: since the last time that one was missing.
    pub(super) fn new(finding: Finding, books: &FlowBooks, effects_found: u64) -> Self {
        // By the time the first deviation is known, later journeys have long completed: they tell how rare it is. Effects are
        // asked for one by one, and only those that were found before do.
        let completed_since_onset = completed_since(&finding, books).unwrap_or(effects_found);
        let latest_entry = finding.onset;
        Case { finding, share: 1.0, latest_entry, completed_since_onset, completed_since_last: 0 }
    }

    /// One more journey deviates.
    pub(super) fn deviate(&mut self, context: &Context<'_>, line: &Line) {
        let finding = &mut self.finding;
        finding.count += 1;
        finding.last_seen = context.now;
        if line.entered_at < finding.onset {
            finding.onset = line.entered_at;
            self.completed_since_onset = completed_since(finding, context.books).unwrap_or(self.completed_since_onset);
        }
        if finding.examples.len() < MAX_EXAMPLES {
            finding.examples.push(context.key.to_owned());
        }
        self.latest_entry = self.latest_entry.max(line.entered_at);
        self.completed_since_last = 0;
        self.share = finding.count as f64 / (finding.count + self.completed_since_onset) as f64;
    }

    /// True if enough completed since the last deviation.
    pub(super) fn complete(&mut self, line: &Line) -> bool {
        if line.entered_at >= self.finding.onset {
            self.completed_since_onset += 1;
        }
        if line.entered_at > self.latest_entry {
            self.completed_since_last += 1;
        }
        // A journey that fails with share p is missed by 3/p completed ones in a row once in twenty times.
        self.completed_since_last as f64 >= (3.0 / self.share).ceil().max(3.0)
    }

    /// As it stands at `now`.
    pub(super) fn as_of(&self, now: Timestamp) -> Finding {
        let is_quiet = now >= self.finding.last_seen + QUIET_AFTER;
        let status = if is_quiet { FindingStatus::Quiet } else { FindingStatus::Open };
        Finding { status, ..self.finding.clone() }
    }
}

/// How many fared well since the onset; none where that is not known of all of them, since only some are asked for.
fn completed_since(finding: &Finding, books: &FlowBooks) -> Option<u64> {
    (finding.kind != FindingKind::EffectMissing).then(|| books.completed_since(finding.onset.minute()))
}
