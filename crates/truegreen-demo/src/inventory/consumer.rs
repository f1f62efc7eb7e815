//! One message at a time: claim, process, acknowledge.

use std::time::Duration;

use opentelemetry::logs::Severity;
use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};

use super::buffer::Buffer;
use crate::Error;
use crate::config::{INVENTORY, Inventory, TakenOncePer, Unusable};
use crate::database::{self, Shop};
use crate::event::{StockEvent, StockLine, Unfit};
use crate::messaging::{ORDER_HEADER, Processing, Turn};
use crate::queue::{self, Delivery, Queue, STOCK_EVENTS};
use crate::relay::Fuse;
use crate::telemetry::{Event, Telemetry};
use crate::truth::{Deed, TruthFile};

/// How long a partition rests after a message was put back.
const REST_MS: i64 = 250;

/// Inventory's consumer.
pub(super) struct Consumer {
    database: Box<dyn Shop>,
    queue: Box<dyn Queue>,
    database_named: database::Named,
    queue_named: queue::Named,
    telemetry: Telemetry,
    truth: TruthFile,
    settings: Inventory,
    fuse: Fuse,
    handled: u64,
    /// Where the next message is looked for first.
    next_partition: u8,
    resting_until_ms: [i64; STOCK_EVENTS.partitions as usize],
    buffer: Option<Buffer<Taking>>,
}

/// What was done with the next message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Handled {
    /// There was none.
    Nothing,
    /// The stock was updated, or is going to be.
    Updated,
    /// It was acknowledged without doing anything.
    Skipped,
    /// It was put back, to be tried again.
    PutBack,
    /// It was refused.
    Rejected(Unfit),
}

/// What is to be taken from stock for one message.
struct Taking {
    order: String,
    /// What the message's headers say it is about, which is all that telemetry says of it.
    named: Option<String>,
    /// What makes another delivery of it the same.
    identity: String,
    lines: Vec<StockLine>,
    context: Context,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Taken {
    /// Lines that had not been taken before.
    new_lines: u64,
    /// Rows of stock that were changed.
    rows: u64,
}

impl Consumer {
    pub(super) fn new(
        database: Box<dyn Shop>,
        queue: Box<dyn Queue>,
        telemetry: &Telemetry,
        truth: TruthFile,
        settings: Inventory,
        fuse: Fuse,
    ) -> Consumer {
        Consumer {
            buffer: Buffer::of(settings.acknowledging, telemetry.clock.now_ms()),
            database_named: database.named(),
            queue_named: queue.named(),
            database,
            queue,
            telemetry: telemetry.clone(),
            truth,
            settings,
            fuse,
            handled: 0,
            next_partition: 0,
            resting_until_ms: [i64::MIN; STOCK_EVENTS.partitions as usize],
        }
    }

    pub(super) fn take_turn(&mut self) -> Turn {
        if self.settings.stop_consuming_after.is_some_and(|limit| self.handled >= limit) {
            return Turn::Over;
        }
        match self.handle_next() {
            // A message that failed is delivered again when its lease expires.
            Ok(Handled::Nothing) | Err(_) => Turn::Idle,
            Ok(_) => {
                self.handled += 1;
                self.fuse.notify_one();
                Turn::Busy
            }
        }
    }

    /// Claims the next message, if there is one, and handles it within a `process` span linked to its producer's.
    ///
    /// # Errors
    /// The database, or the truth file: the message stays leased and is delivered again later.
    pub(super) fn handle_next(&mut self) -> Result<Handled, Error> {
        let now_ms = self.telemetry.clock.now_ms();
        self.flush(now_ms)?;
        let Some(delivery) = self.claim(now_ms)? else { return Ok(Handled::Nothing) };
        let processing = Processing::begin(&self.telemetry, &self.queue_named, STOCK_EVENTS, INVENTORY, &delivery);
        let handled = self.process(&delivery, &processing);
        if matches!(handled, Ok(Handled::Updated | Handled::Skipped | Handled::Rejected(_))) {
            processing.context.span().set_status(Status::Ok);
        }
        processing.end(&self.telemetry, &handled);
        handled
    }

    /// From each partition in turn, but those that rest.
    fn claim(&mut self, now_ms: i64) -> Result<Option<Delivery>, Error> {
        for step in 0..STOCK_EVENTS.partitions {
            let partition = (self.next_partition + step) % STOCK_EVENTS.partitions;
            if self.resting_until_ms[usize::from(partition)] > now_ms {
                continue;
            }
            if let Some(delivery) = self.queue.claim(STOCK_EVENTS, partition, now_ms)? {
                self.next_partition = (partition + 1) % STOCK_EVENTS.partitions;
                return Ok(Some(delivery));
            }
        }
        Ok(None)
    }

    fn process(&mut self, delivery: &Delivery, processing: &Processing) -> Result<Handled, Error> {
        if self.settings.work_us > 0 {
            self.telemetry.clock.wait(Duration::from_micros(self.settings.work_us));
        }
        let event = serde_json::from_str::<StockEvent>(&delivery.body);
        let lines = event
            .as_ref()
            .map_err(|_| Unfit::Malformed)
            .and_then(|event| event.stock_lines(&self.settings.warehouses, self.settings.normalises_skus));
        match (lines, self.settings.unusable) {
            (Ok(lines), _) => self.update_stock(delivery, lines, processing),
            // The fault: to the queue this is a success, and nobody hears of it.
            (Err(_), Unusable::Skip) => {
                self.truth.record(&Deed::Skipped { order: delivery.key.clone() })?;
                self.acknowledge(delivery, processing)?;
                Ok(Handled::Skipped)
            }
            // The fault: it will never be otherwise, and all that comes after it in its partition waits.
            (Err(_), Unusable::PutBack) => {
                self.queue.put_back(STOCK_EVENTS, delivery)?;
                let until_ms = self.telemetry.clock.now_ms().saturating_add(REST_MS);
                self.resting_until_ms[usize::from(delivery.partition)] = until_ms;
                Ok(Handled::PutBack)
            }
            (Err(unfit), Unusable::Refuse) => {
                let event_type = event.map_or_else(|_| "unreadable".to_owned(), |event| event.event_type);
                self.refuse(delivery, &event_type, unfit, processing)
            }
        }
    }

    fn update_stock(
        &mut self,
        delivery: &Delivery,
        lines: Vec<StockLine>,
        processing: &Processing,
    ) -> Result<Handled, Error> {
        let named = delivery.headers.get(ORDER_HEADER).cloned();
        if let Some(order) = &named {
            processing.context.span().set_attribute(KeyValue::new("order.id", order.clone()));
        }
        let taking = Taking {
            order: delivery.key.clone(),
            named,
            identity: match self.settings.taken_once_per {
                TakenOncePer::Order => delivery.key.clone(),
                TakenOncePer::Message => format!("{}/{}", delivery.key, delivery.id),
            },
            lines,
            context: processing.context.clone(),
        };
        if let Some(buffer) = &mut self.buffer {
            buffer.push(taking);
        } else {
            self.take(&taking)?;
        }
        self.acknowledge(delivery, processing)?;
        Ok(Handled::Updated)
    }

    /// Writes what waits in the buffer, if it is time.
    fn flush(&mut self, now_ms: i64) -> Result<(), Error> {
        let due = self.buffer.as_mut().map(|buffer| buffer.due(now_ms)).unwrap_or_default();
        due.iter().try_for_each(|taking| self.take(taking))
    }

    fn take(&mut self, taking: &Taking) -> Result<(), Error> {
        let span = self.telemetry.query(&self.database_named, "UPDATE", "stock", &taking.context);
        let taken = take(&mut *self.database, taking);
        self.telemetry.end_write(&span, taken.as_ref().map(|taken| taken.rows));
        let taken = taken?;
        let order = taking.order.clone();
        self.truth.record(&match taken {
            // No row had that key: nothing was taken, whatever is said of it.
            Taken { new_lines: 1.., rows: 0 } => Deed::Missed { order },
            Taken { rows, .. } => Deed::Updated { order, rows },
        })?;
        if taken.new_lines > 0 {
            self.telemetry.emit_done("inventory.stock.taken", taking.named.as_deref(), &taking.context);
        }
        Ok(())
    }

    fn acknowledge(&mut self, delivery: &Delivery, processing: &Processing) -> Result<(), Error> {
        processing.acknowledge(&self.telemetry, || self.queue.acknowledge(STOCK_EVENTS, delivery))
    }

    fn refuse(
        &mut self,
        delivery: &Delivery,
        event_type: &str,
        unfit: Unfit,
        processing: &Processing,
    ) -> Result<Handled, Error> {
        let reason = unfit.reason();
        processing.acknowledge(&self.telemetry, || self.queue.put_aside(STOCK_EVENTS, delivery, reason))?;
        self.truth.record(&Deed::Rejected { order: delivery.key.clone(), reason: reason.to_owned() })?;
        processing.context.span().set_attributes([
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
        self.telemetry.emit(rejected, &processing.context);
        self.telemetry
            .instruments
            .events_rejected
            .add(1, &[KeyValue::new("event_type", event_type.to_owned()), KeyValue::new("reason", reason)]);
        Ok(Handled::Rejected(unfit))
    }
}

/// Takes it out of the stock in one transaction; what was already taken is left alone, since a message can be delivered
/// twice.
fn take(database: &mut dyn Shop, taking: &Taking) -> Result<Taken, Error> {
    let mut unit = database.begin()?;
    let mut taken = Taken { new_lines: 0, rows: 0 };
    for line in &taking.lines {
        if unit.note_movement(&taking.identity, &line.sku, line.quantity)? == 1 {
            taken.new_lines += 1;
            taken.rows += unit.take_stock(&line.sku, line.quantity)?;
        }
    }
    unit.commit()?;
    Ok(taken)
}

#[cfg(test)]
mod tests;
