//! Metrics: the heartbeat of their instance. Of their values only those are read that tell of spans which were
//! dropped, and of requests in flight.

use truegreen_model::observation::InstanceId;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{DataPoint, MetricKind, MetricSink, Number, Resource, Temporality, Value};

use super::Reading;
use super::digest::Dropped;
use crate::coverage::ServiceId;
use crate::matcher::key::{hash, mix};
use crate::watch::{DroppedSpans, LevelPoint};

/// What SDKs count of spans, failed ones under their `error.type`. With the endings that these names once had.
const COUNTS_OF_SPANS: [&[u8]; 2] = [b"otel.sdk.processor.span.processed", b"otel.sdk.exporter.span.exported"];
/// The same before there was a convention, in Java.
const OLD_COUNT_OF_SPANS: &[u8] = b"processedSpans";
/// Requests in flight.
const LEVELS: [&[u8]; 2] = [b"http.server.active_requests", b"otel.sdk.span.live"];
/// What is dropped by a process that ends belongs to nothing that goes on.
const ENDED: &[u8] = b"already_shutdown";

impl<'a> MetricSink<'a> for Reading<'_> {
    fn resource(&mut self, resource: &Resource<'a, '_>) {
        self.enter(resource);
    }

    fn point(&mut self, point: &DataPoint<'a, '_>) {
        if let Some(heard) = self.heard() {
            heard.data_points += 1;
        }
        if self.lamp.matcher.vocabulary.is_none() || point.no_recorded_value {
            return;
        }
        if LEVELS.iter().any(|level| point.metric.name.starts_with(level)) {
            self.level(point);
        } else if let Some(why) = dropped(point) {
            self.spans_dropped(point, &why);
        }
    }
}

impl Reading<'_> {
    fn spans_dropped(&mut self, point: &DataPoint<'_, '_>, why: &[u8]) {
        let Some((service, instance)) = self.told_by() else { return };
        let Some(count) = number(point) else { return };
        let since = (!is_delta(point)).then_some(Timestamp(point.start));
        let point = DroppedSpans { service, instance, series: series(point), count, since, why: None };
        self.digest.dropped.push(Dropped { point, why: why.into() });
    }

    fn level(&mut self, point: &DataPoint<'_, '_>) {
        let Some((service, instance)) = self.told_by() else { return };
        let Some(value) = number(point) else { return };
        let route = point.get(b"http.route").map(|route| route.text()).unwrap_or_default();
        let (series, is_delta) = (series(point), is_delta(point));
        let point = LevelPoint { service, instance, series, value, is_delta, route: None };
        self.digest.levels.push((point, (*route).into()));
    }

    fn told_by(&self) -> Option<(ServiceId, InstanceId)> {
        self.sender.as_ref().and_then(|sender| Some((sender.service, sender.instance?)))
    }
}

fn number(point: &DataPoint<'_, '_>) -> Option<f64> {
    match point.value {
        Number::Int(number) => Some(number as f64),
        Number::Double(number) => number.is_finite().then_some(number),
        Number::None | Number::Distribution { .. } => None,
    }
}

fn is_delta(point: &DataPoint<'_, '_>) -> bool {
    matches!(point.metric.kind, MetricKind::Sum { temporality: Temporality::Delta, .. })
}

/// Names the series among those of its instance, in whatever order attributes come.
fn series(point: &DataPoint<'_, '_>) -> u64 {
    let attributes = point.attributes.iter().map(|one| mix(hash(one.key), hash(&one.value.text())));
    attributes.fold(hash(point.metric.name), u64::wrapping_add)
}

/// Why spans were dropped, where the point counts such.
fn dropped<'a>(point: &DataPoint<'a, '_>) -> Option<std::borrow::Cow<'a, [u8]>> {
    let name = point.metric.name;
    if name == OLD_COUNT_OF_SPANS {
        let is_dropped = matches!(point.get(b"dropped")?, Value::Bool(true));
        return is_dropped.then_some(b"queue_full"[..].into());
    }
    if !COUNTS_OF_SPANS.iter().any(|count| name.starts_with(count)) {
        return None;
    }
    point.get(b"error.type").map(|error| error.text()).filter(|error| !error.is_empty() && **error != *ENDED)
}
