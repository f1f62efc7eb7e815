//! Real servers for tests and the demo's other parts: each on free loopback ports, with a data folder of its own, stopped by
//! its process id when it is dropped. Nothing here is a mock, and nothing here passes where a server is missing: the error
//! says which command installs it.

mod kafka;
mod mariadb;
mod nats;
mod port;
mod postgres;
mod process;
mod rabbitmq;
mod redis;

#[cfg(feature = "kafka-mock")]
pub use kafka::KafkaMock;
pub use kafka::Tansu;
pub use mariadb::Mariadb;
pub use nats::{Nats, NatsCluster};
pub use port::free_port;
pub use postgres::Postgres;
pub use process::{Error, Process, Program};
pub use rabbitmq::Rabbitmq;
/// To speak with [`KafkaMock`] and [`Tansu`].
#[cfg(feature = "kafka-mock")]
pub use rdkafka;
pub use redis::Redis;
