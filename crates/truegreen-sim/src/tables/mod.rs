//! Tables with planted causes: whether `truegreen contrast` names them exactly, beside two published ways to look for them.
//!
//! Read in this order: [`setting`] (what kinds of tables there are), [`world`] (one table from a seed, and its truth),
//! [`baselines`] (Adtributor and a ranking by share difference, reimplemented), [`judge`] (what was recovered),
//! [`report`] (a line for each setting).

pub mod baselines;
pub mod judge;
pub mod report;
pub mod setting;
pub mod world;
