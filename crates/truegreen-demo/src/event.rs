//! What is ordered, and the event that tells inventory about it.

use serde::{Deserialize, Serialize};

/// What the customer sends to the storefront, and the storefront to orders.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct NewOrder {
    /// Minted by the storefront; empty before.
    #[serde(default)]
    pub(crate) order_id: String,
    /// `standard`, `gift`, `digital`, or (rarely) `bundle`.
    pub(crate) kind: String,
    /// `web` or `app`.
    pub(crate) channel: String,
    pub(crate) articles: Vec<OrderedArticle>,
    /// What is to be written on the card of a gift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) greeting: Option<String>,
}

impl NewOrder {
    /// Whether goods leave the stock for it.
    pub(crate) fn needs_stock(&self) -> bool {
        self.kind != DIGITAL
    }

    /// How it is paid: `gift_card` or `card`.
    pub(crate) fn payment_method(&self) -> &'static str {
        if self.kind == GIFT { GIFT_CARD } else { "card" }
    }
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
    pub(crate) price_cents: u32,
}

/// Everything that can be ordered; the last one only as a bundle.
pub(crate) const CATALOGUE: [Article; 4] = [
    Article { name: "mug", sku: "sku-1001", price_cents: 900 },
    Article { name: "shirt", sku: "sku-1002", price_cents: 2500 },
    Article { name: "poster", sku: "sku-1003", price_cents: 1200 },
    Article { name: "starter bundle", sku: "sku-2001", price_cents: 9900 },
];

/// The SKU of an article, if it can be ordered.
pub(crate) fn sku_of(article: &str) -> Option<&'static str> {
    CATALOGUE.iter().find(|known| known.name == article).map(|known| known.sku)
}

/// The kind of the rare orders.
pub(crate) const BUNDLE: &str = "bundle";
/// The kind of orders that are paid by gift card and can carry a greeting.
pub(crate) const GIFT: &str = "gift";
pub(crate) const GIFT_CARD: &str = "gift_card";
/// The kind of orders that are sent as a file: inventory has nothing to do with them, and is not told.
pub(crate) const DIGITAL: &str = "digital";
/// What can be had as a file.
pub(crate) const AS_A_FILE: &str = "poster";
/// Carriers of returns: of bundles, and of all else.
pub(crate) const FREIGHT: &str = "freight";
pub(crate) const PARCEL: &str = "parcel";
/// Where all of the demo's stock lies.
pub(crate) const WAREHOUSE: &str = "north";

/// The body of a message on `stock-events`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct StockEvent {
    pub(crate) event_type: String,
    pub(crate) order_id: String,
    pub(crate) warehouse: String,
    pub(crate) lines: Vec<EventLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) greeting: Option<String>,
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

/// How SKUs are written into events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SkuWriting {
    /// Those of bundles at all.
    pub(crate) of_bundles: bool,
    /// Those of gifts in capital letters.
    pub(crate) gifts_in_capitals: bool,
}

impl StockEvent {
    /// What orders publishes for an order, its articles looked up in the catalogue.
    pub(crate) fn of(order: &NewOrder, writing: SkuWriting) -> StockEvent {
        let sku = |article: &str| match sku_of(article) {
            Some(_) if order.kind == BUNDLE && !writing.of_bundles => None,
            Some(sku) if order.kind == GIFT && writing.gifts_in_capitals => Some(sku.to_ascii_uppercase()),
            found => found.map(str::to_owned),
        };
        let lines = order.articles.iter().map(|ordered| EventLine {
            article: ordered.article.clone(),
            quantity: ordered.quantity,
            sku: sku(&ordered.article),
        });
        StockEvent {
            event_type: format!("{}_ordered", order.kind),
            order_id: order.order_id.clone(),
            warehouse: WAREHOUSE.to_owned(),
            lines: lines.collect(),
            greeting: order.greeting.clone(),
        }
    }

    /// What is to be taken from stock. `normalise`: by SKUs in small letters, whatever they came in.
    pub(crate) fn stock_lines(&self, warehouses: &[String], normalise: bool) -> Result<Vec<StockLine>, Unfit> {
        if !warehouses.contains(&self.warehouse) {
            return Err(Unfit::UnknownWarehouse);
        }
        if self.lines.is_empty() {
            return Err(Unfit::NoLines);
        }
        let stock_line = |line: &EventLine| {
            let mut sku = line.sku.clone().ok_or(Unfit::MissingSku)?;
            if !CATALOGUE.iter().any(|article| article.sku.eq_ignore_ascii_case(&sku)) {
                return Err(Unfit::UnknownSku);
            }
            if normalise {
                sku.make_ascii_lowercase();
            }
            Ok(StockLine { sku, quantity: line.quantity })
        };
        self.lines.iter().map(stock_line).collect()
    }
}
