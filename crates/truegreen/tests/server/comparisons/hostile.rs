//! Questions that would do harm, and caches that are large or strange.

use serde_json::Value;
use truegreen_fixture::{Postgres, Redis};

use super::shop::{Cache, Database, configured, redis_calls, truegreen};

/// One comparison of each kind, by what the source is asked, or how keys are listed.
fn comparison(name: &str, ask: &str, source: &str, keys: &str) -> String {
    let keys = if keys.is_empty() { String::new() } else { format!("\n  keys: {keys}") };
    format!("{name}:\n  ask: \"{ask}\"{keys}\n  source: {{system: catalog-db, ask: \"{source}\"}}\n  within: 1s\n")
}

/// Guarantee: a question that writes, sleeps or answers with millions of rows does no harm and is told, each as what it is,
/// and the others beside it are compared.
#[test]
fn a_hostile_question_does_no_harm_and_is_told() {
    let database = Database::Postgres(Postgres::start().unwrap());
    database.fill();
    for (name, does) in
        [("writes", "UPDATE products SET price = 0 RETURNING price::text"), ("naps", "SELECT k FROM pg_sleep(600)")]
    {
        database.run(&format!("CREATE FUNCTION {name}(k text) RETURNS text LANGUAGE sql AS $$ {does} $$"));
    }
    let redis = Redis::start().unwrap();
    let mut cache = Cache::of(&redis);
    cache.fill();
    cache.run("EVAL \"redis.call('SET', 'long:1', string.rep('x', 1000000)); redis.call('RPUSH', 'list:1', 1, 2)\" 0");
    let (get, price) = ("GET product:{key}", "SELECT price FROM products WHERE id = $1");
    let all = [
        comparison("fine", "EXISTS product:{key}", "SELECT 1 FROM products WHERE id = $1", ""),
        comparison("deletes", "DEL product:{key}", price, ""),
        comparison("updates", get, "UPDATE products SET price = 0 WHERE id = $1", ""),
        comparison("two", get, "SELECT 1 FROM products WHERE id = $1; DROP TABLE products", ""),
        comparison("writes", get, "SELECT writes($1)", ""),
        comparison("naps", get, "SELECT naps($1)", ""),
        comparison("million", get, "SELECT generate_series(1, 1000000), $1::text", ""),
        comparison("listing", get, price, "{system: catalog-db, ask: 'SELECT writes(id::text) FROM products'}"),
        comparison("unkeyed", get, price, "product:*"),
        comparison("long", "GET long:{key}", price, ""),
        comparison("wrong", "GET list:{key}", price, ""),
    ];
    let config = configured(&redis, &database, "1h", &all.concat()).replace("timeout: 20s", "timeout: 3s");
    let output = truegreen(&config, &["probe", "product-cache", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = answer["probes"][0]["checks"].as_array().unwrap();
    let told = |name: &str| {
        let of = |check: &&Value| check["component"] == name && check["measurement"] == "stale_share";
        let check = checks.iter().find(of).unwrap_or_else(|| panic!("no {name} in {answer:#}"));
        (check["standing"].as_str().unwrap().to_owned(), check["reason"].as_str().unwrap().to_owned())
    };
    for (name, part) in [
        ("deletes", "`ask`: `DEL` is not asked"),
        ("updates", "`source.ask`: it does not start with SELECT"),
        ("two", "`source.ask`: it is more than one statement"),
        ("writes", "read-only"),
        ("naps", "did not answer the question within"),
        ("million", "more than 10 rows for one key"),
        ("listing", "its keys could not be listed: answered: it is read-only here"),
        ("unkeyed", "`keys`: 0 times {key} in it"),
        ("long", "1000000 bytes for this key, more than 4096"),
        ("wrong", "WRONGTYPE"),
    ] {
        let (standing, reason) = told(name);
        assert!(
            standing == "unknown" && reason.starts_with("nothing was compared") && reason.contains(part),
            "{name}: {standing} {reason}"
        );
    }
    assert_eq!(told("fine").0, "pass", "{}", told("fine").1);
    assert_eq!(database.run("SELECT count(*) FROM products WHERE price = 10.25"), "30");
    let checked = truegreen(&config, &["check", "orders.yaml", "--config", "truegreen.yaml"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(said.matches("is not compared: ").count(), 4, "what can be seen without asking: {said}");
    assert!(
        said.contains("`updates` of the system `product-cache` is not compared: `source.ask`: it does not start"),
        "{said}"
    );
}

/// Scenario: a cache of 100,000 keys of which the comparison wants every tenth. Guarantee: it is walked by SCAN in bounded
/// steps, and what one round does is a small part of it.
#[test]
fn a_large_cache_is_walked_in_small_steps() {
    let database = Database::Postgres(Postgres::start().unwrap());
    database.fill();
    let redis = Redis::start().unwrap();
    let mut cache = Cache::of(&redis);
    let fill = "for i = 1, 100000 do redis.call('SET', (i % 10 == 0 and 'product:' or 'other:') .. i, '10.25') end";
    cache.run(&format!("EVAL \"{fill}\" 0"));
    database.run("INSERT INTO products SELECT n, 10.25, now() FROM generate_series(30, 100000) AS n");
    let large = comparison("prices", "GET product:{key}", "SELECT price FROM products WHERE id = $1", "");
    let output = truegreen(&configured(&redis, &database, "1h", &large), &["probe", "product-cache", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{answer:#}");
    let checks = answer["probes"][0]["checks"].as_array().unwrap();
    let compared = checks.iter().find(|check| check["measurement"] == "compared").unwrap();
    assert_eq!(compared["observed"]["value"], 50.0, "{compared}");
    let (scans, all) = (redis_calls(&redis, "scan"), redis_calls(&redis, "keys"));
    assert!((1..=40).contains(&scans) && all == 0, "{scans} steps");
}
