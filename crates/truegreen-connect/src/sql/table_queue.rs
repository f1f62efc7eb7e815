//! A table that serves as a queue of dead letters: which column is what, and what becomes of a row.
//!
//! ```text
//! failed_jobs(id=id, body=payload, type=job_type, error=exception, at=failed_at, to=jobs)
//! ```
//! Whatever is not named is found by its usual name; `to` alone is not, and without it nothing is sent back.

use std::collections::BTreeMap;

use truegreen_model::letter::Letter;

use super::name::{Table, checked};
use crate::dead_letters::{MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, Outgoing};

/// Letters read at once: each may be [`MAX_BODY_BYTES`] long.
pub(crate) const MAX_PAGE: usize = 50;
/// Places at most.
pub(crate) const MAX_PLACES: usize = 200;
/// Letters that are counted, place by place; more are not worth the reading.
pub(crate) const MAX_COUNTED: i64 = 1_000_000;
/// Columns of a table that are looked at.
pub(crate) const MAX_COLUMNS: usize = MAX_HEADERS + 10;
/// Bytes of a text that are read: one more than are kept tells that it was longer.
pub(crate) const TEXT_READ: usize = MAX_HEADER_BYTES + 1;
/// Bytes of a body that are read.
pub(crate) const BODY_READ: usize = MAX_BODY_BYTES;
/// The column of the target that makes a sending happen once, where it is unique.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency_key";
/// The column, of either, that holds further headers as a JSON object.
const HEADERS: &str = "headers";

/// What a column tells of a letter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Role {
    Id,
    Body,
    Type,
    Error,
    ErrorType,
    At,
    Key,
    MessageId,
    Deaths,
}

impl Role {
    /// Its name in the form, and the usual names of its column.
    const ALL: &'static [(Role, &'static str, &'static [&'static str])] = &[
        (Role::Id, "id", &["id"]),
        (Role::Body, "body", &["payload", "body", "data", "message"]),
        (Role::Type, "type", &["type", "job_type", "message_type", "event_type", "job_class"]),
        (Role::Error, "error", &["error", "exception", "error_message", "last_error"]),
        (Role::ErrorType, "error_type", &["error_type", "exception_type", "error_class"]),
        (Role::At, "at", &["failed_at", "died_at", "dead_at", "discarded_at"]),
        (Role::Key, "key", &["key", "message_key", "routing_key"]),
        (Role::MessageId, "message_id", &["message_id", "uuid"]),
        (Role::Deaths, "deaths", &["deaths", "attempts", "retry_count"]),
    ];

    fn usual(self) -> &'static [&'static str] {
        Role::ALL.iter().find(|(role, _, _)| *role == self).map_or(&[], |(_, _, usual)| usual)
    }

    /// Whether the death left it, so that it is no part of what is sent back.
    fn is_of_the_death(self) -> bool {
        matches!(self, Role::Id | Role::Body | Role::Error | Role::ErrorType | Role::At | Role::Deaths)
    }
}

/// One entry of `dead_letters`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Form {
    pub(crate) table: Table,
    /// Where its letters go back to.
    pub(crate) to: Option<Table>,
    named: Vec<(Role, String)>,
}

impl Form {
    /// Reads `table` or `table(role=column, …, to=table)`.
    ///
    /// # Errors
    /// What is wrong with it, and how to mend it.
    pub(crate) fn read(text: &str) -> Result<Form, String> {
        let text = text.trim();
        let (table, rest) = text.split_once('(').unwrap_or((text, ")"));
        let mut form = Form { table: Table::read(table.trim())?, to: None, named: Vec::new() };
        let Some(rest) = rest.trim().strip_suffix(')') else {
            return Err("`(` is never closed\nhint: failed_jobs(id=id, body=payload, to=jobs)".to_owned());
        };
        for part in rest.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((word, column)) = part.split_once('=') else {
                return Err(format!("`{part}` has no `=`\nhint: body=payload, for example"));
            };
            let (word, column) = (word.trim(), column.trim());
            match Role::ALL.iter().find(|(_, name, _)| *name == word) {
                Some((role, _, _)) => form.named.push((*role, checked(column)?.to_owned())),
                None if word == "to" => form.to = Some(Table::read(column)?),
                None => {
                    let words: Vec<&str> = Role::ALL.iter().map(|(_, name, _)| *name).collect();
                    return Err(format!("`{word}` is nothing of a letter\nhint: {} or to", words.join(", ")));
                }
            }
        }
        Ok(form)
    }

    /// Which of these columns is what.
    ///
    /// # Errors
    /// Which is missing.
    pub(crate) fn layout(&self, columns: Vec<Column>) -> Result<Layout, String> {
        let table = &self.table;
        if columns.is_empty() {
            return Err(format!(
                "there is no table {table}, or it may not be seen\nhint: GRANT SELECT, DELETE ON {table}"
            ));
        }
        let at = |name: &str| columns.iter().position(|column| column.name == name);
        let mut roles = BTreeMap::new();
        for (role, word, usual) in Role::ALL {
            match self.named.iter().find(|(named, _)| named == role) {
                Some((_, name)) => {
                    let column =
                        at(name).ok_or_else(|| format!("{table} has no column {name}\nhint: see `{word}=`"))?;
                    roles.insert(*role, column);
                }
                None => roles.extend(usual.iter().find_map(|name| at(name)).map(|column| (*role, column))),
            }
        }
        let role = |role, word| {
            let hint = format!("hint: {table}({word}=COLUMN)");
            roles.get(&role).copied().ok_or_else(|| format!("no column of {table} is known to be its {word}\n{hint}"))
        };
        let (id, body) = (role(Role::Id, "id")?, role(Role::Body, "body")?);
        if !columns[id].is_unique {
            let name = &columns[id].name;
            return Err(format!(
                "{table}.{name} is not unique: one letter could not be told from another\nhint: id=COLUMN"
            ));
        }
        Ok(Layout { columns, roles, id, body })
    }
}

/// A column of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Its type, as the server writes it.
    pub(crate) kind: String,
    /// Whether the server fills it, and refuses a value.
    pub(crate) is_computed: bool,
    /// Whether it alone is unique.
    pub(crate) is_unique: bool,
}

/// A table of dead letters, known.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) columns: Vec<Column>,
    roles: BTreeMap<Role, usize>,
    pub(crate) id: usize,
    pub(crate) body: usize,
}

impl Layout {
    /// The column that is this.
    pub(crate) fn column(&self, role: Role) -> Option<usize> {
        self.roles.get(&role).copied()
    }

    /// A row as a letter: the texts of its columns in their order (the body's is left out of account), and its body.
    pub(crate) fn letter(&self, form: &Form, texts: Vec<Option<String>>, body: Vec<u8>, is_cut: bool) -> Letter {
        // What is not looked at could not be sent back.
        let is_cut = is_cut || self.columns.len() >= MAX_COLUMNS;
        let text = |role| {
            let text = self.column(role).and_then(|column| texts.get(column)).and_then(Option::as_deref);
            bounded(text.unwrap_or_default()).0
        };
        let mut letter = Letter {
            id: text(Role::Id),
            place: form.table.to_string(),
            origin: form.to.as_ref().map(Table::to_string).unwrap_or_default(),
            key: text(Role::Key),
            message_id: text(Role::MessageId),
            message_type: text(Role::Type),
            error_type: text(Role::ErrorType),
            error: text(Role::Error),
            deaths: text(Role::Deaths).parse().unwrap_or(1).max(1),
            died_at: text(Role::At),
            body,
            is_cut,
            ..Letter::default()
        };
        if letter.error_type.is_empty() {
            letter.error_type = error_type(&letter.error);
        }
        for (at, column) in self.columns.iter().enumerate() {
            let is_of_the_death = self.roles.iter().any(|(role, of)| *of == at && role.is_of_the_death());
            let Some(Some(text)) = texts.get(at).filter(|_| !is_of_the_death) else { continue };
            match serde_json::from_str::<BTreeMap<String, serde_json::Value>>(text) {
                Ok(headers) if column.name == HEADERS => {
                    headers.into_iter().for_each(|(name, value)| add(&mut letter, &name, &plain(value)));
                }
                _ => add(&mut letter, &column.name, text),
            }
        }
        let traceparent = letter.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("traceparent"));
        letter.traceparent = traceparent.map(|(_, value)| value.clone()).unwrap_or_default();
        letter
    }

    /// What goes into which column of the target. The rest of its columns keep their defaults.
    ///
    /// # Errors
    /// Where the body has no place there.
    pub(crate) fn plan(&self, target: &[Column], outgoing: &Outgoing) -> Result<Vec<(usize, Value)>, String> {
        let at = |name: &str| target.iter().position(|column| column.name == name && !column.is_computed);
        let first = |names: &[&str]| names.iter().find_map(|name| at(name));
        let own = &self.columns[self.body].name;
        let Some(body) = at(own).or_else(|| first(Role::Body.usual())) else {
            return Err(format!("it has no column for the body\nhint: name one {own}, as here"));
        };
        let mut plan = BTreeMap::from([(body, Value::Bytes(outgoing.body.clone()))]);
        plan.extend(at(IDEMPOTENCY_KEY).map(|column| (column, Value::Text(outgoing.idempotency_key.clone()))));
        // It begins anew.
        plan.extend(first(Role::Deaths.usual()).map(|column| (column, Value::Text("0".to_owned()))));
        let (headers, id) = (at(HEADERS), at(&self.columns[self.id].name));
        let mut others = serde_json::Map::new();
        for (name, value) in &outgoing.headers {
            match at(name) {
                Some(column) if Some(column) != id && Some(column) != headers => {
                    plan.entry(column).or_insert_with(|| Value::Text(value.clone()));
                }
                _ => drop(others.insert(name.clone(), serde_json::Value::String(value.clone()))),
            }
        }
        if !outgoing.key.is_empty() {
            let key = Value::Text(outgoing.key.clone());
            plan.extend(
                first(Role::Key.usual()).filter(|column| !plan.contains_key(column)).map(|column| (column, key)),
            );
        }
        if let Some(column) = headers.filter(|_| !others.is_empty()) {
            plan.insert(column, Value::Text(serde_json::Value::Object(others).to_string()));
        }
        Ok(plan.into_iter().collect())
    }
}

/// What is put into a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Text(String),
    Bytes(Vec<u8>),
}

fn add(letter: &mut Letter, name: &str, value: &str) {
    let ((name, name_cut), (value, value_cut)) = (bounded(name), bounded(value));
    // Sent back it would be another one.
    letter.is_cut |= name_cut || value_cut || letter.headers.len() >= MAX_HEADERS;
    if letter.headers.len() < MAX_HEADERS {
        letter.headers.push((name, value));
    }
}

/// At most [`MAX_HEADER_BYTES`] of it, and whether it was more.
fn bounded(text: &str) -> (String, bool) {
    let end = text.floor_char_boundary(MAX_HEADER_BYTES);
    (text[..end].to_owned(), end < text.len())
}

fn plain(value: serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The name of the error at the front of what it said: `App\Exceptions\OutOfStock: no more` or `shop.OutOfStock`.
fn error_type(error: &str) -> String {
    let first = error.lines().next().unwrap_or_default();
    let name = first.split(": ").next().unwrap_or_default().trim_end_matches(':');
    let is_name = !name.is_empty()
        && name.chars().all(|c| c.is_alphanumeric() || "_.\\:$/".contains(c))
        && name.chars().any(char::is_uppercase);
    if is_name { name.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<Column> {
        let column = |name: &&str| Column {
            name: (*name).to_owned(),
            kind: "text".to_owned(),
            is_computed: false,
            is_unique: *name == "id",
        };
        names.iter().map(column).collect()
    }

    #[test]
    fn a_form_is_read_or_says_what_is_wrong() {
        let form = Form::read(" shop.failed_jobs( id = nr, body=payload ,to=jobs)").unwrap();
        assert_eq!((form.table.to_string(), form.to.unwrap().name), ("shop.failed_jobs".to_owned(), "jobs".to_owned()));
        assert_eq!(Form::read("failed_jobs").unwrap().named, []);
        for (text, part) in [
            ("failed jobs", "not the name"),
            ("a; DROP TABLE b", "not the name"),
            ("jobs(id=id", "never closed"),
            ("jobs(id)", "no `=`"),
            ("jobs(kind=id)", "`kind` is nothing of a letter"),
            ("jobs(id=a\"b)", "not the name"),
        ] {
            let error = Form::read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn columns_are_found_by_name_or_missed_aloud() {
        let form = Form::read("failed(body=blob)").unwrap();
        assert!(form.layout(Vec::new()).unwrap_err().contains("no table failed"));
        assert!(form.layout(columns(&["id", "payload"])).unwrap_err().contains("no column blob"));
        let form = Form::read("failed").unwrap();
        assert!(form.layout(columns(&["id", "what"])).unwrap_err().contains("known to be its body"));
        assert!(Form::read("f(id=body)").unwrap().layout(columns(&["id", "body"])).unwrap_err().contains("not unique"));
        assert_eq!(form.layout(columns(&["queue", "id", "data"])).unwrap().body, 2);
    }

    #[test]
    fn a_row_is_a_letter_and_goes_back_without_its_death() {
        let form = Form::read("failed(to=jobs)").unwrap();
        let layout = form.layout(columns(&["id", "payload", "queue", "exception", "attempts", "headers"])).unwrap();
        let some = |text: &str| Some(text.to_owned());
        let stack = some("App\\OutOfStock: none\n#0 x");
        let texts =
            vec![some("7"), None, some("stock"), stack, some("3"), some(r#"{"traceparent":"00-1-2-01","n":1}"#)];
        let letter = layout.letter(&form, texts, b"{}".to_vec(), false);
        assert_eq!((letter.id.as_str(), letter.deaths, letter.origin.as_str()), ("7", 3, "jobs"));
        assert_eq!((letter.error_type.as_str(), letter.traceparent.as_str()), ("App\\OutOfStock", "00-1-2-01"));
        assert_eq!(letter.headers.len(), 3, "{:?}", letter.headers);

        let outgoing = Outgoing {
            to: "jobs".into(),
            key: "k".into(),
            headers: letter.headers.clone(),
            body: letter.body.clone(),
            idempotency_key: "once".into(),
        };
        let target = columns(&["id", "payload", "queue", "attempts", "headers", "idempotency_key", "key"]);
        let plan: BTreeMap<usize, Value> = layout.plan(&target, &outgoing).unwrap().into_iter().collect();
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(plan[&1], Value::Bytes(b"{}".to_vec()));
        assert_eq!(
            (&plan[&2], &plan[&3], &plan[&5], &plan[&6]),
            (&text("stock"), &text("0"), &text("once"), &text("k"))
        );
        assert_eq!(plan[&4], text(r#"{"n":"1","traceparent":"00-1-2-01"}"#));
        assert!(!plan.contains_key(&0));
        assert!(layout.plan(&columns(&["id"]), &outgoing).is_err());
    }

    #[test]
    fn what_is_too_long_is_shown_in_part_and_never_sent() {
        let form = Form::read("failed").unwrap();
        let layout = form.layout(columns(&["id", "payload", "queue"])).unwrap();
        let long = "ä".repeat(MAX_HEADER_BYTES);
        let letter = layout.letter(&form, vec![Some("7".into()), None, Some(long)], Vec::new(), false);
        assert!(letter.is_cut && letter.headers[0].1.len() <= MAX_HEADER_BYTES);
    }
}
