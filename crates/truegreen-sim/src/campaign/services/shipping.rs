//! Books a carrier for what was reserved.

use super::Processed;
use crate::campaign::broker::{Message, Topic};
use crate::campaign::fault::Fault;
use crate::campaign::system::System;
use crate::campaign::task::{Statement, Task};

const INSERT_SHIPMENT: Statement = Statement::new("INSERT shipments", "INSERT", "shipments", "shipping");

pub(super) fn ship(system: &mut System, task: &mut Task, message: &Message) -> Processed {
    if system.struck(Fault::SlowConsumer, task.now) {
        system.harm(task.now);
        let per_second = system.orders_per_second() / Topic::StockReserved.partitions(system.broker.is_crowded) as f64;
        task.now += 1.5 / per_second;
    }
    system.ask_outside(task, "api.carrier.example", 0.05);
    system.query(task, INSERT_SHIPMENT, 0.004, Vec::new());
    if !system.is_alive(task) {
        return Processed::Done;
    }
    if system.strikes(Fault::LostPublish, false, task.now) && system.hits(task, &message.request) {
        // Sent, and forgotten by the broker before anybody else had it.
        system.harm(task.now);
        system.publish_to_nobody(task, Topic::ShipmentCreated, &message.request);
    } else {
        system.publish(task, Topic::ShipmentCreated, &message.request);
    }
    Processed::Done
}
