//! SQLite: one file that orders and inventory share, the queue's table included, and one of payments' own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, ToSql, Transaction, TransactionBehavior, params};

use super::{Ledger, Named, Shop, UnitOfWork, now_ms};
use crate::Error;
use crate::event::{Article, CATALOGUE, FREIGHT, NewOrder, PARCEL};
use crate::product::Product;

/// How long a writer waits for the other process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// `db.system.name`.
const SYSTEM: &str = "sqlite";

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
fn payments_path_in(run_dir: &Path) -> PathBuf {
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
        put("INSERT OR IGNORE INTO stock (sku, quantity) VALUES (?1, ?2)", &[sku, &super::INITIAL_STOCK])?;
        put("INSERT OR IGNORE INTO products (sku, price_cents) VALUES (?1, ?2)", &[sku, price_cents])?;
    }
    for carrier in [PARCEL, FREIGHT] {
        put(
            "INSERT OR IGNORE INTO labels (carrier, next, last) VALUES (?1, 1, ?2)",
            &[&carrier, &super::INITIAL_STOCK],
        )?;
    }
    Ok(connection)
}

/// Makes payments' file with its table, if they are not there.
fn create_payments(path: &Path) -> Result<Connection, Error> {
    let connection = open(path)?;
    connection.execute_batch(PAYMENTS_SCHEMA).map_err(Error::database("create the tables"))?;
    Ok(connection)
}

/// A connection that every statement but `SELECT` fails on, as on a replica.
fn open_replica(path: &Path) -> Result<Connection, Error> {
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

/// The shop's database as a file.
pub(crate) struct SqliteShop(Connection);

impl SqliteShop {
    pub(crate) fn open(run_dir: &Path) -> Result<SqliteShop, Error> {
        Ok(SqliteShop(open(&path_in(run_dir))?))
    }
}

impl Shop for SqliteShop {
    fn named(&self) -> Named {
        Named { system: SYSTEM, namespace: "shop".into() }
    }

    fn begin(&mut self) -> Result<Box<dyn UnitOfWork + '_>, Error> {
        Ok(Box::new(SqliteUnit(begin(&mut self.0)?)))
    }

    fn kind_of(&mut self, order: &str) -> Result<Option<String>, Error> {
        self.0
            .query_row("SELECT kind FROM orders WHERE id = ?1", [order], |row| row.get(0))
            .optional()
            .map_err(Error::database("look for an order"))
    }

    fn next_label(&mut self, carrier: &str) -> Result<Option<i64>, Error> {
        self.0
            .query_row(
                "UPDATE labels SET next = next + 1 WHERE carrier = ?1 AND next <= last RETURNING next - 1",
                [carrier],
                |row| row.get(0),
            )
            .optional()
            .map_err(Error::database("take a label"))
    }

    fn note_return(&mut self, order: &str, carrier: &str, label: i64) -> Result<u64, Error> {
        self.0
            .execute(
                "INSERT INTO returns (order_id, carrier, label) VALUES (?1, ?2, ?3)",
                params![order, carrier, label],
            )
            .map(|rows| rows as u64)
            .map_err(Error::database("note a return"))
    }

    fn product(&mut self, sku: &str) -> Result<Option<Product>, Error> {
        self.0
            .query_row("SELECT price_cents, version FROM products WHERE sku = ?1", [sku], |row| {
                Ok(Product {
                    sku: sku.to_owned(),
                    price_cents: row.get(0)?,
                    version: row.get::<_, i64>(1)?.unsigned_abs(),
                })
            })
            .optional()
            .map_err(Error::database("look for a product"))
    }
}

struct SqliteUnit<'a>(Transaction<'a>);

impl UnitOfWork for SqliteUnit<'_> {
    fn insert_order(&mut self, order: &NewOrder, placed_ms: i64) -> Result<u64, Error> {
        self.0
            .execute(
                "INSERT INTO orders (id, kind, channel, placed_ms) VALUES (?1, ?2, ?3, ?4)",
                params![order.order_id, order.kind, order.channel, placed_ms],
            )
            .map(|rows| rows as u64)
            .map_err(Error::database("insert an order"))
    }

    fn reprice(&mut self, sku: &str, price_cents: u32) -> Result<Option<u64>, Error> {
        self.0
            .query_row(
                "UPDATE products SET price_cents = ?2, version = version + 1 WHERE sku = ?1 RETURNING version",
                params![sku, price_cents],
                |row| row.get::<_, i64>(0),
            )
            .optional()
            .map(|version| version.map(i64::unsigned_abs))
            .map_err(Error::database("change a price"))
    }

    fn note_movement(&mut self, taken_for: &str, sku: &str, quantity: u32) -> Result<u64, Error> {
        self.0
            .execute(
                "INSERT OR IGNORE INTO movements (taken_for, sku, quantity) VALUES (?1, ?2, ?3)",
                params![taken_for, sku, quantity],
            )
            .map(|rows| rows as u64)
            .map_err(Error::database("note a movement"))
    }

    fn take_stock(&mut self, sku: &str, quantity: u32) -> Result<u64, Error> {
        self.0
            .execute("UPDATE stock SET quantity = quantity - ?2 WHERE sku = ?1", params![sku, quantity])
            .map(|rows| rows as u64)
            .map_err(Error::database("update the stock"))
    }

    fn file(&self) -> Option<&Connection> {
        Some(&self.0)
    }

    fn commit(self: Box<Self>) -> Result<(), Error> {
        self.0.commit().map_err(Error::database("commit"))
    }
}

/// Payments' database as a file.
pub(crate) struct SqliteLedger {
    path: PathBuf,
    connection: Connection,
}

impl SqliteLedger {
    pub(crate) fn open(run_dir: &Path) -> Result<SqliteLedger, Error> {
        let path = payments_path_in(run_dir);
        Ok(SqliteLedger { connection: create_payments(&path)?, path })
    }
}

impl Ledger for SqliteLedger {
    fn named(&self) -> Named {
        Named { system: SYSTEM, namespace: "payments".into() }
    }

    fn fail_over(&mut self) -> Result<(), Error> {
        self.connection = open_replica(&self.path)?;
        Ok(())
    }

    fn write(&mut self, order: &str, method: &str) -> Result<u64, Error> {
        self.connection
            .execute(
                "INSERT OR IGNORE INTO payments (order_id, method, paid_ms) VALUES (?1, ?2, ?3)",
                params![order, method, now_ms()],
            )
            .map(|rows| rows as u64)
            .map_err(Error::database("write a payment"))
    }

    fn try_to_write(&mut self) -> Result<(), Error> {
        // Rolled back as it is dropped.
        let transaction = begin(&mut self.connection)?;
        transaction
            .execute("DELETE FROM payments WHERE order_id = ''", [])
            .map(drop)
            .map_err(Error::database("try to write"))
    }

    fn read(&mut self) -> Result<(), Error> {
        self.connection.query_row("SELECT 1", [], |_| Ok(())).map_err(Error::database("read"))
    }
}
