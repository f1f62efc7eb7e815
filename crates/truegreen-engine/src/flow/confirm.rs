//! `confirm`: where the effect of a step can be looked up.

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::flow::{Confirm, Expected};

use super::diagnostic::Notes;
use super::step::required_text;
use super::tree::{Node, Value};
use super::value::{self, Fields};

/// The fields of `confirm`.
pub(super) const CONFIRM: &[&str] = &["system", "ask", "expect", "sample", "after"];

/// The words of `expect` where it is no mapping of columns.
pub(super) const EXPECTED: [(&str, Word); 2] = [("row", Word::Row), ("nothing", Word::Nothing)];

/// Of completed journeys so many are asked for unless the contract says otherwise.
const DEFAULT_SAMPLE: f64 = 0.01;
/// The effect is there by then unless the contract says otherwise.
const DEFAULT_AFTER: Duration = Duration::from_secs(5);
/// Longest question, in bytes: it is sent with each batch of keys.
const MAX_QUESTION: usize = 4096;

#[derive(Clone, Copy)]
pub(super) enum Word {
    Row,
    Nothing,
}

pub(super) fn read(node: &Node, owner: &str, notes: &mut Notes<'_>) -> Option<Confirm> {
    let fields = Fields::of(node, "`confirm`", &[CONFIRM], notes)?;
    let owner = format!("`confirm` of {owner}");
    let system = required_text(&fields, "system", &owner, "a system's name such as `stock-db`", notes);
    const QUESTION: &str = "a question such as `SELECT 1 FROM stock_moves WHERE order_id = $1`";
    let ask = required_text(&fields, "ask", &owner, QUESTION, notes);
    if let (Some(node), Some(text)) = (fields.get("ask"), &ask)
        && text.len() > MAX_QUESTION
    {
        notes.error(&node.span, format!("a question has at most {MAX_QUESTION} bytes"));
    }
    let expect = match fields.get("expect") {
        Some(node) => expected(node, notes)?,
        None => Expected::Row,
    };
    let sample = fields.get("sample").map_or(Some(DEFAULT_SAMPLE), |node| value::share(node, notes));
    let after = fields.get("after").map_or(Some(DEFAULT_AFTER), |node| value::duration(node, notes));
    Some(Confirm { system: system?, ask: ask?.trim().to_owned(), expect, sample: sample?, after: after? })
}

fn expected(node: &Node, notes: &mut Notes<'_>) -> Option<Expected> {
    let Value::Map(entries) = &node.value else {
        return value::choice(node, &EXPECTED, notes).map(|word| match word {
            Word::Row => Expected::Row,
            Word::Nothing => Expected::Nothing,
        });
    };
    if entries.is_empty() {
        notes.error_with(&node.span, "`expect` names no column", "write `row`, `nothing` or `{status: shipped}`");
        return None;
    }
    let column = |entry: &super::tree::Entry, notes: &mut Notes<'_>| {
        Some((entry.key.clone(), value::scalar(&entry.value, "the value of a column", notes)?))
    };
    let columns: Option<BTreeMap<String, String>> = entries.iter().map(|entry| column(entry, notes)).collect();
    columns.map(Expected::Columns)
}
