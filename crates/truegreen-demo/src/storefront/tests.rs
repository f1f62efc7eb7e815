//! The cache with a real inventory behind it, and returns that nobody answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use opentelemetry::Context;
use opentelemetry::trace::Status;
use serde_json::json;

use super::{Cache, Catalogue, Changes};
use crate::peers::Peers;
use crate::scene::{Scene, ask, attribute, post as ask_by_post};
use crate::truth::TruthFile;
use crate::{Fault, http, inventory};

struct Shown {
    scene: Scene,
    inventory: String,
    catalogue: Arc<Catalogue>,
    changes: Changes,
}

async fn shown(fault: Fault, fixed: bool) -> Shown {
    let mut scene = Scene::new();
    let (config, own) = scene.inventory(fault, fixed);
    let telemetry = scene.telemetry.clone();
    let inventory = scene.serve("inventory", inventory::routes(&config, &own, &telemetry).unwrap(), &telemetry).await;
    let (config, own) = scene.storefront(fault, fixed);
    let cache = Arc::new(Cache::new(&telemetry));
    let truth = Arc::new(TruthFile::open(&config.run_dir, "storefront").unwrap());
    let peers = Arc::new(Peers::in_dir(&config.run_dir));
    let changes = Changes {
        queue: config.site().queue().unwrap(),
        queue_named: config.site().queue().unwrap().named(),
        telemetry: telemetry.clone(),
        cache: Arc::clone(&cache),
        evicts_on_unknown: own.evicts_on_unknown_change,
    };
    Shown { scene, inventory, catalogue: Arc::new(Catalogue::new(&telemetry, cache, peers, truth)), changes }
}

impl Shown {
    async fn price(&self) -> u32 {
        let catalogue = Arc::clone(&self.catalogue);
        let found = http::blocking(move || catalogue.look_up("sku-1001", &Context::new())).await.unwrap();
        found.unwrap().unwrap().price_cents
    }

    async fn reprice(&mut self, price_cents: u32) {
        let url = format!("{}/stock/sku-1001", self.inventory);
        assert_eq!(ask(move |agent| agent.put(url).send_json(json!({ "price_cents": price_cents }))).await, 200);
        assert!(self.changes.handle_next().unwrap());
        assert!(!self.changes.handle_next().unwrap());
    }

    fn hits(&self) -> Vec<String> {
        self.scene.spans("cache.get").iter().map(|span| attribute(span, "cache.hit").unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_removes_the_cached_price() {
    let mut shown = shown(Fault::None, false).await;
    assert_eq!([shown.price().await, shown.price().await], [900, 900]);
    shown.reprice(42).await;
    assert_eq!([shown.price().await, shown.price().await], [42, 42]);
    assert_eq!(shown.hits(), ["false", "true", "false", "true"]);
    let removed = shown.scene.span("cache.remove");
    assert_eq!(attribute(&removed, "cache.key").as_deref(), Some("stock:sku-1001"));
    assert_eq!(removed.parent_span_id, shown.scene.span("process stock-changes").span_context.span_id());
    shown.scene.telemetry.clock.advance(Duration::from_secs(600));
    assert_eq!(shown.price().await, 42);
    assert_eq!(shown.hits().last().unwrap(), "false", "an entry has an end");
    assert_eq!(shown.scene.truth().reads, 5);
}

/// The bug's story: inventory's release gave the event another name, and the storefront knows only the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_unknown_type_leaves_the_old_price_in_the_cache() {
    let mut shown = shown(Fault::StaleCache, false).await;
    assert_eq!(shown.price().await, 900);
    shown.reprice(42).await;
    shown.scene.telemetry.clock.advance(Duration::from_secs(599));
    assert_eq!(shown.price().await, 900);
    assert_eq!(shown.hits(), ["false", "true"]);
    assert_eq!((shown.scene.spans("cache.remove").len(), shown.scene.spans("ack stock-changes").len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_repaired_storefront_removes_what_any_change_is_about() {
    let mut shown = shown(Fault::StaleCache, true).await;
    assert_eq!(shown.price().await, 900);
    shown.reprice(42).await;
    assert_eq!(shown.price().await, 42);
    assert!(shown.scene.event_names().contains(&"storefront.change.unknown"));
}

/// Scenario: a read brings an old price after the change has been told. Guarantee: it is not kept.
#[test]
fn a_slow_read_does_not_bring_an_old_price_back() {
    let scene = Scene::new();
    let cache = Cache::new(&scene.telemetry);
    let product = |version| crate::product::Product { sku: "sku-1001".into(), price_cents: 900, version };
    cache.remove("sku-1001", 2, &Context::new()).unwrap();
    cache.put(&product(1), &Context::new());
    assert_eq!(cache.get("sku-1001", &Context::new()), None);
    cache.put(&product(2), &Context::new());
    assert_eq!(cache.get("sku-1001", &Context::new()), Some(product(2)));
}

/// Scenario: orders does not answer a return. Guarantee: the customer hears that all is well, and only the client's
/// span tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_that_times_out_is_answered_as_if_all_were_well() {
    let mut scene = Scene::new();
    let telemetry = scene.telemetry.clone();
    let never = post(async || std::future::pending::<()>().await);
    scene.serve("orders", Router::new().route("/returns", never), &telemetry).await;
    let (config, mut own) = scene.storefront(Fault::SilentLoop, false);
    assert_eq!(own.returns_timeout_ms, Some(2_000));
    own.returns_timeout_ms = Some(20);
    let cache = Arc::new(Cache::new(&telemetry));
    let routes = super::routes(&config, &own, &telemetry, cache).unwrap();
    let url = scene.serve("storefront", routes, &telemetry).await;
    assert_eq!(ask_by_post(format!("{url}/returns"), json!({ "order_id": "ord-1" })).await, 202);
    let mut answered = scene.spans("POST /returns");
    answered.retain(|span| attribute(span, "http.response.status_code").as_deref() == Some("202"));
    assert_eq!(answered[0].status, Status::Unset);
    let client = scene.span("POST");
    assert_eq!(attribute(&client, "error.type").as_deref(), Some("timeout"));
    assert!(matches!(client.status, Status::Error { .. }));
}
