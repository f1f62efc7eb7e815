//! Records to OTLP protobuf bytes, by the official types.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status, span};
use prost::Message;
use truegreen_model::flow::SpanKind;

use super::record::{Attributes, Content, Context, Log, Point, Sort, Span, Value};
use crate::telemetry::second;

const CUMULATIVE: i32 = 2;
const SCOPE: &str = "shop";

/// Who sends a request.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'s> {
    /// Resource attributes.
    pub resource: &'s Attributes,
    /// When the process began.
    pub since: f64,
    /// The value of `tracestate` on each span.
    pub trace_state: &'s str,
}

/// The request's protobuf body.
pub fn encode(content: &Content, sending: &Sending<'_>) -> Vec<u8> {
    let resource = Some(Resource { attributes: attributes(sending.resource), ..Resource::default() });
    let scope = Some(InstrumentationScope { name: SCOPE.into(), ..InstrumentationScope::default() });
    match content {
        Content::Spans(spans) => {
            let spans = spans.iter().map(|span| otlp_span(span, sending.trace_state)).collect();
            let scope_spans = vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }];
            let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
            ExportTraceServiceRequest { resource_spans }.encode_to_vec()
        }
        Content::Logs(logs) => {
            let log_records = logs.iter().map(log_record).collect();
            let scope_logs = vec![ScopeLogs { scope, log_records, ..ScopeLogs::default() }];
            let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
            ExportLogsServiceRequest { resource_logs }.encode_to_vec()
        }
        Content::Points(at, points) => {
            let metrics = points.iter().map(|point| metric_of(point, sending.since, *at)).collect();
            let scope_metrics = vec![ScopeMetrics { scope, metrics, ..ScopeMetrics::default() }];
            let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
            ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
        }
    }
}

fn otlp_span(from: &Span, trace_state: &str) -> OtlpSpan {
    OtlpSpan {
        trace_id: from.context.trace.to_be_bytes().to_vec(),
        span_id: from.context.span.to_be_bytes().to_vec(),
        trace_state: trace_state.into(),
        parent_span_id: if from.parent == 0 { Vec::new() } else { from.parent.to_be_bytes().to_vec() },
        name: from.name.into(),
        kind: kind_number(from.kind),
        start_time_unix_nano: nanos(from.start),
        end_time_unix_nano: nanos(from.end),
        attributes: attributes(&from.attributes),
        links: from.link.iter().map(link).collect(),
        status: from.error.then(|| Status { message: String::new(), code: 2 }),
        ..OtlpSpan::default()
    }
}

fn link(to: &Context) -> span::Link {
    span::Link {
        trace_id: to.trace.to_be_bytes().to_vec(),
        span_id: to.span.to_be_bytes().to_vec(),
        ..span::Link::default()
    }
}

fn kind_number(kind: SpanKind) -> i32 {
    match kind {
        SpanKind::Unspecified => 0,
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn log_record(from: &Log) -> LogRecord {
    LogRecord {
        time_unix_nano: nanos(from.at),
        observed_time_unix_nano: nanos(from.at),
        severity_number: i32::from(from.severity),
        event_name: from.name.into(),
        body: Some(text(from.name.into())),
        attributes: attributes(&from.attributes),
        trace_id: from.context.trace.to_be_bytes().to_vec(),
        span_id: from.context.span.to_be_bytes().to_vec(),
        ..LogRecord::default()
    }
}

fn metric_of(point: &Point, since: f64, at: f64) -> Metric {
    let (start, time) = (nanos(since), nanos(at));
    let attributes = attributes(&point.attributes);
    let data = if point.sort == Sort::Histogram {
        metric::Data::Histogram(Histogram {
            data_points: vec![HistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count: point.value.unsigned_abs(),
                sum: Some(point.sum),
                ..HistogramDataPoint::default()
            }],
            aggregation_temporality: CUMULATIVE,
        })
    } else {
        metric::Data::Sum(Sum {
            data_points: vec![NumberDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                value: Some(number_data_point::Value::AsInt(point.value)),
                ..NumberDataPoint::default()
            }],
            aggregation_temporality: CUMULATIVE,
            is_monotonic: point.sort == Sort::Counter,
        })
    };
    Metric { name: point.metric.into(), data: Some(data), ..Metric::default() }
}

fn attributes(from: &Attributes) -> Vec<KeyValue> {
    from.iter()
        .map(|(name, value)| KeyValue { key: (*name).into(), value: Some(any_value(value)), ..KeyValue::default() })
        .collect()
}

fn any_value(from: &Value) -> AnyValue {
    match from {
        Value::Name(name) => text((*name).into()),
        Value::Text(value) => text(value.clone()),
        Value::Number(number) => AnyValue { value: Some(any_value::Value::IntValue(*number)) },
        Value::Flag(flag) => AnyValue { value: Some(any_value::Value::BoolValue(*flag)) },
    }
}

fn text(value: String) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(value)) }
}

fn nanos(seconds: f64) -> u64 {
    second(seconds).0
}
