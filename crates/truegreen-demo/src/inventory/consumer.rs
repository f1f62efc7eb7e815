//! One message at a time: claim, process, acknowledge.

use std::time::Instant;

use opentelemetry::logs::Severity;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use rusqlite::{Connection, params};

use crate::config::{INVENTORY, Unusable};
use crate::event::{StockEvent, StockLine, Unfit};
use crate::queue::{self, Delivery, LEASE, STOCK_EVENTS};
use crate::telemetry::{Event, Telemetry, fail};
use crate::truth::{Deed, TruthFile};
use crate::{Error, database};

/// Inventory's consumer.
pub(super) struct Consumer {
    pub(super) database: Connection,
    pub(super) telemetry: Telemetry,
    pub(super) truth: TruthFile,
    pub(super) unusable: Unusable,
    pub(super) warehouses: Vec<String>,
}

/// What was done with the next message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Handled {
    /// There was none.
    Nothing,
    /// The stock was updated.
    Updated,
    /// It was acknowledged without doing anything.
    Skipped,
    /// It was refused.
    Rejected(Unfit),
}

impl Consumer {
    /// Claims the next message, if there is one, and handles it within a `process` span linked to its producer's.
    ///
    /// # Errors
    /// The database, or the truth file: the message stays leased and is delivered again later.
    pub(super) fn handle_next(&mut self, now_ms: i64) -> Result<Handled, Error> {
        let Some(delivery) = queue::claim(&self.database, STOCK_EVENTS, now_ms, LEASE)? else {
            return Ok(Handled::Nothing);
        };
        let started = Instant::now();
        let attributes = vec![
            KeyValue::new("messaging.system", "sqlite"),
            KeyValue::new("messaging.destination.name", STOCK_EVENTS),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.consumer.group.name", INVENTORY),
            KeyValue::new("messaging.message.id", delivery.id.to_string()),
        ];
        let context =
            self.telemetry.linked_span("process stock-events", SpanKind::Consumer, attributes, &delivery.headers);
        let handled = self.process(&delivery, &context);
        match &handled {
            Ok(_) => context.span().set_status(Status::Ok),
            Err(error) => fail(&context, "processing", error.to_string()),
        }
        context.span().end();
        let labels = [KeyValue::new("messaging.destination.name", STOCK_EVENTS)];
        self.telemetry.instruments.consumed_messages.add(1, &labels);
        self.telemetry.instruments.process_duration.record(started.elapsed().as_secs_f64(), &labels);
        handled
    }

    fn process(&mut self, delivery: &Delivery, context: &Context) -> Result<Handled, Error> {
        let event = serde_json::from_str::<StockEvent>(&delivery.body);
        let lines = event.as_ref().map_err(|_| Unfit::Malformed).and_then(|event| event.stock_lines(&self.warehouses));
        match (lines, self.unusable) {
            (Ok(lines), _) => self.update_stock(delivery, &lines, context),
            // The fault: to the queue this is a success, and nobody hears of it.
            (Err(_), Unusable::Skip) => {
                self.truth.record(&Deed::Skipped { order: delivery.key.clone() })?;
                queue::acknowledge(&self.database, delivery)?;
                Ok(Handled::Skipped)
            }
            (Err(unfit), Unusable::Refuse) => {
                let event_type = event.map_or_else(|_| "unreadable".to_owned(), |event| event.event_type);
                self.refuse(delivery, &event_type, unfit, context)
            }
        }
    }

    fn update_stock(&mut self, delivery: &Delivery, lines: &[StockLine], context: &Context) -> Result<Handled, Error> {
        context.span().set_attribute(KeyValue::new("order.id", delivery.key.clone()));
        // As stock database instrumentation has it: nothing of the order, so the key has to come from the trace.
        let attributes = vec![
            KeyValue::new("db.system.name", "sqlite"),
            KeyValue::new("db.namespace", "shop"),
            KeyValue::new("db.operation.name", "UPDATE"),
            KeyValue::new("db.collection.name", "stock"),
        ];
        let span = self.telemetry.span("UPDATE stock", SpanKind::Client, attributes, context);
        let taken = take(&mut self.database, &delivery.key, lines);
        if let Err(error) = &taken {
            fail(&span, "database", error.to_string());
        }
        span.span().end();
        taken?;
        self.truth.record(&Deed::Updated { order: delivery.key.clone() })?;
        queue::acknowledge(&self.database, delivery)?;
        Ok(Handled::Updated)
    }

    fn refuse(
        &mut self,
        delivery: &Delivery,
        event_type: &str,
        unfit: Unfit,
        context: &Context,
    ) -> Result<Handled, Error> {
        let reason = unfit.reason();
        put_aside(&mut self.database, delivery, reason)?;
        self.truth.record(&Deed::Rejected { order: delivery.key.clone(), reason: reason.to_owned() })?;
        context.span().set_attributes([
            KeyValue::new("order.id", delivery.key.clone()),
            KeyValue::new("truegreen.outcome", "rejected"),
            KeyValue::new("truegreen.reason", reason),
        ]);
        let rejected = Event {
            name: "inventory.event.rejected",
            severity: Severity::Warn,
            body: format!("{event_type} of {} was refused: {reason}", delivery.key),
            attributes: vec![("order.id", &delivery.key), ("event_type", event_type), ("reason", reason)],
        };
        self.telemetry.emit(rejected, context);
        self.telemetry
            .instruments
            .events_rejected
            .add(1, &[KeyValue::new("event_type", event_type.to_owned()), KeyValue::new("reason", reason)]);
        Ok(Handled::Rejected(unfit))
    }
}

/// Takes `lines` out of the stock in one transaction; an order already taken is left alone, since a message can be
/// delivered twice.
fn take(database: &mut Connection, order: &str, lines: &[StockLine]) -> Result<(), Error> {
    let transaction = database::begin(database)?;
    for line in lines {
        let noted = transaction
            .execute(
                "INSERT OR IGNORE INTO movements (order_id, sku, quantity) VALUES (?1, ?2, ?3)",
                params![order, line.sku, line.quantity],
            )
            .map_err(Error::database("note a movement"))?;
        if noted == 1 {
            transaction
                .execute("UPDATE stock SET quantity = quantity - ?2 WHERE sku = ?1", params![line.sku, line.quantity])
                .map_err(Error::database("update the stock"))?;
        }
    }
    transaction.commit().map_err(Error::database("commit the stock"))
}

/// Moves a message to the dead letters and acknowledges it, both or neither.
fn put_aside(database: &mut Connection, delivery: &Delivery, reason: &str) -> Result<(), Error> {
    let transaction = database::begin(database)?;
    transaction
        .execute(
            "INSERT OR REPLACE INTO dead_letters (message_id, order_id, reason, body) VALUES (?1, ?2, ?3, ?4)",
            params![delivery.id, delivery.key, reason, delivery.body],
        )
        .map_err(Error::database("write a dead letter"))?;
    queue::acknowledge(&transaction, delivery)?;
    transaction.commit().map_err(Error::database("commit a dead letter"))
}

#[cfg(test)]
mod tests;
