//! Kafka: on the mock cluster of its client, which has groups and exact ends, and on a real broker.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, in what its tests share too")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use truegreen_connect::address::Surroundings;
use truegreen_connect::config::Limit;
use truegreen_connect::dead_letters::{DeadLetters, Outgoing, Sent};
use truegreen_connect::{Address, System, SystemConfig};
use truegreen_fixture::{KafkaMock, Tansu};
use truegreen_model::letter::Letter;
use truegreen_model::probe::{Check, ProbeReport, Standing};

fn system(url: &str, tell: impl FnOnce(&mut SystemConfig)) -> System {
    let mut config = SystemConfig::new("broker", Address::parse(url, &Surroundings).unwrap());
    tell(&mut config);
    System::new(config).unwrap()
}

async fn probe(system: &System) -> ProbeReport {
    system.probe("2026-01-01T00:00:00Z".to_owned()).await
}

fn check<'a>(report: &'a ProbeReport, component: &str, measurement: &str) -> &'a Check {
    let found = report.checks.iter().find(|check| check.component == component && check.measurement == measurement);
    found.unwrap_or_else(|| panic!("no {measurement} of `{component}` in {:#?}", report.checks))
}

fn value(check: &Check) -> f64 {
    check.observed.as_ref().unwrap().value
}

fn told(url: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", url.trim_start_matches("kafka://"));
    config
}

async fn produce(url: &str, topic: &str, partition: i32, count: usize) {
    let producer: FutureProducer = told(url).set("linger.ms", "0").create().unwrap();
    for index in 0..count {
        let body = format!("{{\"n\":{index}}}");
        let key = format!("order-{index}");
        let headers = OwnedHeaders::new().insert(Header { key: "kafka_dlt-original-topic", value: Some("orders") });
        let record = FutureRecord::to(topic).partition(partition).key(&key).payload(&body).headers(headers);
        producer.send(record, Duration::from_secs(20)).await.unwrap();
    }
}

fn commit(url: &str, group: &str, topic: &str, offsets: &[(i32, i64)]) {
    let consumer: BaseConsumer = told(url).set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).unwrap();
    }
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

async fn all(letters: &dyn DeadLetters, place: &str) -> Vec<Letter> {
    let mut reading = letters.open(place).await.unwrap();
    let mut found = Vec::new();
    loop {
        let batch = reading.next(7).await.unwrap();
        if batch.is_empty() {
            reading.close().await.unwrap();
            return found;
        }
        found.extend(batch);
    }
}

fn back(letter: &Letter, key: &str) -> Outgoing {
    Outgoing {
        to: letter.origin.clone(),
        key: letter.key.clone(),
        headers: vec![("traceparent".to_owned(), "00-a-b-01".to_owned())],
        body: letter.body.clone(),
        idempotency_key: key.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_of_not_being_reached_is_told_apart() {
    let quick = |config: &mut SystemConfig| config.timeout = Duration::from_secs(2);

    let report = probe(&system("kafka://127.0.0.1:1", quick)).await;
    let reason = &check(&report, "", "connect").reason;
    assert!(reason.starts_with("cannot be reached:") && reason.contains("Connection refused"), "{reason}");

    // Accepts, and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    let report = probe(&system(&format!("kafka://{}", silent.local_addr().unwrap()), quick)).await;
    let reason = &check(&report, "", "connect").reason;
    assert_eq!(reason, "did not answer for its topics within 2000 ms");
    assert!(began.elapsed() < Duration::from_secs(15));

    // Speaks something else.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("kafka://{}", other.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = other.accept() {
            let mut some = [0; 4096];
            if stream.read(&mut some).is_ok_and(|count| count > 0)
                && stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").is_ok()
            {
                // It is the client that hangs up.
                let _whatever_comes = stream.read(&mut some);
            }
        }
    });
    let report = probe(&system(&url, quick)).await;
    let reason = &check(&report, "", "connect").reason;
    assert!(reason.contains("makes no sense") && reason.contains("is this a port of Kafka"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_is_told_of_each_partition_and_a_group_that_stands_still_is_found() {
    let mock = KafkaMock::start(1).unwrap();
    mock.cluster().create_topic("orders", 2, 1).unwrap();
    let url = mock.url();
    produce(&url, "orders", 0, 20).await;
    produce(&url, "orders", 1, 5).await;
    commit(&url, "inventory", "orders", &[(0, 12), (1, 5)]);

    let asked = system(&url, |config| {
        config.watch = vec!["orders/inventory".into()];
        config.scratch = Some("scratch".into());
        config.limits.insert("standing".into(), Limit::new(0.3, 600.0));
    });
    let report = probe(&asked).await;
    assert_eq!(check(&report, "", "connect").standing, Standing::Pass);
    assert_eq!(check(&report, "", "read").standing, Standing::Pass);
    assert_eq!(check(&report, "", "write").standing, Standing::Pass, "{:#?}", report.checks);
    assert_eq!(value(check(&report, "group inventory orders/0", "lag_messages")), 8.0);
    assert_eq!(value(check(&report, "group inventory orders/1", "lag_messages")), 0.0);
    assert_eq!(check(&report, "group inventory orders/1", "standing").standing, Standing::Pass);
    // Looked at once: since when the oldest waits, and whether it moves, cannot be told yet.
    assert_eq!(check(&report, "group inventory orders/0", "standing").standing, Standing::Unknown);
    assert_eq!(check(&report, "group inventory orders/0", "lag_seconds").standing, Standing::Unknown);

    let began = Instant::now();
    let report = loop {
        let report = probe(&asked).await;
        if check(&report, "group inventory orders/0", "standing").standing == Standing::Warn {
            break report;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{:#?}", report.checks);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let still = &check(&report, "group inventory orders/0", "standing").reason;
    assert!(still.starts_with("group inventory stands still at offset 12 of orders/0 since "), "{still}");
    assert!(still.contains("8 messages wait"), "{still}");

    // It moves, and what is written from now on has an age.
    commit(&url, "inventory", "orders", &[(0, 20)]);
    let report = probe(&asked).await;
    assert_eq!(check(&report, "group inventory orders/0", "standing").standing, Standing::Pass);
    produce(&url, "orders", 0, 3).await;
    let report = probe(&asked).await;
    assert_eq!(value(check(&report, "group inventory orders/0", "lag_messages")), 3.0);
    let age = check(&report, "group inventory orders/0", "lag_seconds");
    assert!(age.standing == Standing::Pass && value(age) < 60.0, "{age:?}");

    // It goes back.
    commit(&url, "inventory", "orders", &[(0, 4)]);
    let report = probe(&asked).await;
    let back = check(&report, "group inventory orders/0", "standing");
    assert_eq!(back.reason, "group inventory went back from offset 20 to offset 4 of orders/0: 16 messages come again");

    // What is watched and not there is said.
    let gone = system(&url, |config| config.watch = vec!["nothing".into()]);
    let report = probe(&gone).await;
    assert_eq!(check(&report, "topic nothing", "topic").reason, "there is no topic nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_brokers_show_as_lost_leaders() {
    let mock = KafkaMock::start(3).unwrap();
    mock.cluster().create_topic("orders", 3, 1).unwrap();
    let asked = system(&mock.url(), |config| config.watch = vec!["orders".into()]);
    let report = probe(&asked).await;
    assert_eq!(value(check(&report, "", "partitions")), 3.0);
    mock.cluster().partition_leader("orders", 1, None).unwrap();
    let report = probe(&asked).await;
    let lost = check(&report, "topic orders", "leader");
    assert!(
        lost.standing == Standing::Fail && lost.reason.starts_with("partitions 1 of orders have no leader"),
        "{lost:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_go_back_once_also_where_the_redrive_dies_in_between() {
    let mock = KafkaMock::start(1).unwrap();
    for (topic, partitions) in [("orders", 3), ("orders-dlt", 2), ("other", 1)] {
        mock.cluster().create_topic(topic, partitions, 1).unwrap();
    }
    let url = mock.url();
    produce(&url, "orders-dlt", 0, 6).await;
    produce(&url, "orders-dlt", 1, 4).await;
    let asked = system(&url, |_| ());
    let letters = asked.dead_letters().unwrap();
    let places = letters.places().await.unwrap();
    assert_eq!((places.len(), places[0].name.as_str(), places[0].letters), (1, "orders-dlt", Some(10)));
    assert!(places[0].warning.contains("cannot remove one record"));
    let found = all(letters, "orders-dlt").await;
    assert_eq!((found.len(), found[0].origin.as_str(), found[0].is_cut), (10, "orders", false));
    assert!(found.iter().any(|letter| letter.id == "1:3" && letter.key == "order-3" && letter.body == b"{\"n\":3}"));

    // Sent and not removed: another reading, as after a crash, finds it there.
    let mut reading = letters.open("orders-dlt").await.unwrap();
    let shown = reading.next(100).await.unwrap();
    assert!(reading.remove("1:99").await.is_err());
    assert_eq!(reading.send(&back(&shown[0], &shown[0].id)).await.unwrap(), Sent::AtLeastOnce);
    assert_eq!(reading.send(&back(&shown[0], &shown[0].id)).await.unwrap(), Sent::Already);
    drop(reading);
    let mut reading = letters.open("orders-dlt").await.unwrap();
    let again = reading.next(100).await.unwrap();
    assert_eq!(reading.send(&back(&shown[0], &shown[0].id)).await.unwrap(), Sent::Already);

    // Removed in any order, also with gaps; what is left is left.
    for letter in again.iter().filter(|letter| !["0:1", "0:4", "1:0"].contains(&letter.id.as_str())) {
        let sent = reading.send(&back(letter, &letter.id)).await.unwrap();
        assert_eq!(sent, if letter.id == shown[0].id { Sent::Already } else { Sent::AtLeastOnce });
        reading.remove(&letter.id).await.unwrap();
    }
    reading.close().await.unwrap();
    let anew = system(&url, |_| ());
    let letters = anew.dead_letters().unwrap();
    let mut left: Vec<String> = all(letters, "orders-dlt").await.into_iter().map(|letter| letter.id).collect();
    left.sort();
    assert_eq!(left, ["0:1", "0:4", "1:0"]);
    assert_eq!(letters.places().await.unwrap()[0].letters, Some(3));

    let mut reading = letters.open("orders-dlt").await.unwrap();
    for letter in reading.next(100).await.unwrap() {
        reading.remove(&letter.id).await.unwrap();
    }
    assert_eq!(all(letters, "orders-dlt").await, []);
    // What came later lies there.
    produce(&url, "orders-dlt", 0, 1).await;
    assert_eq!(all(letters, "orders-dlt").await[0].id, "0:6");
    // Each of the seven arrived once.
    let sent = all(letters, "orders").await;
    assert_eq!(sent.len(), 7, "{sent:#?}");
    let key = |letter: &Letter| letter.headers.iter().any(|(name, _)| name == "truegreen-idempotency-key");
    assert!(sent.iter().all(key));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_broker_is_asked_for_groups_and_letters() {
    let server = Tansu::start().unwrap();
    let url = server.url();
    let client: rdkafka::admin::AdminClient<_> = told(&url).create().unwrap();
    let new = |name| rdkafka::admin::NewTopic::new(name, 1, rdkafka::admin::TopicReplication::Fixed(1));
    let made =
        client.create_topics(&[new("orders"), new("orders.DLT")], &rdkafka::admin::AdminOptions::new()).await.unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    produce(&url, "orders", 0, 10).await;
    produce(&url, "orders.DLT", 0, 2).await;
    let consumer: BaseConsumer =
        told(&url).set("group.id", "inventory").set("auto.offset.reset", "earliest").create().unwrap();
    consumer.subscribe(&["orders"]).unwrap();
    let began = Instant::now();
    let mut seen = 0;
    while seen < 4 {
        seen += usize::from(matches!(consumer.poll(Duration::from_millis(200)), Some(Ok(_))));
        assert!(began.elapsed() < Duration::from_secs(60));
    }
    consumer.commit_consumer_state(CommitMode::Sync).unwrap();

    let asked = system(&url, |_| ());
    let report = probe(&asked).await;
    assert_eq!(check(&report, "", "connect").standing, Standing::Pass, "{:#?}", report.checks);
    assert_eq!(check(&report, "", "read").standing, Standing::Pass, "{:#?}", report.checks);
    let lag = check(&report, "group inventory orders/0", "lag_messages");
    assert!(value(lag) <= 10.0, "{lag:?}");

    let letters = asked.dead_letters().unwrap();
    assert_eq!(letters.places().await.unwrap()[0].name, "orders.DLT");
    let mut reading = letters.open("orders.DLT").await.unwrap();
    let shown = reading.next(10).await.unwrap();
    assert!(!shown.is_empty());
    assert_eq!(reading.send(&back(&shown[0], "k-1")).await.unwrap(), Sent::AtLeastOnce);
    reading.remove(&shown[0].id).await.unwrap();
    reading.close().await.unwrap();
    assert!(all(letters, "orders.DLT").await.iter().all(|letter| letter.id != shown[0].id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_denied_and_not_told() {
    let server = Tansu::start_with(&["--authentication"]).unwrap();
    let url = format!("kafka://shop:s3cret@127.0.0.1:{}", server.port());
    let report = probe(&system(&url, |config| config.timeout = Duration::from_secs(3))).await;
    let reason = &check(&report, "", "connect").reason;
    assert!(reason.starts_with("does not let us:") && !reason.contains("s3cret"), "{reason}");
}
