//! Redis, as a cache, a store and a stream.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use truegreen_connect::address::{Address, Surroundings};
use truegreen_connect::confirm::Found;
use truegreen_connect::dead_letters::{Outgoing, Reading, Sent};
use truegreen_connect::{Error, System, SystemConfig};
use truegreen_fixture::{Redis, free_port};
use truegreen_model::letter::Letter;
use truegreen_model::probe::{Check, ProbeReport, Standing};

use crate::loopback::BlackHole;

fn config(url: &str) -> SystemConfig {
    let mut config = SystemConfig::new("cache", Address::parse(url, &Surroundings).unwrap());
    config.scratch = Some("truegreen_scratch".to_owned());
    config
}

fn system(url: &str) -> System {
    System::new(config(url)).unwrap()
}

async fn probe(system: &System) -> ProbeReport {
    system.probe("2026-01-01T00:00:00Z".to_owned()).await
}

fn check(report: &ProbeReport, measurement: &str) -> Check {
    let found = report.checks.iter().find(|check| check.measurement == measurement);
    found.unwrap_or_else(|| panic!("no {measurement} in {report:#?}")).clone()
}

async fn reason(url: &str, measurement: &str) -> String {
    let check = check(&probe(&system(url)).await, measurement);
    assert_eq!(check.standing, Standing::Fail, "{check:?}");
    check.reason
}

/// Asks until it is so, and fails where that takes far too long.
async fn until(system: &System, is_so: impl Fn(&ProbeReport) -> bool) -> ProbeReport {
    let began = Instant::now();
    loop {
        let report = probe(system).await;
        if is_so(&report) {
            return report;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "never so: {report:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn client(redis: &Redis) -> ::redis::Connection {
    ::redis::Client::open(redis.url()).unwrap().get_connection().unwrap()
}

fn run(connection: &mut ::redis::Connection, command: &str) {
    let mut words = command.split(' ');
    let mut asked = ::redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        asked.arg(word);
    });
    asked.query::<::redis::Value>(connection).unwrap();
}

#[tokio::test]
async fn a_redis_that_works_passes_every_check() {
    let redis = Redis::start().unwrap();
    let report = probe(&system(&redis.url())).await;
    assert_eq!(report.standing, Standing::Pass, "{report:#?}");
    for measurement in ["connect", "slow", "read", "write", "memory", "evictions", "persistence", "clients"] {
        check(&report, measurement);
    }
    let mut connection = client(&redis);
    assert_eq!(::redis::cmd("DBSIZE").query::<u64>(&mut connection).unwrap(), 0, "nothing of ours is left");
}

#[tokio::test]
async fn each_way_not_to_get_in_has_a_reason_of_its_own() {
    let redis = Redis::start_with_password("hidden").unwrap();
    let port = redis.port();
    assert_eq!(probe(&system(&redis.url())).await.standing, Standing::Pass);
    let none = reason(&format!("redis://127.0.0.1:{port}"), "connect").await;
    assert!(none.contains("wants a password"), "{none}");
    let wrong = reason(&format!("redis://:wrong@127.0.0.1:{port}"), "connect").await;
    assert!(wrong.contains("no such user and password") && !wrong.contains("wrong@"), "{wrong}");
    let closed = reason(&format!("redis://127.0.0.1:{}", free_port().unwrap()), "connect").await;
    assert!(closed.contains("cannot be reached") && closed.contains("refused"), "{closed}");

    let full = Redis::start_with(&["--maxclients", "1"]).unwrap();
    // Whoever started it may not be gone yet.
    let began = Instant::now();
    let _first = loop {
        match ::redis::Client::open(full.url()).unwrap().get_connection() {
            Ok(connection) => break connection,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(60), "{error}"),
        }
    };
    let crowded = reason(&full.url(), "connect").await;
    assert!(crowded.contains("max number of clients"), "{crowded}");
}

#[tokio::test]
async fn what_never_answers_says_what_it_did_not_answer() {
    // It takes connections, and nobody ever reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("redis://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let mut quick = config(&address);
    quick.timeout = Duration::from_millis(300);
    let slow = check(&probe(&System::new(quick).unwrap()).await, "connect");
    assert_eq!((slow.standing, slow.reason.as_str()), (Standing::Fail, "did not answer ECHO within 300 ms"));
    let hole = BlackHole::open();
    let mut nobody = config(&format!("redis://{}", hole.address));
    nobody.timeout = Duration::from_millis(300);
    let hole = check(&probe(&System::new(nobody).unwrap()).await, "connect");
    assert_eq!(hole.reason, "did not answer a connection within 300 ms");
}

#[tokio::test]
async fn a_replica_is_told_as_one_and_fails_once_its_primary_is_gone() {
    let mut primary = Redis::start().unwrap();
    let replica = Redis::replica_of(&primary).unwrap();
    let of_replica = system(&replica.url());
    let report = until(&of_replica, |report| check(report, "replication_lag").standing == Standing::Pass).await;
    assert!(check(&report, "replication_lag").reason.contains("heard from its primary"));
    let write = check(&report, "write");
    assert!(write.reason.contains("read-only replica (READONLY)"), "{write:?}");
    assert!(of_replica.confirm().unwrap().behind().await.is_some_and(|seconds| seconds < 60.0));

    let of_primary = system(&primary.url());
    let report = until(&of_primary, |report| report.checks.iter().any(|check| !check.component.is_empty())).await;
    assert!(check(&report, "replication_lag").component.contains(&replica.port().to_string()), "{report:#?}");
    primary.stop().unwrap();
    let report = until(&of_replica, |report| check(report, "replication_lag").standing == Standing::Fail).await;
    assert!(check(&report, "replication_lag").reason.contains("link to its primary is down"), "{report:#?}");
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_fails_and_is_named() {
    let redis = Redis::start_with(&["--save", "3600 1"]).unwrap();
    std::fs::create_dir(redis.folder().unwrap().join("dump.rdb")).unwrap();
    let mut connection = client(&redis);
    run(&mut connection, "SET a b");
    run(&mut connection, "BGSAVE");
    let of_redis = system(&redis.url());
    let report = until(&of_redis, |report| check(report, "persistence").standing == Standing::Fail).await;
    assert!(check(&report, "persistence").reason.contains("last snapshot failed"));
    assert!(reason(&redis.url(), "write").await.contains("cannot save to its disk"));
}

#[tokio::test]
async fn full_memory_fails_a_store_and_evicts_from_a_cache() {
    let store = Redis::start_with(&["--maxmemory", "500kb"]).unwrap();
    let report = probe(&system(&store.url())).await;
    assert!(check(&report, "memory").reason.contains("noeviction"), "{report:#?}");
    assert_eq!(check(&report, "memory").standing, Standing::Fail);
    assert!(check(&report, "write").reason.contains("memory is full"), "{report:#?}");
    assert_eq!(check(&report, "read").standing, Standing::Pass);

    let cache = Redis::start_with(&["--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru"]).unwrap();
    let of_cache = system(&cache.url());
    assert_eq!(check(&probe(&of_cache).await, "evictions").observed.unwrap().value, 0.0);
    let mut connection = client(&cache);
    for n in 0..2_000 {
        run(&mut connection, &format!("SET key{n} {}", "x".repeat(2_000)));
    }
    let report = probe(&of_cache).await;
    let evictions = check(&report, "evictions");
    assert!(evictions.standing == Standing::Warn && evictions.reason.contains("since the last probe"), "{evictions:?}");
    assert_eq!(check(&report, "memory").standing, Standing::Pass, "a cache is full when it is warm");
}

#[tokio::test]
async fn effects_are_looked_up_many_keys_at_once() {
    let redis = Redis::start().unwrap();
    let mut connection = client(&redis);
    for command in [
        "SET stock:1 7",
        "HSET order:1 state paid total 3",
        "RPUSH list:1 a b",
        "SADD set:1 a",
        "XADD events:1 5-1 state paid",
    ] {
        run(&mut connection, command);
    }
    let system = system(&redis.url());
    let confirm = system.confirm().unwrap();
    let keys: Vec<String> = ["1", "2"].map(str::to_owned).to_vec();
    for (question, column, value) in [
        ("GET stock:{key}", "value", "7"),
        ("EXISTS stock:{key}", "value", "1"),
        ("TYPE stock:{key}", "value", "string"),
        ("TTL stock:{key}", "value", "-1"),
        ("HGET order:{key} state", "value", "paid"),
        ("HMGET order:{key} total none", "total", "3"),
        ("HGETALL order:{key}", "state", "paid"),
        ("LRANGE list:{key} 0 9", "value", "a"),
        ("SMEMBERS set:{key}", "value", "a"),
        ("XRANGE events:{key} - + COUNT 10", "state", "paid"),
        ("XRANGE events:{key} - + COUNT 10", "id", "5-1"),
    ] {
        confirm.check(question).unwrap();
        let answers = confirm.ask(question, &keys).await.unwrap();
        let Ok(Found::Rows(rows)) = &answers[0] else { panic!("{question}: {answers:?}") };
        assert_eq!(rows[0][column].as_deref(), Some(value), "{question}");
        assert_eq!(answers[1], Ok(Found::Nothing), "{question}");
    }
    assert_eq!(confirm.behind().await, Some(0.0));
}

#[tokio::test]
async fn a_hostile_question_does_no_harm_and_is_reported() {
    let redis = Redis::start().unwrap();
    let mut connection = client(&redis);
    run(&mut connection, "SET stock:1 7");
    run(&mut connection, &format!("SET long:1 {}", "x".repeat(2 << 20)));
    let mut many = ::redis::pipe();
    for n in 0..1_000 {
        many.cmd("SADD").arg("members:1").arg((n * 1_000..(n + 1) * 1_000).collect::<Vec<u32>>()).ignore();
    }
    many.query::<()>(&mut connection).unwrap();
    for n in 0..10 {
        run(&mut connection, &format!("RPUSH wide:1 {}", format!("{n}").repeat(1 << 20)));
    }
    let system = system(&redis.url());
    let confirm = system.confirm().unwrap();
    let key = ["1".to_owned()];
    for question in
        ["DEL stock:{key}", "SET stock:{key} 0", "EVAL \"redis.call('FLUSHALL')\" 0 {key}", "BLPOP none:{key} 0"]
    {
        assert!(confirm.check(question).is_err(), "{question}");
        assert!(matches!(confirm.ask(question, &key).await, Err(Error::NotAsked(_))), "{question}");
    }
    for (question, part) in [
        ("SMEMBERS members:{key}", "1000000 members for this key, more than 10"),
        ("GET long:{key}", "2097152 bytes for this key, more than 4096"),
        ("LRANGE wide:{key} 0 9", "more than"),
        ("HGET stock:{key} field", "WRONGTYPE"),
    ] {
        let answers = confirm.ask(question, &key).await.unwrap();
        let error = answers[0].clone().unwrap_err().to_string();
        assert!(error.contains(part), "{question}: {error}");
    }
    // One long answer hides no other.
    run(&mut connection, "RPUSH wide:2 short");
    let keys: Vec<String> = ["1", "2", "1"].map(str::to_owned).to_vec();
    let answers = confirm.ask("LRANGE wide:{key} 0 9", &keys).await.unwrap();
    assert!(answers[0].is_err() && answers[2].is_err() && matches!(answers[1], Ok(Found::Rows(_))), "{answers:?}");
    assert_eq!(::redis::cmd("GET").arg("stock:1").query::<String>(&mut connection).unwrap(), "7");
}

async fn all(reading: &mut dyn Reading) -> Vec<Letter> {
    let mut letters = Vec::new();
    loop {
        let next = reading.next(100).await.unwrap();
        if next.is_empty() {
            return letters;
        }
        letters.extend(next);
    }
}

fn back(letter: &Letter) -> Outgoing {
    Outgoing {
        to: letter.origin.clone(),
        key: letter.key.clone(),
        headers: letter.headers.clone(),
        body: letter.body.clone(),
        idempotency_key: format!("redrive-{}", letter.id),
    }
}

#[tokio::test]
async fn dead_letters_go_back_once_also_where_the_server_dies_between() {
    let mut redis = Redis::start_durable().unwrap();
    let mut connection = client(&redis);
    run(&mut connection, "XADD orders 1-1 body first");
    for n in 0..250 {
        run(&mut connection, &format!("XADD orders:dead * body order{n} error_type OutOfStock traceparent 00-a-b-01"));
    }
    let system = system(&redis.url());
    let letters = system.dead_letters().unwrap();
    let places = letters.places().await.unwrap();
    assert_eq!((places.len(), places[0].name.as_str(), places[0].letters), (1, "orders:dead", Some(250)));

    let mut reading = letters.open("orders:dead").await.unwrap();
    let found = all(&mut *reading).await;
    assert_eq!((found.len(), found[0].body.as_slice(), found[0].origin.as_str()), (250, &b"order0"[..], "orders"));
    assert_eq!((found[0].error_type.as_str(), found[0].traceparent.as_str()), ("OutOfStock", "00-a-b-01"));
    assert_eq!(reading.send(&back(&found[0])).await.unwrap(), Sent::Once);
    redis.restart().unwrap();
    assert!(matches!(reading.remove(&found[0].id).await, Err(Error::Unreachable(_))));

    let mut reading = letters.open("orders:dead").await.unwrap();
    let again = all(&mut *reading).await;
    assert_eq!(found, again, "the same letters, by the same ids");
    assert_eq!(reading.send(&back(&again[0])).await.unwrap(), Sent::Already);
    for letter in &again {
        reading.send(&back(letter)).await.unwrap();
        reading.remove(&letter.id).await.unwrap();
    }
    reading.remove(&again[0].id).await.unwrap();
    reading.close().await.unwrap();
    let mut connection = client(&redis);
    let length = |connection: &mut ::redis::Connection, stream: &str| {
        ::redis::cmd("XLEN").arg(stream).query::<u64>(connection).unwrap()
    };
    assert_eq!((length(&mut connection, "orders"), length(&mut connection, "orders:dead")), (251, 0));

    let mut reading = letters.open("orders:dead").await.unwrap();
    let nowhere = Outgoing { to: "nowhere".into(), ..back(&again[0]) };
    assert!(matches!(reading.send(&nowhere).await, Err(Error::Answered(_))), "a stream is not made by a mistake");
    assert!(letters.open("nowhere").await.is_err());
}

#[tokio::test]
async fn what_a_group_took_and_never_acknowledged_is_dead_too() {
    let redis = Redis::start().unwrap();
    let mut connection = client(&redis);
    for command in [
        "XADD orders 1-1 order 1",
        "XADD orders 1-2 order 2",
        "XGROUP CREATE orders stock 0",
        "XREADGROUP GROUP stock worker COUNT 2 STREAMS orders >",
        "XDEL orders 1-2",
    ] {
        run(&mut connection, command);
    }
    let mut config = config(&redis.url());
    let limit = truegreen_connect::config::Limit { warn: Some(0.0), fail: None };
    config.limits.insert("pending_idle".to_owned(), limit);
    let system = System::new(config).unwrap();
    let letters = system.dead_letters().unwrap();
    let places = letters.places().await.unwrap();
    assert_eq!((places[0].name.as_str(), places[0].letters), ("orders/stock", Some(2)));
    assert!(places[0].warning.contains("may still be at work"));

    let mut reading = letters.open("orders/stock").await.unwrap();
    // Its end is the newest that the stream still has.
    let found = all(&mut *reading).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].origin.as_str(), found[0].deaths, found[0].is_cut), ("orders", 1, false));
    assert!(found[0].error.contains("worker"), "{found:?}");
    assert_eq!(reading.send(&back(&found[0])).await.unwrap(), Sent::Once);
    reading.remove("1-1").await.unwrap();
    reading.close().await.unwrap();
    assert_eq!(letters.places().await.unwrap()[0].letters, Some(1));
    let fields: Vec<(String, Vec<String>)> =
        ::redis::cmd("XREVRANGE").arg("orders").arg("+").arg("-").arg("COUNT").arg(1).query(&mut connection).unwrap();
    assert_eq!(fields[0].1, ["order", "1"], "the same fields as before");
}
