//! A watched share and the finding that it opens: what deviated before it rang counts towards the finding too.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use truegreen_model::finding::FindingKind;
use truegreen_model::observation::TraceId;
use truegreen_model::time::Timestamp;

use super::View;
use super::surge::Surge;
use crate::finding::place::Place;
use crate::finding::{Example, PlaceFindings, Sign};

/// Deviations remembered until the share rings.
const MAX_RUN: usize = 64;
/// Decisions over which the failing share of a finding is taken.
const RECENT: f64 = 100.0;

/// One thing that deviated.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Deviation {
    pub(super) at: Timestamp,
    pub(super) trace: TraceId,
}

/// A watched share.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Share {
    surge: Surge,
    recent: f64,
    /// Deviations since nothing spoke for a raised share.
    run: VecDeque<Deviation>,
}

impl Share {
    pub(super) fn new(floor: f64) -> Self {
        Share { surge: Surge::new(floor), recent: 0.0, run: VecDeque::new() }
    }

    /// One that takes a share of up to `young` for usual where it is there from the first on.
    pub(super) fn lenient(floor: f64, young: f64) -> Self {
        Share { surge: Surge::lenient(floor, young), ..Share::new(floor) }
    }

    /// The share that deviated lately.
    pub(super) fn recent(&self) -> f64 {
        self.recent
    }

    /// Tolerates this share from now on, whatever was usual.
    pub(super) fn tolerate(&mut self, floor: f64) {
        self.surge.tolerate(floor);
    }

    /// One more went well.
    pub(super) fn well(&mut self, kind: FindingKind, place: Place, findings: &mut PlaceFindings) {
        self.surge.decide(false);
        self.recent -= self.recent / RECENT;
        if self.surge.is_calm() {
            self.run.clear();
        }
        if findings.is_open(kind, place) {
            findings.went_well(kind, place, 1);
            if !findings.is_open(kind, place) {
                self.surge.reset();
                self.run.clear();
            }
        }
    }

    /// One more went well, which does not speak for the finding being over yet.
    pub(super) fn well_meanwhile(&mut self) {
        self.surge.decide(false);
        self.recent -= self.recent / RECENT;
    }

    /// One more deviated, and this shows it.
    pub(super) fn deviated(
        &mut self,
        (kind, place): (FindingKind, Place),
        deviation: Deviation,
        evidence: impl FnOnce() -> String,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        let rings = self.surge.decide(true);
        self.recent += (1.0 - self.recent) / RECENT;
        if self.run.len() >= MAX_RUN {
            self.run.pop_front();
        }
        self.run.push_back(deviation);
        if !rings && !findings.is_open(kind, place) {
            return;
        }
        // Twice as many must go well as would do by chance: a finding that closes and opens again says no more.
        let share = (self.recent / 2.0).clamp(0.01, 1.0);
        let evidence = evidence();
        for Deviation { at, trace } in self.run.drain(..) {
            let example = Example::of(trace);
            let sign = Sign { kind, place, at, example, share, evidence: evidence.clone() };
            findings.deviate(sign, view.now, view.symbols);
        }
    }
}
