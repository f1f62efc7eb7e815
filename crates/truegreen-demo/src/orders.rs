//! Orders: writes the order down and, in the same transaction, publishes the event that inventory needs.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use opentelemetry::trace::{SpanKind, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use rusqlite::{Connection, Transaction, params};

use crate::config::{Orders, ServiceConfig};
use crate::event::{NewOrder, StockEvent};
use crate::http::{self, Health};
use crate::queue::{self, Publication, STOCK_EVENTS};
use crate::service::Stop;
use crate::telemetry::{Telemetry, fail, inject};
use crate::{Error, database};

struct Desk {
    telemetry: Telemetry,
    database: Mutex<Connection>,
    bundles_carry_sku: bool,
}

pub(crate) async fn serve(
    config: &ServiceConfig,
    own: &Orders,
    telemetry: &Telemetry,
    stop: Stop,
) -> Result<(), Error> {
    let desk = Arc::new(Desk {
        telemetry: telemetry.clone(),
        database: Mutex::new(database::open(&database::path_in(&config.run_dir))?),
        bundles_carry_sku: own.bundles_carry_sku,
    });
    let routes = Router::new().route("/orders", post(place)).route("/health", get(health)).with_state(desk);
    http::serve(routes, telemetry, stop).await
}

async fn place(
    State(desk): State<Arc<Desk>>,
    Extension(context): Extension<Context>,
    Json(order): Json<NewOrder>,
) -> StatusCode {
    match tokio::task::spawn_blocking(move || desk.accept(&order, &context)).await {
        Ok(Ok(())) => StatusCode::CREATED,
        Ok(Err(_)) | Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn health(State(desk): State<Arc<Desk>>) -> Result<Json<Health>, StatusCode> {
    let depth = tokio::task::spawn_blocking(move || {
        let database = desk.database.lock().unwrap_or_else(PoisonError::into_inner);
        queue::depth(&database, STOCK_EVENTS)
    });
    match depth.await {
        Ok(Ok(depth)) => Ok(Health::pass(Some(depth))),
        Ok(Err(_)) | Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

impl Desk {
    fn accept(&self, order: &NewOrder, context: &Context) -> Result<(), Error> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = database::begin(&mut database)?;
        self.insert(&transaction, order, context)?;
        self.publish(&transaction, order, context)?;
        transaction.commit().map_err(Error::database("commit an order"))
    }

    fn insert(&self, transaction: &Transaction<'_>, order: &NewOrder, context: &Context) -> Result<(), Error> {
        let attributes = vec![
            KeyValue::new("db.system.name", "sqlite"),
            KeyValue::new("db.namespace", "shop"),
            KeyValue::new("db.operation.name", "INSERT"),
            KeyValue::new("db.collection.name", "orders"),
        ];
        let context = self.telemetry.span("INSERT orders", SpanKind::Client, attributes, context);
        let inserted = transaction
            .execute(
                "INSERT INTO orders (id, kind, channel, placed_ms) VALUES (?1, ?2, ?3, ?4)",
                params![order.order_id, order.kind, order.channel, database::now_ms()],
            )
            .map_err(Error::database("insert an order"));
        if let Err(error) = &inserted {
            fail(&context, "database", error.to_string());
        }
        context.span().end();
        inserted.map(drop)
    }

    fn publish(&self, transaction: &Transaction<'_>, order: &NewOrder, context: &Context) -> Result<(), Error> {
        let attributes = vec![
            KeyValue::new("messaging.system", "sqlite"),
            KeyValue::new("messaging.destination.name", STOCK_EVENTS),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.operation.name", "publish"),
            KeyValue::new("order.id", order.order_id.clone()),
        ];
        let context = self.telemetry.span("publish stock-events", SpanKind::Producer, attributes, context);
        let event = StockEvent::of(order, self.bundles_carry_sku);
        let published = serde_json::to_string(&event)
            .map_err(|source| Error::Encode { what: "a stock event", source })
            .and_then(|body| {
                let headers = inject(&context);
                let message = Publication { topic: STOCK_EVENTS, key: &order.order_id, headers: &headers, body: &body };
                queue::publish(transaction, &message)
            });
        match &published {
            Ok(id) => context.span().set_attribute(KeyValue::new("messaging.message.id", id.to_string())),
            Err(error) => fail(&context, "publish", error.to_string()),
        }
        context.span().end();
        published.map(drop)
    }
}
