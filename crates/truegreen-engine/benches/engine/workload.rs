//! What five services send about an order: each order is one trace of 25 spans, five in each service, one of which
//! is a step of the flow and carries the order's id.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use truegreen_engine::flow::{Source, compile};
use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;

const SERVICES: [(&str, &str); 5] = [
    ("storefront", "POST /checkout"),
    ("orders", "POST /orders"),
    ("orders-publisher", "publish stock-events"),
    ("inventory", "process stock-events"),
    ("stock-db", "UPDATE stock"),
];
const SPANS_PER_SERVICE: u64 = 5;
const JOURNEYS_PER_REQUEST: usize = 200;

const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, span: 'POST /checkout', service: storefront, kind: server}
steps:
  - {name: accepted, span: 'POST /orders', service: orders, within: 5s}
  - {name: published, span: 'publish stock-events', service: orders-publisher, within: 5s}
  - {name: processed, span: 'process stock-events', service: inventory, within: 30s}
  - {name: updated, span: 'UPDATE stock', service: stock-db, within: 30s}
";

/// Encoded requests.
pub(crate) struct Workload {
    /// Bodies of 1,000 spans each.
    pub(crate) bodies: Vec<Vec<u8>>,
    /// Spans in all of them.
    pub(crate) spans: usize,
    /// When the first order was placed.
    pub(crate) start: Timestamp,
}

impl Workload {
    /// So many orders.
    pub(crate) fn new(journeys: usize) -> Self {
        let start = Timestamp::from_secs(1_700_000_000);
        let orders: Vec<u64> = (0..journeys as u64).collect();
        let chunks = orders.chunks(JOURNEYS_PER_REQUEST);
        let bodies: Vec<Vec<u8>> = chunks
            .flat_map(|chunk| (0..SERVICES.len()).map(|service| request(service, chunk, start).encode_to_vec()))
            .collect();
        Workload { spans: journeys * SERVICES.len() * SPANS_PER_SERVICE as usize, bodies, start }
    }

    /// The flow that watches them.
    #[expect(clippy::expect_used, reason = "the contract stands above")]
    pub(crate) fn flows(&self) -> Vec<Flow> {
        let source = Source { path: "orders.yaml".into(), text: CONTRACT.into() };
        compile(&[source]).expect("the contract is valid").flows
    }
}

fn request(service: usize, orders: &[u64], start: Timestamp) -> ExportTraceServiceRequest {
    let spans = orders.iter().flat_map(|order| (0..SPANS_PER_SERVICE).map(move |n| span(service, *order, n, start)));
    let resource = [
        text("service.name", SERVICES[service].0),
        text("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09"),
        text("service.namespace", "shop"),
        text("deployment.environment.name", "production"),
    ];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: resource.to_vec(), ..Default::default() }),
            scope_spans: vec![ScopeSpans { spans: spans.collect(), ..Default::default() }],
            ..Default::default()
        }],
    }
}

fn span(service: usize, order: u64, n: u64, start: Timestamp) -> Span {
    let began = start.0 + order * 50_000 + service as u64 * 1_000_000 + n * 10_000;
    let first_id = order * 25 + service as u64 * SPANS_PER_SERVICE + 1;
    let is_step = n == 0;
    let order_id = format!("ord-{order:08}");
    Span {
        trace_id: scatter(order).to_be_bytes().repeat(2),
        span_id: (first_id + n).to_be_bytes().to_vec(),
        parent_span_id: if is_step { vec![] } else { first_id.to_be_bytes().to_vec() },
        name: if is_step { SERVICES[service].1.to_owned() } else { format!("SELECT shop.items_{n}") },
        kind: if is_step { 2 } else { 3 },
        start_time_unix_nano: began,
        end_time_unix_nano: began + 900_000,
        attributes: vec![
            if is_step { text("order.id", &order_id) } else { text("db.collection.name", "items") },
            text("http.request.method", "POST"),
            text("http.route", "/v1/orders/{id}/lines"),
            number("http.response.status_code", 201),
            text("server.address", "orders.shop.svc.cluster.local"),
            number("server.port", 8080),
            text("network.peer.address", "10.42.17.9"),
            text("url.scheme", "https"),
            text("user_agent.original", "okhttp/4.12.0 (linux; x86_64)"),
            text("thread.name", "worker-7"),
            number("thread.id", 42),
            text("code.function.name", "com.example.shop.orders.OrderResource.place"),
        ],
        ..Default::default()
    }
}

/// Spreads small numbers over the range of trace ids.
fn scatter(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}
