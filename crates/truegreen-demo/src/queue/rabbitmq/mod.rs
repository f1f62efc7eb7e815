//! RabbitMQ: an exchange for each topic and a durable queue for each of its partitions, publisher confirms, manual
//! acknowledgements, one message in the consumer's hands per queue.
//!
//! Classic queues: what is put back takes its old place, for ever. A quorum queue of RabbitMQ 4 gives up after twenty
//! deliveries, and would turn a stuck consumer into dead letters.

mod made;

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use tokio::runtime::Handle;
use truegreen_connect::Address;

use super::held::{Before, Held};
use super::{Delivery, Named, Publication, Queue, Sent, Topic};
use crate::Error;
use crate::database::UnitOfWork;
use made::{dead, exchange, queue};

pub(crate) use made::{create, remove};

const PATIENCE: Duration = Duration::from_secs(10);
/// How long a claim waits for what is on its way.
const ARRIVAL: Duration = Duration::from_millis(2);
/// `delivery_mode` of what outlives a restart of the broker.
const PERSISTENT: u8 = 2;

pub(crate) struct RabbitQueue {
    runtime: Handle,
    address: Address,
    run: String,
    /// None after it broke.
    line: Option<Line>,
    held: Held<lapin::message::Delivery>,
}

/// One connection: a channel that publishes, one that consumes.
struct Line {
    // The channels end with it.
    _connection: Connection,
    publishing: Channel,
    consuming: Channel,
    consumers: HashMap<(&'static str, u8), Consumer>,
}

impl Line {
    async fn open(address: &Address) -> lapin::Result<Line> {
        let connection = connect(address).await?;
        let publishing = connection.create_channel().await?;
        publishing.confirm_select(ConfirmSelectOptions::default()).await?;
        let consuming = connection.create_channel().await?;
        consuming.basic_qos(1, BasicQosOptions::default()).await?;
        Ok(Line { _connection: connection, publishing, consuming, consumers: HashMap::new() })
    }

    /// Whether the broker has it, in a queue.
    async fn send(
        &self,
        exchange: &str,
        routing_key: &str,
        body: &[u8],
        about: BasicProperties,
    ) -> lapin::Result<bool> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirmed =
            self.publishing.basic_publish(exchange.into(), routing_key.into(), options, body, about).await?.await?;
        Ok(matches!(confirmed, Confirmation::Ack(None)))
    }

    async fn next(
        &mut self,
        topic: Topic,
        partition: u8,
        run: &str,
    ) -> lapin::Result<Option<lapin::message::Delivery>> {
        let place = (topic.name, partition);
        if !self.consumers.contains_key(&place) {
            let (from, tag) = (queue(topic, partition, run), format!("{}-{}-{partition}", topic.group(), topic.name));
            let options = BasicConsumeOptions::default();
            let consumer =
                self.consuming.basic_consume(from.into(), tag.into(), options, FieldTable::default()).await?;
            self.consumers.insert(place, consumer);
        }
        let Some(consumer) = self.consumers.get_mut(&place) else { return Ok(None) };
        match tokio::time::timeout(ARRIVAL, consumer.next()).await {
            Ok(Some(delivery)) => delivery.map(Some),
            // Cancelled by the broker: it is begun anew.
            Ok(None) => {
                self.consumers.remove(&place);
                Ok(None)
            }
            Err(_) => Ok(None),
        }
    }
}

async fn connect(address: &Address) -> lapin::Result<Connection> {
    // A lone slash is meant as none: the host's default.
    let url = address.secret_url().as_str().trim_end_matches('/');
    Connection::connect(url, ConnectionProperties::default().with_connection_name("truegreen-demo".into())).await
}

impl RabbitQueue {
    /// Blocks; inside a tokio runtime, as all of its methods.
    pub(crate) fn open(address: &Address, run: &str) -> Result<RabbitQueue, Error> {
        let mut queue = RabbitQueue {
            runtime: Handle::current(),
            address: address.clone(),
            run: run.to_owned(),
            line: None,
            held: Held::new(),
        };
        queue.on_line("connect", async |_| Ok(()))?;
        Ok(queue)
    }

    /// Does `work` on the line, which is opened again after it broke.
    fn on_line<T>(
        &mut self,
        action: &'static str,
        work: impl AsyncFnOnce(&mut Line) -> lapin::Result<T>,
    ) -> Result<T, Error> {
        let (line, address) = (&mut self.line, &self.address);
        let done = self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, async {
                let line = match line {
                    Some(line) => line,
                    None => line.insert(Line::open(address).await?),
                };
                work(line).await
            })
            .await
        });
        let why = match done {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        self.line = None;
        self.held.clear();
        Err(failed(&self.address, action, &why))
    }

    /// Takes what is held for this delivery.
    fn take(&mut self, topic: Topic, delivery: &Delivery) -> Option<lapin::message::Delivery> {
        let receipt = delivery.receipt.unsigned_abs();
        self.held.take(topic, delivery.partition, |held| held.delivery_tag == receipt)
    }
}

fn failed(address: &Address, action: &'static str, why: &str) -> Error {
    Error::Part { part: address.to_string(), action, why: address.without_secrets(why), code: None, kind: "broker" }
}

const PUT_BACK: BasicNackOptions = BasicNackOptions { multiple: false, requeue: true };

impl Queue for RabbitQueue {
    fn named(&self) -> Named {
        Named { system: "rabbitmq", run: Some(self.run.clone()) }
    }

    fn publish(&mut self, _: Option<&dyn UnitOfWork>, message: &Publication<'_>) -> Result<Sent, Error> {
        let id = format!("{:016x}", fastrand::u64(..));
        let mut headers = FieldTable::default();
        for (name, value) in message.headers {
            headers.insert(name.as_str().into(), AMQPValue::LongString(value.as_bytes().into()));
        }
        let about = BasicProperties::default()
            .with_message_id(id.as_str().into())
            // What it is about: its key.
            .with_correlation_id(message.key.into())
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT)
            .with_timestamp(crate::database::now_ms().unsigned_abs() / 1_000)
            .with_headers(headers);
        let (to, key) = (exchange(message.topic, &self.run), message.partition.to_string());
        let body = message.body.as_bytes();
        match self.on_line("publish a message", async |line| line.send(&to, &key, body, about).await)? {
            true => Ok(Sent { id }),
            false => Err(Error::Unconfirmed),
        }
    }

    fn claim(&mut self, topic: Topic, partition: u8, now_ms: i64) -> Result<Option<Delivery>, Error> {
        match self.held.before(topic, partition, now_ms) {
            Before::Nothing => {}
            Before::Leased => return Ok(None),
            Before::Expired(late) => {
                let tag = late.delivery_tag;
                self.on_line("put a message back", async |line| line.consuming.basic_nack(tag, PUT_BACK).await)?;
            }
        }
        let run = self.run.clone();
        let next = self.on_line("claim a message", async |line| line.next(topic, partition, &run).await)?;
        let Some(message) = next else { return Ok(None) };
        let delivery = delivery(partition, &message);
        self.held.hold(topic, partition, message, now_ms);
        Ok(Some(delivery))
    }

    fn acknowledge(&mut self, topic: Topic, delivery: &Delivery) -> Result<bool, Error> {
        let Some(held) = self.take(topic, delivery) else { return Ok(false) };
        let tag = held.delivery_tag;
        self.on_line("acknowledge a message", async |line| {
            line.consuming.basic_ack(tag, BasicAckOptions::default()).await
        })?;
        Ok(true)
    }

    fn put_back(&mut self, topic: Topic, delivery: &Delivery) -> Result<bool, Error> {
        let Some(held) = self.take(topic, delivery) else { return Ok(false) };
        let tag = held.delivery_tag;
        self.on_line("put a message back", async |line| line.consuming.basic_nack(tag, PUT_BACK).await)?;
        Ok(true)
    }

    /// Published with the reason, as Spring's recoverer does, and acknowledged once that is confirmed: what the broker
    /// itself moves carries no reason, and is not confirmed.
    fn put_aside(&mut self, topic: Topic, delivery: &Delivery, reason: &str) -> Result<bool, Error> {
        let Some(held) = self.take(topic, delivery) else { return Ok(false) };
        let mut headers = held.properties.headers().clone().unwrap_or_default();
        for (name, value) in [
            ("x-exception-message", reason),
            ("x-original-exchange", held.exchange.as_str()),
            ("x-original-routingKey", held.routing_key.as_str()),
        ] {
            headers.insert(name.into(), AMQPValue::LongString(value.as_bytes().into()));
        }
        let about = held.properties.clone().with_headers(headers).with_delivery_mode(PERSISTENT);
        let to = dead(topic, &self.run);
        let tag = held.delivery_tag;
        let routing_key = held.routing_key.clone();
        let is_safe = self.on_line("put a message aside", async |line| {
            let is_safe = line.send(&to, routing_key.as_str(), &held.data, about).await?;
            if is_safe {
                line.consuming.basic_ack(tag, BasicAckOptions::default()).await?;
            } else {
                line.consuming.basic_nack(tag, PUT_BACK).await?;
            }
            Ok(is_safe)
        })?;
        if is_safe { Ok(true) } else { Err(Error::Unconfirmed) }
    }

    /// Without those in a consumer's hands, which only the management API counts.
    fn depth(&mut self, topic: Topic) -> Result<u64, Error> {
        let queues: Vec<ShortString> =
            (0..topic.partitions).map(|partition| queue(topic, partition, &self.run).into()).collect();
        self.on_line("count the open messages", async |line| {
            let mut open = 0;
            for name in queues {
                let options = QueueDeclareOptions::durable().passive();
                let declared = line.publishing.queue_declare(name, options, FieldTable::default()).await?;
                open += u64::from(declared.message_count());
            }
            Ok(open)
        })
    }
}

fn delivery(partition: u8, message: &lapin::message::Delivery) -> Delivery {
    let text = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned()).unwrap_or_default();
    let headers = message.properties.headers().iter().flat_map(|table| table.inner()).filter_map(|(name, value)| {
        let value = match value {
            AMQPValue::LongString(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
            AMQPValue::ShortString(value) => value.as_str().to_owned(),
            _ => return None,
        };
        Some((name.as_str().to_owned(), value))
    });
    Delivery {
        id: text(message.properties.message_id()),
        receipt: i64::try_from(message.delivery_tag).unwrap_or(i64::MAX),
        partition,
        key: text(message.properties.correlation_id()),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&message.data).into_owned(),
        deliveries: if message.redelivered { 2 } else { 1 },
    }
}
