//! What one service process is told: the JSON file that the orchestrator writes and `serve_role` reads.
//!
//! Plain settings only. No service knows the name of a fault: [`crate::plan`] turns a fault into these.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::parts::{Parts, Site};

/// One service process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ServiceConfig {
    /// OTLP/gRPC address, `http://host:port`.
    pub(crate) otlp_endpoint: String,
    pub(crate) export: Export,
    /// Holds the databases and the truth files of this run.
    pub(crate) run_dir: PathBuf,
    /// What is this run's only: part of the names of its queues, schemas and keys.
    pub(crate) run: String,
    /// In the environment, not in the file: addresses carry passwords.
    #[serde(skip)]
    pub(crate) parts: Parts,
    /// `service.instance.id`.
    pub(crate) instance: String,
    /// `service.version`.
    pub(crate) version: String,
    /// How far the clock of this service's host is ahead; negative if it is behind.
    pub(crate) clock_ahead_ms: i64,
    pub(crate) role: Role,
}

/// How telemetry leaves the service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Export {
    /// Spans that may wait to be sent. The SDK drops what does not fit.
    pub(crate) span_queue: usize,
    pub(crate) road: Road,
}

/// What lies between the service and its collector.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Road {
    Direct,
    /// The port closes so long after the first message was handled.
    ClosesAfterMs(u64),
    /// Whatever is sent is held back for so long.
    SlowByMs(u64),
}

/// Which service, and what only that service needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Storefront(Storefront),
    Orders(Orders),
    Payments(Payments),
    Inventory(Inventory),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Storefront {
    /// Makes order ids unique among runs: `ord-<run>-000001`.
    pub(crate) run: String,
    /// How long orders may take over a return.
    pub(crate) returns_timeout_ms: Option<u64>,
    /// Whether the cached entry of a product is removed upon a change whose type is not known.
    pub(crate) evicts_on_unknown_change: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// Whether the events of bundles name the stock they need.
    pub(crate) bundles_carry_sku: bool,
    /// Whether gifts are looked up in a catalogue that writes SKUs in capital letters.
    pub(crate) gift_skus_in_capitals: bool,
    /// How long payments may take.
    pub(crate) payment_timeout_ms: u64,
    /// Whether an order is accepted when payments does not answer in time.
    pub(crate) accepts_unpaid: bool,
    pub(crate) returns: Returns,
    pub(crate) publishing: Publishing,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Returns {
    /// What the carrier of bulky goods is called when a label is asked for.
    pub(crate) freight_carrier: String,
    /// How often a label is asked for at most.
    pub(crate) label_attempts: Option<u32>,
    /// People who fetch bulky goods.
    pub(crate) freight_crew: u32,
    /// How long to wait for them.
    pub(crate) crew_timeout_ms: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Publishing {
    /// Whether the event is published by a task of its own, after the answer and outside of the order's transaction.
    pub(crate) detached: bool,
    /// The producer refuses larger messages.
    pub(crate) max_message_bytes: usize,
    /// Whether messages carry headers: trace context and order id.
    pub(crate) headers: bool,
    /// Every so many publications, the broker's confirmation gets lost.
    pub(crate) confirmation_lost_every: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Payments {
    /// How far apart the clocks of issuer and checker of a token may be.
    pub(crate) token_leeway_ms: i64,
    /// How long the issuer of gift cards takes to answer.
    pub(crate) gift_card_ms: u64,
    /// After so many payments, the database is a replica that can only be read.
    pub(crate) fails_over_after: Option<u64>,
    /// Whether a payment counts as taken although it could not be written down.
    pub(crate) ignores_write_errors: bool,
    /// Whether the health check tries to write.
    pub(crate) health_tries_to_write: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Inventory {
    /// What is done with an event that cannot be handled.
    pub(crate) unusable: Unusable,
    /// The warehouses it may take stock from.
    pub(crate) warehouses: Vec<String>,
    /// Whether SKUs are brought to small letters before anything is done with them.
    pub(crate) normalises_skus: bool,
    /// The consuming loop ends after so many messages.
    pub(crate) stop_consuming_after: Option<u64>,
    /// Time spent on each message, besides the database.
    pub(crate) work_us: u64,
    pub(crate) acknowledging: Acknowledging,
    /// What makes two deliveries the same.
    pub(crate) taken_once_per: TakenOncePer,
    /// What the event is called that tells of a new price.
    pub(crate) price_event_type: String,
}

/// What inventory does with an event that it cannot handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unusable {
    /// Acknowledge it and tell nobody.
    Skip,
    /// Say so in a log record, a metric, the span and a dead letter.
    Refuse,
    /// Put it back, to be tried again.
    PutBack,
}

/// When a message is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Acknowledging {
    /// Once its effect is committed.
    AfterWriting,
    /// At once; what is to be written waits in memory, and what does not fit there is dropped.
    BeforeWriting { buffer: usize, flush_every_ms: u64 },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TakenOncePer {
    Order,
    Message,
}

impl Role {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Role::Storefront(_) => STOREFRONT,
            Role::Orders(_) => ORDERS,
            Role::Payments(_) => PAYMENTS,
            Role::Inventory(_) => INVENTORY,
        }
    }
}

pub(crate) const STOREFRONT: &str = "storefront";
pub(crate) const ORDERS: &str = "orders";
pub(crate) const PAYMENTS: &str = "payments";
pub(crate) const INVENTORY: &str = "inventory";

/// All services, in the order in which they are shown.
pub(crate) const SERVICES: [&str; 4] = [STOREFRONT, ORDERS, PAYMENTS, INVENTORY];

impl ServiceConfig {
    /// With the parts that the environment tells.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        let config: ServiceConfig = serde_json::from_str(&text).map_err(|source| Error::Json {
            path: path.to_owned(),
            line: source.line(),
            source,
        })?;
        Ok(ServiceConfig { parts: Parts::from_environment()?, ..config })
    }

    /// Where this run keeps its things.
    pub(crate) fn site(&self) -> Site {
        Site { run_dir: self.run_dir.clone(), run: self.run.clone(), parts: self.parts.clone() }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let text =
            serde_json::to_vec_pretty(self).map_err(|source| Error::Encode { what: "a configuration", source })?;
        std::fs::write(path, text).map_err(Error::file("write", path))
    }
}
