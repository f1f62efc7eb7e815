//! Failing requests against healthy ones: since when they fail, how far it reaches, what is different about them, and where
//! they leave the way of the others.

use truegreen_model::contrast::Contrast;
use truegreen_model::diagnosis::{Onset, Radius};
use truegreen_model::finding::FindingKind;
use truegreen_model::report::FindingReport;
use truegreen_model::suspect;
use truegreen_model::time::Timestamp;

use super::super::contrast::{Options, contrast};
use super::super::onset::{Stretch, of_place, onset};
use super::super::radius::{Counted, radius};
use super::super::related::time;
use super::super::rows::{Place, Rows};
use super::super::suspects::{Case, suspects};
use super::Evidence;
use crate::cases::{self, Cases, Sample};

/// Healthy ones that are like the failing ones, with fewer of which all healthy ones are compared: as many as it takes to see
/// what a fifth of them do, nearly for sure.
const ENOUGH_ALIKE: usize = 20;

/// What it comes to.
pub(super) struct Comparison<'e> {
    pub(super) rows: Rows<'e>,
    pub(super) began: Option<Onset>,
    /// When it began, or else when the first of the finding did.
    pub(super) since: Timestamp,
    pub(super) radius: Radius,
    /// Nothing where one side is empty.
    pub(super) difference: Option<Contrast>,
    pub(super) deviating: suspect::Diagnosis,
}

impl<'e> Comparison<'e> {
    pub(super) fn of(evidence: &Evidence<'e>) -> Comparison<'e> {
        let Evidence { finding, cases, recording, .. } = *evidence;
        let place = Place {
            service: finding.service.as_deref(),
            operation: finding.operation.as_deref(),
            comes_again: finding.kind == FindingKind::DuplicateDelivery.name(),
        };
        let rows = Rows::of(cases, &place, recording);
        // Of a place nothing is kept of what went well before the finding opened.
        let began = match finding.flow.is_empty() {
            true => of_place(finding, cases),
            false => onset(&stretches(cases, decided_until(finding, evidence.now))),
        };
        let since = began.as_ref().map_or_else(|| time(&finding.onset), |began| time(&began.at));
        let told = rows.read(since, evidence.hides);
        let has_both = rows.count(true) > 0 && rows.count(false) > 0;
        let difference = has_both.then(|| contrast(&told.table, &Options::default()));
        let share = began.as_ref().filter(|_| !cases.healthy.is_empty()).map(|began| began.share_since);
        let radius = radius(&told.reached, Counted { keys: finding.count, share });
        // What is different about them makes them take another way anyway: so they are held against their like, if there are
        // enough.
        let alike = difference.as_ref().and_then(|difference| rows.alike(&told, difference));
        let among = |alike: &[bool], is_failing: bool| -> Vec<Case> {
            let own = rows.rows.iter().zip(alike).filter(|(row, is_alike)| row.is_failing == is_failing && **is_alike);
            own.map(|(row, _)| Case { traces: row.traces.clone() }).collect()
        };
        let everyone = vec![true; rows.rows.len()];
        let alike = alike.filter(|alike| among(alike, false).len() >= ENOUGH_ALIKE).unwrap_or(everyone);
        let deviating = suspects(recording, &among(&alike, false), &among(&alike, true));
        Comparison { rows, began, since, radius, difference, deviating }
    }
}

/// Of those that began until then it is known whether they fail. That one fails is found only after a while, when its deadline
/// is past or its trace is whole; that one goes well may be known at once.
fn decided_until(finding: &FindingReport, now: Timestamp) -> Timestamp {
    let takes = time(&finding.first_seen).0.saturating_sub(time(&finding.onset).0);
    Timestamp(now.0.saturating_sub(takes))
}

/// Each case as a request. A side of which only some were drawn counts for all of it. Healthy ones that began when others
/// like them are not found to fail yet, and after the last that is, do not say that it is over.
fn stretches(cases: &Cases, decided: Timestamp) -> Vec<Stretch> {
    let each = |of: &Sample| of.offered() as f64 / of.len().max(1) as f64;
    let (failing, healthy) = (each(&cases.failing), each(&cases.healthy));
    let least = failing.min(healthy).max(1.0);
    let weight = |each: f64| (each / least).round().max(1.0) as u64;
    let one = |is_failing: bool, each: f64| {
        move |case: &cases::Case| {
            let all = weight(each);
            Stretch { failing: if is_failing { all } else { 0 }, all, ..Stretch::one(case.at, is_failing) }
        }
    };
    let mut stretches: Vec<Stretch> = cases.failing.cases().map(one(true, failing)).collect();
    let latest = stretches.iter().map(|stretch| stretch.at).max().unwrap_or_default();
    let known = cases.healthy.cases().filter(|case| case.at <= latest.max(decided));
    stretches.extend(known.map(one(false, healthy)));
    stretches.sort_by_key(|stretch| (stretch.at, stretch.failing));
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every tenth order is lost, which shows only twenty seconds later, when its deadline is past. Guarantee: those that
    /// went well since do not say that it is over; those of long after the last do.
    #[test]
    fn what_cannot_be_known_to_fail_yet_does_not_say_that_it_is_over() {
        let told = |lost_until: u64| {
            let mut cases = Cases::default();
            for n in 0..900 {
                let (key, entered) = (format!("o-{n}"), Timestamp::from_secs(1_000_000 + n / 10));
                let case = || crate::cases::Case { key, at: entered, traces: vec![], evidence: vec![], went_on: None };
                let draw = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                match n % 10 == 5 && n < lost_until {
                    true => cases.failing.offer(draw, case),
                    false => cases.healthy.offer(draw, case),
                }
            }
            let finding = FindingReport {
                onset: "1970-01-12T13:46:40Z".to_owned(),
                first_seen: "1970-01-12T13:47:00Z".to_owned(),
                ..FindingReport::default()
            };
            let decided = decided_until(&finding, Timestamp::from_secs(1_000_090));
            assert_eq!(decided, Timestamp::from_secs(1_000_070));
            let began = onset(&stretches(&cases, decided)).unwrap();
            (began.goes_on, began.share_since)
        };
        // Those of the last twenty seconds that are lost are not found yet.
        let (goes_on, share) = told(700);
        assert_eq!(goes_on, "yes");
        // A tenth, as well as two healthy ones for each that was drawn are right.
        assert!((0.05..0.2).contains(&share), "{share}");
        assert_eq!(told(200).0, "no");
    }
}
