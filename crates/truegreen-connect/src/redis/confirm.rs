//! Whether an effect is there: one command, asked for many keys at once.

use std::collections::BTreeMap;

use async_trait::async_trait;
use redis::{Value, pipe};

use super::Redis;
use super::dial::Connection;
use super::info::Info;
use super::question::{Guard, Question, Shape};
use crate::Error;
use crate::confirm::{Confirm, Found, MAX_KEYS, MAX_ROW_BYTES, MAX_ROWS};

/// Bytes that all answers to one batch may have together; beyond it each key is asked alone.
const MAX_BATCH_BYTES: u64 = 16 << 20;
/// Bytes of the answer for one key, before it is cut into rows.
const MAX_KEY_BYTES: u64 = 1 << 20;
/// The column of an answer that has no names.
const VALUE: &str = "value";

type Row = BTreeMap<String, Option<String>>;

#[async_trait]
impl Confirm for Redis {
    fn check(&self, question: &str) -> Result<(), String> {
        Question::parse(question).map(drop)
    }

    async fn ask(&self, question: &str, keys: &[String]) -> Result<Vec<Result<Found, Error>>, Error> {
        let question = Question::parse(question).map_err(Error::NotAsked)?;
        if keys.len() > MAX_KEYS {
            return Err(Error::NotAsked(format!("{} keys at once, more than {MAX_KEYS}", keys.len())));
        }
        let mut connection = Connection::open(&self.config).await?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let short = self.guarded(&mut connection, &question, keys).await?;
        let asked: Vec<&String> =
            keys.iter().zip(&short).filter(|(_, short)| short.is_ok()).map(|(key, _)| key).collect();
        let mut answers = self.answers(connection, &question, &asked).await?.into_iter();
        let nothing = || Err(Error::Nonsense("fewer answers than questions".to_owned()));
        let all = short.into_iter().map(|short| match short {
            Ok(()) => answers.next().unwrap_or_else(nothing),
            Err(error) => Err(error),
        });
        Ok(all.collect())
    }

    async fn behind(&self) -> Option<f64> {
        let mut connection = Connection::open(&self.config).await.ok()?;
        Info::read(&mut connection).await.ok()?.behind()
    }
}

impl Redis {
    /// Which of the keys have an answer that is short enough to be asked for.
    async fn guarded(
        &self,
        connection: &mut Connection,
        question: &Question,
        keys: &[String],
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let (most, unit) = match question.guard() {
            Guard::None => return Ok(vec![Ok(()); keys.len()]),
            Guard::Bytes(..) => (MAX_ROW_BYTES, "bytes"),
            Guard::Members(_, most) => (most, "members"),
        };
        let mut commands = pipe();
        for command in keys.iter().filter_map(|key| question.guard_of(key)) {
            commands.add_command(command);
        }
        let sizes = connection.ask_all("the lengths of answers", &mut commands, MAX_BATCH_BYTES).await?;
        let judge = |size: Result<Value, Error>| match size? {
            Value::Int(size) if usize::try_from(size).is_ok_and(|size| size <= most) => Ok(()),
            Value::Int(size) => Err(Error::Answered(format!("{size} {unit} for this key, more than {most}"))),
            _ => Err(Error::Nonsense("a length that is no number".to_owned())),
        };
        Ok(sizes.into_iter().map(judge).collect())
    }

    /// All at once; each alone where all together are too long, so that one long answer hides no other.
    async fn answers(
        &self,
        mut connection: Connection,
        question: &Question,
        keys: &[&String],
    ) -> Result<Vec<Result<Found, Error>>, Error> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = pipe();
        for key in keys {
            commands.add_command(question.of(key));
        }
        let rows = |answer: Result<Value, Error>| answer.and_then(|value| found(question, value));
        match connection.ask_all("the question", &mut commands, MAX_BATCH_BYTES).await {
            Ok(answers) => return Ok(answers.into_iter().map(rows).collect()),
            Err(error) if !connection.is_spent() => return Err(error),
            Err(_) => {}
        }
        let mut answers = Vec::new();
        for key in keys {
            if connection.is_spent() {
                connection = Connection::open(&self.config).await?;
            }
            let mut one = pipe();
            one.add_command(question.of(key));
            match connection.ask_all("the question", &mut one, MAX_KEY_BYTES).await {
                Ok(mut answer) => answers.extend(answer.pop().map(rows)),
                Err(error) if connection.is_spent() => answers.push(Err(error)),
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }
}

fn found(question: &Question, value: Value) -> Result<Found, Error> {
    let is_nothing = match (&value, question.shape()) {
        (Value::Nil, _) | (Value::Int(0), Shape::Count) | (Value::Int(-2), Shape::Life) => true,
        (Value::SimpleString(kind), Shape::Kind) => kind == "none",
        _ => false,
    };
    if is_nothing {
        return Ok(Found::Nothing);
    }
    let rows = match (question.shape(), value) {
        (Shape::Hash, value) => hash(value)?.into_iter().collect(),
        (Shape::Fields, Value::Array(values)) => fields(question.fields(), values)?.into_iter().collect(),
        (Shape::List, Value::Array(values) | Value::Set(values)) => {
            values.iter().map(single).collect::<Result<_, _>>()?
        }
        (Shape::Entries, Value::Array(entries)) => entries.into_iter().map(entry).collect::<Result<_, _>>()?,
        (Shape::List | Shape::Entries | Shape::Fields, _) => return Err(nonsense()),
        (_, value) => vec![single(&value)?],
    };
    bounded(rows)
}

fn bounded(rows: Vec<Row>) -> Result<Found, Error> {
    if rows.is_empty() {
        return Ok(Found::Nothing);
    }
    if rows.len() > MAX_ROWS {
        return Err(Error::Answered(format!("{} rows for this key, more than {MAX_ROWS}", rows.len())));
    }
    for row in &rows {
        let bytes: usize = row.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len)).sum();
        if bytes > MAX_ROW_BYTES {
            return Err(Error::Answered(format!("{bytes} bytes in a row for this key, more than {MAX_ROW_BYTES}")));
        }
    }
    Ok(Found::Rows(rows))
}

fn nonsense() -> Error {
    Error::Nonsense("not the answer that this command has".to_owned())
}

fn single(value: &Value) -> Result<Row, Error> {
    Ok(Row::from([(VALUE.to_owned(), text(value)?)]))
}

/// Names and values in turn, or a map.
fn pairs(value: Value) -> Result<Vec<(Value, Value)>, Error> {
    value.into_map_iter().map(Iterator::collect).map_err(|_| nonsense())
}

fn row(pairs: Vec<(Value, Value)>) -> Result<Row, Error> {
    pairs.iter().map(|(name, value)| Ok((text(name)?.unwrap_or_default(), text(value)?))).collect()
}

fn hash(value: Value) -> Result<Option<Row>, Error> {
    Ok(Some(row(pairs(value)?)?).filter(|row| !row.is_empty()))
}

/// Nothing, where none of the fields is there.
fn fields(names: &[String], values: Vec<Value>) -> Result<Option<Row>, Error> {
    if values.iter().all(|value| *value == Value::Nil) {
        return Ok(None);
    }
    let row: Result<Row, Error> =
        names.iter().zip(&values).map(|(name, value)| Ok((name.clone(), text(value)?))).collect();
    row.map(Some)
}

/// `[id, [name, value, ...]]`; its id is the column `id` where no field is named so.
fn entry(value: Value) -> Result<Row, Error> {
    let Value::Array(mut parts) = value else { return Err(nonsense()) };
    let (Some(fields), Some(id), true) = (parts.pop(), parts.pop(), parts.is_empty()) else { return Err(nonsense()) };
    let mut row = row(pairs(fields)?)?;
    let id = text(&id)?;
    row.entry("id".to_owned()).or_insert(id);
    Ok(row)
}

fn text(value: &Value) -> Result<Option<String>, Error> {
    Ok(Some(match value {
        Value::Nil => return Ok(None),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
        Value::SimpleString(text) => text.clone(),
        Value::Okay => "OK".to_owned(),
        Value::BulkString(bytes) => super::entry::text(bytes),
        Value::VerbatimString { text, .. } => text.clone(),
        _ => return Err(nonsense()),
    }))
}
