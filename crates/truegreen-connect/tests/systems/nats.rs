//! NATS, on real servers: one, and three that keep three copies.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, in what its tests share too")]

use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, consumer, stream};
use futures_util::StreamExt as _;
use truegreen_connect::address::Surroundings;
use truegreen_connect::config::Limit;
use truegreen_connect::dead_letters::{Outgoing, Sent};
use truegreen_connect::{Address, Error, System, SystemConfig};
use truegreen_fixture::{Nats, NatsCluster};
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

fn letter_of(subject: &str, key: &str) -> Outgoing {
    Outgoing {
        to: subject.to_owned(),
        key: String::new(),
        headers: vec![("order".to_owned(), "o-1".to_owned())],
        body: b"{}".to_vec(),
        idempotency_key: key.to_owned(),
    }
}

async fn jetstream_of(server: &Nats) -> jetstream::Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

async fn publish(context: &jetstream::Context, subject: &'static str, count: usize) {
    for index in 0..count {
        context.publish(subject, format!("{{\"n\":{index}}}").into()).await.unwrap().await.unwrap();
    }
}

/// Probes until a report is so, within a bound.
async fn until(system: &System, mut is_so: impl FnMut(&ProbeReport) -> bool) -> ProbeReport {
    let began = Instant::now();
    loop {
        let report = probe(system).await;
        if is_so(&report) {
            return report;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "never so: {:#?}", report.checks);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_of_not_being_reached_is_told_apart() {
    let quick = |config: &mut SystemConfig| config.timeout = Duration::from_millis(1500);

    let report = probe(&system("nats://127.0.0.1:1", quick)).await;
    let reason = &check(&report, "", "connect").reason;
    assert!(reason.starts_with("cannot be reached:") && reason.contains("refused"), "{reason}");

    // Accepts, and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    let report = probe(&system(&format!("nats://{}", silent.local_addr().unwrap()), quick)).await;
    assert_eq!(check(&report, "", "connect").reason, "did not answer its greeting within 1500 ms");
    assert!(began.elapsed() < Duration::from_secs(10));

    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", other.local_addr().unwrap());
    let speaks = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
        stream
    });
    let report = probe(&system(&url, quick)).await;
    let reason = &check(&report, "", "connect").reason;
    assert!(reason.contains("makes no sense") && reason.contains("is this the port of NATS?"), "{reason}");
    speaks.join().unwrap();

    let server = Nats::start_with("authorization { user: shop, password: right }\njetstream {}\n").unwrap();
    let at = server.port();
    let report = probe(&system(&format!("nats://shop:s3cret@127.0.0.1:{at}"), quick)).await;
    let reason = &check(&report, "", "connect").reason;
    assert!(reason.starts_with("does not let us:") && !reason.contains("s3cret"), "{reason}");
    let report = probe(&system(&format!("nats://shop:right@127.0.0.1:{at}"), quick)).await;
    assert_eq!(report.standing, Standing::Pass, "{:#?}", report.checks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_jetstream_is_not_well() {
    let server = Nats::start_with("").unwrap();
    let report = probe(&system(&server.url(), |_| ())).await;
    assert_eq!(check(&report, "", "connect").standing, Standing::Pass);
    let said = check(&report, "", "jetstream");
    assert!(said.standing == Standing::Fail && said.reason.contains("JetStream is not enabled"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_may_not_ask_is_said_to_be_denied() {
    let server = Nats::start_with(
        "authorization { users: [ { user: shop, password: right, permissions: { publish: [\"$JS.API.INFO\"], \
         subscribe: \"_INBOX.>\" } } ] }\njetstream {}\n",
    )
    .unwrap();
    let url = format!("nats://shop:right@127.0.0.1:{}", server.port());
    let report = probe(&system(&url, |config| config.timeout = Duration::from_millis(1500))).await;
    let said = check(&report, "", "streams");
    assert!(said.reason.starts_with("does not let us:") && said.reason.contains("STREAM.LIST"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_and_consumers_are_told_as_they_are() {
    let mut server = Nats::start().unwrap();
    let context = jetstream_of(&server).await;
    let config = stream::Config {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        max_messages: 20,
        discard: stream::DiscardPolicy::New,
        ..Default::default()
    };
    let orders = context.create_stream(config).await.unwrap();
    publish(&context, "orders.placed", 18).await;
    let pulls = consumer::pull::Config {
        durable_name: Some("stock".into()),
        max_deliver: 3,
        max_ack_pending: 5,
        ..Default::default()
    };
    let pulls = orders.create_consumer(pulls).await.unwrap();
    let push = consumer::push::Config {
        durable_name: Some("mail".into()),
        deliver_subject: "deliver.mail".into(),
        ..Default::default()
    };
    orders.create_consumer(push).await.unwrap();

    let monitoring = Address::parse(&server.monitoring_url(), &Surroundings).unwrap();
    let asked = system(&server.url(), |config| {
        config.management = Some(monitoring);
        config.scratch = Some("TRUEGREEN_SCRATCH".into());
        config.watch = vec!["ORDERS".into()];
        config.limits.insert("standing".into(), Limit::new(0.2, 600.0));
    });
    let report = probe(&asked).await;
    assert_eq!(check(&report, "", "write").standing, Standing::Pass);
    assert_eq!(check(&report, "", "slow_consumers").standing, Standing::Pass);
    let room = check(&report, "stream ORDERS", "messages");
    assert_eq!((room.standing, room.observed.as_ref().unwrap().value), (Standing::Warn, 18.0));
    assert!(room.reason.contains("18 of at most 20, and more is refused"), "{}", room.reason);
    let blind = check(&report, "stream ORDERS", "dead_letters");
    assert!(blind.reason.contains("consumer stock gives a message up after 3 deliveries"), "{}", blind.reason);
    let nobody = check(&report, "consumer ORDERS/mail", "interest");
    assert!(nobody.standing == Standing::Fail && nobody.reason.contains("deliver.mail"), "{nobody:?}");
    assert_eq!(check(&report, "consumer ORDERS/stock", "lag_messages").observed.as_ref().unwrap().value, 18.0);
    // The broker itself tells how old the oldest is, also at the first look; whether it moves cannot be told yet.
    assert_eq!(check(&report, "consumer ORDERS/stock", "lag_seconds").standing, Standing::Pass);
    assert_eq!(check(&report, "consumer ORDERS/stock", "standing").standing, Standing::Unknown);
    assert_eq!(check(&report, "consumer ORDERS/mail", "standing").standing, Standing::Warn);

    // Five are fetched and never acknowledged: it is full, and stands still.
    let mut messages = pulls.fetch().max_messages(5).messages().await.unwrap();
    let mut fetched = Vec::new();
    while let Some(message) = messages.next().await {
        fetched.push(message.unwrap());
    }
    assert_eq!(fetched.len(), 5);
    let report =
        until(&asked, |report| check(report, "consumer ORDERS/stock", "standing").standing == Standing::Warn).await;
    let still = check(&report, "consumer ORDERS/stock", "standing");
    assert!(still.reason.starts_with("consumer stock stands still at offset 1 of ORDERS since "), "{}", still.reason);
    let full = check(&report, "consumer ORDERS/stock", "ack_pending");
    assert!(full.standing == Standing::Fail && full.reason.contains("no more is given out"), "{full:?}");

    // It moves as soon as it acknowledges.
    for message in &fetched {
        message.double_ack().await.unwrap();
    }
    let report = probe(&asked).await;
    assert_eq!(check(&report, "consumer ORDERS/stock", "lag_messages").observed.as_ref().unwrap().value, 13.0);
    assert_eq!(check(&report, "consumer ORDERS/stock", "standing").standing, Standing::Pass);

    // What stops is said to be gone, and found again when it is back.
    server.kill().unwrap();
    let report = probe(&asked).await;
    assert!(check(&report, "", "connect").reason.contains("refused"), "{:#?}", report.checks);
    server.restart().unwrap();
    // A killed server may have forgotten what was acknowledged just before: it is asked, not remembered.
    let report = probe(&asked).await;
    assert!(check(&report, "consumer ORDERS/stock", "lag_messages").observed.as_ref().unwrap().value >= 13.0);

    let gone = system(&server.url(), |config| config.watch = vec!["NOTHING".into(), "ORDERS/nobody".into()]);
    let report = probe(&gone).await;
    assert_eq!(check(&report, "stream NOTHING", "stream").reason, "there is no stream NOTHING");
    assert!(check(&report, "consumer ORDERS/nobody", "consumer").reason.contains("has no consumer nobody"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_found_by_its_advisory_and_sent_back() {
    let server = Nats::start().unwrap();
    let context = jetstream_of(&server).await;
    let config = |name: &str, subject: &str| stream::Config {
        name: name.into(),
        subjects: vec![subject.into()],
        ..Default::default()
    };
    let orders = context.create_stream(config("ORDERS", "orders.>")).await.unwrap();
    context.create_stream(config("ADVISORIES", "$JS.EVENT.ADVISORY.CONSUMER.*.>")).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("traceparent", "00-11111111111111111111111111111111-2222222222222222-01");
    context.publish_with_headers("orders.placed", headers, "{\"order\":1}".into()).await.unwrap().await.unwrap();
    publish(&context, "orders.placed", 1).await;
    let pulls = consumer::pull::Config {
        durable_name: Some("stock".into()),
        max_deliver: 1,
        ack_wait: Duration::from_millis(300),
        ..Default::default()
    };
    let pulls = orders.create_consumer(pulls).await.unwrap();
    let mut messages = pulls.fetch().max_messages(2).messages().await.unwrap();
    let first = messages.next().await.unwrap().unwrap();
    let second = messages.next().await.unwrap().unwrap();
    second.ack_with(jetstream::AckKind::Term).await.unwrap();
    drop(first);

    let asked = system(&server.url(), |_| ());
    let letters = asked.dead_letters().unwrap();
    let began = Instant::now();
    let found = loop {
        // A server tells that a message was given up when it is asked for more.
        let mut more = pulls.batch().max_messages(1).expires(Duration::from_millis(200)).messages().await.unwrap();
        let _nothing = tokio::time::timeout(Duration::from_millis(500), more.next()).await;
        let mut reading = letters.open("ADVISORIES").await.unwrap();
        let found = reading.next(10).await.unwrap();
        if found.len() == 2 {
            break found;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{found:?}");
    };
    let places = letters.places().await.unwrap();
    assert_eq!((places.len(), places[0].name.as_str(), places[0].letters), (1, "ADVISORIES", None));
    assert!(places[0].warning.contains("records of letters"), "{}", places[0].warning);
    let died = found.iter().find(|letter| letter.error_type == "max_deliveries").unwrap();
    assert_eq!(
        (died.origin.as_str(), died.body.as_slice(), died.deaths),
        ("orders.placed", b"{\"order\":1}".as_slice(), 1)
    );
    assert!(died.traceparent.starts_with("00-1111"));
    assert_eq!(died.error, "consumer stock of stream ORDERS was given it 1 times and never acknowledged it");
    assert!(found.iter().any(|letter| letter.error_type == "terminated"));

    let mut reading = letters.open("ADVISORIES").await.unwrap();
    let shown = reading.next(10).await.unwrap();
    let outgoing = letter_of(&died.origin, "redrive-1");
    assert_eq!(reading.send(&outgoing).await.unwrap(), Sent::Once);
    assert_eq!(reading.send(&outgoing).await.unwrap(), Sent::Already);
    reading.remove(&died.id).await.unwrap();
    // Removed already is removed.
    reading.remove(&died.id).await.unwrap();
    reading.close().await.unwrap();
    let mut reading = letters.open("ADVISORIES").await.unwrap();
    assert_eq!(reading.next(10).await.unwrap().len(), shown.len() - 1);

    // Where the message itself is gone the record is shown, and cannot be sent.
    orders.purge().await.unwrap();
    let mut reading = letters.open("ADVISORIES").await.unwrap();
    let left = reading.next(10).await.unwrap();
    assert!(left[0].is_cut && left[0].error.ends_with("is not there any more"), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_stream_outlives_a_crash_between_sending_and_removing() {
    let mut server = Nats::start().unwrap();
    let context = jetstream_of(&server).await;
    let config = |name: &str, subject: &str| stream::Config {
        name: name.into(),
        subjects: vec![subject.into()],
        ..Default::default()
    };
    context.create_stream(config("ORDERS", "orders.>")).await.unwrap();
    context.create_stream(config("ORDERS_DLQ", "dead.orders.>")).await.unwrap();
    publish(&context, "dead.orders.placed", 300).await;
    let asked = system(&server.url(), |_| ());
    let letters = asked.dead_letters().unwrap();
    let places = letters.places().await.unwrap();
    assert_eq!((places[0].name.as_str(), places[0].letters), ("ORDERS_DLQ", Some(300)));

    // Sent, and the server dies before the letter is removed; the redrive begins anew and finds it sent.
    let mut reading = letters.open("ORDERS_DLQ").await.unwrap();
    let first = reading.next(1).await.unwrap().remove(0);
    assert_eq!(reading.send(&letter_of("orders.placed", &first.id)).await.unwrap(), Sent::Once);
    server.kill().unwrap();
    assert!(matches!(reading.remove(&first.id).await, Err(Error::Unreachable(_) | Error::TimedOut { .. })));
    assert!(reading.send(&letter_of("orders.placed", "other")).await.is_err());
    server.restart().unwrap();
    let mut reading = letters.open("ORDERS_DLQ").await.unwrap();
    let mut count = 0;
    loop {
        let batch = reading.next(100).await.unwrap();
        if batch.is_empty() {
            break;
        }
        for letter in batch {
            let sent = reading.send(&letter_of("orders.placed", &letter.id)).await.unwrap();
            assert_eq!(sent, if letter.id == first.id { Sent::Already } else { Sent::Once });
            reading.remove(&letter.id).await.unwrap();
            count += 1;
        }
    }
    assert_eq!(count, 300);
    let context = jetstream_of(&server).await;
    let messages = |name: &'static str| {
        let context = context.clone();
        async move { context.get_stream(name).await.unwrap().cached_info().state.messages }
    };
    assert_eq!((messages("ORDERS").await, messages("ORDERS_DLQ").await), (300, 0));

    // Where nothing would keep it, nothing is confirmed; nor where somebody else answers.
    let mut reading = letters.open("ORDERS_DLQ").await.unwrap();
    let error = reading.send(&letter_of("nowhere", "k")).await.unwrap_err().to_string();
    assert!(error.contains("no stream takes it"), "{error}");
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut impostor = client.subscribe("impostor").await.unwrap();
    client.flush().await.unwrap();
    let answering = tokio::spawn(async move {
        let asked = impostor.next().await.unwrap();
        client.publish(asked.reply.unwrap(), "{}".into()).await.unwrap();
        client.flush().await.unwrap();
    });
    let error = reading.send(&letter_of("impostor", "k")).await.unwrap_err();
    assert!(matches!(error, Error::Nonsense(_)), "{error}");
    answering.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_copies_warn_and_a_lost_majority_fails() {
    let mut cluster = NatsCluster::start().unwrap();
    let context = jetstream_of(&cluster.nodes[0]).await;
    let config = stream::Config {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        num_replicas: 3,
        ..Default::default()
    };
    // A leader is elected some time after the start.
    let began = Instant::now();
    while let Err(error) = context.create_stream(config.clone()).await {
        assert!(began.elapsed() < Duration::from_secs(60), "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    publish(&context, "orders.placed", 3).await;
    let asked = system(&cluster.url(), |config| config.timeout = Duration::from_secs(3));
    let is = |report: &ProbeReport, standing| {
        report.checks.iter().any(|check| check.measurement == "replicas" && check.standing == standing)
    };
    until(&asked, |report| is(report, Standing::Pass)).await;

    // The one that we talk to stays.
    cluster.nodes[2].kill().unwrap();
    let report = until(&asked, |report| is(report, Standing::Warn)).await;
    let said = check(&report, "stream ORDERS", "replicas");
    assert!(said.reason.starts_with("2 of 3 copies are whole (node-2 "), "{said:?}");
    assert!(said.reason.ends_with("one more lost, and it stops"), "{said:?}");

    cluster.nodes[1].kill().unwrap();
    let report = until(&asked, |report| report.standing == Standing::Fail).await;
    assert_eq!(check(&report, "", "connect").standing, Standing::Pass);

    cluster.nodes[1].restart().unwrap();
    cluster.nodes[2].restart().unwrap();
    until(&asked, |report| is(report, Standing::Pass)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_is_told_as_one() {
    let server = Nats::start_with("jetstream {\n  max_file_store: 1MB\n}\n").unwrap();
    let context = jetstream_of(&server).await;
    let filler = stream::Config { name: "FILLER".into(), subjects: vec!["filler".into()], ..Default::default() };
    context.create_stream(filler).await.unwrap();
    let mut count = 0;
    while context.publish("filler", vec![b'x'; 50_000].into()).await.unwrap().await.is_ok() {
        count += 1;
        assert!(count < 100, "it never fills");
    }
    let report = probe(&system(&server.url(), |config| config.scratch = Some("TRUEGREEN_SCRATCH".into()))).await;
    let write = check(&report, "", "write");
    assert!(write.standing == Standing::Fail && write.reason.contains("resources"), "{report:#?}");
    assert_eq!(check(&report, "", "connect").standing, Standing::Pass);
}
