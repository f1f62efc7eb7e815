//! The queue's client, instrumented as messaging libraries are: a producer's span for each message sent, a consumer's
//! span in a trace of its own that links to it, and a span for each acknowledgement.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use opentelemetry::trace::{SpanKind, TraceContextExt};
use opentelemetry::{Context, KeyValue};

use crate::Error;
use crate::http::blocking;
use crate::queue::{Delivery, Named, Publication, Sent, Topic};
use crate::service::Stop;
use crate::telemetry::{Telemetry, inject};

/// The header that says which order a message is about.
pub(crate) const ORDER_HEADER: &str = "order-id";
/// `messaging.system` of a log, whose messages are known by partition and offset.
pub(crate) const KAFKA: &str = "kafka";
/// How long a consumer waits when there is nothing to do, or the database would not let it.
const IDLE: Duration = Duration::from_millis(50);

/// A message to be sent.
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: Topic,
    pub(crate) partition: u8,
    /// What it is about.
    pub(crate) key: &'a str,
    pub(crate) body: &'a str,
    /// Whether it is about an order, which its span and its headers then name.
    pub(crate) about_order: bool,
    /// Whether it carries headers at all.
    pub(crate) headers: bool,
}

fn attributes(
    named: &Named,
    topic: Topic,
    partition: u8,
    operation_type: &'static str,
    name: &'static str,
) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("messaging.system", named.system),
        KeyValue::new("messaging.destination.name", named.of(topic)),
        KeyValue::new("messaging.destination.partition.id", partition.to_string()),
        KeyValue::new("messaging.operation.type", operation_type),
        KeyValue::new("messaging.operation.name", name),
    ];
    if named.run.is_some() {
        // The conventions have spans named by this where the name itself is of one run only.
        attributes.push(KeyValue::new("messaging.destination.template", topic.name));
    }
    attributes
}

/// What a message is called, where its broker counts instead of naming.
fn message(named: &Named, id: &str) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new("messaging.message.id", id.to_owned())];
    if named.system == KAFKA
        && let Some(offset) = id.rsplit('-').next().and_then(|offset| offset.parse::<i64>().ok())
    {
        attributes.push(KeyValue::new("messaging.kafka.offset", offset));
    }
    attributes
}

/// Sends `outgoing` by `send`, which returns what the broker confirms, within a producer's span.
pub(crate) fn publish(
    telemetry: &Telemetry,
    named: &Named,
    outgoing: &Outgoing<'_>,
    parent: &Context,
    send: impl FnOnce(&Publication<'_>) -> Result<Sent, Error>,
) -> Result<Sent, Error> {
    let Outgoing { topic, partition, key, body, .. } = *outgoing;
    let mut about = attributes(named, topic, partition, "send", "publish");
    if outgoing.about_order {
        about.push(KeyValue::new("order.id", key.to_owned()));
    }
    let context = telemetry.span(format!("publish {}", topic.name), SpanKind::Producer, about, parent);
    let mut headers = HashMap::new();
    if outgoing.headers {
        headers = inject(&context);
        if outgoing.about_order {
            headers.insert(ORDER_HEADER.to_owned(), key.to_owned());
        }
    }
    let sent = send(&Publication { topic, partition, key, headers: &headers, body });
    let mut labels = vec![KeyValue::new("messaging.destination.name", named.of(topic))];
    match &sent {
        Ok(sent) => {
            context.span().set_attributes(message(named, &sent.id));
            telemetry.end(&context);
        }
        Err(error) => {
            labels.push(KeyValue::new("error.type", error.kind()));
            telemetry.end_failed(&context, error.kind(), error.to_string());
        }
    }
    telemetry.instruments.sent_messages.add(1, &labels);
    sent
}

/// Work on one message, within its consumer's span.
pub(crate) struct Processing {
    pub(crate) context: Context,
    named: Named,
    topic: Topic,
    partition: u8,
    message: String,
    group: String,
    started: Instant,
}

impl Processing {
    pub(crate) fn begin(
        telemetry: &Telemetry,
        named: &Named,
        topic: Topic,
        group: &'static str,
        delivery: &Delivery,
    ) -> Processing {
        let mut about = attributes(named, topic, delivery.partition, "process", "process");
        let group = named.group(group);
        about.push(KeyValue::new("messaging.consumer.group.name", group.clone()));
        about.extend(message(named, &delivery.id));
        let name = format!("process {}", topic.name);
        let context = telemetry.linked_span(name, SpanKind::Consumer, about, &delivery.headers);
        Processing {
            context,
            named: named.clone(),
            topic,
            partition: delivery.partition,
            message: delivery.id.clone(),
            group,
            started: Instant::now(),
        }
    }

    /// Acknowledges the message by `settle`.
    pub(crate) fn acknowledge(
        &self,
        telemetry: &Telemetry,
        settle: impl FnOnce() -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut about = attributes(&self.named, self.topic, self.partition, "settle", "ack");
        about.push(KeyValue::new("messaging.consumer.group.name", self.group.clone()));
        about.extend(message(&self.named, &self.message));
        let context = telemetry.span(format!("ack {}", self.topic.name), SpanKind::Client, about, &self.context);
        let settled = settle();
        match &settled {
            Ok(_) => telemetry.end(&context),
            Err(error) => telemetry.end_failed(&context, error.kind(), error.to_string()),
        }
        settled.map(drop)
    }

    /// Ends the span; with an error if there was one.
    pub(crate) fn end<T>(self, telemetry: &Telemetry, handled: &Result<T, Error>) {
        let mut labels = vec![
            KeyValue::new("messaging.destination.name", self.named.of(self.topic)),
            KeyValue::new("messaging.destination.partition.id", self.partition.to_string()),
            KeyValue::new("messaging.consumer.group.name", self.group.clone()),
        ];
        match handled {
            Ok(_) => telemetry.end(&self.context),
            Err(error) => {
                labels.push(KeyValue::new("error.type", error.kind()));
                telemetry.end_failed(&self.context, error.kind(), error.to_string());
            }
        }
        telemetry.instruments.consumed_messages.add(1, &labels);
        telemetry.instruments.process_duration.record(self.started.elapsed().as_secs_f64(), &labels);
    }
}

/// What a consumer did in one turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// There was nothing to do, or it has to be tried later.
    Idle,
    Busy,
    /// It consumes no more.
    Over,
}

/// Has `consumer` take turns until it is over, or the service is to stop.
pub(crate) async fn consume<C: Send + 'static>(
    mut consumer: C,
    turn: fn(&mut C) -> Turn,
    mut stop: Stop,
) -> Result<(), Error> {
    while !stop.is_requested() {
        let (returned, done) = blocking(move || {
            let done = turn(&mut consumer);
            (consumer, done)
        })
        .await?;
        consumer = returned;
        match done {
            Turn::Busy => {}
            Turn::Over => return Ok(()),
            Turn::Idle => tokio::select! {
                () = stop.requested() => {}
                () = tokio::time::sleep(IDLE) => {}
            },
        }
    }
    Ok(())
}
