//! Orders: has an order paid, writes it down and publishes the event that inventory needs, in the same transaction if
//! all is well; what is sent as a file needs no event. And takes returns.

mod payment;
mod publisher;
mod returns;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use opentelemetry::Context;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::config::{ORDERS, Orders, ServiceConfig};
use crate::event::{NewOrder, SkuWriting};
use crate::http::{self, Health, blocking};
use crate::queue::{self, STOCK_EVENTS};
use crate::service::Stop;
use crate::telemetry::Telemetry;
use crate::truth::{Deed, TruthFile};
use crate::{Error, database};
use payment::{Cashier, Payment};
use publisher::Publisher;
use returns::ReturnsDesk;

struct Desk {
    telemetry: Telemetry,
    truth: Arc<TruthFile>,
    database: Arc<Mutex<Connection>>,
    cashier: Cashier,
    publisher: Publisher,
    publishes_detached: bool,
    returns: ReturnsDesk,
}

/// An order that was accepted.
struct Accepted {
    payment: Payment,
    /// Where its event is being published by a task of its own.
    publishing: Option<JoinHandle<()>>,
}

pub(crate) async fn serve(
    config: &ServiceConfig,
    own: &Orders,
    telemetry: &Telemetry,
    stop: Stop,
) -> Result<(), Error> {
    let desk = Arc::new(Desk::open(config, own, telemetry)?);
    let routes = Router::new()
        .route("/orders", post(place))
        .route("/returns", post(returns::register))
        .route("/healthz", get(health))
        .with_state(desk);
    http::serve(routes, telemetry, stop).await
}

async fn place(
    State(desk): State<Arc<Desk>>,
    Extension(context): Extension<Context>,
    Json(order): Json<NewOrder>,
) -> (StatusCode, Json<Value>) {
    match blocking(move || desk.accept(&order, &context)).await {
        Ok(Ok(accepted)) => {
            // The customer has the answer; publishing goes on by itself.
            drop(accepted.publishing);
            (StatusCode::CREATED, Json(json!({ "payment": accepted.payment.name() })))
        }
        Ok(Err(Error::Refused { service, answer })) => {
            (StatusCode::BAD_GATEWAY, Json(json!({ "error": format!("{service} answered {answer}") })))
        }
        Ok(Err(_)) | Err(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": "the order could not be written" })))
        }
    }
}

async fn health(State(desk): State<Arc<Desk>>) -> Result<Json<Health>, StatusCode> {
    Health::of(blocking(move || queue::depth(&desk.database(), STOCK_EVENTS)).await.and_then(|depth| depth))
}

impl Desk {
    fn open(config: &ServiceConfig, own: &Orders, telemetry: &Telemetry) -> Result<Desk, Error> {
        let database = Arc::new(Mutex::new(database::open(&database::path_in(&config.run_dir))?));
        let truth = Arc::new(TruthFile::open(&config.run_dir, ORDERS)?);
        let writing = SkuWriting { of_bundles: own.bundles_carry_sku, gifts_in_capitals: own.gift_skus_in_capitals };
        Ok(Desk {
            telemetry: telemetry.clone(),
            cashier: Cashier::new(telemetry, &config.run_dir, own),
            publisher: Publisher::new(telemetry, writing, own.publishing.clone()),
            publishes_detached: own.publishing.detached,
            returns: ReturnsDesk::new(telemetry, Arc::clone(&database), Arc::clone(&truth), own.returns.clone()),
            database,
            truth,
        })
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks; inside a tokio runtime, which what is detached runs on.
    fn accept(self: &Arc<Self>, order: &NewOrder, context: &Context) -> Result<Accepted, Error> {
        let payment = self.cashier.charge(order, context)?;
        let mut database = self.database();
        let transaction = database::begin(&mut database)?;
        self.insert(&transaction, order, context)?;
        if order.needs_stock() && !self.publishes_detached {
            self.publisher.publish(&transaction, order, context)?;
        }
        transaction.commit().map_err(Error::database("commit an order"))?;
        drop(database);
        if payment == Payment::Pending {
            self.truth.record(&Deed::Unpaid { order: order.order_id.clone() })?;
        }
        if !order.needs_stock() {
            self.truth.record(&Deed::Sent { order: order.order_id.clone() })?;
        }
        self.telemetry.emit_done("order.accepted", Some(&order.order_id), context);
        let publishing = (order.needs_stock() && self.publishes_detached)
            .then(|| self.publish_detached(order.clone(), context.clone()));
        Ok(Accepted { payment, publishing })
    }

    fn publish_detached(self: &Arc<Self>, order: NewOrder, context: Context) -> JoinHandle<()> {
        let desk = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            // The fault: nobody waits for this, and nobody looks at what came of it.
            let _published = desk.publisher.publish(&desk.database(), &order, &context);
        })
    }

    fn insert(&self, connection: &Connection, order: &NewOrder, context: &Context) -> Result<(), Error> {
        let span = self.telemetry.query("shop", "INSERT", "orders", context);
        let inserted = connection
            .execute(
                "INSERT INTO orders (id, kind, channel, placed_ms) VALUES (?1, ?2, ?3, ?4)",
                params![order.order_id, order.kind, order.channel, self.telemetry.clock.now_ms()],
            )
            .map_err(Error::database("insert an order"));
        self.telemetry.end_write(&span, inserted.as_ref().map(|rows| *rows as u64));
        inserted.map(drop)
    }
}

#[cfg(test)]
mod tests;
