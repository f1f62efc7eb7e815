//! An inventory pipeline of real parts, with every silent failure to switch on.
//!
//! storefront -> orders (HTTP) -> durable queue -> inventory -> database. Beside it, orders has each order paid by
//! payments and takes returns; the storefront shows prices from a cache, which inventory's changes keep right. Each
//! service is a process of its own that sends its telemetry through the official OpenTelemetry SDK over OTLP/gRPC;
//! database and queue are one SQLite file, or real [`parts`].
//! It is not a simulation: the orders are placed over HTTP, the rows are written, and what each service *really* did
//! stands in its own truth file, which no part of Truegreen reads.
//!
//! Read in this order: [`fault`] (what can be broken), `plan` (what each service is told for it), [`pipeline`] (the
//! orchestrator), [`load`], [`monitoring`] (what an ordinary dashboard would show), [`truth`], then the services:
//! `service`, `storefront`, `orders`, `payments`, `inventory`, and what they stand on: `http`, `messaging` and `queue`,
//! `telemetry`.

pub mod fault;
pub mod load;
pub mod monitoring;
pub mod parts;
pub mod pipeline;
pub mod truth;

mod child;
mod clock;
mod config;
mod database;
mod error;
mod event;
mod http;
mod inventory;
mod messaging;
mod orders;
mod payments;
mod peers;
mod plan;
mod product;
mod queue;
mod relay;
mod service;
mod storefront;
mod telemetry;
mod token;

#[cfg(test)]
mod scene;

pub use error::Error;
pub use fault::Fault;
pub use load::{LoadSummary, Progress};
pub use monitoring::{OrdinaryMonitoring, ServiceHealth};
pub use parts::Parts;
pub use pipeline::{Pipeline, Setup};
pub use service::serve_role;
pub use truth::Truth;

/// The demo's flow contract (YAML, flow `order-fulfilment`).
pub const CONTRACT: &str = include_str!("../flows/order-fulfilment.yaml");
