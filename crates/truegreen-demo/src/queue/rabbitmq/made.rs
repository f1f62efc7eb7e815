//! What a run makes on the broker before its services start, and removes when they have ended.

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use tokio::runtime::Handle;
use truegreen_connect::Address;

use super::{PATIENCE, connect, failed};
use crate::Error;
use crate::queue::{TOPICS, Topic};

pub(super) fn exchange(topic: Topic, run: &str) -> String {
    format!("{}-{run}", topic.name)
}

pub(super) fn queue(topic: Topic, partition: u8, run: &str) -> String {
    format!("{}-{run}.{partition}", topic.name)
}

/// Exchange and queue of a topic's dead letters.
pub(super) fn dead(topic: Topic, run: &str) -> String {
    format!("{}-{run}.dead", topic.name)
}

/// Blocks; inside a tokio runtime.
///
/// # Errors
/// The broker does not answer, or does not let the user make queues.
pub(crate) fn create(address: &Address, run: &str) -> Result<(), Error> {
    on_channel(address, "make the queues", async |channel| {
        for topic in TOPICS {
            declare(channel, topic, run).await?;
        }
        Ok(())
    })
}

/// Blocks; inside a tokio runtime.
///
/// # Errors
/// The broker does not answer.
pub(crate) fn remove(address: &Address, run: &str) -> Result<(), Error> {
    on_channel(address, "remove the queues", async |channel| {
        for topic in TOPICS {
            let queues = (0..topic.partitions).map(|partition| queue(topic, partition, run));
            for name in queues.chain([dead(topic, run)]) {
                channel.queue_delete(name.into(), QueueDeleteOptions::default()).await?;
            }
            for name in [exchange(topic, run), dead(topic, run)] {
                channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await?;
            }
        }
        Ok(())
    })
}

async fn declare(channel: &Channel, topic: Topic, run: &str) -> lapin::Result<()> {
    let lasting = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let (to, dead) = (exchange(topic, run), dead(topic, run));
    channel.exchange_declare(dead.as_str().into(), ExchangeKind::Fanout, lasting, FieldTable::default()).await?;
    channel.queue_declare(dead.as_str().into(), QueueDeclareOptions::durable(), FieldTable::default()).await?;
    bind(channel, &dead, &dead, "").await?;
    channel.exchange_declare(to.as_str().into(), ExchangeKind::Direct, lasting, FieldTable::default()).await?;
    for partition in 0..topic.partitions {
        let name = queue(topic, partition, run);
        let mut arguments = FieldTable::default();
        // For what is rejected or expires by somebody else's hand.
        arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString(dead.as_str().into()));
        channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), arguments).await?;
        bind(channel, &name, &to, &partition.to_string()).await?;
    }
    Ok(())
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, routing_key: &str) -> lapin::Result<()> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), routing_key.into(), options, FieldTable::default()).await
}

fn on_channel(
    address: &Address,
    action: &'static str,
    work: impl AsyncFnOnce(&Channel) -> lapin::Result<()>,
) -> Result<(), Error> {
    let done = Handle::current().block_on(async {
        tokio::time::timeout(PATIENCE, async {
            let connection = connect(address).await?;
            // Dropped before, it would be closed at the same time as what carries it.
            let channel = connection.create_channel().await?;
            work(&channel).await?;
            connection.close(200, "done".into()).await
        })
        .await
    });
    match done {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(failed(address, action, &error.to_string())),
        Err(_) => Err(failed(address, action, &format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}
