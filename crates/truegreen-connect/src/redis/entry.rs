//! An entry of a stream as a dead letter, and the way back.

use std::fmt::Write as _;

use redis::Value;
use serde_json::Map;
use truegreen_model::letter::Letter;

use crate::Error;
use crate::dead_letters::headers::{fill_in, is_left_by_death, value as header};
use crate::dead_letters::{MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, Outgoing};

/// Fields that may hold the body, in order. Where there is none, the body is a JSON object of all fields.
const BODY_FIELDS: &[&str] = &["body", "payload", "data", "message", "value", "event"];
/// The header that tells which field it was; it does not go back.
const BODY_FIELD: &str = "redis-body-field";
/// As its value: all of them.
const ALL_FIELDS: &str = "*";
/// Of dead streams, how their names end behind one of `:`, `.`, `-`, `_`.
const DEAD_ENDINGS: &[&str] = &[
    "dead",
    "dlq",
    "dead-letter",
    "dead-letters",
    "dead_letter",
    "dead_letters",
    "deadletter",
    "deadletters",
    "poison",
];
const ORIGIN_FIELDS: &[&str] = &["original_stream", "original-stream", "origin", "source_stream", "stream"];
const ERROR_FIELDS: &[&str] = &["error", "error_message", "exception_message", "exception", "reason"];
const ERROR_TYPE_FIELDS: &[&str] = &["error_type", "error_class", "exception_type", "error.type"];
const STACK_FIELDS: &[&str] = &["stack", "stacktrace", "stack_trace"];
const DEATHS_FIELDS: &[&str] = &["deaths", "delivery_count", "deliveries", "attempts", "retries"];

/// As text; what is no UTF-8 in hexadecimal.
pub(super) fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold(String::new(), |mut hex, byte| {
            // Writing into a string cannot fail.
            let _written = write!(hex, "{byte:02x}");
            hex
        }),
    }
}

/// The place of an entry in its stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Id {
    ms: u64,
    nth: u64,
}

impl Id {
    pub(super) const FIRST: Id = Id { ms: 0, nth: 0 };

    pub(super) fn parse(text: &str) -> Option<Id> {
        let (ms, nth) = text.split_once('-')?;
        Some(Id { ms: ms.parse().ok()?, nth: nth.parse().ok()? })
    }

    /// The one behind it; none behind the last that there can be.
    pub(super) fn next(self) -> Option<Id> {
        match self.nth.checked_add(1) {
            Some(nth) => Some(Id { nth, ..self }),
            None => Some(Id { ms: self.ms.checked_add(1)?, nth: 0 }),
        }
    }

    /// The one before it; none before the first.
    pub(super) fn previous(self) -> Option<Id> {
        match self.nth.checked_sub(1) {
            Some(nth) => Some(Id { nth, ..self }),
            None => Some(Id { ms: self.ms.checked_sub(1)?, nth: u64::MAX }),
        }
    }

    /// When it was added, where the server gave the id.
    pub(super) fn time(self) -> String {
        let ms = i64::try_from(self.ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        ms.map(|time| time.to_string()).unwrap_or_default()
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.nth)
    }
}

/// An entry as it was read.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Id,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// Of `[[id, [name, value, ...]], ...]`.
    pub(super) fn all(answer: Value) -> Result<Vec<Entry>, Error> {
        let Value::Array(entries) = answer else { return Err(nonsense()) };
        entries.into_iter().map(Entry::one).collect()
    }

    fn one(value: Value) -> Result<Entry, Error> {
        let Value::Array(parts) = value else { return Err(nonsense()) };
        let mut parts = parts.into_iter();
        let (Some(Value::BulkString(id)), Some(fields)) = (parts.next(), parts.next()) else { return Err(nonsense()) };
        let id = std::str::from_utf8(&id).ok().and_then(Id::parse).ok_or_else(nonsense)?;
        let pairs = fields.into_map_iter().map_err(|_| nonsense())?;
        let bytes = |value| match value {
            Value::BulkString(bytes) => Ok(bytes),
            Value::SimpleString(text) => Ok(text.into_bytes()),
            _ => Err(nonsense()),
        };
        let fields: Result<Vec<_>, Error> = pairs.map(|(name, value)| Ok((bytes(name)?, bytes(value)?))).collect();
        Ok(Entry { id, fields: fields? })
    }

    /// As the letter that it is in this place.
    pub(super) fn letter(self, place: &str) -> Letter {
        let mut letter = Letter { id: self.id.to_string(), place: place.to_owned(), deaths: 1, ..Letter::default() };
        letter.died_at = self.id.time();
        let body = BODY_FIELDS.iter().find(|name| self.fields.iter().any(|(own, _)| own == name.as_bytes()));
        let field = body.copied().unwrap_or(ALL_FIELDS);
        letter.headers.push((BODY_FIELD.to_owned(), field.to_owned()));
        if field == ALL_FIELDS {
            let all: Map<_, _> = self.fields.iter().map(|(name, value)| (text(name), text(value).into())).collect();
            letter.body = serde_json::to_vec(&all).unwrap_or_default();
        }
        for (name, value) in self.fields {
            if name == field.as_bytes() && letter.body.is_empty() {
                letter.body = value;
            } else {
                put_header(&mut letter, text(&name), text(&value));
            }
        }
        if letter.body.len() > MAX_BODY_BYTES {
            letter.body.truncate(MAX_BODY_BYTES);
            letter.is_cut = true;
        }
        tell(&mut letter);
        letter
    }
}

/// What is left out here would be missing when the letter is sent, so it is cut then.
fn put_header(letter: &mut Letter, mut name: String, mut value: String) {
    if letter.headers.len() >= MAX_HEADERS {
        letter.is_cut = true;
        return;
    }
    for text in [&mut name, &mut value] {
        if text.len() > MAX_HEADER_BYTES {
            let end = (0..=MAX_HEADER_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
            text.truncate(end);
            letter.is_cut = true;
        }
    }
    letter.headers.push((name, value));
}

/// Streams have no convention of their own; these names are usual.
fn tell(letter: &mut Letter) {
    let of =
        |names: &[&str]| names.iter().find_map(|name| header(&letter.headers, name)).unwrap_or_default().to_owned();
    let (origin, error, kind) = (of(ORIGIN_FIELDS), of(ERROR_FIELDS), of(ERROR_TYPE_FIELDS));
    let (stack, deaths) = (of(STACK_FIELDS), of(DEATHS_FIELDS));
    letter.origin = if origin.is_empty() { alive(&letter.place).unwrap_or_default().to_owned() } else { origin };
    letter.frame = crate::dead_letters::stack::own_frame(&stack);
    (letter.error, letter.error_type) = (error, kind);
    letter.deaths = deaths.parse().unwrap_or(1);
    fill_in(letter);
}

/// The name of the stream whose dead are in a stream of this name; none where it is not named so.
pub(super) fn alive(name: &str) -> Option<&str> {
    let rest = DEAD_ENDINGS.iter().find_map(|ending| {
        let at = name.len().checked_sub(ending.len())?;
        name.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(ending)).then(|| &name[..at])
    })?;
    rest.strip_suffix([':', '.', '-', '_']).filter(|rest| !rest.is_empty())
}

/// The fields that it goes back with.
pub(super) fn fields(outgoing: &Outgoing) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let field = header(&outgoing.headers, BODY_FIELD).unwrap_or("body").to_owned();
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    if field == ALL_FIELDS {
        let wrong = |error| Error::NotAsked(format!("its body is no JSON object of fields and texts: {error}"));
        let all: std::collections::BTreeMap<String, String> = serde_json::from_slice(&outgoing.body).map_err(wrong)?;
        fields.extend(all.into_iter().map(|(name, value)| (name, value.into_bytes())));
    } else {
        fields.push((field, outgoing.body.clone()));
    }
    fields.retain(|(name, _)| !is_left_by_death(name));
    for (name, value) in &outgoing.headers {
        let is_there = name == BODY_FIELD || fields.iter().any(|(own, _)| own == name);
        if !is_there && !is_left_by_death(name) {
            fields.push((name.clone(), value.clone().into_bytes()));
        }
    }
    match fields.len() {
        0 => Err(Error::NotAsked("an entry without a field".to_owned())),
        _ => Ok(fields),
    }
}

fn nonsense() -> Error {
    Error::Nonsense("not the entries of a stream".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[(&str, &str)]) -> Entry {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        Entry { id: Id { ms: 1_700_000_000_000, nth: 3 }, fields }
    }

    fn back(letter: &Letter) -> Vec<(String, Vec<u8>)> {
        let Letter { headers, body, .. } = letter.clone();
        let outgoing = Outgoing { to: "orders".into(), key: String::new(), headers, body, idempotency_key: "1".into() };
        let mut fields = fields(&outgoing).unwrap();
        fields.sort();
        fields
    }

    #[test]
    fn an_entry_with_a_body_goes_back_as_it_came() {
        let letter = entry(&[("payload", "{\"order\":1}"), ("error_type", "OutOfStock"), ("error", "none left")])
            .letter("orders:dead");
        assert_eq!((letter.id.as_str(), letter.origin.as_str()), ("1700000000000-3", "orders"));
        assert_eq!((letter.error_type.as_str(), letter.error.as_str()), ("OutOfStock", "none left"));
        assert_eq!((letter.died_at.as_str(), letter.body.as_slice()), ("2023-11-14T22:13:20Z", &b"{\"order\":1}"[..]));
        assert!(back(&letter).contains(&("payload".to_owned(), b"{\"order\":1}".to_vec())));
    }

    #[test]
    fn an_entry_of_plain_fields_is_an_object_and_goes_back_as_fields() {
        let letter = entry(&[("order", "1"), ("sku", "A")]).letter("orders.dlq");
        assert_eq!(letter.body, br#"{"order":"1","sku":"A"}"#);
        assert_eq!(back(&letter), [("order".to_owned(), b"1".to_vec()), ("sku".to_owned(), b"A".to_vec())]);
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let long = "x".repeat(MAX_HEADER_BYTES + 1);
        assert!(entry(&[("body", "b"), ("h", &long)]).letter("a:dead").is_cut);
        assert!(entry(&[("body", &"x".repeat(MAX_BODY_BYTES + 1))]).letter("a:dead").is_cut);
        assert!(!entry(&[("body", "b")]).letter("a:dead").is_cut);
    }

    #[test]
    fn dead_streams_are_known_by_their_names() {
        for (name, origin) in
            [("orders:dead", Some("orders")), ("a:b-DLQ", Some("a:b")), ("undead", None), (":dlq", None)]
        {
            assert_eq!(alive(name), origin, "{name}");
        }
        assert_eq!(Id { ms: 1, nth: u64::MAX }.next(), Some(Id { ms: 2, nth: 0 }));
        assert_eq!(Id { ms: 2, nth: 0 }.previous(), Some(Id { ms: 1, nth: u64::MAX }));
        assert_eq!(Id::FIRST.previous(), None);
    }
}
