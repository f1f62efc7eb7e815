//! Whether it did happen: a row looked up. A question runs read-only, in parentheses, behind a limit of rows and bytes that
//! the server keeps, and is rolled back.

use std::collections::BTreeMap;
use std::time::Instant;

use async_trait::async_trait;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Column, Executor, Row, SqlSafeStr, Statement, TypeInfo};

use super::{Access, Mysql, begin, end, limit, replica, text};
use crate::Error;
use crate::confirm::{Confirm, Found, MAX_KEYS, MAX_ROW_BYTES, MAX_ROWS};
use crate::sql::name::quoted;
use crate::sql::pieces::Dialect;
use crate::sql::question::Question;

/// Columns of an answer.
const MAX_COLUMNS: usize = 64;

/// A question as it is asked, and the names of its columns.
struct Prepared {
    statement: String,
    columns: Vec<String>,
}

#[async_trait]
impl Confirm for Mysql {
    fn check(&self, question: &str) -> Result<(), String> {
        Question::read(question, Dialect::Mysql).map(drop)
    }

    async fn ask(&self, question: &str, keys: &[String]) -> Result<Vec<Result<Found, Error>>, Error> {
        if keys.len() > MAX_KEYS {
            return Err(Error::NotAsked(format!("{} keys at once\nhint: at most {MAX_KEYS}", keys.len())));
        }
        let question = Question::read(question, Dialect::Mysql).map_err(Error::NotAsked)?;
        let peer = &self.lines.peer;
        let mut line = self.lines.take().await?;
        limit(peer, &mut line).await?;
        begin(peer, &mut line, Access::Read).await?;
        let prepared = self.prepared(&mut line, &question).await?;
        let mut answers = Vec::with_capacity(keys.len());
        for key in keys {
            let answer = self.ask_one(&mut line, &prepared, key).await;
            let ends = matches!(answer, Err(Error::TimedOut { .. } | Error::Unreachable(_)));
            answers.push(answer);
            if ends {
                // What takes all of its time for one key would do so for the next: that is harm enough.
                let last = answers.last().cloned();
                answers.extend(std::iter::repeat_n(last, keys.len() - answers.len()).flatten());
                return Ok(answers);
            }
        }
        end(peer, &mut line, "ROLLBACK").await?;
        if self.took_locks(&mut line).await? {
            let error = Error::NotAsked("it takes locks by name\nhint: ask for rows only".to_owned());
            return Ok(keys.iter().map(|_| Err(error.clone())).collect());
        }
        line.give_back();
        Ok(answers)
    }

    async fn behind(&self) -> Option<f64> {
        let mut line = self.lines.take().await.ok()?;
        let flavour = limit(&self.lines.peer, &mut line).await.ok()?;
        let status = replica::status(&self.lines.peer, &mut line, flavour).await.ok()?;
        line.give_back();
        // One source that cannot be told of makes the whole untold.
        status.iter().map(replica::seconds).try_fold(0.0, |most: f64, seconds| Some(most.max(seconds?)))
    }
}

impl Mysql {
    /// The question as it is asked: every column as text that the server itself cuts off, binary ones in hexadecimal.
    async fn prepared(&self, connection: &mut MySqlConnection, question: &Question) -> Result<Prepared, Error> {
        let plain = AssertSqlSafe(question.with("?")).into_sql_str();
        let statement = self.lines.peer.within("the question", connection.prepare(plain)).await?;
        let columns: Vec<String> = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        if columns.len() > MAX_COLUMNS {
            return Err(Error::NotAsked(format!("more than {MAX_COLUMNS} columns\nhint: ask for fewer columns")));
        }
        let texts = statement.columns().iter().map(|column| {
            let (name, kind) = (quoted(column.name(), Dialect::Mysql), column.type_info().name().to_owned());
            let may_be_binary = ["BLOB", "BINARY", "BIT", "GEOMETRY"].iter().any(|word| kind.contains(word));
            let text = format!("CAST(q.{name} AS CHAR)");
            // A text whose letters are compared bit by bit is called binary too; only its character set tells.
            let text =
                if may_be_binary { format!("IF(CHARSET(q.{name}) = 'binary', HEX(q.{name}), {text})") } else { text };
            format!("LEFT({text}, {})", MAX_ROW_BYTES + 1)
        });
        let texts: Vec<String> = texts.collect();
        let (texts, question, rows) = (texts.join(", "), question.with("?"), MAX_ROWS + 1);
        Ok(Prepared { statement: format!("SELECT {texts} FROM ({question}) AS q LIMIT {rows}"), columns })
    }

    async fn ask_one(&self, connection: &mut MySqlConnection, prepared: &Prepared, key: &str) -> Result<Found, Error> {
        let (peer, began) = (&self.lines.peer, Instant::now());
        let rows = sqlx::query(AssertSqlSafe(prepared.statement.as_str())).bind(key).fetch_all(connection);
        let rows = peer.within("the question", rows).await?;
        // MySQL ends a sleep early and calls it well.
        if began.elapsed() >= peer.server_limit() {
            return Err(Error::TimedOut { what: "the question", limit: peer.server_limit() });
        }
        if rows.is_empty() {
            return Ok(Found::Nothing);
        }
        if rows.len() > MAX_ROWS {
            let error = format!("more than {MAX_ROWS} rows for one key\nhint: ask for what one key alone has");
            return Err(Error::NotAsked(error));
        }
        rows.iter().map(|row| found(row, &prepared.columns)).collect::<Result<_, _>>().map(Found::Rows)
    }

    /// Locks by name outlive a transaction; these end here.
    pub(super) async fn took_locks(&self, connection: &mut MySqlConnection) -> Result<bool, Error> {
        let released = sqlx::raw_sql("SELECT RELEASE_ALL_LOCKS()").fetch_one(connection);
        match self.lines.peer.within("its locks", released).await {
            Ok(row) => Ok(text(&row, 0).is_some_and(|count| count != "0")),
            // Older than the word: such a lock is one at most, and goes with the next.
            Err(Error::Answered(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn found(row: &MySqlRow, columns: &[String]) -> Result<BTreeMap<String, Option<String>>, Error> {
    let values = (0..row.len()).map(|at| text(row, at));
    let found: BTreeMap<String, Option<String>> = columns.iter().cloned().zip(values).collect();
    let bytes: usize = found.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len)).sum();
    if bytes > MAX_ROW_BYTES {
        let error = format!("a row of more than {MAX_ROW_BYTES} bytes\nhint: ask for fewer columns");
        return Err(Error::NotAsked(error));
    }
    Ok(found)
}
