//! All that is known of a finding put together: what is different, how far it reaches, since when, what changed, where it
//! comes from, and how sure that is.

use std::collections::BTreeSet;

use truegreen_model::change::{Change, RankingVerdict};
use truegreen_model::contrast::{Contrast, Op};
use truegreen_model::diagnosis::{Cause, Certainty, Compared, Diagnosis, Onset};
use truegreen_model::finding::FindingKind;
use truegreen_model::passage::CutReport;
use truegreen_model::report::FindingReport;
use truegreen_model::suspect::Suspect;
use truegreen_model::time::Timestamp;

use super::changes::incident::{Condition, Context, EdgeEffect, PathSystem, Seen, Went};
use super::changes::{first_sights, rank_for_incident, seven, unreported};
use super::contrast::{Options, contrast};
use super::onset::{Stretch, of_place, onset};
use super::radius::{Counted, radius};
use super::recording::{LeftOut, Recording};
use super::related::{Subject, related, saw_it, time};
use super::rows::{Place, Rows};
use super::suspects::{Case, suspects};
use crate::cases::Cases;
use crate::date::rfc3339;

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
    /// Attributes whose values are shown to nobody.
    pub hides: &'e dyn Fn(&str) -> bool,
    /// Until when it was looked.
    pub now: Timestamp,
}

/// Healthy ones that are like the failing ones, with fewer of which all healthy ones are compared: as many as it takes to see
/// what a fifth of them do, nearly for sure.
const ENOUGH_ALIKE: usize = 20;
/// A finding is there: by chance alone one in so many is.
const FOUND: f64 = 0.001;

/// Where the path of a request leads, beside services.
const SYSTEMS: [(&str, &str, &str); 4] = [
    ("queue", "messaging.system", "messaging.destination.name"),
    ("database", "db.system.name", "db.namespace"),
    ("database", "db.system", "db.name"),
    ("cache", "cache.system", "cache.name"),
];

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
    let began = if finding.flow.is_empty() { of_place(finding, cases) } else { onset(&stretches(cases)) };
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

    let bottom = evidence.beside.iter().find(|other| other.id == cause.finding).unwrap_or(finding);
    let places = Places::of(bottom, &cause, first(&deviating.suspects), path);
    let context = context(evidence, &rows, (began.as_ref(), since), difference.as_ref(), places);
    let mut changes = evidence.changes.to_vec();
    changes.extend(unreported(first_sights(recording), evidence.changes));
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
        suspects: deviating.suspects,
        ruled_out: deviating.ruled_out,
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
    conclude(&mut diagnosis);
    diagnosis
}

/// Each case as a request. A side of which only some were drawn counts for all of it.
fn stretches(cases: &Cases) -> Vec<Stretch> {
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
    stretches.extend(cases.healthy.cases().map(one(false, healthy)));
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
        systems: systems(recording, evidence.beside),
        seen: Seen {
            since: recording.spans().iter().map(|span| Timestamp(span.start)).min(),
            versions: is_told("service.version"),
            hosts: instances.iter().any(|went| !went.instance.is_empty()),
            // Of a sample of requests nothing is known of how many there were.
            traffic: false,
            reports: !evidence.changes.is_empty(),
        },
        path: places.path,
        instances,
    }
}

/// Where it goes wrong, and on the way to where.
struct Places {
    path: Vec<String>,
    at: Vec<String>,
    about: Vec<String>,
    edges: Vec<EdgeEffect>,
}

impl Places {
    fn of(bottom: &FindingReport, cause: &Cause, suspect: Option<&Suspect>, mut path: Vec<String>) -> Places {
        let is = |kind: FindingKind| bottom.kind == kind.name();
        let mut edges = Vec::new();
        let mut at: Vec<String> = cause.service.iter().cloned().collect();
        match (&cause.service, &bottom.peer) {
            // Who waits in vain suffers; who does not answer has changed.
            (Some(service), Some(peer)) if is(FindingKind::SwallowedTimeout) => {
                at = vec![peer.clone()];
                let says = format!("does not answer {service} in time ({} times)", bottom.count);
                edges.push(EdgeEffect { source: service.clone(), target: peer.clone(), says, p_value: FOUND });
            }
            // What is published twice is doubled there.
            (_, Some(peer)) if is(FindingKind::DuplicateDelivery) => at = vec![peer.clone()],
            // Context is lost at either end of a hop.
            (_, Some(peer)) if is(FindingKind::BrokenContext) => at.push(peer.clone()),
            _ => {}
        }
        // Where a finding names its place, it is there.
        if at.is_empty() {
            at.extend(suspect.and_then(|suspect| suspect.service.clone()));
        }
        at.sort_unstable();
        at.dedup();
        // What fails stands last.
        path.retain(|service| !at.contains(service));
        path.extend(at.iter().cloned());
        let of_instance = bottom.examples.iter().filter(|_| is(FindingKind::ClockSkew));
        let about = [&bottom.service, &bottom.peer, &bottom.subject].into_iter().flatten();
        Places { path, at, about: about.chain(of_instance).cloned().collect(), edges }
    }
}

/// Queues, databases and caches that were come by, and findings about them.
fn systems(recording: &Recording, beside: &[FindingReport]) -> Vec<PathSystem> {
    let mut systems: BTreeSet<(&str, String)> = BTreeSet::new();
    let keys = SYSTEMS.map(|(kind, system, name)| (kind, recording.name(system), recording.name(name)));
    for span in recording.spans() {
        for (kind, system, name) in keys {
            let told = |key: Option<super::recording::Name>| {
                let value = key.and_then(|key| recording.attribute(span.attributes, key));
                value.map(|value| recording.text(value))
            };
            if let Some(system) = told(system) {
                systems.insert((kind, [system, told(name).unwrap_or_default()].join(" ").trim().to_owned()));
            }
        }
    }
    let trouble = |name: &str| {
        let about = beside
            .iter()
            .find(|other| other.subject.as_deref().is_some_and(|subject| name.split(' ').any(|word| word == subject)));
        about.map(|other| other.title.clone()).unwrap_or_default()
    };
    let system = |(kind, name): (&str, String)| PathSystem { kind: kind.to_owned(), trouble: trouble(&name), name };
    systems.into_iter().take(50).map(system).collect()
}

fn cut(left_out: &LeftOut) -> Vec<CutReport> {
    let counted = [("spans", left_out.spans), ("logs", left_out.logs), ("attributes", left_out.attributes)];
    let cut = counted.into_iter().filter(|(_, count)| *count > 0);
    let why = || "one diagnosis reads so many at the most".to_owned();
    cut.map(|(what, count)| CutReport { what: what.to_owned(), count, why: why() }).collect()
}

/// How sure it is, and all of it in a sentence.
fn conclude(diagnosis: &mut Diagnosis) {
    let mut reasons = Vec::new();
    let saw = saw_it(&diagnosis.cause.kind);
    if saw {
        reasons.push(format!("what goes wrong was seen itself: {}", diagnosis.cause.says));
    }
    let difference =
        diagnosis.difference.as_ref().filter(|of| of.verdict == "explained" && !of.explanations.is_empty());
    if let Some(difference) = difference {
        reasons.push(difference.summary.clone());
    }
    let suspect = first(&diagnosis.suspects);
    if let Some(suspect) = suspect {
        let evidence = suspect.evidence.first().map(|first| format!(": {first}")).unwrap_or_default();
        reasons.push(format!("failing ones leave the way of healthy ones at {}{evidence}", place(suspect)));
    }
    let change = diagnosis.changes.as_ref().filter(|of| of.verdict == RankingVerdict::StandsOut);
    if let Some(change) = change {
        reasons.push(change.says.clone());
    }
    // Two kinds of evidence that do not follow from one another, or the act itself seen and nothing beside it that would
    // explain it better.
    let independent = [difference.is_some(), suspect.is_some(), change.is_some()].into_iter().filter(|is| *is).count();
    let agrees = suspect.is_none_or(|suspect| {
        diagnosis.cause.service.is_none() || suspect.service.is_none() || suspect.service == diagnosis.cause.service
    });
    diagnosis.verdict = match (saw, independent) {
        (true, 1..) | (false, 2..) if agrees => Certainty::Confirmed,
        (true, _) | (_, 1..) => Certainty::Likely,
        _ => Certainty::Inconclusive,
    };
    if !agrees {
        reasons
            .push("it is no surer since what was found and where requests go another way are two services".to_owned());
    }
    if diagnosis.verdict == Certainty::Inconclusive {
        reasons.push(match (diagnosis.compared.failing, diagnosis.compared.healthy) {
            (0, _) => "no telemetry of failing ones could be read".to_owned(),
            (_, 0) => "no telemetry of healthy ones could be read, so there is nothing to compare with".to_owned(),
            _ => "failing and healthy ones do not differ in anything that was recorded before they part".to_owned(),
        });
    }
    diagnosis.says = says(diagnosis, difference.is_some(), change.map(|of| of.ranking[0].title.clone()));
    diagnosis.reasons = reasons;
}

/// The first suspect, if it stands alone.
fn first(suspects: &[Suspect]) -> Option<&Suspect> {
    suspects.first().filter(|_| suspects.get(1).is_none_or(|second| second.rank > 1))
}

fn place(suspect: &Suspect) -> String {
    let parts = [suspect.operation.as_deref(), suspect.service.as_deref(), suspect.instance.as_deref()];
    parts.into_iter().flatten().map(|part| format!("`{part}`")).collect::<Vec<_>>().join(" of ")
}

fn says(diagnosis: &Diagnosis, is_different: bool, change: Option<String>) -> String {
    let mut says = diagnosis.cause.says.split("; since ").next().unwrap_or_default().to_owned();
    let difference = diagnosis.difference.as_ref().filter(|_| is_different);
    if let Some(difference) = difference {
        let what: Vec<String> = difference.explanations.iter().map(|one| one.title()).collect();
        says = format!("{says}; those with {} fail", what.join(", or "));
    }
    if let Some(change) = change {
        says = format!("{says}, most probably since {change}");
    }
    says
}
