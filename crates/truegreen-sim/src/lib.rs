//! Development only. Holds the engine against a second opinion: seeded worlds of services that send real OTLP bytes,
//! and a naive reference of the ledger that knows nothing of the engine but the words of `truegreen-model`.
//!
//! What it is not: fast, complete (CloudEvents and `bind:` are not simulated), or a place for shared test code.
//!
//! Read in this order: [`telemetry`] (records as plain data), [`mod@reference`] (the rules, recomputed from the whole
//! history each time), [`world`] (services, journeys and troubles from a seed), [`script`] (a world written by hand),
//! [`otlp`] (records to bytes), [`run`] (an engine driven through a world, its books checked after every input),
//! [`compare`] (its word against the reference's), [`durability`] (nothing acknowledged is lost, whatever crashes).
//! Beside all that: [`tables`] (planted causes, and whether they are named).

pub mod campaign;
pub mod compare;
pub mod durability;
pub mod otlp;
pub mod reference;
pub mod run;
pub mod script;
pub mod tables;
pub mod telemetry;
pub mod world;
