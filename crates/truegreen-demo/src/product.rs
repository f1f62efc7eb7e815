//! What customers see of a product, and the event that tells of a change.

use serde::{Deserialize, Serialize};

/// A product as `GET /stock/{sku}` answers it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Product {
    pub(crate) sku: String,
    pub(crate) price_cents: u32,
    /// Counts its changes.
    pub(crate) version: u64,
}

/// The body of `PUT /stock/{sku}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct NewPrice {
    pub(crate) price_cents: u32,
}

/// The body of a message on `stock-changes`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct StockChange {
    pub(crate) event_type: String,
    pub(crate) sku: String,
    pub(crate) version: u64,
}

/// What the event is called that tells of a new price.
pub(crate) const REPRICED: &str = "repriced";
