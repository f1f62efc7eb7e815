//! Prices, over real HTTP.

use opentelemetry::trace::SpanKind;
use serde_json::json;

use super::routes;
use crate::Fault;
use crate::queue::{LEASE, STOCK_CHANGES, in_database};
use crate::scene::{NOW_MS, Scene, ask, attribute};

/// Guarantee: the new price is there and the event that tells of it, or neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_price_is_written_and_told() {
    let mut scene = Scene::new();
    let (config, own) = scene.inventory(Fault::None, false);
    let routes = routes(&config, &own, &scene.telemetry).unwrap();
    let telemetry = scene.telemetry.clone();
    let url = scene.serve("inventory", routes, &telemetry).await;
    let put = |url: String| ask(move |agent| agent.put(url).send_json(json!({ "price_cents": 42 })));
    assert_eq!(put(format!("{url}/stock/sku-1001")).await, 200);
    assert_eq!(put(format!("{url}/stock/sku-9999")).await, 404);
    assert_eq!(scene.number("SELECT price_cents FROM products WHERE sku = 'sku-1001'"), 42);
    let told = in_database::claim(&scene.database, STOCK_CHANGES, 0, NOW_MS, LEASE).unwrap().unwrap();
    assert_eq!(told.body, r#"{"event_type":"repriced","sku":"sku-1001","version":2}"#);
    assert!(in_database::claim(&scene.database, STOCK_CHANGES, 0, NOW_MS, LEASE).unwrap().is_none());
    let updates = scene.spans("UPDATE products");
    let said = |name| updates.iter().map(|span| attribute(span, name).unwrap()).collect::<Vec<_>>();
    assert_eq!(said("db.response.affected_rows"), ["1", "0"]);
    assert_eq!(said("db.query.parameter.sku"), ["sku-1001", "sku-9999"]);
    assert_eq!(scene.span("publish stock-changes").span_kind, SpanKind::Producer);
    let shown = format!("{url}/stock/sku-1001");
    assert_eq!(ask(move |agent| agent.get(shown).call()).await, 200);
    assert_eq!(attribute(&scene.span("SELECT products"), "db.response.returned_rows").as_deref(), Some("1"));
}
