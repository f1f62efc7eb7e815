//! The shop's database on a server.

use rusqlite::Connection;
use truegreen_connect::{Address, Kind};

use super::schema::shop_of;
use super::{Server, Value};
use crate::Error;
use crate::database::{Named, Shop, UnitOfWork};
use crate::event::NewOrder;
use crate::product::Product;

const PRODUCT: &str = "SELECT price_cents, version FROM products WHERE sku = ?";

pub(crate) struct ServerShop(Server);

impl ServerShop {
    pub(crate) fn open(address: &Address, run: &str) -> Result<ServerShop, Error> {
        Server::open(address, shop_of(run)).map(ServerShop)
    }
}

impl Shop for ServerShop {
    fn named(&self) -> Named {
        self.0.named.clone()
    }

    fn begin(&mut self) -> Result<Box<dyn UnitOfWork + '_>, Error> {
        self.0.begin()?;
        Ok(Box::new(Unit(&mut self.0)))
    }

    fn kind_of(&mut self, order: &str) -> Result<Option<String>, Error> {
        self.0.text("look for an order", "SELECT kind FROM orders WHERE id = ?", &[Value::Text(order)])
    }

    fn next_label(&mut self, carrier: &str) -> Result<Option<i64>, Error> {
        self.0.begin()?;
        let unit = Unit(&mut self.0);
        let carrier = [Value::Text(carrier)];
        let taken = unit.0.execute(
            "take a label",
            "UPDATE labels SET next_label = next_label + 1 WHERE carrier = ? AND next_label <= last_label",
            &carrier,
        )?;
        let label = match taken {
            0 => None,
            _ => unit.0.numbers(
                "take a label",
                "SELECT next_label - 1, last_label FROM labels WHERE carrier = ?",
                &carrier,
            )?,
        };
        Box::new(unit).commit()?;
        Ok(label.map(|(label, _)| label))
    }

    fn note_return(&mut self, order: &str, carrier: &str, label: i64) -> Result<u64, Error> {
        let values = [Value::Text(order), Value::Text(carrier), Value::Number(label)];
        self.0.execute("note a return", "INSERT INTO returns (order_id, carrier, label) VALUES (?, ?, ?)", &values)
    }

    fn product(&mut self, sku: &str) -> Result<Option<Product>, Error> {
        let found = self.0.numbers("look for a product", PRODUCT, &[Value::Text(sku)])?;
        Ok(found.map(|(price_cents, version)| Product {
            sku: sku.to_owned(),
            price_cents: u32::try_from(price_cents).unwrap_or_default(),
            version: version.unsigned_abs(),
        }))
    }
}

/// Rolled back where it is dropped before it is committed.
struct Unit<'a>(&'a mut Server);

impl UnitOfWork for Unit<'_> {
    fn insert_order(&mut self, order: &NewOrder, placed_ms: i64) -> Result<u64, Error> {
        let values = [
            Value::Text(&order.order_id),
            Value::Text(&order.kind),
            Value::Text(&order.channel),
            Value::Number(placed_ms),
        ];
        let statement = "INSERT INTO orders (id, kind, channel, placed_ms) VALUES (?, ?, ?, ?)";
        self.0.execute("insert an order", statement, &values)
    }

    fn reprice(&mut self, sku: &str, price_cents: u32) -> Result<Option<u64>, Error> {
        let values = [Value::Number(i64::from(price_cents)), Value::Text(sku)];
        let statement = "UPDATE products SET price_cents = ?, version = version + 1 WHERE sku = ?";
        if self.0.execute("change a price", statement, &values)? == 0 {
            return Ok(None);
        }
        let now = self.0.numbers("look for a product", PRODUCT, &[Value::Text(sku)])?;
        Ok(now.map(|(_, version)| version.unsigned_abs()))
    }

    fn note_movement(&mut self, taken_for: &str, sku: &str, quantity: u32) -> Result<u64, Error> {
        let statement = match self.0.address.kind() {
            Kind::Mysql => "INSERT IGNORE INTO movements (taken_for, sku, quantity) VALUES (?, ?, ?)",
            _ => "INSERT INTO movements (taken_for, sku, quantity) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        };
        let values = [Value::Text(taken_for), Value::Text(sku), Value::Number(i64::from(quantity))];
        self.0.execute("note a movement", statement, &values)
    }

    fn take_stock(&mut self, sku: &str, quantity: u32) -> Result<u64, Error> {
        let values = [Value::Number(i64::from(quantity)), Value::Text(sku)];
        self.0.execute("update the stock", "UPDATE stock SET quantity = quantity - ? WHERE sku = ?", &values)
    }

    fn file(&self) -> Option<&Connection> {
        None
    }

    fn commit(self: Box<Self>) -> Result<(), Error> {
        self.0.commit()
    }
}

impl Drop for Unit<'_> {
    fn drop(&mut self) {
        self.0.roll_back();
    }
}
