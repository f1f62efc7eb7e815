//! Inventory: consumes stock events and takes what was ordered out of the stock.

mod consumer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use rusqlite::Connection;

use crate::config::{INVENTORY, Inventory, ServiceConfig};
use crate::http::{self, Health};
use crate::queue::{self, STOCK_EVENTS};
use crate::relay::Fuse;
use crate::service::Stop;
use crate::telemetry::Telemetry;
use crate::truth::TruthFile;
use crate::{Error, database};
use consumer::{Consumer, Handled};

/// How long the consumer waits when there is nothing to do, or the database would not let it.
const IDLE: Duration = Duration::from_millis(50);

pub(crate) async fn serve(
    config: &ServiceConfig,
    own: &Inventory,
    telemetry: &Telemetry,
    stop: Stop,
    fuse: Fuse,
) -> Result<(), Error> {
    let database_path = database::path_in(&config.run_dir);
    let consumer = Consumer {
        database: database::open(&database_path)?,
        telemetry: telemetry.clone(),
        truth: TruthFile::open(&config.run_dir, INVENTORY)?,
        unusable: own.unusable,
        warehouses: own.warehouses.clone(),
    };
    let consuming = tokio::spawn(consume(consumer, own.stop_consuming_after, stop.clone(), fuse));
    let database = Arc::new(Mutex::new(database::open(&database_path)?));
    let routes = Router::new().route("/health", get(health)).with_state(database);
    http::serve(routes, telemetry, stop).await?;
    consuming.await.map_err(|panic| Error::Worker(panic.to_string()))?
}

/// It passes whether or not anything is consumed: like most health checks, it asks whether the process can do its
/// work, and not whether it does.
async fn health(State(database): State<Arc<Mutex<Connection>>>) -> Result<Json<Health>, StatusCode> {
    let depth = tokio::task::spawn_blocking(move || {
        let database = database.lock().unwrap_or_else(PoisonError::into_inner);
        queue::depth(&database, STOCK_EVENTS)
    });
    match depth.await {
        Ok(Ok(depth)) => Ok(Health::pass(Some(depth))),
        Ok(Err(_)) | Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

async fn consume(mut consumer: Consumer, limit: Option<u64>, mut stop: Stop, fuse: Fuse) -> Result<(), Error> {
    let mut handled = 0;
    while !stop.is_requested() && limit.is_none_or(|limit| handled < limit) {
        let (returned, outcome) = tokio::task::spawn_blocking(move || {
            let outcome = consumer.handle_next(database::now_ms());
            (consumer, outcome)
        })
        .await
        .map_err(|panic| Error::Worker(panic.to_string()))?;
        consumer = returned;
        match outcome {
            Ok(Handled::Nothing) | Err(_) => {
                // A message that failed is delivered again when its lease expires.
                tokio::select! {
                    () = stop.requested() => {}
                    () = tokio::time::sleep(IDLE) => {}
                }
            }
            Ok(Handled::Updated | Handled::Skipped | Handled::Rejected(_)) => {
                handled += 1;
                fuse.notify_one();
            }
        }
    }
    Ok(())
}
