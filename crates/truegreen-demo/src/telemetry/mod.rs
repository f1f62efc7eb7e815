//! How a service sends its telemetry: the official OpenTelemetry SDK, over OTLP/gRPC, set up as a service would.
//!
//! Everything that `OTEL_*` variables could change is set here; the orchestrator takes them out of the environment.

mod instruments;
mod spans;

use std::time::Duration;

use opentelemetry::logs::LoggerProvider;
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{self, BatchLogProcessor, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{self, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider};

use crate::Error;
use crate::clock::Clock;
use crate::config::ServiceConfig;
use instruments::Instruments;

pub(crate) use spans::{Event, extract, fail, inject};

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
/// The SDK drops what does not fit: room for over a minute at the highest rate.
pub(crate) const ROOMY_QUEUE: usize = 1 << 17;
/// How long one export, and the last flush, may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// The providers of one service, and what it makes spans, log records and measurements with.
#[derive(Clone)]
pub(crate) struct Telemetry {
    tracers: SdkTracerProvider,
    loggers: SdkLoggerProvider,
    meters: SdkMeterProvider,
    tracer: SdkTracer,
    logger: SdkLogger,
    pub(crate) instruments: Instruments,
    /// What spans and log records are dated by. Metrics are not: the SDK dates them itself.
    pub(crate) clock: Clock,
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
        let reader = PeriodicReader::builder(metrics.map_err(failed)?).with_interval(METRIC_INTERVAL).build();
        let meters = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(reader).build();
        // Before the span processor is made, which counts what it drops by the global provider.
        global::set_meter_provider(meters.clone());
        let log_batches = logs::BatchConfigBuilder::default()
            .with_max_queue_size(ROOMY_QUEUE)
            .with_scheduled_delay(BATCH_DELAY)
            .build();
        let span_processor = span_processor(spans.map_err(failed)?, config.export.span_queue);
        let log_processor = BatchLogProcessor::builder(records.map_err(failed)?).with_batch_config(log_batches).build();
        let tracers = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource.clone())
            .with_span_processor(span_processor)
            .build();
        let loggers = SdkLoggerProvider::builder().with_resource(resource).with_log_processor(log_processor).build();
        Ok(Telemetry::over(tracers, loggers, meters, Clock::System { ahead_ms: config.clock_ahead_ms }))
    }

    pub(crate) fn over(
        tracers: SdkTracerProvider,
        loggers: SdkLoggerProvider,
        meters: SdkMeterProvider,
        clock: Clock,
    ) -> Self {
        Telemetry {
            instruments: Instruments::of(&meters.meter(SCOPE)),
            tracer: tracers.tracer(SCOPE),
            logger: loggers.logger(SCOPE),
            tracers,
            loggers,
            meters,
            clock,
        }
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

/// Sends spans in batches. What does not fit the queue is dropped.
fn span_processor(exporter: impl trace::SpanExporter + 'static, queue: usize) -> BatchSpanProcessor {
    let batches =
        trace::BatchConfigBuilder::default().with_max_queue_size(queue).with_scheduled_delay(BATCH_DELAY).build();
    BatchSpanProcessor::builder(exporter).with_batch_config(batches).build()
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::{Tracer, TracerProvider};
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};

    /// Sends when the gate is open.
    #[derive(Clone, Debug, Default)]
    struct Gated {
        gate: Arc<Mutex<()>>,
        sent: Arc<Mutex<usize>>,
    }

    impl SpanExporter for Gated {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            drop(self.gate.lock().unwrap());
            *self.sent.lock().unwrap() += batch.len();
            Ok(())
        }
    }

    /// Scenario: the collector does not answer for a while. Guarantee: what a queue holds is sent in the end, and what
    /// it does not hold is gone.
    #[test]
    fn a_tiny_queue_before_a_slow_collector_drops_spans() {
        for (queue, all) in [(4, false), (super::ROOMY_QUEUE, true)] {
            let exporter = Gated::default();
            let provider = SdkTracerProvider::builder()
                .with_span_processor(super::span_processor(exporter.clone(), queue))
                .build();
            let tracer = provider.tracer("test");
            let closed = exporter.gate.lock().unwrap();
            for _ in 0..100 {
                drop(tracer.start("a span"));
            }
            drop(closed);
            provider.shutdown().unwrap();
            let sent = *exporter.sent.lock().unwrap();
            assert_eq!(sent == 100, all, "{sent}");
            assert!(sent >= 4, "{sent}");
        }
    }
}
