//! Truegreen as a server and a command line.
//!
//! Read in this order: [`commands`] (what a user can ask for), [`server`] (the parts put together), [`ingest`]
//! (telemetry in), [`durable`] (the log that accepted requests are in before they are answered), [`run_loop`] (the
//! thread that owns the engine), [`alert`] (what is sent), [`lookup`] (one order followed end to end), [`api`] and [`web`]
//! (what is shown). From `ingest` to `alert` each hands on to the next and never looks back; what they share stands in
//! [`request`] and [`clock`]. The rules themselves live in `truegreen-engine`; nothing here decides a verdict.

pub mod alert;
pub mod api;
pub mod changes;
pub mod clock;
pub mod commands;
pub mod config;
pub mod confirming;
pub mod dead_letters;
pub mod durable;
pub mod explaining;
pub mod flows;
pub mod incidents;
pub mod ingest;
pub mod learning;
pub mod listen;
pub mod lookup;
pub mod metrics;
pub mod monitor;
pub mod quantity;
pub mod record;
pub mod request;
pub mod run_loop;
pub mod server;
pub mod systems;
pub mod web;
pub mod wording;
