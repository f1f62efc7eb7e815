//! What of an answer is shown: nothing secret, nothing that steers a terminal, nothing without an end.

use std::collections::BTreeMap;

use serde_json::Value;
use truegreen_connect::dead_letters::payload;
use truegreen_connect::dead_letters::redact::Redaction;

/// Characters of what a system says, or of a question.
pub(super) const MAX_SAID: usize = 1_000;
/// Of an error of a letter.
pub(super) const MAX_ERROR: usize = 300;
/// Of one value of a row.
const MAX_VALUE: usize = 300;
/// Of all rows in one sentence.
const MAX_ROWS_TEXT: usize = 200;

type Row = BTreeMap<String, Option<String>>;

pub(super) use payload::line;

/// Rows as they may be shown.
pub(super) fn rows(rows: &[Row], redaction: &Redaction) -> Vec<Row> {
    rows.iter().map(|row| one(row, redaction)).collect()
}

fn one(row: &Row, redaction: &Redaction) -> Row {
    // As an object, so that JSON within a value is read as what it is.
    let fields = row.iter().map(|(name, value)| (name.clone(), value.clone().map_or(Value::Null, Value::from)));
    let mut object = Value::Object(fields.collect());
    redaction.json(&mut object);
    let Value::Object(fields) = object else { return Row::new() };
    let value = |value: Value| match value {
        Value::String(text) => Some(line(&redaction.text(&text), MAX_VALUE)),
        _ => None,
    };
    fields.into_iter().map(|(name, text)| (line(&name, MAX_VALUE), value(text))).collect()
}

/// `state=moved, qty=3; state=open, qty=NULL`. Of shown rows.
pub(super) fn rows_text(rows: &[Row]) -> String {
    let text = |row: &Row| {
        let fields = row.iter().map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("NULL")));
        fields.collect::<Vec<_>>().join(", ")
    };
    let all: Vec<String> = rows.iter().map(text).collect();
    line(&all.join("; "), MAX_ROWS_TEXT)
}

/// The command that shows a dead letter whole; none where its id cannot be typed.
pub(super) fn command(system: &str, place: &str, id: &str) -> Option<String> {
    let [system, place, id] = [quoted(system)?, quoted(place)?, quoted(id)?];
    match id.starts_with('-') {
        true => Some(format!("truegreen dlq show --system {system} --place {place} -- {id}")),
        false => Some(format!("truegreen dlq show {id} --system {system} --place {place}")),
    }
}

/// As one word of a shell: whoever named it must not get a command of theirs run by somebody who copies ours.
fn quoted(word: &str) -> Option<String> {
    if word.is_empty() || word.len() > 500 || line(word, 500) != word {
        return None;
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | '@' | ',');
    match word.chars().all(is_plain) {
        true => Some(word.to_owned()),
        false => Some(format!("'{}'", word.replace('\'', "'\\''"))),
    }
}
