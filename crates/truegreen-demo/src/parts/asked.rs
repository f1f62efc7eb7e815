//! How Truegreen can ask the parts of a run themselves, beside listening to its services.

#[cfg(any(feature = "postgres", feature = "mysql"))]
use truegreen_connect::Kind;
use truegreen_connect::{Address, SystemConfig};

use super::Parts;
#[cfg(any(feature = "postgres", feature = "mysql"))]
use crate::database;
use crate::{CONTRACT, storefront};

const BROKER: &str = "broker";
const DATABASE: &str = "database";
const CACHE: &str = "cache";

impl Parts {
    /// The real parts, as Truegreen's configuration would name them.
    pub fn systems(&self) -> Vec<SystemConfig> {
        let named = [
            (BROKER, &self.broker, &["orders", "inventory", "storefront"][..]),
            (DATABASE, &self.database, &["orders", "inventory", "payments"]),
            (CACHE, &self.cache, &["storefront"]),
        ];
        let system = |name: &str, address: &Address, users: &[&str]| SystemConfig {
            used_by: users.iter().map(|&user| user.to_owned()).collect(),
            ..SystemConfig::new(name, address.clone())
        };
        named
            .into_iter()
            .filter_map(|(name, address, users)| address.as_ref().map(|address| system(name, address, users)))
            .collect()
    }

    /// How prices are asked for, where both the cache and the database are real.
    pub fn prices(&self, run: &str) -> Option<Prices> {
        self.cache.as_ref()?;
        let source = price(self.database.as_ref()?, run)?;
        let cached = format!("HGET {} price_cents", storefront::key_of(run, "{key}"));
        Some(Prices { cached: (CACHE, cached), source: (DATABASE, source) })
    }

    /// The demo's contract; on a real database with the question whether the stock was updated, asked of every order.
    pub fn contract(&self, run: &str) -> String {
        let Some(ask) = self.database.as_ref().and_then(|address| stock_updated(address, run)) else {
            return CONTRACT.to_owned();
        };
        let confirm = format!("confirm: {{system: {DATABASE}, ask: \"{ask}\", sample: 100%}}");
        // It is the last step that is looked up.
        CONTRACT.replacen("}\nexits:", &format!(",\n     {confirm}}}\nexits:"), 1)
    }
}

/// What a real cache and a real database are asked for the price of a product, to be held against each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prices {
    /// The cache, by its name among [`Parts::systems`], and the question.
    pub cached: (&'static str, String),
    /// The same of the database.
    pub source: (&'static str, String),
}

/// What was taken for an order, from a stock that exists. What is taken once per message is noted as `ORDER/MESSAGE`.
#[cfg(any(feature = "postgres", feature = "mysql"))]
fn stock_updated(address: &Address, run: &str) -> Option<String> {
    let shop = database::server::shop_of(run);
    let is_of_order = match address.kind() {
        Kind::Postgres => "split_part(m.taken_for, '/', 1) = $1",
        Kind::Mysql => "SUBSTRING_INDEX(m.taken_for, '/', 1) = ?",
        _ => return None,
    };
    Some(format!("SELECT m.sku FROM {shop}.movements m JOIN {shop}.stock s ON s.sku = m.sku WHERE {is_of_order}"))
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
fn price(address: &Address, run: &str) -> Option<String> {
    let sku = if address.kind() == Kind::Postgres { "$1" } else { "?" };
    Some(format!("SELECT price_cents FROM {}.products WHERE sku = {sku}", database::server::shop_of(run)))
}

#[cfg(not(any(feature = "postgres", feature = "mysql")))]
fn price(_address: &Address, _run: &str) -> Option<String> {
    None
}

/// Without a client, an address has been refused before.
#[cfg(not(any(feature = "postgres", feature = "mysql")))]
fn stock_updated(_address: &Address, _run: &str) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use crate::{CONTRACT, Parts};

    #[test]
    fn files_and_memory_are_not_asked() {
        assert!(Parts::default().systems().is_empty());
        assert_eq!(Parts::default().contract("1"), CONTRACT);
    }

    /// Guarantee: the question stands in the step that it is about, and no system shows its password.
    #[cfg(feature = "full")]
    #[test]
    fn real_parts_are_asked_by_name() {
        for (url, part) in [("postgres", "split_part(m.taken_for, '/', 1) = $1"), ("mysql", "SUBSTRING_INDEX")] {
            let url = format!("{url}://u:hidden@h/shop");
            let parts = Parts::new(Some("nats://h"), Some(&url), Some("redis://h")).unwrap();
            let contract = parts.contract("1f");
            let (steps, _) = contract.split_once("exits:").unwrap();
            let (_, last) = steps.split_once("stock_updated").unwrap();
            assert!(last.contains("truegreen_demo_1f.movements") && last.contains(part), "{contract}");
            let prices = parts.prices("1f").unwrap();
            assert_eq!(prices.cached.1, "HGET truegreen-demo:1f:stock:{key} price_cents");
            assert!(prices.source.1.contains("FROM truegreen_demo_1f.products"), "{prices:?}");
            let systems = parts.systems();
            let names: Vec<_> = systems.iter().map(|system| system.name.as_str()).collect();
            assert_eq!(names, ["broker", "database", "cache"]);
            assert!(!format!("{systems:?}{contract}").contains("hidden"));
        }
    }
}
