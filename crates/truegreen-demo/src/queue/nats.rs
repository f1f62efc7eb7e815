//! NATS JetStream: a stream for each topic, with a subject for each partition and key, a durable pull consumer for each
//! partition that lets one message out at a time, and acknowledgements that are acknowledged.
//!
//! No message carries `Nats-Msg-Id`: what is published twice is there twice, as on the other brokers.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::message::AckKind;
use async_nats::jetstream::{self, Message, stream};
use futures_util::StreamExt;
use tokio::runtime::Handle;
use truegreen_connect::Address;

use super::held::{Before, Held};
use super::{Delivery, LEASE, Named, Publication, Queue, Sent, TOPICS, Topic};
use crate::Error;
use crate::database::UnitOfWork;

const PATIENCE: Duration = Duration::from_secs(10);

/// Any error of the client; they have no type in common.
type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) struct NatsQueue {
    runtime: Handle,
    address: Address,
    run: String,
    context: jetstream::Context,
    consumers: HashMap<(&'static str, u8), PullConsumer>,
    held: Held<Message>,
}

fn stream_of(topic: Topic, run: &str) -> String {
    format!("{}-{run}", topic.name)
}

/// Stream of a topic's dead letters; a stream's name has no dots.
fn dead(topic: Topic, run: &str) -> String {
    format!("{}-{run}-dead", topic.name)
}

fn durable(topic: Topic, partition: u8) -> String {
    format!("{}-{partition}", topic.group())
}

async fn connect(address: &Address) -> Result<jetstream::Context, Failure> {
    let options = async_nats::ConnectOptions::new().name("truegreen-demo").connection_timeout(PATIENCE);
    Ok(jetstream::new(options.connect(address.secret_url().as_str()).await?))
}

fn asked<T>(
    runtime: &Handle,
    address: &Address,
    action: &'static str,
    question: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Error> {
    let failed = |why: &str| Error::Part {
        part: address.to_string(),
        action,
        why: address.without_secrets(why),
        code: None,
        kind: "broker",
    };
    match runtime.block_on(async { tokio::time::timeout(PATIENCE, question).await }) {
        Ok(answer) => answer.map_err(|error| failed(&error.to_string())),
        Err(_) => Err(failed(&format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// Blocks; inside a tokio runtime.
///
/// # Errors
/// The server does not answer, or has no JetStream.
pub(crate) fn create(address: &Address, run: &str) -> Result<(), Error> {
    asked(&Handle::current(), address, "make the streams", async {
        let context = connect(address).await?;
        for topic in TOPICS {
            for name in [stream_of(topic, run), dead(topic, run)] {
                let subjects = vec![format!("{name}.>")];
                context.create_stream(stream::Config { name, subjects, ..stream::Config::default() }).await?;
            }
            for partition in 0..topic.partitions {
                let config = pull::Config {
                    durable_name: Some(durable(topic, partition)),
                    filter_subject: format!("{}.{partition}.>", stream_of(topic, run)),
                    ack_policy: AckPolicy::Explicit,
                    ack_wait: LEASE,
                    max_ack_pending: 1,
                    ..pull::Config::default()
                };
                context.create_consumer_on_stream(config, stream_of(topic, run)).await?;
            }
        }
        Ok(())
    })
}

/// Blocks; inside a tokio runtime.
///
/// # Errors
/// The server does not answer.
pub(crate) fn remove(address: &Address, run: &str) -> Result<(), Error> {
    asked(&Handle::current(), address, "remove the streams", async {
        let context = connect(address).await?;
        let mut removed = Ok(());
        for topic in TOPICS {
            for name in [stream_of(topic, run), dead(topic, run)] {
                // One that was never made keeps none of the others.
                removed = removed.and(context.delete_stream(name).await.map(drop));
            }
        }
        Ok(removed?)
    })
}

impl NatsQueue {
    /// Blocks; inside a tokio runtime, as all of its methods.
    pub(crate) fn open(address: &Address, run: &str) -> Result<NatsQueue, Error> {
        let runtime = Handle::current();
        let context = asked(&runtime, address, "connect", connect(address))?;
        Ok(NatsQueue {
            runtime,
            address: address.clone(),
            run: run.to_owned(),
            context,
            consumers: HashMap::new(),
            held: Held::new(),
        })
    }

    fn ask<T>(&self, action: &'static str, question: impl Future<Output = Result<T, Failure>>) -> Result<T, Error> {
        asked(&self.runtime, &self.address, action, question)
    }

    fn consumer(&mut self, topic: Topic, partition: u8) -> Result<PullConsumer, Error> {
        let place = (topic.name, partition);
        if let Some(consumer) = self.consumers.get(&place) {
            return Ok(consumer.clone());
        }
        let (name, stream) = (durable(topic, partition), stream_of(topic, &self.run));
        let found = self.context.get_consumer_from_stream(name, stream);
        let consumer: PullConsumer = self.ask("find a consumer", async { found.await.map_err(Failure::from) })?;
        self.consumers.insert(place, consumer.clone());
        Ok(consumer)
    }

    /// Takes what is held for this delivery.
    fn take(&mut self, topic: Topic, delivery: &Delivery) -> Option<Message> {
        let is_it = |held: &Message| held.info().is_ok_and(|info| sequence(info.stream_sequence) == delivery.receipt);
        self.held.take(topic, delivery.partition, is_it)
    }
}

fn sequence(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Queue for NatsQueue {
    fn named(&self) -> Named {
        Named { system: "nats", run: Some(self.run.clone()) }
    }

    fn publish(&mut self, _: Option<&dyn UnitOfWork>, message: &Publication<'_>) -> Result<Sent, Error> {
        let Publication { topic, partition, key, headers, body } = *message;
        let subject = format!("{}.{partition}.{key}", stream_of(topic, &self.run));
        let mut carried = HeaderMap::new();
        for (name, value) in headers {
            carried.insert(name.as_str(), value.as_str());
        }
        let body = body.to_owned().into_bytes().into();
        let sent = self.ask("publish a message", async {
            let confirmation = match carried.is_empty() {
                true => self.context.publish(subject, body).await?,
                false => self.context.publish_with_headers(subject, carried, body).await?,
            };
            Ok(confirmation.await?)
        })?;
        Ok(Sent { id: sent.sequence.to_string() })
    }

    fn claim(&mut self, topic: Topic, partition: u8, now_ms: i64) -> Result<Option<Delivery>, Error> {
        match self.held.before(topic, partition, now_ms) {
            Before::Nothing => {}
            // The server lets no other out, and would keep a question for it waiting.
            Before::Leased => return Ok(None),
            Before::Expired(late) => self.ask("put a message back", late.ack_with(AckKind::Nak(None)))?,
        }
        let consumer = self.consumer(topic, partition)?;
        let message = self.ask("claim a message", async {
            let mut batch = consumer.fetch().max_messages(1).messages().await?;
            batch.next().await.transpose()
        })?;
        let Some(message) = message else { return Ok(None) };
        let Ok(info) = message.info() else { return Ok(None) };
        let text = |values: &Vec<async_nats::HeaderValue>| values.first().map(|value| value.as_str().to_owned());
        let headers = message.headers.iter().flat_map(HeaderMap::iter);
        let delivery = Delivery {
            id: info.stream_sequence.to_string(),
            receipt: sequence(info.stream_sequence),
            partition,
            key: message.subject.as_str().rsplit('.').next().unwrap_or_default().to_owned(),
            headers: headers.filter_map(|(name, values)| Some((name.to_string(), text(values)?))).collect(),
            body: String::from_utf8_lossy(&message.payload).into_owned(),
            deliveries: info.delivered,
        };
        self.held.hold(topic, partition, message, now_ms);
        Ok(Some(delivery))
    }

    fn acknowledge(&mut self, topic: Topic, delivery: &Delivery) -> Result<bool, Error> {
        let Some(message) = self.take(topic, delivery) else { return Ok(false) };
        self.ask("acknowledge a message", message.double_ack())?;
        Ok(true)
    }

    fn put_back(&mut self, topic: Topic, delivery: &Delivery) -> Result<bool, Error> {
        let Some(message) = self.take(topic, delivery) else { return Ok(false) };
        self.ask("put a message back", message.ack_with(AckKind::Nak(None)))?;
        Ok(true)
    }

    fn put_aside(&mut self, topic: Topic, delivery: &Delivery, reason: &str) -> Result<bool, Error> {
        let Some(message) = self.take(topic, delivery) else { return Ok(false) };
        let mut headers = message.headers.clone().unwrap_or_default();
        headers.insert("x-exception-message", reason);
        headers.insert("x-original-subject", message.subject.as_str());
        let subject = format!("{}.{}", dead(topic, &self.run), delivery.key);
        self.ask("put a message aside", async {
            self.context.publish_with_headers(subject, headers, message.payload.clone()).await?.await?;
            message.double_ack().await
        })?;
        Ok(true)
    }

    fn depth(&mut self, topic: Topic) -> Result<u64, Error> {
        let mut open = 0;
        for partition in 0..topic.partitions {
            let consumer = self.consumer(topic, partition)?;
            let info = self.ask("count the open messages", async { Ok(consumer.get_info().await?) })?;
            open += info.num_pending + info.num_ack_pending as u64;
        }
        Ok(open)
    }
}
