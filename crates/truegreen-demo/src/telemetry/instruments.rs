//! The instruments of a service; each service uses some of them.

use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};

/// Seconds, as the semantic conventions advise for durations.
const DURATION_BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Clone)]
pub(crate) struct Instruments {
    pub(crate) http_server_duration: Histogram<f64>,
    pub(crate) http_active_requests: UpDownCounter<i64>,
    pub(crate) http_client_duration: Histogram<f64>,
    pub(crate) sent_messages: Counter<u64>,
    pub(crate) consumed_messages: Counter<u64>,
    pub(crate) process_duration: Histogram<f64>,
    pub(crate) events_rejected: Counter<u64>,
}

impl Instruments {
    pub(super) fn of(meter: &Meter) -> Instruments {
        let seconds = |name: &'static str| {
            meter.f64_histogram(name).with_unit("s").with_boundaries(DURATION_BOUNDS.to_vec()).build()
        };
        let messages = |name: &'static str| meter.u64_counter(name).with_unit("{message}").build();
        Instruments {
            http_server_duration: seconds("http.server.request.duration"),
            http_active_requests: meter
                .i64_up_down_counter("http.server.active_requests")
                .with_unit("{request}")
                .build(),
            http_client_duration: seconds("http.client.request.duration"),
            sent_messages: messages("messaging.client.sent.messages"),
            consumed_messages: messages("messaging.client.consumed.messages"),
            process_duration: seconds("messaging.process.duration"),
            events_rejected: meter.u64_counter("inventory.events.rejected").with_unit("{event}").build(),
        }
    }
}
