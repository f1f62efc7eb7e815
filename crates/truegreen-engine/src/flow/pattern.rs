//! Patterns: which records are meant, and what their attributes must be.

use truegreen_model::flow::{Condition, Pattern, Signal, SpanKind, Test, Text};

use super::diagnostic::{Notes, quoted, quoted_list};
use super::tree::{Node, Value};
use super::value::{self, Fields};

/// The fields of a pattern.
pub(super) const PATTERN: &[&str] = &["span", "log", "event", "service", "kind", "body", "severity", "attributes"];
/// In the stead of the fields of one pattern, on a start, a step or an exit.
pub(super) const ANY_OF: &[&str] = &["any_of"];
/// A test that is more than a value.
pub(super) const TEST: &[&str] = &["not", "present", "at_least", "below"];

/// Most patterns of which any will do: each record is held against all of them.
pub const MAX_ALTERNATIVES: usize = 64;

const SIGNALS: [(&str, Signal); 3] = [("span", Signal::Span), ("log", Signal::Log), ("event", Signal::Event)];

pub(super) const KINDS: [(&str, SpanKind); 6] = [
    ("server", SpanKind::Server),
    ("client", SpanKind::Client),
    ("producer", SpanKind::Producer),
    ("consumer", SpanKind::Consumer),
    ("internal", SpanKind::Internal),
    ("unspecified", SpanKind::Unspecified),
];

/// The lowest of the four OTLP severity numbers of each name.
pub(super) const SEVERITIES: [(&str, u8); 6] =
    [("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("error", 17), ("fatal", 21)];

/// The patterns of a start, a step or an exit: one inline, or those of `any_of`.
pub(super) fn alternatives(fields: &Fields<'_>, owner: &str, notes: &mut Notes<'_>) -> Vec<Pattern> {
    let inline = PATTERN.iter().find_map(|name| fields.entry(name));
    let Some(any_of) = fields.entry("any_of") else {
        if inline.is_some() {
            return one(fields, owner, notes).into_iter().collect();
        }
        if fields.all_known {
            notes.error_with(
                &fields.span,
                format!("{owner} matches no record"),
                "say which records are meant with `span`, `log` or `event`, or with several under `any_of`",
            );
        }
        return Vec::new();
    };
    if let Some(inline) = inline {
        notes.error_with(
            &inline.key_span,
            format!("{owner} has both `{}` and `any_of`", inline.key),
            "move the inline pattern into `any_of` as one more entry",
        );
    }
    several(&any_of.value, notes)
}

/// A list of patterns of which any will do.
pub(super) fn several(node: &Node, notes: &mut Notes<'_>) -> Vec<Pattern> {
    let Value::List(items) = &node.value else {
        value::expected("a list of patterns", node, notes);
        return Vec::new();
    };
    if items.is_empty() {
        notes.error(&node.span, "expected a list of patterns, found an empty list");
    }
    if let Some(beyond) = items.get(MAX_ALTERNATIVES) {
        notes.error_with(
            &beyond.span,
            format!("a list of patterns has at most {MAX_ALTERNATIVES}, and this has {}", items.len()),
            "say with `*` what they have in common",
        );
    }
    let bounded = items.iter().take(MAX_ALTERNATIVES);
    bounded.filter_map(|item| read(item, notes)).collect()
}

/// A pattern that stands for itself.
pub(super) fn read(node: &Node, notes: &mut Notes<'_>) -> Option<Pattern> {
    let fields = Fields::of(node, "a pattern", &[PATTERN], notes)?;
    one(&fields, "a pattern", notes)
}

fn one(fields: &Fields<'_>, owner: &str, notes: &mut Notes<'_>) -> Option<Pattern> {
    let mut given = SIGNALS.iter().filter_map(|(name, signal)| fields.entry(name).map(|entry| (entry, *signal)));
    let Some((entry, signal)) = given.next() else {
        if fields.all_known {
            notes.error_with(
                &fields.span,
                format!("{owner} does not say which signal it reads"),
                "add one of `span`, `log` or `event`; `\"*\"` matches every name",
            );
        }
        return None;
    };
    if let Some((second, _)) = given.next() {
        notes.error_with(
            &second.key_span,
            format!("{owner} has both `{}` and `{}`", entry.key, second.key),
            "a pattern reads one signal; put the two into `any_of` if either will do",
        );
    }
    only_on(fields, "kind", Signal::Span, signal, notes);
    only_on(fields, "body", Signal::Log, signal, notes);
    only_on(fields, "severity", Signal::Log, signal, notes);
    Some(Pattern {
        signal,
        service: fields.get("service").and_then(|node| glob(node, "a service's name", notes)),
        name: if entry.value.is_null() { None } else { glob(&entry.value, "a name", notes) },
        kind: fields.get("kind").and_then(|node| value::choice(node, &KINDS, notes)),
        body: fields.get("body").and_then(|node| glob(node, "text", notes)),
        severity_at_least: fields.get("severity").and_then(|node| severity(node, notes)),
        attributes: fields.get("attributes").map_or_else(Vec::new, |node| conditions(node, notes)),
    })
}

fn only_on(fields: &Fields<'_>, name: &str, wanted: Signal, signal: Signal, notes: &mut Notes<'_>) {
    let Some(entry) = fields.entry(name).filter(|_| wanted != signal) else {
        return;
    };
    let word = |signal| SIGNALS.iter().find(|(_, s)| *s == signal).map_or("", |(word, _)| word);
    notes.error_with(
        &entry.key_span,
        format!("`{name}` is of a {}, and this pattern reads a {}", word(wanted), word(signal)),
        format!("take `{name}` out, or test one of its `attributes`"),
    );
}

/// `None` where any text matches.
fn glob(node: &Node, what: &str, notes: &mut Notes<'_>) -> Option<Text> {
    let text = value::text(node, what, notes)?;
    let matches_all = text.bytes().all(|b| b == b'*');
    (!matches_all).then_some(Text(text))
}

fn severity(node: &Node, notes: &mut Notes<'_>) -> Option<u8> {
    if let Value::Scalar { text, .. } = &node.value
        && let Ok(number) = text.parse::<u64>()
    {
        let severity = u8::try_from(number).ok().filter(|number| (1..=24).contains(number));
        if severity.is_none() {
            notes.error(&node.span, format!("{} is not between 1 and 24", quoted(text)));
        }
        return severity;
    }
    value::choice(node, &SEVERITIES, notes)
}

/// Attribute names, each with its test.
pub(super) fn conditions(node: &Node, notes: &mut Notes<'_>) -> Vec<Condition> {
    let Value::Map(entries) = &node.value else {
        value::expected("attributes such as `{order.kind: digital}`", node, notes);
        return Vec::new();
    };
    let mut conditions = Vec::new();
    for entry in entries {
        if entry.key.is_empty() {
            notes.error(&entry.key_span, "expected an attribute's name, found empty text");
        }
        if let Some(test) = test(&entry.value, notes) {
            conditions.push(Condition { attribute: entry.key.clone(), test });
        }
    }
    conditions
}

fn test(node: &Node, notes: &mut Notes<'_>) -> Option<Test> {
    match &node.value {
        Value::Map(_) => comparison(node, notes),
        _ if node.is_null() => {
            notes.error_with(
                &node.span,
                "expected a value or a test, found nothing",
                "for an attribute that must not be there write `{present: false}`",
            );
            None
        }
        _ => values(node, notes).map(Test::AnyOf),
    }
}

fn values(node: &Node, notes: &mut Notes<'_>) -> Option<Vec<Text>> {
    const WHAT: &str = "a value";
    let Value::List(items) = &node.value else {
        return value::scalar(node, WHAT, notes).map(|text| vec![Text(text)]);
    };
    if items.is_empty() {
        notes.error(&node.span, "expected one value or several, found an empty list");
        return None;
    }
    let values = items.iter().filter_map(|item| value::scalar(item, WHAT, notes));
    Some(values.map(Text).collect())
}

fn comparison(node: &Node, notes: &mut Notes<'_>) -> Option<Test> {
    let fields = Fields::of(node, "a test", &[TEST], notes)?;
    let given: Vec<&str> = TEST.iter().copied().filter(|name| fields.get(name).is_some()).collect();
    match given.as_slice() {
        ["not"] => fields.get("not").and_then(|node| values(node, notes)).map(Test::NoneOf),
        ["present"] => {
            let present = fields.get("present").and_then(|node| value::flag(node, notes))?;
            Some(if present { Test::Present } else { Test::Absent })
        }
        ["at_least"] | ["below"] | ["at_least", "below"] => {
            let at_least = fields.get("at_least").and_then(|node| value::number(node, notes));
            let below = fields.get("below").and_then(|node| value::number(node, notes));
            if let (Some(at_least), Some(below)) = (at_least, below)
                && at_least >= below
            {
                notes.error(&node.span, format!("no number is at least {at_least} and below {below}"));
            }
            Some(Test::Number { at_least, below })
        }
        [] if !fields.all_known => None,
        [] => {
            notes.error_with(
                &node.span,
                "this test says nothing",
                format!("its fields are {}", quoted_list(TEST.iter().copied())),
            );
            None
        }
        several => {
            notes.error_with(
                &node.span,
                format!("{} cannot stand in one test", quoted_list(several.iter().copied())),
                "only `at_least` and `below` go together",
            );
            None
        }
    }
}
