//! The map that traffic itself draws: who calls whom, who publishes and processes what, and where a failure could hide.

use serde::{Deserialize, Serialize};

/// What an arrow stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArrowKind {
    /// A service calls a service.
    Call,
    /// A service publishes to a destination.
    Publish,
    /// A destination's messages are processed by a service.
    Process,
    /// A service uses a database.
    Database,
    /// A service uses a cache.
    Cache,
}

impl ArrowKind {
    /// Its name in reports and docs.
    pub const fn name(self) -> &'static str {
        match self {
            ArrowKind::Call => "call",
            ArrowKind::Publish => "publish",
            ArrowKind::Process => "process",
            ArrowKind::Database => "database",
            ArrowKind::Cache => "cache",
        }
    }
}

/// One arrow, from real traffic.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Arrow {
    /// What it stands for.
    pub kind: ArrowKind,
    /// Where it begins: a service, or for `process` the destination.
    pub from: String,
    /// Where it ends: a service, a destination, a database's system and table, or a host that does not report.
    pub to: String,
    /// Spans counted since the start.
    pub count: u64,
    /// Of these, failed.
    pub errors: u64,
    /// Median duration in seconds, to a tenth of it.
    pub p50_seconds: f64,
    /// 99th percentile of the duration in seconds, to a tenth of it.
    pub p99_seconds: f64,
    /// RFC 3339: when a span of it was last received.
    pub last_seen: String,
    /// Of calls: the share whose other end reports as well. Of processed messages: the share that is tied to its producer.
    pub tied: f64,
}

/// The whole map.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Map {
    /// By kind, from and to.
    pub arrows: Vec<Arrow>,
}

/// One way in which an arrow could fail without anyone being told.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BlindSpot {
    /// Which arrow.
    pub kind: ArrowKind,
    /// Where it begins.
    pub from: String,
    /// Where it ends.
    pub to: String,
    /// `swallowed_timeout`, `stalled_request`, `lost_publish`, `skipped_message`, `no_dead_letters`, `stuck_partition`,
    /// `zero_rows`, `stale_entry`, `not_reporting` or `sampled`.
    pub way: String,
    /// Whether it would be seen as things are.
    pub is_seen: bool,
    /// What would see it, or why nothing would.
    pub by: String,
    /// What one line of instrumentation or contract would close it; empty where it is seen.
    pub closes: String,
}
