//! Payments' database on a server.

use truegreen_connect::{Address, Kind};

use super::schema::payments_of;
use super::{Server, Value};
use crate::Error;
use crate::database::{Ledger, Named, now_ms};

pub(crate) struct ServerLedger(Server);

impl ServerLedger {
    pub(crate) fn open(address: &Address, run: &str) -> Result<ServerLedger, Error> {
        Server::open(address, payments_of(run)).map(ServerLedger)
    }
}

impl Ledger for ServerLedger {
    fn named(&self) -> Named {
        self.0.named.clone()
    }

    /// There is one server: its session refuses every write with the error that a replica has for it.
    fn fail_over(&mut self) -> Result<(), Error> {
        let statement = match self.0.address.kind() {
            Kind::Mysql => "SET SESSION TRANSACTION READ ONLY",
            _ => "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        };
        self.0.run("fail over", statement)
    }

    fn write(&mut self, order: &str, method: &str) -> Result<u64, Error> {
        let statement = match self.0.address.kind() {
            Kind::Mysql => "INSERT IGNORE INTO payments (order_id, method, paid_ms) VALUES (?, ?, ?)",
            _ => "INSERT INTO payments (order_id, method, paid_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        };
        let values = [Value::Text(order), Value::Text(method), Value::Number(now_ms())];
        self.0.execute("write a payment", statement, &values)
    }

    fn try_to_write(&mut self) -> Result<(), Error> {
        self.0.begin()?;
        let tried = self.0.execute("try to write", "DELETE FROM payments WHERE order_id = ''", &[]);
        self.0.roll_back();
        tried.map(drop)
    }

    fn read(&mut self) -> Result<(), Error> {
        self.0.numbers("read", "SELECT count(*), count(*) FROM payments WHERE order_id = ''", &[]).map(drop)
    }
}
