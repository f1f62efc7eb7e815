//! What services send, as plain data: the common source of the engine's bytes and of the reference's facts.

use std::time::Duration;

use truegreen_model::flow::SpanKind;
use truegreen_model::time::Timestamp;

/// When every simulated world begins: 2026-01-05T00:00:00Z, a whole minute.
pub const EPOCH: Timestamp = Timestamp::from_secs(1_767_571_200);

/// So many seconds after [`EPOCH`].
pub fn second(seconds: f64) -> Timestamp {
    EPOCH + Duration::from_secs_f64(seconds.max(0.0))
}

/// One process that sends telemetry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Sender {
    /// `service.name`.
    pub service: String,
    /// `service.instance.id`.
    pub instance: String,
    /// `deployment.environment.name`.
    pub environment: String,
}

impl Sender {
    /// An instance in production.
    pub fn new(service: &str, instance: &str) -> Sender {
        Sender { service: service.into(), instance: instance.into(), environment: "production".into() }
    }

    /// Its resource attributes.
    pub fn attributes(&self) -> Attributes {
        [
            ("service.name", &self.service),
            ("service.instance.id", &self.instance),
            ("service.namespace", &"shop".to_owned()),
            ("deployment.environment.name", &self.environment),
        ]
        .map(|(name, value)| (name.to_owned(), Value::Text(value.clone())))
        .to_vec()
    }
}

/// Name and value, in the order in which they are sent.
pub type Attributes = Vec<(String, Value)>;

/// An attribute's value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Value {
    /// Text.
    Text(String),
    /// An integer.
    Integer(i64),
    /// An array of texts.
    List(Vec<String>),
}

impl Value {
    /// As texts, an array's elements one by one.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Value::Text(text) => vec![text.clone()],
            Value::Integer(number) => vec![number.to_string()],
            Value::List(items) => items.clone(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Integer(number)
    }
}

impl From<&[&str]> for Value {
    fn from(items: &[&str]) -> Value {
        Value::List(items.iter().map(|&item| item.to_owned()).collect())
    }
}

/// A span's place: its trace and its own id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpanRef {
    /// Trace id.
    pub trace: u128,
    /// Span id.
    pub span: u64,
}

/// An ended span.
#[derive(Clone, PartialEq, Debug)]
pub struct Span {
    /// Where it stands.
    pub place: SpanRef,
    /// Span id of its parent, in the same trace.
    pub parent: Option<u64>,
    /// Spans it was caused by in other traces.
    pub links: Vec<SpanRef>,
    /// Span name.
    pub name: String,
    /// Span kind.
    pub kind: SpanKind,
    /// When it started.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Status ERROR.
    pub error: bool,
    /// W3C tracestate; empty where there is none.
    pub trace_state: String,
    /// Span attributes.
    pub attributes: Attributes,
}

/// A log record.
#[derive(Clone, PartialEq, Debug)]
pub struct Log {
    /// Its time.
    pub at: Timestamp,
    /// The span it was written in.
    pub place: Option<SpanRef>,
    /// Event name.
    pub name: String,
    /// Body, as text.
    pub body: String,
    /// Severity number, 1 to 24.
    pub severity: u8,
    /// Log attributes.
    pub attributes: Attributes,
}

/// What one request carries, all of one signal.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// `ExportTraceServiceRequest`.
    Spans(Vec<(Sender, Vec<Span>)>),
    /// `ExportLogsServiceRequest`.
    Logs(Vec<(Sender, Vec<Log>)>),
    /// `ExportMetricsServiceRequest`, one data point for each sender, measured then.
    Metrics(Vec<(Sender, Timestamp)>),
}

impl Content {
    /// Who sent something in it, in order.
    pub fn senders(&self) -> Vec<&Sender> {
        match self {
            Content::Spans(parts) => parts.iter().map(|(sender, _)| sender).collect(),
            Content::Logs(parts) => parts.iter().map(|(sender, _)| sender).collect(),
            Content::Metrics(parts) => parts.iter().map(|(sender, _)| sender).collect(),
        }
    }

    /// The latest event time in it: it cannot be received earlier.
    pub fn latest_event(&self) -> Option<Timestamp> {
        match self {
            Content::Spans(parts) => parts.iter().flat_map(|(_, spans)| spans).map(|span| span.end).max(),
            Content::Logs(parts) => parts.iter().flat_map(|(_, logs)| logs).map(|log| log.at).max(),
            Content::Metrics(parts) => parts.iter().map(|(_, at)| *at).max(),
        }
    }
}

/// One thing that happens to Truegreen.
#[derive(Clone, PartialEq, Debug)]
pub enum Happening {
    /// A request is accepted.
    Accepted(Content),
    /// A request is refused.
    Refused {
        /// Of this service…
        service: String,
        /// …and this instance, where it could be read.
        instance: Option<String>,
    },
    /// It listens again, having been down.
    Resumed {
        /// When it last listened.
        down_since: Timestamp,
    },
}
