//! An answer as rows from top to bottom, for terminal and page alike: spans as a tree, log lines below their spans, and
//! the gap drawn below the last step that was seen before it, and what systems say beside the step that it is about.

use std::collections::BTreeSet;

use truegreen_model::answer::SystemAnswer;
use truegreen_model::passage::{GapReport, LogReport, PassageReport, SpanReport, StepReport};
use truegreen_model::report::{JourneyDetail, SeenReport};

use super::scale::Scale;
use super::when;

/// What a row is about.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Subject<'r> {
    /// A span.
    Span(&'r SpanReport),
    /// A log record or an event that belongs to no span here.
    Log(&'r LogReport),
    /// A step that was seen, whose record is not here.
    Seen(&'r SeenReport),
    /// A step that was not seen.
    Gap(&'r GapReport),
    /// What a system said that was asked now: it stands at the right end, whatever time it is.
    Answer(&'r SystemAnswer),
}

/// How a row is to be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// It shows a step.
    Step,
    /// It shows a lawful exit.
    Exit,
    /// It failed.
    Failed,
    /// Something is missing.
    Missing,
    /// Something is awaited, or nothing can be proven.
    Open,
    /// It happened besides.
    Beside,
}

/// One row.
#[derive(Clone, PartialEq, Debug)]
pub struct Row<'r> {
    /// What it is about.
    pub subject: Subject<'r>,
    /// How deep in the tree.
    pub depth: u32,
    /// When it began, in nanoseconds since 1970.
    pub from: u64,
    /// When it ended.
    pub to: u64,
    /// Who sent it, or owes it.
    pub service: String,
    /// What it is called.
    pub what: String,
    /// How it came out, in a few words.
    pub outcome: String,
    /// How to look at it.
    pub tone: Tone,
}

/// An answer ready to be drawn.
#[derive(Clone, Debug)]
pub struct Drawing<'r> {
    /// From top to bottom.
    pub rows: Vec<Row<'r>>,
    /// From left to right.
    pub scale: Scale,
    /// When the first began.
    pub from: u64,
    /// Whether it goes past midnight, UTC.
    pub spans_days: bool,
}

/// Draws an answer.
pub fn drawing(report: &PassageReport) -> Drawing<'_> {
    let names = StepNames::of(report);
    // A root with all that is below it, a loose log line, a step without its record: each by its time.
    let mut groups: Vec<Vec<Row<'_>>> = Vec::new();
    for span in &report.spans {
        let row = span_row(span, &names);
        match groups.last_mut() {
            Some(group) if row.depth > 0 => group.push(row),
            _ => groups.push(vec![row]),
        }
    }
    groups.extend(report.logs.iter().map(|log| vec![log_row(log, &names)]));
    let shown = evidence(report);
    for detail in &report.journeys {
        let unshown = detail.seen.iter().filter(|seen| !shown.contains(&(seen.sequence, seen.offset)));
        groups.extend(unshown.map(|seen| vec![seen_row(detail, seen, &names)]));
    }
    groups.sort_by_key(|group| group.first().map(|row| row.from));
    let mut rows: Vec<Row<'_>> = groups.into_iter().flatten().collect();
    for gap in report.gaps.iter().rev() {
        let (at, depth) = place_of(gap, &rows);
        rows.insert(at, gap_row(gap, depth, &names));
    }
    let now = rows.iter().map(|row| row.to).max();
    let mut placed: Vec<_> = report.answers.iter().map(|answer| (place_of_answer(answer, &rows), answer)).collect();
    placed.sort_by_key(|((at, _), _)| *at);
    for ((at, depth), answer) in placed.into_iter().rev() {
        rows.insert(at, answer_row(answer, depth, now, &names));
    }

    let from = rows.iter().map(|row| row.from).min().unwrap_or(0);
    let to = rows.iter().map(|row| row.to).max().unwrap_or(0);
    let stretches = rows.iter().flat_map(|row| match row.subject {
        // Nothing happens in a gap: its ends are moments.
        Subject::Gap(_) | Subject::Answer(_) => [(row.from, row.from), (row.to, row.to)],
        _ => [(row.from, row.to); 2],
    });
    Drawing { scale: Scale::of(stretches), from, spans_days: when::date(from) != when::date(to), rows }
}

impl Row<'_> {
    /// How long it took; nothing for what took no time.
    pub fn took(&self) -> Option<u64> {
        match self.subject {
            Subject::Span(_) => Some(self.to - self.from),
            Subject::Answer(answer) => Some((answer.seconds * 1e9) as u64),
            _ => None,
        }
    }

    /// The time that is told of it; none for what did not happen.
    pub fn time(&self) -> Option<u64> {
        match self.subject {
            Subject::Gap(_) => None,
            Subject::Answer(answer) => when::nanos(&answer.asked_at),
            _ => Some(self.from),
        }
    }

    /// What was logged in it.
    pub fn logs(&self) -> &[LogReport] {
        match self.subject {
            Subject::Span(span) => &span.logs,
            _ => &[],
        }
    }
}

/// Steps are called by their name alone where no two can be meant.
struct StepNames {
    many_flows: bool,
    many_keys: bool,
}

impl StepNames {
    fn of(report: &PassageReport) -> StepNames {
        let journeys = || report.journeys.iter().map(|detail| &detail.journey);
        let flows: BTreeSet<_> = journeys().map(|journey| &journey.flow).collect();
        let keys: BTreeSet<_> = journeys().map(|journey| &journey.key).collect();
        StepNames { many_flows: flows.len() > 1, many_keys: keys.len() > 1 }
    }

    fn name(&self, flow: &str, key: &str, step: &str) -> String {
        let flow = if self.many_flows { format!(" in {flow}") } else { String::new() };
        let key = if self.many_keys { format!(" of {key}") } else { String::new() };
        format!("{step}{key}{flow}")
    }

    fn outcome(&self, step: &StepReport) -> String {
        let name = self.name(&step.flow, &step.key, &step.step);
        let reason = step.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        match (step.exit, step.attempt) {
            (true, _) => format!("↪ {name}{reason}"),
            (false, true) => format!("✘ failed attempt: {name}"),
            (false, false) => format!("✔ {name}"),
        }
    }
}

fn outcomes(steps: &[StepReport], names: &StepNames) -> String {
    steps.iter().map(|step| names.outcome(step)).collect::<Vec<_>>().join(", ")
}

fn tone(steps: &[StepReport]) -> Tone {
    match steps {
        [] => Tone::Beside,
        steps if steps.iter().any(|step| step.exit) => Tone::Exit,
        steps if steps.iter().any(|step| !step.attempt) => Tone::Step,
        _ => Tone::Failed,
    }
}

fn span_row<'r>(span: &'r SpanReport, names: &StepNames) -> Row<'r> {
    let from = when::nanos(&span.started_at).unwrap_or(0);
    let failed = span.status == "error";
    let mut outcome = outcomes(&span.steps, names);
    if failed {
        let why = span.status_message.as_ref().or_else(|| span.attributes.get("error.type"));
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        outcome = if outcome.is_empty() { format!("✘ failed{why}") } else { format!("{outcome}{why}") };
    }
    if span.placed_by == "parent_not_seen" {
        outcome.push_str(if outcome.is_empty() { "its parent was not seen" } else { "; its parent was not seen" });
    }
    let tone = match tone(&span.steps) {
        Tone::Beside if failed => Tone::Failed,
        tone => tone,
    };
    Row {
        subject: Subject::Span(span),
        depth: span.depth,
        from,
        to: from.saturating_add(span.duration_nanos),
        service: span.service.clone(),
        what: span.name.clone(),
        outcome,
        tone,
    }
}

fn log_row<'r>(log: &'r LogReport, names: &StepNames) -> Row<'r> {
    let at = when::nanos(&log.at).unwrap_or(0);
    Row {
        subject: Subject::Log(log),
        depth: 0,
        from: at,
        to: at,
        service: log.service.clone(),
        what: log_line(log),
        outcome: outcomes(&log.steps, names),
        tone: tone(&log.steps),
    }
}

fn seen_row<'r>(detail: &JourneyDetail, seen: &'r SeenReport, names: &StepNames) -> Row<'r> {
    let at = when::nanos(&seen.at).unwrap_or(0);
    let name = names.name(&detail.journey.flow, &detail.journey.key, &seen.step);
    let reason = seen.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    Row {
        subject: Subject::Seen(seen),
        depth: 0,
        from: at,
        to: at,
        service: seen.service.clone(),
        what: "(its record is not here)".to_owned(),
        outcome: if seen.attempt { format!("✘ failed attempt: {name}") } else { format!("✔ {name}{reason}") },
        tone: if seen.attempt { Tone::Failed } else { Tone::Step },
    }
}

fn gap_row<'r>(gap: &'r GapReport, depth: u32, names: &StepNames) -> Row<'r> {
    let due = when::nanos(&gap.due).unwrap_or(0);
    let since = when::nanos(&gap.silent_since).unwrap_or(due);
    let reason = gap.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let clock = when::beside(&gap.due, &gap.silent_since);
    let clock = clock.trim_end_matches(" UTC");
    let (outcome, tone) = match gap.state.as_str() {
        "awaited" => (format!("awaited, due {clock}"), Tone::Open),
        "due" => (format!("DUE since {clock}"), Tone::Open),
        "missing" => (format!("MISSING{reason}, due {clock}"), Tone::Missing),
        _ => (format!("UNKNOWN{reason}, due {clock}"), Tone::Open),
    };
    let owing: Vec<_> = gap.owed_by.iter().map(|owing| owing.service.as_str()).collect();
    Row {
        subject: Subject::Gap(gap),
        depth,
        from: since.min(due),
        to: due,
        service: owing.join(", "),
        what: names.name(&gap.flow, &gap.key, &gap.step),
        outcome,
        tone,
    }
}

fn answer_row<'r>(answer: &'r SystemAnswer, depth: u32, now: Option<u64>, names: &StepNames) -> Row<'r> {
    let at = now.or_else(|| when::nanos(&answer.asked_at)).unwrap_or(0);
    let what = match (answer.way.as_str(), &answer.flow) {
        ("effect", Some(flow)) => names.name(flow, &answer.key, &answer.of),
        ("dead_letters", _) => "dead letters".to_owned(),
        _ => answer.of.clone(),
    };
    Row {
        subject: Subject::Answer(answer),
        depth,
        from: at,
        to: at,
        service: answer.system.clone(),
        what,
        outcome: format!("{} {}", mark(answer), answer.says),
        tone: answer_tone(answer),
    }
}

/// How to look at what a system said.
pub fn answer_tone(answer: &SystemAnswer) -> Tone {
    match (answer.way.as_str(), answer.standing.as_str(), answer.is_there) {
        (_, "cannot_tell", _) => Tone::Open,
        ("effect", _, Some(true)) => Tone::Step,
        ("effect", ..) => Tone::Missing,
        ("dead_letters", "found", _) => Tone::Failed,
        _ => Tone::Beside,
    }
}

/// The same as one character.
pub fn mark(answer: &SystemAnswer) -> char {
    match (answer_tone(answer), answer.standing.as_str()) {
        (Tone::Open, _) => '?',
        (Tone::Missing | Tone::Failed, _) => '✘',
        (Tone::Step, _) | (_, "found") => '✔',
        _ => '–',
    }
}

/// Below the gap of the step that it is about, else below what showed that step; at the end where it is about none.
fn place_of_answer(answer: &SystemAnswer, rows: &[Row<'_>]) -> (usize, u32) {
    let Some(step) = &answer.step else { return (rows.len(), 0) };
    let is_own = |flow: &str, key: &str| answer.flow.as_deref() == Some(flow) && answer.key == key;
    let is_missing =
        |row: &Row<'_>| matches!(row.subject, Subject::Gap(gap) if gap.step == *step && is_own(&gap.flow, &gap.key));
    if let Some(above) = rows.iter().rposition(is_missing) {
        return (above + 1, rows[above].depth);
    }
    let shows = |row: &Row<'_>| {
        let steps = match row.subject {
            Subject::Span(span) => &span.steps[..],
            Subject::Log(log) => &log.steps,
            Subject::Seen(seen) => return seen.step == *step,
            Subject::Gap(_) | Subject::Answer(_) => return false,
        };
        steps.iter().any(|shown| shown.step == *step && is_own(&shown.flow, &shown.key))
    };
    match rows.iter().rposition(shows) {
        Some(above) => (above + 1 + below(rows, above), rows[above].depth + 1),
        None => (rows.len(), 0),
    }
}

/// How many rows belong to this one.
fn below(rows: &[Row<'_>], above: usize) -> usize {
    rows[above + 1..].iter().take_while(|row| row.depth > rows[above].depth).count()
}

/// Below everything that belongs to the last step seen before it; at the end where that is not here.
fn place_of(gap: &GapReport, rows: &[Row<'_>]) -> (usize, u32) {
    let shows = |row: &Row<'_>| match row.subject {
        Subject::Span(span) => is_step_before(&span.steps, gap),
        Subject::Log(log) => is_step_before(&log.steps, gap),
        Subject::Seen(seen) => Some(&seen.step) == gap.after.as_ref(),
        Subject::Gap(_) | Subject::Answer(_) => false,
    };
    let Some(above) = rows.iter().rposition(shows) else { return (rows.len(), 0) };
    (above + 1 + below(rows, above), rows[above].depth + 1)
}

fn is_step_before(steps: &[StepReport], gap: &GapReport) -> bool {
    steps.iter().any(|step| step.flow == gap.flow && step.key == gap.key && Some(&step.step) == gap.after.as_ref())
}

/// Where the records that are here stand.
fn evidence(report: &PassageReport) -> BTreeSet<(u64, u32)> {
    let spans = report.spans.iter();
    let of_spans = spans.clone().map(|span| (span.sequence, span.offset));
    let logs = spans.flat_map(|span| &span.logs).chain(&report.logs);
    of_spans.chain(logs.map(|log| (log.sequence, log.offset))).collect()
}

/// A log record in one line.
pub fn log_line(log: &LogReport) -> String {
    let parts = [log.severity.as_deref(), log.name.as_deref(), Some(log.text.as_str())];
    let mut line = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    // Of an event without a message its attributes are the message.
    if log.text.is_empty() {
        for (name, value) in &log.attributes {
            line.push_str(&format!(" {name}={value}"));
        }
    }
    line
}

#[cfg(test)]
pub(crate) mod samples;
