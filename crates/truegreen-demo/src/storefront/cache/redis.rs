//! Products in Redis or Valkey, a hash for each.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::trace::SpanKind;
use opentelemetry::{Context, KeyValue};
use redis::{Connection, RedisResult, Script};
use truegreen_connect::Address;

use super::{Kept, TTL, key_of};
use crate::Error;
use crate::event::CATALOGUE;
use crate::product::Product;
use crate::telemetry::Telemetry;

const PATIENCE: Duration = Duration::from_secs(2);
const DEFAULT_PORT: u16 = 6379;

/// What is older than `oldest` was changed since: a slow read may bring it after its removal.
const PUT: &str = "
if tonumber(ARGV[1]) < tonumber(redis.call('HGET', KEYS[1], 'oldest') or '0') then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'price_cents', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1";
const REMOVE: &str = "
local version = tonumber(ARGV[1])
if version > tonumber(redis.call('HGET', KEYS[1], 'oldest') or '0') then
  redis.call('HSET', KEYS[1], 'oldest', ARGV[1])
end
if tonumber(redis.call('HGET', KEYS[1], 'version') or '-1') >= version then return 0 end
redis.call('HDEL', KEYS[1], 'version', 'price_cents')
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1";

pub(super) struct Redis {
    telemetry: Telemetry,
    address: Address,
    run: String,
    client: redis::Client,
    /// None after it broke.
    connection: Mutex<Option<Connection>>,
    put: Script,
    remove: Script,
}

impl Redis {
    /// Blocks.
    pub(super) fn open(telemetry: &Telemetry, address: &Address, run: &str) -> Result<Redis, Error> {
        let client = client(address)?;
        let connection = connect(&client).map_err(|error| failed(address, "connect", &error))?;
        Ok(Redis {
            telemetry: telemetry.clone(),
            address: address.clone(),
            run: run.to_owned(),
            client,
            connection: Mutex::new(Some(connection)),
            put: Script::new(PUT),
            remove: Script::new(REMOVE),
        })
    }

    /// Runs one command within a span as Redis clients' instrumentation makes them.
    fn command<T>(
        &self,
        name: &'static str,
        action: &'static str,
        context: &Context,
        work: impl FnOnce(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, Error> {
        let port = self.address.secret_url().port().unwrap_or(DEFAULT_PORT);
        let attributes = vec![
            KeyValue::new("db.system.name", "redis"),
            KeyValue::new("db.operation.name", name),
            KeyValue::new("server.address", self.address.host().to_owned()),
            KeyValue::new("server.port", i64::from(port)),
        ];
        let span = self.telemetry.span(name, SpanKind::Client, attributes, context);
        let done = self.on_connection(work).map_err(|error| failed(&self.address, action, &error));
        match &done {
            Ok(_) => self.telemetry.end(&span),
            Err(error) => self.telemetry.end_failed(&span, error.kind(), error.to_string()),
        }
        done
    }

    fn on_connection<T>(&self, work: impl FnOnce(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match &mut *slot {
            Some(connection) => connection,
            None => slot.insert(connect(&self.client)?),
        };
        let done = work(connection);
        if done.as_ref().is_err_and(|error| error.is_io_error() || error.is_connection_dropped()) {
            *slot = None;
        }
        done
    }

    fn key(&self, sku: &str) -> String {
        key_of(&self.run, sku)
    }
}

impl Kept for Redis {
    fn get(&self, sku: &str, context: &Context) -> Result<Option<Product>, Error> {
        let key = self.key(sku);
        let found: (Option<u64>, Option<u32>) = self.command("HMGET", "look for a product", context, |connection| {
            redis::cmd("HMGET").arg(&key).arg("version").arg("price_cents").query(connection)
        })?;
        let (Some(version), Some(price_cents)) = found else { return Ok(None) };
        Ok(Some(Product { sku: sku.to_owned(), price_cents, version }))
    }

    fn put(&self, product: &Product, context: &Context) -> Result<(), Error> {
        let key = self.key(&product.sku);
        self.command("EVALSHA", "keep a product", context, |connection| {
            let mut put = self.put.key(&key);
            put.arg(product.version).arg(product.price_cents).arg(TTL.as_secs()).invoke::<u8>(connection)
        })
        .map(drop)
    }

    fn remove(&self, sku: &str, version: u64, context: &Context) -> Result<(), Error> {
        let key = self.key(sku);
        self.command("EVALSHA", "remove a product", context, |connection| {
            self.remove.key(&key).arg(version).arg(TTL.as_secs()).invoke::<u8>(connection)
        })
        .map(drop)
    }
}

fn client(address: &Address) -> Result<redis::Client, Error> {
    redis::Client::open(address.secret_url().as_str()).map_err(|error| failed(address, "connect", &error))
}

fn connect(client: &redis::Client) -> RedisResult<Connection> {
    let connection = client.get_connection_with_timeout(PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    Ok(connection)
}

fn failed(address: &Address, action: &'static str, error: &redis::RedisError) -> Error {
    Error::Part {
        part: address.to_string(),
        action,
        why: address.without_secrets(&error.to_string()),
        code: error.code().map(str::to_owned),
        kind: "cache",
    }
}

/// Removes what a run kept. Blocks.
///
/// # Errors
/// It does not answer.
pub(crate) fn empty(address: &Address, run: &str) -> Result<(), Error> {
    let keys: Vec<String> = CATALOGUE.iter().map(|article| key_of(run, article.sku)).collect();
    let emptied = connect(&client(address)?)
        .and_then(|mut connection| redis::cmd("DEL").arg(&keys).query::<u64>(&mut connection));
    emptied.map(drop).map_err(|error| failed(address, "remove the run's keys", &error))
}
