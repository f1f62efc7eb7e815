//! Who sends, what, and what they know of it.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;
use truegreen_store::Kind;

use super::shape::Shape;
use crate::otlp;
use crate::script::{flow, step};
use crate::telemetry::{Content, Sender, Span, SpanRef, second};

/// The flow that all worlds watch: placed by `shop`, reserved by `stock`, shipped by `stock`.
pub fn contract() -> Flow {
    let mut orders = flow("orders", "shop", "place order");
    orders.steps.push(step("reserved", "stock", "reserve", 20, 0));
    orders.steps.push(step("shipped", "stock", "ship", 30, 1));
    orders
}

/// Seconds until everybody was heard.
const WARM_UP: f64 = 20.0;
/// Seconds in which orders are placed.
const ENTRIES: f64 = 150.0;
/// Seconds from the last entry after which everything is decided: deadlines, lag, proof, and some more.
const DECIDED: f64 = 50.0 + 60.0 + 135.0;
/// When a world ends, unless retries take longer.
pub const END: f64 = WARM_UP + ENTRIES + DECIDED;
/// Seconds between two signs of life.
const BEAT: f64 = 10.0;

/// What was done for an order, by the hands of the services.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Everything, in time.
    Done,
    /// Everything, but shipped too late.
    Late,
    /// It was placed, and then forgotten.
    Forgotten,
}

/// One request, and what became of it.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Index of its sender.
    pub sender: usize,
    /// When it is there to be sent.
    pub ready_at: Timestamp,
    /// Its kind in the log.
    pub kind: Kind,
    /// The same bytes each time.
    pub body: Vec<u8>,
    /// Sent again until it is taken; signs of life are not.
    pub is_kept: bool,
    /// The server answered that it is taken.
    pub is_acknowledged: bool,
    /// Its sender heard so.
    pub is_known: bool,
}

/// A process that sends one request at a time.
#[derive(Clone, Debug)]
pub struct Post {
    /// Who it is.
    pub who: Sender,
    /// Parcels to be sent, in order.
    pub waiting: VecDeque<usize>,
    /// Counts what was sent: an answer to an earlier attempt says nothing of this one.
    pub attempt: u64,
    /// What it waits for an answer to.
    pub sent: Option<usize>,
}

/// All that is sent in a world.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Processes.
    pub posts: Vec<Post>,
    /// Their requests.
    pub parcels: Vec<Parcel>,
    /// What was done for each order.
    pub deeds: Vec<Deed>,
}

impl Mail {
    /// Of a world of this shape.
    pub fn of(shape: &Shape) -> Mail {
        let mut rng = Rng::with_seed(shape.seed ^ 0x6d61_696c);
        let mut mail = Mail { posts: Vec::new(), parcels: Vec::new(), deeds: Vec::new() };
        for service in ["shop", "stock"] {
            for instance in 0..shape.instances {
                let who = Sender::new(service, &format!("{service}-{instance}"));
                mail.posts.push(Post { who, waiting: VecDeque::new(), attempt: 0, sent: None });
            }
        }
        for index in 0..mail.posts.len() {
            let mut at = rng.f64() * BEAT;
            while at < END {
                let content = Content::Metrics(vec![(mail.posts[index].who.clone(), second(at))]);
                mail.add(index, at, &content, false);
                at += BEAT;
            }
        }
        for order in 0..shape.orders {
            mail.order(order, usize::from(shape.instances), &mut rng);
        }
        mail.parcels.sort_by_key(|parcel| parcel.ready_at);
        mail
    }

    fn order(&mut self, order: u16, instances: usize, rng: &mut Rng) {
        let key = format!("order-{order}");
        let deed = match rng.u8(..10) {
            0..=5 => Deed::Done,
            6 => Deed::Late,
            _ => Deed::Forgotten,
        };
        self.deeds.push(deed);
        let placed = WARM_UP + rng.f64() * ENTRIES;
        let reserved = placed + 0.5 + rng.f64() * 15.0;
        let shipped = reserved + if deed == Deed::Late { 35.0 + rng.f64() * 10.0 } else { 1.0 + rng.f64() * 20.0 };
        let shop = rng.usize(..instances);
        self.span(shop, "place order", &key, placed, rng);
        if deed != Deed::Forgotten {
            let stock = instances + rng.usize(..instances);
            self.span(stock, "reserve", &key, reserved, rng);
            self.span(stock, "ship", &key, shipped, rng);
        }
    }

    fn span(&mut self, index: usize, name: &str, key: &str, at: f64, rng: &mut Rng) {
        let span = Span {
            place: SpanRef { trace: rng.u128(1..), span: rng.u64(1..) },
            parent: None,
            links: Vec::new(),
            name: name.to_owned(),
            kind: truegreen_model::flow::SpanKind::Internal,
            start: second(at),
            end: second(at),
            error: false,
            trace_state: String::new(),
            attributes: vec![("order.id".to_owned(), key.into())],
        };
        let content = Content::Spans(vec![(self.posts[index].who.clone(), vec![span])]);
        // As exporters do, it waits for others to go with.
        self.add(index, at + rng.f64() * 3.0, &content, true);
    }

    fn add(&mut self, sender: usize, at: f64, content: &Content, is_kept: bool) {
        let ready_at = second(at);
        let kind = match content {
            Content::Spans(_) => Kind::Traces,
            Content::Logs(_) => Kind::Logs,
            Content::Metrics(_) => Kind::Metrics,
        };
        let body = otlp::encode(content);
        self.parcels.push(Parcel { sender, ready_at, kind, body, is_kept, is_acknowledged: false, is_known: false });
    }

    /// Whether everybody knows that everything that is kept was taken.
    pub fn is_done(&self) -> bool {
        self.parcels.iter().all(|parcel| parcel.is_known || !parcel.is_kept)
    }
}

/// How long a sender waits for an answer.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a message is on its way; `None` if it is lost.
pub fn way(rng: &mut Rng) -> Option<Duration> {
    match rng.u8(..100) {
        0..=2 => None,
        3..=6 => Some(Duration::from_millis(rng.u64(1000..15_000))),
        _ => Some(Duration::from_millis(rng.u64(1..200))),
    }
}
