//! What is lawful in a contract and yet may not promise what its author thinks.

use truegreen_model::flow::{Flow, Pattern, Signal, SpanKind, Step, StepId};

use super::contract::Places;
use super::diagnostic::{Notes, quoted};

pub(super) fn warn(flow: &Flow, places: &Places, notes: &mut Notes<'_>) {
    for (index, step) in flow.steps.iter().enumerate() {
        let Some(place) = places.steps.get(index) else { continue };
        if step.any_of.iter().any(matches_everything) {
            notes.warning_with(
                place,
                format!("{} matches every {} there is", quoted(&step.name), signal_word(&step.any_of)),
                "name the record, its service or an attribute",
            );
        } else if index > 0 && !step.optional && step.any_of.iter().any(|pattern| pattern.service.is_none()) {
            notes.warning_with(
                place,
                format!("step {} does not name the service that owes it", quoted(&step.name)),
                "add `service:`; until it is learned from traffic, a missing step is `unknown(never_seen)` and not unaccounted",
            );
        }
        if ends_the_flow(flow, index) && step.any_of.iter().any(is_only_a_process_span) {
            notes.warning_with(
                place,
                format!("{} ends the flow with a consumer's process span only", quoted(&step.name)),
                "it ends just as well when the message is skipped; ask for the effect, such as the row written",
            );
        }
    }
    same_records(flow, places, notes);
    // Where people may just leave, an exit is a nicety.
    if flow.exits.is_empty() && flow.limits.abandonment.is_none() {
        notes.warning_with(
            &places.flow,
            format!("flow {} has no lawful exit", quoted(&flow.name)),
            "whatever is refused or dead-lettered will be unaccounted; add `exits:` if that can happen",
        );
    }
    if flow.steps.iter().skip(1).all(|step| step.optional) {
        notes.warning_with(
            &places.flow,
            format!("flow {} owes nothing: every step is optional", quoted(&flow.name)),
            "a journey is completed as soon as it enters; make the effect a required step",
        );
    }
}

/// Whether the step is required and no required step follows from it.
fn ends_the_flow(flow: &Flow, index: usize) -> bool {
    let follows = |step: &Step| {
        let mut at = step.after;
        // `after` always falls until it reaches the start.
        loop {
            if usize::from(at.0) == index {
                return true;
            }
            match flow.steps.get(usize::from(at.0)) {
                Some(earlier) if at != StepId::START && earlier.after < at => at = earlier.after,
                _ => return false,
            }
        }
    };
    let required = flow.steps.get(index).is_some_and(|step| !step.optional);
    index > 0 && required && !flow.steps.iter().skip(index + 1).any(|step| !step.optional && follows(step))
}

fn is_only_a_process_span(pattern: &Pattern) -> bool {
    pattern.signal == Signal::Span && pattern.kind == Some(SpanKind::Consumer) && pattern.attributes.is_empty()
}

fn matches_everything(pattern: &Pattern) -> bool {
    let Pattern { signal: _, service: None, name: None, kind: None, body: None, severity_at_least: None, attributes } =
        pattern
    else {
        return false;
    };
    attributes.is_empty()
}

fn signal_word(patterns: &[Pattern]) -> &'static str {
    match patterns.iter().find(|pattern| matches_everything(pattern)).map(|pattern| pattern.signal) {
        Some(Signal::Log) => "log record",
        Some(Signal::Event) => "event",
        _ => "span",
    }
}

/// One record that stands for two places makes the second say nothing.
fn same_records(flow: &Flow, places: &Places, notes: &mut Notes<'_>) {
    let steps = flow.steps.iter().map(|step| (&step.name, &step.any_of)).zip(&places.steps);
    let exits = flow.exits.iter().map(|exit| (&exit.name, &exit.any_of)).zip(&places.exits);
    let all: Vec<_> = steps.chain(exits).collect();
    for (index, ((name, patterns), place)) in all.iter().enumerate() {
        let twin =
            all[..index].iter().find(|((_, earlier), _)| patterns.iter().any(|pattern| earlier.contains(pattern)));
        if let Some(((earlier, _), _)) = twin {
            notes.warning_with(
                place,
                format!("{} and {} match the same records", quoted(name), quoted(earlier)),
                "tell them apart by name, service or an attribute",
            );
        }
    }
}
