//! The shares of a flow that are watched: how many of its journeys end so, and what a finding begins with when that
//! is more than tolerated.

use serde::{Deserialize, Serialize};
use truegreen_model::finding::FindingKind;
use truegreen_model::flow::Limits;
use truegreen_model::verdict::{Verdict, Why};

use super::rate::Rate;
use crate::ledger::event::Line;

/// `limits.unknown` where the contract gives none.
const UNKNOWN_LIMIT: f64 = 0.01;
/// Deviations remembered until the share rings: far more than that takes.
const MAX_RUN: usize = 1_000;

/// One watched share.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Share {
    pub(super) kind: FindingKind,
    rate: Rate,
    /// Deviations since nothing spoke for a raised share.
    run: Vec<(String, Line)>,
}

/// The shares that every flow has watched.
pub(super) fn watched(limits: &Limits) -> [Share; 4] {
    limits_by_kind(limits).map(|(kind, limit)| Share { kind, rate: Rate::new(limit), run: Vec::new() })
}

/// The contract has other limits from now on; what is usual was learned.
pub(super) fn revise(shares: &mut [Share; 4], limits: &Limits) {
    for (share, (_, limit)) in shares.iter_mut().zip(limits_by_kind(limits)) {
        share.rate.revise(limit);
    }
}

fn limits_by_kind(limits: &Limits) -> [(FindingKind, Option<f64>); 4] {
    [
        (FindingKind::Rejected, limits.rejected),
        (FindingKind::DeadLettered, limits.dead_lettered),
        (FindingKind::Late, limits.late),
        (FindingKind::Unknown, Some(limits.unknown.unwrap_or(UNKNOWN_LIMIT))),
    ]
}

/// The share that a verdict counts towards.
pub(super) fn kind_of(verdict: Verdict) -> Option<FindingKind> {
    match verdict {
        Verdict::Rejected(_) => Some(FindingKind::Rejected),
        Verdict::DeadLettered(_) => Some(FindingKind::DeadLettered),
        Verdict::Late => Some(FindingKind::Late),
        // A service that is not heard opens a finding of its own by the first journey.
        Verdict::Unknown(Why::Sampled | Why::IntakeGap | Why::TelemetryLost | Why::ContextLost) => {
            Some(FindingKind::Unknown)
        }
        Verdict::Unknown(_) | Verdict::Completed | Verdict::Unaccounted(_) => None,
    }
}

impl Share {
    /// One more journey was decided; the deviations that a finding has to count now.
    pub(super) fn decide(&mut self, verdict: Verdict, is_open: bool, key: &str, line: &Line) -> Vec<(String, Line)> {
        let deviates = kind_of(verdict) == Some(self.kind);
        let rings = self.rate.decide(deviates);
        if self.rate.is_calm() {
            self.run.clear();
        }
        if !deviates {
            return Vec::new();
        }
        if is_open {
            return vec![(key.to_owned(), *line)];
        }
        if self.run.len() < MAX_RUN {
            self.run.push((key.to_owned(), *line));
        }
        if rings { std::mem::take(&mut self.run) } else { Vec::new() }
    }

    /// Whether nothing speaks for a raised share at this moment.
    pub(super) fn is_calm(&self) -> bool {
        self.rate.is_calm()
    }

    /// Starts anew after what it rang for is over.
    pub(super) fn reset(&mut self) {
        self.rate.reset();
    }
}
