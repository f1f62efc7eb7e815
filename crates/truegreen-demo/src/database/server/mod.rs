//! PostgreSQL, MySQL and MariaDB: a schema (there, a database) of the run's own for the shop, and one for payments.

mod connection;
mod ledger;
mod schema;
mod shop;

use std::time::Duration;

use tokio::runtime::Handle;
use truegreen_connect::Address;

use super::Named;
use crate::Error;
use connection::{Connection, Value};

pub(crate) use ledger::ServerLedger;
pub(crate) use schema::{create, remove, shop_of};
pub(crate) use shop::ServerShop;

/// How long a connection, or one statement, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// SQLSTATE, or MySQL's number, of a write where only reading is allowed.
const READ_ONLY: &[&str] = &["25006", "1290", "1792", "1836"];

/// One connection, opened again after it broke, but never within a transaction.
struct Server {
    runtime: Handle,
    address: Address,
    /// The schema or database.
    home: String,
    named: Named,
    connection: Option<Connection>,
    in_transaction: bool,
}

impl Server {
    /// Blocks; inside a tokio runtime, as all of its methods.
    fn open(address: &Address, home: String) -> Result<Server, Error> {
        let runtime = Handle::current();
        let named = Named { system: "", namespace: "".into() };
        let mut server = Server {
            runtime,
            address: address.clone(),
            home: home.clone(),
            named,
            connection: None,
            in_transaction: false,
        };
        let version = server.text("ask for the version", "SELECT version()", &[])?.unwrap_or_default();
        let named = server.connection()?.named(&home, &version);
        server.named = named;
        Ok(server)
    }

    fn connection(&mut self) -> Result<&mut Connection, Error> {
        if self.connection.is_none() && !self.in_transaction {
            let opened = self
                .runtime
                .block_on(async { tokio::time::timeout(PATIENCE, Connection::open(&self.address, &self.home)).await });
            self.connection = Some(self.judged("connect", opened)?);
        }
        if self.connection.is_none() {
            return Err(self.failed("go on with a transaction", "the connection broke".to_owned(), None));
        }
        self.connection.as_mut().ok_or(Error::Unconfirmed)
    }

    /// The rows it wrote, as the server counts them.
    fn execute(&mut self, action: &'static str, sql: &str, values: &[Value<'_>]) -> Result<u64, Error> {
        let runtime = self.runtime.clone();
        let connection = self.connection()?;
        let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, connection.execute(sql, values)).await });
        self.judged(action, done)
    }

    /// The first row's two numbers.
    fn numbers(&mut self, action: &'static str, sql: &str, values: &[Value<'_>]) -> Result<Option<(i64, i64)>, Error> {
        let runtime = self.runtime.clone();
        let connection = self.connection()?;
        let read = runtime.block_on(async { tokio::time::timeout(PATIENCE, connection.numbers(sql, values)).await });
        self.judged(action, read)
    }

    /// The first row's text.
    fn text(&mut self, action: &'static str, sql: &str, values: &[Value<'_>]) -> Result<Option<String>, Error> {
        let runtime = self.runtime.clone();
        let connection = self.connection()?;
        let read = runtime.block_on(async { tokio::time::timeout(PATIENCE, connection.text(sql, values)).await });
        self.judged(action, read)
    }

    /// What takes no values and answers no rows.
    fn run(&mut self, action: &'static str, sql: &str) -> Result<(), Error> {
        let runtime = self.runtime.clone();
        let connection = self.connection()?;
        let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, connection.run(sql)).await });
        self.judged(action, done)
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.run("begin a transaction", "BEGIN")?;
        self.in_transaction = true;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.run("commit", "COMMIT")?;
        self.in_transaction = false;
        Ok(())
    }

    fn roll_back(&mut self) {
        if std::mem::take(&mut self.in_transaction)
            && self.connection.is_some()
            && self.run("roll back", "ROLLBACK").is_err()
        {
            // What is left of it ends with the connection.
            self.connection = None;
        }
    }

    fn judged<T>(
        &mut self,
        action: &'static str,
        answer: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, Error> {
        let error = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => {
                self.connection = None;
                return Err(self.failed(action, format!("no answer within {} s", PATIENCE.as_secs()), None));
            }
        };
        let Some(told) = error.as_database_error() else {
            self.connection = None;
            return Err(self.failed(action, error.to_string(), None));
        };
        let code = connection::code(told);
        Err(self.failed(action, told.message().to_owned(), code))
    }

    fn failed(&self, action: &'static str, why: String, code: Option<String>) -> Error {
        let is_read_only = code.as_deref().is_some_and(|code| READ_ONLY.contains(&code));
        Error::Part {
            part: self.address.to_string(),
            action,
            why: self.address.without_secrets(&why),
            code,
            kind: if is_read_only { "readonly" } else { "database" },
        }
    }
}
