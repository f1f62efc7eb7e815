//! A request of traces as a shop would send it. Needs `opentelemetry-proto` and `prost` and nothing else, so that another
//! bench may take it in with `#[path]`.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, text: impl Into<String>) -> KeyValue {
    pair(key, Value::StringValue(text.into()))
}

/// So many spans of 12 attributes each, about 578 bytes a span, of one resource and one scope.
pub(crate) fn traces(spans: usize) -> Vec<u8> {
    let resource = Resource {
        attributes: vec![
            text("service.name", "stock"),
            text("service.namespace", "shop"),
            text("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09"),
            text("service.version", "2026.11.3"),
            text("deployment.environment.name", "production"),
            text("telemetry.sdk.language", "go"),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope { name: "shop/stock/consumer".to_owned(), ..InstrumentationScope::default() };
    let scope_spans =
        vec![ScopeSpans { scope: Some(scope), spans: (0..spans as u64).map(span).collect(), ..ScopeSpans::default() }];
    let group = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![group] }.encode_to_vec()
}

fn span(at: u64) -> Span {
    // An odd multiplier spreads the numbers over all bits.
    let mixed = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let start = 1_790_000_000_000_000_000 + at * 1_250_000;
    Span {
        trace_id: (u128::from(mixed) << 64 | u128::from(mixed.rotate_left(17))).to_be_bytes().to_vec(),
        span_id: mixed.to_be_bytes().to_vec(),
        parent_span_id: mixed.rotate_left(31).to_be_bytes().to_vec(),
        flags: 0x101,
        name: "process orders.placed".to_owned(),
        kind: 5,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 3_400_000 + at,
        attributes: vec![
            text("messaging.system", "kafka"),
            text("messaging.operation.type", "process"),
            text("messaging.operation.name", "process"),
            text("messaging.destination.name", "orders.placed"),
            text("messaging.destination.partition.id", (at % 12).to_string()),
            text("messaging.consumer.group.name", "stock-updater"),
            text("messaging.message.id", format!("{mixed:016x}-{at:08}")),
            pair("messaging.kafka.offset", Value::IntValue(48_211_000 + at as i64)),
            pair("messaging.message.body.size", Value::IntValue(412 + (at % 90) as i64)),
            text("order.id", format!("ord-{:010}", at * 7)),
            pair("stock.reserved", Value::BoolValue(!at.is_multiple_of(9))),
            text("server.address", "kafka-2.shop.svc.cluster.local"),
        ],
        status: Some(Status { message: String::new(), code: 1 }),
        ..Span::default()
    }
}
