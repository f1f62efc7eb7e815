//! Requests encoded beforehand: what five services say about 200 orders, 1,000 spans each. What makes a request
//! another one (ids, times, keys) has a fixed width and is written over in place, so that the sender encodes nothing
//! while it is measured.

use bytes::{Bytes, BytesMut};
use fastrand::Rng;

use crate::wire::{self, Message, scatter};

/// One step of the flow each.
pub(crate) const SERVICES: [(&str, &str); 5] = [
    ("storefront", "POST /checkout"),
    ("orders", "POST /orders"),
    ("orders-publisher", "publish stock-events"),
    ("inventory", "process stock-events"),
    ("stock-db", "UPDATE stock"),
];
/// The first of them is the step.
pub(crate) const SPANS_OF_ORDER: usize = 5;
pub(crate) const ORDERS: usize = 200;
pub(crate) const SPANS: usize = ORDERS * SPANS_OF_ORDER;

/// The flow whose steps these are: one span in five.
pub(crate) const CONTRACT: &str = "\
flow: orders
key: order.id
start: {name: placed, span: 'POST /checkout', service: storefront, kind: server}
steps:
  - {name: accepted, span: 'POST /orders', service: orders, within: 60s}
  - {name: published, span: 'publish stock-events', service: orders-publisher, within: 60s}
  - {name: processed, span: 'process stock-events', service: inventory, within: 60s}
  - {name: updated, span: 'UPDATE stock', service: stock-db, within: 60s}
";

/// A flag and a length stand before each gRPC message.
const FRAMING: usize = 5;
const KEY: &str = "ord-000000000000";
const SPANS_FIELD: u8 = 2;
const ATTRIBUTES: u8 = 9;

/// One request, to be sent again and again as another one.
pub(crate) struct Prepared {
    service: u64,
    framed: Bytes,
    spans: Vec<Places>,
    /// How often the bytes were still held by the connection, so that they had to be copied.
    pub(crate) copies: u64,
}

/// Where in the request the parts of one span stand that change.
struct Places {
    order: u64,
    nth: u64,
    trace: usize,
    span: usize,
    parent: Option<usize>,
    began: usize,
    ended: usize,
    key: Option<usize>,
}

impl Prepared {
    pub(crate) fn new(service: usize, dice: &mut Rng) -> Prepared {
        let (name, _) = SERVICES[service];
        let (mut records, mut spans) = (Message::default(), Vec::with_capacity(SPANS));
        for order in 0..ORDERS {
            for nth in 0..SPANS_OF_ORDER {
                let (span, places) = span(service, order, nth, dice);
                let at = records.bytes(SPANS_FIELD, &span.0);
                spans.push(places.moved(at));
            }
        }
        let instance = format!("{name}-{:08x}", dice.u32(..));
        let (message, at) = wire::request(name, &instance, &records.0);
        let mut framed = vec![0];
        framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
        framed.extend_from_slice(&message);
        let spans = spans.into_iter().map(|places| places.moved(FRAMING + at)).collect();
        Prepared { service: service as u64, framed: framed.into(), spans, copies: 0 }
    }

    /// The request about the 200 orders from `first` on, placed at `now` (nanoseconds).
    pub(crate) fn about(&mut self, first: u64, now: u64) -> Bytes {
        let mut bytes = std::mem::take(&mut self.framed).try_into_mut().unwrap_or_else(|held| {
            self.copies += 1;
            BytesMut::from(&held[..])
        });
        for places in &self.spans {
            places.write(&mut bytes, self.service, first + places.order, now);
        }
        self.framed = bytes.freeze();
        self.framed.clone()
    }

    /// Bytes of one request, framing included.
    pub(crate) fn size(&self) -> usize {
        self.framed.len()
    }
}

impl Places {
    fn moved(self, by: usize) -> Places {
        Places {
            trace: self.trace + by,
            span: self.span + by,
            parent: self.parent.map(|at| at + by),
            began: self.began + by,
            ended: self.ended + by,
            key: self.key.map(|at| at + by),
            ..self
        }
    }

    fn write(&self, bytes: &mut [u8], service: u64, order: u64, now: u64) {
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(self.trace, &scatter(order).to_be_bytes());
        put(self.trace + 8, &scatter(order ^ 1 << 63).to_be_bytes());
        put(self.span, &span_id(order, service, self.nth).to_be_bytes());
        if let Some(at) = self.parent {
            // Within a service its step is the parent; the step's is that of the service before.
            let of = if self.nth > 0 { service } else { service.saturating_sub(1) };
            put(at, &span_id(order, of, 0).to_be_bytes());
        }
        let began = now + service * 1_000_000 + self.nth * 50_000;
        put(self.began, &began.to_le_bytes());
        put(self.ended, &(began + 400_000 + (order & 0xFFFF)).to_le_bytes());
        if let Some(at) = self.key {
            let mut rest = order;
            for digit in (at + 4..at + KEY.len()).rev() {
                bytes[digit] = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
    }
}

fn span_id(order: u64, service: u64, nth: u64) -> u64 {
    scatter((order * SERVICES.len() as u64 + service) * SPANS_OF_ORDER as u64 + nth)
}

/// Twelve attributes, half of them different in every span: what a log of such spans takes on disk depends on it.
fn span(service: usize, order: usize, nth: usize, dice: &mut Rng) -> (Message, Places) {
    const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
    const ROUTES: [&str; 4] =
        ["/v1/orders/{id}/lines", "/v1/orders/{id}", "/v1/stock/{sku}/reserve", "/v1/carts/{id}/checkout"];
    const QUERIES: [&str; 4] = ["SELECT shop.items", "SELECT shop.prices", "INSERT shop.lines", "cache get stock"];
    const AGENTS: [&str; 3] = ["okhttp/4.12.0 (linux; x86_64)", "Mozilla/5.0 (X11; Linux x86_64)", "shop-sdk/7.4.1"];
    let is_step = nth == 0;
    let mut span = Message::default();
    let trace = span.bytes(1, &[1; 16]);
    let id = span.bytes(2, &[1; 8]);
    let parent = (nth > 0 || service > 0).then(|| span.bytes(4, &[1; 8]));
    span.bytes(5, if is_step { SERVICES[service].1 } else { QUERIES[nth - 1] }.as_bytes());
    span.number(6, if is_step { 2 } else { 3 });
    let began = span.fixed(7, 0);
    let ended = span.fixed(8, 0);
    let mut text = |key: &str, value: &str| span.text_attribute(ATTRIBUTES, key, value);
    let key = if is_step { Some(text("order.id", KEY)) } else { None };
    if !is_step {
        text("db.operation.name", "SELECT");
    }
    text("http.request.method", METHODS[dice.usize(..METHODS.len())]);
    text("http.route", ROUTES[dice.usize(..ROUTES.len())]);
    text("url.path", &format!("/v1/orders/{:012x}/lines", dice.u64(..1 << 48)));
    text("server.address", "orders.shop.svc.cluster.local");
    text("network.peer.address", &format!("10.{}.{}.{}", dice.u8(16..32), dice.u8(..), dice.u8(..)));
    text("user_agent.original", AGENTS[dice.usize(..AGENTS.len())]);
    text("session.id", &format!("{:016x}{:016x}", dice.u64(..), dice.u64(..)));
    text("user.id", &format!("u-{:07}", dice.u32(..10_000_000)));
    text("code.function.name", "com.example.shop.orders.OrderResource.place");
    span.number_attribute(ATTRIBUTES, "http.response.status_code", [200, 201, 204, 404][dice.usize(..4)]);
    span.number_attribute(ATTRIBUTES, "thread.id", u64::from(dice.u8(20..84)));
    let places = Places { order: order as u64, nth: nth as u64, trace, span: id, parent, began, ended, key };
    (span, places)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use prost::Message as _;

    use super::*;

    fn spans(framed: &[u8]) -> Vec<Span> {
        let request = ExportTraceServiceRequest::decode(&framed[FRAMING..]).unwrap();
        request.resource_spans[0].scope_spans[0].spans.clone()
    }

    /// Scenario: the same bytes are sent twice, about other orders. Guarantee: a reference decoder reads 1,000 whole
    /// spans each time, with ids, keys and times of those orders only.
    #[test]
    fn a_prepared_request_becomes_another_one_in_place() {
        let mut prepared = Prepared::new(1, &mut Rng::with_seed(1));
        let first = spans(&prepared.about(0, 5_000));
        let second = spans(&prepared.about(1_200, 9_000));
        assert_eq!((first.len(), second.len(), prepared.copies), (SPANS, SPANS, 0));
        assert!(first.iter().zip(&second).all(|(a, b)| a.trace_id != b.trace_id && a.span_id != b.span_id));
        let key = second[5].attributes[0].value.clone().unwrap().value.unwrap();
        assert_eq!(key, Value::StringValue("ord-000000001201".to_owned()));
        assert_eq!(second[6].parent_span_id, second[5].span_id);
        assert_eq!(second[6].start_time_unix_nano, 9_000 + 1_000_000 + 50_000);
        let ids: std::collections::HashSet<_> = first.iter().map(|span| &span.span_id).collect();
        assert_eq!(ids.len(), SPANS);
    }

    #[test]
    fn what_is_still_held_is_copied_rather_than_changed() {
        let mut prepared = Prepared::new(0, &mut Rng::with_seed(1));
        let held = prepared.about(0, 1);
        let before = held.to_vec();
        prepared.about(200, 2);
        assert_eq!((held.to_vec() == before, prepared.copies), (true, 1));
    }

    #[test]
    fn a_span_is_as_large_as_the_comparison_says() {
        let size = Prepared::new(2, &mut Rng::with_seed(1)).size() / SPANS;
        assert!((550..610).contains(&size), "{size} bytes");
    }
}
