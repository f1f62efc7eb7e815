//! OTLP bytes as borrowed views of spans, log records and metric data points.
//!
//! What a remote peer sends is walked once, in place: no copy, no allocation per record, no panic, and every bound has
//! a name ([`Limits`]) and a count ([`Tally`]). This crate decides nothing about what the records mean, keeps no state
//! between requests, and knows neither sockets nor compression.
//!
//! Reading order: [`limits`] says what may be refused, [`error`] what makes a whole request malformed, [`value`] is an
//! attribute, [`traces`], [`logs`] and [`metrics`] are the three scans. [`json`] turns OTLP/JSON into protobuf and back,
//! [`cloud_events`] turns CloudEvents into log records, so that everything behind the receiver reads one encoding.
//!
//! Keys and texts are bytes: protobuf promises UTF-8, this crate does not check it. Otherwise a body is malformed exactly
//! where a generated decoder says so.

pub mod cloud_events;
pub mod error;
pub mod json;
pub mod limits;
pub mod logs;
pub mod metrics;
pub mod traces;
pub mod value;

mod resource;
mod schema;
mod senders;
mod wire;

pub use error::{Error, ErrorKind};
pub use limits::{Limits, Refusal, Tally};
pub use logs::{LogRecord, LogSink, scan_logs};
pub use metrics::{DataPoint, Metric, MetricKind, MetricSink, Number, Temporality, scan_metrics};
pub use resource::Resource;
pub use senders::{Sender, senders};
pub use traces::{Event, Link, Span, SpanKind, Status, TraceSink, scan_traces};
pub use value::{Array, Attribute, Map, Value};

/// Which of the three an OTLP request carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Signal {
    /// `ExportTraceServiceRequest`.
    Traces,
    /// `ExportLogsServiceRequest`.
    Logs,
    /// `ExportMetricsServiceRequest`.
    Metrics,
}

impl Signal {
    /// All of them, in the order of their declaration.
    pub const ALL: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];

    /// `traces`, `logs` or `metrics`, as in the path `/v1/traces`.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
        }
    }
}

/// Validates a whole protobuf request, nested values included, and counts its records; what a receiver calls before it
/// acknowledges. A later scan of the same bytes under the same limits gives the same tally and no error.
pub fn check(signal: Signal, body: &[u8], limits: &Limits) -> Result<Tally, Error> {
    match signal {
        Signal::Traces => scan_traces(body, limits, &mut ()),
        Signal::Logs => scan_logs(body, limits, &mut ()),
        Signal::Metrics => scan_metrics(body, limits, &mut ()),
    }
}

#[cfg(test)]
mod tests;
