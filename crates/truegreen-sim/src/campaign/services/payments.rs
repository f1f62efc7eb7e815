//! Charges cards by a provider outside, and gift cards by itself.

use super::{Reply, Request, Sort};
use crate::campaign::fault::Fault;
use crate::campaign::fleet::Service;
use crate::campaign::system::System;
use crate::campaign::task::{Endpoint, Open, Statement, Task};

/// Charges an order.
pub(super) const CHARGE: Endpoint = Endpoint {
    service: Service::Payments,
    method: "POST",
    route: "/charges",
    name: "POST /charges",
    timeout: 1.0,
    serve: charge,
};

/// Sells a gift card.
pub(super) const GIFT_CARD: Endpoint = Endpoint {
    service: Service::Payments,
    method: "POST",
    route: "/gift-cards",
    name: "POST /gift-cards",
    timeout: 2.0,
    serve: sell,
};

const INSERT_PAYMENT: Statement = Statement::new("INSERT payments", "INSERT", "payments", "payments");
const INSERT_CARD: Statement = Statement::new("INSERT gift_cards", "INSERT", "gift_cards", "payments");

fn charge(system: &mut System, task: &mut Task, request: &Request, span: &mut Open) -> Reply {
    span.put("order.id", request.order_id());
    span.put("payment.method", if request.sort == Sort::Gift { "gift_card" } else { "card" });
    if request.sort == Sort::Gift && system.struck(Fault::SwallowedTimeout, task.now) {
        system.work(task, 2.5);
    }
    if request.sort == Sort::Gift {
        system.work(task, 0.01);
    } else {
        system.ask_outside(task, "api.provider.example", 0.05);
    }
    let is_read_only = system.struck(Fault::LyingHealth, task.now) && system.is_among(task, request);
    if is_read_only {
        // Logged nowhere, returned to nobody.
        system.harm(task.now);
    }
    let error = is_read_only.then_some("25006");
    system.query(task, Statement { error, ..INSERT_PAYMENT }, 0.004, Vec::new());
    if !is_read_only {
        system.log(task, "payment.authorized", 9, vec![("order.id", request.order_id().into())]);
    }
    Reply::status(201)
}

fn sell(system: &mut System, task: &mut Task, _: &Request, _: &mut Open) -> Reply {
    system.query(task, INSERT_CARD, 0.004, Vec::new());
    Reply::status(201)
}
