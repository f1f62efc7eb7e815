//! Takes the stock of each order, and says that it is reserved.

use super::{Processed, Request, Sort};
use crate::campaign::broker::{Message, Topic};
use crate::campaign::fault::Fault;
use crate::campaign::system::System;
use crate::campaign::task::{Open, Statement, Task};

const TAKE_STOCK: Statement = Statement::new("UPDATE stock", "UPDATE", "stock", "inventory");
/// The partition that gets stuck.
pub(crate) const STUCK: usize = 1;
/// Seconds between two tries of a message that cannot pass.
const BEFORE_AGAIN: f64 = 1.0;
/// One order in so many is refused lawfully.
const REFUSED: f64 = 0.004;

pub(super) fn take(
    system: &mut System,
    task: &mut Task,
    partition: usize,
    message: &Message,
    span: &mut Open,
) -> Processed {
    let request = &message.request;
    system.work(task, 0.004);
    if partition == STUCK && system.struck(Fault::StuckPartition, task.now) {
        system.harm(task.now);
        let hangs = system.strike.is_some_and(|strike| strike.other_way);
        return if hangs { Processed::Hangs } else { Processed::Again(BEFORE_AGAIN) };
    }
    if system.struck(Fault::SilentSkip, task.now) && request.sort != Sort::Digital && system.hits(task, request) {
        // `if !valid { return nil }`
        system.harm(task.now);
        return Processed::Done;
    }
    let knows_order = message.context.is_some();
    if knows_order {
        span.put("order.id", request.order_id());
    }
    let is_taken_for_unknown = system.struck(Fault::AllRejected, task.now) && system.is_among(task, request);
    if is_taken_for_unknown || system.rng.f64() < REFUSED {
        let reason = if is_taken_for_unknown { "unknown_sku" } else { "out_of_stock" };
        if is_taken_for_unknown {
            system.harm(task.now);
        }
        let attributes = vec![("order.id", request.order_id().into()), ("reason", reason.into())];
        system.log(task, "inventory.event.rejected", 13, attributes);
        return Processed::Done;
    }
    if system.struck(Fault::LostAfterAck, task.now) {
        return Processed::Later;
    }
    reserve(system, task, message);
    Processed::Done
}

/// The stock is taken; digital goods have none.
fn reserve(system: &mut System, task: &mut Task, message: &Message) {
    let request = &message.request;
    if request.sort == Sort::Digital {
        return system.work(task, 0.002);
    }
    let rows = i64::from(!misses(system, task, request));
    let more = vec![("db.query.parameter.sku", format!("sku-{}", request.sku).into())];
    system.query(task, Statement { rows, ..TAKE_STOCK }, 0.006, more);
    let mut attributes = vec![("sku", format!("sku-{}", request.sku).into())];
    // The order's number is in a header; one way it is in the message too.
    if message.context.is_some() || system.strike.is_some_and(|strike| strike.other_way) {
        attributes.push(("order.id", request.order_id().into()));
    }
    system.log(task, "inventory.stock.taken", 9, attributes);
    if system.is_alive(task) {
        system.publish(task, Topic::StockReserved, request);
    }
}

/// Whether the statement meets no row.
fn misses(system: &mut System, task: &Task, request: &Request) -> bool {
    if !system.struck(Fault::ZeroRowUpdate, task.now) {
        return false;
    }
    let is_of_kind = system.strike.is_some_and(|strike| strike.other_way);
    let misses = if is_of_kind { request.sort == Sort::Gift } else { system.hits(task, request) };
    if misses {
        system.harm(task.now);
    }
    misses
}

/// What was acknowledged is written a little later, as far as the buffer held it.
pub(super) fn write_behind(system: &mut System, task: &mut Task, message: &Message) {
    if message.request.sort != Sort::Digital && system.hits(task, &message.request) {
        return system.harm(task.now);
    }
    task.now += 0.05 + 0.45 * system.rng.f64();
    reserve(system, task, message);
}
