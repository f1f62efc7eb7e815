//! A broker: topics with partitions, one consumer group each, and what a lag checker reads of it.

use std::collections::VecDeque;

use super::fleet::Service;
use super::record::Context;
use super::services::Request;

/// A topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    /// By orders, for inventory.
    OrdersPlaced,
    /// By inventory, for shipping.
    StockReserved,
    /// By shipping, for notification.
    ShipmentCreated,
    /// By catalogue, for itself.
    ProductChanged,
}

impl Topic {
    /// All of them.
    pub const ALL: [Topic; 4] =
        [Topic::OrdersPlaced, Topic::StockReserved, Topic::ShipmentCreated, Topic::ProductChanged];

    /// `messaging.destination.name`.
    pub const fn name(self) -> &'static str {
        match self {
            Topic::OrdersPlaced => "orders.placed",
            Topic::StockReserved => "stock.reserved",
            Topic::ShipmentCreated => "shipment.created",
            Topic::ProductChanged => "product.changed",
        }
    }

    /// Name of the spans that send, process and settle.
    pub const fn spans(self) -> [&'static str; 3] {
        match self {
            Topic::OrdersPlaced => ["publish orders.placed", "process orders.placed", "ack orders.placed"],
            Topic::StockReserved => ["publish stock.reserved", "process stock.reserved", "ack stock.reserved"],
            Topic::ShipmentCreated => ["publish shipment.created", "process shipment.created", "ack shipment.created"],
            Topic::ProductChanged => ["publish product.changed", "process product.changed", "ack product.changed"],
        }
    }

    /// Who consumes it; the group is named after it.
    pub const fn consumer(self) -> Service {
        match self {
            Topic::OrdersPlaced => Service::Inventory,
            Topic::StockReserved => Service::Shipping,
            Topic::ShipmentCreated => Service::Notification,
            Topic::ProductChanged => Service::Catalogue,
        }
    }

    /// How many partitions: more in a world with more processes.
    pub const fn partitions(self, is_crowded: bool) -> usize {
        let few = match self {
            Topic::OrdersPlaced => 3,
            Topic::StockReserved => 4,
            Topic::ShipmentCreated => 2,
            Topic::ProductChanged => 1,
        };
        // So that each process has some of several, and none is told by its partition.
        if is_crowded { 6 * few } else { few }
    }

    /// Whether its consumers go on with the producer's trace, rather than link to it.
    pub const fn continues_traces(self) -> bool {
        matches!(self, Topic::StockReserved)
    }
}

/// A message.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Message {
    /// `messaging.message.id`.
    pub id: u64,
    /// When it can be consumed.
    pub available: f64,
    /// The producer's span; absent where no headers were sent.
    pub context: Option<Context>,
    /// What it is about.
    pub request: Request,
}

/// One partition as its group sees it.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    /// Not committed yet.
    pub queue: VecDeque<Message>,
    /// Messages ever.
    pub end: u64,
    /// Committed ones.
    pub committed: u64,
    /// When somebody will look.
    pub looked_at: Option<f64>,
    /// Until then its consumer is busy: it takes one message after the other.
    pub busy_until: f64,
    /// Somebody took a message and never came back.
    pub hangs: bool,
}

impl Partition {
    /// Takes a message in. Requests are followed to their end one by one, so what was sent first may come last.
    pub fn append(&mut self, message: Message) {
        let place = self.queue.iter().rposition(|before| before.available <= message.available);
        self.queue.insert(place.map_or(0, |place| place + 1), message);
        self.end += 1;
    }
}

/// The broker.
#[derive(Clone, Debug)]
pub struct Broker {
    partitions: Vec<Vec<Partition>>,
    /// Whether each topic has more partitions than usual.
    pub is_crowded: bool,
}

impl Broker {
    /// With nothing in it.
    pub fn new(is_crowded: bool) -> Broker {
        let of_topic = |topic: &Topic| vec![Partition::default(); topic.partitions(is_crowded)];
        Broker { partitions: Topic::ALL.iter().map(of_topic).collect(), is_crowded }
    }

    /// One partition.
    pub fn partition(&mut self, topic: Topic, partition: usize) -> &mut Partition {
        &mut self.partitions[topic as usize][partition]
    }

    /// Every partition, with its place.
    pub fn iter(&self) -> impl Iterator<Item = (Topic, usize, &Partition)> {
        let of_topic = |topic: Topic| self.partitions[topic as usize].iter().enumerate();
        Topic::ALL.into_iter().flat_map(move |topic| of_topic(topic).map(move |(index, one)| (topic, index, one)))
    }
}
