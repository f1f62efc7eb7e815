//! Single values of a contract: each either read, or noted as an error with what was expected there.

use std::ops::Range;
use std::time::Duration;

use super::diagnostic::{Notes, closest, quoted, quoted_list};
use super::duration::{self, Mistake};
use super::tree::{Entry, Node, Value};

/// A mapping whose fields are all known.
pub(super) struct Fields<'a> {
    pub(super) span: Range<usize>,
    entries: &'a [Entry],
    /// None of them is unknown: what is missing was left out, and not misspelt.
    pub(super) all_known: bool,
}

impl<'a> Fields<'a> {
    /// The fields of a mapping; those not in `known` are noted. `what` is read after "expected" and "in".
    pub(super) fn of(node: &'a Node, what: &str, known: &[&[&str]], notes: &mut Notes<'_>) -> Option<Fields<'a>> {
        let Value::Map(entries) = &node.value else {
            expected(what, node, notes);
            return None;
        };
        let errors = notes.errors();
        for entry in entries {
            if !known.iter().any(|group| group.contains(&entry.key.as_str())) {
                unknown_field(entry, what, known, notes);
            }
        }
        Some(Fields { span: node.span.clone(), entries, all_known: notes.errors() == errors })
    }

    pub(super) fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        self.entry(name).map(|entry| &entry.value)
    }
}

/// Words that people know from elsewhere.
const SYNONYMS: [(&str, &str); 9] = [
    ("timeout", "within"),
    ("deadline", "within"),
    ("depends_on", "after"),
    ("service.name", "service"),
    ("service_name", "service"),
    ("attrs", "attributes"),
    ("if", "when"),
    ("oneOf", "any_of"),
    ("name", "flow"),
];

fn unknown_field(entry: &Entry, what: &str, known: &[&[&str]], notes: &mut Notes<'_>) {
    let all = || known.iter().flat_map(|group| group.iter().copied());
    let meant = closest(&entry.key, all()).or_else(|| {
        let synonym = SYNONYMS.iter().find(|(word, _)| *word == entry.key)?.1;
        all().find(|name| *name == synonym)
    });
    let hint = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if entry.key == "<<" => "merge keys are not taken; write the fields out".to_owned(),
        None => format!("its fields are {}", quoted_list(all())),
    };
    notes.error_with(&entry.key_span, format!("unknown field {} in {what}", quoted(&entry.key)), hint);
}

/// Notes that something else was expected here.
pub(super) fn expected(what: &str, node: &Node, notes: &mut Notes<'_>) {
    notes.error(&node.span, format!("expected {what}, found {}", node.found()));
}

/// Text that is not empty; a plain number counts as its text.
pub(super) fn text(node: &Node, what: &str, notes: &mut Notes<'_>) -> Option<String> {
    match &node.value {
        Value::Scalar { text, plain: false } if text.is_empty() => {
            notes.error(&node.span, format!("expected {what}, found empty text"));
            None
        }
        _ => scalar(node, what, notes),
    }
}

/// Any scalar but null, as an attribute's value is compared: as text, with plain booleans in lower case.
pub(super) fn scalar(node: &Node, what: &str, notes: &mut Notes<'_>) -> Option<String> {
    match &node.value {
        Value::Scalar { text, plain } if !node.is_null() => Some(match (plain, text.as_str()) {
            (true, "True" | "TRUE") => "true".to_owned(),
            (true, "False" | "FALSE") => "false".to_owned(),
            _ => text.clone(),
        }),
        _ => {
            expected(what, node, notes);
            None
        }
    }
}

/// One text or a list of several, never empty and none twice.
pub(super) fn texts(node: &Node, what: &str, notes: &mut Notes<'_>) -> Vec<String> {
    let Value::List(items) = &node.value else {
        return text(node, what, notes).into_iter().collect();
    };
    if items.is_empty() {
        notes.error(&node.span, format!("expected {what}, found an empty list"));
    }
    distinct(items, what, notes)
}

/// A list of texts, none twice; it may be empty.
pub(super) fn distinct(items: &[Node], what: &str, notes: &mut Notes<'_>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let mut list = Vec::new();
    for item in items {
        let Some(text) = text(item, what, notes) else { continue };
        if seen.insert(text.clone()) {
            list.push(text);
        } else {
            notes.error_with(&item.span, format!("{} is in the list twice", quoted(&text)), "take one out");
        }
    }
    list
}

/// `true` or `false`.
pub(super) fn flag(node: &Node, notes: &mut Notes<'_>) -> Option<bool> {
    match &node.value {
        Value::Scalar { text, plain: true } if text.eq_ignore_ascii_case("true") => Some(true),
        Value::Scalar { text, plain: true } if text.eq_ignore_ascii_case("false") => Some(false),
        _ => {
            expected("`true` or `false`", node, notes);
            None
        }
    }
}

/// A whole number from 1.
pub(super) fn count(node: &Node, notes: &mut Notes<'_>) -> Option<u64> {
    let number = match &node.value {
        Value::Scalar { text, plain: true } => text.parse::<u64>().ok().filter(|number| *number > 0),
        _ => None,
    };
    if number.is_none() {
        expected("a whole number from 1", node, notes);
    }
    number
}

/// A finite number.
pub(super) fn number(node: &Node, notes: &mut Notes<'_>) -> Option<f64> {
    let number = match &node.value {
        Value::Scalar { text, plain: true } => text.parse::<f64>().ok().filter(|number| number.is_finite()),
        _ => None,
    };
    if number.is_none() {
        expected("a number", node, notes);
    }
    number
}

/// A share: a percentage, or a number from 0 to 1.
pub(super) fn share(node: &Node, notes: &mut Notes<'_>) -> Option<f64> {
    const WHAT: &str = "a share such as `5%` or `0.05`";
    let Value::Scalar { text, .. } = &node.value else {
        expected(WHAT, node, notes);
        return None;
    };
    let percent = text.strip_suffix('%');
    let number = percent.unwrap_or(text).trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let Some(number) = number else {
        expected(WHAT, node, notes);
        return None;
    };
    let share = if percent.is_some() { number / 100.0 } else { number };
    if (0.0..=1.0).contains(&share) {
        return Some(share);
    }
    let message = format!("{} is not between 0 and 100 %", quoted(text));
    if percent.is_none() && (1.0..=100.0).contains(&number) {
        notes.error_with(&node.span, message, format!("did you mean `{text}%`?"));
    } else {
        notes.error_with(&node.span, message, "a share is a percentage such as `5%`, or a number from 0 to 1");
    }
    None
}

/// A span of time, possibly zero.
pub(super) fn duration(node: &Node, notes: &mut Notes<'_>) -> Option<Duration> {
    const WHAT: &str = "a duration such as `5s`";
    let Value::Scalar { text, .. } = &node.value else {
        expected(WHAT, node, notes);
        return None;
    };
    match duration::parse(text) {
        Ok(duration) => return Some(duration),
        Err(_) if node.is_null() => expected(WHAT, node, notes),
        Err(Mistake::NoUnit) => notes.error_with(
            &node.span,
            format!("{WHAT} needs its unit, found {}", quoted(text)),
            format!("for seconds write `{text}s`; the units are `ms`, `s`, `m`, `h` and `d`"),
        ),
        Err(Mistake::TooLong) => notes.error_with(
            &node.span,
            format!("{} is too long", quoted(text)),
            format!("the longest is `{}`", duration::format(duration::MAX_DURATION)),
        ),
        Err(Mistake::NotATime) => notes.error_with(
            &node.span,
            format!("expected {WHAT}, found {}", quoted(text)),
            "whole numbers with the units `d`, `h`, `m`, `s`, `ms`, the larger first: `1h30m`, `1500ms`",
        ),
    }
    None
}

/// A span of time that is not zero.
pub(super) fn positive_duration(node: &Node, notes: &mut Notes<'_>) -> Option<Duration> {
    let duration = duration(node, notes)?;
    if duration.is_zero() {
        notes.error(&node.span, "expected a duration longer than zero");
        return None;
    }
    Some(duration)
}

/// One of a few words.
pub(super) fn choice<T: Copy>(node: &Node, choices: &[(&str, T)], notes: &mut Notes<'_>) -> Option<T> {
    let words = || choices.iter().map(|(word, _)| *word);
    let Value::Scalar { text, .. } = &node.value else {
        expected(&format!("one of {}", quoted_list(words())), node, notes);
        return None;
    };
    if let Some((_, chosen)) = choices.iter().find(|(word, _)| word == text) {
        return Some(*chosen);
    }
    let message = format!("expected one of {}, found {}", quoted_list(words()), node.found());
    match closest(text, words()) {
        Some(meant) => notes.error_with(&node.span, message, format!("did you mean `{meant}`?")),
        None => notes.error(&node.span, message),
    }
    None
}
