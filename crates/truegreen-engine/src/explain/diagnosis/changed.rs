//! What changed: changes that were reported and those that show in the telemetry, held against what is known of the failing
//! ones.

use std::collections::BTreeMap;

use truegreen_model::change::{Change, ChangeRanking, QuestionReport};
use truegreen_model::contrast::Op;
use truegreen_model::diagnosis::Onset;
use truegreen_model::report::FindingReport;
use truegreen_model::time::Timestamp;

use super::super::changes::incident::{Condition, Context, EdgeEffect, PathSystem, Seen, Went};
use super::super::changes::{first_sights, is_counted, rank_for_incident, read_off, seven, traffic, unreported};
use super::super::recording::Recording;
use super::super::related::time;
use super::Evidence;
use super::comparing::Comparison;
use super::places::Places;

/// The changes by how probably each is the cause, and the seven questions.
pub(super) fn changed(
    evidence: &Evidence<'_>,
    comparison: &Comparison<'_>,
    places: Places,
    systems: Vec<PathSystem>,
) -> (ChangeRanking, Vec<QuestionReport>) {
    let mut context = context(evidence, comparison, places);
    context.systems = with_findings(systems, evidence.beside);
    let read = read_off(evidence.stretch, comparison.since);
    context.seen.traffic |= read.counts_requests;
    let is_on_path = |call: &EdgeEffect| context.path.contains(&call.source) || context.path.contains(&call.target);
    let calls: Vec<EdgeEffect> = read.calls.into_iter().filter(is_on_path).collect();
    context.edges.extend(calls);

    let entered = &evidence.around.entered;
    // The books count all there are.
    let shifts = if is_counted(entered) { traffic(entered) } else { read.shifts };
    let seen = earliest(first_sights(evidence.recording).into_iter().chain(read.changes));
    let mut changes = evidence.changes.to_vec();
    changes.extend(unreported(seen, evidence.changes));
    changes.extend(shifts);
    let ranking = rank_for_incident(&changes, &context);
    // What follows from a change answers questions, and is no cause of it.
    changes.extend(read.effects);
    (ranking, seven(&changes, &context))
}

/// Each once, as of when it was first seen.
fn earliest(seen: impl Iterator<Item = Change>) -> Vec<Change> {
    let mut by_id: BTreeMap<String, Change> = BTreeMap::new();
    for change in seen {
        let known = by_id.entry(change.id.clone()).or_insert_with(|| change.clone());
        if change.at < known.at {
            *known = change;
        }
    }
    by_id.into_values().collect()
}

fn context(evidence: &Evidence<'_>, comparison: &Comparison<'_>, places: Places) -> Context {
    let Comparison { rows, began, since, difference, .. } = comparison;
    let finding = evidence.finding;
    let instances: Vec<Went> = rows
        .instances(*since)
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
    let explanations = difference.iter().flat_map(|of| &of.explanations);
    let conditions = explanations.flat_map(|explanation| {
        let of = explanation.conditions.iter().filter(|condition| condition.op == Op::Is);
        of.map(|condition| Condition {
            attribute: condition.attribute.split(" of ").next().unwrap_or_default().to_owned(),
            value: condition.value.clone(),
            failing_share: explanation.failing_share,
            healthy_share: explanation.healthy_share,
        })
    });
    let at =
        |pick: fn(&Onset) -> &String| began.as_ref().map_or_else(|| time(&finding.onset), |began| time(pick(began)));
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
            since: began_with(recording).into_iter().chain(began_with(evidence.stretch)).min(),
            versions: is_told("service.version"),
            hosts: instances.iter().any(|went| !went.instance.is_empty()),
            traffic: is_counted(&evidence.around.entered),
            reports: !evidence.changes.is_empty(),
        },
        path: places.path,
        instances,
    }
}

fn began_with(recording: &Recording) -> Option<Timestamp> {
    recording.spans().iter().map(|span| Timestamp(span.start)).min()
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
