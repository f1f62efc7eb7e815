//! A flow in plain words, for someone on call who has never seen its contract.

use std::fmt::Write as _;

use truegreen_model::flow::{
    Allowance, Condition, Confirm, Exit, ExitOutcome, Expected, FanOut, Flow, Key, Limits, Pattern, ReasonSource,
    Reconcile, Reentry, Signal, SpanKind, Step, StepId, Test, Text,
};

use super::duration;

/// What the flow promises, in plain words: what enters, what is then owed by when, the lawful ways out, and when it
/// becomes a finding. Several lines, the last one ended.
pub fn describe(flow: &Flow) -> String {
    let mut text = flow.name.clone();
    if !flow.description.is_empty() {
        text.push_str(": ");
        text.push_str(&flow.description);
    }
    text.push_str("\n\n");
    for line in [journey(flow), start(flow)] {
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str("\nThen it owes:\n");
    for (index, step) in flow.steps.iter().enumerate().skip(1) {
        owed(&mut text, flow, index, step);
    }
    if !flow.exits.is_empty() {
        text.push_str("\nOr it may end lawfully before that:\n");
        for exit in &flow.exits {
            way_out(&mut text, exit);
        }
    }
    text.push('\n');
    for line in rules(flow) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn journey(flow: &Flow) -> String {
    let mut text = match &flow.key {
        Key::TraceId => "A journey is one trace".to_owned(),
        Key::Attributes(names) => format!("A journey is one value of {}", either(names)),
    };
    match flow.scope.as_slice() {
        [] => text.push_str(", wherever it is seen"),
        names => {
            let _ = write!(text, " within one {}", joined(names, "and one"));
        }
    }
    text.push('.');
    for bind in &flow.bind {
        let _ = write!(text, " {} names it too, as {} tells.", bind.attribute, alternatives(&bind.on));
    }
    text
}

fn start(flow: &Flow) -> String {
    let Some(start) = flow.steps.first() else {
        return String::new();
    };
    format!("It enters ({}) with {}.", start.name, alternatives(&start.any_of))
}

fn owed(text: &mut String, flow: &Flow, index: usize, step: &Step) {
    let after = flow.steps.get(usize::from(step.after.0)).map_or("", |step| step.name.as_str());
    let _ = write!(text, "  {index}. {}", step.name);
    if step.optional {
        text.push_str(" (optional)");
    }
    if !step.within.is_zero() {
        let _ = write!(text, ", within {} of {after}", duration::format(step.within));
    } else if step.after != StepId::START {
        let _ = write!(text, ", after {after}");
    }
    match &step.fan_out {
        Some(FanOut::ForEach { attribute, item }) if attribute == item => {
            let _ = write!(text, ", once for each of {attribute}");
        }
        Some(FanOut::ForEach { attribute, item }) => {
            let _ = write!(text, ", once for each of {attribute} (told apart by {item})");
        }
        Some(FanOut::CountFrom { attribute }) => {
            let _ = write!(text, ", as many times as {attribute} says");
        }
        None => {}
    }
    if !step.when.is_empty() {
        let _ = write!(text, ", only if {}", conditions(&step.when));
    }
    if !step.unless.is_empty() {
        let _ = write!(text, ", unless {}", conditions(&step.unless));
    }
    let _ = writeln!(text, ":\n     {}", alternatives(&step.any_of));
    if let Some(confirm) = &step.confirm {
        let _ = writeln!(text, "     {}", lookup(confirm));
    }
}

/// Who is asked, what for, and of which journeys.
fn lookup(confirm: &Confirm) -> String {
    let expected = match &confirm.expect {
        Expected::Row => "a row".to_owned(),
        Expected::Nothing => "nothing".to_owned(),
        Expected::Columns(columns) => {
            let columns: Vec<String> = columns.iter().map(|(column, value)| format!("{column} = {value}")).collect();
            format!("a row with {}", joined(&columns, "and"))
        }
    };
    let sampled = match confirm.sample {
        0.0 => String::new(),
        share => format!(", and of {} of those that completed", percent(share)),
    };
    format!(
        "{} is asked of each journey that is missing{sampled}, {} later: {}\n     and must have {expected}",
        confirm.system,
        duration::format(confirm.after),
        confirm.ask.lines().map(str::trim).collect::<Vec<_>>().join(" "),
    )
}

fn way_out(text: &mut String, exit: &Exit) {
    let outcome = match exit.outcome {
        ExitOutcome::Rejected => "rejected",
        ExitOutcome::DeadLettered => "dead-lettered",
    };
    let reason = match &exit.reason {
        ReasonSource::Attributes(names) => format!("its reason read from {}", joined(names, "or else")),
        ReasonSource::Fixed(reason) => format!("its reason always \"{reason}\""),
    };
    let patterns = alternatives(&exit.any_of);
    let _ = writeln!(text, "  - {}: {outcome}, {reason}:\n     {patterns}", exit.name);
}

fn rules(flow: &Flow) -> Vec<String> {
    let mut lines = vec![format!("Every deadline has {} of grace.", duration::format(flow.grace))];
    lines.push(match flow.reentry {
        Reentry::Once => "A second start of the same key is the same journey, counted as a duplicate.".to_owned(),
        Reentry::After(gap) => format!(
            "A second start of the same key at least {} after the last is a new journey.",
            duration::format(gap)
        ),
    });
    lines.push(unaccounted(&flow.limits));
    let limits = limits(&flow.limits);
    if !limits.is_empty() {
        lines.push(format!("So are more than {}.", joined(&limits, "or")));
    }
    if let Some(expect) = &flow.expect {
        lines.push(format!(
            "At least {} are expected to enter every {}; with fewer, nobody can tell whether it works.",
            expect.at_least,
            duration::format(expect.per)
        ));
    }
    for (service, share) in &flow.sampled {
        lines.push(format!("{service} keeps only {} of its traces.", percent(*share)));
    }
    lines.extend(flow.reconcile.iter().map(counter));
    lines
}

fn unaccounted(limits: &Limits) -> String {
    match (limits.allowance(), limits.abandonment) {
        (None, _) => "One unaccounted journey is a finding.".to_owned(),
        (Some(Allowance::Share(share)), None) => {
            format!("Unaccounted journeys are a finding once they are surely more than {}.", percent(share))
        }
        (Some(Allowance::Usual), None) => {
            "Unaccounted journeys are a finding once they are surely more than this flow is used to at that step."
                .to_owned()
        }
        (Some(Allowance::Share(share)), Some(_)) => {
            format!("People may leave at any step; it is a finding once surely more than {} do.", percent(share))
        }
        (Some(Allowance::Usual), Some(_)) => {
            "People may leave at any step; it is a finding once surely more do than is usual for that step.".to_owned()
        }
    }
}

fn counter(counter: &Reconcile) -> String {
    let mut text = format!("The counter {}", counter.metric);
    if let Some(service) = &counter.service {
        let _ = write!(text, " of {service}");
    }
    if !counter.attributes.is_empty() {
        let _ = write!(text, " with {}", conditions(&counter.attributes));
    }
    text.push_str(" must agree with the journeys ");
    text.push_str(match counter.outcome {
        Some(ExitOutcome::Rejected) => "rejected",
        Some(ExitOutcome::DeadLettered) => "dead-lettered",
        None => "rejected or dead-lettered",
    });
    if let Some(by) = &counter.by {
        let _ = write!(text, ", reason by reason ({by})");
    }
    text.push('.');
    text
}

fn limits(limits: &Limits) -> Vec<String> {
    let shares = [
        (limits.rejected, "rejected"),
        (limits.dead_lettered, "dead-lettered"),
        (limits.late, "late"),
        (limits.unknown, "unknown"),
    ];
    let given = shares.iter().filter_map(|(share, end)| Some(format!("{} {end}", percent((*share)?))));
    given.collect()
}

fn percent(share: f64) -> String {
    // To a millionth of a percent, so that 0.07 is not shown as 7.000000000000001 %.
    let rounded = (share * 100.0 * 1e6).round() / 1e6;
    format!("{rounded} %")
}

fn alternatives(patterns: &[Pattern]) -> String {
    let patterns: Vec<String> = patterns.iter().map(pattern).collect();
    patterns.join(",\n     or ")
}

fn pattern(pattern: &Pattern) -> String {
    let kind = match pattern.kind {
        Some(SpanKind::Server) => "a server span",
        Some(SpanKind::Client) => "a client span",
        Some(SpanKind::Producer) => "a producer span",
        Some(SpanKind::Consumer) => "a consumer span",
        Some(SpanKind::Internal) => "an internal span",
        Some(SpanKind::Unspecified) => "a span of no kind",
        None => match pattern.signal {
            Signal::Span => "a span",
            Signal::Log => "a log record",
            Signal::Event => "an event",
        },
    };
    let mut text = kind.to_owned();
    if let Some(name) = &pattern.name {
        let _ = write!(text, " \"{}\"", name.0);
    }
    if let Some(service) = &pattern.service {
        let _ = write!(text, " from {}", service.0);
    }
    let mut tests = Vec::new();
    if let Some(severity) = pattern.severity_at_least {
        tests.push(format!("severity {} or worse", severity_word(severity)));
    }
    if let Some(body) = &pattern.body {
        tests.push(format!("the text \"{}\"", body.0));
    }
    if !pattern.attributes.is_empty() {
        tests.push(conditions(&pattern.attributes));
    }
    if !tests.is_empty() {
        let _ = write!(text, " with {}", joined(&tests, "and"));
    }
    text
}

fn severity_word(severity: u8) -> String {
    match super::pattern::SEVERITIES.iter().find(|(_, number)| *number == severity) {
        Some((word, _)) => (*word).to_owned(),
        None => severity.to_string(),
    }
}

fn conditions(conditions: &[Condition]) -> String {
    let all: Vec<String> = conditions.iter().map(condition).collect();
    joined(&all, "and")
}

fn condition(condition: &Condition) -> String {
    let name = &condition.attribute;
    match &condition.test {
        Test::AnyOf(values) => format!("{name} = {}", choices(values, "or")),
        Test::NoneOf(values) => format!("{name} present and not {}", choices(values, "nor")),
        Test::Present => format!("{name} present"),
        Test::Absent => format!("{name} absent"),
        Test::Number { at_least, below } => match (at_least, below) {
            (Some(at_least), Some(below)) => format!("{name} from {at_least} to below {below}"),
            (Some(at_least), None) => format!("{name} at least {at_least}"),
            (None, Some(below)) => format!("{name} below {below}"),
            (None, None) => format!("{name} a number"),
        },
    }
}

fn choices(values: &[Text], word: &str) -> String {
    let values: Vec<String> = values.iter().map(|value| value.0.clone()).collect();
    joined(&values, word)
}

fn either(names: &[String]) -> String {
    match names {
        [first, rest @ ..] if !rest.is_empty() => format!("{first} (also called {})", joined(rest, "and")),
        names => joined(names, "and"),
    }
}

fn joined(words: &[String], word: &str) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}
