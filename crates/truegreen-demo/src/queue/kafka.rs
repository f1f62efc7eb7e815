//! Kafka: a topic with its partitions, one consumer group, offsets committed once a message is settled.
//!
//! A log settles no single message: what is put back is read again from its offset on, and all that comes after it in its
//! partition waits.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::runtime::Handle;
use truegreen_connect::Address;

use super::held::{Before, Held};
use super::{Delivery, Named, Publication, Queue, Sent, TOPICS, Topic};
use crate::Error;
use crate::database::UnitOfWork;
use crate::messaging::KAFKA;

const PATIENCE: Duration = Duration::from_secs(10);
/// How long a group may take to come together before it is no longer waited for, and how often it is looked.
const JOINED_WITHIN: Duration = Duration::from_secs(25);
const JOIN_LOOK: Duration = Duration::from_millis(100);
const DEFAULT_PORT: u16 = 9092;
/// Messages taken from the client at once, and kept at most; what is more waits there, within its own bounds.
const FETCHED_AT_ONCE: usize = 64;
const MAX_FETCHED: usize = 1_024;

pub(crate) struct KafkaQueue {
    runtime: Handle,
    address: Address,
    named: Named,
    producer: Option<FutureProducer>,
    reading: HashMap<&'static str, Reading>,
    held: Held<OwnedMessage>,
}

/// A member of the group that reads one topic.
struct Reading {
    consumer: BaseConsumer,
    fetched: HashMap<u8, VecDeque<OwnedMessage>>,
}

impl Reading {
    /// The next message of a partition, if there is one.
    fn next(&mut self, partition: u8) -> Result<Option<OwnedMessage>, KafkaError> {
        let room = MAX_FETCHED.saturating_sub(self.fetched.values().map(VecDeque::len).sum());
        for _ in 0..room.min(FETCHED_AT_ONCE) {
            if !self.fetch(Duration::ZERO)? {
                break;
            }
        }
        Ok(self.fetched.get_mut(&partition).and_then(VecDeque::pop_front))
    }

    /// Whether there was one.
    fn fetch(&mut self, wait: Duration) -> Result<bool, KafkaError> {
        let Some(polled) = self.consumer.poll(wait) else { return Ok(false) };
        let message = polled?.detach();
        if let Ok(of) = u8::try_from(message.partition()) {
            self.fetched.entry(of).or_default().push_back(message);
        }
        Ok(true)
    }

    /// Reads on from this message.
    fn seek_back(&mut self, partition: u8, to: &OwnedMessage) -> Result<(), KafkaError> {
        self.fetched.remove(&partition);
        self.consumer.seek(to.topic(), to.partition(), Offset::Offset(to.offset()), PATIENCE)
    }

    fn commit(&self, message: &OwnedMessage) -> Result<(), KafkaError> {
        let mut after = TopicPartitionList::new();
        after.add_partition_offset(message.topic(), message.partition(), Offset::Offset(message.offset() + 1))?;
        self.consumer.commit(&after, CommitMode::Sync)
    }
}

fn config(address: &Address) -> ClientConfig {
    let port = address.secret_url().port().unwrap_or(DEFAULT_PORT);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", format!("{}:{port}", address.host())).set("client.id", "truegreen-demo");
    config
}

fn named(run: &str) -> Named {
    Named { system: KAFKA, run: Some(run.to_owned()) }
}

/// Topic of a topic's dead letters, as Spring calls them.
fn dead(topic: Topic, named: &Named) -> String {
    format!("{}-dlt", named.of(topic))
}

fn failed(address: &Address, action: &'static str, why: &str) -> Error {
    Error::Part { part: address.to_string(), action, why: address.without_secrets(why), code: None, kind: "broker" }
}

fn administer(address: &Address, action: &'static str) -> Result<AdminClient<DefaultClientContext>, Error> {
    config(address).create().map_err(|error| failed(address, action, &error.to_string()))
}

/// Blocks; inside a tokio runtime.
///
/// # Errors
/// The broker does not answer, or does not let the user make topics.
pub(crate) fn create(address: &Address, run: &str) -> Result<(), Error> {
    let action = "make the topics";
    let (client, named) = (administer(address, action)?, named(run));
    let names: Vec<(String, i32)> = TOPICS
        .into_iter()
        .flat_map(|topic| [(named.of(topic), i32::from(topic.partitions)), (dead(topic, &named), 1)])
        .collect();
    let topics: Vec<NewTopic<'_>> =
        names.iter().map(|(name, partitions)| NewTopic::new(name, *partitions, TopicReplication::Fixed(1))).collect();
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let made = Handle::current()
        .block_on(client.create_topics(&topics, &options))
        .map_err(|error| failed(address, action, &error.to_string()))?;
    made.into_iter().try_for_each(|made| {
        made.map(drop).map_err(|(topic, error)| failed(address, action, &format!("{topic}: {error}")))
    })
}

/// Blocks; inside a tokio runtime.
///
/// # Errors
/// The broker does not answer.
pub(crate) fn remove(address: &Address, run: &str) -> Result<(), Error> {
    let action = "remove the topics";
    let (client, named) = (administer(address, action)?, named(run));
    let names: Vec<String> = TOPICS.into_iter().flat_map(|topic| [named.of(topic), dead(topic, &named)]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let runtime = Handle::current();
    let removed = runtime
        .block_on(client.delete_topics(&names, &options))
        .map_err(|error| failed(address, action, &error.to_string()))?;
    // A group that is left over has nothing to read, and is forgotten by the broker itself.
    let groups = TOPICS.map(|topic| named.group(topic.group()));
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let _forgotten = runtime.block_on(client.delete_groups(&groups, &options));
    removed.into_iter().try_for_each(|removed| {
        removed.map(drop).map_err(|(topic, error)| failed(address, action, &format!("{topic}: {error}")))
    })
}

impl KafkaQueue {
    /// Its methods block; inside a tokio runtime.
    pub(crate) fn open(address: &Address, run: &str) -> Result<KafkaQueue, Error> {
        Ok(KafkaQueue {
            runtime: Handle::current(),
            address: address.clone(),
            named: named(run),
            producer: None,
            reading: HashMap::new(),
            held: Held::new(),
        })
    }

    fn reading(&mut self, topic: Topic) -> Result<&mut Reading, Error> {
        let place = topic.name;
        if !self.reading.contains_key(place) {
            let (name, group) = (self.named.of(topic), self.named.group(topic.group()));
            let mut config = config(&self.address);
            config
                .set("group.id", group)
                .set("enable.auto.commit", "false")
                .set("auto.offset.reset", "earliest")
                // By the answer to a heartbeat a member learns that its group comes together anew.
                .set("heartbeat.interval.ms", "500")
                .set("fetch.wait.max.ms", "100");
            let consumer: BaseConsumer =
                config.create().map_err(|error| failed(&self.address, "join the group", &error.to_string()))?;
            consumer
                .subscribe(&[&name])
                .map_err(|error| failed(&self.address, "join the group", &error.to_string()))?;
            self.reading.insert(place, Reading { consumer, fetched: HashMap::new() });
        }
        self.reading.get_mut(place).ok_or(Error::Unconfirmed)
    }

    fn on_topic<T>(
        &mut self,
        topic: Topic,
        action: &'static str,
        work: impl FnOnce(&mut Reading) -> Result<T, KafkaError>,
    ) -> Result<T, Error> {
        let done = work(self.reading(topic)?);
        done.map_err(|error| failed(&self.address, action, &error.to_string()))
    }

    /// Partition and offset.
    fn send(
        &mut self,
        action: &'static str,
        topic: &str,
        partition: i32,
        key: &str,
        headers: OwnedHeaders,
        body: &str,
    ) -> Result<(i32, i64), Error> {
        let producer = match &mut self.producer {
            Some(producer) => producer,
            none => {
                let mut config = config(&self.address);
                config.set("message.timeout.ms", PATIENCE.as_millis().to_string()).set("linger.ms", "0");
                let made = config.create::<FutureProducer>();
                none.insert(made.map_err(|error| failed(&self.address, action, &error.to_string()))?)
            }
        };
        let record = FutureRecord::to(topic).partition(partition).key(key).payload(body).headers(headers);
        let sent = self.runtime.block_on(producer.send(record, PATIENCE));
        sent.map(|sent| (sent.partition, sent.offset))
            .map_err(|(error, _)| failed(&self.address, action, &error.to_string()))
    }

    /// Takes what is held for this delivery.
    fn take(&mut self, topic: Topic, delivery: &Delivery) -> Option<OwnedMessage> {
        self.held.take(topic, delivery.partition, |held| held.offset() == delivery.receipt)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Queue for KafkaQueue {
    fn named(&self) -> Named {
        self.named.clone()
    }

    /// Until the group has given it a partition: a group takes seconds to come together.
    fn join(&mut self, topic: Topic) -> Result<(), Error> {
        let began = Instant::now();
        self.on_topic(topic, "join the group", |reading| {
            while reading.consumer.assignment()?.count() == 0 && began.elapsed() < JOINED_WITHIN {
                // What comes with it is kept.
                reading.fetch(JOIN_LOOK)?;
            }
            Ok(())
        })
    }

    fn publish(&mut self, _: Option<&dyn UnitOfWork>, message: &Publication<'_>) -> Result<Sent, Error> {
        let mut headers = OwnedHeaders::new();
        for (name, value) in message.headers {
            headers = headers.insert(Header { key: name, value: Some(value) });
        }
        let (topic, partition) = (self.named.of(message.topic), i32::from(message.partition));
        let (partition, offset) =
            self.send("publish a message", &topic, partition, message.key, headers, message.body)?;
        Ok(Sent { id: format!("{partition}-{offset}") })
    }

    fn claim(&mut self, topic: Topic, partition: u8, now_ms: i64) -> Result<Option<Delivery>, Error> {
        match self.held.before(topic, partition, now_ms) {
            Before::Nothing => {}
            Before::Leased => return Ok(None),
            Before::Expired(late) => {
                self.on_topic(topic, "put a message back", |reading| reading.seek_back(partition, &late))?;
            }
        }
        let Some(message) = self.on_topic(topic, "claim a message", |reading| reading.next(partition))? else {
            return Ok(None);
        };
        let headers = message.headers().map(|headers| {
            headers.iter().filter_map(|header| Some((header.key.to_owned(), text(header.value?)))).collect()
        });
        let delivery = Delivery {
            id: format!("{partition}-{}", message.offset()),
            receipt: message.offset(),
            partition,
            key: message.key().map(text).unwrap_or_default(),
            headers: headers.unwrap_or_default(),
            body: message.payload().map(text).unwrap_or_default(),
            // A log does not count them.
            deliveries: 1,
        };
        self.held.hold(topic, partition, message, now_ms);
        Ok(Some(delivery))
    }

    fn acknowledge(&mut self, topic: Topic, delivery: &Delivery) -> Result<bool, Error> {
        let Some(message) = self.take(topic, delivery) else { return Ok(false) };
        self.on_topic(topic, "commit an offset", |reading| reading.commit(&message))?;
        Ok(true)
    }

    fn put_back(&mut self, topic: Topic, delivery: &Delivery) -> Result<bool, Error> {
        let Some(message) = self.take(topic, delivery) else { return Ok(false) };
        self.on_topic(topic, "put a message back", |reading| reading.seek_back(delivery.partition, &message))?;
        Ok(true)
    }

    /// With the headers that Spring writes: its numbers are big-endian.
    fn put_aside(&mut self, topic: Topic, delivery: &Delivery, reason: &str) -> Result<bool, Error> {
        let Some(message) = self.take(topic, delivery) else { return Ok(false) };
        let group = self.named.group(topic.group());
        let mut headers = message.headers().cloned().unwrap_or_else(OwnedHeaders::new);
        for (key, value) in [
            ("kafka_dlt-original-topic", message.topic().as_bytes()),
            ("kafka_dlt-original-partition", &message.partition().to_be_bytes()),
            ("kafka_dlt-original-offset", &message.offset().to_be_bytes()),
            ("kafka_dlt-original-timestamp", &message.timestamp().to_millis().unwrap_or_default().to_be_bytes()),
            ("kafka_dlt-original-timestamp-type", b"CreateTime"),
            ("kafka_dlt-original-consumer-group", group.as_bytes()),
            ("kafka_dlt-exception-fqcn", b"Unfit"),
            ("kafka_dlt-exception-message", reason.as_bytes()),
        ] {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let to = dead(topic, &self.named);
        self.send("put a message aside", &to, 0, &delivery.key, headers, &delivery.body)?;
        self.on_topic(topic, "commit an offset", |reading| reading.commit(&message))?;
        Ok(true)
    }

    /// From what the group committed to what was written.
    fn depth(&mut self, topic: Topic) -> Result<u64, Error> {
        let (name, group) = (self.named.of(topic), self.named.group(topic.group()));
        let action = "count the open messages";
        let told = |error: KafkaError| failed(&self.address, action, &error.to_string());
        // It asks of the group without being one of it.
        let asking: BaseConsumer = config(&self.address).set("group.id", group).create().map_err(told)?;
        let mut partitions = TopicPartitionList::new();
        for partition in 0..topic.partitions {
            partitions.add_partition(&name, i32::from(partition));
        }
        let committed = asking.committed_offsets(partitions, PATIENCE).map_err(told)?;
        let mut open = 0;
        for element in committed.elements() {
            let (low, high) = asking.fetch_watermarks(&name, element.partition(), PATIENCE).map_err(told)?;
            let from = match element.offset() {
                Offset::Offset(offset) => offset.max(low),
                _ => low,
            };
            open += u64::try_from(high - from).unwrap_or_default();
        }
        Ok(open)
    }
}
