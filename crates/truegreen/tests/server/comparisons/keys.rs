//! Keys listed, some at a time, by the systems themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use truegreen_connect::address::Surroundings;
use truegreen_connect::keys::{Listed, MAX_LISTED};
use truegreen_connect::{Address, Error, System, SystemConfig};
use truegreen_fixture::{Mariadb, Postgres, Redis};

use super::shop::{Cache, Database, redis_calls};

fn list(url: &str, timeout: u64, which: &str, from: Option<&str>, limit: usize) -> Result<Listed, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut config = SystemConfig::new("listed", Address::parse(url, &Surroundings).unwrap());
    config.timeout = Duration::from_secs(timeout);
    let system = System::new(config).unwrap();
    runtime.block_on(system.keys().unwrap().list(which, from, limit))
}

/// All keys, and in how many listings they came.
fn walk(url: &str, which: &str) -> (BTreeSet<String>, u64) {
    let (mut seen, mut from, mut listings) = (BTreeSet::new(), None, 0);
    loop {
        let listed = list(url, 20, which, from.as_deref(), 500).unwrap();
        assert!(listed.keys.len() <= MAX_LISTED, "{}", listed.keys.len());
        seen.extend(listed.keys);
        (from, listings) = (listed.next, listings + 1);
        if from.is_none() {
            return (seen, listings);
        }
    }
}

/// Scenario: 100,000 keys of products, and some that are none. Guarantee: going on from where it ended each time, all are
/// listed; no listing is long, or takes more than its few steps, however seldom a name fits.
#[test]
fn all_keys_of_a_large_cache_come_up_in_turn() {
    let redis = Redis::start().unwrap();
    let mut cache = Cache::of(&redis);
    cache.run("EVAL \"for i = 1, 100000 do redis.call('SET', 'product:' .. i .. ':p*', 1) end\" 0");
    cache.run("EVAL \"redis.call('SET', 'product:\\\\255:p*', 1); redis.call('SET', 'product:1:px', 1)\" 0");
    cache.run("SET rare:7 1");
    let (seen, listings) = walk(&redis.url(), "product:{key}:p*");
    assert!(seen.len() == 100_000 && listings > 50, "{} in {listings}", seen.len());
    let before = redis_calls(&redis, "scan");
    let (rare, listings) = walk(&redis.url(), "rare:{key}");
    assert_eq!(rare, BTreeSet::from(["7".to_owned()]));
    let steps = redis_calls(&redis, "scan") - before;
    assert!(listings > 5 && steps <= listings * 40, "{steps} steps in {listings} listings");
    assert!(matches!(list(&redis.url(), 20, "rare:{key}", Some("x; y"), 5), Err(Error::Answered(_))));
    assert!(matches!(list(&redis.url(), 20, "rare:*", None, 5), Err(Error::NotAsked(_))));
}

/// Guarantee: the first column is the key, whatever it is called, at most as many as were asked for; and what would write, or
/// never ends, does no harm.
fn keys_of_a_table(database: &Database, endless: &str) {
    database.fill();
    let url = database.url();
    let keys = |which: &str| list(&url, 20, which, None, 3).map(|listed| listed.keys);
    assert_eq!(keys("SELECT id, price AS id2 FROM products ORDER BY id DESC LIMIT 2").unwrap(), ["29", "28"]);
    assert_eq!(keys("SELECT id FROM products").unwrap().len(), 3);
    assert_eq!(keys("SELECT id + 1, price FROM products WHERE id = 1").unwrap(), ["2"], "a column without a name");
    assert_eq!(keys("SELECT NULL FROM products").unwrap().len(), 0);
    let long = "SELECT repeat('x', 5000) UNION ALL SELECT 'short'";
    assert_eq!(list(&url, 20, long, None, 9).unwrap(), Listed { keys: vec!["short".to_owned()], next: None });
    for which in ["DELETE FROM products", "SELECT id FROM products FOR UPDATE", "SELECT 1; SELECT 2"] {
        assert!(matches!(keys(which), Err(Error::NotAsked(_))), "{which}");
    }
    let error = list(&url, 2, endless, None, 3).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    let error = keys("SELECT writes() FROM products").unwrap_err();
    assert!(error.to_string().contains("read-only") || error.to_string().contains("READ ONLY"), "{error}");
    assert_eq!(database.run("SELECT count(*) FROM products WHERE price > 0"), "30", "nothing was written");
}

#[test]
fn keys_of_a_table_of_postgresql() {
    let database = Database::Postgres(Postgres::start().unwrap());
    database.run(
        "CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM products; RETURN 1; END $$",
    );
    keys_of_a_table(&database, "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i FROM n) SELECT max(i) FROM n");
}

#[test]
fn keys_of_a_table_of_mariadb() {
    let database = Database::Mariadb(Mariadb::start().unwrap());
    database.run("CREATE FUNCTION naps(k INT) RETURNS INT NO SQL RETURN SLEEP(600) + k");
    database.run("DELIMITER //\nCREATE FUNCTION writes() RETURNS INT BEGIN DELETE FROM products; RETURN 1; END//");
    keys_of_a_table(&database, "SELECT naps(id) FROM products");
}
