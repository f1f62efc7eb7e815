//! The engine against a naive reference, through real OTLP bytes.

mod properties;
mod scenarios;
mod worlds;
