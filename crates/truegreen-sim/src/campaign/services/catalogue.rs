//! Products behind a cache; a changed product is taken out of it by a message.

use truegreen_model::flow::SpanKind;

use super::{Processed, Reply, Request};
use crate::campaign::broker::{Message, Topic};
use crate::campaign::fault::Fault;
use crate::campaign::fleet::Service;
use crate::campaign::system::{Cached, System};
use crate::campaign::task::{Endpoint, Open, Statement, Task};

/// Seconds for which an entry is kept.
const TTL: i64 = 600;

/// Gives a product.
pub(super) const PRODUCT: Endpoint = Endpoint {
    service: Service::Catalogue,
    method: "GET",
    route: "/products/{sku}",
    name: "GET /products/{sku}",
    timeout: 2.0,
    serve: product,
};

/// Changes a price.
pub const CHANGE_PRICE: Endpoint = Endpoint {
    service: Service::Catalogue,
    method: "PUT",
    route: "/products/{sku}",
    name: "PUT /products/{sku}",
    timeout: 2.0,
    serve: change_price,
};

const FIND_PRODUCT: Statement = Statement::new("SELECT products", "SELECT", "products", "catalogue");
const UPDATE_PRODUCT: Statement = Statement::new("UPDATE products", "UPDATE", "products", "catalogue");

fn sku(request: &Request) -> String {
    format!("sku-{}", request.sku)
}

/// A span of the cache's.
fn cache(system: &mut System, task: &mut Task, (name, operation): (&'static str, &'static str), key: String) -> Open {
    let mut span = system.open(task, SpanKind::Client, name);
    span.put("db.system.name", "redis");
    span.put("server.address", "redis");
    span.put("cache.name", "products");
    span.put("cache.operation", operation);
    span.put("cache.key", key);
    system.work(task, 0.0006);
    span
}

fn product(system: &mut System, task: &mut Task, request: &Request, span: &mut Open) -> Reply {
    span.put("url.path", format!("/products/{}", sku(request)));
    let key = format!("product:{}", sku(request));
    let mut get = cache(system, task, ("cache.get", "get"), key.clone());
    let entry = system.cache.get(&request.sku).copied().filter(|entry| entry.until > task.now);
    get.put("cache.hit", entry.is_some());
    system.close(task, get);
    let version = system.versions.get(&request.sku).copied().unwrap_or_default();
    match entry {
        Some(entry) if entry.version != version && entry.stored + 5.0 < task.now => {
            system.harm_if(Fault::StaleCache, task.now);
        }
        Some(_) => {}
        None => {
            let more = vec![("db.query.parameter.sku", sku(request).into())];
            system.query(task, FIND_PRODUCT, 0.005, more);
            let mut put = cache(system, task, ("cache.put", "put"), key);
            put.put("cache.ttl", TTL);
            system.close(task, put);
            let until = task.now + TTL as f64;
            system.cache.insert(request.sku, Cached { version, stored: task.now, until });
        }
    }
    system.work(task, 0.001);
    Reply::status(200)
}

fn change_price(system: &mut System, task: &mut Task, request: &Request, span: &mut Open) -> Reply {
    span.put("url.path", format!("/products/{}", sku(request)));
    let more = vec![("db.query.parameter.sku", sku(request).into())];
    system.query(task, UPDATE_PRODUCT, 0.005, more);
    if system.is_alive(task) {
        *system.versions.entry(request.sku).or_default() += 1;
        system.publish(task, Topic::ProductChanged, request);
    }
    Reply::status(200)
}

/// The entry of a changed product is removed.
pub(super) fn forget(system: &mut System, task: &mut Task, message: &Message) -> Processed {
    system.work(task, 0.001);
    let is_broken = system.struck(Fault::StaleCache, task.now);
    if is_broken && !system.strike.is_some_and(|strike| strike.other_way) {
        return Processed::Done;
    }
    // The other way: keys were given a prefix when they are stored, but not here.
    let prefix = if is_broken { "" } else { "product:" };
    let remove = cache(system, task, ("cache.remove", "remove"), format!("{prefix}{}", sku(&message.request)));
    system.close(task, remove);
    if !is_broken && system.is_alive(task) {
        system.cache.remove(&message.request.sku);
    }
    Processed::Done
}
