//! Keys listed, a few at a time.

use std::collections::BTreeSet;

use truegreen_connect::Error;
use truegreen_connect::keys::{Listed, MAX_LISTED};
use truegreen_fixture::{Mariadb, Postgres, Redis};

use crate::peer::config;

async fn list(url: &str, which: &str, from: Option<&str>, limit: usize) -> Result<Listed, Error> {
    let system = truegreen_connect::System::new(config(url)).unwrap();
    system.keys().unwrap().list(which, from, limit).await
}

/// Scenario: 100,000 keys, and some that are no product's. Guarantee: going on from where it ended each time, all are listed;
/// no listing is long, or takes more than its few steps.
#[tokio::test]
async fn all_keys_of_a_large_cache_come_up_in_turn() {
    let redis = Redis::start().unwrap();
    let mut client = ::redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let fill = "for i = 1, 100000 do redis.call('SET', 'product:' .. i .. ':p*', 1) end
                redis.call('SET', 'product:\\255:p*', 1) redis.call('SET', 'product:1:px', 1) redis.call('SET', 'rare:7', 1)";
    ::redis::cmd("EVAL").arg(fill).arg(0).query::<::redis::Value>(&mut client).unwrap();
    let mut scans = || {
        let stats: String = ::redis::cmd("INFO").arg("commandstats").query(&mut client).unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_scan:calls=")?.split_once(','));
        line.map_or(0, |(calls, _)| calls.parse::<usize>().unwrap())
    };
    let (mut seen, mut from, mut listings) = (BTreeSet::new(), None, 0);
    loop {
        let listed = list(&redis.url(), "product:{key}:p*", from.as_deref(), 500).await.unwrap();
        listings += 1;
        assert!(listed.keys.len() <= MAX_LISTED, "{}", listed.keys.len());
        seen.extend(listed.keys);
        from = listed.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 100_000);
    assert!(listings > 50, "{listings}");
    let before = scans();
    let (mut rare, mut from, mut listings) = (Vec::new(), None, 0);
    loop {
        let listed = list(&redis.url(), "rare:{key}", from.as_deref(), 500).await.unwrap();
        (rare, from, listings) = ([rare, listed.keys].concat(), listed.next, listings + 1);
        if from.is_none() {
            break;
        }
    }
    assert_eq!(rare, ["7"]);
    assert!(listings > 5 && scans() - before <= listings * 40, "{listings} listings");
    assert!(matches!(list(&redis.url(), "rare:{key}", Some("x; y"), 5).await, Err(Error::Answered(_))));
    assert!(matches!(list(&redis.url(), "rare:*", None, 5).await, Err(Error::NotAsked(_))));
}

/// Guarantee: the first column is the key, whatever it is called, at most as many as were asked for; and what would write,
/// sleep or never end does no harm.
async fn keys_of_a_table(url: &str, long: &str, endless: &str) {
    let keys = |which: &'static str| async move { list(url, which, None, 3).await.map(|listed| listed.keys) };
    assert_eq!(keys("SELECT id, price AS id2 FROM products ORDER BY id DESC LIMIT 2").await.unwrap(), ["3", "2"]);
    assert_eq!(keys("SELECT id FROM products").await.unwrap().len(), 3);
    assert_eq!(keys("SELECT id AS `key x` FROM products WHERE id = 1").await.is_ok(), url.starts_with("mysql"));
    assert_eq!(keys("SELECT NULL FROM products").await.unwrap().len(), 0);
    assert_eq!(list(url, long, None, 9).await.unwrap(), Listed { keys: vec!["short".to_owned()], next: None });
    for which in ["DELETE FROM products", "SELECT id FROM products FOR UPDATE", "SELECT 1; SELECT 2"] {
        assert!(matches!(keys(which).await, Err(Error::NotAsked(_))), "{which}");
    }
    let mut short = config(url);
    short.timeout = std::time::Duration::from_secs(2);
    let system = truegreen_connect::System::new(short).unwrap();
    let error = system.keys().unwrap().list(endless, None, 3).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    let error = system.keys().unwrap().list("SELECT writes() FROM products", None, 3).await.unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error}");
    assert_eq!(keys("SELECT id FROM products WHERE price > 0").await.unwrap().len(), 3, "nothing was written");
}

#[tokio::test]
async fn keys_of_a_table_of_postgresql() {
    use sqlx::{Connection, Executor};
    let server = Postgres::start().unwrap();
    let mut owner = sqlx::PgConnection::connect(&server.url()).await.unwrap();
    let tables = "CREATE TABLE products (id int PRIMARY KEY, price int); INSERT INTO products VALUES (1, 1), (2, 1), (3, 1), (4, 1);
        CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS $$ UPDATE products SET price = 0 RETURNING price $$;";
    owner.execute(tables).await.unwrap();
    let long = "SELECT repeat('x', 5000) UNION ALL SELECT 'short'";
    let endless = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i FROM n) SELECT max(i) FROM n";
    keys_of_a_table(&server.url(), long, endless).await;
}

#[tokio::test]
async fn keys_of_a_table_of_mariadb() {
    use sqlx::Connection;
    let server = Mariadb::start().unwrap();
    let mut owner = sqlx::MySqlConnection::connect(&server.url()).await.unwrap();
    let tables = "CREATE TABLE products (id int PRIMARY KEY, price int); INSERT INTO products VALUES (1, 1), (2, 1), (3, 1), (4, 1);
        CREATE FUNCTION writes() RETURNS INT MODIFIES SQL DATA BEGIN UPDATE products SET price = 0; RETURN 1; END;
        CREATE FUNCTION naps(k INT) RETURNS INT NO SQL BEGIN DO SLEEP(600); RETURN k; END";
    sqlx::raw_sql(tables).execute(&mut owner).await.unwrap();
    let long = "SELECT REPEAT('x', 5000) UNION ALL SELECT 'short'";
    keys_of_a_table(&server.url(), long, "SELECT naps(id) FROM products").await;
}
