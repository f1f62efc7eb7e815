//! Every message of OTLP's three signals, field by field (`opentelemetry-proto` 1.10).

use super::{Field, Kind, Message, Often};

const fn field(number: u32, camel: &'static str, snake: &'static str, kind: Kind, often: Often) -> Field {
    Field { number, camel, snake, kind, often }
}

/// Kinds of spans.
static SPAN_KIND: &[(&str, i32)] = &[
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
];

/// How a span ended.
static STATUS_CODE: &[(&str, i32)] = &[("STATUS_CODE_UNSET", 0), ("STATUS_CODE_OK", 1), ("STATUS_CODE_ERROR", 2)];

/// Whether points count since the start or since the point before.
static TEMPORALITY: &[(&str, i32)] = &[
    ("AGGREGATION_TEMPORALITY_UNSPECIFIED", 0),
    ("AGGREGATION_TEMPORALITY_DELTA", 1),
    ("AGGREGATION_TEMPORALITY_CUMULATIVE", 2),
];

/// Severities of log records.
static SEVERITY: &[(&str, i32)] = &[
    ("SEVERITY_NUMBER_UNSPECIFIED", 0),
    ("SEVERITY_NUMBER_TRACE", 1),
    ("SEVERITY_NUMBER_TRACE2", 2),
    ("SEVERITY_NUMBER_TRACE3", 3),
    ("SEVERITY_NUMBER_TRACE4", 4),
    ("SEVERITY_NUMBER_DEBUG", 5),
    ("SEVERITY_NUMBER_DEBUG2", 6),
    ("SEVERITY_NUMBER_DEBUG3", 7),
    ("SEVERITY_NUMBER_DEBUG4", 8),
    ("SEVERITY_NUMBER_INFO", 9),
    ("SEVERITY_NUMBER_INFO2", 10),
    ("SEVERITY_NUMBER_INFO3", 11),
    ("SEVERITY_NUMBER_INFO4", 12),
    ("SEVERITY_NUMBER_WARN", 13),
    ("SEVERITY_NUMBER_WARN2", 14),
    ("SEVERITY_NUMBER_WARN3", 15),
    ("SEVERITY_NUMBER_WARN4", 16),
    ("SEVERITY_NUMBER_ERROR", 17),
    ("SEVERITY_NUMBER_ERROR2", 18),
    ("SEVERITY_NUMBER_ERROR3", 19),
    ("SEVERITY_NUMBER_ERROR4", 20),
    ("SEVERITY_NUMBER_FATAL", 21),
    ("SEVERITY_NUMBER_FATAL2", 22),
    ("SEVERITY_NUMBER_FATAL3", 23),
    ("SEVERITY_NUMBER_FATAL4", 24),
];

/// A key with its value.
pub(crate) static KEY_VALUE: Message = Message::new(&[
    field(1, "key", "key", Kind::Text, Often::Once),
    field(2, "value", "value", Kind::Message(&ANY_VALUE), Often::Once),
]);

/// A value of any kind.
pub(crate) static ANY_VALUE: Message = Message::new(&[
    field(1, "stringValue", "string_value", Kind::Text, Often::OneOf),
    field(2, "boolValue", "bool_value", Kind::Bool, Often::OneOf),
    field(3, "intValue", "int_value", Kind::Int64, Often::OneOf),
    field(4, "doubleValue", "double_value", Kind::Double, Often::OneOf),
    field(5, "arrayValue", "array_value", Kind::Message(&ARRAY_VALUE), Often::OneOf),
    field(6, "kvlistValue", "kvlist_value", Kind::Message(&KEY_VALUE_LIST), Often::OneOf),
    field(7, "bytesValue", "bytes_value", Kind::Bytes, Often::OneOf),
]);

/// Values in order.
pub(crate) static ARRAY_VALUE: Message =
    Message::new(&[field(1, "values", "values", Kind::Message(&ANY_VALUE), Often::Many)]);

/// Keys with values.
pub(crate) static KEY_VALUE_LIST: Message =
    Message::new(&[field(1, "values", "values", Kind::Message(&KEY_VALUE), Often::Many)]);

/// The library that made the records.
pub(crate) static SCOPE: Message = Message::new(&[
    field(1, "name", "name", Kind::Text, Often::Once),
    field(2, "version", "version", Kind::Text, Often::Once),
    field(3, "attributes", "attributes", Kind::Message(&KEY_VALUE), Often::Many),
    field(4, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32, Often::Once),
]);

/// An entity that a resource describes.
pub(crate) static ENTITY_REF: Message = Message::new(&[
    field(1, "schemaUrl", "schema_url", Kind::Text, Often::Once),
    field(2, "type", "type", Kind::Text, Often::Once),
    field(3, "idKeys", "id_keys", Kind::Text, Often::Many),
    field(4, "descriptionKeys", "description_keys", Kind::Text, Often::Many),
]);

/// What sent the records.
pub(crate) static RESOURCE: Message = Message::new(&[
    field(1, "attributes", "attributes", Kind::Message(&KEY_VALUE), Often::Many),
    field(2, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32, Often::Once),
    field(3, "entityRefs", "entity_refs", Kind::Message(&ENTITY_REF), Often::Many),
]);

/// A request of traces.
pub(crate) static TRACES: Message =
    Message::new(&[field(1, "resourceSpans", "resource_spans", Kind::Message(&RESOURCE_SPANS), Often::Many)]);

/// The traces of one resource.
pub(crate) static RESOURCE_SPANS: Message = Message::new(&[
    field(1, "resource", "resource", Kind::Message(&RESOURCE), Often::Once),
    field(2, "scopeSpans", "scope_spans", Kind::Message(&SCOPE_SPANS), Often::Many),
    field(3, "schemaUrl", "schema_url", Kind::Text, Often::Once),
]);

/// The traces of one scope.
pub(crate) static SCOPE_SPANS: Message = Message::new(&[
    field(1, "scope", "scope", Kind::Message(&SCOPE), Often::Once),
    field(2, "spans", "spans", Kind::Message(&SPAN), Often::Many),
    field(3, "schemaUrl", "schema_url", Kind::Text, Often::Once),
]);

/// A request of logs.
pub(crate) static LOGS: Message =
    Message::new(&[field(1, "resourceLogs", "resource_logs", Kind::Message(&RESOURCE_LOGS), Often::Many)]);

/// The logs of one resource.
pub(crate) static RESOURCE_LOGS: Message = Message::new(&[
    field(1, "resource", "resource", Kind::Message(&RESOURCE), Often::Once),
    field(2, "scopeLogs", "scope_logs", Kind::Message(&SCOPE_LOGS), Often::Many),
    field(3, "schemaUrl", "schema_url", Kind::Text, Often::Once),
]);

/// The logs of one scope.
pub(crate) static SCOPE_LOGS: Message = Message::new(&[
    field(1, "scope", "scope", Kind::Message(&SCOPE), Often::Once),
    field(2, "logRecords", "log_records", Kind::Message(&LOG_RECORD), Often::Many),
    field(3, "schemaUrl", "schema_url", Kind::Text, Often::Once),
]);

/// A request of metrics.
pub(crate) static METRICS: Message =
    Message::new(&[field(1, "resourceMetrics", "resource_metrics", Kind::Message(&RESOURCE_METRICS), Often::Many)]);

/// The metrics of one resource.
pub(crate) static RESOURCE_METRICS: Message = Message::new(&[
    field(1, "resource", "resource", Kind::Message(&RESOURCE), Often::Once),
    field(2, "scopeMetrics", "scope_metrics", Kind::Message(&SCOPE_METRICS), Often::Many),
    field(3, "schemaUrl", "schema_url", Kind::Text, Often::Once),
]);

/// The metrics of one scope.
pub(crate) static SCOPE_METRICS: Message = Message::new(&[
    field(1, "scope", "scope", Kind::Message(&SCOPE), Often::Once),
    field(2, "metrics", "metrics", Kind::Message(&METRIC), Often::Many),
    field(3, "schemaUrl", "schema_url", Kind::Text, Often::Once),
]);

/// A span.
pub(crate) static SPAN: Message = Message::new(&[
    field(1, "traceId", "trace_id", Kind::Id, Often::Once),
    field(2, "spanId", "span_id", Kind::Id, Often::Once),
    field(3, "traceState", "trace_state", Kind::Text, Often::Once),
    field(4, "parentSpanId", "parent_span_id", Kind::Id, Often::Once),
    field(5, "name", "name", Kind::Text, Often::Once),
    field(6, "kind", "kind", Kind::Enum(SPAN_KIND), Often::Once),
    field(7, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64, Often::Once),
    field(8, "endTimeUnixNano", "end_time_unix_nano", Kind::Fixed64, Often::Once),
    field(9, "attributes", "attributes", Kind::Message(&KEY_VALUE), Often::Many),
    field(10, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32, Often::Once),
    field(11, "events", "events", Kind::Message(&SPAN_EVENT), Often::Many),
    field(12, "droppedEventsCount", "dropped_events_count", Kind::Uint32, Often::Once),
    field(13, "links", "links", Kind::Message(&SPAN_LINK), Often::Many),
    field(14, "droppedLinksCount", "dropped_links_count", Kind::Uint32, Often::Once),
    field(15, "status", "status", Kind::Message(&STATUS), Often::Once),
    field(16, "flags", "flags", Kind::Fixed32, Often::Once),
]);

/// Something that happened during a span.
pub(crate) static SPAN_EVENT: Message = Message::new(&[
    field(1, "timeUnixNano", "time_unix_nano", Kind::Fixed64, Often::Once),
    field(2, "name", "name", Kind::Text, Often::Once),
    field(3, "attributes", "attributes", Kind::Message(&KEY_VALUE), Often::Many),
    field(4, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32, Often::Once),
]);

/// Another span that this one has to do with.
pub(crate) static SPAN_LINK: Message = Message::new(&[
    field(1, "traceId", "trace_id", Kind::Id, Often::Once),
    field(2, "spanId", "span_id", Kind::Id, Often::Once),
    field(3, "traceState", "trace_state", Kind::Text, Often::Once),
    field(4, "attributes", "attributes", Kind::Message(&KEY_VALUE), Often::Many),
    field(5, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32, Often::Once),
    field(6, "flags", "flags", Kind::Fixed32, Often::Once),
]);

/// How a span ended.
pub(crate) static STATUS: Message = Message::new(&[
    field(2, "message", "message", Kind::Text, Often::Once),
    field(3, "code", "code", Kind::Enum(STATUS_CODE), Often::Once),
]);

/// A log record.
pub(crate) static LOG_RECORD: Message = Message::new(&[
    field(1, "timeUnixNano", "time_unix_nano", Kind::Fixed64, Often::Once),
    field(2, "severityNumber", "severity_number", Kind::Enum(SEVERITY), Often::Once),
    field(3, "severityText", "severity_text", Kind::Text, Often::Once),
    field(5, "body", "body", Kind::Message(&ANY_VALUE), Often::Once),
    field(6, "attributes", "attributes", Kind::Message(&KEY_VALUE), Often::Many),
    field(7, "droppedAttributesCount", "dropped_attributes_count", Kind::Uint32, Often::Once),
    field(8, "flags", "flags", Kind::Fixed32, Often::Once),
    field(9, "traceId", "trace_id", Kind::Id, Often::Once),
    field(10, "spanId", "span_id", Kind::Id, Often::Once),
    field(11, "observedTimeUnixNano", "observed_time_unix_nano", Kind::Fixed64, Often::Once),
    field(12, "eventName", "event_name", Kind::Text, Often::Once),
]);

/// A metric with its data points.
pub(crate) static METRIC: Message = Message::new(&[
    field(1, "name", "name", Kind::Text, Often::Once),
    field(2, "description", "description", Kind::Text, Often::Once),
    field(3, "unit", "unit", Kind::Text, Often::Once),
    field(5, "gauge", "gauge", Kind::Message(&GAUGE), Often::OneOf),
    field(7, "sum", "sum", Kind::Message(&SUM), Often::OneOf),
    field(9, "histogram", "histogram", Kind::Message(&HISTOGRAM), Often::OneOf),
    field(10, "exponentialHistogram", "exponential_histogram", Kind::Message(&EXPONENTIAL_HISTOGRAM), Often::OneOf),
    field(11, "summary", "summary", Kind::Message(&SUMMARY), Often::OneOf),
    field(12, "metadata", "metadata", Kind::Message(&KEY_VALUE), Often::Many),
]);

/// Values as they stand.
pub(crate) static GAUGE: Message =
    Message::new(&[field(1, "dataPoints", "data_points", Kind::Message(&NUMBER_POINT), Often::Many)]);

/// Values that add up.
pub(crate) static SUM: Message = Message::new(&[
    field(1, "dataPoints", "data_points", Kind::Message(&NUMBER_POINT), Often::Many),
    field(2, "aggregationTemporality", "aggregation_temporality", Kind::Enum(TEMPORALITY), Often::Once),
    field(3, "isMonotonic", "is_monotonic", Kind::Bool, Often::Once),
]);

/// Distributions over given bounds.
pub(crate) static HISTOGRAM: Message = Message::new(&[
    field(1, "dataPoints", "data_points", Kind::Message(&HISTOGRAM_POINT), Often::Many),
    field(2, "aggregationTemporality", "aggregation_temporality", Kind::Enum(TEMPORALITY), Often::Once),
]);

/// Distributions over exponential bounds.
pub(crate) static EXPONENTIAL_HISTOGRAM: Message = Message::new(&[
    field(1, "dataPoints", "data_points", Kind::Message(&EXPONENTIAL_POINT), Often::Many),
    field(2, "aggregationTemporality", "aggregation_temporality", Kind::Enum(TEMPORALITY), Often::Once),
]);

/// Quantiles computed by the sender.
pub(crate) static SUMMARY: Message =
    Message::new(&[field(1, "dataPoints", "data_points", Kind::Message(&SUMMARY_POINT), Often::Many)]);

/// A number at a time.
pub(crate) static NUMBER_POINT: Message = Message::new(&[
    field(2, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64, Often::Once),
    field(3, "timeUnixNano", "time_unix_nano", Kind::Fixed64, Often::Once),
    field(4, "asDouble", "as_double", Kind::Double, Often::OneOf),
    field(5, "exemplars", "exemplars", Kind::Message(&EXEMPLAR), Often::Many),
    field(6, "asInt", "as_int", Kind::Sfixed64, Often::OneOf),
    field(7, "attributes", "attributes", Kind::Message(&KEY_VALUE), Often::Many),
    field(8, "flags", "flags", Kind::Uint32, Often::Once),
]);

/// A distribution at a time.
pub(crate) static HISTOGRAM_POINT: Message = Message::new(&[
    field(2, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64, Often::Once),
    field(3, "timeUnixNano", "time_unix_nano", Kind::Fixed64, Often::Once),
    field(4, "count", "count", Kind::Fixed64, Often::Once),
    field(5, "sum", "sum", Kind::Double, Often::Once),
    field(6, "bucketCounts", "bucket_counts", Kind::Fixed64, Often::Many),
    field(7, "explicitBounds", "explicit_bounds", Kind::Double, Often::Many),
    field(8, "exemplars", "exemplars", Kind::Message(&EXEMPLAR), Often::Many),
    field(9, "attributes", "attributes", Kind::Message(&KEY_VALUE), Often::Many),
    field(10, "flags", "flags", Kind::Uint32, Often::Once),
    field(11, "min", "min", Kind::Double, Often::Once),
    field(12, "max", "max", Kind::Double, Often::Once),
]);

/// An exponential distribution at a time.
pub(crate) static EXPONENTIAL_POINT: Message = Message::new(&[
    field(1, "attributes", "attributes", Kind::Message(&KEY_VALUE), Often::Many),
    field(2, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64, Often::Once),
    field(3, "timeUnixNano", "time_unix_nano", Kind::Fixed64, Often::Once),
    field(4, "count", "count", Kind::Fixed64, Often::Once),
    field(5, "sum", "sum", Kind::Double, Often::Once),
    field(6, "scale", "scale", Kind::Sint32, Often::Once),
    field(7, "zeroCount", "zero_count", Kind::Fixed64, Often::Once),
    field(8, "positive", "positive", Kind::Message(&BUCKETS), Often::Once),
    field(9, "negative", "negative", Kind::Message(&BUCKETS), Often::Once),
    field(10, "flags", "flags", Kind::Uint32, Often::Once),
    field(11, "exemplars", "exemplars", Kind::Message(&EXEMPLAR), Often::Many),
    field(12, "min", "min", Kind::Double, Often::Once),
    field(13, "max", "max", Kind::Double, Often::Once),
    field(14, "zeroThreshold", "zero_threshold", Kind::Double, Often::Once),
]);

/// Counts of consecutive buckets.
pub(crate) static BUCKETS: Message = Message::new(&[
    field(1, "offset", "offset", Kind::Sint32, Often::Once),
    field(2, "bucketCounts", "bucket_counts", Kind::Uint64, Often::Many),
]);

/// Quantiles at a time.
pub(crate) static SUMMARY_POINT: Message = Message::new(&[
    field(2, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64, Often::Once),
    field(3, "timeUnixNano", "time_unix_nano", Kind::Fixed64, Often::Once),
    field(4, "count", "count", Kind::Fixed64, Often::Once),
    field(5, "sum", "sum", Kind::Double, Often::Once),
    field(6, "quantileValues", "quantile_values", Kind::Message(&QUANTILE), Often::Many),
    field(7, "attributes", "attributes", Kind::Message(&KEY_VALUE), Often::Many),
    field(8, "flags", "flags", Kind::Uint32, Often::Once),
]);

/// A value at a quantile.
pub(crate) static QUANTILE: Message = Message::new(&[
    field(1, "quantile", "quantile", Kind::Double, Often::Once),
    field(2, "value", "value", Kind::Double, Often::Once),
]);

/// A measurement with its trace.
pub(crate) static EXEMPLAR: Message = Message::new(&[
    field(2, "timeUnixNano", "time_unix_nano", Kind::Fixed64, Often::Once),
    field(3, "asDouble", "as_double", Kind::Double, Often::OneOf),
    field(4, "spanId", "span_id", Kind::Id, Often::Once),
    field(5, "traceId", "trace_id", Kind::Id, Often::Once),
    field(6, "asInt", "as_int", Kind::Sfixed64, Often::OneOf),
    field(7, "filteredAttributes", "filtered_attributes", Kind::Message(&KEY_VALUE), Often::Many),
]);
