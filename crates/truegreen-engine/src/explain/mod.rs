//! Why: what is different about the failing ones, how far it reaches, when it began, what changed, and what most probably
//! caused it. Everything here is a pure function of what is handed to it: the same evidence gives the same answer.
//!
//! 1. [`recording`]: bytes of telemetry to spans and logs with all of their attributes.
//! 2. [`contrast`]: what is different about failing rows of a table.
//! 3. [`changes`]: what changed, and which of it could have caused it.
//! 4. [`suspects`]: where in recorded requests failing ones leave the way of healthy ones.
//! 5. [`onset`](mod@onset): since when; [`radius`](mod@radius): how far; [`related`]: which of several findings is at the bottom.
//! 6. [`diagnosis`]: all of that for one finding, of what `rows` makes of its cases.

pub mod changes;
pub mod contrast;
pub mod diagnosis;
pub mod onset;
pub mod radius;
pub mod recording;
pub mod related;
mod rows;
pub mod suspects;

/// Nanoseconds since 1970 of a time in RFC 3339; 0 where it is none.
fn nanos(text: &str) -> u64 {
    let time: Option<jiff::Timestamp> = text.parse().ok();
    time.and_then(|time| u64::try_from(time.as_nanosecond()).ok()).unwrap_or(0)
}
