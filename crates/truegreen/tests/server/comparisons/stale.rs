//! What a server, and a person by hand, hear of a cache that nobody keeps right.

use serde_json::Value;
use truegreen::config::Config;
use truegreen_fixture::{Mariadb, Postgres, Redis};

use super::shop::{Cache, Database, PRODUCTS, configured, prices, truegreen};
use crate::support::TestServer;

fn check<'a>(answer: &'a Value, measurement: &str) -> Option<&'a Value> {
    let probes = answer["probes"].as_array()?;
    let cache = probes.iter().find(|probe| probe["system"] == "product-cache")?;
    let is_it = |check: &&Value| check["component"] == "prices" && check["measurement"] == measurement;
    cache["checks"].as_array()?.iter().find(is_it)
}

fn share(answer: &Value) -> (&str, &str) {
    let Some(check) = check(answer, "stale_share") else { return ("", "") };
    (check["standing"].as_str().unwrap(), check["reason"].as_str().unwrap())
}

/// Scenario: prices are cached for ever; two change in the database alone and one product is removed there; then the cache is
/// mended; then it dies, and comes back empty; then the database dies.
/// Guarantee: each is told as what it is, nothing but a compared cache is green, and no secret is shown.
fn a_cache_is_held_against(database: Database) {
    database.fill();
    let mut redis = Redis::start().unwrap();
    let mut cache = Cache::of(&redis);
    cache.fill();
    // The shop's own health check is the database's neighbour: nobody listens there.
    let text = configured(&redis, &database, "100ms", &prices(&database, "2s"));
    let config = Config::parse(&text).unwrap();
    let server = TestServer::with(|server| {
        server.systems = config.systems;
        server.comparisons = config.comparisons;
    });
    let until = |what: &str, is_so: &dyn Fn(&str, &str) -> bool| {
        let answer = server.until("/api/v1/probes", what, |answer| {
            let (standing, reason) = share(answer);
            is_so(standing, reason)
        });
        answer.to_string()
    };
    let all = format!("none of {PRODUCTS} sampled keys is stale");
    until("a cache that is right", &|standing, reason| standing == "pass" && reason == all);

    database.reprice(17, "12.50");
    database.reprice(18, "10.2600");
    database.run("DELETE FROM products WHERE id = 19");
    let told = until("three stale keys", &|standing, reason| {
        standing == "fail" && reason.contains("3 of 30 sampled keys have been stale for up to")
    });
    for part in [
        "17: product-cache says 10.25, catalog-db says 12.50 for",
        "18: product-cache says 10.25, catalog-db says 10.26 for",
        "19: product-cache says 10.25, catalog-db has had no such row for",
        "surely more than 1 % are",
    ] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    let answer: Value = serde_json::from_str(&told).unwrap();
    let observed = |measurement: &str| check(&answer, measurement).unwrap()["observed"]["value"].as_f64().unwrap();
    assert!(observed("stale_age") >= 2.0 && observed("stale_share") == 0.1, "{told}");
    let series = "truegreen_probe_observed{system=\"product-cache\",component=\"prices\",measurement=\"stale_share\",unit=\"1\"} 0.1";
    assert!(server.get("/metrics").text().contains(series));
    let page = server.get("/systems").text();
    assert!(page.contains("BROKEN: 1 of 2 systems fails: product-cache, prices, stale share: 3 of 30"), "{page}");
    let health = server.get("/healthz?verbose").json();
    assert_eq!(health["checks"]["product-cache/prices:stale_share"][0]["status"], "fail", "{health:#}");

    cache.set(17, "12.5");
    cache.set(18, "10.26");
    cache.run("DEL product:19");
    until("a cache that was mended", &|standing, reason| {
        standing == "pass" && reason == "none of 29 sampled keys is stale"
    });

    redis.stop().unwrap();
    until("a cache that is down", &|standing, reason| {
        standing == "unknown"
            && reason.starts_with("nothing was compared: product-cache")
            && reason.contains("cannot be reached")
    });
    redis.restart().unwrap();
    until("an empty cache", &|standing, reason| {
        standing == "unknown" && reason.contains("product-cache has no key by `product:{key}`")
    });
    Cache::of(&redis).fill();
    database.run("INSERT INTO products SELECT 19, price, changed_at FROM products WHERE id = 1");
    until("the prices of before", &|standing, reason| standing == "fail" && reason.contains("12.50"));
    drop(database);
    let last = until("a database that is gone", &|standing, reason| {
        standing == "unknown" && reason.starts_with("nothing was compared: catalog-db cannot be reached")
    });
    for shown in [told, page, health.to_string(), last] {
        assert!(!shown.contains("hunter2") && !shown.contains("correct"), "{shown}");
    }
}

#[test]
fn redis_is_held_against_postgresql() {
    a_cache_is_held_against(Database::Postgres(Postgres::start().unwrap()));
}

#[test]
fn redis_is_held_against_mariadb() {
    a_cache_is_held_against(Database::Mariadb(Mariadb::start().unwrap()));
}

/// Scenario: the cache has today's price, and the source is a standby that has not replayed it. Guarantee: the cache is not
/// called stale for what the standby has not heard, and not called right either.
#[test]
fn a_standby_that_lags_proves_nothing() {
    let primary = Postgres::start().unwrap();
    let standby = Postgres::replica_of(&primary).unwrap();
    let (primary, standby) = (Database::Postgres(primary), Database::Postgres(standby));
    primary.fill();
    let began = std::time::Instant::now();
    while standby.run("SELECT to_regclass('products') IS NOT NULL") != "t"
        || standby.run("SELECT count(*) FROM products") != "30"
    {
        assert!(began.elapsed() < crate::support::PATIENCE, "it does not replay");
    }
    let redis = Redis::start().unwrap();
    let mut cache = Cache::of(&redis);
    cache.fill();
    standby.run("SELECT pg_wal_replay_pause()");
    primary.reprice(17, "12.50");
    while standby.run("SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()") != "t" {
        assert!(began.elapsed() < crate::support::PATIENCE, "it does not receive");
    }
    cache.set(17, "12.50");
    let config = Config::parse(&configured(&redis, &standby, "100ms", &prices(&standby, "1s"))).unwrap();
    let server = TestServer::with(|server| {
        server.systems = config.systems;
        server.comparisons = config.comparisons;
    });
    let answer = server.until("/api/v1/probes", "a standby that is far behind", |answer| {
        let (standing, reason) = share(answer);
        assert!(!matches!(standing, "warn" | "fail"), "{reason}");
        let seconds = reason.strip_prefix("catalog-db is ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        standing == "unknown"
            && reason.contains("behind, more than 1 s")
            && seconds.is_some_and(|seconds: u64| seconds >= 4)
    });
    assert!(check(&answer, "compared").unwrap()["reason"].as_str().unwrap().contains("1 differing"), "{answer:#}");
}

/// Guarantee: one round by hand calls stale what the source's age proves, and says of the rest that it cannot tell yet.
fn by_hand_is_told(database: Database) {
    database.fill();
    let redis = Redis::start().unwrap();
    let mut cache = Cache::of(&redis);
    cache.fill();
    cache.set(17, "9.99");
    let with_age = prices(&database, "30s");
    let key = if matches!(database, Database::Mariadb(_)) { "?" } else { "$1" };
    let without = format!(
        "unaged:
  ask: GET product:{{key}}
  value: $.price
  keys: {{system: catalog-db, ask: 'SELECT id FROM products ORDER BY id DESC LIMIT 20'}}
  source: {{system: catalog-db, ask: 'SELECT price FROM products WHERE id = {key}'}}
  within: 30s
"
    );
    let config =
        configured(&redis, &database, "1h", &format!("{with_age}{without}").replace("sample: 20", "sample: 100"));
    let output = truegreen(&config, &["probe", "product-cache"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "what warns works: {told}");
    assert!(
        told.contains(
            "1 of 30 sampled keys has been stale for 1 h 0 min: 17: product-cache says 9.99, catalog-db says 10.25"
        ),
        "{told}"
    );
    assert!(
        told.contains("1 of 20 sampled keys differs now; whether for longer than 30 s is told by further rounds"),
        "{told}"
    );
    assert!(!told.contains("catalog-db fails") && !told.contains("hunter2"), "only what was named is probed: {told}");
    let checked = truegreen(&config, &["check", "orders.yaml", "--config", "truegreen.yaml"]);
    assert!(!String::from_utf8_lossy(&checked.stdout).contains("is not compared"), "{checked:?}");
}

#[test]
fn by_hand_one_round_tells_what_postgresql_can_tell() {
    by_hand_is_told(Database::Postgres(Postgres::start().unwrap()));
}

#[test]
fn by_hand_one_round_tells_what_mariadb_can_tell() {
    by_hand_is_told(Database::Mariadb(Mariadb::start().unwrap()));
}
