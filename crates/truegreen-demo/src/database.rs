//! The pipeline's databases: one SQLite file that orders and inventory share, the queue's table included, and one of
//! payments' own.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, ToSql, Transaction, TransactionBehavior};

use crate::Error;
use crate::event::{Article, CATALOGUE, FREIGHT, PARCEL};

/// How long a writer waits for the other process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Stock of each article at the start, and labels of each carrier.
const INITIAL_STOCK: i64 = 1_000_000;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, channel TEXT NOT NULL, placed_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS stock (sku TEXT PRIMARY KEY, quantity INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS products (
    sku TEXT PRIMARY KEY, price_cents INTEGER NOT NULL, version INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS movements (
    taken_for TEXT NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL, PRIMARY KEY (taken_for, sku));
CREATE TABLE IF NOT EXISTS labels (carrier TEXT PRIMARY KEY, next INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS returns (order_id TEXT NOT NULL, carrier TEXT NOT NULL, label INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS dead_letters (
    message_id INTEGER PRIMARY KEY, order_id TEXT NOT NULL, reason TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    key TEXT NOT NULL,
    headers TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'leased', 'acked')),
    deliveries INTEGER NOT NULL DEFAULT 0,
    lease_until_ms INTEGER);
CREATE INDEX IF NOT EXISTS queue_open ON queue (topic, partition, id) WHERE state <> 'acked';
";

const PAYMENTS_SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS payments (order_id TEXT PRIMARY KEY, method TEXT NOT NULL, paid_ms INTEGER NOT NULL);
";

pub(crate) fn path_in(run_dir: &Path) -> PathBuf {
    run_dir.join("shop.db")
}

/// Of payments' own database.
pub(crate) fn payments_path_in(run_dir: &Path) -> PathBuf {
    run_dir.join("payments.db")
}

/// Makes the file with its tables and the initial stock, if they are not there.
pub(crate) fn create(path: &Path) -> Result<Connection, Error> {
    let connection = open(path)?;
    connection.execute_batch(SCHEMA).map_err(Error::database("create the tables"))?;
    let put = |statement, values: &[&dyn ToSql]| {
        connection.execute(statement, values).map_err(Error::database("put in the initial stock"))
    };
    for Article { sku, price_cents, .. } in &CATALOGUE {
        put("INSERT OR IGNORE INTO stock (sku, quantity) VALUES (?1, ?2)", &[sku, &INITIAL_STOCK])?;
        put("INSERT OR IGNORE INTO products (sku, price_cents) VALUES (?1, ?2)", &[sku, price_cents])?;
    }
    for carrier in [PARCEL, FREIGHT] {
        put("INSERT OR IGNORE INTO labels (carrier, next, last) VALUES (?1, 1, ?2)", &[&carrier, &INITIAL_STOCK])?;
    }
    Ok(connection)
}

/// Makes payments' file with its table, if they are not there.
pub(crate) fn create_payments(path: &Path) -> Result<Connection, Error> {
    let connection = open(path)?;
    connection.execute_batch(PAYMENTS_SCHEMA).map_err(Error::database("create the tables"))?;
    Ok(connection)
}

/// A connection that every statement but `SELECT` fails on, as on a replica.
pub(crate) fn open_replica(path: &Path) -> Result<Connection, Error> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(Error::database("open a read-only connection"))
}

pub(crate) fn open(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path).map_err(Error::database("open a connection"))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(Error::database("set the busy timeout"))?;
    // NORMAL: nothing is lost when a process is killed, which is what the demo shows, and a slow disk's fsync does
    // not hold up the load.
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")
        .map_err(Error::database("switch to write-ahead logging"))?;
    Ok(connection)
}

/// A transaction that takes the write lock at once: one that upgrades later can fail without waiting.
pub(crate) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, Error> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Error::database("begin a transaction"))
}

/// Milliseconds since 1970, whatever the service's own clock says.
pub(crate) fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
