//! Orders: has an order paid, writes it down and publishes the event that inventory needs before that is committed, if
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
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::config::{ORDERS, Orders, ServiceConfig};
use crate::database::{Shop, UnitOfWork};
use crate::event::{NewOrder, SkuWriting};
use crate::http::{self, Health, blocking};
use crate::queue::{Queue, STOCK_EVENTS};
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
    named: database::Named,
    database: Arc<Mutex<Box<dyn Shop>>>,
    /// Locked after the database, where both are.
    queue: Mutex<Box<dyn Queue>>,
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
    let (config, own, theirs) = (config.clone(), own.clone(), telemetry.clone());
    let desk = Arc::new(blocking(move || Desk::open(&config, &own, &theirs)).await??);
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
    Health::of(blocking(move || desk.queue().depth(STOCK_EVENTS)).await.and_then(|depth| depth))
}

impl Desk {
    fn open(config: &ServiceConfig, own: &Orders, telemetry: &Telemetry) -> Result<Desk, Error> {
        let site = config.site();
        let shop = site.shop()?;
        let queue = site.queue()?;
        let named = shop.named();
        let database = Arc::new(Mutex::new(shop));
        let truth = Arc::new(TruthFile::open(&config.run_dir, ORDERS)?);
        let writing = SkuWriting { of_bundles: own.bundles_carry_sku, gifts_in_capitals: own.gift_skus_in_capitals };
        Ok(Desk {
            telemetry: telemetry.clone(),
            cashier: Cashier::new(telemetry, &config.run_dir, own),
            publisher: Publisher::new(telemetry, queue.named(), writing, own.publishing.clone()),
            publishes_detached: own.publishing.detached,
            returns: ReturnsDesk::new(
                telemetry,
                named.clone(),
                Arc::clone(&database),
                Arc::clone(&truth),
                own.returns.clone(),
            ),
            named,
            database,
            queue: Mutex::new(queue),
            truth,
        })
    }

    fn database(&self) -> MutexGuard<'_, Box<dyn Shop>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Box<dyn Queue>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks; inside a tokio runtime, which what is detached runs on.
    fn accept(self: &Arc<Self>, order: &NewOrder, context: &Context) -> Result<Accepted, Error> {
        let payment = self.cashier.charge(order, context)?;
        let mut database = self.database();
        let mut unit = database.begin()?;
        self.insert(&mut *unit, order, context)?;
        if order.needs_stock() && !self.publishes_detached {
            self.publisher.publish(&mut **self.queue(), Some(&*unit), order, context)?;
        }
        unit.commit()?;
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
            let _published = desk.publisher.publish(&mut **desk.queue(), None, &order, &context);
        })
    }

    fn insert(&self, unit: &mut dyn UnitOfWork, order: &NewOrder, context: &Context) -> Result<(), Error> {
        let span = self.telemetry.query(&self.named, "INSERT", "orders", context);
        let inserted = unit.insert_order(order, self.telemetry.clock.now_ms());
        self.telemetry.end_write(&span, inserted.as_ref().map(|rows| *rows));
        inserted.map(drop)
    }
}

#[cfg(test)]
mod tests;
