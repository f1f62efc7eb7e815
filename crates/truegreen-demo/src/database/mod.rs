//! What the shop keeps, and where: SQLite files in the run's folder, or a database server.

#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(crate) mod server;
mod sqlite;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

use crate::Error;
use crate::event::NewOrder;
use crate::product::Product;

pub(crate) use sqlite::{SqliteLedger, SqliteShop};
pub(crate) use sqlite::{begin, create, open, path_in};

/// Stock of each article at the start, and labels of each carrier.
const INITIAL_STOCK: i64 = 1_000_000;

/// How telemetry names a database.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// `db.system.name`.
    pub(crate) system: &'static str,
    /// `db.namespace`.
    pub(crate) namespace: Arc<str>,
}

/// One connection to the database that orders and inventory share. Its methods block.
pub(crate) trait Shop: Send {
    fn named(&self) -> Named;
    /// What is done in it happens when it is committed, all or nothing; dropped, nothing.
    fn begin(&mut self) -> Result<Box<dyn UnitOfWork + '_>, Error>;
    fn kind_of(&mut self, order: &str) -> Result<Option<String>, Error>;
    /// Takes the next free label of a carrier, if there is one.
    fn next_label(&mut self, carrier: &str) -> Result<Option<i64>, Error>;
    /// The rows written.
    fn note_return(&mut self, order: &str, carrier: &str, label: i64) -> Result<u64, Error>;
    fn product(&mut self, sku: &str) -> Result<Option<Product>, Error>;
}

/// A transaction. All numbers are rows that the database says it wrote.
pub(crate) trait UnitOfWork {
    fn insert_order(&mut self, order: &NewOrder, placed_ms: i64) -> Result<u64, Error>;
    /// The new version, where there is such a product.
    fn reprice(&mut self, sku: &str, price_cents: u32) -> Result<Option<u64>, Error>;
    /// 0 if it was noted before.
    fn note_movement(&mut self, taken_for: &str, sku: &str, quantity: u32) -> Result<u64, Error>;
    fn take_stock(&mut self, sku: &str, quantity: u32) -> Result<u64, Error>;
    /// The file it writes, for a queue that is kept in the same one.
    fn file(&self) -> Option<&Connection>;
    fn commit(self: Box<Self>) -> Result<(), Error>;
}

/// One connection to payments' own database. Its methods block.
pub(crate) trait Ledger: Send {
    fn named(&self) -> Named;
    /// From here on it can only be read: the server that took over is a replica.
    fn fail_over(&mut self) -> Result<(), Error>;
    /// The rows written; 0 if that payment is there already.
    fn write(&mut self, order: &str, method: &str) -> Result<u64, Error>;
    fn try_to_write(&mut self) -> Result<(), Error>;
    fn read(&mut self) -> Result<(), Error>;
}

/// Milliseconds since 1970, whatever the service's own clock says.
pub(crate) fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
