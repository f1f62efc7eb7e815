//! How Truegreen can ask the parts of a run themselves, beside listening to its services.

use truegreen_connect::{Address, Kind, SystemConfig};

use super::Parts;
use crate::{CONTRACT, database};

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
            let systems = parts.systems();
            let names: Vec<_> = systems.iter().map(|system| system.name.as_str()).collect();
            assert_eq!(names, ["broker", "database", "cache"]);
            assert!(!format!("{systems:?}{contract}").contains("hidden"));
        }
    }
}
