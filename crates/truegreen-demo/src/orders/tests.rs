//! What orders does, with real payments on loopback.

use std::sync::Arc;
use std::time::Duration;

use super::payment::Payment;
use super::returns::Returned;
use super::{Accepted, Desk};
use crate::event::{BUNDLE, DIGITAL, GIFT, NewOrder};
use crate::queue::{LEASE, STOCK_EVENTS, in_database};
use crate::scene::{NOW_MS, Scene, attribute, order};
use crate::{Error, Fault, http, payments};
use opentelemetry::Context;
use opentelemetry::trace::{SpanKind, Status};

struct Open {
    scene: Scene,
    desk: Arc<Desk>,
}

async fn open(fault: Fault, fixed: bool) -> Open {
    let mut scene = Scene::new();
    let (config, own) = scene.payments(fault, fixed);
    let theirs = scene.telemetry_ahead_by(config.clock_ahead_ms);
    scene.serve("payments", payments::routes(&config, &own, &theirs).unwrap(), &theirs).await;
    let (config, mut own) = scene.orders(fault, fixed);
    if fault == Fault::SwallowedTimeout {
        // Payments' clock stands still, so that any time is too short.
        own.payment_timeout_ms = 20;
    }
    let desk = Arc::new(Desk::open(&config, &own, &scene.telemetry).unwrap());
    Open { scene, desk }
}

impl Open {
    /// Places an order within a span as of a server.
    async fn place(&self, order: NewOrder) -> Result<Accepted, Error> {
        let desk = Arc::clone(&self.desk);
        let context = self.scene.telemetry.span("POST /orders", SpanKind::Server, Vec::new(), &Context::new());
        http::blocking(move || desk.accept(&order, &context)).await.unwrap()
    }

    /// Keys of what was published, partition by partition.
    fn published(&self) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        for partition in 0..STOCK_EVENTS.partitions {
            while let Some(it) =
                in_database::claim(&self.scene.database, STOCK_EVENTS, partition, NOW_MS, LEASE).unwrap()
            {
                found.push((it.key, it.headers.len()));
            }
        }
        found
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_paid_written_and_published() {
    let open = open(Fault::None, false).await;
    let accepted = open.place(order("ord-1", GIFT, "mug")).await.unwrap();
    assert_eq!((accepted.payment, accepted.publishing.is_none()), (Payment::Taken, true));
    assert_eq!(open.scene.number("SELECT count(*) FROM orders WHERE id = 'ord-1'"), 1);
    assert_eq!(open.published(), [("ord-1".to_owned(), 2)], "with trace context and order id");
    let client = open.scene.span("POST");
    assert_eq!(attribute(&client, "server.address").as_deref(), Some("127.0.0.1"));
    let server = open.scene.span("POST /payments");
    assert_eq!(server.parent_span_id, client.span_context.span_id());
    assert_eq!(open.scene.event_names(), ["payment.authorized", "order.accepted"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_as_a_file_needs_no_event() {
    let open = open(Fault::None, false).await;
    open.place(order("ord-1", DIGITAL, "poster")).await.unwrap();
    assert_eq!(open.published(), []);
    assert_eq!(open.scene.number("SELECT count(*) FROM orders WHERE kind = 'digital'"), 1);
}

/// The bug's story: an order is worth more than its payment, so a timeout counts as "later"; there is no later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_times_out_is_swallowed() {
    let broken = open(Fault::SwallowedTimeout, false).await;
    let gift = broken.place(order("ord-1", GIFT, "mug")).await.unwrap();
    assert_eq!(gift.payment, Payment::Pending);
    let client = broken.scene.span("POST");
    assert_eq!(attribute(&client, "error.type").as_deref(), Some("timeout"));
    assert!(matches!(client.status, Status::Error { .. }));
    assert_eq!(broken.published().len(), 1);

    let repaired = open(Fault::SwallowedTimeout, true).await;
    assert!(matches!(repaired.place(order("ord-1", GIFT, "mug")).await, Err(Error::Refused { .. })));
    assert!(repaired.published().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_whose_token_is_refused_is_refused() {
    let skewed = open(Fault::ClockSkew, false).await;
    let refused = skewed.place(order("ord-1", "standard", "mug")).await.err().unwrap();
    assert_eq!(refused.to_string(), "payments answered 401");
    assert_eq!(attribute(&skewed.scene.span("POST"), "error.type").as_deref(), Some("401"));
    let repaired = open(Fault::ClockSkew, true).await;
    assert_eq!(repaired.place(order("ord-1", "standard", "mug")).await.unwrap().payment, Payment::Taken);
}

/// The bug's story: publishing was made a task of its own, to answer sooner; its error has nowhere to go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_is_lost_after_the_answer() {
    let wordy = |id| NewOrder { greeting: Some("Many happy returns! ".repeat(30)), ..order(id, GIFT, "mug") };
    let broken = open(Fault::LostPublish, false).await;
    for order in [wordy("ord-1"), order("ord-2", GIFT, "mug")] {
        broken.place(order).await.unwrap().publishing.unwrap().await.unwrap();
    }
    assert_eq!(broken.published(), [("ord-2".to_owned(), 2)]);
    assert_eq!(broken.scene.number("SELECT count(*) FROM orders"), 2);
    let publish = &broken.scene.spans("publish stock-events")[0];
    assert_eq!(attribute(publish, "error.type").as_deref(), Some("message_too_large"));

    let repaired = open(Fault::LostPublish, true).await;
    assert!(matches!(repaired.place(wordy("ord-1")).await, Err(Error::MessageTooLarge { .. })));
    assert_eq!(repaired.scene.number("SELECT count(*) FROM orders"), 0, "neither written nor answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_confirmation_publishes_an_event_twice() {
    let broken = open(Fault::Duplicate, false).await;
    for n in 1..=20 {
        broken.place(order(&format!("ord-{n}"), "standard", "mug")).await.unwrap();
    }
    let published = broken.published();
    assert_eq!(published.len(), 21);
    assert_eq!(published.iter().filter(|(key, _)| key == "ord-20").count(), 2);
    let attempts = broken.scene.spans("publish stock-events");
    let errors: Vec<_> = attempts[19..].iter().map(|span| attribute(span, "error.type")).collect();
    assert_eq!(errors, [Some("timeout".to_owned()), None]);
    assert_eq!(attempts[19].parent_span_id, attempts[20].parent_span_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_can_be_left_out() {
    for (fixed, headers) in [(false, 0), (true, 2)] {
        let open = open(Fault::BrokenContext, fixed).await;
        open.place(order("ord-1", "standard", "mug")).await.unwrap();
        assert_eq!(open.published(), [("ord-1".to_owned(), headers)]);
    }
}

/// A return of a parcel and one of a bundle, handled beside the test.
async fn returned(open: &Open, id: &'static str, kind: &str) -> tokio::task::JoinHandle<Result<Returned, Error>> {
    open.place(order(id, kind, "starter bundle")).await.unwrap();
    let desk = Arc::clone(&open.desk);
    let telemetry = open.scene.telemetry.clone();
    tokio::spawn(async move {
        let context = telemetry.span("POST /returns", SpanKind::Server, Vec::new(), &Context::new());
        let returned = desk.returns.handle(id, &context).await;
        telemetry.end(&context);
        returned
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_gets_a_label_and_is_noted() {
    let open = open(Fault::None, false).await;
    for (label, (id, kind)) in [(1, ("ord-1", BUNDLE)), (1, ("ord-2", "standard"))] {
        assert_eq!(returned(&open, id, kind).await.await.unwrap().unwrap(), Returned::Registered { label });
    }
    assert_eq!(open.desk.returns.handle("ord-9", &Context::new()).await.unwrap(), Returned::NoSuchOrder);
    assert_eq!(open.scene.number("SELECT count(*) FROM returns"), 2);
    let truth = open.scene.truth();
    assert_eq!((truth.returns, truth.unfinished_returns.len()), (3, 0));
}

/// The bug's story: the carrier is asked for under another name, and an empty answer means "try again".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_is_asked_for_without_end() {
    let open = open(Fault::SilentLoop, false).await;
    assert!(matches!(returned(&open, "ord-1", "standard").await.await.unwrap(), Ok(Returned::Registered { .. })));
    let stuck = returned(&open, "ord-2", BUNDLE).await;
    while open.scene.spans("UPDATE labels").len() < 20 {
        open.scene.telemetry.clock.advance(Duration::from_secs(60));
        tokio::task::yield_now().await;
    }
    let asked = open.scene.spans("UPDATE labels");
    let in_vain = |span| attribute(span, "db.response.affected_rows").as_deref() == Some("0");
    assert!(asked[1..].iter().all(in_vain));
    assert!(asked[1..].windows(2).all(|pair| pair[0].parent_span_id == pair[1].parent_span_id));
    assert_eq!((open.scene.spans("POST /returns").len(), stuck.is_finished()), (1, false));
    assert_eq!(open.scene.truth().unfinished_returns, ["ord-2"]);
    stuck.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_repaired_desk_gives_up_and_says_so() {
    let open = open(Fault::SilentLoop, true).await;
    let refused = returned(&open, "ord-1", BUNDLE).await;
    while !refused.is_finished() {
        open.scene.telemetry.clock.advance(Duration::from_millis(50));
        tokio::task::yield_now().await;
    }
    assert_eq!(open.scene.spans("UPDATE labels").len(), 5);
    assert_eq!(refused.await.unwrap().unwrap(), Returned::NoLabel);
    assert!(open.scene.truth().unfinished_returns.is_empty());
}

/// The bug's story: two people are asked for of whom one is on the rota, and nobody set a limit to the wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pickup_waits_for_ever_for_people_who_are_not_there() {
    let broken = open(Fault::StalledRequest, false).await;
    let stuck = returned(&broken, "ord-1", BUNDLE).await;
    broken.scene.wait_for_spans("UPDATE labels", 1).await;
    assert!(matches!(returned(&broken, "ord-2", "standard").await.await.unwrap(), Ok(Returned::Registered { .. })));
    broken.scene.telemetry.clock.advance(Duration::from_secs(3_600));
    assert!(!stuck.is_finished());
    assert_eq!((broken.scene.spans("book pickup").len(), broken.scene.spans("POST /returns").len()), (1, 1));
    let all_is_well = broken.scene.spans("UPDATE labels").iter().all(|span| span.status == Status::Unset);
    assert!(all_is_well && broken.scene.truth().unfinished_returns == ["ord-1"]);
    stuck.abort();

    let repaired = open(Fault::StalledRequest, true).await;
    let refused = returned(&repaired, "ord-1", BUNDLE).await;
    while !refused.is_finished() {
        repaired.scene.telemetry.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    assert_eq!(refused.await.unwrap().unwrap(), Returned::NoCrew);
    assert_eq!(attribute(&repaired.scene.span("book pickup"), "error.type").as_deref(), Some("timeout"));
}
