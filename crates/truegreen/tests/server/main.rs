//! The server as its users meet it: over sockets, in this process, on free ports.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in what its tests share too")]

mod alerts;
#[cfg(feature = "full")]
mod asks;
mod audit;
mod changes;
mod commands;
#[cfg(feature = "full")]
mod comparisons;
mod confirmations;
mod contrast;
mod dead_letters;
mod demo;
mod diagnose;
#[cfg(feature = "full")]
mod effects;
mod events;
mod explains;
mod incidents;
mod intake;
mod learn;
mod lookup;
#[cfg(feature = "mcp")]
mod mcp;
mod pages;
mod probes;
mod python_sdk;
#[cfg(feature = "redis")]
mod redrive;
mod refusals;
mod restart;
mod startup;
mod support;
mod versions;
