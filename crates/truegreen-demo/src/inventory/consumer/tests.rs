//! The consumer's three behaviours, against a real SQLite file and with the real SDK, whose exporters keep what they get.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, SpanKind, Status, TraceContextExt};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter, SdkLogRecord, SdkLoggerProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{Consumer, Handled};
use crate::config::Unusable;
use crate::database;
use crate::event::{BUNDLE, NewOrder, OrderedArticle, StockEvent, Unfit, WAREHOUSE};
use crate::queue::{self, LEASE, Publication, STOCK_EVENTS};
use crate::telemetry::{Telemetry, inject};
use crate::truth::{Truth, TruthFile};

const NOW_MS: i64 = 1_000_000;

#[derive(Clone, Debug, Default)]
struct Sent {
    spans: Arc<Mutex<Vec<SpanData>>>,
    logs: Arc<Mutex<Vec<SdkLogRecord>>>,
}

impl SpanExporter for Sent {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.spans.lock().unwrap().extend(batch);
        Ok(())
    }
}

impl LogExporter for Sent {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.logs.lock().unwrap().extend(batch.iter().map(|(record, _)| record.clone()));
        Ok(())
    }
}

/// A consumer with one event in its queue, published within a span of its own.
struct Scene {
    dir: TempDir,
    sent: Sent,
    consumer: Consumer,
    published: SpanId,
}

fn scene(kind: &str, bundles_carry_sku: bool, unusable: Unusable, warehouses: &[&str]) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let database = database::create(&database::path_in(dir.path())).unwrap();
    let sent = Sent::default();
    let telemetry = Telemetry::over(
        SdkTracerProvider::builder().with_simple_exporter(sent.clone()).build(),
        SdkLoggerProvider::builder().with_simple_exporter(sent.clone()).build(),
        SdkMeterProvider::builder().build(),
    );
    let order = NewOrder {
        order_id: "ord-1".into(),
        kind: kind.into(),
        channel: "web".into(),
        articles: vec![OrderedArticle { article: "starter bundle".into(), quantity: 2 }],
    };
    let publish = telemetry.span("publish stock-events", SpanKind::Producer, Vec::new(), &Context::new());
    let body = serde_json::to_string(&StockEvent::of(&order, bundles_carry_sku)).unwrap();
    let headers = inject(&publish);
    let message = Publication { topic: STOCK_EVENTS, key: "ord-1", headers: &headers, body: &body };
    queue::publish(&database, &message).unwrap();
    let consumer = Consumer {
        database,
        telemetry,
        truth: TruthFile::open(dir.path(), "inventory").unwrap(),
        unusable,
        warehouses: warehouses.iter().map(|&name| name.to_owned()).collect(),
    };
    Scene { dir, sent, consumer, published: publish.span().span_context().span_id() }
}

impl Scene {
    fn span(&self, name: &str) -> Option<SpanData> {
        self.sent.spans.lock().unwrap().iter().find(|span| span.name == name).cloned()
    }

    fn stock(&self) -> i64 {
        one(&self.consumer.database, "SELECT quantity - 1000000 FROM stock WHERE sku = 'sku-2001'")
    }

    fn open_messages(&self) -> u64 {
        queue::depth(&self.consumer.database, STOCK_EVENTS).unwrap()
    }

    fn truth(&self) -> Truth {
        Truth::read(self.dir.path(), &["inventory"]).unwrap()
    }
}

fn one(database: &Connection, query: &str) -> i64 {
    database.query_row(query, [], |row| row.get(0)).unwrap()
}

fn attribute(span: &SpanData, name: &str) -> Option<String> {
    span.attributes.iter().find(|attribute| attribute.key.as_str() == name).map(|found| found.value.to_string())
}

#[test]
fn a_complete_event_reduces_the_stock_and_its_database_span_carries_no_key() {
    let mut scene = scene(BUNDLE, true, Unusable::Skip, &[WAREHOUSE]);
    assert_eq!(scene.consumer.handle_next(NOW_MS).unwrap(), Handled::Updated);
    assert_eq!((scene.stock(), scene.open_messages(), scene.truth().updated), (-2, 0, 1));
    let process = scene.span("process stock-events").unwrap();
    assert_eq!(attribute(&process, "order.id").as_deref(), Some("ord-1"));
    let update = scene.span("UPDATE stock").unwrap();
    assert_eq!((update.span_kind.clone(), update.parent_span_id), (SpanKind::Client, process.span_context.span_id()));
    assert_eq!(attribute(&update, "order.id"), None);
    assert_eq!(scene.consumer.handle_next(NOW_MS).unwrap(), Handled::Nothing);
}

/// The bug's story: validation fails, the handler returns early without an error, and the queue takes it for success.
#[test]
fn a_silently_skipped_event_leaves_a_good_span_and_nothing_else() {
    let mut scene = scene(BUNDLE, false, Unusable::Skip, &[WAREHOUSE]);
    assert_eq!(scene.consumer.handle_next(NOW_MS).unwrap(), Handled::Skipped);
    assert_eq!((scene.stock(), scene.open_messages(), scene.truth().updated), (0, 0, 0));
    let process = scene.span("process stock-events").unwrap();
    assert_eq!((process.span_kind.clone(), &process.status), (SpanKind::Consumer, &Status::Ok));
    assert_eq!(process.parent_span_id, SpanId::INVALID);
    assert_eq!(process.links.iter().map(|link| link.span_context.span_id()).collect::<Vec<_>>(), [scene.published]);
    assert_eq!(attribute(&process, "order.id"), None);
    assert!(scene.span("UPDATE stock").is_none());
    assert!(scene.sent.logs.lock().unwrap().is_empty());
    assert_eq!(one(&scene.consumer.database, "SELECT count(*) FROM dead_letters"), 0);
}

#[test]
fn a_refused_event_is_told_in_log_span_and_dead_letter() {
    let mut scene = scene(BUNDLE, false, Unusable::Refuse, &[WAREHOUSE]);
    assert_eq!(scene.consumer.handle_next(NOW_MS).unwrap(), Handled::Rejected(Unfit::MissingSku));
    assert_eq!((scene.stock(), scene.open_messages(), scene.truth().rejected["missing_sku"]), (0, 0, 1));
    let process = scene.span("process stock-events").unwrap();
    let told = ["order.id", "truegreen.outcome", "truegreen.reason"].map(|name| attribute(&process, name).unwrap());
    assert_eq!(told, ["ord-1", "rejected", "missing_sku"]);
    let logs = scene.sent.logs.lock().unwrap();
    assert_eq!(logs[0].event_name(), Some("inventory.event.rejected"));
    assert_eq!(logs[0].trace_context().unwrap().span_id, process.span_context.span_id());
    let mut attributes: Vec<_> = logs[0].attributes_iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    attributes.sort();
    let expected = [
        r#"event_type=String(Owned("bundle_ordered"))"#,
        r#"order.id=String(Owned("ord-1"))"#,
        r#"reason=String(Owned("missing_sku"))"#,
    ];
    assert_eq!(attributes, expected);
    assert_eq!(one(&scene.consumer.database, "SELECT count(*) FROM dead_letters WHERE order_id = 'ord-1'"), 1);
}

#[test]
fn a_consumer_that_knows_no_warehouse_refuses_even_a_complete_event() {
    let mut scene = scene("standard", true, Unusable::Refuse, &[]);
    assert_eq!(scene.consumer.handle_next(NOW_MS).unwrap(), Handled::Rejected(Unfit::UnknownWarehouse));
    assert_eq!((scene.stock(), scene.truth().rejected["unknown_warehouse"]), (0, 1));
}

#[test]
fn an_unreadable_event_is_refused_by_its_key() {
    let mut scene = scene("standard", true, Unusable::Refuse, &[WAREHOUSE]);
    scene.consumer.database.execute("UPDATE queue SET body = '{\"torn'", []).unwrap();
    assert_eq!(scene.consumer.handle_next(NOW_MS).unwrap(), Handled::Rejected(Unfit::Malformed));
    assert_eq!(scene.truth().rejected["malformed"], 1);
}

/// Scenario: the consumer dies after the stock was updated and before it acknowledged.
#[test]
fn an_event_delivered_twice_reduces_the_stock_once() {
    let mut scene = scene(BUNDLE, true, Unusable::Refuse, &[WAREHOUSE]);
    assert_eq!(scene.consumer.handle_next(NOW_MS).unwrap(), Handled::Updated);
    scene.consumer.database.execute("UPDATE queue SET state = 'leased', lease_until_ms = 1", []).unwrap();
    assert_eq!(scene.consumer.handle_next(NOW_MS).unwrap(), Handled::Updated);
    assert_eq!((scene.stock(), scene.open_messages(), scene.truth().updated), (-2, 0, 1));
}

/// Scenario: the database refuses the update. Guarantee: an error on the span, no acknowledgement, delivered again
/// when the lease is over.
#[test]
fn a_failed_update_is_an_error_and_comes_back() {
    let mut scene = scene(BUNDLE, true, Unusable::Skip, &[WAREHOUSE]);
    scene.consumer.database.execute_batch("ALTER TABLE stock RENAME TO stock_gone").unwrap();
    assert!(scene.consumer.handle_next(NOW_MS).is_err());
    for name in ["process stock-events", "UPDATE stock"] {
        assert!(matches!(scene.span(name).unwrap().status, Status::Error { .. }), "{name}");
    }
    assert_eq!(scene.consumer.handle_next(NOW_MS).unwrap(), Handled::Nothing, "still leased");
    scene.consumer.database.execute_batch("ALTER TABLE stock_gone RENAME TO stock").unwrap();
    let later = LEASE + Duration::from_millis(1);
    let again = scene.consumer.handle_next(NOW_MS + i64::try_from(later.as_millis()).unwrap()).unwrap();
    assert_eq!((again, scene.stock()), (Handled::Updated, -2));
}
