//! Flows read off healthy traffic: what follows what, how often and how soon, and who breaks that later.
//!
//! Reading order: [`case`] (one passage: its events and attributes), `table` and [`traces`] (how cases are made, of
//! plain event logs and of telemetry; `passages` and `segments` do the latter), [`heard`] (what the recording
//! can hold at all), [`template`] (log lines to templates), `counts` and `candidates` (what
//! might be expected), `calibrate` (what may be), [`model`] (what was learned), [`check`] (further cases judged by
//! it), [`watch`] (books and verdicts), `alarms` (when broken
//! expectations are more than usual), `steps` and [`contract`] (the model as YAML).
//!
//! Nothing here opens a file, reads a clock or draws a random number. Which numbers were chosen, and why, is told in
//! `docs/learning.md`; they stand in [`tolerance`].

mod alarms;
mod attributes;
mod calibrate;
mod candidates;
pub mod case;
pub mod check;
pub mod contract;
mod counts;
mod explain;
mod findings;
mod gaps;
pub mod heard;
mod learning;
pub mod model;
mod next;
mod outcome;
mod passages;
mod segments;
mod steps;
mod table;
pub mod template;
#[cfg(test)]
mod tests;
pub mod tolerance;
pub mod traces;
mod vocabulary;
pub mod watch;

pub use learning::learn;
pub use model::Model;
pub use table::Table;
pub use vocabulary::{Activity, ActivityId, Vocabulary};
