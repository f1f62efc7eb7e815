//! All that is known of a finding put together: what is different, how far it reaches, since when, what changed, where it
//! comes from, and how sure that is.
//!
//! `comparing`: failing requests against healthy ones; `places`: where it goes wrong; `systems`: what systems on the way say
//! themselves; `limits`: what is not seen; `changed`: what changed; `certainty`: how sure it is.

mod certainty;
mod changed;
mod comparing;
mod limits;
mod places;
mod systems;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use truegreen_model::change::Change;
use truegreen_model::diagnosis::{Compared, Diagnosis};
use truegreen_model::passage::CutReport;
use truegreen_model::report::FindingReport;
use truegreen_model::surroundings::Surroundings;
use truegreen_model::suspect::{Suspect, SuspectKind};
use truegreen_model::time::Timestamp;

use super::recording::{LeftOut, Recording};
use super::related::{Subject, related, time};
use crate::cases::Cases;
use crate::date::rfc3339;
use comparing::Comparison;
use limits::Asked;
use places::Places;
use systems::{Times, Way};

/// What a diagnosis is made of.
pub struct Evidence<'e> {
    /// What is to be explained.
    pub finding: &'e FindingReport,
    /// Other findings of about that time.
    pub beside: &'e [FindingReport],
    /// What is compared.
    pub cases: &'e Cases,
    /// Their telemetry, and some of what was before.
    pub recording: &'e Recording,
    /// All that was received for some time before and after it began, as far as it is known: how things go before and since.
    pub stretch: &'e Recording,
    /// Changes that were reported.
    pub changes: &'e [Change],
    /// What else is known of where they go.
    pub around: &'e Surroundings,
    /// Attributes whose values are shown to nobody.
    pub hides: &'e dyn Fn(&str) -> bool,
    /// Until when it was looked.
    pub now: Timestamp,
}

/// When the first of a finding began, as it tells: around that time its stretch is read.
pub fn began(finding: &FindingReport) -> Timestamp {
    time(&finding.onset)
}

/// Puts it together.
pub fn diagnose(evidence: &Evidence<'_>) -> Diagnosis {
    let Evidence { finding, cases, recording, .. } = *evidence;
    let comparison = Comparison::of(evidence);
    let owing = comparison.rows.owing();
    let path = comparison.rows.path();
    let own = Subject { finding, services: owing.iter().map(String::as_str).collect() };
    let beside: Vec<Subject<'_>> =
        evidence.beside.iter().map(|finding| Subject { finding, services: BTreeSet::new() }).collect();
    let (cause, related) = related(&own, &beside, owing.as_deref());

    let way = Way::of(recording, &comparison.rows, &path, cause.service.as_deref());
    let times = Times { onset: comparison.began.as_ref(), found: &finding.onset, cases, now: evidence.now };
    let answers = systems::answers(&way, evidence.around, &times);
    let mut named = comparison.deviating.suspects.clone();
    named.extend(systems::suspects(&answers.seen, &named));
    let place = cause.service.as_deref().or_else(|| named.first().and_then(place_of));
    let asked =
        Asked { path: &path, place, beside: evidence.beside, unanswered: &answers.unanswered, now: evidence.now };
    let limits = limits::limits(evidence.around, &asked);

    let bottom = evidence.beside.iter().find(|other| other.id == cause.finding).unwrap_or(finding);
    let places = Places::of(bottom, &cause, certainty::first(&named).and_then(place_of), path.clone());
    let (ranking, questions) = changed::changed(evidence, &comparison, places, answers.on_path);

    let Comparison { rows, began, radius, difference, deviating, .. } = comparison;
    let mut diagnosis = Diagnosis {
        finding: finding.clone(),
        as_of: rfc3339(evidence.now),
        cause,
        related,
        onset: began,
        radius,
        difference,
        changes: Some(ranking),
        questions,
        suspects: named,
        systems: answers.seen,
        ruled_out: deviating.ruled_out.into_iter().chain(answers.ruled_out).collect(),
        limits: limits.says,
        compared: Compared {
            failing: rows.count(true),
            failing_of: cases.failing.offered().max(finding.count),
            healthy: rows.count(false),
            healthy_of: cases.healthy.offered(),
            records: (recording.spans().len() + recording.logs().len()) as u64,
            cut: cut(recording.left_out()),
        },
        ..Diagnosis::default()
    };
    certainty::conclude(&mut diagnosis, limits.at_place.as_deref());
    diagnosis
}

/// Where a suspect is; a system is no service.
fn place_of(suspect: &Suspect) -> Option<&str> {
    suspect.service.as_deref().filter(|_| suspect.kind != SuspectKind::FailingSystem)
}

fn cut(left_out: &LeftOut) -> Vec<CutReport> {
    let counted = [("spans", left_out.spans), ("logs", left_out.logs), ("attributes", left_out.attributes)];
    let cut = counted.into_iter().filter(|(_, count)| *count > 0);
    let why = || "one diagnosis reads so many at the most".to_owned();
    cut.map(|(what, count)| CutReport { what: what.to_owned(), count, why: why() }).collect()
}
