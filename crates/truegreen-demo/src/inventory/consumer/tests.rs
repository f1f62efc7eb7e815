//! What the consumer does with its messages, by what it is told.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, SpanKind, Status};
use tokio::sync::Notify;

use super::{Consumer, Handled};
use crate::Fault;
use crate::event::{BUNDLE, GIFT, NewOrder, SkuWriting, StockEvent, Unfit, sku_of};
use crate::messaging::{self, Outgoing};
use crate::queue::in_database::{self, TableQueue};
use crate::queue::{LEASE, Queue, STOCK_EVENTS};
use crate::scene::{Scene, attribute, order};
use crate::truth::TruthFile;

/// A consumer as it is told to be, in a scene.
struct Told {
    scene: Scene,
    consumer: Consumer,
    fault: Fault,
}

fn told(fault: Fault, fixed: bool) -> Told {
    let scene = Scene::new();
    let (config, own) = scene.inventory(fault, fixed);
    let site = config.site();
    let (shop, queue) = (site.shop().unwrap(), site.queue().unwrap());
    let truth = TruthFile::open(&config.run_dir, "inventory").unwrap();
    let consumer = Consumer::new(shop, queue, &scene.telemetry, truth, own, Arc::new(Notify::new()));
    Told { scene, consumer, fault }
}

impl Told {
    /// As orders would, in a span of its own.
    fn publish(&self, order: &NewOrder) -> SpanId {
        let (_, own) = self.scene.orders(self.fault, false);
        let writing = SkuWriting { of_bundles: own.bundles_carry_sku, gifts_in_capitals: own.gift_skus_in_capitals };
        let body = serde_json::to_string(&StockEvent::of(order, writing)).unwrap();
        let message = Outgoing {
            topic: STOCK_EVENTS,
            partition: STOCK_EVENTS.partition_of(sku_of(&order.articles[0].article).unwrap()),
            key: &order.order_id,
            body: &body,
            about_order: true,
            headers: own.publishing.headers,
        };
        let telemetry = &self.scene.telemetry;
        let parent = telemetry.span("POST /orders", SpanKind::Server, Vec::new(), &Context::new());
        let mut queue = TableQueue::open(self.scene.dir.path()).unwrap();
        messaging::publish(telemetry, &queue.named(), &message, &parent, |it| queue.publish(None, it)).unwrap();
        self.scene.spans("publish stock-events").last().unwrap().span_context.span_id()
    }

    fn bundle(&self) -> SpanId {
        self.publish(&order("ord-1", BUNDLE, "starter bundle"))
    }

    fn next(&mut self) -> Handled {
        self.consumer.handle_next().unwrap()
    }

    fn open_messages(&self) -> u64 {
        in_database::depth(&self.scene.database, STOCK_EVENTS).unwrap()
    }
}

#[test]
fn a_complete_event_reduces_the_stock_and_its_database_span_carries_no_key() {
    let mut told = told(Fault::None, false);
    let published = told.bundle();
    assert_eq!(told.next(), Handled::Updated);
    assert_eq!((told.scene.taken_of("sku-2001"), told.open_messages(), told.scene.truth().updated), (2, 0, 1));
    let process = told.scene.span("process stock-events");
    assert_eq!(process.links.iter().map(|link| link.span_context.span_id()).collect::<Vec<_>>(), [published]);
    assert_eq!((attribute(&process, "order.id").as_deref(), &process.status), (Some("ord-1"), &Status::Ok));
    let update = told.scene.span("UPDATE stock");
    assert_eq!((update.span_kind.clone(), update.parent_span_id), (SpanKind::Client, process.span_context.span_id()));
    assert_eq!(attribute(&update, "order.id"), None);
    assert_eq!(attribute(&update, "db.response.affected_rows").as_deref(), Some("1"));
    assert_eq!(told.scene.event_names(), ["inventory.stock.taken"]);
    assert_eq!(told.next(), Handled::Nothing);
}

/// The bug's story: validation fails, the handler returns early without an error, and the queue takes it for success.
#[test]
fn a_silently_skipped_event_leaves_a_good_span_and_nothing_else() {
    let mut told = told(Fault::SilentSkip, false);
    let published = told.bundle();
    assert_eq!(told.next(), Handled::Skipped);
    assert_eq!((told.scene.taken_of("sku-2001"), told.open_messages(), told.scene.truth().updated), (0, 0, 0));
    let process = told.scene.span("process stock-events");
    assert_eq!((process.span_kind.clone(), &process.status), (SpanKind::Consumer, &Status::Ok));
    assert_eq!(process.parent_span_id, SpanId::INVALID);
    assert_eq!(process.links.iter().map(|link| link.span_context.span_id()).collect::<Vec<_>>(), [published]);
    assert_eq!(attribute(&process, "order.id"), None);
    assert!(told.scene.spans("UPDATE stock").is_empty());
    assert!(told.scene.logs().is_empty());
    assert_eq!(told.scene.number("SELECT count(*) FROM dead_letters"), 0);
}

#[test]
fn a_refused_event_is_told_in_log_span_and_dead_letter() {
    let mut told = told(Fault::SilentSkip, true);
    told.bundle();
    assert_eq!(told.next(), Handled::Rejected(Unfit::MissingSku));
    let truth = told.scene.truth();
    assert_eq!((told.scene.taken_of("sku-2001"), told.open_messages(), truth.rejected["missing_sku"]), (0, 0, 1));
    let process = told.scene.span("process stock-events");
    let said = ["order.id", "truegreen.outcome", "truegreen.reason"].map(|name| attribute(&process, name).unwrap());
    assert_eq!(said, ["ord-1", "rejected", "missing_sku"]);
    let logs = told.scene.logs();
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
    assert_eq!(told.scene.number("SELECT count(*) FROM dead_letters WHERE order_id = 'ord-1'"), 1);
}

#[test]
fn a_consumer_that_knows_no_warehouse_refuses_even_a_complete_event() {
    let mut told = told(Fault::AllRejected, false);
    told.bundle();
    assert_eq!(told.next(), Handled::Rejected(Unfit::UnknownWarehouse));
    assert_eq!((told.scene.taken_of("sku-2001"), told.scene.truth().rejected["unknown_warehouse"]), (0, 1));
}

#[test]
fn an_unreadable_event_is_refused_by_its_key() {
    let mut told = told(Fault::None, false);
    told.bundle();
    told.scene.database.execute("UPDATE queue SET body = '{\"torn'", []).unwrap();
    assert_eq!(told.next(), Handled::Rejected(Unfit::Malformed));
    assert_eq!(told.scene.truth().rejected["malformed"], 1);
}

/// Scenario: the consumer dies after the stock was updated and before it acknowledged.
#[test]
fn an_event_delivered_twice_reduces_the_stock_once() {
    let mut told = told(Fault::None, false);
    told.bundle();
    assert_eq!(told.next(), Handled::Updated);
    told.scene.database.execute("UPDATE queue SET state = 'leased', lease_until_ms = 1", []).unwrap();
    assert_eq!(told.next(), Handled::Updated);
    let truth = told.scene.truth();
    assert_eq!((told.scene.taken_of("sku-2001"), told.open_messages(), truth.updated), (2, 0, 1));
    assert!(truth.taken_twice.is_empty());
}

/// Scenario: the database refuses the update. Guarantee: an error on the span, no acknowledgement, delivered again
/// when the lease is over.
#[test]
fn a_failed_update_is_an_error_and_comes_back() {
    let mut told = told(Fault::None, false);
    told.bundle();
    told.scene.database.execute_batch("ALTER TABLE stock RENAME TO stock_gone").unwrap();
    assert!(told.consumer.handle_next().is_err());
    for name in ["process stock-events", "UPDATE stock"] {
        assert!(matches!(told.scene.span(name).status, Status::Error { .. }), "{name}");
    }
    assert_eq!(told.next(), Handled::Nothing, "still leased");
    told.scene.database.execute_batch("ALTER TABLE stock_gone RENAME TO stock").unwrap();
    told.scene.telemetry.clock.advance(LEASE + Duration::from_millis(1));
    assert_eq!((told.next(), told.scene.taken_of("sku-2001")), (Handled::Updated, 2));
}

/// The bug's story: the check of SKUs ignores case, the statement does not, and nobody looks at the number of rows.
#[test]
fn an_update_that_matches_no_row_counts_as_success() {
    for (fixed, taken, missed) in [(false, 0, 1), (true, 2, 0)] {
        let mut told = told(Fault::ZeroRowUpdate, fixed);
        told.publish(&order("ord-1", GIFT, "mug"));
        told.publish(&order("ord-2", "standard", "mug"));
        assert_eq!([told.next(), told.next()], [Handled::Updated, Handled::Updated]);
        assert_eq!(told.scene.taken_of("sku-1001"), 2 + taken);
        assert_eq!((told.scene.truth().missed.len(), told.open_messages()), (0, 0), "not entered, so not counted");
        let rows: Vec<_> =
            told.scene.spans("UPDATE stock").iter().map(|span| attribute(span, "db.response.affected_rows")).collect();
        assert_eq!(rows.iter().filter(|rows| rows.as_deref() == Some("0")).count(), missed);
        assert_eq!(told.scene.event_names(), ["inventory.stock.taken"; 2]);
    }
}

#[test]
fn a_slow_consumer_takes_longer_than_orders_come() {
    for (fixed, took_ms) in [(false, 190), (true, 0)] {
        let mut told = told(Fault::SlowConsumer, fixed);
        told.bundle();
        assert_eq!(told.next(), Handled::Updated);
        let process = told.scene.span("process stock-events");
        assert_eq!(process.end_time.duration_since(process.start_time).unwrap(), Duration::from_millis(took_ms));
    }
}

/// The bug's story: what cannot be handled is put back, since it may be a passing trouble; it never passes.
#[test]
fn a_message_that_is_put_back_holds_up_its_partition_for_ever() {
    let mut told = told(Fault::StuckConsumer, false);
    told.bundle();
    told.publish(&order("ord-2", "standard", "shirt"));
    told.publish(&order("ord-3", "standard", "mug"));
    let handled = [told.next(), told.next(), told.next()];
    // Whose partition comes first is the hash's business.
    assert!(handled.contains(&Handled::PutBack) && handled.contains(&Handled::Updated), "{handled:?}");
    assert_eq!(handled[2], Handled::Nothing);
    for _ in 0..20 {
        told.scene.telemetry.clock.advance(Duration::from_secs(1));
        assert_eq!([told.next(), told.next()], [Handled::PutBack, Handled::Nothing]);
    }
    assert_eq!((told.open_messages(), told.scene.taken_of("sku-1001"), told.scene.taken_of("sku-1002")), (2, 2, 0));
    let tried = told.scene.spans("process stock-events");
    let again: Vec<_> =
        tried.iter().filter(|span| attribute(span, "messaging.message.id").as_deref() == Some("1")).collect();
    assert_eq!(again.len(), 21);
    assert!(again.iter().all(|span| span.status == Status::Unset));
    assert_eq!(told.scene.spans("ack stock-events").len(), 1);
}

#[test]
fn the_repaired_consumer_refuses_what_cannot_be_handled_and_goes_on() {
    let mut told = told(Fault::StuckConsumer, true);
    told.bundle();
    told.publish(&order("ord-2", "standard", "shirt"));
    assert_eq!([told.next(), told.next()], [Handled::Rejected(Unfit::MissingSku), Handled::Updated]);
    assert_eq!(told.open_messages(), 0);
}

/// The bug's story: acknowledged is not written, and the buffer in between has an end.
#[test]
fn what_does_not_fit_the_buffer_was_acknowledged_and_is_lost() {
    let mut told = told(Fault::LostAfterAck, false);
    for n in 1..=5 {
        told.publish(&order(&format!("ord-{n}"), "standard", "mug"));
        assert_eq!(told.next(), Handled::Updated);
    }
    assert_eq!((told.open_messages(), told.scene.taken_of("sku-1001")), (0, 0), "all acknowledged, nothing written");
    told.scene.telemetry.clock.advance(Duration::from_millis(500));
    assert_eq!(told.next(), Handled::Nothing);
    assert_eq!((told.scene.taken_of("sku-1001"), told.scene.truth().updated), (6, 3));
    let processed = told.scene.spans("process stock-events");
    assert!(processed.iter().all(|span| span.status == Status::Ok));
    let update = &told.scene.spans("UPDATE stock")[0];
    assert_eq!(update.parent_span_id, processed[0].span_context.span_id());
    assert!(update.start_time > processed[0].end_time);
}

#[test]
fn the_repaired_consumer_writes_before_it_acknowledges() {
    let mut told = told(Fault::LostAfterAck, true);
    told.bundle();
    assert_eq!((told.next(), told.scene.taken_of("sku-2001")), (Handled::Updated, 2));
    let (update, ack) = (told.scene.span("UPDATE stock"), told.scene.span("ack stock-events"));
    assert_eq!(update.parent_span_id, ack.parent_span_id);
}

#[test]
fn an_event_published_twice_is_taken_twice_unless_its_order_is_looked_at() {
    for (fixed, taken) in [(false, 4), (true, 2)] {
        let mut told = told(Fault::Duplicate, fixed);
        told.bundle();
        told.bundle();
        assert_eq!([told.next(), told.next()], [Handled::Updated, Handled::Updated]);
        assert_eq!(told.scene.taken_of("sku-2001"), taken);
        assert_eq!(told.scene.truth().taken_twice.len(), usize::from(!fixed));
    }
}

#[test]
fn without_headers_all_is_done_and_no_trace_goes_on() {
    let mut told = told(Fault::BrokenContext, false);
    told.bundle();
    assert_eq!((told.next(), told.scene.taken_of("sku-2001")), (Handled::Updated, 2));
    let process = told.scene.span("process stock-events");
    assert_eq!(process.links.iter().count(), 0);
    assert_eq!(attribute(&process, "order.id"), None);
}

#[test]
fn a_consumer_can_be_told_to_stop_after_a_while() {
    let mut told = told(Fault::NobodyConsuming, false);
    for n in 0..6 {
        told.publish(&order(&format!("ord-{n}"), "standard", "mug"));
    }
    let turns: Vec<_> = (0..6).map(|_| told.consumer.take_turn()).collect();
    assert_eq!(turns[4..], [messaging::Turn::Busy, messaging::Turn::Over]);
    assert_eq!(told.open_messages(), 1);
}
