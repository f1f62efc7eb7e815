//! How sure it is, and all of it in a sentence. The rules stand in `docs/diagnosis.md`.

use truegreen_model::change::RankingVerdict;
use truegreen_model::diagnosis::{Certainty, Diagnosis};
use truegreen_model::suspect::{Suspect, SuspectKind};

use super::super::related::saw_it;

/// `hidden` is why it may as well be beside the place, if anything there is out of sight.
pub(super) fn conclude(diagnosis: &mut Diagnosis, hidden: Option<&str>) {
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
    let system = diagnosis.systems.iter().find(|system| system.explains);
    reasons.extend(diagnosis.systems.iter().filter(|system| system.explains).map(|system| system.says.clone()));
    // Two kinds of evidence that do not follow from one another, or the act itself seen and nothing beside it that would
    // explain it better.
    let kinds = [difference.is_some(), suspect.is_some(), change.is_some(), system.is_some()];
    let independent = kinds.into_iter().filter(|is| *is).count();
    let agrees = suspect.is_none_or(|suspect| {
        diagnosis.cause.service.is_none() || suspect.service.is_none() || suspect.service == diagnosis.cause.service
    });
    // Who saw the act needs no sight of what lies beside it.
    let hidden = hidden.filter(|_| !saw);
    diagnosis.verdict = match (saw, independent) {
        (true, 1..) | (false, 2..) if agrees && hidden.is_none() => Certainty::Confirmed,
        (true, _) | (_, 1..) => Certainty::Likely,
        _ => Certainty::Inconclusive,
    };
    if !agrees {
        reasons
            .push("it is no surer since what was found and where requests go another way are two services".to_owned());
    }
    if let Some(hidden) = hidden.filter(|_| diagnosis.verdict == Certainty::Likely) {
        reasons.push(format!("it is no surer since {hidden}"));
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

/// The first suspect that telemetry names, if it stands alone.
pub(super) fn first(suspects: &[Suspect]) -> Option<&Suspect> {
    let first = suspects.first().filter(|first| first.kind != SuspectKind::FailingSystem)?;
    suspects.get(1).is_none_or(|second| second.rank > first.rank).then_some(first)
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
    if let Some(system) = diagnosis.systems.iter().find(|system| system.explains) {
        says = format!("{says}, while the {} `{}` fails", system.role, system.system);
    }
    if let Some(change) = change {
        says = format!("{says}, most probably since {change}");
    }
    says
}
