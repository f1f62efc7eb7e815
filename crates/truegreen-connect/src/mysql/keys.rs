//! Keys by a SELECT, which runs as questions do: read-only, behind a limit of rows and bytes that the server keeps, and rolled
//! back.

use std::time::Instant;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Column, Executor, SqlSafeStr, Statement};

use super::{Access, Mysql, begin, end, limit, text};
use crate::Error;
use crate::keys::{Keys, Listed, MAX_KEY_BYTES, MAX_LISTED};
use crate::sql::name::quoted;
use crate::sql::pieces::Dialect;
use crate::sql::question::Question;

#[async_trait]
impl Keys for Mysql {
    fn check(&self, which: &str) -> Result<(), String> {
        Question::listing(which, Dialect::Mysql).map(drop)
    }

    async fn list(&self, which: &str, _: Option<&str>, most: usize) -> Result<Listed, Error> {
        let listing = Question::listing(which, Dialect::Mysql).map_err(Error::NotAsked)?;
        let peer = &self.lines.peer;
        let mut line = self.lines.take().await?;
        limit(peer, &mut line).await?;
        begin(peer, &mut line, Access::Read).await?;
        let plain = AssertSqlSafe(listing.as_str()).into_sql_str();
        let prepared = peer.within("which keys there are", line.prepare(plain)).await?;
        let Some(first) = prepared.columns().first().map(|column| quoted(column.name(), Dialect::Mysql)) else {
            return Err(Error::NotAsked("it has no column\nhint: its first column is the key".to_owned()));
        };
        let statement = format!(
            "SELECT IF(LENGTH(q.{first}) <= {MAX_KEY_BYTES}, CAST(q.{first} AS CHAR), NULL) FROM ({listing}) AS q \
             LIMIT {}",
            most.min(MAX_LISTED)
        );
        let began = Instant::now();
        let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut *line);
        let rows = peer.within("which keys there are", rows).await?;
        // MySQL ends a sleep early and calls it well.
        if began.elapsed() >= peer.server_limit() {
            return Err(Error::TimedOut { what: "which keys there are", limit: peer.server_limit() });
        }
        end(peer, &mut line, "ROLLBACK").await?;
        if self.took_locks(&mut line).await? {
            return Err(Error::NotAsked("it takes locks by name\nhint: ask for rows only".to_owned()));
        }
        line.give_back();
        let keys = rows.iter().filter_map(|row| text(row, 0)).filter(|key| !key.is_empty());
        Ok(Listed { keys: keys.collect(), next: None })
    }
}
