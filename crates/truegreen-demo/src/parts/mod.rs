//! What the demo runs on besides its own files: a real broker, database and cache, by their addresses.
//!
//! Everything a run makes there carries the run's name, and is removed when the run ends.

mod asked;
#[cfg(test)]
#[cfg(feature = "full")]
mod real;

use std::path::PathBuf;
use std::process::Command;

use truegreen_connect::address::Surroundings;
use truegreen_connect::{Address, Kind};

pub use asked::Prices;

use crate::Error;
use crate::database::{self, Ledger, Shop, SqliteLedger, SqliteShop};
use crate::queue::Queue;
use crate::queue::in_database::TableQueue;

/// Environment variables by which the services are told of the parts.
const BROKER: &str = "TRUEGREEN_DEMO_BROKER";
const DATABASE: &str = "TRUEGREEN_DEMO_DATABASE";
const CACHE: &str = "TRUEGREEN_DEMO_CACHE";

/// The real parts of a run. Without any: a SQLite file for the queue and the databases, and the storefront's memory.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    broker: Option<Address>,
    database: Option<Address>,
    cache: Option<Address>,
}

impl Parts {
    /// `broker`: `amqp://`, `amqps://`, `nats://` or `kafka://`; `database`: `postgres://` or `mysql://`; `cache`:
    /// `redis://` or `rediss://`. In each, `${NAME}` and `${file:/path}` are put in.
    ///
    /// # Errors
    /// An address does not read, is of something else, or its client is not built into this program.
    pub fn new(broker: Option<&str>, database: Option<&str>, cache: Option<&str>) -> Result<Parts, Error> {
        let brokers = [
            (Kind::Rabbitmq, cfg!(feature = "rabbitmq")),
            (Kind::Nats, cfg!(feature = "nats")),
            (Kind::Kafka, cfg!(feature = "kafka")),
        ];
        let databases = [(Kind::Postgres, cfg!(feature = "postgres")), (Kind::Mysql, cfg!(feature = "mysql"))];
        Ok(Parts {
            broker: address("broker", broker, &brokers, "amqp://, nats:// or kafka://")?,
            database: address("database", database, &databases, "postgres:// or mysql://")?,
            cache: address("cache", cache, &[(Kind::Redis, cfg!(feature = "redis"))], "redis://")?,
        })
    }

    /// What it runs on, in words and without secrets; none where it is its own files and memory only.
    pub fn shown(&self) -> Option<String> {
        let named = [("broker", &self.broker), ("database", &self.database), ("cache", &self.cache)];
        let shown: Vec<String> = named
            .iter()
            .filter_map(|(which, address)| address.as_ref().map(|address| format!("{which} {address}")))
            .collect();
        (!shown.is_empty()).then(|| shown.join(", "))
    }

    pub(crate) fn cache(&self) -> Option<&Address> {
        self.cache.as_ref()
    }

    /// Tells a service of the parts.
    pub(crate) fn tell(&self, command: &mut tokio::process::Command) {
        self.tell_std(command.as_std_mut());
    }

    fn tell_std(&self, command: &mut Command) {
        for (name, address) in [(BROKER, &self.broker), (DATABASE, &self.database), (CACHE, &self.cache)] {
            match address {
                Some(address) => command.env(name, address.secret_url().as_str()),
                None => command.env_remove(name),
            };
        }
    }

    pub(crate) fn from_environment() -> Result<Parts, Error> {
        let told = |name| std::env::var(name).ok();
        Parts::new(told(BROKER).as_deref(), told(DATABASE).as_deref(), told(CACHE).as_deref())
    }
}

fn address(
    which: &'static str,
    text: Option<&str>,
    kinds: &[(Kind, bool)],
    schemes: &'static str,
) -> Result<Option<Address>, Error> {
    let Some(text) = text else { return Ok(None) };
    let address = Address::parse(text, &Surroundings).map_err(|why| Error::Address { which, why })?;
    match kinds.iter().find(|(kind, _)| *kind == address.kind()) {
        Some((_, true)) => Ok(Some(address)),
        Some((_, false)) => Err(Error::not_built(which, &address)),
        None => Err(Error::Address { which, why: format!("{address} is none the demo can run on\nhint: {schemes}") }),
    }
}

/// Where one run keeps its things.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) run_dir: PathBuf,
    #[cfg_attr(
        not(any(
            feature = "postgres",
            feature = "mysql",
            feature = "redis",
            feature = "rabbitmq",
            feature = "nats",
            feature = "kafka"
        )),
        expect(dead_code, reason = "only what is made on real parts carries it")
    )]
    pub(crate) run: String,
    pub(crate) parts: Parts,
}

/// All of these block.
impl Site {
    /// Makes whatever the services need before they start.
    pub(crate) fn create(&self) -> Result<(), Error> {
        drop(database::create(&database::path_in(&self.run_dir))?);
        if let Some(address) = &self.parts.database {
            self.create_on_server(address)?;
        }
        match &self.parts.broker {
            Some(address) => self.create_on_broker(address),
            None => Ok(()),
        }
    }

    /// Removes what was made on real parts. The files stay.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        let removed = [
            self.parts.broker.as_ref().map_or(Ok(()), |address| self.remove_from_broker(address)),
            self.parts.database.as_ref().map_or(Ok(()), |address| self.remove_from_server(address)),
            self.parts.cache.as_ref().map_or(Ok(()), |address| self.remove_from_cache(address)),
        ];
        removed.into_iter().collect()
    }

    pub(crate) fn shop(&self) -> Result<Box<dyn Shop>, Error> {
        match &self.parts.database {
            None => Ok(Box::new(SqliteShop::open(&self.run_dir)?)),
            Some(address) => self.shop_on_server(address),
        }
    }

    pub(crate) fn ledger(&self) -> Result<Box<dyn Ledger>, Error> {
        match &self.parts.database {
            None => Ok(Box::new(SqliteLedger::open(&self.run_dir)?)),
            Some(address) => self.ledger_on_server(address),
        }
    }

    pub(crate) fn queue(&self) -> Result<Box<dyn Queue>, Error> {
        match &self.parts.broker {
            None => Ok(Box::new(TableQueue::open(&self.run_dir)?)),
            Some(address) => self.queue_on_broker(address),
        }
    }
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
impl Site {
    fn create_on_server(&self, address: &Address) -> Result<(), Error> {
        database::server::create(address, &self.run)
    }

    fn remove_from_server(&self, address: &Address) -> Result<(), Error> {
        database::server::remove(address, &self.run)
    }

    fn shop_on_server(&self, address: &Address) -> Result<Box<dyn Shop>, Error> {
        Ok(Box::new(database::server::ServerShop::open(address, &self.run)?))
    }

    fn ledger_on_server(&self, address: &Address) -> Result<Box<dyn Ledger>, Error> {
        Ok(Box::new(database::server::ServerLedger::open(address, &self.run)?))
    }
}

/// Without a client, an address has been refused before.
#[cfg(not(any(feature = "postgres", feature = "mysql")))]
impl Site {
    fn create_on_server(&self, address: &Address) -> Result<(), Error> {
        Err(Error::not_built("database", address))
    }

    fn remove_from_server(&self, address: &Address) -> Result<(), Error> {
        Err(Error::not_built("database", address))
    }

    fn shop_on_server(&self, address: &Address) -> Result<Box<dyn Shop>, Error> {
        Err(Error::not_built("database", address))
    }

    fn ledger_on_server(&self, address: &Address) -> Result<Box<dyn Ledger>, Error> {
        Err(Error::not_built("database", address))
    }
}

impl Site {
    fn create_on_broker(&self, address: &Address) -> Result<(), Error> {
        match address.kind() {
            #[cfg(feature = "rabbitmq")]
            Kind::Rabbitmq => crate::queue::rabbitmq::create(address, &self.run),
            #[cfg(feature = "nats")]
            Kind::Nats => crate::queue::nats::create(address, &self.run),
            #[cfg(feature = "kafka")]
            Kind::Kafka => crate::queue::kafka::create(address, &self.run),
            _ => Err(Error::not_built("broker", address)),
        }
    }

    fn remove_from_broker(&self, address: &Address) -> Result<(), Error> {
        match address.kind() {
            #[cfg(feature = "rabbitmq")]
            Kind::Rabbitmq => crate::queue::rabbitmq::remove(address, &self.run),
            #[cfg(feature = "nats")]
            Kind::Nats => crate::queue::nats::remove(address, &self.run),
            #[cfg(feature = "kafka")]
            Kind::Kafka => crate::queue::kafka::remove(address, &self.run),
            _ => Err(Error::not_built("broker", address)),
        }
    }

    fn queue_on_broker(&self, address: &Address) -> Result<Box<dyn Queue>, Error> {
        match address.kind() {
            #[cfg(feature = "rabbitmq")]
            Kind::Rabbitmq => Ok(Box::new(crate::queue::rabbitmq::RabbitQueue::open(address, &self.run)?)),
            #[cfg(feature = "nats")]
            Kind::Nats => Ok(Box::new(crate::queue::nats::NatsQueue::open(address, &self.run)?)),
            #[cfg(feature = "kafka")]
            Kind::Kafka => Ok(Box::new(crate::queue::kafka::KafkaQueue::open(address, &self.run)?)),
            _ => Err(Error::not_built("broker", address)),
        }
    }

    #[cfg(feature = "redis")]
    fn remove_from_cache(&self, address: &Address) -> Result<(), Error> {
        crate::storefront::empty_cache(address, &self.run)
    }

    #[cfg(not(feature = "redis"))]
    fn remove_from_cache(&self, address: &Address) -> Result<(), Error> {
        Err(Error::not_built("cache", address))
    }
}

#[cfg(test)]
mod tests {
    use super::Parts;

    /// Guarantee: what the demo cannot run on is refused before anything starts, with a way out and without a secret.
    #[test]
    fn an_address_of_something_else_is_refused() {
        for (broker, database, cache, part) in [
            (Some("redis://:hidden@h"), None, None, "broker: redis://h is none the demo can run on"),
            (None, Some("nats://u:hidden@h"), None, "hint: postgres:// or mysql://"),
            (None, None, Some("hidden"), "cache: not a URL"),
        ] {
            let error = Parts::new(broker, database, cache).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("hidden@"), "{error}");
        }
        assert_eq!(Parts::default().shown(), None);
    }

    #[cfg(not(feature = "rabbitmq"))]
    #[test]
    fn a_part_that_is_not_built_says_how_to_build_it() {
        let error = Parts::new(Some("amqp://u:hidden@h:1"), None, None).unwrap_err().to_string();
        assert!(error.contains("amqp://h:1") && error.contains("hint: ") && error.contains("full"), "{error}");
    }
}
