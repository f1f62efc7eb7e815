//! The pure state machine: telemetry in, verdicts and findings out. It reads no clock (INV-TIME-1), draws no random
//! number, opens no file and knows no network: `apply(now, input)` is all there is, so that the same inputs give the
//! same verdicts on replay (INV-REPLAY-1).

pub mod engine;
pub mod flow;
pub mod input;

pub use engine::{Engine, Options};
pub use input::{Effect, Input, Request};
