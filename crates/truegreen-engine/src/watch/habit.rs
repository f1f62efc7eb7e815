//! Something that usually comes about, and the finding where it does not. How often it fails to come about in health is
//! not known beforehand (digital orders need no stock), so it is watched for a while first, and the longer it was
//! watched, the less is tolerated.

use serde::{Deserialize, Serialize};
use truegreen_model::finding::FindingKind;

use super::View;
use super::share::{Deviation, Share};
use crate::finding::PlaceFindings;
use crate::finding::place::Place;

/// So many decisions are only watched.
const WATCHED: u64 = 50;
/// What fails to come about more often than this is no habit.
const HIGHEST: f64 = 0.5;
const LEAST: f64 = 0.004;
/// Tolerated where each is proven to be due: the first that fails to come about is beyond chance.
const PROVEN: f64 = 1e-6;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Habit {
    kept: u64,
    broken: u64,
    /// Decisions after which it is told anew what is tolerated.
    next: u64,
    share: Share,
    /// It must come about, though it was not watched.
    is_owed: bool,
}

impl Default for Habit {
    fn default() -> Self {
        Habit { kept: 0, broken: 0, next: WATCHED, share: Share::new(HIGHEST), is_owed: false }
    }
}

impl Habit {
    /// How often it was decided whether it came about.
    pub(super) fn decided(&self) -> u64 {
        self.kept + self.broken
    }

    /// It did not come about once more, which says nothing.
    pub(super) fn excused(&mut self) {
        self.broken += 1;
    }

    /// Whether it is known well enough, and comes about often enough.
    pub(super) fn is_known(&self) -> bool {
        self.is_owed || (self.decided() > WATCHED && self.broken as f64 <= HIGHEST * self.decided() as f64)
    }

    /// Something shows, of each single one, that it must come about.
    pub(super) fn is_proven(&mut self) {
        self.is_owed = true;
        self.share.tolerate(PROVEN);
    }

    /// In how many of a hundred cases it comes about.
    pub(super) fn percent(&self) -> f64 {
        100.0 * self.kept as f64 / self.decided().max(1) as f64
    }

    pub(super) fn kept(&mut self, kind: FindingKind, place: Place, findings: &mut PlaceFindings) {
        self.kept += 1;
        if self.is_known() {
            self.share.well(kind, place, findings);
            self.learn(!findings.is_open(kind, place));
        }
    }

    pub(super) fn broken(
        &mut self,
        (kind, place): (FindingKind, Place),
        deviation: Deviation,
        evidence: impl FnOnce(&Habit) -> String,
        view: &View<'_>,
        findings: &mut PlaceFindings,
    ) {
        if !self.is_known() {
            self.broken += 1;
            return;
        }
        self.learn(false);
        let evidence = evidence(self);
        self.share.deviated((kind, place), deviation, || evidence, view, findings);
        // What rings is not learned as usual.
        if !findings.is_open(kind, place) {
            self.broken += 1;
        }
    }

    /// Tolerates what was seen so far, and as much more as chance makes of it in so few decisions.
    fn learn(&mut self, is_well: bool) {
        let decided = self.decided();
        if decided < self.next || !(is_well || self.next == WATCHED) {
            return;
        }
        self.next = decided * 2;
        let n = decided as f64;
        let usual = self.broken as f64 / n;
        let tolerated = usual + 3.0 * (usual * (1.0 - usual) / n).sqrt() + 1.0 / n;
        self.share.tolerate(tolerated.clamp(LEAST, HIGHEST));
    }
}

#[cfg(test)]
mod tests {
    use truegreen_model::observation::TraceId;

    use super::*;
    use crate::watch::stage::{BEGINS, Stage};

    fn found(decisions: impl IntoIterator<Item = bool>) -> Vec<u64> {
        let (mut stage, mut habit) = (Stage::new(), Habit::default());
        let place = Place::service(stage.symbols.intern(b"shop"));
        let folder = (FindingKind::SkippingConsumer, place);
        let deviation = Deviation { at: BEGINS, trace: TraceId(1) };
        for kept in decisions {
            stage.show(|view, findings| match kept {
                true => habit.kept(folder.0, place, findings),
                false => habit.broken(folder, deviation, |_| String::new(), view, findings),
            });
        }
        stage.found().iter().map(|finding| finding.count).collect()
    }

    #[test]
    fn a_stable_share_of_exceptions_is_a_habit_too() {
        assert!(found((0..20_000_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32 & 7 != 0)).is_empty());
        assert!(found((0..5_000_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32 & 3 != 0)).is_empty());
    }

    #[test]
    fn what_rises_beyond_it_rings_soon() {
        let healthy = || (0..300).map(|n| n % 5 != 0);
        assert_eq!(found(healthy().chain((0..40).map(|n| n % 5 == 0))).len(), 1, "a fifth fails, then four fifths");
        assert_eq!(found((0..300).map(|_| true).chain((0..40).map(|n| n % 3 != 0))).len(), 1, "none, then a third");
    }

    #[test]
    fn what_never_comes_about_is_no_habit() {
        assert!(found((0..500).map(|_| false)).is_empty());
        assert!(found((0..500).map(|n| n % 10 == 0)).is_empty());
    }
}
