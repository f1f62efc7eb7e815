//! The model as contracts in YAML, ready to be read, mended and promoted; and as JSON.

use serde::Serialize;
use truegreen_model::flow::SpanKind;

use super::model::{Expectation, LearnedFlow, Model};
use super::steps::CourseStep;
use super::tolerance::{lower, upper};
use super::vocabulary::{Activity, ActivityId};

/// Longest name of a flow or step.
const MAX_NAME: usize = 80;

/// Contracts as YAML, one document each, with what speaks for each step as a comment. `key` names a case of a plain
/// event log. Flows that owe nothing are no promise, and are left out.
pub fn yaml(model: &Model, key: &str) -> String {
    let mut out = String::new();
    for flow in model.flows.iter().filter(|flow| !flow.course.steps.is_empty()) {
        if !out.is_empty() {
            out.push_str("---\n");
        }
        one(model, flow, key, false, &mut out);
    }
    out
}

/// What the names of contracts that are put in force by themselves begin with…
pub const LEARNED: &str = "learned-";
/// …and what they say of themselves.
pub const LEARNED_FROM: &str = "Learned from ";
/// No less than this share is allowed to be broken: learning from many healthy cases is no proof of never.
const LEAST_ALLOWED: f64 = 0.005;

/// The contract of one flow as it is put in force without anybody having read it: told by its name, and with the share of
/// journeys that usually breaks it, as an upper bound.
pub fn promised(model: &Model, flow: &LearnedFlow) -> String {
    let mut out = String::new();
    one(model, flow, "case", true, &mut out);
    out
}

fn one(model: &Model, flow: &LearnedFlow, key: &str, is_promised: bool, out: &mut String) {
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    let vocabulary = &model.vocabulary;
    let noise = 100.0 * flow.breaking;
    line(format!("# Learned from {} cases, of which {noise:.1} % broke one of the expectations.", flow.cases));
    if is_promised {
        line(format!("flow: {LEARNED}{}", flow.name));
        line(format!("description: {LEARNED_FROM}{} cases, of which {noise:.1} % broke it.", flow.cases));
    } else {
        line(format!("flow: {}", flow.name));
    }
    let key = match (&flow.key, model.plain) {
        (Some(key), _) => quoted(key),
        (None, true) => quoted(key),
        (None, false) => "trace_id".to_owned(),
    };
    line(format!("key: {key}"));
    let mut names = Vec::new();
    let patterns = |ids: &[ActivityId]| pattern(model, ids);
    let start = name_of(model, &flow.course.start, &mut names);
    line(format!("start: {{name: {start}, {}}}", patterns(&flow.course.start)));
    line("steps:".to_owned());
    let mut step_names = vec![start];
    for (index, step) in flow.course.steps.iter().enumerate() {
        let name = name_of(model, &step.any_of, &mut names);
        let after = match step.after == index {
            true => String::new(),
            false => format!(", after: {}", step_names.get(step.after).map_or("start", String::as_str)),
        };
        let condition = step.condition.as_ref().map_or_else(String::new, |condition| {
            let (word, test) = condition.words(vocabulary);
            format!(", {word}: {test}")
        });
        let within = span_of_time(step.within);
        let patterns = patterns(&step.any_of);
        let support = support(step);
        line(format!("  - {{name: {name}, {patterns}, within: {within}{after}{condition}}} # {support}"));
        step_names.push(name);
    }
    if !flow.course.exits.is_empty() {
        line("exits:".to_owned());
    }
    for exit in &flow.course.exits {
        let name = name_of(model, &[exit.activity], &mut names);
        let reason = match &exit.reason {
            Some(attribute) => format!("{{attribute: {}}}", quoted(attribute)),
            None => format!("{{fixed: {name}}}"),
        };
        let patterns = patterns(&[exit.activity]);
        line(format!("  - {{name: {name}, {patterns}, outcome: rejected, reason: {reason}}} # {} cases", exit.cases));
    }
    if is_promised {
        let broken = (flow.breaking * f64::from(flow.cases)).round() as u32;
        let allowed = (1_000.0 * upper(broken, flow.cases).max(LEAST_ALLOWED)).ceil() / 10.0;
        line(format!("limits: {{unaccounted: {allowed:.1}%}}"));
    }
    if !flow.course.implied.is_empty() {
        let names: Vec<String> = flow.course.implied.iter().map(|id| vocabulary.full_name(*id)).collect();
        line(format!("# Always there too, and implied: {}", names.join(", ").replace(['\n', '\r'], " ")));
    }
}

/// Whole units: what deadlines are rounded up to has one.
fn span_of_time(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs().max(1);
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    let whole = units.iter().find(|(_, unit)| seconds.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{seconds}s"), |(name, unit)| format!("{}{name}", seconds / unit))
}

fn support(step: &CourseStep) -> String {
    let kept = step.cases - step.broken.min(step.cases);
    let least = 100.0 * lower(kept, step.cases);
    format!("{kept} of {}, so at least {least:.1} %", step.cases)
}

/// The fields of a pattern; several activities as `any_of`.
fn pattern(model: &Model, ids: &[ActivityId]) -> String {
    let one = |id: &ActivityId| match model.vocabulary.get(*id) {
        Activity::Span { service, kind, name } => {
            let kind = match kind {
                SpanKind::Server => "server",
                SpanKind::Client => "client",
                SpanKind::Producer => "producer",
                SpanKind::Consumer => "consumer",
                SpanKind::Internal => "internal",
                SpanKind::Unspecified => "unspecified",
            };
            format!("span: {}{}, kind: {kind}", quoted(name), of(service))
        }
        Activity::Event { service, name } => format!("log: {}{}", quoted(name), of(service)),
        Activity::Line { service, template } => {
            format!("log: \"*\", body: {}{}", quoted(&model.vocabulary.templates.text(*template)), of(service))
        }
        Activity::Plain { name } => format!("event: {}", quoted(name)),
        Activity::Other => "event: other".to_owned(),
    };
    match ids {
        [id] => one(id),
        several => {
            let all: Vec<String> = several.iter().map(|id| format!("{{{}}}", one(id))).collect();
            format!("any_of: [{}]", all.join(", "))
        }
    }
}

fn of(service: &str) -> String {
    if service.is_empty() { String::new() } else { format!(", service: {}", quoted(service)) }
}

/// A name that no other step has.
fn name_of(model: &Model, ids: &[ActivityId], taken: &mut Vec<String>) -> String {
    let all: Vec<String> = ids.iter().take(3).map(|id| slug(&model.vocabulary.name(*id), '_', "step")).collect();
    let mut wanted = slug(&all.join("_or_"), '_', "step");
    if taken.contains(&wanted)
        && let Some(id) = ids.first()
    {
        wanted = slug(&model.vocabulary.full_name(*id), '_', "step");
    }
    let mut name = wanted.clone();
    let mut n = 1;
    while taken.contains(&name) {
        n += 1;
        name = format!("{wanted}_{n}");
    }
    taken.push(name.clone());
    name
}

/// Lower-case words joined by `between`.
pub(crate) fn slug(text: &str, between: char, or: &str) -> String {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let slug: String = words.join(&between.to_string()).chars().take(MAX_NAME).collect();
    let is_word = slug.starts_with(|c: char| c.is_ascii_lowercase()) && !is_reserved(&slug);
    match slug.as_str() {
        "" => or.to_owned(),
        _ if is_word => slug,
        _ => format!("{or}{between}{slug}"),
    }
}

fn is_reserved(word: &str) -> bool {
    matches!(word, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n")
}

/// A scalar of YAML: as it is where that is safe.
pub(crate) fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !is_reserved(&text.to_lowercase());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// The model as `learn --json` prints it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ModelReport {
    /// Cases learned from.
    pub cases: u64,
    /// Cases whose beginning was not seen.
    pub rootless: u64,
    /// What was learned.
    pub flows: Vec<FlowModel>,
    /// What cases begin with that were too few to learn from.
    pub not_learned: Vec<NotLearnedReport>,
}

/// One flow.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FlowModel {
    /// Its name.
    pub name: String,
    /// What its cases begin with; absent for a plain event log.
    pub root: Option<String>,
    /// The attribute that names a case; absent for the trace id, or the case of a plain event log.
    pub key: Option<String>,
    /// Cases learned from.
    pub cases: u32,
    /// Share of these that breaks an expectation.
    pub breaking: f64,
    /// What is expected.
    pub expectations: Vec<ExpectationReport>,
}

/// One expectation.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ExpectationReport {
    /// As a sentence.
    pub expected: String,
    /// Cases it was expected of.
    pub cases: u32,
    /// Of these, cases that broke it.
    pub broken: u32,
    /// Lower bound of the share that keeps it (one-sided 95 %).
    pub confidence: f64,
    /// Its deadline in seconds.
    pub within_seconds: f64,
}

/// What was not learned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NotLearnedReport {
    /// What its cases begin with.
    pub root: String,
    /// How many there were.
    pub cases: u32,
}

/// The model as plain data.
pub fn report(model: &Model) -> ModelReport {
    let vocabulary = &model.vocabulary;
    let expectation = |flow: &LearnedFlow, one: &Expectation| ExpectationReport {
        expected: flow.tell(one, vocabulary),
        cases: one.cases,
        broken: one.broken,
        confidence: lower(one.cases - one.broken.min(one.cases), one.cases),
        within_seconds: one.within.as_secs_f64(),
    };
    let flow = |flow: &LearnedFlow| FlowModel {
        name: flow.name.clone(),
        root: flow.root.map(|root| vocabulary.full_name(root)),
        key: flow.key.as_ref().map(ToString::to_string),
        cases: flow.cases,
        breaking: flow.breaking,
        expectations: flow.expectations.iter().map(|one| expectation(flow, one)).collect(),
    };
    ModelReport {
        cases: model.cases,
        rootless: model.rootless,
        flows: model.flows.iter().map(flow).collect(),
        not_learned: model
            .not_learned
            .iter()
            .map(|one| NotLearnedReport { root: vocabulary.full_name(one.root), cases: one.cases })
            .collect(),
    }
}
