//! Tables with planted causes: whether `truegreen contrast` names them exactly, beside two published ways to look for them.
//!
//! Read in this order: [`kind`] (what kinds of tables there are) of [`setting`], [`leaves`] and [`requests`], made by `plain`
//! and these; [`world`] (one table, and its truth), [`baselines`] (Adtributor and a ranking by share difference,
//! reimplemented), [`judge`] (what was recovered), [`report`] (a line for each kind).

pub mod baselines;
mod chance;
pub mod judge;
pub mod kind;
pub mod leaves;
mod plain;
pub mod report;
pub mod requests;
pub mod setting;
pub mod world;
