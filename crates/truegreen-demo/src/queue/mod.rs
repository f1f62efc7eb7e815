//! Where messages go: a table, or a broker. Delivery is at least once: what is not settled within a while is delivered
//! again. Messages that concern the same thing are in the same partition of their topic, and a partition is claimed
//! oldest first.

#[cfg(any(feature = "rabbitmq", feature = "nats", feature = "kafka"))]
mod held;
pub(crate) mod in_database;
#[cfg(feature = "kafka")]
pub(crate) mod kafka;
#[cfg(feature = "nats")]
pub(crate) mod nats;
#[cfg(feature = "rabbitmq")]
pub(crate) mod rabbitmq;

use std::collections::HashMap;
use std::time::Duration;

use crate::Error;
#[cfg(any(feature = "rabbitmq", feature = "nats", feature = "kafka"))]
use crate::config::{INVENTORY, STOREFRONT};
use crate::database::UnitOfWork;
use crate::messaging::KAFKA;

/// Where messages of one sort go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Topic {
    pub(crate) name: &'static str,
    pub(crate) partitions: u8,
}

/// What was ordered, for inventory.
pub(crate) const STOCK_EVENTS: Topic = Topic { name: "stock-events", partitions: 3 };
/// What changed about a product, for whoever keeps a copy.
pub(crate) const STOCK_CHANGES: Topic = Topic { name: "stock-changes", partitions: 1 };

/// All of them.
#[cfg(any(feature = "rabbitmq", feature = "nats", feature = "kafka"))]
pub(crate) const TOPICS: [Topic; 2] = [STOCK_EVENTS, STOCK_CHANGES];

impl Topic {
    /// Who consumes it.
    #[cfg(any(feature = "rabbitmq", feature = "nats", feature = "kafka"))]
    pub(crate) fn group(self) -> &'static str {
        if self == STOCK_CHANGES { STOREFRONT } else { INVENTORY }
    }

    /// The partition of all messages that concern `what`.
    pub(crate) fn partition_of(self, what: &str) -> u8 {
        let sum = what.bytes().fold(0_u8, u8::wrapping_add);
        sum % self.partitions
    }
}

/// How long a consumer may work on one message before it is delivered again.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// A message as published.
pub(crate) struct Publication<'a> {
    pub(crate) topic: Topic,
    pub(crate) partition: u8,
    /// What it is about: the order's id.
    pub(crate) key: &'a str,
    pub(crate) headers: &'a HashMap<String, String>,
    pub(crate) body: &'a str,
}

/// A message as leased to a consumer.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// What the broker calls the message, as telemetry shows it.
    pub(crate) id: String,
    /// What the queue's client knows this delivery by: a row, a delivery tag, a sequence number or an offset.
    pub(crate) receipt: i64,
    pub(crate) partition: u8,
    pub(crate) key: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    /// How often it was delivered, this time included; also names the lease.
    pub(crate) deliveries: i64,
}

/// A message that the broker has confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    /// What the broker calls it.
    pub(crate) id: String,
}

/// How telemetry names a queue.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// `messaging.system`.
    pub(crate) system: &'static str,
    /// What makes the names of this run's queues unlike those of other runs on the same broker.
    pub(crate) run: Option<String>,
}

impl Named {
    /// What a topic is called on the broker.
    pub(crate) fn of(&self, topic: Topic) -> String {
        match &self.run {
            Some(run) => format!("{}-{run}", topic.name),
            None => topic.name.to_owned(),
        }
    }

    /// What a group of consumers is called there: only a log knows groups by name, and on all of its topics.
    pub(crate) fn group(&self, group: &str) -> String {
        match &self.run {
            Some(run) if self.system == KAFKA => format!("{group}-{run}"),
            _ => group.to_owned(),
        }
    }
}

/// One client of the queue. Its methods block.
pub(crate) trait Queue: Send {
    fn named(&self) -> Named;
    /// Returns once the message is safe: where the queue is kept in the same file as what `within` writes, when that is
    /// committed; else at once.
    fn publish(&mut self, within: Option<&dyn UnitOfWork>, message: &Publication<'_>) -> Result<Sent, Error>;
    /// Gets ready to claim from a topic, where that takes its time.
    fn join(&mut self, _: Topic) -> Result<(), Error> {
        Ok(())
    }
    /// Leases the oldest message of a partition, if there is one that nobody holds.
    fn claim(&mut self, topic: Topic, partition: u8, now_ms: i64) -> Result<Option<Delivery>, Error>;
    /// False if it was delivered again since.
    fn acknowledge(&mut self, topic: Topic, delivery: &Delivery) -> Result<bool, Error>;
    /// It is ready again, in its old place.
    fn put_back(&mut self, topic: Topic, delivery: &Delivery) -> Result<bool, Error>;
    /// To the dead letters, with the reason; acknowledged, both or neither.
    fn put_aside(&mut self, topic: Topic, delivery: &Delivery, reason: &str) -> Result<bool, Error>;
    /// Messages that are not acknowledged yet.
    fn depth(&mut self, topic: Topic) -> Result<u64, Error>;
}
