//! The JSON report shared by `demo`, `status`, `audit` and the API. Stable: fields are added, never renamed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diagnosis::Brief;

/// Books and findings of all flows.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Over all flows: `WORKING`, `CANNOT TELL` or `BROKEN`.
    pub health: String,
    /// By flow name.
    pub flows: BTreeMap<String, FlowReport>,
    /// Open ones first, then the latest first.
    pub findings: Vec<FindingReport>,
}

/// The books of one flow.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct FlowReport {
    /// `WORKING`, `CANNOT TELL` or `BROKEN`.
    pub health: String,
    /// Journeys that entered.
    pub entered: u64,
    /// Not decided yet.
    pub open: u64,
    /// Completed in time.
    pub completed: u64,
    /// Completed past a deadline.
    pub late: u64,
    /// Refused, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Dead-lettered, by reason.
    pub dead_lettered: BTreeMap<String, u64>,
    /// Neither completed nor refused.
    pub unaccounted: u64,
    /// Could not be judged, by why.
    pub unknown: BTreeMap<String, u64>,
    /// Beside the equation: the same key entered again.
    pub duplicates: u64,
    /// Beside the equation: steps seen without their start.
    pub orphans: u64,
    /// Beside the equation: verdicts moved by a late observation.
    pub amended: u64,
    /// Share of entries that is seen, where the start's service is sampled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sampling_ratio: Option<f64>,
    /// Where the contract allows journeys to end unaccounted: how many of those that came so far did so lately, in the order
    /// of the steps.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left: Vec<LeftReport>,
    /// Services' own counters, as they stood against the books when they were last held against them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub counters: Vec<CounterAgreement>,
    /// Of the books: what was decided by asking the systems themselves.
    #[serde(skip_serializing_if = "ConfirmedReport::is_nothing", default)]
    pub confirmed: ConfirmedReport,
}

/// Journeys whose verdict is owed to a system's own word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ConfirmedReport {
    /// Completed or late: telemetry of a step is missing, and its effect was found.
    pub completed: u64,
    /// Unaccounted: the effect was looked for after its deadline, or after telemetry said that it is there, and was not
    /// found.
    pub unaccounted: u64,
}

impl ConfirmedReport {
    /// Nothing was asked, or nothing followed from it.
    pub fn is_nothing(&self) -> bool {
        *self == ConfirmedReport::default()
    }
}

/// A service's own counter and the books, over the same stretch of time, some minutes ago.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct CounterAgreement {
    /// The metric's name.
    pub metric: String,
    /// `service.name` of who counts; absent while nothing was heard of that metric.
    pub service: Option<String>,
    /// Absent where all reasons are counted together.
    pub reason: Option<String>,
    /// How many the counter counted.
    pub counted: f64,
    /// How many journeys ended so.
    pub held: f64,
    /// Whether what may have happened in between explains the difference.
    pub agrees: bool,
}

/// Journeys that came to a step and went no further: of the last few hundred that are decided.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct LeftReport {
    /// The step before it in the contract.
    pub after: String,
    /// The step that is then missing.
    pub before: String,
    /// The share of them that went no further.
    pub share: f64,
    /// What is usual by its own past, or what the contract allows; absent while too little is known.
    pub usual: Option<f64>,
}

/// One finding.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct FindingReport {
    /// Sixteen hex digits.
    pub id: String,
    /// A name of [`crate::finding::FindingKind`].
    pub kind: String,
    /// Flow name; empty where no contract names what deviates.
    pub flow: String,
    /// Last step seen before the gap; absent where the finding is about the whole flow.
    pub after: Option<String>,
    /// The step that is missing.
    pub before: Option<String>,
    /// `service.name`, where no contract names what deviates.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<String>,
    /// The operation of that service: a span's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<String>,
    /// The service or host at the other end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peer: Option<String>,
    /// The destination, table, cache or partition concerned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// Services that the contract names for the step that is missing, or for the exit that was taken too often.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub owed_by: Vec<String>,
    /// Journeys or requests concerned.
    pub count: u64,
    /// RFC 3339: when the earliest of them entered.
    pub onset: String,
    /// RFC 3339: when the first was found.
    pub first_seen: String,
    /// RFC 3339: when the latest was found.
    pub last_seen: String,
    /// `open`, `quiet`, `resolved` or `withdrawn`.
    pub status: String,
    /// Some of the keys, or trace ids.
    pub examples: Vec<String>,
    /// What shows it, a sentence each, where the title does not say all.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub evidence: Vec<String>,
    /// One sentence.
    pub title: String,
    /// Why it is there, as last diagnosed; absent where nobody has yet, and in all that no server tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagnosis: Option<Brief>,
}

/// One journey, as a line of `audit --journeys`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct JourneyReport {
    /// Flow name.
    pub flow: String,
    /// The key's text.
    pub key: String,
    /// `open`, `completed`, `late`, `rejected`, `dead_lettered`, `unaccounted` or `unknown`.
    pub verdict: String,
    /// Why, for `rejected`, `dead_lettered`, `unaccounted` and `unknown`.
    pub reason: Option<String>,
    /// Last step seen.
    pub after: Option<String>,
    /// RFC 3339.
    pub entered_at: String,
    /// The verdict is owed to a system's own word, and not to telemetry alone.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub confirmed: bool,
}

/// One journey followed step by step, as the API shows it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct JourneyDetail {
    /// The journey as a whole.
    #[serde(flatten)]
    pub journey: JourneyReport,
    /// What was seen of it, by event time.
    pub seen: Vec<SeenReport>,
    /// The steps it owes and has not shown, each with its deadline (RFC 3339).
    pub owed: BTreeMap<String, String>,
    /// What systems answered when they were asked for its effects, by step.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub asked: Vec<AskedReport>,
}

/// What a system answered when it was asked for the effect of a step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AskedReport {
    /// Step.
    pub step: String,
    /// The system's name in the configuration.
    pub system: String,
    /// `there`, `not_there` or `cannot_tell`.
    pub answer: String,
    /// RFC 3339: as of when that is so.
    pub as_of: String,
}

/// One observation of a journey.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SeenReport {
    /// Step or exit.
    pub step: String,
    /// RFC 3339.
    pub at: String,
    /// `service.name` that sent it.
    pub service: String,
    /// Its instance.
    pub instance: String,
    /// Trace id as 32 hex digits; absent where there is none.
    pub trace_id: Option<String>,
    /// A failed attempt rather than fulfilment.
    pub attempt: bool,
    /// The exit's reason.
    pub reason: Option<String>,
    /// Accepted request that shows it.
    pub sequence: u64,
    /// Offset of the record in that request's body, in bytes.
    pub offset: u32,
}

/// The books of one flow in one minute of event time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MinuteReport {
    /// RFC 3339, the minute's first instant.
    pub minute: String,
    /// Journeys that entered.
    pub entered: u64,
    /// Not decided yet.
    pub open: u64,
    /// Completed in time.
    pub completed: u64,
    /// Completed past a deadline.
    pub late: u64,
    /// Refused, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Dead-lettered, by reason.
    pub dead_lettered: BTreeMap<String, u64>,
    /// Neither completed nor refused.
    pub unaccounted: u64,
    /// Could not be judged, by why.
    pub unknown: BTreeMap<String, u64>,
}

/// What is heard of one service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ServiceReport {
    /// `service.name`.
    pub service: String,
    /// Instances heard in the last two minutes.
    pub instances: u64,
    /// RFC 3339: when any signal of it was last received.
    pub last_heard: String,
    /// 99th percentile of receipt minus event end, at least 10.
    pub export_lag_seconds: f64,
    /// Whether its telemetry is a sample: `declared`, `marked`, `inferred`, or absent.
    pub sampled: Option<String>,
    /// Spans received since the start.
    pub spans: u64,
    /// Of these, with status ERROR.
    pub error_spans: u64,
    /// Log records received since the start.
    pub logs: u64,
    /// Metric data points received since the start.
    pub data_points: u64,
}

/// One of Truegreen's own counters (INV-DROP-1): what was refused, bounded, replaced or left unbound, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CounterReport {
    /// Prometheus name without the `truegreen_` prefix and `_total` suffix.
    pub name: String,
    /// Label of the same name on /metrics.
    pub reason: String,
    /// How often since the start.
    pub value: u64,
}

/// By how much the clock of a process is wrong, as its calls tell.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClockReport {
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`, or host and process id.
    pub instance: String,
    /// Seconds that it is ahead of what most clocks agree on; negative where it is behind.
    pub ahead_seconds: f64,
    /// By how many seconds that may be wrong.
    pub error_seconds: f64,
    /// How much it gains, in millionths; absent where it was not watched for long enough.
    pub drift_ppm: Option<f64>,
}
