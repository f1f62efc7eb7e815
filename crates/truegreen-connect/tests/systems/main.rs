//! Systems asked as they are: real sockets on loopback, and real servers, each started for its test.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in what its tests share too")]

mod clock;
#[cfg(any(feature = "redis", feature = "nats", feature = "kafka", feature = "rabbitmq"))]
mod glance;
mod http;
#[cfg(feature = "kafka")]
mod kafka;
mod loopback;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "nats")]
mod nats;
mod peer;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "redis")]
mod redis;
mod tls;
mod troubles;
