//! Inventory: consumes stock events and takes what was ordered out of the stock; knows what products cost.

mod buffer;
mod consumer;
mod products;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::routing::get;
use rusqlite::Connection;

use crate::config::{INVENTORY, Inventory, ServiceConfig};
use crate::relay::Fuse;
use crate::service::Stop;
use crate::telemetry::Telemetry;
use crate::truth::TruthFile;
use crate::{Error, database, http, messaging};
use consumer::Consumer;

/// What the requests to inventory need.
struct Store {
    telemetry: Telemetry,
    truth: TruthFile,
    database: Mutex<Connection>,
    price_event_type: String,
}

pub(crate) async fn serve(
    config: &ServiceConfig,
    own: &Inventory,
    telemetry: &Telemetry,
    stop: Stop,
    fuse: Fuse,
) -> Result<(), Error> {
    let database = database::open(&database::path_in(&config.run_dir))?;
    let truth = TruthFile::open(&config.run_dir, INVENTORY)?;
    let consumer = Consumer::new(database, telemetry, truth, own.clone(), fuse);
    let consuming = tokio::spawn(messaging::consume(consumer, Consumer::take_turn, stop.clone()));
    http::serve(routes(config, own, telemetry)?, telemetry, stop).await?;
    consuming.await.map_err(|panic| Error::Worker(panic.to_string()))?
}

pub(crate) fn routes(config: &ServiceConfig, own: &Inventory, telemetry: &Telemetry) -> Result<Router, Error> {
    let store = Store {
        telemetry: telemetry.clone(),
        truth: TruthFile::open(&config.run_dir, INVENTORY)?,
        database: Mutex::new(database::open(&database::path_in(&config.run_dir))?),
        price_event_type: own.price_event_type.clone(),
    };
    Ok(Router::new()
        .route("/stock/{sku}", get(products::show).put(products::reprice))
        .route("/healthz", get(products::health))
        .with_state(Arc::new(store)))
}

impl Store {
    fn database(&self) -> MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
