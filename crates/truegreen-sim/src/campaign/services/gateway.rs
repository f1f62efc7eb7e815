//! Where customers come in. A gateway asks for others' tokens to be checked, and makes its own for a minute each.

use truegreen_model::flow::SpanKind;

use super::{Reply, Request, Sort, auth, catalogue, orders, payments, recommendations};
use crate::campaign::fault::Fault;
use crate::campaign::fleet::Service;
use crate::campaign::system::System;
use crate::campaign::task::{Endpoint, Open, Task};

/// Seconds after which a gateway makes itself a new token.
const RENEWED: f64 = 30.0;

const fn root(method: &'static str, route: &'static str, name: &'static str, serve: Serve) -> Endpoint {
    Endpoint { service: Service::Gateway, method, route, name, timeout: f64::INFINITY, serve }
}

type Serve = fn(&mut System, &mut Task, &Request, &mut Open) -> Reply;

/// An order is placed.
pub const CHECKOUT: Endpoint = root("POST", "/checkout", "POST /checkout", checkout);
/// A product is looked at.
pub const BROWSE: Endpoint = root("GET", "/products/{sku}", "GET /products/{sku}", browse);
/// An order is looked at.
pub const STATUS: Endpoint = root("GET", "/orders/{id}", "GET /orders/{id}", status);
/// A return is registered.
pub const RETURN: Endpoint = root("POST", "/returns", "POST /returns", take_back);
/// A gift card is bought: rarely.
pub const GIFT_CARD: Endpoint = root("POST", "/gift-cards", "POST /gift-cards", gift_card);

fn checkout(system: &mut System, task: &mut Task, request: &Request, span: &mut Open) -> Reply {
    span.put("order.id", request.order_id());
    span.put("order.kind", request.sort.name());
    span.put("user.id", request.user());
    span.put("customer.region", request.region());
    system.work(task, 0.002);
    let token = token(system, task);
    let request = &Request { token, ..*request };
    let checked = system.call(task, &auth::VERIFY, request);
    if !checked.is_good() {
        return if checked.status == 401 { Reply::status(401) } else { Reply { status: 502, error: Some("502") } };
    }
    let placed = system.call(task, &orders::PLACE, request);
    system.work(task, 0.001);
    if placed.is_good() { Reply::status(201) } else { Reply { status: 502, error: Some("502") } }
}

/// The token that this gateway has, by its own clock.
fn token(system: &mut System, task: &Task) -> f64 {
    let shows = system.fleet.shows(task.instance, task.now);
    let token = system.tokens.entry(task.instance).or_insert(shows);
    if shows - *token > RENEWED || *token > shows + RENEWED {
        *token = shows;
    }
    *token
}

fn browse(system: &mut System, task: &mut Task, request: &Request, span: &mut Open) -> Reply {
    span.put("url.path", format!("/products/sku-{}", request.sku));
    let product = system.call(task, &catalogue::PRODUCT, request);
    let mut page = system.open(task, SpanKind::Internal, "render product page");
    // Nice to have: a page without recommendations is a page.
    system.call(task, &recommendations::RECOMMEND, request);
    system.work(task, 0.003);
    page.put("page.template", "product");
    system.close(task, page);
    if product.is_good() { Reply::status(200) } else { Reply { status: 502, error: Some("502") } }
}

fn status(system: &mut System, task: &mut Task, request: &Request, _: &mut Open) -> Reply {
    let found = system.call(task, &orders::LOOK_UP, request);
    system.work(task, 0.001);
    if found.is_good() { Reply::status(200) } else { Reply { status: 502, error: Some("502") } }
}

fn take_back(system: &mut System, task: &mut Task, request: &Request, span: &mut Open) -> Reply {
    span.put("return.kind", if request.sort == Sort::Freight { "freight" } else { "parcel" });
    let is_patient = !system
        .strike
        .is_some_and(|strike| strike.other_way && matches!(strike.fault, Fault::SilentLoop | Fault::StalledRequest));
    let timeout = if is_patient { f64::INFINITY } else { 5.0 };
    let registered = system.call(task, &Endpoint { timeout, ..orders::RETURN }, request);
    system.work(task, 0.001);
    match registered {
        // The label comes by mail: so was it thought.
        Reply { error: Some("timeout"), .. } => Reply::status(202),
        reply if reply.is_good() => Reply::status(201),
        _ => Reply { status: 502, error: Some("502") },
    }
}

fn gift_card(system: &mut System, task: &mut Task, request: &Request, _: &mut Open) -> Reply {
    let sold = system.call(task, &payments::GIFT_CARD, request);
    if sold.is_good() { Reply::status(201) } else { Reply { status: 502, error: Some("502") } }
}
