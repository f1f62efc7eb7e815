//! What products cost, and telling others when it changes.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, KeyValue};
use rusqlite::{Connection, OptionalExtension, params};

use super::Store;
use crate::http::{Health, blocking};
use crate::messaging::{self, Outgoing};
use crate::product::{NewPrice, Product, StockChange};
use crate::queue::{self, STOCK_CHANGES, STOCK_EVENTS};
use crate::truth::Deed;
use crate::{Error, database};

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
    Health::of(blocking(move || queue::depth(&store.database(), STOCK_EVENTS)).await.and_then(|depth| depth))
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
        let span = self.telemetry.query("shop", "SELECT", "products", context);
        let found = self
            .database()
            .query_row("SELECT price_cents, version FROM products WHERE sku = ?1", [sku], |row| {
                Ok(Product {
                    sku: sku.to_owned(),
                    price_cents: row.get(0)?,
                    version: row.get::<_, i64>(1)?.unsigned_abs(),
                })
            })
            .optional()
            .map_err(Error::database("look for a product"));
        self.telemetry.end_read(&span, found.as_ref().map(|product| u64::from(product.is_some())));
        found
    }

    /// The new price and the event that tells of it, both or neither.
    fn change(&self, sku: &str, price: NewPrice, context: &Context) -> Result<Option<Product>, Error> {
        let mut database = self.database();
        let transaction = database::begin(&mut database)?;
        let changed = self.update(&transaction, sku, price, context)?;
        if let Some(product) = &changed {
            self.tell(&transaction, product, context)?;
        }
        transaction.commit().map_err(Error::database("commit a price"))?;
        if let Some(product) = &changed {
            let deed = Deed::Repriced { sku: product.sku.clone(), version: product.version, at_ms: database::now_ms() };
            self.truth.record(&deed)?;
        }
        Ok(changed)
    }

    fn update(
        &self,
        connection: &Connection,
        sku: &str,
        price: NewPrice,
        context: &Context,
    ) -> Result<Option<Product>, Error> {
        let span = self.telemetry.query("shop", "UPDATE", "products", context);
        // Opted in for this table: which row it is says nothing of a customer.
        span.span().set_attribute(KeyValue::new("db.query.parameter.sku", sku.to_owned()));
        let changed = connection
            .query_row(
                "UPDATE products SET price_cents = ?2, version = version + 1 WHERE sku = ?1 RETURNING version",
                params![sku, price.price_cents],
                |row| row.get::<_, i64>(0),
            )
            .optional()
            .map_err(Error::database("change a price"));
        self.telemetry.end_write(&span, changed.as_ref().map(|version| u64::from(version.is_some())));
        let product = |version: i64| Product {
            sku: sku.to_owned(),
            price_cents: price.price_cents,
            version: version.unsigned_abs(),
        };
        changed.map(|version| version.map(product))
    }

    fn tell(&self, connection: &Connection, product: &Product, context: &Context) -> Result<(), Error> {
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
        messaging::publish(&self.telemetry, &message, context, |it| queue::publish(connection, it)).map(drop)
    }
}
