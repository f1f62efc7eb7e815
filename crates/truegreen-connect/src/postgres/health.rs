//! How it is: not whether its port is open, but whether it reads, writes, follows and is not about to stand still.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};
use truegreen_model::probe::{Check, Standing};

use super::{Access, begin, end, standby};
use crate::config::Limit;
use crate::probe::failed;
use crate::sql::name::Table;
use crate::sql::peer::Peer;
use crate::sql::pieces::{Dialect, shape};
use crate::sql::scratch;
use crate::{Error, SystemConfig};

/// Seconds of a log-in or of one row: a healthy server needs milliseconds, and callers begin to time out at seconds.
const SLOW: Limit = Limit { warn: Some(1.0), fail: None };
/// Share of all connections: what is left must outlast a deployment, which holds two generations for a while.
const CONNECTIONS: Limit = Limit::new(0.8, 0.95);
/// Seconds: vacuum is held up by the oldest transaction, and after minutes dead rows slow everybody.
const LONG_TRANSACTIONS: Limit = Limit::new(60.0, 600.0);
/// Seconds: callers of what waits have timed out by then.
const LOCK_WAITS: Limit = Limit::new(5.0, 60.0);
/// Characters of a statement that are shown, without its literals.
const STATEMENT: usize = 80;
/// Waiting sessions that are looked at.
const MAX_WAITING: usize = 100;

/// One probe, on its own connection.
struct Health<'a> {
    config: &'a SystemConfig,
    peer: &'a Peer,
    connection: PgConnection,
    checks: Vec<Check>,
}

/// All checks, in their order.
pub(super) async fn checks(
    config: &SystemConfig,
    peer: &Peer,
    connection: PgConnection,
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
        let read = self.read().await;
        self.settle("read", read).await?;
        if let Some(scratch) = self.config.scratch.clone() {
            let written = self.write(&scratch).await;
            self.settle("write", written).await?;
        }
        let connections = self.connections().await;
        self.settle("connections", connections).await?;
        let lag = standby::replication(self.config, self.peer, &mut self.connection, &mut self.checks).await;
        self.settle("replication_lag", lag).await?;
        let sees_all = match self.sees_all().await {
            Ok(sees_all) => sees_all,
            Err(error) => return self.settle("long_transactions", Err(error)).await,
        };
        self.settle("long_transactions", Ok(())).await?;
        if !sees_all {
            for measurement in ["long_transactions", "lock_waits"] {
                let reason = "this user sees only its own sessions\nhint: GRANT pg_monitor TO it";
                self.checks.push(Check::new(measurement, Standing::Unknown, reason));
            }
            return Ok(());
        }
        let long = self.long_transactions().await;
        self.settle("long_transactions", long).await?;
        let waits = self.lock_waits().await;
        self.settle("lock_waits", waits).await
    }

    /// Tells what went wrong, and makes the connection ready for the next question; an error where it is not.
    async fn settle(&mut self, measurement: &str, done: Result<(), Error>) -> Result<(), Error> {
        if let Err(error) = &done {
            self.checks.push(failed(measurement, error));
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
            let largest = sqlx::query(
                "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
                 AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') \
                 ORDER BY c.reltuples DESC, c.oid LIMIT 1",
            );
            let row = largest.fetch_optional(&mut self.connection);
            if let Some(row) = self.peer.within("which tables there are", row).await? {
                let name = |at| row.try_get::<String, _>(at).unwrap_or_default();
                tables.push(Table { schema: Some(name(0)), name: name(1) });
            }
        }
        if tables.is_empty() {
            let count = sqlx::query("SELECT count(*) FROM pg_class").fetch_one(&mut self.connection);
            self.peer.within("a read", count).await?;
            self.checks.push(Check::new("read", Standing::Pass, "of the catalogue: no table here may be read"));
        }
        for table in tables {
            let began = Instant::now();
            let row =
                format!("SELECT count(*) FROM (SELECT 1 FROM {} LIMIT 1) AS one", table.quoted(Dialect::Postgres));
            let read = sqlx::raw_sql(AssertSqlSafe(row)).execute(&mut self.connection);
            let component = format!("table {table}");
            match self.peer.within("a read", read).await {
                Ok(_) => {
                    let seconds = began.elapsed().as_secs_f64();
                    let check = self.config.judge("read", SLOW, seconds, "s", "reading a row took its time");
                    self.checks.push(calm(check).of(component));
                }
                Err(error) => {
                    self.checks.push(failed("read", &error).of(component));
                    end(self.peer, &mut self.connection, "ROLLBACK").await?;
                    begin(self.peer, &mut self.connection, Access::Read).await?;
                }
            }
        }
        Ok(())
    }

    /// A row written, read back and deleted, each in a transaction that is committed.
    async fn write(&mut self, scratch: &str) -> Result<(), Error> {
        let table = Table::read(scratch).map_err(|error| Error::NotAsked(format!("scratch: {error}")))?;
        let replica = sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut self.connection);
        if self.peer.within("whether it is a replica", replica).await? {
            return Err(Error::Answered(
                "it is a read-only replica\nhint: name its primary here, or leave `scratch` out".to_owned(),
            ));
        }
        self.create(&table).await?;
        let (peer, name, key) = (self.peer, table.quoted(Dialect::Postgres), scratch::key());
        let began = Instant::now();
        begin(peer, &mut self.connection, Access::Write).await?;
        let insert = format!("INSERT INTO {name} (truegreen_probe) VALUES ($1)");
        let insert = sqlx::query(AssertSqlSafe(insert)).bind(&key).execute(&mut self.connection);
        peer.within("a write", insert).await?;
        end(peer, &mut self.connection, "COMMIT").await?;
        let seconds = began.elapsed().as_secs_f64();

        begin(peer, &mut self.connection, Access::Write).await?;
        let read = format!("SELECT count(*) FROM {name} WHERE truegreen_probe = $1");
        let read = sqlx::query_scalar(AssertSqlSafe(read)).bind(&key).fetch_one(&mut self.connection);
        let found: i64 = peer.within("the row just written", read).await?;
        let left = scratch::LEFT_AFTER;
        let delete = format!("DELETE FROM {name} WHERE truegreen_probe = $1 OR written_at < now() - INTERVAL '{left}'");
        let delete = sqlx::query(AssertSqlSafe(delete)).bind(&key).execute(&mut self.connection);
        peer.within("the deletion of what was written", delete).await?;
        end(peer, &mut self.connection, "COMMIT").await?;
        self.checks.push(if found == 1 {
            calm(self.config.judge("write", SLOW, seconds, "s", "writing a row took its time"))
        } else {
            Check::new("write", Standing::Fail, format!("a row was written and committed to {table}, and is not there"))
        });
        Ok(())
    }

    /// Only where it is missing, so that the right to create is needed once.
    async fn create(&mut self, table: &Table) -> Result<(), Error> {
        let (peer, name) = (self.peer, table.quoted(Dialect::Postgres));
        let exists = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(&name);
        if peer.within("whether the scratch table is there", exists.fetch_one(&mut self.connection)).await? {
            return Ok(());
        }
        begin(peer, &mut self.connection, Access::Write).await?;
        let create = format!(
            "CREATE TABLE {name} (truegreen_probe text PRIMARY KEY, written_at timestamptz NOT NULL DEFAULT now())"
        );
        let created = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut self.connection).await;
        match created {
            Ok(_) => end(peer, &mut self.connection, "COMMIT").await,
            // Another Truegreen was quicker: the table, its type, or its row in a catalogue is there already.
            Err(sqlx::Error::Database(error))
                if matches!(error.code().as_deref(), Some("42P07" | "42710" | "23505")) =>
            {
                end(peer, &mut self.connection, "ROLLBACK").await
            }
            Err(error) => Err(peer.reason("the creation of the scratch table", error)),
        }
    }

    async fn connections(&mut self) -> Result<(), Error> {
        begin(self.peer, &mut self.connection, Access::Read).await?;
        let row = sqlx::query(
            "SELECT (SELECT sum(numbackends) FROM pg_stat_database)::float8, \
             (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int)::float8",
        );
        let row = self.peer.within("its connections", row.fetch_one(&mut self.connection)).await?;
        let (used, most): (f64, f64) = (row.try_get(0).unwrap_or_default(), row.try_get(1).unwrap_or(1.0));
        let what = format!("{used:.0} of {most:.0} connections are taken");
        self.checks.push(self.config.judge("connections", CONNECTIONS, used / most.max(1.0), "1", &what));
        Ok(())
    }

    /// Whether this user may see what others do.
    async fn sees_all(&mut self) -> Result<bool, Error> {
        begin(self.peer, &mut self.connection, Access::Read).await?;
        let sees = sqlx::query_scalar("SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')");
        self.peer.within("what this user may see", sees.fetch_one(&mut self.connection)).await
    }

    async fn long_transactions(&mut self) -> Result<(), Error> {
        begin(self.peer, &mut self.connection, Access::Read).await?;
        let oldest = sqlx::query(
            "SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8, pid, state, application_name, query \
             FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() \
             AND backend_type = 'client backend' ORDER BY xact_start LIMIT 1",
        );
        let row = self.peer.within("its transactions", oldest.fetch_optional(&mut self.connection)).await?;
        let (seconds, what) = match &row {
            None => (0.0, "no transaction is open".to_owned()),
            Some(row) => {
                let seconds: f64 = row.try_get(0).unwrap_or_default();
                let session = session(row, 1);
                (seconds, format!("the oldest transaction is open for {seconds:.0} s: {session}"))
            }
        };
        self.checks.push(self.config.judge("long_transactions", LONG_TRANSACTIONS, seconds.max(0.0), "s", &what));
        Ok(())
    }

    async fn lock_waits(&mut self) -> Result<(), Error> {
        begin(self.peer, &mut self.connection, Access::Read).await?;
        // `waitstart` came with PostgreSQL 14; as JSON it is merely absent before.
        let waiting = sqlx::query(AssertSqlSafe(format!(
            "SELECT extract(epoch FROM clock_timestamp() - coalesce((SELECT min((to_jsonb(l) ->> 'waitstart')::timestamptz) \
             FROM pg_locks l WHERE l.pid = w.pid AND NOT l.granted), w.query_start))::float8 AS seconds, \
             w.pid, w.state, w.application_name, w.query, b.pid, b.state, b.application_name, b.query \
             FROM pg_stat_activity w LEFT JOIN pg_stat_activity b ON b.pid = (pg_blocking_pids(w.pid))[1] \
             WHERE w.wait_event_type = 'Lock' ORDER BY seconds DESC NULLS LAST LIMIT {MAX_WAITING}"
        )));
        let rows = self.peer.within("its lock waits", waiting.fetch_all(&mut self.connection)).await?;
        let (seconds, what) = match rows.first() {
            None => (0.0, "nobody waits for a lock".to_owned()),
            Some(row) => {
                let seconds: f64 = row.try_get(0).unwrap_or_default();
                let (waits, blocks) = (session(row, 1), session(row, 5));
                let count = rows.len();
                (
                    seconds,
                    format!("{count} wait for a lock, the longest for {seconds:.0} s: {waits}; blocked by {blocks}"),
                )
            }
        };
        self.checks.push(self.config.judge("lock_waits", LOCK_WAITS, seconds.max(0.0), "s", &what));
        Ok(())
    }
}

/// Who it is and what it does, without its data: pid, state, application and statement, from this column on.
fn session(row: &sqlx::postgres::PgRow, from: usize) -> String {
    let text = |at| row.try_get::<Option<String>, _>(from + at).ok().flatten().unwrap_or_default();
    let Ok(Some(pid)) = row.try_get::<Option<i32>, _>(from) else {
        return "a session that is not seen (a prepared transaction, perhaps)".to_owned();
    };
    let (state, application) = (text(1), text(2));
    let application = if application.is_empty() { "no application name".to_owned() } else { application };
    format!("pid {pid} ({application}, {state}) with `{}`", shape(&text(3), Dialect::Postgres, STATEMENT))
}
