//! By what a finding is known again, and how like an earlier incident it is.
//!
//! The rule. A *place* is flow, hop, service, operation and the way on from there (peer, subject). It is *the same* again
//! where place and kind are equal and the conditions do not contradict each other: they are equal, or one side knows none.
//! It wears *another face* where it is not the same, and the causes named by both diagnoses are equal (service and
//! operation), or the conditions are known and equal, or the places are equal. Anything else is unlike: one service alone
//! has too many ways to fail.

use serde_json::Value;
use truegreen_model::incident::{How, Incident, Recurrence, Relation, Signature, State};
use truegreen_model::report::FindingReport;

use super::told::Told;
use crate::lookup::when;

/// Most that are told; the same come first, then the latest.
pub(crate) const MAX_TOLD: usize = 10;

/// How like two signatures are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Likeness {
    pub(crate) relation: Relation,
    pub(crate) alike: Vec<&'static str>,
    pub(crate) differs: Vec<&'static str>,
}

/// The signature of a finding, with what its diagnosis adds.
pub(crate) fn signature(finding: &FindingReport, diagnosis: Option<&Value>) -> Signature {
    let told = diagnosis.map(Told::of);
    // Several explanations are several groups of failing ones: together they are what is known again.
    let mut conditions: Vec<String> = told.map(Told::differences).unwrap_or_default().into_iter().flatten().collect();
    conditions.sort_unstable();
    conditions.dedup();
    Signature {
        kind: finding.kind.clone(),
        flow: finding.flow.clone(),
        after: finding.after.clone(),
        before: finding.before.clone(),
        service: finding.service.clone(),
        operation: finding.operation.clone(),
        path: [&finding.peer, &finding.subject].into_iter().flatten().cloned().collect(),
        conditions,
        cause: told.and_then(Told::cause),
    }
}

/// How like they are; nothing where they are unlike.
pub(crate) fn likeness(one: &Signature, other: &Signature) -> Option<Likeness> {
    let place = place_of(one) == place_of(other);
    let kind = one.kind == other.kind;
    let known = !one.conditions.is_empty() && !other.conditions.is_empty();
    let conditions = known.then(|| one.conditions == other.conditions);
    let cause = one.cause.as_ref().zip(other.cause.as_ref()).map(|(one, other)| one == other);
    let held = [("place", Some(place)), ("kind", Some(kind)), ("conditions", conditions), ("cause", cause)];
    let named = |wanted: bool| {
        let fits = move |(name, is): &(&'static str, Option<bool>)| (*is == Some(wanted)).then_some(*name);
        held.iter().filter_map(fits).collect::<Vec<_>>()
    };
    let relation = if place && kind && conditions != Some(false) {
        Relation::Same
    } else if place || conditions == Some(true) || cause == Some(true) {
        Relation::AnotherFace
    } else {
        return None;
    };
    Some(Likeness { relation, alike: named(true), differs: named(false) })
}

/// Everything but the symptom, and what a diagnosis adds.
fn place_of(signature: &Signature) -> impl PartialEq + use<'_> {
    let Signature { flow, after, before, service, operation, path, .. } = signature;
    (flow, after, before, service, operation, path)
}

/// Which of these incidents are like it: the same first, then the latest. The one called `but` is left out.
pub(crate) fn recurrences<'a>(
    signature: &Signature,
    incidents: impl Iterator<Item = &'a Incident>,
    but: Option<&str>,
) -> Vec<Recurrence> {
    let others = incidents.filter(|incident| but != Some(&incident.id));
    let mut alike: Vec<(&Incident, Likeness)> =
        others.filter_map(|incident| Some((incident, likeness(signature, &incident.signature)?))).collect();
    alike.sort_by(|(one, is), (other, and)| {
        is.relation
            .cmp(&and.relation)
            .then_with(|| last_at(other).cmp(last_at(one)))
            .then_with(|| other.id.cmp(&one.id))
    });
    alike.truncate(MAX_TOLD);
    alike.into_iter().map(|(incident, likeness)| recurrence(incident, &likeness)).collect()
}

fn last_at(incident: &Incident) -> &str {
    incident.closing.as_ref().map_or(&incident.opened_at, |closing| &closing.at)
}

fn recurrence(incident: &Incident, likeness: &Likeness) -> Recurrence {
    let id = &incident.id;
    let stands = match (&incident.closing, incident.state) {
        (Some(closing), State::Fixed | State::Patched) => {
            let but = if closing.how == How::Patched { ": only the symptom" } else { "" };
            format!("was closed as {} on {}{but}", closing.how.name(), when::stamp(&closing.at))
        }
        _ => format!("is open since {}", when::stamp(&incident.opened_at)),
    };
    let says = match likeness.relation {
        Relation::Same if incident.state == State::Open => format!("it is what {id} is about, which {stands}"),
        Relation::Same => format!("it came back: {id}, which {stands}"),
        Relation::AnotherFace => {
            let differs = listed(&likeness.differs);
            format!("{id} wearing another face: the same {}, another {differs}; it {stands}", listed(&likeness.alike))
        }
    };
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Recurrence {
        incident: id.clone(),
        relation: likeness.relation,
        alike: owned(&likeness.alike),
        differs: owned(&likeness.differs),
        state: incident.state,
        closing: incident.closing.clone(),
        says,
    }
}

fn listed(names: &[&str]) -> String {
    names.join(" and ")
}

#[cfg(test)]
mod tests {
    use truegreen_model::incident::{Cause, Closing};

    use super::*;

    fn signature() -> Signature {
        Signature {
            kind: "loss".to_owned(),
            flow: "orders".to_owned(),
            after: Some("published".to_owned()),
            before: Some("stock updated".to_owned()),
            ..Signature::default()
        }
    }

    fn conditions(mut of: Signature, conditions: &[&str]) -> Signature {
        of.conditions = conditions.iter().map(|one| (*one).to_owned()).collect();
        of
    }

    fn caused(mut of: Signature, service: &str, operation: &str) -> Signature {
        of.cause = Some(Cause { service: service.to_owned(), operation: Some(operation.to_owned()) });
        of
    }

    fn relation(one: &Signature, other: &Signature) -> Option<Relation> {
        let (there, back) = (likeness(one, other), likeness(other, one));
        assert_eq!(there, back, "likeness has no direction");
        there.map(|likeness| likeness.relation)
    }

    #[test]
    fn place_and_kind_make_it_the_same_unless_other_ones_fail() {
        let backorders = conditions(signature(), &["event.type = backorder"]);
        assert_eq!(relation(&signature(), &signature()), Some(Relation::Same));
        assert_eq!(relation(&signature(), &backorders), Some(Relation::Same), "unknown contradicts nothing");
        let europe = conditions(signature(), &["region = eu"]);
        assert_eq!(relation(&backorders, &europe), Some(Relation::AnotherFace), "the same place, and others fail");
    }

    #[test]
    fn another_symptom_of_the_same_cause_place_or_failing_ones_is_another_face() {
        let elsewhere = Signature { kind: "late".to_owned(), before: Some("shipped".to_owned()), ..signature() };
        assert_eq!(relation(&signature(), &elsewhere), None);
        let silence = Signature { kind: "silence".to_owned(), ..signature() };
        assert_eq!(relation(&signature(), &silence), Some(Relation::AnotherFace));
        let cause = |of: Signature| caused(of, "inventory", "apply");
        assert_eq!(relation(&cause(signature()), &cause(elsewhere.clone())), Some(Relation::AnotherFace));
        let other = caused(elsewhere.clone(), "inventory", "read");
        assert_eq!(relation(&cause(signature()), &other), None, "one service has many ways to fail");
        let failing = |of: Signature| conditions(of, &["event.type = backorder"]);
        assert_eq!(relation(&failing(signature()), &failing(elsewhere)), Some(Relation::AnotherFace));
    }

    #[test]
    fn the_same_stands_first_and_what_is_alike_is_said() {
        let closed = |id: &str, signature: Signature, how: How, at: &str| Incident {
            id: id.to_owned(),
            signature,
            state: if how == How::Fixed { State::Fixed } else { State::Patched },
            closing: Some(Closing { how, what: "a guard".to_owned(), at: at.to_owned(), by: "ana".to_owned() }),
            ..Incident::default()
        };
        let silence = Signature { kind: "silence".to_owned(), ..signature() };
        let all = [
            closed("INC-1", silence, How::Fixed, "2026-03-01T00:00:00Z"),
            closed("INC-2", signature(), How::Patched, "2026-01-01T00:00:00Z"),
            closed("INC-3", signature(), How::Fixed, "2026-02-01T00:00:00Z"),
        ];
        let told: Vec<String> = recurrences(&signature(), all.iter(), None).into_iter().map(|one| one.says).collect();
        assert_eq!(
            told,
            [
                "it came back: INC-3, which was closed as fixed on 2026-02-01 00:00:00 UTC",
                "it came back: INC-2, which was closed as patched on 2026-01-01 00:00:00 UTC: only the symptom",
                "INC-1 wearing another face: the same place, another kind; it was closed as fixed on 2026-03-01 00:00:00 UTC",
            ]
        );
    }
}
