//! Products in the storefront's own memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use opentelemetry::Context;

use super::{Kept, TTL};
use crate::Error;
use crate::clock::Clock;
use crate::product::Product;

/// Products kept; there are far fewer.
const MAX_PRODUCTS: usize = 10_000;

pub(super) struct InMemory {
    pub(super) clock: Clock,
    pub(super) slots: Mutex<HashMap<String, Slot>>,
}

#[derive(Default)]
pub(super) struct Slot {
    entry: Option<(Product, SystemTime)>,
    /// What is older than this was changed since, and is not let in: a slow read may bring it after its removal.
    oldest_version: u64,
}

impl Kept for InMemory {
    fn get(&self, sku: &str, _: &Context) -> Result<Option<Product>, Error> {
        let now = self.clock.now();
        let fresh = |put: SystemTime| now.duration_since(put).is_ok_and(|age| age < TTL);
        let found = self.lock().get(sku).and_then(|slot| slot.entry.clone()).filter(|(_, put)| fresh(*put));
        Ok(found.map(|(product, _)| product))
    }

    fn put(&self, product: &Product, _: &Context) -> Result<(), Error> {
        let mut slots = self.lock();
        if slots.len() < MAX_PRODUCTS || slots.contains_key(&product.sku) {
            let slot = slots.entry(product.sku.clone()).or_default();
            if product.version >= slot.oldest_version {
                slot.entry = Some((product.clone(), self.clock.now()));
            }
        }
        Ok(())
    }

    fn remove(&self, sku: &str, version: u64, _: &Context) -> Result<(), Error> {
        let mut slots = self.lock();
        if slots.len() < MAX_PRODUCTS || slots.contains_key(sku) {
            let slot = slots.entry(sku.to_owned()).or_default();
            slot.oldest_version = slot.oldest_version.max(version);
            slot.entry = slot.entry.take().filter(|(product, _)| product.version >= version);
        }
        Ok(())
    }
}

impl InMemory {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
