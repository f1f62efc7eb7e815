//! What is sent, and what its senders know of it.

use std::time::Duration;

use fastrand::Rng;
use truegreen_model::flow::SpanKind;
use truegreen_model::time::Timestamp;
use truegreen_sim::otlp;
use truegreen_sim::telemetry::{Content, Sender, Span, SpanRef};

/// The flow that is watched.
pub(crate) const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, span: place order, service: shop}
steps:
  - {name: shipped, span: ship order, service: stock, within: 10s}
";

/// What was done for an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    Done,
    Late,
    Forgotten,
}

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) key: String,
    pub(crate) deed: Deed,
    placed: Timestamp,
    trace: u128,
    /// It was sent, whatever came of it.
    pub(crate) is_offered: bool,
    pub(crate) is_placed: bool,
    pub(crate) is_shipped: bool,
}

impl Order {
    /// The books must say so, if all that was done for it was acknowledged.
    pub(crate) fn verdict(&self) -> Option<&'static str> {
        match self.deed {
            Deed::Done if self.is_placed && self.is_shipped => Some("completed"),
            Deed::Late if self.is_placed && self.is_shipped => Some("late"),
            _ => None,
        }
    }
}

/// One request, sent until it is taken.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) body: Vec<u8>,
    places: Vec<usize>,
    ships: Vec<usize>,
}

/// The orders of one sender.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    name: String,
    shop: Sender,
    stock: Sender,
    rng: Rng,
    pub(crate) orders: Vec<Order>,
    /// Placed, and not yet sent as shipped.
    to_ship: Vec<usize>,
    pub(crate) acknowledged: u64,
}

impl Book {
    pub(crate) fn new(name: &str, seed: u64) -> Book {
        Book {
            name: name.to_owned(),
            shop: Sender::new("shop", &format!("shop-{name}")),
            stock: Sender::new("stock", &format!("stock-{name}")),
            rng: Rng::with_seed(seed),
            orders: Vec::new(),
            to_ship: Vec::new(),
            acknowledged: 0,
        }
    }

    /// A request that places some orders, and ships some that were placed before.
    pub(crate) fn next_parcel(&mut self) -> Parcel {
        let mut parcel = Parcel { body: Vec::new(), places: Vec::new(), ships: Vec::new() };
        for _ in 0..self.rng.usize(1..8) {
            parcel.places.push(self.place());
        }
        for _ in 0..self.rng.usize(0..8) {
            if !self.to_ship.is_empty() {
                let index = self.rng.usize(..self.to_ship.len());
                parcel.ships.push(self.to_ship.swap_remove(index));
            }
        }
        self.encode(&mut parcel);
        parcel
    }

    /// A request that ships all that is left.
    pub(crate) fn last_parcel(&mut self) -> Parcel {
        let ships = std::mem::take(&mut self.to_ship);
        let mut parcel = Parcel { body: Vec::new(), places: Vec::new(), ships };
        self.encode(&mut parcel);
        parcel
    }

    fn place(&mut self) -> usize {
        let deed = match self.rng.u8(..10) {
            0..=6 => Deed::Done,
            7 => Deed::Late,
            _ => Deed::Forgotten,
        };
        let index = self.orders.len();
        self.orders.push(Order {
            key: format!("{}-{index}", self.name),
            deed,
            // Long enough ago for everything that is done for it.
            placed: crate::now() - Duration::from_millis(self.rng.u64(25_000..30_000)),
            trace: self.rng.u128(1..),
            is_offered: false,
            is_placed: false,
            is_shipped: false,
        });
        if deed != Deed::Forgotten {
            self.to_ship.push(index);
        }
        index
    }

    fn encode(&self, parcel: &mut Parcel) {
        let spans = |steps: &[usize], name: &str| steps.iter().map(|index| self.span(*index, name)).collect();
        let parts = vec![
            (self.shop.clone(), spans(&parcel.places, "place order")),
            (self.stock.clone(), spans(&parcel.ships, "ship order")),
        ];
        parcel.body = otlp::encode(&Content::Spans(parts));
    }

    fn span(&self, index: usize, name: &str) -> Span {
        let order = &self.orders[index];
        let (id, after) = match (name, order.deed) {
            ("place order", _) => (1, 0),
            (_, Deed::Late) => (2, 15),
            _ => (2, 5),
        };
        span(name, &order.key, SpanRef { trace: order.trace, span: id }, order.placed + Duration::from_secs(after))
    }

    pub(crate) fn offered(&mut self, parcel: &Parcel) {
        parcel.places.iter().for_each(|index| self.orders[*index].is_offered = true);
    }

    pub(crate) fn acknowledged(&mut self, parcel: &Parcel) {
        self.acknowledged += 1;
        parcel.places.iter().for_each(|index| self.orders[*index].is_placed = true);
        parcel.ships.iter().for_each(|index| self.orders[*index].is_shipped = true);
    }
}

pub(crate) fn span(name: &str, key: &str, place: SpanRef, at: Timestamp) -> Span {
    Span {
        place,
        parent: None,
        links: Vec::new(),
        name: name.to_owned(),
        kind: SpanKind::Internal,
        start: at,
        end: at,
        error: false,
        trace_state: String::new(),
        attributes: vec![("order.id".to_owned(), key.into())],
    }
}
