//! What the simulated services tell, as plain data with static names: an hour of a busy shop is a million spans.

use truegreen_model::flow::SpanKind;

/// An attribute's value.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// One of few texts.
    Name(&'static str),
    /// One of many.
    Text(String),
    /// An integer.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<&'static str> for Value {
    fn from(name: &'static str) -> Value {
        Value::Name(name)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Flag(flag)
    }
}

/// Name and value.
pub type Attributes = Vec<(&'static str, Value)>;

/// A span's place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Context {
    /// Trace id.
    pub trace: u128,
    /// Span id.
    pub span: u64,
}

/// An ended span. Times are seconds since the world began, by the clock of the host that tells them.
#[derive(Clone, PartialEq, Debug)]
pub struct Span {
    /// Where it stands.
    pub context: Context,
    /// Span id of its parent; 0 for none.
    pub parent: u64,
    /// What it was caused by in another trace.
    pub link: Option<Context>,
    /// Span name.
    pub name: &'static str,
    /// Span kind.
    pub kind: SpanKind,
    /// When it started.
    pub start: f64,
    /// When it ended.
    pub end: f64,
    /// When it really ended, which decides on when it is exported.
    pub ended: f64,
    /// Status ERROR.
    pub error: bool,
    /// Span attributes.
    pub attributes: Attributes,
}

impl Span {
    /// The value of an attribute, where it is one of few texts.
    pub fn name_of(&self, attribute: &str) -> Option<&'static str> {
        self.attributes.iter().find(|(name, _)| *name == attribute).and_then(|(_, value)| match value {
            Value::Name(name) => Some(*name),
            _ => None,
        })
    }

    /// The value of an integer attribute.
    pub fn number_of(&self, attribute: &str) -> Option<i64> {
        self.attributes.iter().find(|(name, _)| *name == attribute).and_then(|(_, value)| match value {
            Value::Number(number) => Some(*number),
            _ => None,
        })
    }
}

/// A log record, with times as of [`Span`].
#[derive(Clone, PartialEq, Debug)]
pub struct Log {
    /// When, by the clock of the host.
    pub at: f64,
    /// When it was really written.
    pub written: f64,
    /// The span it was written in.
    pub context: Context,
    /// Event name.
    pub name: &'static str,
    /// Severity number.
    pub severity: u8,
    /// Log attributes.
    pub attributes: Attributes,
}

/// How a metric's points are to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// Cumulative and monotonic.
    Counter,
    /// Goes up and down.
    UpDown,
    /// A cumulative histogram, by count and sum.
    Histogram,
}

/// One data point, cumulative since its process began.
#[derive(Clone, PartialEq, Debug)]
pub struct Point {
    /// Metric name.
    pub metric: &'static str,
    /// How to read it.
    pub sort: Sort,
    /// Data point attributes.
    pub attributes: Attributes,
    /// Its value; of a histogram how many were measured.
    pub value: i64,
    /// Of a histogram the sum of what was measured, in seconds.
    pub sum: f64,
}

/// What one request carries, all from one instance.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// `ExportTraceServiceRequest`.
    Spans(Vec<Span>),
    /// `ExportLogsServiceRequest`.
    Logs(Vec<Log>),
    /// `ExportMetricsServiceRequest`, and when it was measured, by the clock of the host.
    Points(f64, Vec<Point>),
}
