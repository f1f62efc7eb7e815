//! A finding: many alike deviations as one thing to look at.

use serde::{Deserialize, Serialize};

use crate::flow::FlowId;
use crate::time::Timestamp;
use crate::verdict::Hop;

/// What kind of deviation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum FindingKind {
    /// Journeys that vanished in a hop.
    Loss,
    /// Journeys whose last sign is a failed attempt.
    FailedWithoutExit,
    /// Journeys that cannot be judged because the service that owes the step is not heard.
    Silence,
    /// More journeys late than allowed, or than usual.
    Late,
    /// More journeys rejected than allowed, or than usual.
    Rejected,
    /// More journeys dead-lettered than allowed, or than usual.
    DeadLettered,
    /// Lawful exits that gave no reason.
    NoReason,
    /// More journeys unknown than allowed.
    Unknown,
    /// Requests that began and never ended.
    StalledRequest,
    /// The same operation again and again under a request that does not end.
    SilentLoop,
    /// Failures below a caller that reports success.
    MaskedFailure,
    /// Time-outs below a caller that reports success.
    SwallowedTimeout,
    /// Statements that changed no row, and were taken for success.
    ZeroRows,
    /// A consumer that falls behind its producers.
    SlowConsumer,
    /// A consumer, or one of its partitions, that stopped.
    StuckConsumer,
    /// A consumer that takes messages while what it should bring about does not come about.
    SkippingConsumer,
    /// Messages that were published and never processed.
    LostPublish,
    /// Messages that were processed more than once.
    DuplicateDelivery,
    /// Entries served from a cache after what they are a copy of had changed.
    StaleCache,
    /// A clock that is ahead or behind.
    ClockSkew,
    /// A health check that passes while what goes through the service fails.
    LyingHealth,
    /// A flow that nothing enters any more.
    FlowStopped,
    /// A service that stopped reporting.
    ServiceSilent,
    /// A call between two services that is not made any more.
    EdgeVanished,
    /// A call between two services that was never made before.
    EdgeAppeared,
    /// Trace context that is not handed on.
    BrokenContext,
    /// Telemetry that its sender drops.
    ExporterDrops,
    /// A service's own counter that disagrees with the books.
    CounterMismatch,
    /// More journeys that end at a step than usual.
    Abandonment,
    /// Journeys of which telemetry says that a step was done, and the system that should show its effect does not.
    EffectMissing,
}

impl FindingKind {
    /// Its name in reports, metrics, ids and docs.
    pub const fn name(self) -> &'static str {
        match self {
            FindingKind::Loss => "loss",
            FindingKind::FailedWithoutExit => "failed_without_exit",
            FindingKind::Silence => "silence",
            FindingKind::Late => "late",
            FindingKind::Rejected => "rejected",
            FindingKind::DeadLettered => "dead_lettered",
            FindingKind::NoReason => "no_reason",
            FindingKind::Unknown => "unknown",
            FindingKind::StalledRequest => "stalled_request",
            FindingKind::SilentLoop => "silent_loop",
            FindingKind::MaskedFailure => "masked_failure",
            FindingKind::SwallowedTimeout => "swallowed_timeout",
            FindingKind::ZeroRows => "zero_rows",
            FindingKind::SlowConsumer => "slow_consumer",
            FindingKind::StuckConsumer => "stuck_consumer",
            FindingKind::SkippingConsumer => "skipping_consumer",
            FindingKind::LostPublish => "lost_publish",
            FindingKind::DuplicateDelivery => "duplicate_delivery",
            FindingKind::StaleCache => "stale_cache",
            FindingKind::ClockSkew => "clock_skew",
            FindingKind::LyingHealth => "lying_health",
            FindingKind::FlowStopped => "flow_stopped",
            FindingKind::ServiceSilent => "service_silent",
            FindingKind::EdgeVanished => "edge_vanished",
            FindingKind::EdgeAppeared => "edge_appeared",
            FindingKind::BrokenContext => "broken_context",
            FindingKind::ExporterDrops => "exporter_drops",
            FindingKind::CounterMismatch => "counter_mismatch",
            FindingKind::Abandonment => "abandonment",
            FindingKind::EffectMissing => "effect_missing",
        }
    }

    /// Whether an open finding of this kind says that the flow is broken, rather than that it cannot be told.
    pub const fn proves_broken(self) -> bool {
        !matches!(
            self,
            FindingKind::Silence
                | FindingKind::Unknown
                | FindingKind::ServiceSilent
                | FindingKind::EdgeVanished
                | FindingKind::EdgeAppeared
                | FindingKind::BrokenContext
                | FindingKind::ExporterDrops
        )
    }
}

/// Where a finding stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum FindingStatus {
    /// Going on.
    Open,
    /// No new deviation, but too few completed journeys of the affected kind to call it resolved.
    Quiet,
    /// Enough of the affected kind completed since the last deviation; or the contract has no such hop any more, and no
    /// journey is left that had.
    Resolved,
    /// Every deviation was amended away: it never was.
    Withdrawn,
}

impl FindingStatus {
    /// Its name in reports and docs.
    pub const fn name(self) -> &'static str {
        match self {
            FindingStatus::Open => "open",
            FindingStatus::Quiet => "quiet",
            FindingStatus::Resolved => "resolved",
            FindingStatus::Withdrawn => "withdrawn",
        }
    }
}

/// Hash of flow, hop, kind and ordinal; never of its onset.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct FindingId(pub u64);

/// Many alike deviations as one thing to look at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// See [`FindingId`].
    pub id: FindingId,
    /// What kind.
    pub kind: FindingKind,
    /// In which flow.
    pub flow: FlowId,
    /// In which hop; `None` where the kind concerns the whole flow.
    pub hop: Option<Hop>,
    /// How often this flow, hop and kind had been resolved before.
    pub ordinal: u32,
    /// Journeys that deviate so, by their current verdicts.
    pub count: u64,
    /// When the earliest of them entered the flow.
    pub onset: Timestamp,
    /// When the first was found.
    pub first_seen: Timestamp,
    /// When the latest was found.
    pub last_seen: Timestamp,
    /// Where it stands.
    pub status: FindingStatus,
    /// Some of the keys concerned.
    pub examples: Vec<String>,
    /// Where a share decides: what it is, and what it may be.
    pub raised: Option<Raised>,
    /// What shows it, a sentence each, where the rest does not say all.
    pub evidence: Vec<String>,
}

/// A share beyond what is allowed or usual; both in millionths.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Raised {
    /// Since the onset.
    pub share: u32,
    /// What is allowed, or usual.
    pub expected: u32,
    /// The contract gives the share; otherwise it is the flow's own past.
    pub is_given: bool,
}

impl Raised {
    /// From shares of 0 to 1.
    pub fn new(share: f64, expected: f64, is_given: bool) -> Raised {
        let [share, expected] = [share, expected].map(|share| (share.clamp(0.0, 1.0) * 1e6).round() as u32);
        Raised { share, expected, is_given }
    }
}

/// Is it working? Never two of them, and "no data" is never green.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Health {
    /// Coverage proven, no open finding, entries as expected.
    Working,
    /// Unknown beyond its limit, or nothing enters.
    CannotTell,
    /// An open finding says so.
    Broken,
}

impl Health {
    /// Its words on pages and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Health::Working => "WORKING",
            Health::CannotTell => "CANNOT TELL",
            Health::Broken => "BROKEN",
        }
    }
}
