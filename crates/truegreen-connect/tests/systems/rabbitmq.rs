//! RabbitMQ. A node takes seconds to start, so one test owns it, and each step is a function.

use std::io::Read as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, BasicRejectOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use truegreen_connect::address::{Address, Surroundings};
use truegreen_connect::dead_letters::{Outgoing, Reading, Sent};
use truegreen_connect::{Error, System, SystemConfig};
use truegreen_fixture::{Rabbitmq, free_port};
use truegreen_model::letter::Letter;
use truegreen_model::probe::{Check, ProbeReport, Standing};

use crate::loopback::BlackHole;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_tells_how_it_is_and_gives_its_dead_back() {
    let mut rabbitmq = Rabbitmq::start().unwrap();
    each_way_not_to_get_in(&rabbitmq).await;
    declare(&rabbitmq).await;
    queues_tell_what_waits_and_where_the_dead_go(&rabbitmq).await;
    without_management_less_is_told_and_nothing_is_green(&rabbitmq).await;
    letters_are_read_sent_and_removed(&rabbitmq).await;
    a_look_that_could_cost_a_letter_is_refused(&rabbitmq).await;
    a_restart_in_the_middle_loses_nothing(&mut rabbitmq).await;
    an_alarm_blocks_and_is_named(&mut rabbitmq).await;
}

#[tokio::test]
async fn what_never_answers_says_what_it_did_not_answer() {
    // It takes connections, and nobody ever reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hole = BlackHole::open();
    for (host, told) in [
        (
            format!("127.0.0.1:{}", silent.local_addr().unwrap().port()),
            "did not answer the greeting of AMQP within 300 ms",
        ),
        (hole.address.to_string(), "did not answer a connection within 300 ms"),
        (format!("127.0.0.1:{}", free_port().unwrap()), "cannot be reached"),
    ] {
        let mut config = config(&format!("amqp://{host}"));
        config.timeout = Duration::from_millis(300);
        let connect = check(&probe(&System::new(config).unwrap()).await, "", "connect");
        assert!(connect.standing == Standing::Fail && connect.reason.contains(told), "{host}: {connect:?}");
    }
    // What waited for the greeting is gone: the socket ends, and with it the thread of the client.
    let (mut waiting, _) = silent.accept().unwrap();
    waiting.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut said = Vec::new();
    waiting.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"AMQP\0\0\x09\x01");
}

fn config(url: &str) -> SystemConfig {
    let mut config = SystemConfig::new("broker", Address::parse(url, &Surroundings).unwrap());
    config.timeout = Duration::from_secs(30);
    config
}

fn managed(rabbitmq: &Rabbitmq) -> SystemConfig {
    let mut config = config(&rabbitmq.url());
    config.management = Some(Address::parse(&rabbitmq.management_url(), &Surroundings).unwrap());
    config.scratch = Some("truegreen_scratch".to_owned());
    config
}

async fn probe(system: &System) -> ProbeReport {
    system.probe("2026-01-01T00:00:00Z".to_owned()).await
}

fn find<'a>(report: &'a ProbeReport, component: &str, measurement: &str) -> Option<&'a Check> {
    report.checks.iter().find(|check| check.component == component && check.measurement == measurement)
}

fn check(report: &ProbeReport, component: &str, measurement: &str) -> Check {
    let found = find(report, component, measurement);
    found.unwrap_or_else(|| panic!("no {measurement} of `{component}` in {report:#?}")).clone()
}

/// Asks until it is so, and fails where that takes far too long: figures of queues come a second late.
async fn until(system: &System, is_so: impl Fn(&ProbeReport) -> bool) -> ProbeReport {
    let began = Instant::now();
    loop {
        let report = probe(system).await;
        if is_so(&report) {
            return report;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "never so: {report:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn each_way_not_to_get_in(rabbitmq: &Rabbitmq) {
    let report = probe(&System::new(managed(rabbitmq)).unwrap()).await;
    for measurement in ["connect", "write", "alarms", "cluster"] {
        assert_eq!(check(&report, "", measurement).standing, Standing::Pass, "{report:#?}");
    }
    let port = rabbitmq.port();
    for (url, part) in [
        (format!("amqp://guest:wrong@127.0.0.1:{port}"), "does not let us: ACCESS_REFUSED"),
        (format!("amqp://guest:guest@127.0.0.1:{port}/nowhere"), "vhost nowhere not found"),
    ] {
        let connect = check(&probe(&System::new(config(&url)).unwrap()).await, "", "connect");
        assert!(connect.standing == Standing::Fail && connect.reason.contains(part), "{connect:?}");
    }
}

async fn connect(rabbitmq: &Rabbitmq) -> (Connection, Channel) {
    let connection = Connection::connect(&rabbitmq.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    (connection, channel)
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn word(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

async fn queue(channel: &Channel, name: &str, arguments: &[(&str, AMQPValue)]) {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), durable, table(arguments)).await.unwrap();
}

async fn publish(channel: &Channel, queue: &str, body: &str, properties: BasicProperties) {
    let options = BasicPublishOptions::default();
    let properties = properties.with_delivery_mode(2);
    let published = channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties).await.unwrap();
    assert!(published.await.unwrap().is_ack());
}

/// As a consumer would that cannot process it.
async fn reject(channel: &Channel, queue: &str) {
    let got = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap().unwrap();
    channel.basic_reject(got.delivery.delivery_tag, BasicRejectOptions { requeue: false }).await.unwrap();
}

async fn length(channel: &Channel, queue: &str) -> u32 {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap().message_count()
}

async fn wait_for_length(channel: &Channel, queue: &str, wanted: u32) {
    let began = Instant::now();
    loop {
        let now = length(channel, queue).await;
        if now == wanted {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{queue}: {now}, never {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn declare(rabbitmq: &Rabbitmq) {
    let (connection, channel) = connect(rabbitmq).await;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    for exchange in ["dead", "nobody"] {
        channel.exchange_declare(exchange.into(), ExchangeKind::Topic, durable, FieldTable::default()).await.unwrap();
    }
    queue(&channel, "orders", &[("x-dead-letter-exchange", word("dead"))]).await;
    queue(&channel, "orders.graveyard", &[]).await;
    let bind = QueueBindOptions::default();
    channel
        .queue_bind("orders.graveyard".into(), "dead".into(), "#".into(), bind, FieldTable::default())
        .await
        .unwrap();
    queue(&channel, "plain", &[]).await;
    queue(&channel, "lost", &[("x-dead-letter-exchange", word("nowhere"))]).await;
    queue(&channel, "unbound", &[("x-dead-letter-exchange", word("nobody"))]).await;
    let quorum = ("x-queue-type", word("quorum"));
    let to = [("x-dead-letter-exchange", word("")), ("x-dead-letter-routing-key", word("payments.dlq"))];
    queue(&channel, "payments", &[quorum.clone(), to[0].clone(), to[1].clone()]).await;
    queue(&channel, "payments.dlq", std::slice::from_ref(&quorum)).await;
    queue(&channel, "limited.dlq", &[quorum, ("x-delivery-limit", AMQPValue::LongInt(3))]).await;
    connection.close(200, "".into()).await.unwrap();
}

async fn queues_tell_what_waits_and_where_the_dead_go(rabbitmq: &Rabbitmq) {
    let (_connection, channel) = connect(rabbitmq).await;
    publish(&channel, "plain", "old", BasicProperties::default().with_timestamp(1_700_000_000)).await;
    publish(&channel, "limited.dlq", "dead", BasicProperties::default()).await;
    let system = System::new(managed(rabbitmq)).unwrap();
    let fails = |report: &ProbeReport| {
        let consumers = find(report, "queue plain", "consumers").is_some_and(|check| check.standing == Standing::Fail);
        consumers
            && find(report, "queue limited.dlq", "dead_letters").is_some_and(|check| check.standing == Standing::Warn)
    };
    let report = until(&system, fails).await;
    assert_eq!(check(&report, "queue plain", "consumers").reason, "1 messages and no consumer");
    let oldest = check(&report, "queue plain", "oldest_message");
    assert!(oldest.standing == Standing::Fail && oldest.observed.unwrap().unit == "s");
    assert!(find(&report, "queue limited.dlq", "consumers").is_none(), "nobody has to read the dead");
    for (queue, standing, part) in [
        ("plain", Standing::Warn, "no dead-letter exchange"),
        ("lost", Standing::Warn, "`nowhere` does not exist"),
        ("unbound", Standing::Warn, "no queue is bound"),
        ("orders", Standing::Pass, "at most once"),
        ("payments", Standing::Pass, "at most once"),
    ] {
        let path = check(&report, &format!("queue {queue}"), "dead_letter_path");
        assert!(path.standing == standing && path.reason.contains(part), "{queue}: {path:?}");
    }
    let places = system.dead_letters().unwrap().places().await.unwrap();
    let names: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
    assert_eq!(names, ["limited.dlq", "orders.graveyard", "payments.dlq"]);
    assert!(places[0].warning.contains("delivery limit of 3"), "{places:?}");

    let mut watching = managed(rabbitmq);
    watching.watch = ["plain", "gone"].map(str::to_owned).to_vec();
    let report = probe(&System::new(watching).unwrap()).await;
    assert_eq!(check(&report, "queue gone", "messages").standing, Standing::Fail);
    assert!(find(&report, "queue orders", "messages").is_none());
}

async fn without_management_less_is_told_and_nothing_is_green(rabbitmq: &Rabbitmq) {
    let mut alone = config(&rabbitmq.url());
    let nobody = format!("http://127.0.0.1:{}", free_port().unwrap());
    alone.management = Some(Address::parse(&nobody, &Surroundings).unwrap());
    alone.watch = vec!["plain".to_owned()];
    let system = System::new(alone.clone()).unwrap();
    let report = probe(&system).await;
    let alarms = check(&report, "", "alarms");
    assert!(
        alarms.standing == Standing::Unknown && alarms.reason.contains("hint: enable rabbitmq_management"),
        "{alarms:?}"
    );
    assert_eq!(check(&report, "queue plain", "consumers").standing, Standing::Fail);
    assert_eq!(check(&report, "queue plain", "unacknowledged").standing, Standing::Unknown);

    let letters = system.dead_letters().unwrap();
    assert!(letters.places().await.is_err(), "names are not guessed");
    let classic = letters.open("orders.graveyard").await.unwrap();
    classic.close().await.unwrap();
    let Err(Error::NotAsked(why)) = letters.open("payments.dlq").await else { panic!("a limit that cannot be seen") };
    assert!(why.contains("only the management API tells"), "{why}");
    alone.dead_letters = vec!["orders.graveyard".to_owned()];
    let named = System::new(alone).unwrap().dead_letters().unwrap().places().await.unwrap();
    assert!(named[0].letters == Some(0) && named[0].warning.contains("not told"), "{named:?}");
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

async fn letters_are_read_sent_and_removed(rabbitmq: &Rabbitmq) {
    let (_connection, channel) = connect(rabbitmq).await;
    let headers =
        table(&[("x-tenant", word("a")), ("x-retry", AMQPValue::LongInt(7)), ("traceparent", word("00-a-b-01"))]);
    for (source, place) in [("orders", "orders.graveyard"), ("payments", "payments.dlq")] {
        for n in 0..300 {
            let properties = BasicProperties::default()
                .with_headers(headers.clone())
                .with_message_id(format!("m{n}").into())
                .with_content_type("application/json".into())
                .with_correlation_id("c".into());
            publish(&channel, source, &format!("{{\"order\":{n}}}"), properties).await;
        }
        // Two that are the same in everything.
        for _ in 0..2 {
            publish(&channel, source, "same", BasicProperties::default()).await;
        }
        for _ in 0..302 {
            reject(&channel, source).await;
        }
        wait_for_length(&channel, place, 302).await;
        a_place_is_emptied(rabbitmq, &channel, source, place).await;
    }
}

async fn a_place_is_emptied(rabbitmq: &Rabbitmq, channel: &Channel, source: &str, place: &str) {
    let system = System::new(managed(rabbitmq)).unwrap();
    let letters = system.dead_letters().unwrap();
    let mut reading = letters.open(place).await.unwrap();
    let found = all(&mut *reading).await;
    assert_eq!(found.len(), 302);
    let first = &found[0];
    assert_eq!((first.origin.as_str(), first.key.as_str(), first.error_type.as_str()), (source, source, "rejected"));
    assert_eq!((first.message_id.as_str(), first.deaths, first.traceparent.as_str()), ("m0", 1, "00-a-b-01"));
    assert!(!first.died_at.is_empty() && first.headers.contains(&("x-retry".into(), "7".into())), "{first:?}");
    // As a crash would: nothing is said, and everything lies there as before.
    drop(reading);
    wait_for_length(channel, place, 302).await;

    let mut reading = letters.open(place).await.unwrap();
    let mut again = all(&mut *reading).await;
    let ids =
        |letters: &[Letter]| letters.iter().map(|letter| letter.id.clone()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!((ids(&again), ids(&found).len()), (ids(&found), 302), "the same ids, and no two alike");
    again.sort_by_key(|letter| letter.message_id != "m0");

    let nowhere = Outgoing { to: "nowhere".into(), ..back(first) };
    let returned = reading.send(&nowhere).await.unwrap_err().to_string();
    assert!(returned.contains("no queue takes it"), "{returned}");
    let missing = Outgoing { to: "exchange:nowhere".into(), ..back(first) };
    assert!(reading.send(&missing).await.unwrap_err().to_string().contains("NOT_FOUND"));
    for letter in &again[..301] {
        assert_eq!(reading.send(&back(letter)).await.unwrap(), Sent::AtLeastOnce);
        reading.remove(&letter.id).await.unwrap();
    }
    assert!(matches!(reading.remove(&again[0].id).await, Err(Error::NotAsked(_))));
    reading.close().await.unwrap();
    wait_for_length(channel, place, 1).await;
    wait_for_length(channel, source, 301).await;

    let came = channel.basic_get(source.into(), BasicGetOptions::default()).await.unwrap().unwrap().delivery;
    let headers = came.properties.headers().clone().unwrap();
    assert_eq!(headers.inner().get("x-retry"), Some(&AMQPValue::LongInt(7)), "a number stays one");
    assert!(!headers.contains_key("x-death") && !headers.contains_key("x-first-death-queue"));
    assert_eq!(came.properties.correlation_id().as_ref().unwrap().as_str(), "c");
    assert_eq!(came.properties.message_id().as_ref().unwrap().as_str(), back(&again[0]).idempotency_key);
    channel.basic_ack(came.delivery_tag, BasicAckOptions::default()).await.unwrap();
}

async fn a_look_that_could_cost_a_letter_is_refused(rabbitmq: &Rabbitmq) {
    let (_connection, channel) = connect(rabbitmq).await;
    let system = System::new(managed(rabbitmq)).unwrap();
    let letters = system.dead_letters().unwrap();
    for _ in 0..5 {
        let Err(Error::NotAsked(why)) = letters.open("limited.dlq").await else { panic!("a look at a limited queue") };
        assert!(why.contains("delivery limit of 3") && why.contains("hint: rabbitmqctl set_policy"), "{why}");
    }
    assert_eq!(length(&channel, "limited.dlq").await, 1, "it is still there");
    assert!(letters.open("gone").await.is_err());
}

/// A letter that the broker confirmed survives its crash. One that was dead-lettered without a confirm may not, and one
/// that was removed just before may come back: neither is told apart here.
async fn a_restart_in_the_middle_loses_nothing(rabbitmq: &mut Rabbitmq) {
    let system = System::new(managed(rabbitmq)).unwrap();
    let letters = system.dead_letters().unwrap();
    for (place, origin) in [("orders.graveyard", "orders"), ("payments.dlq", "payments")] {
        let (_connection, channel) = connect(rabbitmq).await;
        publish(&channel, place, "survivor", BasicProperties::default().with_message_id("survivor".into())).await;
        let survivor = |letters: Vec<Letter>| letters.into_iter().find(|letter| letter.message_id == "survivor");

        let mut reading = letters.open(place).await.unwrap();
        let found = survivor(all(&mut *reading).await).unwrap();
        let outgoing = Outgoing { to: origin.to_owned(), ..back(&found) };
        assert_eq!(reading.send(&outgoing).await.unwrap(), Sent::AtLeastOnce);
        rabbitmq.restart().unwrap();
        assert!(reading.remove(&found.id).await.is_err(), "not removed, and said so");

        let mut reading = letters.open(place).await.unwrap();
        let again = survivor(all(&mut *reading).await).unwrap();
        assert_eq!(again.id, found.id);
        reading.remove(&again.id).await.unwrap();
        reading.close().await.unwrap();
        let mut reading = letters.open(place).await.unwrap();
        assert!(survivor(all(&mut *reading).await).is_none(), "removed for good");
        reading.close().await.unwrap();

        let (_connection, channel) = connect(rabbitmq).await;
        let key = outgoing.idempotency_key;
        let no_ack = BasicGetOptions { no_ack: true };
        loop {
            let got = channel.basic_get(origin.into(), no_ack).await.unwrap().unwrap();
            if got.delivery.properties.message_id().as_ref().is_some_and(|id| id.as_str() == key) {
                break;
            }
        }
    }
}

async fn an_alarm_blocks_and_is_named(rabbitmq: &mut Rabbitmq) {
    let file = rabbitmq.folder().unwrap().join("rabbitmq.conf");
    let lines = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        format!("{lines}vm_memory_high_watermark.absolute = 1MB\ndisk_free_limit.absolute = 1000000GB\n"),
    )
    .unwrap();
    rabbitmq.restart().unwrap();
    let system = System::new(SystemConfig { timeout: Duration::from_secs(5), ..managed(rabbitmq) }).unwrap();
    let full = |report: &ProbeReport| {
        let why = check(report, "", "alarms").reason;
        why.contains("memory alarm on") && why.contains("the disk is too full on")
    };
    let report = until(&system, full).await;
    assert_eq!(check(&report, "", "alarms").standing, Standing::Fail);
    let write = check(&report, "", "write");
    assert!(write.standing == Standing::Fail && write.reason.contains("publishers are blocked"), "{write:?}");
    assert_eq!(check(&report, "", "connect").standing, Standing::Pass);
}
