//! What an ordinary dashboard would compute of the same telemetry: error rates from spans, log levels, latency. The
//! demo shows it beside the books.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{
    Limits, LogRecord, LogSink, Resource, Signal, Span, SpanKind, Status, TraceSink, Value, scan_logs, scan_traces,
};

use crate::run_loop::Tap;

/// Services told apart; telemetry of more is counted under `other`.
const MAX_SERVICES: usize = 1000;
/// OTLP's severity number from which on a log record is a warning, and an error.
const WARN: i32 = 13;
const ERROR: i32 = 17;

/// One service, as its dashboard would show it.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ServiceSignals {
    /// Spans.
    pub spans: u64,
    /// Of these, with status ERROR.
    pub error_spans: u64,
    /// Requests served and messages processed: spans of kind SERVER or CONSUMER.
    pub requests: u64,
    /// Of these, with status ERROR.
    pub failed_requests: u64,
    /// Longest of them, in milliseconds.
    pub slowest_request_ms: f64,
    /// Log records of severity WARN.
    pub warnings: u64,
    /// Log records of severity ERROR and above.
    pub errors: u64,
}

/// All services by name; a clone shows the same.
#[derive(Clone, Default)]
pub struct Monitor(Arc<Mutex<BTreeMap<String, ServiceSignals>>>);

impl Monitor {
    /// What was seen so far.
    pub fn services(&self) -> BTreeMap<String, ServiceSignals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Tap for Monitor {
    fn accepted(&mut self, _at: Timestamp, signal: Signal, body: &[u8]) {
        let mut services = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sink = Counting { services: &mut services, current: String::new() };
        // The body was checked when it was accepted.
        match signal {
            Signal::Traces => drop(scan_traces(body, &Limits::default(), &mut sink)),
            Signal::Logs => drop(scan_logs(body, &Limits::default(), &mut sink)),
            Signal::Metrics => {}
        }
    }
}

struct Counting<'m> {
    services: &'m mut BTreeMap<String, ServiceSignals>,
    current: String,
}

impl Counting<'_> {
    fn enter(&mut self, resource: &Resource<'_, '_>) {
        let name = match resource.get(b"service.name") {
            Some(Value::Text(name)) => String::from_utf8_lossy(name).into_owned(),
            _ => "unknown_service".to_owned(),
        };
        let known = self.services.contains_key(&name) || self.services.len() < MAX_SERVICES;
        self.current = if known { name } else { "other".to_owned() };
    }

    fn signals(&mut self) -> &mut ServiceSignals {
        self.services.entry(self.current.clone()).or_default()
    }
}

impl<'a> TraceSink<'a> for Counting<'_> {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.enter(resource);
    }

    fn span(&mut self, span: &Span<'a, '_>) {
        let failed = u64::from(span.status == Status::Error);
        let signals = self.signals();
        signals.spans += 1;
        signals.error_spans += failed;
        if matches!(span.kind, SpanKind::Server | SpanKind::Consumer) {
            signals.requests += 1;
            signals.failed_requests += failed;
            let took_ms = span.end.saturating_sub(span.start) as f64 / 1e6;
            signals.slowest_request_ms = signals.slowest_request_ms.max(took_ms);
        }
    }
}

impl<'a> LogSink<'a> for Counting<'_> {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.enter(resource);
    }

    fn log(&mut self, record: &LogRecord<'a, '_>) {
        let signals = self.signals();
        match record.severity {
            ERROR.. => signals.errors += 1,
            WARN.. => signals.warnings += 1,
            _ => {}
        }
    }
}
