//! The latest event time in a request.

use truegreen_model::time::Timestamp;
use truegreen_otlp::{
    DataPoint, Limits, LogRecord, LogSink, MetricSink, Resource, Signal, Span, TraceSink, scan_logs, scan_metrics,
    scan_traces,
};

/// Zero where none is given. The body was checked before.
pub(super) fn latest(signal: Signal, body: &[u8]) -> Timestamp {
    let mut latest = Latest(0);
    let limits = Limits::default();
    match signal {
        Signal::Traces => drop(scan_traces(body, &limits, &mut latest)),
        Signal::Logs => drop(scan_logs(body, &limits, &mut latest)),
        Signal::Metrics => drop(scan_metrics(body, &limits, &mut latest)),
    }
    Timestamp(latest.0)
}

struct Latest(u64);

impl<'a> TraceSink<'a> for Latest {
    fn resource(&mut self, _: &Resource<'a, '_>) {}

    fn span(&mut self, span: &Span<'a, '_>) {
        self.0 = self.0.max(span.end).max(span.start);
    }
}

impl<'a> LogSink<'a> for Latest {
    fn resource(&mut self, _: &Resource<'a, '_>) {}

    fn log(&mut self, record: &LogRecord<'a, '_>) {
        let time = if record.time > 0 { record.time } else { record.observed_time };
        self.0 = self.0.max(time);
    }
}

impl<'a> MetricSink<'a> for Latest {
    fn resource(&mut self, _: &Resource<'a, '_>) {}

    fn point(&mut self, point: &DataPoint<'a, '_>) {
        self.0 = self.0.max(point.time);
    }
}
