//! All that is known of a finding put together: what is different, how far it reaches, since when, what changed, where it
//! comes from, and how sure that is.
//!
//! `places`: where it goes wrong; `systems`: what systems on the way say themselves; `limits`: what is not seen; `certainty`: how sure it is.

mod certainty;
mod limits;
mod places;
mod systems;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use truegreen_model::change::Change;
use truegreen_model::contrast::{Contrast, Op};
use truegreen_model::diagnosis::{Compared, Diagnosis, Onset};
use truegreen_model::finding::FindingKind;
use truegreen_model::passage::CutReport;
use truegreen_model::report::FindingReport;
use truegreen_model::surroundings::Surroundings;
use truegreen_model::suspect::{Suspect, SuspectKind};
use truegreen_model::time::Timestamp;

use super::changes::incident::{Condition, Context, PathSystem, Seen, Went};
use super::changes::{first_sights, is_counted, rank_for_incident, seven, traffic, unreported};
use super::contrast::{Options, contrast};
use super::onset::{Stretch, of_place, onset};
use super::radius::{Counted, radius};
use super::recording::{LeftOut, Recording};
use super::related::{Subject, related, time};
use super::rows::{Place, Rows};
use super::suspects::{Case, suspects};
use crate::cases::Cases;
use crate::date::rfc3339;
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
    /// Changes that were reported.
    pub changes: &'e [Change],
    /// What else is known of where they go.
    pub around: &'e Surroundings,
    /// Attributes whose values are shown to nobody.
    pub hides: &'e dyn Fn(&str) -> bool,
    /// Until when it was looked.
    pub now: Timestamp,
}

/// Healthy ones that are like the failing ones, with fewer of which all healthy ones are compared: as many as it takes to see
/// what a fifth of them do, nearly for sure.
const ENOUGH_ALIKE: usize = 20;

/// Puts it together.
pub fn diagnose(evidence: &Evidence<'_>) -> Diagnosis {
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
    let count = |is_failing: bool| rows.rows.iter().filter(|row| row.is_failing == is_failing).count() as u64;
    let (failing, healthy) = (count(true), count(false));
    let difference = (failing > 0 && healthy > 0).then(|| contrast(&told.table, &Options::default()));
    let share = began.as_ref().filter(|_| !cases.healthy.is_empty()).map(|began| began.share_since);
    let radius = radius(&told.reached, Counted { keys: finding.count, share });
    // What is different about them makes them take another way anyway: so they are held against their like, if there are enough.
    let alike = difference.as_ref().and_then(|difference| rows.alike(&told, difference));
    let among = |alike: &[bool], is_failing: bool| -> Vec<Case> {
        let own = rows.rows.iter().zip(alike).filter(|(row, is_alike)| row.is_failing == is_failing && **is_alike);
        own.map(|(row, _)| Case { traces: row.traces.clone() }).collect()
    };
    let everyone = vec![true; rows.rows.len()];
    let alike = alike.filter(|alike| among(alike, false).len() >= ENOUGH_ALIKE).unwrap_or(everyone);
    let deviating = suspects(recording, &among(&alike, false), &among(&alike, true));

    let owing = rows.owing();
    let path = rows.path();
    let own = Subject { finding, services: owing.iter().map(String::as_str).collect() };
    let beside: Vec<Subject<'_>> =
        evidence.beside.iter().map(|finding| Subject { finding, services: BTreeSet::new() }).collect();
    let (cause, related) = related(&own, &beside, owing.as_deref());

    let way = Way::of(recording, &rows, &path, cause.service.as_deref());
    let times = Times { onset: began.as_ref(), found: &finding.onset, cases, now: evidence.now };
    let answers = systems::answers(&way, evidence.around, &times);
    let mut named = deviating.suspects;
    named.extend(systems::suspects(&answers.seen, &named));
    let place = cause.service.as_deref().or_else(|| named.first().and_then(place_of));
    let asked =
        Asked { path: &path, place, beside: evidence.beside, unanswered: &answers.unanswered, now: evidence.now };
    let limits = limits::limits(evidence.around, &asked);

    let systems = with_findings(answers.on_path, evidence.beside);
    let bottom = evidence.beside.iter().find(|other| other.id == cause.finding).unwrap_or(finding);
    let places = Places::of(bottom, &cause, certainty::first(&named).and_then(place_of), path.clone());
    let context = Context { systems, ..context(evidence, &rows, (began.as_ref(), since), difference.as_ref(), places) };
    let mut changes = evidence.changes.to_vec();
    changes.extend(unreported(first_sights(recording), evidence.changes));
    changes.extend(traffic(&evidence.around.entered));
    let ranking = rank_for_incident(&changes, &context);
    let questions = seven(&changes, &context);

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
            failing,
            failing_of: cases.failing.offered().max(finding.count),
            healthy,
            healthy_of: cases.healthy.offered(),
            records: (recording.spans().len() + recording.logs().len()) as u64,
            cut: cut(recording.left_out()),
        },
        ..Diagnosis::default()
    };
    certainty::conclude(&mut diagnosis, limits.at_place.as_deref());
    diagnosis
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
    let each = |of: &crate::cases::Sample| of.offered() as f64 / of.len().max(1) as f64;
    let (failing, healthy) = (each(&cases.failing), each(&cases.healthy));
    let least = failing.min(healthy).max(1.0);
    let weight = |each: f64| (each / least).round().max(1.0) as u64;
    let one = |is_failing: bool, each: f64| {
        move |case: &crate::cases::Case| {
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

fn context(
    evidence: &Evidence<'_>,
    rows: &Rows<'_>,
    (began, since): (Option<&Onset>, Timestamp),
    difference: Option<&Contrast>,
    places: Places,
) -> Context {
    let finding = evidence.finding;
    let instances: Vec<Went> = rows
        .instances(since)
        .into_iter()
        .map(|((service, instance, version), (failing, healthy))| Went {
            service: service.to_owned(),
            instance: instance.to_owned(),
            version: version.to_owned(),
            host: rows.host(service, instance).to_owned(),
            failing,
            healthy,
        })
        .collect();
    let explanations = difference.into_iter().flat_map(|of| &of.explanations);
    let conditions = explanations.flat_map(|explanation| {
        let of = explanation.conditions.iter().filter(|condition| condition.op == Op::Is);
        of.map(|condition| Condition {
            attribute: condition.attribute.split(" of ").next().unwrap_or_default().to_owned(),
            value: condition.value.clone(),
            failing_share: explanation.failing_share,
            healthy_share: explanation.healthy_share,
        })
    });
    let at = |pick: fn(&Onset) -> &String| began.map_or_else(|| time(&finding.onset), |began| time(pick(began)));
    let recording = evidence.recording;
    let is_told = |key: &str| recording.name(key).is_some();
    Context {
        onset: at(|onset| &onset.at),
        earliest: at(|onset| &onset.from),
        latest: at(|onset| &onset.until),
        noticed: time(&finding.first_seen),
        about: rows.with_hosts(places.about),
        places: places.at,
        conditions: conditions.collect(),
        edges: places.edges,
        systems: Vec::new(),
        seen: Seen {
            since: recording.spans().iter().map(|span| Timestamp(span.start)).min(),
            versions: is_told("service.version"),
            hosts: instances.iter().any(|went| !went.instance.is_empty()),
            traffic: is_counted(&evidence.around.entered),
            reports: !evidence.changes.is_empty(),
        },
        path: places.path,
        instances,
    }
}

/// Where a suspect is; a system is no service.
fn place_of(suspect: &Suspect) -> Option<&str> {
    suspect.service.as_deref().filter(|_| suspect.kind != SuspectKind::FailingSystem)
}

/// What findings say of queues, databases and caches, where the systems themselves say nothing.
fn with_findings(mut systems: Vec<PathSystem>, beside: &[FindingReport]) -> Vec<PathSystem> {
    for system in systems.iter_mut().filter(|system| system.trouble.is_empty()) {
        let is_about = |other: &&FindingReport| {
            other.subject.as_deref().is_some_and(|of| system.name.split(' ').any(|word| word == of))
        };
        if let Some(about) = beside.iter().find(is_about) {
            system.trouble.clone_from(&about.title);
        }
    }
    systems
}

fn cut(left_out: &LeftOut) -> Vec<CutReport> {
    let counted = [("spans", left_out.spans), ("logs", left_out.logs), ("attributes", left_out.attributes)];
    let cut = counted.into_iter().filter(|(_, count)| *count > 0);
    let why = || "one diagnosis reads so many at the most".to_owned();
    cut.map(|(what, count)| CutReport { what: what.to_owned(), count, why: why() }).collect()
}
