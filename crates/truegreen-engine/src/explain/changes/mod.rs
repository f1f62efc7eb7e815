//! What changed, and which of it most probably caused an incident.
//!
//! Reading order: [`rank()`] on series of calls by minute, made of `edges` (the series), `step` (when one became worse),
//! `degraded` (which edges did, and where that starts), `touched` and `effect` (how the changed ones do, against the others
//! and against before), `score` (evidence to probabilities). Then [`incident`] (the same scoring on what is known of a
//! finding), [`questions`] (the seven questions of an engineer on call) and [`read_off`](mod@read_off) (what nobody
//! reported, seen in the telemetry itself).

mod degraded;
mod edges;
mod effect;
mod examine;
pub mod incident;
mod known;
pub mod questions;
mod rank;
pub mod read_off;
mod reasons;
mod score;
mod statistics;
mod step;
#[cfg(test)]
mod tests;
mod touched;

pub use edges::{EdgeRow, EdgeTable, Edges, LeftOut, MAX_SERIES};
pub use incident::rank_for_incident;
pub(crate) use known::KnownChanges;
pub use known::MAX_CHANGES;
pub use questions::seven;
pub use rank::rank;
pub use read_off::{ReadOff, first_sights, is_counted, read_off, traffic, unreported};
