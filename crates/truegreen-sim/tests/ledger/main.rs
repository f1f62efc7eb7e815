//! The engine against a naive reference, through real OTLP bytes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod binding;
mod clocks;
mod confirmations;
mod durability;
mod properties;
mod reach;
mod scenarios;
mod shards;
mod tables;
mod versions;
mod worlds;
