//! Keys by a SELECT, which runs as questions do: read-only, behind a limit of rows and bytes that the server keeps, and rolled
//! back.

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Row};

use super::{Access, Postgres, begin, end};
use crate::Error;
use crate::keys::{Keys, Listed, MAX_KEY_BYTES, MAX_LISTED};
use crate::sql::pieces::Dialect;
use crate::sql::question::Question;

#[async_trait]
impl Keys for Postgres {
    fn check(&self, which: &str) -> Result<(), String> {
        Question::listing(which, Dialect::Postgres).map(drop)
    }

    async fn list(&self, which: &str, _: Option<&str>, limit: usize) -> Result<Listed, Error> {
        let listing = Question::listing(which, Dialect::Postgres).map_err(Error::NotAsked)?;
        let peer = &self.lines.peer;
        let mut line = self.lines.take().await?;
        begin(peer, &mut line, Access::Read).await?;
        // The first column alone is given another name, whatever it was called.
        let statement = format!(
            "SELECT CASE WHEN octet_length(q.truegreen_key::text) <= {MAX_KEY_BYTES} THEN q.truegreen_key::text END \
             FROM ({listing}) AS q(truegreen_key) LIMIT {}",
            limit.min(MAX_LISTED)
        );
        let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut *line);
        let rows = peer.within("which keys there are", rows).await?;
        if self.took_locks(&mut line).await? {
            return Err(Error::NotAsked("it takes advisory locks\nhint: ask for rows only".to_owned()));
        }
        end(peer, &mut line, "ROLLBACK").await?;
        line.give_back();
        let keys = rows.iter().filter_map(|row| row.try_get::<Option<String>, _>(0).ok().flatten());
        Ok(Listed { keys: keys.filter(|key| !key.is_empty()).collect(), next: None })
    }
}
