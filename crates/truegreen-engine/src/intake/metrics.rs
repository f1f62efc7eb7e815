//! Metrics: the heartbeat of their instance. Of their values only those are read that tell of spans which were
//! dropped, of requests in flight, and of what contracts hold their books against.

use truegreen_model::observation::InstanceId;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{DataPoint, MetricKind, MetricSink, Number, Resource, Temporality, Value};

use super::digest::{Counted, Dropped};
use super::{Lamp, MAX_AHEAD, Reading};
use crate::accounts::CounterPoint;
use crate::counters;
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
        let now = self.lamp.now;
        if let Some(heard) = self.heard() {
            heard.data_points += 1;
            heard.told(None, Timestamp(point.time), now);
        }
        if !self.lamp.matcher.counters.is_empty() {
            self.counter(point);
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

    /// A point of a counter that a flow is held against, perhaps.
    fn counter(&mut self, point: &DataPoint<'_, '_>) {
        let Lamp { matcher, symbols, now, retention, .. } = self.lamp;
        let Some(sender) = self.sender.clone() else { return };
        let Some(instance) = sender.instance else { return };
        let service = symbols.text(sender.name).as_bytes();
        let time = Timestamp(point.time);
        if time > now + MAX_AHEAD || time + retention < now {
            return;
        }
        for plan in matcher.counters.iter().filter(|plan| plan.is_of(service)) {
            let (flow, index) = (plan.flow, plan.index);
            let latest = self
                .digest
                .exported
                .iter_mut()
                .rev()
                .take(matcher.counters.len())
                .find(|one| (one.0, one.1, one.2) == (flow, index, instance));
            match latest {
                Some((.., at)) => *at = time.max(*at),
                None => self.digest.exported.push((flow, index, instance, time)),
            }
            if point.no_recorded_value || !plan.matches(point) {
                continue;
            }
            let MetricKind::Sum { monotonic: true, temporality: Temporality::Delta | Temporality::Cumulative } =
                point.metric.kind
            else {
                self.count(counters::NOT_A_COUNTER);
                continue;
            };
            let Some(value) = number(point).filter(|value| *value >= 0.0) else {
                self.count(counters::COUNTER_WITHOUT_VALUE);
                continue;
            };
            let reason = plan.by.as_ref().and_then(|by| point.get(by)).map(|reason| reason.text());
            let reason = reason.filter(|reason| !reason.is_empty()).map(|reason| (*reason).into());
            let (series, is_delta) = (series(point), is_delta(point));
            let start = Timestamp(point.start);
            let point = CounterPoint { service: sender.name, instance, series, start, time, value, is_delta };
            self.digest.counted.push(Counted { flow, index, point, reason });
        }
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

pub(crate) fn number(point: &DataPoint<'_, '_>) -> Option<f64> {
    match point.value {
        Number::Int(number) => Some(number as f64),
        Number::Double(number) => number.is_finite().then_some(number),
        Number::None | Number::Distribution { .. } => None,
    }
}

pub(crate) fn is_delta(point: &DataPoint<'_, '_>) -> bool {
    matches!(point.metric.kind, MetricKind::Sum { temporality: Temporality::Delta, .. })
}

/// Names the series among those of its instance, in whatever order attributes come.
pub(crate) fn series(point: &DataPoint<'_, '_>) -> u64 {
    let attributes = point.attributes.iter().map(|one| mix(hash(one.key), hash(&one.value.text())));
    attributes.fold(hash(point.metric.name), u64::wrapping_add)
}

/// Why spans were dropped, where the point counts such.
pub(crate) fn dropped<'a>(point: &DataPoint<'a, '_>) -> Option<std::borrow::Cow<'a, [u8]>> {
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
