//! Takes orders: charges, stores, publishes. Takes returns: finds the order, a label, a pickup.

use truegreen_model::flow::SpanKind;

use super::{Reply, Request, Sort, payments};
use crate::campaign::broker::Topic;
use crate::campaign::fault::Fault;
use crate::campaign::fleet::Service;
use crate::campaign::system::System;
use crate::campaign::task::{Endpoint, Open, Statement, Task};

const fn endpoint(method: &'static str, route: &'static str, name: &'static str, serve: Serve) -> Endpoint {
    Endpoint { service: Service::Orders, method, route, name, timeout: 10.0, serve }
}

type Serve = fn(&mut System, &mut Task, &Request, &mut Open) -> Reply;

/// Takes an order.
pub(super) const PLACE: Endpoint = endpoint("POST", "/orders", "POST /orders", place);
/// Finds an order.
pub(super) const LOOK_UP: Endpoint = endpoint("GET", "/orders/{id}", "GET /orders/{id}", look_up);
/// Takes a return.
pub(super) const RETURN: Endpoint = endpoint("POST", "/returns", "POST /returns", take_back);

const INSERT_ORDER: Statement = Statement::new("INSERT orders", "INSERT", "orders", "orders");
const FIND_ORDER: Statement = Statement::new("SELECT orders", "SELECT", "orders", "orders");
/// The statement that takes the next free label.
pub(crate) const TAKE_LABEL: Statement = Statement::new("UPDATE labels", "UPDATE", "labels", "orders");
const INSERT_RETURN: Statement = Statement::new("INSERT returns", "INSERT", "returns", "orders");

fn place(system: &mut System, task: &mut Task, request: &Request, span: &mut Open) -> Reply {
    span.put("order.id", request.order_id());
    system.work(task, 0.002);
    if system.published.contains(&request.number) {
        // Asked once more, since the first answer got lost.
        system.query(task, FIND_ORDER, 0.003, Vec::new());
        return Reply::status(201);
    }
    let charged = system.call(task, &payments::CHARGE, request);
    if charged.error == Some("timeout") {
        // Swallowed: the order goes on, unpaid.
        system.harm(task.now);
    } else if !charged.is_good() {
        return Reply { status: 502, error: Some("502") };
    }
    system.query(task, INSERT_ORDER, 0.004, Vec::new());
    if system.is_alive(task) {
        system.published.insert(request.number);
        announce(system, task, request);
    }
    system.log(task, "order.accepted", 9, vec![("order.id", request.order_id().into())]);
    Reply::status(201)
}

fn announce(system: &mut System, task: &mut Task, request: &Request) {
    if system.strikes(Fault::LostPublish, true, task.now) && system.hits(task, request) {
        // Refused by the producer, and nobody looks at what it returns.
        system.harm(task.now);
        return system.refuse_to_publish(task, Topic::OrdersPlaced, "message_too_large");
    }
    if system.strikes(Fault::Duplicate, true, task.now) && system.hits(task, request) {
        // The broker has it, but its word is lost, and so it is sent again.
        system.harm(task.now);
        system.publish_unconfirmed(task, Topic::OrdersPlaced, request);
    }
    system.publish(task, Topic::OrdersPlaced, request);
}

fn look_up(system: &mut System, task: &mut Task, _: &Request, _: &mut Open) -> Reply {
    system.query(task, FIND_ORDER, 0.003, Vec::new());
    Reply::status(200)
}

fn take_back(system: &mut System, task: &mut Task, request: &Request, _: &mut Open) -> Reply {
    system.query(task, FIND_ORDER, 0.003, Vec::new());
    let is_freight = request.sort == Sort::Freight;
    if is_freight && system.struck(Fault::SilentLoop, task.now) {
        system.harm(task.now);
        system.loop_for_ever(*task);
        task.now = f64::INFINITY;
        return Reply::status(201);
    }
    system.query(task, TAKE_LABEL, 0.004, Vec::new());
    let mut pickup = system.open(task, SpanKind::Internal, "book pickup");
    pickup.put("return.carrier", if is_freight { "freight" } else { "parcel" });
    system.work(task, 0.01);
    if is_freight && system.struck(Fault::StalledRequest, task.now) {
        system.harm(task.now);
        task.now = f64::INFINITY;
    }
    system.close(task, pickup);
    if task.now.is_finite() {
        system.query(task, INSERT_RETURN, 0.004, Vec::new());
    }
    Reply::status(201)
}
