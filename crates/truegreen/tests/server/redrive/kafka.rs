//! Letters sent back on Kafka: on the mock cluster of its client, whose brokers go and come back with all that they held. The
//! broker without a JVM that other tests use keeps all in memory, so that a restart of it would lose everything.

use std::time::{Duration, Instant};

use truegreen_fixture::KafkaMock;
use truegreen_fixture::rdkafka::config::ClientConfig;
use truegreen_fixture::rdkafka::consumer::{BaseConsumer, Consumer as _};
use truegreen_fixture::rdkafka::message::{Header, Message as _, OwnedHeaders};
use truegreen_fixture::rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use truegreen_fixture::rdkafka::{Offset, TopicPartitionList};

use super::trial::{self, Bed, Copies, body, names};
use crate::support::PATIENCE;

const PARTITIONS: i32 = 4;
/// In which the command remembers what it removed, since Kafka removes no single record.
const GROUP: &str = "truegreen-dlq-orders.dead";

fn told(url: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", url.trim_start_matches("kafka://")).set("group.id", GROUP);
    config.set("enable.auto.commit", "false").set("reconnect.backoff.max.ms", "200");
    config
}

fn die(url: &str, names: &[String]) {
    let producer: BaseProducer = told(url).create().unwrap();
    for (n, name) in names.iter().enumerate() {
        let headers = OwnedHeaders::new().insert(Header { key: "kafka_dlt-original-topic", value: Some("orders") });
        let (body, partition) = (body(name), n as i32 % PARTITIONS);
        let record = BaseRecord::to("orders.dead").partition(partition).key(name).payload(&body).headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
    }
    producer.flush(PATIENCE).unwrap();
}

/// Every record of a topic from these offsets on, to where it ended when it was asked.
fn records(url: &str, topic: &str, from: impl Fn(i32, i64) -> i64) -> Copies {
    let consumer: BaseConsumer = told(url).create().unwrap();
    let (mut list, mut wanted) = (TopicPartitionList::new(), 0);
    for partition in 0..PARTITIONS {
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap();
        let from = from(partition, low);
        wanted += high - from;
        list.add_partition_offset(topic, partition, Offset::Offset(from)).unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut bodies, began) = (Vec::new(), Instant::now());
    while (bodies.len() as i64) < wanted {
        assert!(began.elapsed() < PATIENCE, "{} of {wanted} records of {topic}", bodies.len());
        // A broker that just came back is asked again.
        if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
            bodies.push(String::from_utf8(record.payload().unwrap().to_vec()).unwrap());
        }
    }
    names(bodies.iter().map(String::as_str))
}

/// What lies behind the committed offset of the group that remembers.
fn dead(url: &str) -> Copies {
    let consumer: BaseConsumer = told(url).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range("orders.dead", 0, PARTITIONS - 1);
    let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
    let committed = committed.elements_for_topic("orders.dead");
    let from = |partition, low| {
        let own = committed.iter().find(|element| element.partition() == partition);
        own.and_then(|element| element.offset().to_raw()).filter(|offset| *offset >= 0).unwrap_or(low)
    };
    records(url, "orders.dead", from)
}

struct Mock(KafkaMock);

impl Bed for Mock {
    const DROPS_A_SECOND: bool = false;

    fn called(&self) -> String {
        "Kafka (librdkafka's mock cluster)".to_owned()
    }

    fn entry(&self) -> String {
        format!("{{url: '{}', dead_letters: [orders.dead], timeout: 20s}}", self.0.url())
    }

    fn die(&mut self, names: &[String]) {
        die(&self.0.url(), names);
    }

    fn restart(&mut self) {
        self.0.restart().unwrap();
    }

    fn dead(&mut self) -> Copies {
        dead(&self.0.url())
    }

    fn arrived(&mut self) -> Copies {
        records(&self.0.url(), "orders", |_, low| low)
    }
}

#[test]
fn kafka() {
    let mock = KafkaMock::start(1).unwrap();
    for topic in ["orders", "orders.dead"] {
        mock.cluster().create_topic(topic, PARTITIONS, 1).unwrap();
    }
    trial::stand(&mut Mock(mock));
}
