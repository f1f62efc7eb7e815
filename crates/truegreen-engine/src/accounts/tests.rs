//! Whole engines on simulated time, fed with OTLP bytes.

mod abandonment;
mod allowance;
mod counters;
mod world;
