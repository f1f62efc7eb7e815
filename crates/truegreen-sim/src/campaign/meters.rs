//! The SDK's own metrics of one process, as the semantic conventions name them.

use std::collections::BTreeMap;

use super::record::{Attributes, Point, Sort, Value};

/// A request that a server has, or had.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Served {
    method: &'static str,
    route: &'static str,
    status: i64,
    start: f64,
    end: f64,
}

/// Counts since the process began.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Meters {
    pending: Vec<Served>,
    durations: BTreeMap<(&'static str, &'static str, i64), (i64, f64)>,
    active: BTreeMap<(&'static str, &'static str), i64>,
    counts: BTreeMap<(&'static str, &'static str, &'static str), i64>,
}

impl Meters {
    /// A server takes a request; it may never end.
    pub fn served(&mut self, (method, route): (&'static str, &'static str), status: i64, start: f64, end: f64) {
        self.pending.push(Served { method, route, status, start, end });
    }

    /// One more message of a destination, and of a consumer's group.
    pub fn message(&mut self, metric: &'static str, destination: &'static str, group: &'static str) {
        *self.counts.entry((metric, destination, group)).or_default() += 1;
    }

    /// All points as of now.
    pub fn points(&mut self, now: f64, (processed, dropped): (i64, i64)) -> Vec<Point> {
        for active in self.active.values_mut() {
            *active = 0;
        }
        let mut pending = std::mem::take(&mut self.pending);
        for served in &pending {
            if served.end <= now {
                let (count, sum) = self.durations.entry((served.method, served.route, served.status)).or_default();
                *count += 1;
                *sum += served.end - served.start;
            }
            let active = self.active.entry((served.method, served.route)).or_default();
            *active += i64::from(served.start <= now && served.end > now);
        }
        pending.retain(|served| served.end > now);
        self.pending = pending;
        self.told(now, processed, dropped)
    }

    fn told(&self, now: f64, processed: i64, dropped: i64) -> Vec<Point> {
        let mut points = vec![point("process.uptime", Sort::UpDown, Vec::new(), now as i64)];
        for ((method, route, status), (count, sum)) in &self.durations {
            let mut attributes = of_route(method, route);
            attributes.push(("http.response.status_code", Value::Number(*status)));
            points.push(Point {
                sum: *sum,
                ..point("http.server.request.duration", Sort::Histogram, attributes, *count)
            });
        }
        for ((method, route), active) in &self.active {
            points.push(point("http.server.active_requests", Sort::UpDown, of_route(method, route), *active));
        }
        for ((metric, destination, group), count) in &self.counts {
            let mut attributes = vec![("messaging.destination.name", Value::Name(destination))];
            if !group.is_empty() {
                attributes.push(("messaging.consumer.group.name", Value::Name(group)));
            }
            points.push(point(metric, Sort::Counter, attributes, *count));
        }
        let processor = vec![("otel.component.type", Value::Name("batching_span_processor"))];
        points.push(point("otel.sdk.processor.span.processed", Sort::Counter, processor.clone(), processed));
        if dropped > 0 {
            let full = [processor, vec![("error.type", Value::Name("queue_full"))]].concat();
            points.push(point("otel.sdk.processor.span.processed", Sort::Counter, full, dropped));
        }
        points.push(point("otel.sdk.span.live", Sort::UpDown, Vec::new(), self.active.values().sum()));
        points
    }
}

fn point(metric: &'static str, sort: Sort, attributes: Attributes, value: i64) -> Point {
    Point { metric, sort, attributes, value, sum: 0.0 }
}

fn of_route(method: &'static str, route: &'static str) -> Attributes {
    vec![("http.request.method", method.into()), ("http.route", route.into()), ("url.scheme", "http".into())]
}
