//! The answer of a look-up as JSON: one order, trace or message followed end to end. Stable: fields are added, never
//! renamed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::answer::SystemAnswer;
use crate::report::JourneyDetail;

/// Everything that is known of what was asked for.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PassageReport {
    /// What was asked for.
    pub asked: String,
    /// What it turned out to be: any of `key`, `trace_id`, `message_id`.
    pub found_as: Vec<String>,
    /// Its journeys, oldest first; empty where the engine has forgotten them, or no flow watches it.
    pub journeys: Vec<JourneyDetail>,
    /// Where something should have been and is not, by when it was due.
    pub gaps: Vec<GapReport>,
    /// The spans that showed its steps, the other spans of their traces, and those of the traces they link to: a parent
    /// before its children, siblings by their start.
    pub spans: Vec<SpanReport>,
    /// Log records and events of these traces that belong to none of `spans`, by time.
    pub logs: Vec<LogReport>,
    /// What systems said that were asked for it themselves; empty where none was.
    #[serde(default)]
    pub answers: Vec<SystemAnswer>,
    /// What telemetry and these answers come to together, in one sentence; absent where no system said anything.
    #[serde(default)]
    pub conclusion: Option<String>,
    /// What this answer leaves out.
    pub cut: Vec<CutReport>,
    /// What the reader should know of this answer, a sentence each.
    pub notes: Vec<String>,
}

/// A step that is owed and was not seen.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct GapReport {
    /// Flow name.
    pub flow: String,
    /// The journey's key.
    pub key: String,
    /// RFC 3339: when the journey entered, which tells passages of one key apart.
    pub entered_at: String,
    /// The step that is missing.
    pub step: String,
    /// The last step seen before it.
    pub after: Option<String>,
    /// `awaited` (not due yet), `due` (past its time, proof outstanding), `missing` (unaccounted) or `unknown`.
    pub state: String,
    /// The journey's verdict.
    pub verdict: String,
    /// Why.
    pub reason: Option<String>,
    /// RFC 3339: when the journey was last seen.
    pub silent_since: String,
    /// RFC 3339: when the step was due, grace included.
    pub due: String,
    /// Who owes it, as far as the contract says.
    pub owed_by: Vec<OwingReport>,
    /// Records that would have shown it, one of which was enough.
    pub expected: Vec<String>,
    /// All of it as one sentence.
    pub says: String,
}

/// A service that owes a step.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct OwingReport {
    /// `service.name`, or the pattern in the contract where no service of such a name was ever heard.
    pub service: String,
    /// RFC 3339: when any signal of it was last received; absent where it was never heard.
    pub last_heard: Option<String>,
}

/// One span.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SpanReport {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits; absent for the first of a trace.
    pub parent_span_id: Option<String>,
    /// How deep in the tree.
    pub depth: u32,
    /// Why it stands where it does: `root`, `parent`, `link` (below the span it links to) or `parent_not_seen`.
    pub placed_by: String,
    /// `service.name`.
    pub service: String,
    /// Which process of it; empty where it did not say.
    pub instance: String,
    /// On which host; absent where it did not say.
    pub host: Option<String>,
    /// Its name.
    pub name: String,
    /// `server`, `client`, `producer`, `consumer`, `internal` or `unspecified`.
    pub kind: String,
    /// RFC 3339.
    pub started_at: String,
    /// Nanoseconds; 0 where it claims to have ended before it began.
    pub duration_nanos: u64,
    /// The time it claimed cannot be; `started_at` is when it was received.
    pub time_replaced: bool,
    /// `unset`, `ok` or `error`.
    pub status: String,
    /// What its author said about the status.
    pub status_message: Option<String>,
    /// `ok`, `failed`, `failed_attempt` (at a step) or `exit` (lawful, see `steps`).
    pub outcome: String,
    /// The steps and exits that it shows.
    pub steps: Vec<StepReport>,
    /// Those of its attributes that are shown.
    pub attributes: BTreeMap<String, String>,
    /// Spans it links to.
    pub links: Vec<LinkReport>,
    /// What was logged in it, by time; its own events too.
    pub logs: Vec<LogReport>,
    /// RFC 3339: when the request that carries it was received.
    pub received_at: String,
    /// That request's place in the log.
    pub sequence: u64,
    /// Where in the request's body it stands, in bytes.
    pub offset: u32,
}

/// A step or exit that a record shows.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StepReport {
    /// Flow name.
    pub flow: String,
    /// The journey's key.
    pub key: String,
    /// Step or exit.
    pub step: String,
    /// A failed attempt rather than fulfilment.
    pub attempt: bool,
    /// A lawful exit rather than a step.
    pub exit: bool,
    /// The exit's reason.
    pub reason: Option<String>,
}

/// Another span.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LinkReport {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
}

/// A log record, a CloudEvent, or an event of a span.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct LogReport {
    /// RFC 3339.
    pub at: String,
    /// `log`, `event` (a CloudEvent) or `span_event`.
    pub source: String,
    /// `service.name`.
    pub service: String,
    /// Which process of it; empty where it did not say.
    pub instance: String,
    /// `TRACE` to `FATAL`; absent where it did not say.
    pub severity: Option<String>,
    /// The event's name or type; absent for a plain log line.
    pub name: Option<String>,
    /// The message.
    pub text: String,
    /// 32 hex digits; absent where it belongs to no trace.
    pub trace_id: Option<String>,
    /// 16 hex digits; absent where it belongs to no span.
    pub span_id: Option<String>,
    /// The steps and exits that it shows.
    pub steps: Vec<StepReport>,
    /// Those of its attributes that are shown.
    pub attributes: BTreeMap<String, String>,
    /// The place of its request in the log.
    pub sequence: u64,
    /// Where in the request's body it stands, in bytes.
    pub offset: u32,
}

/// Something that the answer leaves out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CutReport {
    /// `requests`, `dropped_requests`, `traces`, `linked_traces`, `records`, `spans`, `logs` or `journeys`; of what systems were
    /// asked `keys`, `places` or `letters`.
    pub what: String,
    /// How many at the least.
    pub count: u64,
    /// Why, as a sentence.
    pub why: String,
}
