//! Whether it did happen: a row looked up. A question runs read-only, in parentheses, behind a limit of rows and bytes that
//! the server keeps, and is rolled back.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Either, Executor, Row, Statement};

use super::{Access, Postgres, begin, end, standby};
use crate::Error;
use crate::confirm::{Confirm, Found, MAX_KEYS, MAX_ROW_BYTES, MAX_ROWS};
use crate::sql::pieces::Dialect;
use crate::sql::question::Question;

/// Bytes of a row as JSON that are sent at all: escapes make it longer than it is.
const MAX_JSON_BYTES: usize = MAX_ROW_BYTES * 6;

#[async_trait]
impl Confirm for Postgres {
    fn check(&self, question: &str) -> Result<(), String> {
        Question::read(question, Dialect::Postgres).map(drop)
    }

    async fn ask(&self, question: &str, keys: &[String]) -> Result<Vec<Result<Found, Error>>, Error> {
        if keys.len() > MAX_KEYS {
            return Err(Error::NotAsked(format!("{} keys at once\nhint: at most {MAX_KEYS}", keys.len())));
        }
        let question = Question::read(question, Dialect::Postgres).map_err(Error::NotAsked)?;
        let peer = &self.lines.peer;
        let mut line = self.lines.take().await?;
        begin(peer, &mut line, Access::Read).await?;
        let statement = self.prepared(&mut line, &question).await?;
        let mut answers = Vec::with_capacity(keys.len());
        for key in keys {
            let answer = self.ask_one(&mut line, &statement, key).await;
            let ends = matches!(answer, Err(Error::TimedOut { .. } | Error::Unreachable(_)));
            let failed = answer.is_err();
            answers.push(answer);
            if ends {
                // What takes all of its time for one key would do so for the next: that is harm enough.
                let last = answers.last().cloned();
                answers.extend(std::iter::repeat_n(last, keys.len() - answers.len()).flatten());
                return Ok(answers);
            }
            if failed {
                end(peer, &mut line, "ROLLBACK").await?;
                begin(peer, &mut line, Access::Read).await?;
            }
        }
        if self.took_locks(&mut line).await? {
            let error = Error::NotAsked("it takes advisory locks\nhint: ask for rows only".to_owned());
            return Ok(keys.iter().map(|_| Err(error.clone())).collect());
        }
        end(peer, &mut line, "ROLLBACK").await?;
        line.give_back();
        Ok(answers)
    }

    async fn behind(&self) -> Option<f64> {
        let mut line = self.lines.take().await.ok()?;
        begin(&self.lines.peer, &mut line, Access::Read).await.ok()?;
        let standby = standby::ask(&self.lines.peer, &mut line).await.ok()?;
        end(&self.lines.peer, &mut line, "ROLLBACK").await.ok()?;
        line.give_back();
        Some(standby.map_or(0.0, |standby| standby.seconds))
    }
}

impl Postgres {
    /// The question as it is asked: the key comes as text, and is turned into whatever the question takes it for.
    async fn prepared(&self, connection: &mut PgConnection, question: &Question) -> Result<String, Error> {
        let peer = &self.lines.peer;
        let plain = AssertSqlSafe(question.with("$1"));
        let prepared = connection.prepare(sqlx::SqlSafeStr::into_sql_str(plain));
        let prepared = peer.within("the question", prepared).await?;
        let oid = match prepared.parameters() {
            Some(Either::Left([kind])) => kind.oid(),
            _ => None,
        };
        let oid = oid.ok_or_else(|| Error::NotAsked("the type of `$1` is not known\nhint: `$1::text`".to_owned()))?;
        let kind = sqlx::query_scalar("SELECT format_type($1::int8::oid, NULL)").bind(i64::from(oid.0));
        let kind: String = peer.within("the type of the key", kind.fetch_one(&mut *connection)).await?;
        let question = question.with(&format!("($1::text::{kind})"));
        let rows = MAX_ROWS + 1;
        Ok(format!(
            "SELECT CASE WHEN octet_length(a.row) <= {MAX_JSON_BYTES} THEN a.row END FROM (SELECT coalesce((SELECT \
             json_object_agg(e.key, e.value)::text FROM json_each_text(row_to_json(q)) AS e), '{{}}') AS row \
             FROM ({question}) AS q LIMIT {rows}) AS a"
        ))
    }

    async fn ask_one(&self, connection: &mut PgConnection, statement: &str, key: &str) -> Result<Found, Error> {
        if key.contains('\0') {
            return Err(Error::NotAsked("the key has a zero byte, which no text here can have".to_owned()));
        }
        let rows = sqlx::query(AssertSqlSafe(statement)).bind(key).fetch_all(connection);
        let rows = self.lines.peer.within("the question", rows).await?;
        if rows.is_empty() {
            return Ok(Found::Nothing);
        }
        if rows.len() > MAX_ROWS {
            let error = format!("more than {MAX_ROWS} rows for one key\nhint: ask for what one key alone has");
            return Err(Error::NotAsked(error));
        }
        rows.iter().map(|row| found(row.try_get(0).unwrap_or_default())).collect::<Result<_, _>>().map(Found::Rows)
    }

    /// Locks of a session outlive its transaction; ours ends here, and with it they do.
    pub(super) async fn took_locks(&self, connection: &mut PgConnection) -> Result<bool, Error> {
        let locks = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())";
        self.lines.peer.within("its locks", sqlx::query_scalar(locks).fetch_one(connection)).await
    }
}

fn found(json: Option<String>) -> Result<BTreeMap<String, Option<String>>, Error> {
    let too_long = || Error::NotAsked(format!("a row of more than {MAX_ROW_BYTES} bytes\nhint: ask for fewer columns"));
    let row: BTreeMap<String, Option<String>> =
        serde_json::from_str(&json.ok_or_else(too_long)?).map_err(|error| Error::Nonsense(error.to_string()))?;
    let bytes: usize = row.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len)).sum();
    if bytes > MAX_ROW_BYTES { Err(too_long()) } else { Ok(row) }
}
