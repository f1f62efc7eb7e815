//! What is ordered, and the event that tells inventory about it.

use serde::{Deserialize, Serialize};

/// What the customer sends to the storefront, and the storefront to orders.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct NewOrder {
    /// Minted by the storefront; empty before.
    #[serde(default)]
    pub(crate) order_id: String,
    /// `standard`, `gift`, or (rarely) `bundle`.
    pub(crate) kind: String,
    /// `web` or `app`.
    pub(crate) channel: String,
    pub(crate) articles: Vec<OrderedArticle>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct OrderedArticle {
    pub(crate) article: String,
    pub(crate) quantity: u32,
}

/// One article that can be ordered.
pub(crate) struct Article {
    pub(crate) name: &'static str,
    pub(crate) sku: &'static str,
}

/// Everything that can be ordered; the last one only as a bundle.
pub(crate) const CATALOGUE: [Article; 4] = [
    Article { name: "mug", sku: "sku-1001" },
    Article { name: "shirt", sku: "sku-1002" },
    Article { name: "poster", sku: "sku-1003" },
    Article { name: "starter bundle", sku: "sku-2001" },
];

/// The kind of the rare orders.
pub(crate) const BUNDLE: &str = "bundle";
/// Where all of the demo's stock lies.
pub(crate) const WAREHOUSE: &str = "north";

/// The body of a message on `stock-events`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct StockEvent {
    pub(crate) event_type: String,
    pub(crate) order_id: String,
    pub(crate) warehouse: String,
    pub(crate) lines: Vec<EventLine>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct EventLine {
    pub(crate) article: String,
    pub(crate) quantity: u32,
    /// Which stock to take it from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sku: Option<String>,
}

/// What is to be taken from stock for one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StockLine {
    pub(crate) sku: String,
    pub(crate) quantity: u32,
}

/// Why an event cannot be handled, in words fit for a metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unfit {
    Malformed,
    NoLines,
    MissingSku,
    UnknownSku,
    UnknownWarehouse,
}

impl Unfit {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Unfit::Malformed => "malformed",
            Unfit::NoLines => "no_lines",
            Unfit::MissingSku => "missing_sku",
            Unfit::UnknownSku => "unknown_sku",
            Unfit::UnknownWarehouse => "unknown_warehouse",
        }
    }
}

impl StockEvent {
    /// What orders publishes for an order. Its articles are looked up in the catalogue; those of a bundle only if
    /// `bundles_carry_sku`.
    pub(crate) fn of(order: &NewOrder, bundles_carry_sku: bool) -> StockEvent {
        let looked_up = order.kind != BUNDLE || bundles_carry_sku;
        let lines = order.articles.iter().map(|ordered| EventLine {
            article: ordered.article.clone(),
            quantity: ordered.quantity,
            sku: CATALOGUE
                .iter()
                .find(|article| looked_up && article.name == ordered.article)
                .map(|article| article.sku.to_owned()),
        });
        StockEvent {
            event_type: format!("{}_ordered", order.kind),
            order_id: order.order_id.clone(),
            warehouse: WAREHOUSE.to_owned(),
            lines: lines.collect(),
        }
    }

    /// What is to be taken from stock.
    pub(crate) fn stock_lines(&self, warehouses: &[String]) -> Result<Vec<StockLine>, Unfit> {
        if !warehouses.contains(&self.warehouse) {
            return Err(Unfit::UnknownWarehouse);
        }
        if self.lines.is_empty() {
            return Err(Unfit::NoLines);
        }
        let stock_line = |line: &EventLine| {
            let sku = line.sku.clone().ok_or(Unfit::MissingSku)?;
            if !CATALOGUE.iter().any(|article| article.sku == sku) {
                return Err(Unfit::UnknownSku);
            }
            Ok(StockLine { sku, quantity: line.quantity })
        };
        self.lines.iter().map(stock_line).collect()
    }
}
