//! How a service sends its telemetry: the official OpenTelemetry SDK, over OTLP/gRPC, set up as a service would.
//!
//! Everything that `OTEL_*` variables could change is set here; the orchestrator takes them out of the environment.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::metrics::{Counter, Histogram, MeterProvider};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Link, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{self, BatchLogProcessor, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{self, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider};

use crate::Error;
use crate::config::ServiceConfig;

/// `service.namespace` of all services.
const NAMESPACE: &str = "shop";
/// `deployment.environment.name` of all services.
const ENVIRONMENT: &str = "demo";
/// The instrumentation scope.
const SCOPE: &str = "truegreen-demo";
/// How often spans and log records are sent.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How often metrics are sent.
const METRIC_INTERVAL: Duration = Duration::from_secs(5);
/// The SDK drops what does not fit, and says so to nobody: room for over a minute at the highest rate.
const BATCH_QUEUE: usize = 1 << 17;
/// How long one export, and the last flush, may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
/// Seconds, as the semantic conventions advise for durations.
const DURATION_BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The instruments of a service; each service uses some of them.
#[derive(Clone)]
pub(crate) struct Instruments {
    pub(crate) http_server_duration: Histogram<f64>,
    pub(crate) consumed_messages: Counter<u64>,
    pub(crate) process_duration: Histogram<f64>,
    pub(crate) events_rejected: Counter<u64>,
}

/// The providers of one service, and what it makes spans, log records and measurements with.
#[derive(Clone)]
pub(crate) struct Telemetry {
    tracers: SdkTracerProvider,
    loggers: SdkLoggerProvider,
    meters: SdkMeterProvider,
    tracer: SdkTracer,
    logger: SdkLogger,
    pub(crate) instruments: Instruments,
}

/// A log record that is an event.
pub(crate) struct Event<'a> {
    pub(crate) name: &'static str,
    pub(crate) severity: Severity,
    pub(crate) body: String,
    pub(crate) attributes: Vec<(&'static str, &'a str)>,
}

impl Telemetry {
    /// Must be called inside a tokio runtime, which has to run on until [`Telemetry::stop`]: it carries the connection.
    pub(crate) fn start(config: &ServiceConfig, endpoint: &str) -> Result<Telemetry, Error> {
        let failed = |source| Error::Telemetry { endpoint: endpoint.to_owned(), source };
        let spans = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT).build();
        let records = LogExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT).build();
        let metrics =
            MetricExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT).build();
        let resource = resource(config);
        let span_batches = trace::BatchConfigBuilder::default()
            .with_max_queue_size(BATCH_QUEUE)
            .with_scheduled_delay(BATCH_DELAY)
            .build();
        let log_batches = logs::BatchConfigBuilder::default()
            .with_max_queue_size(BATCH_QUEUE)
            .with_scheduled_delay(BATCH_DELAY)
            .build();
        let span_processor =
            BatchSpanProcessor::builder(spans.map_err(failed)?).with_batch_config(span_batches).build();
        let log_processor = BatchLogProcessor::builder(records.map_err(failed)?).with_batch_config(log_batches).build();
        let reader = PeriodicReader::builder(metrics.map_err(failed)?).with_interval(METRIC_INTERVAL).build();
        Ok(Telemetry::over(
            SdkTracerProvider::builder()
                .with_sampler(Sampler::AlwaysOn)
                .with_resource(resource.clone())
                .with_span_processor(span_processor)
                .build(),
            SdkLoggerProvider::builder().with_resource(resource.clone()).with_log_processor(log_processor).build(),
            SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build(),
        ))
    }

    pub(crate) fn over(tracers: SdkTracerProvider, loggers: SdkLoggerProvider, meters: SdkMeterProvider) -> Self {
        let meter = meters.meter(SCOPE);
        let seconds = |name: &'static str| {
            meter.f64_histogram(name).with_unit("s").with_boundaries(DURATION_BOUNDS.to_vec()).build()
        };
        let instruments = Instruments {
            http_server_duration: seconds("http.server.request.duration"),
            consumed_messages: meter.u64_counter("messaging.client.consumed.messages").with_unit("{message}").build(),
            process_duration: seconds("messaging.process.duration"),
            events_rejected: meter.u64_counter("inventory.events.rejected").with_unit("{event}").build(),
        };
        Telemetry {
            tracer: tracers.tracer(SCOPE),
            logger: loggers.logger(SCOPE),
            tracers,
            loggers,
            meters,
            instruments,
        }
    }

    /// Starts a span under `parent`; it ends when its context is told to, or dropped.
    pub(crate) fn span(
        &self,
        name: impl Into<std::borrow::Cow<'static, str>>,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
        parent: &Context,
    ) -> Context {
        let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes);
        parent.with_span(self.tracer.build_with_context(builder, parent))
    }

    /// Starts a span in a trace of its own that only links to where the message came from.
    pub(crate) fn linked_span(
        &self,
        name: &'static str,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
        headers: &HashMap<String, String>,
    ) -> Context {
        let origin = extract(headers);
        let links = vec![Link::with_context(origin.span().span_context().clone())];
        let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes).with_links(links);
        let root = Context::new();
        root.with_span(self.tracer.build_with_context(builder, &root))
    }

    /// Emits `event`, belonging to the span of `context`.
    pub(crate) fn emit(&self, event: Event<'_>, context: &Context) {
        let mut record = self.logger.create_log_record();
        record.set_event_name(event.name);
        record.set_timestamp(std::time::SystemTime::now());
        record.set_severity_number(event.severity);
        record.set_severity_text(event.severity.name());
        record.set_body(AnyValue::from(event.body));
        for (name, value) in event.attributes {
            record.add_attribute(name, value.to_owned());
        }
        let span = context.span();
        let of = span.span_context();
        if of.is_valid() {
            record.set_trace_context(of.trace_id(), of.span_id(), Some(of.trace_flags()));
        }
        self.logger.emit(record);
    }

    /// Sends what is left and closes the exporters. Blocks for up to a few seconds if nobody answers.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        let Telemetry { tracers, loggers, meters, .. } = self;
        // Side by side: with a dead exporter each waits until its timeout.
        let stops = [
            tokio::task::spawn_blocking(move || tracers.shutdown_with_timeout(EXPORT_TIMEOUT)),
            tokio::task::spawn_blocking(move || loggers.shutdown_with_timeout(EXPORT_TIMEOUT)),
            tokio::task::spawn_blocking(move || meters.shutdown_with_timeout(EXPORT_TIMEOUT)),
        ];
        for stop in stops {
            // That nobody took the last batch is what a dead exporter means; the service's work is done all the same.
            let _sent = stop.await.map_err(|panic| Error::Worker(panic.to_string()))?;
        }
        Ok(())
    }
}

fn resource(config: &ServiceConfig) -> Resource {
    Resource::builder()
        .with_service_name(config.role.name())
        .with_attributes([
            KeyValue::new("service.namespace", NAMESPACE),
            KeyValue::new("service.instance.id", config.instance.clone()),
            KeyValue::new("service.version", config.version.clone()),
            KeyValue::new("deployment.environment.name", ENVIRONMENT),
            KeyValue::new("process.pid", i64::from(std::process::id())),
        ])
        .build()
}

/// The W3C headers that name the span of `context`.
pub(crate) fn inject(context: &Context) -> HashMap<String, String> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(context, &mut headers);
    // An empty tracestate says nothing.
    headers.retain(|_, value| !value.is_empty());
    headers
}

/// The remote context that `headers` name, or one without a span.
pub(crate) fn extract(headers: &dyn Extractor) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), headers)
}

/// Marks the span of `context` as failed.
pub(crate) fn fail(context: &Context, error_type: &'static str, description: String) {
    let span = context.span();
    span.set_attribute(KeyValue::new("error.type", error_type));
    span.set_status(Status::error(description));
}
