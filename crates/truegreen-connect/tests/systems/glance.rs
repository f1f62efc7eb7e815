//! What is under way, looked at on real servers without taking it from anybody.

use std::time::Duration;

use truegreen_connect::address::Surroundings;
use truegreen_connect::live::{Glance, MAX_MESSAGES};
use truegreen_connect::{Address, System, SystemConfig};
use truegreen_model::letter::Letter;

const MESSAGES: usize = MAX_MESSAGES + 30;

fn system(url: &str) -> System {
    System::new(SystemConfig::new("broker", Address::parse(url, &Surroundings).unwrap())).unwrap()
}

async fn glance(system: &System, place: &str) -> Glance {
    system.live().unwrap().glance(place).await.unwrap()
}

/// The last messages, the newest first, and whether there are more.
async fn last(system: &System, place: &str) -> (Vec<Letter>, bool) {
    match glance(system, place).await {
        Glance::Messages { messages, is_cut, .. } => (messages, is_cut),
        other => panic!("{other:?}"),
    }
}

fn body(n: usize) -> Vec<u8> {
    format!("{{\"order\":\"o-{n}\"}}").into_bytes()
}

async fn assert_the_last_are_shown(system: &System, place: &str) {
    let (messages, is_cut) = last(system, place).await;
    assert_eq!((messages.len(), is_cut), (MAX_MESSAGES, true));
    assert_eq!(messages[0].body, body(MESSAGES - 1), "the newest first");
    assert_eq!(messages[MAX_MESSAGES - 1].body, body(MESSAGES - MAX_MESSAGES));
    assert!(!messages[0].died_at.is_empty(), "when it was stored: {:?}", messages[0]);
    assert_eq!(glance(system, "nothing-of-that-name").await, Glance::Nothing);
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn entries_of_a_stream() {
    let redis = truegreen_fixture::Redis::start().unwrap();
    let mut client = ::redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let mut entries = ::redis::pipe();
    for n in 0..MESSAGES {
        entries.cmd("XADD").arg("orders").arg("*").arg("body").arg(body(n)).ignore();
    }
    entries.query::<()>(&mut client).unwrap();
    ::redis::cmd("XGROUP").arg("CREATE").arg("orders").arg("stock").arg("0").query::<()>(&mut client).unwrap();
    let asked = system(&redis.url());
    assert_the_last_are_shown(&asked, "orders").await;
    let (by_group, _) = last(&asked, "orders/stock").await;
    assert_eq!(by_group.len(), MAX_MESSAGES);
    ::redis::cmd("SET").arg("plain").arg("1").query::<()>(&mut client).unwrap();
    assert_eq!(glance(&asked, "plain").await, Glance::Nothing);
    ::redis::cmd("XTRIM").arg("orders").arg("MAXLEN").arg(50).query::<()>(&mut client).unwrap();
    let (whole, is_cut) = last(&asked, "orders").await;
    assert_eq!((whole.len(), is_cut), (50, false), "as many as are asked for at once");
    let pending: Vec<::redis::Value> =
        ::redis::cmd("XPENDING").arg("orders").arg("stock").arg("-").arg("+").arg(10).query(&mut client).unwrap();
    assert!(pending.is_empty(), "nothing was taken");
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_stream_also_by_their_subject() {
    let server = truegreen_fixture::Nats::start().unwrap();
    let context = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let config = async_nats::jetstream::stream::Config {
        name: "ORDERS".into(),
        subjects: vec!["orders.>".into()],
        ..Default::default()
    };
    let stream = context.create_stream(config).await.unwrap();
    for n in 0..MESSAGES {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("traceparent", "00-a-b-01");
        context.publish_with_headers("orders.placed", headers, body(n).into()).await.unwrap().await.unwrap();
    }
    let asked = system(&server.url());
    assert_the_last_are_shown(&asked, "ORDERS").await;
    let (by_subject, _) = last(&asked, "orders.placed").await;
    assert_eq!((by_subject.len(), by_subject[0].traceparent.as_str()), (MAX_MESSAGES, "00-a-b-01"));
    stream.delete_message(MESSAGES as u64).await.unwrap();
    let (with_a_hole, _) = last(&asked, "ORDERS/stock").await;
    assert_eq!(with_a_hole[0].body, body(MESSAGES - 2));
}

#[cfg(feature = "kafka")]
#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_topic() {
    use rdkafka::ClientConfig;
    use rdkafka::producer::{FutureProducer, FutureRecord};

    let cluster = truegreen_fixture::KafkaMock::start(1).unwrap();
    let url = cluster.url();
    cluster.cluster().create_topic("orders", 1, 1).unwrap();
    let mut told = ClientConfig::new();
    told.set("bootstrap.servers", url.trim_start_matches("kafka://"));
    let producer: FutureProducer = told.create().unwrap();
    let mut sent = Vec::new();
    for n in 0..MESSAGES {
        let record = FutureRecord::<(), _>::to("orders").partition(0);
        let payload = body(n);
        sent.push(producer.send_result(record.payload(&payload)).map_err(|(error, _)| error).unwrap());
    }
    for one in sent {
        one.await.unwrap().unwrap();
    }
    let asked = system(&url);
    assert_the_last_are_shown(&asked, "orders").await;
    let (by_group, _) = last(&asked, "orders/stock").await;
    assert_eq!(by_group.len(), MAX_MESSAGES);
}

#[cfg(feature = "rabbitmq")]
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_counted_and_not_read() {
    use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
    use lapin::types::FieldTable;
    use lapin::{BasicProperties, Connection, ConnectionProperties};

    let rabbitmq = truegreen_fixture::Rabbitmq::start().unwrap();
    let connection = Connection::connect(&rabbitmq.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await.unwrap();
    channel.queue_declare("orders".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let published = channel.basic_publish("".into(), "orders".into(), options, b"{}", properties).await.unwrap();
    assert!(published.await.unwrap().is_ack());

    let asked = system(&rabbitmq.url());
    let began = std::time::Instant::now();
    loop {
        match glance(&asked, "orders").await {
            Glance::Counted { waiting: 1, consumers: 0, .. } => break,
            other => assert!(began.elapsed() < Duration::from_secs(60), "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(glance(&asked, "nothing-of-that-name").await, Glance::Nothing);
}
