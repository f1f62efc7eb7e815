//! Publishing the event of an order.

use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::Context;

use crate::Error;
use crate::config::Publishing;
use crate::database::UnitOfWork;
use crate::event::{NewOrder, SkuWriting, StockEvent, sku_of};
use crate::messaging::{self, Outgoing};
use crate::queue::{Named, Publication, Queue, STOCK_EVENTS, Sent};
use crate::telemetry::Telemetry;

/// How often a message is sent at most.
const ATTEMPTS: u32 = 3;

pub(super) struct Publisher {
    telemetry: Telemetry,
    named: Named,
    writing: SkuWriting,
    settings: Publishing,
    sent: AtomicU64,
}

impl Publisher {
    pub(super) fn new(telemetry: &Telemetry, named: Named, writing: SkuWriting, settings: Publishing) -> Publisher {
        Publisher { telemetry: telemetry.clone(), named, writing, settings, sent: AtomicU64::new(0) }
    }

    /// Sends it again as long as the broker does not confirm that it took it.
    pub(super) fn publish(
        &self,
        queue: &mut dyn Queue,
        within: Option<&dyn UnitOfWork>,
        order: &NewOrder,
        context: &Context,
    ) -> Result<(), Error> {
        let event = StockEvent::of(order, self.writing);
        let body = serde_json::to_string(&event).map_err(|source| Error::Encode { what: "a stock event", source })?;
        let about = order.articles.first().and_then(|ordered| sku_of(&ordered.article)).unwrap_or_default();
        let message = Outgoing {
            topic: STOCK_EVENTS,
            // All that concerns the same stock, in its order.
            partition: STOCK_EVENTS.partition_of(about),
            key: &order.order_id,
            body: &body,
            about_order: true,
            headers: self.settings.headers,
        };
        let mut attempts = 0;
        loop {
            attempts += 1;
            let sent =
                messaging::publish(&self.telemetry, &self.named, &message, context, |it| self.send(queue, within, it));
            match sent {
                Err(Error::Unconfirmed) if attempts < ATTEMPTS => {}
                other => return other.map(drop),
            }
        }
    }

    fn send(
        &self,
        queue: &mut dyn Queue,
        within: Option<&dyn UnitOfWork>,
        message: &Publication<'_>,
    ) -> Result<Sent, Error> {
        let (bytes, limit) = (message.body.len(), self.settings.max_message_bytes);
        if bytes > limit {
            return Err(Error::MessageTooLarge { bytes, limit });
        }
        let sent = queue.publish(within, message)?;
        let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        // The broker has it, but what it says of it does not arrive.
        match self.settings.confirmation_lost_every {
            Some(every) if number.is_multiple_of(every) => Err(Error::Unconfirmed),
            _ => Ok(sent),
        }
    }
}
