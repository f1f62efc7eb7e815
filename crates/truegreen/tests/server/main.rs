//! The server as its users meet it: over sockets, in this process, on free ports.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in what its tests share too")]

mod alerts;
mod audit;
mod commands;
mod demo;
mod events;
mod intake;
mod learn;
mod lookup;
mod pages;
mod python_sdk;
mod refusals;
mod restart;
mod startup;
mod support;
mod versions;
