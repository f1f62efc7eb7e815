//! Looking up a product, through the cache, and keeping the cache in step with what changes.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::logs::Severity;

use super::cache::Cache;
use crate::config::{INVENTORY, STOREFRONT};
use crate::http::{Answer, Client};
use crate::messaging::{Processing, Turn};
use crate::peers::Peers;
use crate::product::{Product, REPRICED, StockChange};
use crate::queue::{Named, Queue, STOCK_CHANGES};
use crate::telemetry::{Event, Telemetry};
use crate::truth::{Deed, TruthFile};
use crate::{Error, database};

const INVENTORY_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Catalogue {
    cache: Arc<Cache>,
    inventory: Client,
    peers: Arc<Peers>,
    truth: Arc<TruthFile>,
}

impl Catalogue {
    pub(super) fn new(telemetry: &Telemetry, cache: Arc<Cache>, peers: Arc<Peers>, truth: Arc<TruthFile>) -> Catalogue {
        Catalogue { cache, inventory: Client::new(telemetry, Some(INVENTORY_TIMEOUT)), peers, truth }
    }

    /// None: there is no such product.
    pub(super) fn look_up(&self, sku: &str, context: &Context) -> Result<Option<Product>, Error> {
        let product = match self.cache.get(sku, context) {
            Some(product) => product,
            None => {
                let url = self.peers.url(INVENTORY, &format!("/stock/{sku}"))?;
                let answer = self.inventory.get(&url, context);
                if let Answer::Status { code: 404, .. } = answer {
                    return Ok(None);
                }
                let product = answer.success::<Product>().ok_or_else(|| answer.refusal(INVENTORY))?;
                self.cache.put(&product, context);
                product
            }
        };
        let served = Deed::Served { sku: product.sku.clone(), version: product.version, at_ms: database::now_ms() };
        self.truth.record(&served)?;
        Ok(Some(product))
    }
}

/// Follows what changes.
pub(super) struct Changes {
    pub(super) queue: Box<dyn Queue>,
    pub(super) queue_named: Named,
    pub(super) telemetry: Telemetry,
    pub(super) cache: Arc<Cache>,
    pub(super) evicts_on_unknown: bool,
}

impl Changes {
    pub(super) fn take_turn(&mut self) -> Turn {
        match self.handle_next() {
            Ok(true) => Turn::Busy,
            // A message that failed is delivered again when its lease expires.
            Ok(false) | Err(_) => Turn::Idle,
        }
    }

    /// Whether there was a message.
    pub(super) fn handle_next(&mut self) -> Result<bool, Error> {
        // Its topic has one partition.
        let claimed = self.queue.claim(STOCK_CHANGES, 0, self.telemetry.clock.now_ms())?;
        let Some(delivery) = claimed else { return Ok(false) };
        let processing = Processing::begin(&self.telemetry, &self.queue_named, STOCK_CHANGES, STOREFRONT, &delivery);
        let handled = serde_json::from_str::<StockChange>(&delivery.body)
            .map_err(|source| Error::Encode { what: "a stock change", source })
            .and_then(|change| {
                self.apply(&change, &processing.context)?;
                processing.acknowledge(&self.telemetry, || self.queue.acknowledge(STOCK_CHANGES, &delivery))
            });
        processing.end(&self.telemetry, &handled);
        handled.map(|()| true)
    }

    fn apply(&self, change: &StockChange, context: &Context) -> Result<(), Error> {
        match change.event_type.as_str() {
            REPRICED => self.cache.remove(&change.sku, change.version, context)?,
            unknown if self.evicts_on_unknown => {
                // Whatever it means, the entry may be wrong now.
                self.cache.remove(&change.sku, change.version, context)?;
                let event = Event {
                    name: "storefront.change.unknown",
                    severity: Severity::Warn,
                    body: format!("a change of unknown type {unknown}"),
                    attributes: vec![("event_type", unknown), ("sku", &change.sku)],
                };
                self.telemetry.emit(event, context);
            }
            // Not for us, as far as we know.
            _ => {}
        }
        Ok(())
    }
}
