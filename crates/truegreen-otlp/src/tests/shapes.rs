//! Requests of every shape, as the generated messages.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::dice::Dice;

pub(super) fn value(dice: &mut Dice, depth: u32) -> AnyValue {
    let kinds = if depth == 0 { 6 } else { 8 };
    let value = match dice.below(kinds) {
        0 => None,
        1 | 2 => Some(Value::StringValue(dice.text())),
        3 => Some(Value::BoolValue(dice.one_in(2))),
        4 => Some(Value::IntValue(dice.number().cast_signed())),
        5 if dice.one_in(2) => Some(Value::BytesValue(dice.id(5))),
        5 => Some(Value::DoubleValue(dice.double())),
        6 => Some(Value::ArrayValue(ArrayValue { values: dice.some(3, |dice| value(dice, depth - 1)) })),
        _ => Some(Value::KvlistValue(KeyValueList { values: dice.some(3, |dice| pair(dice, depth - 1)) })),
    };
    AnyValue { value }
}

pub(super) fn pair(dice: &mut Dice, depth: u32) -> KeyValue {
    KeyValue { key: dice.text(), value: dice.maybe(|dice| value(dice, depth)), ..KeyValue::default() }
}

fn attributes(dice: &mut Dice) -> Vec<KeyValue> {
    dice.some(4, |dice| pair(dice, 3))
}

fn dropped(dice: &mut Dice) -> u32 {
    if dice.one_in(4) { dice.number() as u32 } else { 0 }
}

fn resource(dice: &mut Dice) -> Resource {
    Resource {
        attributes: attributes(dice),
        dropped_attributes_count: dropped(dice),
        entity_refs: dice.some(1, |dice| EntityRef {
            schema_url: dice.text(),
            r#type: dice.text(),
            id_keys: dice.some(2, Dice::text),
            description_keys: dice.some(2, Dice::text),
        }),
    }
}

fn scope(dice: &mut Dice) -> InstrumentationScope {
    InstrumentationScope {
        name: dice.text(),
        version: dice.text(),
        attributes: attributes(dice),
        dropped_attributes_count: dropped(dice),
    }
}

pub(super) fn traces(dice: &mut Dice) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: dice.some(2, |dice| ResourceSpans {
            resource: dice.maybe(resource),
            scope_spans: dice.some(2, |dice| ScopeSpans {
                scope: dice.maybe(scope),
                spans: dice.some(3, span),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        }),
    }
}

fn span(dice: &mut Dice) -> Span {
    Span {
        trace_id: dice.id(16),
        span_id: dice.id(8),
        trace_state: dice.text(),
        parent_span_id: dice.id(8),
        flags: dropped(dice),
        name: dice.text(),
        kind: dice.below(8) as i32 - 1,
        start_time_unix_nano: dice.number(),
        end_time_unix_nano: dice.number(),
        attributes: attributes(dice),
        dropped_attributes_count: dropped(dice),
        events: dice.some(2, |dice| Event {
            time_unix_nano: dice.number(),
            name: dice.text(),
            attributes: attributes(dice),
            dropped_attributes_count: dropped(dice),
        }),
        dropped_events_count: dropped(dice),
        links: dice.some(2, |dice| Link {
            trace_id: dice.id(16),
            span_id: dice.id(8),
            trace_state: dice.text(),
            attributes: attributes(dice),
            dropped_attributes_count: dropped(dice),
            flags: dropped(dice),
        }),
        dropped_links_count: dropped(dice),
        status: dice.maybe(|dice| Status { message: dice.text(), code: dice.below(5) as i32 - 1 }),
    }
}

pub(super) fn logs(dice: &mut Dice) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: dice.some(2, |dice| ResourceLogs {
            resource: dice.maybe(resource),
            scope_logs: dice.some(2, |dice| ScopeLogs {
                scope: dice.maybe(scope),
                log_records: dice.some(3, log),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        }),
    }
}

fn log(dice: &mut Dice) -> LogRecord {
    LogRecord {
        time_unix_nano: dice.number(),
        observed_time_unix_nano: dice.number(),
        severity_number: dice.below(30) as i32 - 2,
        severity_text: dice.text(),
        body: dice.maybe(|dice| value(dice, 4)),
        attributes: attributes(dice),
        dropped_attributes_count: dropped(dice),
        flags: dropped(dice),
        trace_id: dice.id(16),
        span_id: dice.id(8),
        event_name: dice.text(),
    }
}

pub(super) fn metrics(dice: &mut Dice) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: dice.some(2, |dice| ResourceMetrics {
            resource: dice.maybe(resource),
            scope_metrics: dice.some(2, |dice| ScopeMetrics {
                scope: dice.maybe(scope),
                metrics: dice.some(3, metric),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        }),
    }
}

fn metric(dice: &mut Dice) -> Metric {
    let temporality = dice.below(4) as i32;
    let data = dice.maybe(|dice| match dice.below(5) {
        0 => Data::Gauge(Gauge { data_points: dice.some(3, number) }),
        1 => Data::Sum(Sum {
            data_points: dice.some(3, number),
            aggregation_temporality: temporality,
            is_monotonic: dice.one_in(2),
        }),
        2 => Data::Histogram(Histogram { data_points: dice.some(3, histogram), aggregation_temporality: temporality }),
        3 => Data::ExponentialHistogram(ExponentialHistogram {
            data_points: dice.some(3, exponential),
            aggregation_temporality: temporality,
        }),
        _ => Data::Summary(Summary { data_points: dice.some(3, summary) }),
    });
    Metric { name: dice.text(), description: dice.text(), unit: dice.text(), metadata: attributes(dice), data }
}

fn exemplar(dice: &mut Dice) -> Exemplar {
    Exemplar {
        filtered_attributes: attributes(dice),
        time_unix_nano: dice.number(),
        span_id: dice.id(8),
        trace_id: dice.id(16),
        value: dice.maybe(|dice| match dice.one_in(2) {
            true => exemplar::Value::AsDouble(dice.double()),
            false => exemplar::Value::AsInt(dice.number().cast_signed()),
        }),
    }
}

fn number(dice: &mut Dice) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(dice),
        start_time_unix_nano: dice.number(),
        time_unix_nano: dice.number(),
        exemplars: dice.some(1, exemplar),
        flags: dropped(dice),
        value: dice.maybe(|dice| match dice.one_in(2) {
            true => number_data_point::Value::AsDouble(dice.double()),
            false => number_data_point::Value::AsInt(dice.number().cast_signed()),
        }),
    }
}

fn histogram(dice: &mut Dice) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(dice),
        start_time_unix_nano: dice.number(),
        time_unix_nano: dice.number(),
        count: dice.number(),
        sum: dice.maybe(Dice::double),
        bucket_counts: dice.some(4, Dice::number),
        explicit_bounds: dice.some(4, Dice::double),
        exemplars: dice.some(1, exemplar),
        flags: dropped(dice),
        min: dice.maybe(Dice::double),
        max: dice.maybe(Dice::double),
    }
}

fn buckets(dice: &mut Dice) -> Buckets {
    Buckets { offset: dice.roll() as i32, bucket_counts: dice.some(4, Dice::number) }
}

fn exponential(dice: &mut Dice) -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        attributes: attributes(dice),
        start_time_unix_nano: dice.number(),
        time_unix_nano: dice.number(),
        count: dice.number(),
        sum: dice.maybe(Dice::double),
        scale: dice.roll() as i32,
        zero_count: dice.number(),
        positive: dice.maybe(buckets),
        negative: dice.maybe(buckets),
        flags: dropped(dice),
        exemplars: dice.some(1, exemplar),
        min: dice.maybe(Dice::double),
        max: dice.maybe(Dice::double),
        zero_threshold: dice.double(),
    }
}

fn summary(dice: &mut Dice) -> SummaryDataPoint {
    SummaryDataPoint {
        attributes: attributes(dice),
        start_time_unix_nano: dice.number(),
        time_unix_nano: dice.number(),
        count: dice.number(),
        sum: dice.double(),
        quantile_values: dice.some(2, |dice| ValueAtQuantile { quantile: dice.double(), value: dice.double() }),
        flags: dropped(dice),
    }
}
