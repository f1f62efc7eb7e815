//! The storefront: shows products from its cache, takes checkouts and returns, and passes them to orders.

mod cache;
mod catalogue;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};
use serde_json::{Value, json};

use crate::Error;
use crate::config::{ORDERS, STOREFRONT, ServiceConfig, Storefront};
use crate::event::NewOrder;
use crate::http::{self, Answer, Client, Health, blocking};
use crate::messaging;
use crate::peers::Peers;
use crate::product::Product;
use crate::queue::STOCK_CHANGES;
use crate::service::Stop;
use crate::telemetry::Telemetry;
use crate::truth::{Deed, TruthFile};
pub(crate) use cache::{Cache, key_of};
use catalogue::{Catalogue, Changes};

#[cfg(feature = "redis")]
pub(crate) use cache::redis::empty as empty_cache;

const ORDERS_TIMEOUT: Duration = Duration::from_secs(10);

struct Shop {
    truth: Arc<TruthFile>,
    peers: Arc<Peers>,
    orders: Client,
    returns: Client,
    catalogue: Catalogue,
    run: String,
    minted: AtomicU64,
}

pub(crate) async fn serve(
    config: &ServiceConfig,
    own: &Storefront,
    telemetry: &Telemetry,
    stop: Stop,
) -> Result<(), Error> {
    let (site, theirs) = (config.site(), telemetry.clone());
    let opened = blocking(move || {
        let mut queue = site.queue()?;
        queue.join(STOCK_CHANGES)?;
        Ok::<_, Error>((Arc::new(Cache::open(&theirs, &site)?), queue))
    });
    let (cache, queue) = opened.await??;
    let changes = Changes {
        queue_named: queue.named(),
        queue,
        telemetry: telemetry.clone(),
        cache: Arc::clone(&cache),
        evicts_on_unknown: own.evicts_on_unknown_change,
    };
    let routes = routes(config, own, telemetry, cache)?;
    let following = tokio::spawn(messaging::consume(changes, Changes::take_turn, stop.clone()));
    http::serve(routes, telemetry, stop).await?;
    following.await.map_err(|panic| Error::Worker(panic.to_string()))?
}

fn routes(config: &ServiceConfig, own: &Storefront, telemetry: &Telemetry, cache: Arc<Cache>) -> Result<Router, Error> {
    let truth = Arc::new(TruthFile::open(&config.run_dir, STOREFRONT)?);
    let peers = Arc::new(Peers::in_dir(&config.run_dir));
    let shop = Shop {
        catalogue: Catalogue::new(telemetry, cache, Arc::clone(&peers), Arc::clone(&truth)),
        orders: Client::new(telemetry, Some(ORDERS_TIMEOUT)),
        returns: Client::new(telemetry, own.returns_timeout_ms.map(Duration::from_millis)),
        truth,
        peers,
        run: own.run.clone(),
        minted: AtomicU64::new(0),
    };
    Ok(Router::new()
        .route("/checkout", post(checkout))
        .route("/returns", post(take_back))
        .route("/stock/{sku}", get(show))
        .route("/healthz", get(|| async { Health::pass(None) }))
        .with_state(Arc::new(shop)))
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
    match blocking(move || shop.pass_on(&order, &context)).await {
        Ok(Some(payment)) => (StatusCode::CREATED, Json(json!({ "order_id": id, "payment": payment }))),
        Ok(None) | Err(_) => (StatusCode::BAD_GATEWAY, Json(json!({ "error": "the order was not accepted" }))),
    }
}

async fn take_back(
    State(shop): State<Arc<Shop>>,
    Extension(context): Extension<Context>,
    Json(request): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let order = request["order_id"].as_str().unwrap_or_default().to_owned();
    context.span().set_attribute(KeyValue::new("order.id", order.clone()));
    let answer = blocking(move || {
        let url = shop.peers.url(ORDERS, "/returns").ok()?;
        Some(shop.returns.post(&url, None, &json!({ "order_id": order }), &context))
    });
    match answer.await {
        Ok(Some(Answer::Status { code: 201, body })) => {
            (StatusCode::CREATED, Json(serde_json::from_slice(&body).unwrap_or_default()))
        }
        // There is no hurry: the customer gets the label by mail once there is one.
        Ok(Some(Answer::TimedOut)) => (StatusCode::ACCEPTED, Json(json!({ "label": "by mail" }))),
        Ok(Some(Answer::Status { code: 404, .. })) => {
            (StatusCode::NOT_FOUND, Json(json!({ "error": "there is no such order" })))
        }
        Ok(_) | Err(_) => (StatusCode::BAD_GATEWAY, Json(json!({ "error": "the return was not accepted" }))),
    }
}

async fn show(
    State(shop): State<Arc<Shop>>,
    Extension(context): Extension<Context>,
    Path(sku): Path<String>,
) -> Result<Json<Product>, StatusCode> {
    let found = blocking(move || shop.catalogue.look_up(&sku, &context)).await;
    match found {
        Ok(Ok(Some(product))) => Ok(Json(product)),
        Ok(Ok(None)) => Err(StatusCode::NOT_FOUND),
        Ok(Err(_)) | Err(_) => Err(StatusCode::BAD_GATEWAY),
    }
}

impl Shop {
    /// What orders says of its payment, if it accepted the order.
    fn pass_on(&self, order: &NewOrder, context: &Context) -> Option<Value> {
        let url = self.peers.url(ORDERS, "/orders").ok()?;
        let accepted = self.orders.post(&url, None, order, context).success::<Value>()?;
        // An order that cannot be written down as the truth would spoil the comparison: the customer is told no.
        self.truth.record(&Deed::Entered { order: order.order_id.clone() }).ok()?;
        Some(accepted["payment"].clone())
    }
}

#[cfg(test)]
mod tests;
