//! What a run makes on the server before its services start, and removes when they have ended.

use truegreen_connect::{Address, Kind};

use super::{Server, Value};
use crate::Error;
use crate::database::INITIAL_STOCK;
use crate::event::{Article, CATALOGUE, FREIGHT, PARCEL};

/// Short enough for an index in MySQL.
const TABLES: &[&str] = &[
    "CREATE TABLE orders (id VARCHAR(190) PRIMARY KEY, kind VARCHAR(190) NOT NULL, channel VARCHAR(190) NOT NULL, placed_ms BIGINT NOT NULL)",
    "CREATE TABLE stock (sku VARCHAR(190) PRIMARY KEY, quantity BIGINT NOT NULL)",
    "CREATE TABLE products (sku VARCHAR(190) PRIMARY KEY, price_cents BIGINT NOT NULL, version BIGINT NOT NULL DEFAULT 1)",
    "CREATE TABLE movements (taken_for VARCHAR(190) NOT NULL, sku VARCHAR(190) NOT NULL, quantity BIGINT NOT NULL, PRIMARY KEY (taken_for, sku))",
    "CREATE TABLE labels (carrier VARCHAR(190) PRIMARY KEY, next_label BIGINT NOT NULL, last_label BIGINT NOT NULL)",
    "CREATE TABLE returns (order_id VARCHAR(190) NOT NULL, carrier VARCHAR(190) NOT NULL, label BIGINT NOT NULL)",
];
const PAYMENTS_TABLES: &[&str] = &[
    "CREATE TABLE payments (order_id VARCHAR(190) PRIMARY KEY, method VARCHAR(190) NOT NULL, paid_ms BIGINT NOT NULL)",
];

/// The schema, or database, of everything but payments.
pub(crate) fn shop_of(run: &str) -> String {
    format!("truegreen_demo_{run}")
}

pub(super) fn payments_of(run: &str) -> String {
    format!("truegreen_demo_{run}_payments")
}

/// Blocks; inside a tokio runtime.
///
/// # Errors
/// The server does not answer, or does not let the user make a schema.
pub(crate) fn create(address: &Address, run: &str) -> Result<(), Error> {
    let mut server = Server::open(address, String::new())?;
    for home in [shop_of(run), payments_of(run)] {
        let statement = match address.kind() {
            // SKUs that differ in capitals are not the same, as they are not in the other databases.
            Kind::Mysql => format!("CREATE DATABASE {home} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
            _ => format!("CREATE SCHEMA {home}"),
        };
        server.run("make a schema of the run's own", &statement)?;
    }
    let mut shop = Server::open(address, shop_of(run))?;
    for table in TABLES {
        shop.run("create the tables", table)?;
    }
    for Article { sku, price_cents, .. } in &CATALOGUE {
        let put = "put in the initial stock";
        let values = [Value::Text(sku), Value::Number(INITIAL_STOCK)];
        shop.execute(put, "INSERT INTO stock (sku, quantity) VALUES (?, ?)", &values)?;
        let values = [Value::Text(sku), Value::Number(i64::from(*price_cents))];
        shop.execute(put, "INSERT INTO products (sku, price_cents) VALUES (?, ?)", &values)?;
    }
    for carrier in [PARCEL, FREIGHT] {
        let values = [Value::Text(carrier), Value::Number(INITIAL_STOCK)];
        let statement = "INSERT INTO labels (carrier, next_label, last_label) VALUES (?, 1, ?)";
        shop.execute("put in the labels", statement, &values)?;
    }
    let mut payments = Server::open(address, payments_of(run))?;
    PAYMENTS_TABLES.iter().try_for_each(|table| payments.run("create the tables", table))
}

/// Blocks; inside a tokio runtime.
///
/// # Errors
/// The server does not answer.
pub(crate) fn remove(address: &Address, run: &str) -> Result<(), Error> {
    let mut server = Server::open(address, String::new())?;
    for home in [shop_of(run), payments_of(run)] {
        let statement = match address.kind() {
            Kind::Mysql => format!("DROP DATABASE IF EXISTS {home}"),
            _ => format!("DROP SCHEMA IF EXISTS {home} CASCADE"),
        };
        server.run("remove the run's schema", &statement)?;
    }
    Ok(())
}
