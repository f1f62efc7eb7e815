//! What of an answer counts, when two of them say the same, and how one is shown.

use std::collections::BTreeMap;

use rapidhash::v3::rapidhash_v3;
use serde_json::Value as Json;
use serde_json_path::JsonPath;
use truegreen_connect::dead_letters::redact::{HIDDEN, Redaction};

/// A longer path is a mistake.
const MAX_PATH: usize = 500;
/// Characters of a value that are shown.
const SHOWN: usize = 60;

type Row = BTreeMap<String, Option<String>>;

/// What of an answer counts.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Pick {
    /// All columns, or the one text.
    #[default]
    Whole,
    /// This column.
    Column(String),
    /// What this path selects in a single value that is JSON.
    Path(JsonPath),
}

impl Pick {
    /// Reads a JSONPath, which begins with `$`, or else a column's name.
    ///
    /// # Errors
    /// What is wrong with it, and how to mend it.
    pub fn parse(text: &str) -> Result<Pick, String> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_PATH {
            return Err(format!("a column's name, or a JSONPath such as $.price, of 1 to {MAX_PATH} bytes"));
        }
        if !text.starts_with('$') {
            return Ok(Pick::Column(text.to_owned()));
        }
        let path = JsonPath::parse(text);
        path.map(Pick::Path).map_err(|error| format!("`{text}` is no JSONPath: {error}\nhint: as in $.price"))
    }

    /// What of these rows counts, a column of this name left out.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub(super) fn of(&self, mut rows: Vec<Row>, left_out: Option<&str>) -> Result<Value, String> {
        if let Pick::Column(name) = self {
            let column = |row: &mut Row| row.remove(name).map(|text| Row::from([(name.clone(), text)]));
            let rows: Option<Vec<Row>> = rows.iter_mut().map(column).collect();
            return rows.map(Value).ok_or_else(|| format!("its answer has no column `{}`", printable(name, SHOWN)));
        }
        if let Some(name) = left_out {
            rows.iter_mut().for_each(|row| drop(row.remove(name)));
        }
        let Pick::Path(path) = self else { return Ok(Value(rows)) };
        let text = match rows.as_slice() {
            [row] if row.len() == 1 => row.values().next().cloned().flatten(),
            _ => return Err("its answer is not a single value\nhint: ask for one column, or one key".to_owned()),
        };
        let json: Json = match &text {
            None => Json::Null,
            Some(text) => serde_json::from_str(text).map_err(|_| "its answer is no JSON".to_owned())?,
        };
        let selected = match path.query(&json).all().as_slice() {
            [] => None,
            [one] => scalar(one),
            several => return Err(format!("its path selects {} values, not one", several.len())),
        };
        Ok(Value(vec![Row::from([(last_name(path), selected)])]))
    }
}

/// The name by which the selected value is redacted.
fn last_name(path: &JsonPath) -> String {
    let text = path.to_string();
    let mut names = text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')));
    names.rfind(|name| !name.is_empty()).unwrap_or("value").to_owned()
}

/// As a column would have it.
fn scalar(json: &Json) -> Option<String> {
    match json {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        // Without an exponent, as databases write it.
        Json::Number(number) if number.is_f64() => number.as_f64().map(|number| number.to_string()),
        other => Some(other.to_string()),
    }
}

/// What counts of an answer: a row at least.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Value(Vec<Row>);

impl Value {
    /// Whether both say the same: as texts, as decimal numbers, or as JSON. One column is compared whatever its name is.
    pub(super) fn is_same(&self, other: &Value) -> bool {
        let rows = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len() && rows.into_iter().all(|(a, b)| is_same_row(a, b))
    }

    /// The same for the same texts.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut bytes = Vec::new();
        for row in &self.0 {
            for (name, value) in row {
                for text in [Some(name), value.as_ref()] {
                    bytes.extend_from_slice(&text.map_or(u64::MAX, |text| text.len() as u64).to_be_bytes());
                    bytes.extend_from_slice(text.map_or(b"", |text| text.as_bytes()));
                }
            }
            bytes.push(b'\n');
        }
        rapidhash_v3(&bytes)
    }

    /// In one short line, without what must not be shown.
    pub(super) fn shown(&self, redaction: &Redaction) -> String {
        let row = |row: &Row| {
            let column = |(name, value): (&String, &Option<String>)| {
                let value = match value {
                    None => "nothing".to_owned(),
                    Some(_) if redaction.hides(name) => HIDDEN.to_owned(),
                    Some(text) => redacted(text, redaction),
                };
                if row.len() == 1 { value } else { format!("{name}={value}") }
            };
            row.iter().map(column).collect::<Vec<_>>().join(", ")
        };
        printable(&self.0.iter().map(row).collect::<Vec<_>>().join("; "), SHOWN)
    }
}

fn redacted(text: &str, redaction: &Redaction) -> String {
    match json(text) {
        Some(mut json) => {
            redaction.json(&mut json);
            json.to_string()
        }
        None => redaction.text(text),
    }
}

/// Of so many characters at most, none of which steers anything.
pub(super) fn printable(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    if shown.is_empty() { "an empty text".to_owned() } else { shown }
}

fn is_same_row(a: &Row, b: &Row) -> bool {
    let is_same = |(a, b): (&Option<String>, &Option<String>)| match (a, b) {
        (Some(a), Some(b)) => is_same_text(a, b),
        (a, b) => a == b,
    };
    if a.len() == 1 && b.len() == 1 {
        return a.values().zip(b.values()).all(is_same);
    }
    a.keys().eq(b.keys()) && a.values().zip(b.values()).all(is_same)
}

fn is_same_text(a: &str, b: &str) -> bool {
    a == b || is_same_number(a, b) || matches!((json(a), json(b)), (Some(a), Some(b)) if is_same_json(&a, &b))
}

/// An object or an array.
fn json(text: &str) -> Option<Json> {
    text.trim_start().starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten()
}

fn is_same_json(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_same_json(a, b)))
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same_json(a, b)),
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64().is_some_and(|a| Some(a) == b.as_f64()),
        (a, b) => a == b,
    }
}

/// Digits that a number of JSON surely keeps.
const EXACT_DIGITS: usize = 15;

fn is_same_number(a: &str, b: &str) -> bool {
    let (Some(exact_a), Some(exact_b)) = (Decimal::parse(a), Decimal::parse(b)) else { return false };
    if exact_a == exact_b {
        return true;
    }
    // A fraction of more digits may have lost some in JSON.
    let is_long = |number: &Decimal| number.exponent < 0 && number.digits.len() > EXACT_DIGITS;
    let is_near = || matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if a == b);
    (is_long(&exact_a) || is_long(&exact_b)) && is_near()
}

/// Digits without zeros at their ends, times a power of ten.
#[derive(PartialEq, Eq, Debug)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn parse(text: &str) -> Option<Decimal> {
        let (is_negative, plain) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (number, power) = match plain.split_once(['e', 'E']) {
            Some((number, power)) => (number, power.parse::<i16>().ok()?),
            None => (plain, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_number =
            !whole.is_empty() && [whole, fraction].iter().all(|part| part.bytes().all(|c| c.is_ascii_digit()));
        if !is_number || number.ends_with('.') {
            return None;
        }
        let all = format!("{whole}{fraction}");
        let digits = all.trim_end_matches('0');
        let zeros = all.len() - digits.len();
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Decimal { is_negative: false, digits, exponent: 0 });
        }
        Some(Decimal { is_negative, digits, exponent: i64::from(power) - fraction.len() as i64 + zeros as i64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[(&str, &str)]) -> Row {
        columns.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
    }

    fn one(text: &str) -> Value {
        Value(vec![row(&[("value", text)])])
    }

    #[test]
    fn numbers_and_json_are_the_same_however_they_are_written() {
        for (a, b) in [
            ("12.5", "12.50"),
            ("0012", "12.0"),
            ("-0", "0.00"),
            ("1e3", "1000"),
            ("1.5E-2", "0.015"),
            ("0.1234567890123456789", "0.12345678901234568"),
            ("{\"a\": 1.0, \"b\": [true]}", "{\"b\":[true],\"a\":1}"),
            ("", ""),
        ] {
            assert!(one(a).is_same(&one(b)) && one(b).is_same(&one(a)), "{a} {b}");
        }
        for (a, b) in [
            ("12.5", "12.51"),
            ("9007199254740993", "9007199254740992"),
            ("1.", "1"),
            ("0x10", "16"),
            (".5", "0.5"),
            ("", "0"),
            ("true", "1"),
            ("{\"a\": 1}", "{\"a\": 1, \"b\": null}"),
            ("1e99999", "1"),
        ] {
            assert!(!one(a).is_same(&one(b)) && !one(b).is_same(&one(a)), "{a} {b}");
        }
    }

    #[test]
    fn one_column_is_compared_by_its_value_and_several_by_their_names() {
        let priced = |name, price| Value(vec![row(&[(name, price)])]);
        assert!(priced("value", "10").is_same(&priced("price", "10.00")));
        let both = |a, b| Value(vec![row(&[("price", a), ("name", b)])]);
        assert!(both("1", "x").is_same(&both("1.0", "x")) && !both("1", "x").is_same(&both("1", "y")));
        assert!(!both("1", "x").is_same(&priced("price", "1")));
        let nothing = Value(vec![Row::from([("price".to_owned(), None)])]);
        assert!(nothing.is_same(&nothing) && !nothing.is_same(&one("")));
        assert_ne!(nothing.fingerprint(), one("").fingerprint());
    }

    #[test]
    fn what_counts_is_picked_out_of_an_answer() {
        let picked = |pick: &str, rows: Vec<Row>| Pick::parse(pick).unwrap().of(rows, Some("age"));
        let shown = |pick: &str, rows: Vec<Row>| picked(pick, rows).map(|value| value.shown(&Redaction::default()));
        let json = "{\"price\": 12.50, \"token\": \"hunter2\", \"tags\": [1, 2], \"none\": null}";
        let cached = || vec![row(&[("value", json)])];
        assert_eq!(shown("$.price", cached()).unwrap(), "12.5");
        assert_eq!(shown("$.tags", cached()).unwrap(), "[1,2]");
        assert_eq!(shown("$.none", cached()).unwrap(), "nothing");
        assert_eq!(shown("$.no_such", cached()).unwrap(), "nothing");
        assert_eq!(shown("$['token']", cached()).unwrap(), HIDDEN);
        assert!(!shown("value", cached()).unwrap().contains("hunter2"));
        assert!(shown("$.tags[*]", cached()).unwrap_err().contains("2 values"));
        assert!(shown("$.price", vec![row(&[("value", "<html>")])]).unwrap_err().contains("no JSON"));
        let source = || vec![row(&[("doc", json), ("age", "7")])];
        assert_eq!(shown("$.price", source()).unwrap(), "12.5", "an age beside it does no harm");
        assert!(shown("price", source()).unwrap_err().contains("no column `price`"));
        assert!(Pick::Whole.of(source(), Some("age")).unwrap().is_same(&one(json)));
        for wrong in ["$.price[", "", "$$"] {
            assert!(Pick::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn whatever_a_cache_holds_is_shown_in_a_short_line() {
        let shown = |text: &str| one(text).shown(&Redaction::default());
        assert_eq!(shown("a\nhint: pay\x1b[2J"), "a\u{fffd}hint: pay\u{fffd}[2J");
        assert_eq!(shown(&"ä".repeat(1000)).chars().count(), SHOWN + 1);
        assert_eq!(shown(""), "an empty text");
        assert!(!shown("{\"password\": \"hunter2\"}").contains("hunter2"));
        assert!(!shown("user=a password=hunter2").contains("hunter2"));
    }
}
