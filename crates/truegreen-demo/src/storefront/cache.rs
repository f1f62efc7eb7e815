//! Products in memory, so that not every look at a page costs a call to inventory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanKind, TraceContextExt};
use opentelemetry::{Context, KeyValue};

use crate::product::Product;
use crate::telemetry::Telemetry;

/// How long an entry is served at most: a safety net, as changes are told.
const TTL: Duration = Duration::from_secs(600);
/// Products kept; there are far fewer.
const MAX_PRODUCTS: usize = 10_000;

pub(super) struct Cache {
    telemetry: Telemetry,
    slots: Mutex<HashMap<String, Slot>>,
}

#[derive(Default)]
struct Slot {
    entry: Option<(Product, SystemTime)>,
    /// What is older than this was changed since, and is not let in: a slow read may bring it after its removal.
    oldest_version: u64,
}

impl Cache {
    pub(super) fn new(telemetry: &Telemetry) -> Cache {
        Cache { telemetry: telemetry.clone(), slots: Mutex::default() }
    }

    pub(super) fn get(&self, sku: &str, parent: &Context) -> Option<Product> {
        let span = self.span("get", sku, parent);
        let now = self.telemetry.clock.now();
        let fresh = |put: SystemTime| now.duration_since(put).is_ok_and(|age| age < TTL);
        let found = self.lock().get(sku).and_then(|slot| slot.entry.clone()).filter(|(_, put)| fresh(*put));
        span.span().set_attribute(KeyValue::new("cache.hit", found.is_some()));
        self.telemetry.end(&span);
        found.map(|(product, _)| product)
    }

    pub(super) fn put(&self, product: &Product, parent: &Context) {
        let span = self.span("put", &product.sku, parent);
        span.span().set_attribute(KeyValue::new("cache.ttl", i64::try_from(TTL.as_secs()).unwrap_or(i64::MAX)));
        let mut slots = self.lock();
        if slots.len() < MAX_PRODUCTS || slots.contains_key(&product.sku) {
            let slot = slots.entry(product.sku.clone()).or_default();
            if product.version >= slot.oldest_version {
                slot.entry = Some((product.clone(), self.telemetry.clock.now()));
            }
        }
        drop(slots);
        self.telemetry.end(&span);
    }

    /// Removes what is older than `version`.
    pub(super) fn remove(&self, sku: &str, version: u64, parent: &Context) {
        let span = self.span("remove", sku, parent);
        let mut slots = self.lock();
        if slots.len() < MAX_PRODUCTS || slots.contains_key(sku) {
            let slot = slots.entry(sku.to_owned()).or_default();
            slot.oldest_version = slot.oldest_version.max(version);
            slot.entry = slot.entry.take().filter(|(product, _)| product.version >= version);
        }
        drop(slots);
        self.telemetry.end(&span);
    }

    fn span(&self, operation: &'static str, sku: &str, parent: &Context) -> Context {
        let attributes =
            vec![KeyValue::new("cache.operation", operation), KeyValue::new("cache.key", format!("stock:{sku}"))];
        self.telemetry.span(format!("cache.{operation}"), SpanKind::Internal, attributes, parent)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
