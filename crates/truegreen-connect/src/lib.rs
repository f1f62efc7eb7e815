//! Systems that Truegreen does not own, asked themselves: telemetry can be wrong or absent, the broker, the database and
//! the cache know. One module a system; each offers what it can of
//!
//! - [`System::probe`]: honest health, by real reads and, where allowed, writes;
//! - [`confirm::Confirm`]: whether an effect is there;
//! - [`keys::Keys`]: which keys there are, some at a time;
//! - [`dead_letters::DeadLetters`]: what lies dead, and the way back;
//! - [`live::Live`]: what is under way, looked at without taking it from anybody.
//!
//! Nothing here decides a verdict, and nothing here keeps anything: what is asked and what becomes of the answers is the
//! server's. Everything has a time limit, every answer a bound, and no error carries a secret.
//!
//! Read in this order: [`address`], [`config`], [`error`], [`probe`], [`confirm`], [`keys`], [`dead_letters`], [`live`], then any
//! system.

pub mod address;
pub mod clock;
pub mod config;
pub mod confirm;
pub mod dead_letters;
pub mod error;
pub mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod keys;
pub mod lag;
pub mod live;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod probe;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "redis")]
pub mod redis;
mod socket;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod sql;
mod system;
pub mod tls;

pub use address::{Address, Kind};
pub use config::SystemConfig;
pub use error::Error;
pub use system::System;
