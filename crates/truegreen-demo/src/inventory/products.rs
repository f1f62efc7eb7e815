//! What products cost, and telling others when it changes.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};

use super::Store;
use crate::Error;
use crate::database::{self, UnitOfWork};
use crate::http::{Health, blocking};
use crate::messaging::{self, Outgoing};
use crate::product::{NewPrice, Product, StockChange};
use crate::queue::{STOCK_CHANGES, STOCK_EVENTS};
use crate::truth::Deed;

pub(super) async fn show(
    State(store): State<Arc<Store>>,
    Extension(context): Extension<Context>,
    Path(sku): Path<String>,
) -> Result<Json<Product>, StatusCode> {
    answer(blocking(move || store.find(&sku, &context)).await.and_then(|found| found))
}

pub(super) async fn reprice(
    State(store): State<Arc<Store>>,
    Extension(context): Extension<Context>,
    Path(sku): Path<String>,
    Json(price): Json<NewPrice>,
) -> Result<Json<Product>, StatusCode> {
    answer(blocking(move || store.change(&sku, price, &context)).await.and_then(|changed| changed))
}

/// It passes whether or not anything is consumed: like most health checks, it asks whether the process can do its
/// work, and not whether it does.
pub(super) async fn health(State(store): State<Arc<Store>>) -> Result<Json<Health>, StatusCode> {
    Health::of(blocking(move || store.queue().depth(STOCK_EVENTS)).await.and_then(|depth| depth))
}

fn answer(product: Result<Option<Product>, Error>) -> Result<Json<Product>, StatusCode> {
    match product {
        Ok(Some(product)) => Ok(Json(product)),
        Ok(None) => Err(StatusCode::NOT_FOUND),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

impl Store {
    fn find(&self, sku: &str, context: &Context) -> Result<Option<Product>, Error> {
        let span = self.telemetry.query(&self.named, "SELECT", "products", context);
        let found = self.database().product(sku);
        self.telemetry.end_read(&span, found.as_ref().map(|product| u64::from(product.is_some())));
        found
    }

    /// The new price and the event that tells of it: the event first, so that no new price stays untold.
    fn change(&self, sku: &str, price: NewPrice, context: &Context) -> Result<Option<Product>, Error> {
        let mut database = self.database();
        let mut unit = database.begin()?;
        let changed = self.update(&mut *unit, sku, price, context)?;
        if let Some(product) = &changed {
            self.tell(&*unit, product, context)?;
        }
        unit.commit()?;
        if let Some(product) = &changed {
            let deed = Deed::Repriced { sku: product.sku.clone(), version: product.version, at_ms: database::now_ms() };
            self.truth.record(&deed)?;
        }
        Ok(changed)
    }

    fn update(
        &self,
        unit: &mut dyn UnitOfWork,
        sku: &str,
        price: NewPrice,
        context: &Context,
    ) -> Result<Option<Product>, Error> {
        let span = self.telemetry.query(&self.named, "UPDATE", "products", context);
        // Opted in for this table: which row it is says nothing of a customer.
        span.span().set_attribute(KeyValue::new("db.query.parameter.sku", sku.to_owned()));
        let changed = unit.reprice(sku, price.price_cents);
        self.telemetry.end_write(&span, changed.as_ref().map(|version| u64::from(version.is_some())));
        let product = |version| Product { sku: sku.to_owned(), price_cents: price.price_cents, version };
        changed.map(|version| version.map(product))
    }

    fn tell(&self, unit: &dyn UnitOfWork, product: &Product, context: &Context) -> Result<(), Error> {
        let change = StockChange {
            event_type: self.price_event_type.clone(),
            sku: product.sku.clone(),
            version: product.version,
        };
        let body = serde_json::to_string(&change).map_err(|source| Error::Encode { what: "a stock change", source })?;
        let message = Outgoing {
            topic: STOCK_CHANGES,
            partition: STOCK_CHANGES.partition_of(&product.sku),
            key: &product.sku,
            body: &body,
            about_order: false,
            headers: true,
        };
        messaging::publish(&self.telemetry, &self.queue_named, &message, context, |it| {
            self.queue().publish(Some(unit), it)
        })
        .map(drop)
    }
}
