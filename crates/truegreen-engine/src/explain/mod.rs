//! Why: what is different about the failing ones, how far it reaches, when it began, what changed, and what most probably
//! caused it. Everything here is a pure function of what is handed to it: the same evidence gives the same answer.
//!
//! 1. [`recording`]: bytes of telemetry to spans and logs with all of their attributes.
//! 2. [`contrast`]: what is different about failing rows of a table.
//! 3. [`changes`]: what changed, and which of it could have caused it.
//! 4. [`suspects`]: where in recorded requests failing ones leave the way of healthy ones.

pub mod changes;
pub mod contrast;
pub mod onset;
pub mod radius;
pub mod recording;
pub mod suspects;
