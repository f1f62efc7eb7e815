//! The start, the steps and the exits of a flow.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use truegreen_model::flow::{
    Exit, ExitOutcome, FanOut, MAX_CONDITIONS, MAX_EXITS, MAX_STEPS, ReasonSource, Step, StepId,
};

use super::confirm;
use super::diagnostic::{Notes, closest, quoted, quoted_list};
use super::pattern::{self, ANY_OF, PATTERN};
use super::tree::{Node, Value};
use super::value::{self, Fields};

/// The fields of `start` beside its pattern.
pub(super) const START: &[&str] = &["name"];
/// The fields of a step beside its pattern.
pub(super) const STEP: &[&str] =
    &["name", "after", "within", "optional", "when", "unless", "for_each", "count_from", "confirm"];
/// The fields of `for_each` where it is a mapping.
pub(super) const FOR_EACH: &[&str] = &["attribute", "item"];
/// The fields of an exit beside its pattern.
pub(super) const EXIT: &[&str] = &["name", "outcome", "reason"];
/// The fields of `reason` where it is a mapping.
pub(super) const REASON: &[&str] = &["attribute", "fixed"];

/// What an exit's reason is read from unless it says otherwise.
pub(super) const DEFAULT_REASON: [&str; 2] = ["truegreen.reason", "error.type"];

pub(super) const OUTCOMES: [(&str, ExitOutcome); 2] =
    [("rejected", ExitOutcome::Rejected), ("dead_lettered", ExitOutcome::DeadLettered)];

/// Longest name of a flow, a step or an exit, in bytes: they are labels of metrics.
pub(super) const MAX_NAME: usize = 100;

/// Names taken so far in one flow, and where.
#[derive(Default)]
pub(super) struct Names(HashMap<String, usize>);

impl Names {
    /// Takes a name; one that is taken already is noted.
    fn take(&mut self, name: &str, span: &Range<usize>, notes: &mut Notes<'_>) {
        if let Some(&first) = self.0.get(name) {
            let line = notes.line(first);
            notes.error_with(
                span,
                format!("the name {} is taken", quoted(name)),
                format!("line {line} has it; steps and exits of a flow need different names"),
            );
        } else {
            self.0.insert(name.to_owned(), span.start);
        }
    }
}

/// A step and where its name stands.
pub(super) type Placed<T> = (T, Range<usize>);

pub(super) fn start(node: &Node, names: &mut Names, notes: &mut Notes<'_>) -> Option<Placed<Step>> {
    let fields = Fields::of(node, "the start", &[START, PATTERN, ANY_OF], notes)?;
    let span = fields.get("name").map_or(&fields.span, |name| &name.span).clone();
    let name = match fields.get("name") {
        Some(node) => name(node, notes).unwrap_or_default(),
        None => "start".to_owned(),
    };
    names.take(&name, &span, notes);
    let step = Step {
        any_of: pattern::alternatives(&fields, "the start", notes),
        name,
        within: Duration::ZERO,
        after: StepId::START,
        optional: false,
        when: Vec::new(),
        unless: Vec::new(),
        fan_out: None,
        confirm: None,
    };
    Some((step, span))
}

/// The steps after the start. `within` is the flow's own, for steps that give none.
pub(super) fn steps(
    node: &Node,
    start: &str,
    within: Option<Duration>,
    names: &mut Names,
    notes: &mut Notes<'_>,
) -> Vec<Placed<Step>> {
    let items = list(node, "steps", MAX_STEPS - 1, notes);
    // `after` needs all names beforehand, to tell a later step from one that does not exist.
    let mut order: Vec<&str> = vec![start];
    order.extend(items.iter().map(|item| name_of(item).unwrap_or("")));
    let mut conditions = 0;
    let mut steps = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(fields) = Fields::of(item, "a step", &[STEP, PATTERN, ANY_OF], notes) else {
            continue;
        };
        let before = conditions;
        let placed = step(&fields, &order, index + 1, within, names, notes);
        conditions += placed.0.when.len() + placed.0.unless.len();
        if before <= MAX_CONDITIONS && conditions > MAX_CONDITIONS {
            notes.error(
                &placed.1,
                format!("a flow has at most {MAX_CONDITIONS} conditions in `when` and `unless` of all its steps"),
            );
        }
        steps.push(placed);
    }
    steps
}

fn step(
    fields: &Fields<'_>,
    order: &[&str],
    index: usize,
    default_within: Option<Duration>,
    names: &mut Names,
    notes: &mut Notes<'_>,
) -> Placed<Step> {
    let (name, span) = named(fields, "a step", names, notes);
    let owner = format!("step {}", quoted(&name));
    let optional = fields.get("optional").and_then(|node| value::flag(node, notes)).unwrap_or(false);
    let within = match fields.get("within") {
        Some(node) => value::positive_duration(node, notes),
        None => default_within,
    };
    if fields.get("within").is_none() && within.is_none() && !optional {
        notes.error_with(
            &span,
            format!("{owner} has no deadline"),
            "add `within: 30s` to the step, or to the flow for all steps that give none",
        );
    }
    let previous = StepId(u8::try_from(index - 1).unwrap_or(u8::MAX));
    let after = match fields.get("after") {
        Some(node) => after(node, order, index, notes).unwrap_or(previous),
        None => previous,
    };
    let conditions = |name: &str, notes: &mut Notes<'_>| match fields.get(name) {
        Some(node) => pattern::conditions(node, notes),
        None => Vec::new(),
    };
    let step = Step {
        when: conditions("when", notes),
        unless: conditions("unless", notes),
        fan_out: fan_out(fields, &owner, notes),
        confirm: fields.get("confirm").and_then(|node| confirm::read(node, &owner, notes)),
        any_of: pattern::alternatives(fields, &owner, notes),
        // Only an optional step gets here without one, and what is not owed is never due.
        within: within.unwrap_or(Duration::ZERO),
        name,
        after,
        optional,
    };
    (step, span)
}

fn after(node: &Node, order: &[&str], index: usize, notes: &mut Notes<'_>) -> Option<StepId> {
    let name = value::text(node, "a step's name", notes)?;
    let (earlier, later) = order.split_at(index);
    if let Some(found) = earlier.iter().position(|step| *step == name) {
        return u8::try_from(found).ok().map(StepId);
    }
    let candidates = earlier.iter().copied().filter(|step| !step.is_empty());
    let candidates = quoted_list(candidates);
    let earlier_steps = format!("the steps before it are {candidates}");
    if later.first() == Some(&name.as_str()) {
        notes.error_with(&node.span, format!("step {} waits for itself", quoted(&name)), earlier_steps);
    } else if later.contains(&name.as_str()) {
        notes.error_with(
            &node.span,
            format!("step {} comes later in the list", quoted(&name)),
            format!("`after` names an earlier step: move {} up, or take one of {candidates}", quoted(&name)),
        );
    } else {
        let hint = match closest(&name, earlier.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => earlier_steps,
        };
        notes.error_with(&node.span, format!("there is no step {}", quoted(&name)), hint);
    }
    None
}

fn fan_out(fields: &Fields<'_>, owner: &str, notes: &mut Notes<'_>) -> Option<FanOut> {
    const ATTRIBUTE: &str = "an attribute's name such as `order.lines`";
    let count_from = fields.entry("count_from");
    if let (Some(_), Some(second)) = (fields.entry("for_each"), count_from) {
        notes.error_with(
            &second.key_span,
            format!("{owner} has both `for_each` and `count_from`"),
            "take `for_each` where each item has a name of its own, `count_from` where only their number is known",
        );
    }
    if let Some(node) = fields.get("for_each") {
        if !matches!(node.value, Value::Map(_)) {
            let attribute = value::text(node, ATTRIBUTE, notes)?;
            let item = attribute.clone();
            return Some(FanOut::ForEach { attribute, item });
        }
        let inner = Fields::of(node, "`for_each`", &[FOR_EACH], notes)?;
        let attribute = required_text(&inner, "attribute", "`for_each`", ATTRIBUTE, notes)?;
        let item = match inner.get("item") {
            Some(node) => value::text(node, ATTRIBUTE, notes)?,
            None => attribute.clone(),
        };
        return Some(FanOut::ForEach { attribute, item });
    }
    let attribute = value::text(&count_from?.value, ATTRIBUTE, notes)?;
    Some(FanOut::CountFrom { attribute })
}

pub(super) fn exits(node: &Node, names: &mut Names, notes: &mut Notes<'_>) -> Vec<Placed<Exit>> {
    let mut exits = Vec::new();
    for item in list(node, "exits", MAX_EXITS, notes) {
        let Some(fields) = Fields::of(item, "an exit", &[EXIT, PATTERN, ANY_OF], notes) else {
            continue;
        };
        let (name, span) = named(&fields, "an exit", names, notes);
        let outcome = fields.get("outcome").and_then(|node| value::choice(node, &OUTCOMES, notes));
        let exit = Exit {
            any_of: pattern::alternatives(&fields, &format!("exit {}", quoted(&name)), notes),
            outcome: outcome.unwrap_or(ExitOutcome::Rejected),
            reason: fields
                .get("reason")
                .and_then(|node| reason(node, notes))
                .unwrap_or_else(|| ReasonSource::Attributes(DEFAULT_REASON.map(str::to_owned).to_vec())),
            name,
        };
        exits.push((exit, span));
    }
    exits
}

fn reason(node: &Node, notes: &mut Notes<'_>) -> Option<ReasonSource> {
    const ATTRIBUTE: &str = "an attribute's name such as `error.type`";
    if !matches!(node.value, Value::Map(_)) {
        return value::text(node, ATTRIBUTE, notes).map(|name| ReasonSource::Attributes(vec![name]));
    }
    let fields = Fields::of(node, "`reason`", &[REASON], notes)?;
    match (fields.get("attribute"), fields.get("fixed")) {
        (Some(node), None) => Some(ReasonSource::Attributes(value::texts(node, ATTRIBUTE, notes))),
        (None, Some(node)) => value::text(node, "text such as `out_of_stock`", notes).map(ReasonSource::Fixed),
        _ => {
            notes.error(&node.span, "`reason` is either `attribute` or `fixed`");
            None
        }
    }
}

fn list<'a>(node: &'a Node, what: &str, most: usize, notes: &mut Notes<'_>) -> &'a [Node] {
    let Value::List(items) = &node.value else {
        value::expected(&format!("a list of {what}"), node, notes);
        return &[];
    };
    if let Some(beyond) = items.get(most) {
        notes.error_with(
            &beyond.span,
            format!("a flow has at most {most} {what}, and this has {}", items.len()),
            "split it into two flows with the same key",
        );
    }
    &items[..items.len().min(most)]
}

fn name_of(node: &Node) -> Option<&str> {
    let Value::Map(entries) = &node.value else { return None };
    match &entries.iter().find(|entry| entry.key == "name")?.value.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// The name of a step or an exit, taken. Empty where it is wrong, which is noted.
fn named(fields: &Fields<'_>, what: &str, names: &mut Names, notes: &mut Notes<'_>) -> (String, Range<usize>) {
    let Some(node) = fields.get("name") else {
        notes.error_with(
            &fields.span,
            format!("{what} has no `name`"),
            "add a short word such as `name: stock_updated`",
        );
        return (String::new(), fields.span.clone());
    };
    let name = name(node, notes).unwrap_or_default();
    if !name.is_empty() {
        names.take(&name, &node.span, notes);
    }
    (name, node.span.clone())
}

/// A name that can be the label of a metric and part of an address.
pub(super) fn name(node: &Node, notes: &mut Notes<'_>) -> Option<String> {
    let name = value::text(node, "a name", notes)?;
    if name.len() > MAX_NAME {
        notes.error(&node.span, format!("a name has at most {MAX_NAME} bytes"));
        return None;
    }
    if name.trim().len() != name.len() || name.chars().any(char::is_control) {
        notes.error(&node.span, format!("{} begins or ends with a space, or has a control character", quoted(&name)));
        return None;
    }
    Some(name)
}

/// The text of a field that must be there.
pub(super) fn required_text(
    fields: &Fields<'_>,
    name: &str,
    owner: &str,
    what: &str,
    notes: &mut Notes<'_>,
) -> Option<String> {
    match fields.get(name) {
        Some(node) => value::text(node, what, notes),
        None => {
            notes.error(&fields.span, format!("{owner} has no `{name}`"));
            None
        }
    }
}
