//! What is owed and was not seen: when it was due, who owes it, and since when they are silent.

use truegreen_model::flow::{Flow, Pattern, Signal, Step};
use truegreen_model::passage::{GapReport, OwingReport};
use truegreen_model::report::{JourneyDetail, ServiceReport};

use super::when;

/// Services named where the contract gives a pattern.
const MAX_SERVICES: usize = 8;

/// The gaps of these journeys, the earliest due first.
pub(crate) fn gaps(journeys: &[JourneyDetail], flows: &[Flow], services: &[ServiceReport]) -> Vec<GapReport> {
    let mut gaps: Vec<GapReport> = journeys.iter().flat_map(|journey| of_journey(journey, flows, services)).collect();
    gaps.sort_by_cached_key(|gap| (when::nanos(&gap.due), gap.key.clone(), gap.step.clone()));
    gaps
}

fn of_journey(detail: &JourneyDetail, flows: &[Flow], services: &[ServiceReport]) -> Vec<GapReport> {
    let journey = &detail.journey;
    let state = match (journey.verdict.as_str(), &journey.reason) {
        ("open", None) => "awaited",
        ("open", Some(_)) => "due",
        ("unaccounted", _) => "missing",
        ("unknown", _) => "unknown",
        // A journey that ended otherwise owes nothing any more.
        _ => return Vec::new(),
    };
    let silent_since =
        detail.seen.iter().map(|seen| &seen.at).max_by_key(|at| when::nanos(at)).unwrap_or(&journey.entered_at);
    let steps = flows.iter().find(|flow| flow.name == journey.flow).map_or(&[][..], |flow| &flow.steps);
    let one = |(name, due): (&String, &String)| {
        let patterns = steps.iter().find(|step| step.name == *name).map_or(&[][..], |step: &Step| &step.any_of);
        let mut gap = GapReport {
            flow: journey.flow.clone(),
            key: journey.key.clone(),
            entered_at: journey.entered_at.clone(),
            step: name.clone(),
            after: journey.after.clone(),
            state: state.to_owned(),
            verdict: journey.verdict.clone(),
            reason: journey.reason.clone(),
            silent_since: silent_since.clone(),
            due: due.clone(),
            owed_by: owing(patterns, services),
            expected: patterns.iter().map(expected).collect(),
            says: String::new(),
        };
        gap.says = sentence(&gap);
        gap
    };
    detail.owed.iter().map(one).collect()
}

fn owing(patterns: &[Pattern], services: &[ServiceReport]) -> Vec<OwingReport> {
    let mut owing: Vec<OwingReport> = Vec::new();
    for text in patterns.iter().filter_map(|pattern| pattern.service.as_ref()) {
        let heard = services.iter().filter(|service| text.matches(service.service.as_bytes()));
        let mut heard: Vec<OwingReport> = heard
            .map(|service| OwingReport {
                service: service.service.clone(),
                last_heard: Some(service.last_heard.clone()),
            })
            .collect();
        if heard.is_empty() {
            heard.push(OwingReport { service: text.0.clone(), last_heard: None });
        }
        for service in heard {
            if owing.len() < MAX_SERVICES && !owing.contains(&service) {
                owing.push(service);
            }
        }
    }
    owing
}

fn expected(pattern: &Pattern) -> String {
    let signal = match (pattern.signal, pattern.kind) {
        (Signal::Span, Some(kind)) => format!("{} span", format!("{kind:?}").to_lowercase()),
        (Signal::Span, None) => "span".to_owned(),
        (Signal::Log, _) => "log record".to_owned(),
        (Signal::Event, _) => "event".to_owned(),
    };
    let name = pattern.name.as_ref().map(|name| format!(" \"{}\"", name.0)).unwrap_or_default();
    let service = pattern.service.as_ref().map(|service| format!(" of {}", service.0)).unwrap_or_default();
    let further = if pattern.attributes.is_empty() && pattern.body.is_none() && pattern.severity_at_least.is_none() {
        ""
    } else {
        ", with what the contract asks of it besides"
    };
    format!("{signal}{name}{service}{further}")
}

fn sentence(gap: &GapReport) -> String {
    let due = when::stamp(&gap.due);
    let mut text = match gap.state.as_str() {
        "awaited" => format!("`{}` is due at {due}", gap.step),
        "due" => {
            format!("`{}` was due at {due} and is not here; whether that proves anything is not decided", gap.step)
        }
        "missing" if gap.reason.as_deref() == Some("effect_missing") => {
            format!("`{}` was said to be done, and its effect is not there", gap.step)
        }
        "missing" => format!("`{}` was due at {due} and never came", gap.step),
        _ => format!("`{}` was due at {due} and was not seen, which proves nothing", gap.step),
    };
    match (gap.state.as_str(), &gap.reason) {
        ("missing" | "unknown", Some(reason)) => text.push_str(&format!(": {} ({reason})", gap.verdict)),
        ("missing" | "unknown", None) => text.push_str(&format!(": {}", gap.verdict)),
        _ => {}
    }
    for owing in &gap.owed_by {
        match &owing.last_heard {
            Some(heard) => {
                text.push_str(&format!(
                    "; {} owes it and was last heard at {}",
                    owing.service,
                    when::beside(heard, &gap.due)
                ));
            }
            None => text.push_str(&format!("; {} owes it and was never heard", owing.service)),
        }
    }
    let last = gap.after.as_ref().map(|step| format!("`{step}`, the last step,")).unwrap_or_else(|| "it".to_owned());
    text.push_str(&format!("; {last} was seen at {}", when::beside(&gap.silent_since, &gap.due)));
    text
}

#[cfg(test)]
mod tests {
    use truegreen_engine::flow::{Source, compile};
    use truegreen_model::report::{JourneyReport, SeenReport};

    use super::*;

    #[test]
    fn a_gap_says_what_was_due_when_and_who_owes_it() {
        let text = "
flow: orders
key: order.id
start: {name: placed, span: place order, service: shop}
steps:
  - {name: shipped, span: ship order, service: depot, kind: client, within: 10s}
";
        let flows = compile(&[Source { path: "orders.yaml".to_owned(), text: text.to_owned() }]).unwrap().flows;
        let mut detail = JourneyDetail {
            journey: JourneyReport {
                flow: "orders".to_owned(),
                key: "o-1".to_owned(),
                verdict: "unaccounted".to_owned(),
                reason: Some("vanished".to_owned()),
                after: Some("placed".to_owned()),
                entered_at: "2026-01-01T10:00:00Z".to_owned(),
                confirmed: false,
            },
            seen: vec![SeenReport {
                step: "placed".to_owned(),
                at: "2026-01-01T10:00:01Z".to_owned(),
                service: "shop".to_owned(),
                instance: String::new(),
                trace_id: None,
                attempt: false,
                reason: None,
                sequence: 1,
                offset: 0,
            }],
            owed: [("shipped".to_owned(), "2026-01-01T10:00:12Z".to_owned())].into(),
            asked: Vec::new(),
        };
        let gap = &gaps(&[detail.clone()], &flows, &[])[0];
        assert_eq!((gap.state.as_str(), gap.silent_since.as_str()), ("missing", "2026-01-01T10:00:01Z"));
        assert_eq!(gap.expected, ["client span \"ship order\" of depot"]);
        let says = "`shipped` was due at 2026-01-01 10:00:12 UTC and never came: unaccounted (vanished); depot owes it and was \
                    never heard; `placed`, the last step, was seen at 10:00:01 UTC";
        assert_eq!(gap.says, says);
        detail.journey.verdict = "completed".to_owned();
        assert_eq!(gaps(&[detail], &flows, &[]), []);
    }
}
