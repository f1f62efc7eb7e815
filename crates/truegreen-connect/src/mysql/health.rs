//! How it is: not whether its port is open, but whether it reads, writes, follows and is not about to stand still.

use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlConnection;
use truegreen_model::probe::{Check, Standing};

use super::{Access, begin, end, limit, literal, locks, number, replica, text};
use crate::config::Limit;
use crate::probe::failed;
use crate::sql::name::Table;
use crate::sql::peer::Peer;
use crate::sql::pieces::Dialect;
use crate::sql::scratch;
use crate::{Error, SystemConfig};

/// Seconds of a log-in or of one row: a healthy server needs milliseconds, and callers begin to time out at seconds.
const SLOW: Limit = Limit { warn: Some(1.0), fail: None };
/// Share of all connections: what is left must outlast a deployment, which holds two generations for a while.
const CONNECTIONS: Limit = Limit::new(0.8, 0.95);
/// Rows of probes that died, deleted by one probe.
const MAX_LEFT: usize = 20;

/// One probe, on its own connection.
struct Health<'a> {
    config: &'a SystemConfig,
    peer: &'a Peer,
    connection: MySqlConnection,
    checks: Vec<Check>,
}

/// All checks, in their order.
pub(super) async fn checks(
    config: &SystemConfig,
    peer: &Peer,
    connection: MySqlConnection,
    login: Duration,
) -> Vec<Check> {
    let connect = config.judge("connect", SLOW, login.as_secs_f64(), "s", "the log-in took its time");
    let mut health = Health { config, peer, connection, checks: vec![calm(connect)] };
    if health.ask_all().await.is_err() {
        // The connection itself is gone; what was asked last says why.
    }
    health.checks
}

/// A pass needs no reason.
fn calm(mut check: Check) -> Check {
    if check.standing == Standing::Pass {
        check.reason.clear();
    }
    check
}

impl Health<'_> {
    async fn ask_all(&mut self) -> Result<(), Error> {
        let flavour = match limit(self.peer, &mut self.connection).await {
            Ok(flavour) => flavour,
            Err(error) => return self.settle("read", Err(error), "").await,
        };
        let read = self.read().await;
        self.settle("read", read, "").await?;
        if let Some(scratch) = self.config.scratch.clone() {
            let written = self.write(&scratch).await;
            self.settle("write", written, "").await?;
        }
        let connections = self.connections().await;
        self.settle("connections", connections, "").await?;
        let lag = replica::replication(self.config, self.peer, &mut self.connection, flavour, &mut self.checks).await;
        self.settle("replication_lag", lag, replica::right(flavour)).await?;
        let long = locks::long_transactions(self.config, self.peer, &mut self.connection, &mut self.checks).await;
        self.settle("long_transactions", long, "PROCESS ON *.*").await?;
        let waits = locks::lock_waits(self.config, self.peer, &mut self.connection, flavour, &mut self.checks).await;
        self.settle("lock_waits", waits, locks::right(flavour)).await
    }

    /// Tells what went wrong, and makes the connection ready for the next question; an error where it is not. Where the user
    /// lacks the right only to see something, that is unknown.
    async fn settle(&mut self, measurement: &str, done: Result<(), Error>, right: &str) -> Result<(), Error> {
        match &done {
            Ok(()) => {}
            Err(Error::Denied(_)) if !right.is_empty() => {
                let reason = format!("this user may not see it\nhint: GRANT {right} TO it");
                self.checks.push(Check::new(measurement, Standing::Unknown, reason));
            }
            Err(error) => self.checks.push(failed(measurement, error)),
        }
        end(self.peer, &mut self.connection, "ROLLBACK").await
    }

    /// A row of each table that is watched, else of the largest that may be read.
    async fn read(&mut self) -> Result<(), Error> {
        begin(self.peer, &mut self.connection, Access::Read).await?;
        let mut tables = Vec::new();
        for name in &self.config.watch {
            tables.push(Table::read(name).map_err(|error| Error::NotAsked(format!("watch: {error}")))?);
        }
        if tables.is_empty() {
            let largest = sqlx::raw_sql(
                "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
                 AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') \
                 AND TABLE_SCHEMA = COALESCE(DATABASE(), TABLE_SCHEMA) ORDER BY TABLE_ROWS DESC LIMIT 1",
            );
            let row = largest.fetch_optional(&mut self.connection);
            if let Some(row) = self.peer.within("which tables there are", row).await? {
                tables.push(Table { schema: text(&row, 0), name: text(&row, 1).unwrap_or_default() });
            }
        }
        if tables.is_empty() {
            let count = sqlx::raw_sql("SELECT COUNT(*) FROM information_schema.SCHEMATA");
            self.peer.within("a read", count.fetch_one(&mut self.connection)).await?;
            self.checks.push(Check::new("read", Standing::Pass, "of the catalogue: no table here may be read"));
        }
        for table in tables {
            let began = Instant::now();
            let row = format!("SELECT COUNT(*) FROM (SELECT 1 FROM {} LIMIT 1) AS one", table.quoted(Dialect::Mysql));
            let read = sqlx::raw_sql(AssertSqlSafe(row)).fetch_one(&mut self.connection);
            let read = self.peer.within("a read", read).await;
            let component = format!("table {table}");
            match read {
                Ok(_) => {
                    let seconds = began.elapsed().as_secs_f64();
                    let check = self.config.judge("read", SLOW, seconds, "s", "reading a row took its time");
                    self.checks.push(calm(check).of(component));
                }
                Err(error @ (Error::TimedOut { .. } | Error::Unreachable(_))) => {
                    self.checks.push(failed("read", &error).of(component));
                    end(self.peer, &mut self.connection, "ROLLBACK").await?;
                    begin(self.peer, &mut self.connection, Access::Read).await?;
                }
                Err(error) => self.checks.push(failed("read", &error).of(component)),
            }
        }
        Ok(())
    }

    /// A row written, read back and deleted, each committed.
    async fn write(&mut self, scratch: &str) -> Result<(), Error> {
        let table = Table::read(scratch).map_err(|error| Error::NotAsked(format!("scratch: {error}")))?;
        let read_only = sqlx::raw_sql("SELECT @@GLOBAL.read_only").fetch_one(&mut self.connection);
        let row = self.peer.within("whether it is read-only", read_only).await?;
        if text(&row, 0).is_some_and(|on| on != "0") {
            return Err(Error::Answered(
                "it is read-only, as a replica is\nhint: name its primary here, or leave `scratch` out".to_owned(),
            ));
        }
        self.create(&table).await?;
        let (peer, name, key) = (self.peer, table.quoted(Dialect::Mysql), scratch::key());
        let began = Instant::now();
        self.commit("a write", format!("INSERT INTO {name} (truegreen_probe) VALUES ({})", literal(&key))).await?;
        let seconds = began.elapsed().as_secs_f64();
        let left = format!(
            "SELECT truegreen_probe FROM {name} WHERE truegreen_probe = {} OR written_at < NOW() - INTERVAL {} LIMIT {}",
            literal(&key),
            scratch::LEFT_AFTER,
            MAX_LEFT + 1
        );
        let rows = sqlx::raw_sql(AssertSqlSafe(left)).fetch_all(&mut self.connection);
        let rows = peer.within("the row just written", rows).await?;
        let mut found: Vec<String> = rows.iter().filter_map(|row| text(row, 0)).collect();
        let is_there = found.contains(&key) || found.len() > MAX_LEFT;
        found.push(key);
        // By their keys alone: a search would lock the rows of other probes.
        let keys: Vec<String> = found.iter().map(|key| literal(key)).collect();
        let delete = format!("DELETE FROM {name} WHERE truegreen_probe IN ({})", keys.join(", "));
        self.commit("the deletion of what was written", delete).await?;
        self.checks.push(if is_there {
            calm(self.config.judge("write", SLOW, seconds, "s", "writing a row took its time"))
        } else {
            Check::new("write", Standing::Fail, format!("a row was written and committed to {table}, and is not there"))
        });
        Ok(())
    }

    async fn commit(&mut self, what: &'static str, statement: String) -> Result<(), Error> {
        begin(self.peer, &mut self.connection, Access::Write).await?;
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.connection);
        self.peer.within(what, done).await?;
        end(self.peer, &mut self.connection, "COMMIT").await
    }

    /// Only where it is missing, so that the right to create is needed once.
    async fn create(&mut self, table: &Table) -> Result<(), Error> {
        let schema = table.schema.as_ref().map_or("DATABASE()".to_owned(), |schema| literal(schema));
        let exists = sqlx::raw_sql(AssertSqlSafe(format!(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {}",
            literal(&table.name)
        )));
        let row =
            self.peer.within("whether the scratch table is there", exists.fetch_one(&mut self.connection)).await?;
        if number(&row, 0).is_some_and(|count| count > 0.0) {
            return Ok(());
        }
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {} (truegreen_probe VARCHAR(120) CHARACTER SET ascii PRIMARY KEY, \
             written_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE = InnoDB",
            table.quoted(Dialect::Mysql)
        );
        let created = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut self.connection);
        self.peer.within("the creation of the scratch table", created).await.map(drop)
    }

    async fn connections(&mut self) -> Result<(), Error> {
        let used = sqlx::raw_sql("SHOW GLOBAL STATUS LIKE 'Threads_connected'").fetch_one(&mut self.connection);
        let used = number(&self.peer.within("its connections", used).await?, 1).unwrap_or_default();
        let most = sqlx::raw_sql("SELECT @@GLOBAL.max_connections").fetch_one(&mut self.connection);
        let most = number(&self.peer.within("its connections", most).await?, 0).unwrap_or(1.0);
        let what = format!("{used:.0} of {most:.0} connections are taken");
        self.checks.push(self.config.judge("connections", CONNECTIONS, used / most.max(1.0), "1", &what));
        Ok(())
    }
}
