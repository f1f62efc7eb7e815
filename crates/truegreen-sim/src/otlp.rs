//! Records to OTLP protobuf bytes, by the official types: the engine's own scanner never sees bytes of its own making.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status, span};
use prost::Message;
use truegreen_model::flow::SpanKind;
use truegreen_model::time::Timestamp;

use crate::telemetry::{Content, Log, Sender, Span, Value};

/// The request's protobuf body.
pub fn encode(content: &Content) -> Vec<u8> {
    match content {
        Content::Spans(parts) => ExportTraceServiceRequest {
            resource_spans: parts.iter().map(|(sender, spans)| resource_spans(sender, spans)).collect(),
        }
        .encode_to_vec(),
        Content::Logs(parts) => ExportLogsServiceRequest {
            resource_logs: parts.iter().map(|(sender, logs)| resource_logs(sender, logs)).collect(),
        }
        .encode_to_vec(),
        Content::Metrics(parts) => ExportMetricsServiceRequest {
            resource_metrics: parts.iter().map(|(sender, at)| resource_metrics(sender, *at)).collect(),
        }
        .encode_to_vec(),
    }
}

fn resource_spans(sender: &Sender, spans: &[Span]) -> ResourceSpans {
    ResourceSpans {
        resource: Some(resource(sender)),
        scope_spans: vec![ScopeSpans { spans: spans.iter().map(otlp_span).collect(), ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

fn otlp_span(from: &Span) -> OtlpSpan {
    OtlpSpan {
        trace_id: from.place.trace.to_be_bytes().to_vec(),
        span_id: from.place.span.to_be_bytes().to_vec(),
        trace_state: from.trace_state.clone(),
        parent_span_id: from.parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
        name: from.name.clone(),
        kind: kind_number(from.kind),
        start_time_unix_nano: from.start.0,
        end_time_unix_nano: from.end.0,
        attributes: attributes(&from.attributes),
        links: from
            .links
            .iter()
            .map(|link| span::Link {
                trace_id: link.trace.to_be_bytes().to_vec(),
                span_id: link.span.to_be_bytes().to_vec(),
                ..span::Link::default()
            })
            .collect(),
        status: from.error.then(|| Status { message: "failed".into(), code: 2 }),
        ..OtlpSpan::default()
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

fn resource_logs(sender: &Sender, logs: &[Log]) -> ResourceLogs {
    ResourceLogs {
        resource: Some(resource(sender)),
        scope_logs: vec![ScopeLogs { log_records: logs.iter().map(log_record).collect(), ..ScopeLogs::default() }],
        ..ResourceLogs::default()
    }
}

fn log_record(from: &Log) -> LogRecord {
    LogRecord {
        time_unix_nano: from.at.0,
        observed_time_unix_nano: from.at.0,
        severity_number: i32::from(from.severity),
        event_name: from.name.clone(),
        body: Some(text(&from.body)),
        attributes: attributes(&from.attributes),
        trace_id: from.place.map(|place| place.trace.to_be_bytes().to_vec()).unwrap_or_default(),
        span_id: from.place.map(|place| place.span.to_be_bytes().to_vec()).unwrap_or_default(),
        ..LogRecord::default()
    }
}

fn resource_metrics(sender: &Sender, at: Timestamp) -> ResourceMetrics {
    ResourceMetrics {
        resource: Some(resource(sender)),
        scope_metrics: vec![ScopeMetrics {
            metrics: vec![Metric {
                name: "process.uptime".into(),
                data: Some(metric::Data::Gauge(Gauge {
                    data_points: vec![NumberDataPoint {
                        time_unix_nano: at.0,
                        value: Some(number_data_point::Value::AsInt(1)),
                        ..NumberDataPoint::default()
                    }],
                })),
                ..Metric::default()
            }],
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    }
}

fn resource(sender: &Sender) -> Resource {
    Resource { attributes: attributes(&sender.attributes()), ..Resource::default() }
}

fn attributes(from: &[(String, Value)]) -> Vec<KeyValue> {
    from.iter()
        .map(|(name, value)| KeyValue { key: name.clone(), value: Some(any_value(value)), ..KeyValue::default() })
        .collect()
}

fn any_value(from: &Value) -> AnyValue {
    match from {
        Value::Text(value) => text(value),
        Value::Integer(number) => AnyValue { value: Some(any_value::Value::IntValue(*number)) },
        Value::List(items) => AnyValue {
            value: Some(any_value::Value::ArrayValue(ArrayValue {
                values: items.iter().map(|item| text(item)).collect(),
            })),
        },
    }
}

fn text(value: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(value.into())) }
}
