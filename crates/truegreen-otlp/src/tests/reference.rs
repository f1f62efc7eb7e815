//! What a scan should find, told from the generated messages.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::plain::{Pairs, Plain, PlainLog, PlainNumber, PlainPoint, PlainSpan, Scanned, Told, temporality};
use crate::{Limits, MetricKind, Refusal, SpanKind, Status};

fn plain(value: Option<&AnyValue>) -> Plain {
    match value.and_then(|value| value.value.as_ref()) {
        None | Some(any_value::Value::StringValueStrindex(_)) => Plain::Empty,
        Some(any_value::Value::StringValue(text)) => Plain::Text(text.clone().into_bytes()),
        Some(any_value::Value::BoolValue(flag)) => Plain::Bool(*flag),
        Some(any_value::Value::IntValue(integer)) => Plain::Int(*integer),
        Some(any_value::Value::DoubleValue(double)) => Plain::Double(double.to_bits()),
        Some(any_value::Value::BytesValue(bytes)) => Plain::Bytes(bytes.clone()),
        Some(any_value::Value::ArrayValue(array)) => {
            Plain::Array(array.values.iter().map(|value| plain(Some(value))).collect())
        }
        Some(any_value::Value::KvlistValue(map)) => Plain::Map(pairs(&map.values)),
    }
}

fn pairs(attributes: &[KeyValue]) -> Pairs {
    attributes.iter().map(|pair| (pair.key.clone().into_bytes(), plain(pair.value.as_ref()))).collect()
}

fn trace_id(bytes: &[u8]) -> u128 {
    bytes.try_into().map_or(0, u128::from_be_bytes)
}

fn span_id(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

impl Scanned {
    fn resource(&mut self, resource: Option<&Resource>) {
        let attributes = resource.map(|resource| pairs(&resource.attributes)).unwrap_or_default();
        self.told.push(Told::Resource { attributes });
    }

    fn record(&mut self, refusal: Option<Refusal>, told: Told) {
        match refusal {
            None => self.tally.accepted += 1,
            Some(why) => self.tally.refuse(why),
        }
        self.told.push(refusal.map_or(told, Told::Refused));
    }
}

pub(super) fn traces(request: &ExportTraceServiceRequest, limits: &Limits) -> Scanned {
    let mut scanned = Scanned::default();
    for group in &request.resource_spans {
        scanned.resource(group.resource.as_ref());
        for span in group.scope_spans.iter().flat_map(|scope| &scope.spans) {
            let refusal = match () {
                () if span.attributes.len() > limits.max_attributes => Some(Refusal::TooManyAttributes),
                () if trace_id(&span.trace_id) == 0 => Some(Refusal::BadTraceId),
                () if span_id(&span.span_id) == 0 => Some(Refusal::BadSpanId),
                () if !matches!(span.parent_span_id.len(), 0 | 8) => Some(Refusal::BadParentSpanId),
                () => None,
            };
            let plain = plain_span(span);
            if refusal.is_none() {
                scanned.tally.ignored_links += (span.links.len() - plain.links.len()) as u64;
            }
            scanned.record(refusal, Told::Span(Box::new(plain)));
        }
    }
    scanned
}

fn plain_span(span: &Span) -> PlainSpan {
    let status = span.status.clone().unwrap_or_default();
    PlainSpan {
        ids: (trace_id(&span.trace_id), span_id(&span.span_id), span_id(&span.parent_span_id)),
        texts: [&span.trace_state, &span.name, &status.message].map(|text| text.clone().into_bytes()),
        kind: match span.kind {
            1 => SpanKind::Internal,
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Unspecified,
        },
        status: match status.code {
            1 => Status::Ok,
            2 => Status::Error,
            _ => Status::Unset,
        },
        times: (span.start_time_unix_nano, span.end_time_unix_nano),
        flags: span.flags,
        attributes: pairs(&span.attributes),
        links: (span.links.iter())
            .map(|link| (trace_id(&link.trace_id), span_id(&link.span_id)))
            .filter(|(trace, span)| *trace != 0 && *span != 0)
            .collect(),
        events: (span.events.iter())
            .map(|event| (event.time_unix_nano, event.name.clone().into_bytes(), pairs(&event.attributes)))
            .collect(),
        dropped: [span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count],
    }
}

pub(super) fn logs(request: &ExportLogsServiceRequest, limits: &Limits) -> Scanned {
    let mut scanned = Scanned::default();
    for group in &request.resource_logs {
        scanned.resource(group.resource.as_ref());
        for record in group.scope_logs.iter().flat_map(|scope| &scope.log_records) {
            let surplus = record.attributes.len() > limits.max_attributes;
            scanned.record(surplus.then_some(Refusal::TooManyAttributes), Told::Log(Box::new(plain_log(record))));
        }
    }
    scanned
}

fn plain_log(record: &LogRecord) -> PlainLog {
    PlainLog {
        times: (record.time_unix_nano, record.observed_time_unix_nano),
        severity: record.severity_number,
        texts: [&record.severity_text, &record.event_name].map(|text| text.clone().into_bytes()),
        body: plain(record.body.as_ref()),
        ids: (trace_id(&record.trace_id), span_id(&record.span_id)),
        flags: record.flags,
        attributes: pairs(&record.attributes),
        dropped: record.dropped_attributes_count,
    }
}

pub(super) fn metrics(request: &ExportMetricsServiceRequest, limits: &Limits) -> Scanned {
    let mut scanned = Scanned::default();
    for group in &request.resource_metrics {
        scanned.resource(group.resource.as_ref());
        for metric in group.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            for point in points(metric) {
                let surplus = point.attributes.len() > limits.max_attributes;
                scanned.record(surplus.then_some(Refusal::TooManyAttributes), Told::Point(Box::new(point)));
            }
        }
    }
    scanned
}

fn points(metric: &Metric) -> Vec<PlainPoint> {
    let texts = [&metric.name, &metric.unit].map(|text| text.clone().into_bytes());
    let make = |kind, times, value, flags: u32, attributes: &[KeyValue]| PlainPoint {
        texts: texts.clone(),
        kind,
        times,
        value,
        no_recorded_value: flags & 1 == 1,
        attributes: pairs(attributes),
    };
    let numbers = |kind, points: &[NumberDataPoint]| {
        let value = |point: &NumberDataPoint| match point.value {
            None => PlainNumber::None,
            Some(number_data_point::Value::AsInt(integer)) => PlainNumber::Int(integer),
            Some(number_data_point::Value::AsDouble(double)) => PlainNumber::Double(double.to_bits()),
        };
        let times = |point: &NumberDataPoint| (point.start_time_unix_nano, point.time_unix_nano);
        points.iter().map(|p| make(kind, times(p), value(p), p.flags, &p.attributes)).collect()
    };
    // The three kinds of distributions share names, not types.
    macro_rules! distributions {
        ($kind:expr, $points:expr, $sum:expr) => {
            ($points.iter())
                .map(|p| {
                    let value = PlainNumber::Distribution(p.count, $sum(p.sum));
                    make($kind, (p.start_time_unix_nano, p.time_unix_nano), value, p.flags, &p.attributes)
                })
                .collect()
        };
    }
    let bits = |sum: Option<f64>| sum.map(f64::to_bits);
    match &metric.data {
        None => Vec::new(),
        Some(Data::Gauge(data)) => numbers(MetricKind::Gauge, &data.data_points),
        Some(Data::Sum(data)) => {
            let temporality = temporality(data.aggregation_temporality);
            numbers(MetricKind::Sum { monotonic: data.is_monotonic, temporality }, &data.data_points)
        }
        Some(Data::Histogram(data)) => {
            let temporality = temporality(data.aggregation_temporality);
            distributions!(MetricKind::Histogram { temporality }, data.data_points, bits)
        }
        Some(Data::ExponentialHistogram(data)) => {
            let temporality = temporality(data.aggregation_temporality);
            distributions!(MetricKind::ExponentialHistogram { temporality }, data.data_points, bits)
        }
        // A summary's sum has no presence: absent is 0.
        Some(Data::Summary(data)) => {
            distributions!(MetricKind::Summary, data.data_points, |sum: f64| Some(sum.to_bits()))
        }
    }
}
