//! The pure state machine: telemetry in, verdicts and findings out. It reads no clock (INV-TIME-1), draws no random
//! number, opens no file and knows no network: `apply(now, input)` is all there is, so that the same inputs give the
//! same verdicts on replay (INV-REPLAY-1).
//!
//! The way of the data, in reading order:
//!
//! 1. [`flow`]: contract text to compiled flow.
//! 2. `matcher`: all contracts as one index from records to steps.
//! 3. `intake`: requests record by record; what a record shows, and for whom. Read side by side, taken in one by one.
//! 4. `trace`: records without a key inherit it within their trace.
//! 5. `ledger`: journeys, deadlines, verdicts, in shards; `coverage` says what a silence proves.
//! 6. `accounts`: verdicts to books, findings and health.
//! 7. `trace` again, for what no contract names: spans put together to traces; `watch`: detectors, each shown every trace;
//!    `finding`: what they find, folded by place; `blind_spots`: where a failure could hide.
//! 8. [`learn`]: flows read off healthy traffic, and who breaks them later. It stands beside the rest.
//! 9. `questions`, `asking`: what systems themselves are asked, and what they answer.
//! 10. [`cases`]: which requests a finding is about, and which of their like went well; [`explain`]: why. It stands
//!     beside the rest, and is given what was recorded.
//! 11. `engine`: all of it behind one function; `report`: how it is read; `revision`: how contracts change; `state`: how it
//!     is kept across restarts.

mod accounts;
mod asking;
mod blind_spots;
pub mod cases;
mod counters;
mod coverage;
mod date;
pub mod engine;
pub mod explain;
mod finding;
pub mod flow;
pub mod input;
mod intake;
pub mod learn;
mod ledger;
mod matcher;
mod questions;
mod report;
mod revision;
mod side_by_side;
mod state;
mod symbols;
mod timers;
mod trace;
mod watch;

pub use engine::{Engine, Options};
pub use input::{Effect, Input, Request};
pub use report::ClockCorrection;
pub use state::{Keep, RestoreError};
