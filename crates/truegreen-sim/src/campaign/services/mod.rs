//! What each service does.

mod auth;
mod catalogue;
mod gateway;
mod inventory;
mod notification;
mod orders;
mod payments;
mod recommendations;
mod shipping;

use super::broker::{Message, Topic};
use super::fleet::Service;
use super::system::System;
use super::task::{Endpoint, Open, Task};

pub use catalogue::CHANGE_PRICE;
pub use gateway::{BROWSE, CHECKOUT, GIFT_CARD, RETURN, STATUS};
pub(crate) use orders::TAKE_LABEL;

/// What sort of order, product or return.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// The usual.
    Standard,
    /// Paid by gift card.
    Gift,
    /// Needs no stock and no carrier.
    Digital,
    /// Needs a carrier for freight.
    Freight,
}

impl Sort {
    /// As an attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Sort::Standard => "standard",
            Sort::Gift => "gift",
            Sort::Digital => "digital",
            Sort::Freight => "freight",
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Request {
    /// Number of the order, or of the return.
    pub number: u64,
    /// What sort of one.
    pub sort: Sort,
    /// Of which product.
    pub sku: u32,
    /// Not before, by the clock of who made the token.
    pub token: f64,
}

impl Request {
    /// As an attribute.
    pub fn order_id(&self) -> String {
        format!("ord-{:08}", self.number)
    }

    /// Who orders: some thousand people, who come again.
    pub fn user(&self) -> String {
        format!("user-{:04}", self.customer())
    }

    /// Where they live, as an attribute.
    pub fn region(&self) -> &'static str {
        match self.customer() % 20 {
            0..9 => "eu-west",
            9..15 => "us-east",
            15..19 => "eu-central",
            _ => "ap-south",
        }
    }

    fn customer(&self) -> u64 {
        (self.number.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) % 3000
    }
}

/// What a server answers, or why it does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// `http.response.status_code`; 0 for none.
    pub status: i64,
    /// `error.type`.
    pub error: Option<&'static str>,
}

impl Reply {
    /// All is well, as far as is told.
    pub const fn status(status: i64) -> Reply {
        Reply { status, error: None }
    }

    /// No answer.
    pub const fn failed(error: &'static str) -> Reply {
        Reply { status: 0, error: Some(error) }
    }

    /// Whether it says that all is well.
    pub const fn is_good(&self) -> bool {
        self.status >= 200 && self.status < 400
    }

    /// What a client makes of it.
    pub fn client_error(&self) -> Option<&'static str> {
        match self.status {
            0 => self.error,
            401 => Some("401"),
            400..500 => Some("400"),
            502 => Some("502"),
            503 => Some("503"),
            500.. => Some("500"),
            _ => None,
        }
    }
}

/// How a consumer is done with a message.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Processed {
    /// It may be acknowledged.
    Done,
    /// It is acknowledged, and the work is done after.
    Later,
    /// It is tried again after so many seconds.
    Again(f64),
    /// It never ends.
    Hangs,
}

/// What the consumers of a topic do with a message.
pub fn process(
    system: &mut System,
    task: &mut Task,
    (topic, partition): (Topic, usize),
    message: &Message,
    span: &mut Open,
) -> Processed {
    match topic {
        Topic::OrdersPlaced => inventory::take(system, task, partition, message, span),
        Topic::StockReserved => shipping::ship(system, task, message),
        Topic::ShipmentCreated => notification::mail(system, task),
        Topic::ProductChanged => catalogue::forget(system, task, message),
    }
}

/// What they do with it after it was acknowledged.
pub fn process_later(system: &mut System, task: &mut Task, message: &Message) {
    inventory::write_behind(system, task, message);
}

/// Whether a health check of this service looks into its database.
pub const fn probes_database(service: Service) -> bool {
    matches!(service, Service::Payments | Service::Orders)
}

/// What an orchestrator asks of every process.
pub const fn health(service: Service) -> Endpoint {
    Endpoint { service, method: "GET", route: "/healthz", name: "GET /healthz", timeout: 1.0, serve: say_healthy }
}

fn say_healthy(system: &mut System, task: &mut Task, _: &Request, _: &mut Open) -> Reply {
    let service = system.fleet.instances[task.instance].service;
    if probes_database(service) {
        let select = super::task::Statement::new("SELECT health", "SELECT", "health", service.name());
        system.query(task, select, 0.001, Vec::new());
    }
    Reply::status(200)
}
