//! Services that export what they did every five seconds, and an engine that hears of it.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use truegreen_model::report::{FindingReport, FlowReport};
use truegreen_model::time::Timestamp;

use crate::engine::{Engine, Options};
use crate::flow::{Source, compile};
use crate::input::{Effect, Input, Request};

/// When every world begins: the first second of an hour.
pub(crate) const BEGINS: u64 = 1_800_000_000;
const EVERY: u64 = 5;

/// Chance that is the same in every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1))
    }

    /// From 0 to 1.
    pub(crate) fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What a service sends together.
#[derive(Default)]
struct Export {
    spans: Vec<Span>,
    sums: Vec<(String, Sum)>,
}

/// One point of a counter.
#[derive(Clone, Copy)]
pub(crate) struct Point<'p> {
    pub(crate) metric: &'p str,
    pub(crate) attributes: &'p [(&'p str, &'p str)],
    /// Seconds since the world began; before it where negative.
    pub(crate) start: f64,
    pub(crate) value: f64,
    pub(crate) is_delta: bool,
    /// How much later than any other export it is received.
    pub(crate) delay: u64,
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) effects: Vec<Effect>,
    services: Vec<&'static str>,
    /// By second of receipt, and by service and instance.
    exports: BTreeMap<u64, BTreeMap<(String, String), Export>>,
    sequence: u64,
    spans: u64,
    /// Until when it lived, in seconds since it began.
    now: u64,
    kept: BTreeMap<Vec<u8>, Vec<u8>>,
    /// So many requests are applied together.
    pub(crate) together: usize,
    waiting: Vec<(Timestamp, bool, Vec<u8>)>,
}

fn options() -> Options {
    Options { keeps_changes: true, watches_traces: false, threads: 2, ..Options::default() }
}

impl World {
    pub(crate) fn new(contract: &str, services: &[&'static str]) -> World {
        let source = Source { path: "flow.yaml".into(), text: contract.into() };
        World {
            engine: Engine::new(compile(&[source]).unwrap().flows, options()),
            effects: Vec::new(),
            services: services.to_vec(),
            exports: BTreeMap::new(),
            sequence: 0,
            spans: 0,
            now: 0,
            kept: BTreeMap::new(),
            together: 1,
            waiting: Vec::new(),
        }
    }

    /// A span of this name that carries the key ends at this second.
    pub(crate) fn span(&mut self, at: f64, service: &str, name: &str, attributes: &[(&str, &str)]) {
        self.spans += 1;
        let end = nanos(at);
        let span = Span {
            // All over the range: ids in one tail of it are those of a sample.
            trace_id: self.spans.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes().repeat(2),
            span_id: self.spans.to_be_bytes().to_vec(),
            name: name.to_owned(),
            start_time_unix_nano: end,
            end_time_unix_nano: end,
            attributes: attributes.iter().map(|(key, value)| text(key, value)).collect(),
            ..Span::default()
        };
        self.export(at, 0, (service, "1")).spans.push(span);
    }

    /// A service tells one of its counters.
    pub(crate) fn counts(&mut self, at: f64, (service, instance): (&str, &str), point: &Point<'_>) {
        let Point { metric, attributes, start, value, is_delta, delay } = *point;
        let data = NumberDataPoint {
            attributes: attributes.iter().map(|(key, value)| text(key, value)).collect(),
            start_time_unix_nano: nanos(start),
            time_unix_nano: nanos(at),
            value: Some(number_data_point::Value::AsDouble(value)),
            ..NumberDataPoint::default()
        };
        let sum =
            Sum { data_points: vec![data], aggregation_temporality: if is_delta { 1 } else { 2 }, is_monotonic: true };
        self.export(at, delay, (service, instance)).sums.push((metric.to_owned(), sum));
    }

    fn export(&mut self, at: f64, delay: u64, (service, instance): (&str, &str)) -> &mut Export {
        let received = (at.max(self.now as f64) as u64 / EVERY + 1) * EVERY + delay;
        let of = (service.to_owned(), instance.to_owned());
        self.exports.entry(received).or_default().entry(of).or_default()
    }

    /// Lets it live until this second.
    pub(crate) fn live(&mut self, until: u64) {
        while self.now + EVERY <= until {
            self.now += EVERY;
            for service in self.services.clone() {
                // Somebody asks each of them whether it lives: that a service's own spans break off is no proof of a
                // loss, and these worlds are of what is lost and who left, not of who fell silent.
                self.span(self.now as f64, service, "GET /healthz", &[]);
            }
            let now = Timestamp::from_secs(BEGINS + self.now);
            for (sender, export) in self.exports.remove(&self.now).unwrap_or_default() {
                self.send(now, &sender, export);
            }
        }
        self.flush();
    }

    fn send(&mut self, now: Timestamp, (service, instance): &(String, String), export: Export) {
        let attributes = vec![text("service.name", service), text("service.instance.id", instance)];
        let resource = Some(Resource { attributes, ..Resource::default() });
        let alive =
            ("process.uptime".to_owned(), Sum { data_points: vec![NumberDataPoint::default()], ..Sum::default() });
        let metrics = export.sums.into_iter().chain([alive]).map(|(name, sum)| Metric {
            name,
            data: Some(metric::Data::Sum(sum)),
            ..Metric::default()
        });
        let metrics = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: resource.clone(),
                scope_metrics: vec![ScopeMetrics { metrics: metrics.collect(), ..ScopeMetrics::default() }],
                ..ResourceMetrics::default()
            }],
        };
        if !export.spans.is_empty() {
            let scope_spans = vec![ScopeSpans { spans: export.spans, ..ScopeSpans::default() }];
            let traces = ExportTraceServiceRequest {
                resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }],
            };
            self.apply(now, true, traces.encode_to_vec());
        }
        self.apply(now, false, metrics.encode_to_vec());
    }

    fn apply(&mut self, now: Timestamp, is_traces: bool, body: Vec<u8>) {
        self.waiting.push((now, is_traces, body));
        if self.waiting.len() >= self.together {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let mut inputs = Vec::new();
        for (now, is_traces, body) in &waiting {
            self.sequence += 1;
            let request = Request { sequence: self.sequence, body };
            inputs.push((*now, if *is_traces { Input::Traces(request) } else { Input::Metrics(request) }));
        }
        self.effects.extend(self.engine.apply_batch(&inputs));
    }

    /// The engine stops and is taken from its checkpoint.
    pub(crate) fn restart(&mut self) {
        let kept = &mut self.kept;
        self.engine.checkpoint(&mut |key, value| match value {
            Some(value) => drop(kept.insert(key.to_vec(), value.to_vec())),
            None => drop(kept.remove(key)),
        });
        self.engine = Engine::restore(options(), self.kept.clone().into_iter()).unwrap();
    }

    /// The only flow.
    pub(crate) fn flow(&self) -> FlowReport {
        self.engine.report().flows.into_values().next().unwrap()
    }

    /// Findings of whatever standing, save for those of this kind.
    pub(crate) fn findings(&self) -> Vec<FindingReport> {
        self.engine.report().findings
    }
}

fn nanos(second: f64) -> u64 {
    ((BEGINS as f64 + second) * 1e6).round() as u64 * 1_000
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// `hh:mm:ss` of a report's time, as seconds since the world began.
pub(crate) fn second_of(rfc3339: &str) -> u64 {
    let part = |at: usize| rfc3339[at..at + 2].parse::<u64>().unwrap();
    let of_day = part(11) * 3600 + part(14) * 60 + part(17);
    (of_day + 86_400 - BEGINS % 86_400) % 86_400
}
