//! The storefront: takes checkouts and passes them to orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};
use serde_json::{Value, json};
use ureq::Agent;

use crate::Error;
use crate::config::{STOREFRONT, ServiceConfig, Storefront};
use crate::event::NewOrder;
use crate::http::{self, Health};
use crate::service::Stop;
use crate::telemetry::Telemetry;
use crate::truth::{Deed, TruthFile};

const ORDERS_TIMEOUT: Duration = Duration::from_secs(10);

struct Shop {
    telemetry: Telemetry,
    truth: TruthFile,
    orders: Agent,
    orders_url: String,
    run: String,
    minted: AtomicU64,
}

pub(crate) async fn serve(
    config: &ServiceConfig,
    own: &Storefront,
    telemetry: &Telemetry,
    stop: Stop,
) -> Result<(), Error> {
    let shop = Arc::new(Shop {
        telemetry: telemetry.clone(),
        truth: TruthFile::open(&config.run_dir, STOREFRONT)?,
        orders: http::agent(ORDERS_TIMEOUT),
        orders_url: format!("{}/orders", own.orders_url),
        run: own.run.clone(),
        minted: AtomicU64::new(0),
    });
    let routes = Router::new()
        .route("/checkout", post(checkout))
        .route("/health", get(|| async { Health::pass(None) }))
        .with_state(shop);
    http::serve(routes, telemetry, stop).await
}

async fn checkout(
    State(shop): State<Arc<Shop>>,
    Extension(context): Extension<Context>,
    Json(mut order): Json<NewOrder>,
) -> (StatusCode, Json<Value>) {
    let number = shop.minted.fetch_add(1, Ordering::Relaxed) + 1;
    order.order_id = format!("ord-{}-{number:06}", shop.run);
    context.span().set_attributes([
        KeyValue::new("order.id", order.order_id.clone()),
        KeyValue::new("order.kind", order.kind.clone()),
        KeyValue::new("order.channel", order.channel.clone()),
    ]);
    let id = order.order_id.clone();
    let accepted = tokio::task::spawn_blocking(move || shop.pass_on(&order, &context)).await;
    match accepted {
        Ok(true) => (StatusCode::CREATED, Json(json!({ "order_id": id }))),
        Ok(false) | Err(_) => (StatusCode::BAD_GATEWAY, Json(json!({ "error": "the order was not accepted" }))),
    }
}

impl Shop {
    /// Whether orders accepted it.
    fn pass_on(&self, order: &NewOrder, context: &Context) -> bool {
        let answer = http::post(&self.orders, &self.telemetry, &self.orders_url, order, context);
        let accepted = matches!(answer, Ok(201));
        // An order that cannot be written down as the truth would spoil the comparison: the customer is told no.
        accepted && self.truth.record(&Deed::Entered { order: order.order_id.clone() }).is_ok()
    }
}
