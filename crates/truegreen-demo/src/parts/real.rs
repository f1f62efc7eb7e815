//! What every broker, database and cache must do alike, on real servers.

use std::collections::HashMap;

use truegreen_connect::Address;

use super::{Parts, Site};
use crate::http::blocking;
use crate::queue::{Delivery, Publication, Queue, STOCK_CHANGES, STOCK_EVENTS};

/// Looks again for what takes its time on the way, at most so often.
const LOOKS: u32 = 2_000;

async fn on(parts: Parts, work: impl FnOnce(&Site) + Send + 'static) {
    let dir = tempfile::tempdir().unwrap();
    let site = Site { run_dir: dir.path().to_owned(), run: format!("{:08x}", fastrand::u32(..)), parts };
    blocking(move || {
        site.create().unwrap();
        work(&site);
        site.remove().unwrap();
    })
    .await
    .unwrap();
}

mod brokers {
    use super::*;

    fn publish(queue: &mut dyn Queue, partition: u8, key: &str) -> String {
        let headers = HashMap::from([("traceparent".to_owned(), format!("of {key}"))]);
        let message = Publication { topic: STOCK_EVENTS, partition, key, headers: &headers, body: "{\"a\":1}" };
        queue.publish(None, &message).unwrap().id
    }

    fn claimed(queue: &mut dyn Queue, partition: u8) -> Delivery {
        for _ in 0..LOOKS {
            if let Some(delivery) = queue.claim(STOCK_EVENTS, partition, 1_000).unwrap() {
                return delivery;
            }
            std::thread::yield_now();
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
        panic!("nothing arrives in partition {partition}");
    }

    /// Guarantee: each partition is claimed oldest first and one at a time; what is put back comes first again and holds
    /// up its partition only; what is acknowledged or put aside is gone.
    fn keeps_its_promises(site: &Site) {
        let (mut orders, mut inventory) = (site.queue().unwrap(), site.queue().unwrap());
        inventory.join(STOCK_EVENTS).unwrap();
        let sent = [publish(&mut *orders, 0, "ord-a"), publish(&mut *orders, 0, "ord-b")];
        publish(&mut *orders, 1, "ord-c");
        let first = claimed(&mut *inventory, 0);
        assert_eq!((first.key.as_str(), first.body.as_str(), &first.id), ("ord-a", "{\"a\":1}", &sent[0]));
        assert_eq!(first.headers["traceparent"], "of ord-a");
        for _ in 0..3 {
            assert!(inventory.claim(STOCK_EVENTS, 0, 1_000).unwrap().is_none(), "one at a time");
        }
        let mut again = first;
        for _ in 0..3 {
            assert!(inventory.put_back(STOCK_EVENTS, &again).unwrap());
            again = claimed(&mut *inventory, 0);
            assert_eq!((again.key.as_str(), &again.id), ("ord-a", &sent[0]));
        }
        let elsewhere = claimed(&mut *inventory, 1);
        assert_eq!(elsewhere.key, "ord-c");
        assert!(inventory.put_aside(STOCK_EVENTS, &elsewhere, "missing_sku").unwrap());
        assert!(inventory.acknowledge(STOCK_EVENTS, &again).unwrap());
        assert!(!inventory.acknowledge(STOCK_EVENTS, &again).unwrap(), "settled once");
        let second = claimed(&mut *inventory, 0);
        assert_eq!((second.key.as_str(), &second.id), ("ord-b", &sent[1]));
        assert!(inventory.acknowledge(STOCK_EVENTS, &second).unwrap());
        assert_eq!((0..LOOKS).find(|_| orders.depth(STOCK_EVENTS).unwrap() == 0), Some(0), "all is settled");
        assert_eq!(orders.depth(STOCK_CHANGES).unwrap(), 0);
    }

    async fn check(url: String) {
        on(Parts::new(Some(&url), None, None).unwrap(), keeps_its_promises).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn rabbitmq_keeps_a_queues_promises() {
        let server = truegreen_fixture::Rabbitmq::start().unwrap();
        check(server.url()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nats_keeps_a_queues_promises() {
        let server = truegreen_fixture::Nats::start().unwrap();
        check(server.url()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn kafka_keeps_a_queues_promises() {
        let server = truegreen_fixture::Tansu::start().unwrap();
        check(server.url()).await;
    }

    /// Guarantee: an address where nobody answers is an error with that address, without its secret, and no hang.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_broker_that_is_not_there_is_an_error() {
        let port = truegreen_fixture::free_port().unwrap();
        let urls = [format!("amqp://guest:hidden@127.0.0.1:{port}"), format!("nats://guest:hidden@127.0.0.1:{port}")];
        for url in urls {
            let parts = Parts::new(Some(&url), None, None).unwrap();
            let site = Site { run_dir: "/".into(), run: "1".into(), parts };
            let error = blocking(move || site.queue().err().unwrap().to_string()).await.unwrap();
            assert!(error.contains(&format!("127.0.0.1:{port}")) && !error.contains("hidden"), "{error}");
        }
    }
}

mod databases {
    use super::*;
    use crate::event::FREIGHT;
    use crate::scene::order;

    /// Guarantee: numbers of rows are the server's; SKUs in capitals are others; what is not committed did not happen.
    fn keeps_its_promises(site: &Site, codes: &[&str]) {
        let mut shop = site.shop().unwrap();
        let mut unit = shop.begin().unwrap();
        assert_eq!(unit.insert_order(&order("ord-1", "bundle", "mug"), 1).unwrap(), 1);
        assert_eq!(
            [unit.note_movement("ord-1", "sku-1001", 2).unwrap(), unit.take_stock("sku-1001", 2).unwrap()],
            [1, 1]
        );
        assert_eq!(unit.note_movement("ord-1", "sku-1001", 2).unwrap(), 0, "noted before");
        assert_eq!(unit.take_stock("SKU-1001", 2).unwrap(), 0, "no such row");
        assert_eq!((unit.reprice("sku-1001", 42).unwrap(), unit.reprice("sku-9", 42).unwrap()), (Some(2), None));
        unit.commit().unwrap();
        let mut undone = shop.begin().unwrap();
        assert_eq!(undone.insert_order(&order("ord-2", "gift", "mug"), 1).unwrap(), 1);
        drop(undone);
        let mut other = site.shop().unwrap();
        assert_eq!(other.kind_of("ord-1").unwrap().as_deref(), Some("bundle"));
        assert_eq!(other.kind_of("ord-2").unwrap(), None);
        let product = other.product("sku-1001").unwrap().unwrap();
        assert_eq!((product.price_cents, product.version), (42, 2));
        assert_eq!([other.next_label(FREIGHT).unwrap(), other.next_label(FREIGHT).unwrap()], [Some(1), Some(2)]);
        assert_eq!(other.next_label("Freight").unwrap(), None);
        assert_eq!(other.note_return("ord-1", FREIGHT, 1).unwrap(), 1);

        let mut ledger = site.ledger().unwrap();
        assert_eq!([ledger.write("ord-1", "card").unwrap(), ledger.write("ord-1", "card").unwrap()], [1, 0]);
        ledger.try_to_write().unwrap();
        ledger.fail_over().unwrap();
        ledger.read().unwrap();
        let error = ledger.write("ord-2", "card").unwrap_err();
        assert_eq!(error.kind(), "readonly");
        assert!(codes.contains(&error.database_code().unwrap().as_str()), "{error}");
        assert_eq!(ledger.try_to_write().unwrap_err().kind(), "readonly");
        ledger.read().unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres_keeps_a_databases_promises() {
        let server = truegreen_fixture::Postgres::start().unwrap();
        let parts = Parts::new(None, Some(&server.url()), None).unwrap();
        on(parts, |site| {
            assert_eq!(site.shop().unwrap().named().system, "postgresql");
            keeps_its_promises(site, &["25006"]);
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn mariadb_keeps_a_databases_promises() {
        let server = truegreen_fixture::Mariadb::start().unwrap();
        let parts = Parts::new(None, Some(&server.url()), None).unwrap();
        on(parts, |site| {
            assert_eq!(site.shop().unwrap().named().system, "mariadb");
            keeps_its_promises(site, &["1792"]);
        })
        .await;
    }
}

mod caches {
    use opentelemetry::Context;

    use super::*;
    use crate::product::Product;
    use crate::scene::{Scene, attribute};
    use crate::storefront::Cache;

    /// Guarantee: as the cache in memory; a slow read does not bring an old price back, and each run has its own keys.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn redis_keeps_a_caches_promises() {
        let server = truegreen_fixture::Redis::start().unwrap();
        let parts = Parts::new(None, None, Some(&server.url())).unwrap();
        let other = Site { run_dir: "/".into(), run: "other".into(), parts: parts.clone() };
        on(parts, move |site| {
            let scene = Scene::new();
            let cache = Cache::open(&scene.telemetry, site).unwrap();
            let context = Context::new();
            let product = |version| Product { sku: "sku-1001".into(), price_cents: 900, version };
            assert_eq!(cache.get("sku-1001", &context), None);
            cache.put(&product(1), &context);
            assert_eq!(cache.get("sku-1001", &context), Some(product(1)));
            assert_eq!(Cache::open(&scene.telemetry, &other).unwrap().get("sku-1001", &context), None);
            cache.remove("sku-1001", 2, &context).unwrap();
            cache.put(&product(1), &context);
            assert_eq!(cache.get("sku-1001", &context), None);
            cache.put(&product(2), &context);
            cache.remove("sku-1001", 2, &context).unwrap();
            assert_eq!(cache.get("sku-1001", &context), Some(product(2)), "not older than the change");
            let command = &scene.spans("HMGET")[0];
            assert_eq!(attribute(command, "db.system.name").as_deref(), Some("redis"));
            assert_eq!(command.parent_span_id, scene.spans("cache.get")[0].span_context.span_id());
        })
        .await;
    }
}

#[test]
fn what_real_parts_are_is_shown_without_their_secrets() {
    let address = |url: &str| Address::parse(url, &truegreen_connect::address::Surroundings).unwrap();
    let parts = Parts {
        broker: Some(address("amqp://u:hidden@b:1")),
        database: None,
        cache: Some(address("redis://:hidden@c")),
    };
    assert_eq!(parts.shown().unwrap(), "broker amqp://b:1, cache redis://c");
}
