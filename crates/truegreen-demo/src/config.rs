//! What one service process is told: the JSON file that the orchestrator writes and `serve_role` reads.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// One service process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ServiceConfig {
    /// OTLP/gRPC address, `http://host:port`.
    pub(crate) otlp_endpoint: String,
    /// Holds the database and the truth files of this run.
    pub(crate) run_dir: PathBuf,
    /// `service.instance.id`.
    pub(crate) instance: String,
    /// `service.version`.
    pub(crate) version: String,
    pub(crate) role: Role,
}

/// Which service, and what only that service needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Storefront(Storefront),
    Orders(Orders),
    Inventory(Inventory),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Storefront {
    /// `http://127.0.0.1:<port>` of orders.
    pub(crate) orders_url: String,
    /// Makes order ids unique among runs: `ord-<run>-000001`.
    pub(crate) run: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// Whether the events of bundles name the stock they need.
    pub(crate) bundles_carry_sku: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Inventory {
    /// What is done with an event that cannot be handled.
    pub(crate) unusable: Unusable,
    /// The warehouses it may take stock from.
    pub(crate) warehouses: Vec<String>,
    /// The consuming loop ends after so many messages.
    pub(crate) stop_consuming_after: Option<u64>,
    /// Telemetry goes to a closed port so long after the first message.
    pub(crate) exporter_dies_after_ms: Option<u64>,
}

/// What inventory does with an event that it cannot handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unusable {
    /// Acknowledge it and tell nobody.
    Skip,
    /// Say so in a log record, a metric, the span and a dead letter.
    Refuse,
}

impl Role {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Role::Storefront(_) => STOREFRONT,
            Role::Orders(_) => ORDERS,
            Role::Inventory(_) => INVENTORY,
        }
    }
}

pub(crate) const STOREFRONT: &str = "storefront";
pub(crate) const ORDERS: &str = "orders";
pub(crate) const INVENTORY: &str = "inventory";

impl ServiceConfig {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_owned(), line: source.line(), source })
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let text =
            serde_json::to_vec_pretty(self).map_err(|source| Error::Encode { what: "a configuration", source })?;
        std::fs::write(path, text).map_err(Error::file("write", path))
    }
}
