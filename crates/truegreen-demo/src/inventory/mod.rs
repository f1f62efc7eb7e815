//! Inventory: consumes stock events and takes what was ordered out of the stock; knows what products cost.

mod buffer;
mod consumer;
mod products;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::routing::get;

use crate::config::{INVENTORY, Inventory, ServiceConfig};
use crate::database::{self, Shop};
use crate::http::blocking;
use crate::queue::{self, Queue, STOCK_EVENTS};
use crate::relay::Fuse;
use crate::service::Stop;
use crate::telemetry::Telemetry;
use crate::truth::TruthFile;
use crate::{Error, http, messaging};
use consumer::Consumer;

/// What the requests to inventory need.
struct Store {
    telemetry: Telemetry,
    truth: TruthFile,
    named: database::Named,
    queue_named: queue::Named,
    database: Mutex<Box<dyn Shop>>,
    /// Locked after the database, where both are.
    queue: Mutex<Box<dyn Queue>>,
    price_event_type: String,
}

pub(crate) async fn serve(
    config: &ServiceConfig,
    own: &Inventory,
    telemetry: &Telemetry,
    stop: Stop,
    fuse: Fuse,
) -> Result<(), Error> {
    let truth = TruthFile::open(&config.run_dir, INVENTORY)?;
    let (config, own, theirs) = (config.clone(), own.clone(), telemetry.clone());
    let opened = blocking(move || {
        let site = config.site();
        let mut queue = site.queue()?;
        queue.join(STOCK_EVENTS)?;
        let consumer = Consumer::new(site.shop()?, queue, &theirs, truth, own.clone(), fuse);
        Ok::<_, Error>((consumer, routes(&config, &own, &theirs)?))
    });
    let (consumer, routes) = opened.await??;
    let consuming = tokio::spawn(messaging::consume(consumer, Consumer::take_turn, stop.clone()));
    http::serve(routes, telemetry, stop).await?;
    consuming.await.map_err(|panic| Error::Worker(panic.to_string()))?
}

pub(crate) fn routes(config: &ServiceConfig, own: &Inventory, telemetry: &Telemetry) -> Result<Router, Error> {
    let site = config.site();
    let (database, queue) = (site.shop()?, site.queue()?);
    let store = Store {
        telemetry: telemetry.clone(),
        truth: TruthFile::open(&config.run_dir, INVENTORY)?,
        named: database.named(),
        queue_named: queue.named(),
        database: Mutex::new(database),
        queue: Mutex::new(queue),
        price_event_type: own.price_event_type.clone(),
    };
    Ok(Router::new()
        .route("/stock/{sku}", get(products::show).put(products::reprice))
        .route("/healthz", get(products::health))
        .with_state(Arc::new(store)))
}

impl Store {
    fn database(&self) -> MutexGuard<'_, Box<dyn Shop>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Box<dyn Queue>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
