//! Messages sent and consumed, as the semantic conventions tell of them.

use truegreen_model::flow::SpanKind;

use super::broker::{Message, Topic};
use super::fault::Fault;
use super::record::Context;
use super::services::{self, Processed, Request};
use super::system::System;
use super::task::{Open, Task};

/// Seconds until a message can be consumed.
const ON_THE_WAY: f64 = 0.003;

impl System {
    /// A message is sent.
    pub fn publish(&mut self, task: &mut Task, topic: Topic, request: &Request) {
        let id = self.rng.u64(..);
        let mut span = self.open_send(task, topic);
        span.put("messaging.message.id", format!("{id:016x}"));
        span.put(
            "messaging.destination.partition.id",
            partition_name(partition(topic, request, self.broker.is_crowded)),
        );
        let context = span.context;
        self.work(task, 0.002);
        self.close(task, span);
        self.enqueue(task, topic, (id, context), request);
    }

    /// The broker has it, but says so too late.
    pub fn publish_unconfirmed(&mut self, task: &mut Task, topic: Topic, request: &Request) {
        let id = self.rng.u64(..);
        let mut span = self.open_send(task, topic);
        let context = span.context;
        self.enqueue(task, topic, (id, context), request);
        task.now += 0.5;
        span.fail("timeout");
        self.close(task, span);
    }

    /// The producer says no.
    pub fn refuse_to_publish(&mut self, task: &mut Task, topic: Topic, error: &'static str) {
        let mut span = self.open_send(task, topic);
        self.work(task, 0.0005);
        span.fail(error);
        self.close(task, span);
    }

    /// All seems well, and nobody will ever get it.
    pub fn publish_to_nobody(&mut self, task: &mut Task, topic: Topic, request: &Request) {
        let id = self.rng.u64(..);
        let mut span = self.open_send(task, topic);
        span.put("messaging.message.id", format!("{id:016x}"));
        span.put(
            "messaging.destination.partition.id",
            partition_name(partition(topic, request, self.broker.is_crowded)),
        );
        self.work(task, 0.002);
        self.close(task, span);
    }

    fn open_send(&mut self, task: &mut Task, topic: Topic) -> Open {
        let mut span = self.open(task, SpanKind::Producer, topic.spans()[0]);
        span.put("messaging.system", "kafka");
        span.put("messaging.destination.name", topic.name());
        span.put("messaging.operation.type", "send");
        span.put("messaging.operation.name", "send");
        let meters = &mut self.fleet.instances[task.instance].meters;
        meters.message("messaging.client.sent.messages", topic.name(), "");
        span
    }

    fn enqueue(&mut self, task: &Task, topic: Topic, (id, context): (u64, Context), request: &Request) {
        let has_headers = !(topic == Topic::OrdersPlaced && self.struck(Fault::BrokenContext, task.now));
        if !has_headers {
            self.harm(task.now);
        }
        let available = task.now + ON_THE_WAY;
        let message = Message { id, available, context: has_headers.then_some(context), request: *request };
        let partition = partition(topic, request, self.broker.is_crowded);
        self.broker.partition(topic, partition).append(message);
        self.look(available, topic, partition);
    }

    /// The consumer of a partition takes its next message.
    pub(super) fn consume(&mut self, at: f64, topic: Topic, partition: usize) {
        let of = self.broker.partition(topic, partition);
        // Somebody was to look earlier, and did.
        if of.looked_at != Some(at) {
            return;
        }
        of.looked_at = None;
        let Some(message) = of.queue.front().copied().filter(|_| !of.hangs) else { return };
        if topic == Topic::OrdersPlaced && self.struck(Fault::NobodyConsuming, at) {
            return self.harm(at.max(message.available));
        }
        if message.available > at {
            return self.look(message.available, topic, partition);
        }
        let Some(instance) = self.fleet.owner(topic.consumer(), partition, at) else {
            return self.look(at + 1.0, topic, partition);
        };
        let (again_at, is_done) = self.take(at, instance, (topic, partition), &message);
        let until = self.fleet.instances[instance].until;
        if again_at > until {
            // The partition goes to somebody else, from the last commit on.
            let settled = until + 3.0 + 3.0 * self.rng.f64();
            self.broker.partition(topic, partition).busy_until = settled;
            return self.look(settled, topic, partition);
        }
        let of = self.broker.partition(topic, partition);
        if !again_at.is_finite() {
            of.hangs = true;
            return;
        }
        of.busy_until = again_at;
        if is_done {
            of.queue.pop_front();
            of.committed += 1;
        }
        if !of.queue.is_empty() {
            self.look(again_at, topic, partition);
        }
    }

    /// When the consumer is free again, and whether it is done with the message.
    fn take(&mut self, at: f64, instance: usize, place: (Topic, usize), message: &Message) -> (f64, bool) {
        let (topic, _) = place;
        let trace = match message.context {
            Some(context) if topic.continues_traces() => context.trace,
            _ => self.rng.u128(1..),
        };
        let parent = message.context.filter(|_| topic.continues_traces()).map_or(0, |context| context.span);
        let mut task = Task { instance, trace, parent, now: at };
        let mut span = self.open(&mut task, SpanKind::Consumer, topic.spans()[1]);
        span.link = message.context.filter(|_| !topic.continues_traces());
        put_process(&mut span, place, message);
        let meters = &mut self.fleet.instances[instance].meters;
        meters.message("messaging.client.consumed.messages", topic.name(), topic.consumer().name());
        let processed = services::process(self, &mut task, place, message, &mut span);
        let mut behind = Task { parent: span.context.span, ..task };
        match processed {
            Processed::Again(after) => {
                self.close(&mut task, span);
                return (task.now + after, false);
            }
            Processed::Hangs => return (f64::INFINITY, false),
            Processed::Done | Processed::Later => {}
        }
        if self.is_delivered_again(place.0, &task, &message.request) {
            // Somebody else got the partition before this was committed.
            self.harm(task.now);
            self.close(&mut task, span);
            return (task.now + 0.2, false);
        }
        self.acknowledge(&mut task, topic, message);
        self.close(&mut task, span);
        if processed == Processed::Later {
            behind.now = task.now;
            services::process_later(self, &mut behind, message);
        }
        (task.now, true)
    }

    fn is_delivered_again(&mut self, topic: Topic, task: &Task, request: &Request) -> bool {
        topic == Topic::OrdersPlaced && self.strikes(Fault::Duplicate, false, task.now) && self.hits(task, request)
    }

    fn acknowledge(&mut self, task: &mut Task, topic: Topic, message: &Message) {
        let mut span = self.open(task, SpanKind::Client, topic.spans()[2]);
        span.put("messaging.system", "kafka");
        span.put("messaging.destination.name", topic.name());
        span.put("messaging.operation.type", "settle");
        span.put("messaging.operation.name", "ack");
        span.put("messaging.consumer.group.name", topic.consumer().name());
        span.put("messaging.message.id", format!("{:016x}", message.id));
        self.work(task, 0.001);
        self.close(task, span);
    }
}

fn put_process(span: &mut Open, (topic, partition): (Topic, usize), message: &Message) {
    span.put("messaging.system", "kafka");
    span.put("messaging.destination.name", topic.name());
    span.put("messaging.destination.partition.id", partition_name(partition));
    span.put("messaging.operation.type", "process");
    span.put("messaging.operation.name", "process");
    span.put("messaging.consumer.group.name", topic.consumer().name());
    span.put("messaging.message.id", format!("{:016x}", message.id));
}

fn partition(topic: Topic, request: &Request, is_crowded: bool) -> usize {
    let key = if topic == Topic::ProductChanged { u64::from(request.sku) } else { request.number };
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % topic.partitions(is_crowded)
}

fn partition_name(partition: usize) -> &'static str {
    const NAMES: [&str; 24] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19",
        "20", "21", "22", "23",
    ];
    NAMES[partition % NAMES.len()]
}
