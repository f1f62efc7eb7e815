//! The same search as the peers': which orders were placed and never shipped? By the engine in process, from OTLP log records that were encoded beforehand, 1,000 in a request.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use serde_json::{Value, json};
use truegreen_engine::flow::{Source, compile};
use truegreen_engine::{Engine, Input, Options, Request};
use truegreen_model::flow::Flow;
use truegreen_model::time::Timestamp;
use truegreen_otlp::{Limits, Signal, check};

use crate::busy::busy_seconds;
use crate::events::{self, Event};
use crate::wire::{self, Message, scatter};

const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, log: order.placed, service: shop}
steps:
  - {name: shipped, log: order.shipped, service: shop, within: 10s}
";
const RECORDS: usize = 1_000;
/// How long the sender goes on after the last event, with records that say nothing of an order: the last deadlines
/// must come due, and silence is proof only from someone who is still heard.
const GOES_ON: Duration = Duration::from_secs(60);
/// So many requests are applied together, as a server does with what waits.
const BATCH: usize = 100;
/// Journeys that ended make room for new ones past a bound; their keys are read before.
const READ_EVERY: usize = 1_500;

/// What a record carries.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Records {
    /// A time, a name and the key.
    Minimal,
    /// What an application logs: severity, text, trace, seven attributes.
    Full,
}

struct Encoded {
    at: Timestamp,
    body: Vec<u8>,
}

impl Encoded {
    fn input(&self, sequence: u64) -> (Timestamp, Input<'_>) {
        (self.at, Input::Logs(Request { sequence, body: &self.body }))
    }
}

/// Searches `runs` times, each with a new engine, and writes the keys found to `found`.
pub(crate) fn search(csv: &Path, (records, threads): (Records, usize), runs: usize, found: &Path) -> Result<Value> {
    let events = events::read(csv)?;
    let bodies = encode(&events, records);
    let count = events.len();
    drop(events);
    let bytes: usize = bodies.iter().map(|encoded| encoded.body.len()).sum();
    let (mut seconds, mut busy) = (Vec::new(), 0.0);
    for _ in 0..runs {
        let Found { took, processor_seconds, keys } = run(&bodies, records, threads)?;
        seconds.push(took.as_secs_f64());
        busy += processor_seconds;
        let lines: Vec<String> = keys.into_iter().map(|key| key + "\n").collect();
        std::fs::write(found, lines.concat())?;
    }
    Ok(json!({
        "events": count,
        "bytes_per_event": bytes as f64 / count as f64,
        "seconds": seconds,
        "cores": busy / seconds.iter().sum::<f64>(),
    }))
}

struct Found {
    took: Duration,
    processor_seconds: f64,
    /// Those that are unaccounted for.
    keys: BTreeSet<String>,
}

/// The clock stands while the keys are read.
fn run(bodies: &[Encoded], records: Records, threads: usize) -> Result<Found> {
    let options = Options { threads, ..Options::default() };
    let (mut engine, limits) = (Engine::new(flows()?, options), Limits::default());
    let (mut took, mut processor_seconds, mut keys) = (Duration::ZERO, 0.0, BTreeSet::new());
    for (chunk, some) in bodies.chunks(READ_EVERY).enumerate() {
        let (started, busy) = (Instant::now(), busy_seconds()?);
        for (batch, some) in some.chunks(BATCH).enumerate() {
            // A server checks a body before it takes it; a peer parses its line.
            let is_malformed = |encoded: &Encoded| check(Signal::Logs, &encoded.body, &limits).is_err();
            if records == Records::Full && some.iter().any(is_malformed) {
                bail!("a request is malformed");
            }
            let numbered = ((chunk * READ_EVERY + batch * BATCH) as u64..).zip(some);
            let inputs: Vec<_> = numbered.map(|(sequence, encoded)| encoded.input(sequence)).collect();
            engine.apply_batch(&inputs);
        }
        took += started.elapsed();
        processor_seconds += busy_seconds()? - busy;
        engine.each_journey(|journey| {
            if journey.verdict == "unaccounted" {
                keys.insert(journey.key);
            }
        });
    }
    let report = engine.report();
    let books = &report.flows["orders"];
    ensure!(
        books.unaccounted == keys.len() as u64 && books.open == 0,
        "the books do not agree with the {} keys found: {books:?}",
        keys.len()
    );
    Ok(Found { took, processor_seconds, keys })
}

fn flows() -> Result<Vec<Flow>> {
    let source = Source { path: "orders.yaml".into(), text: CONTRACT.into() };
    match compile(&[source]) {
        Ok(compiled) => Ok(compiled.flows),
        Err(_) => bail!("the contract has mistakes"),
    }
}

fn encode(events: &[Event], records: Records) -> Vec<Encoded> {
    // Received when the latest of it happened: the clock of a receiver does not run backwards.
    let mut received = events::START;
    let mut bodies = Vec::with_capacity(events.len() / RECORDS + 64);
    for some in events.chunks(RECORDS) {
        let mut lines = Message::default();
        for event in some {
            received = received.max(event.at);
            let record = if records == Records::Full { full(event) } else { minimal(event) };
            lines.bytes(2, &record.0);
        }
        bodies.push(encoded(received, &lines));
    }
    for second in 1..=GOES_ON.as_secs() {
        let at = received + second * 1_000_000_000;
        let (mut lines, mut record) = (Message::default(), Message::default());
        record.fixed(1, at);
        record.bytes(12, b"shop.idle");
        lines.bytes(2, &record.0);
        bodies.push(encoded(at, &lines));
    }
    bodies
}

fn encoded(at: u64, lines: &Message) -> Encoded {
    Encoded { at: Timestamp(at), body: wire::request("shop", "shop-1", &lines.0).0 }
}

fn name(event: &Event) -> &'static str {
    if event.is_shipped { "order.shipped" } else { "order.placed" }
}

fn minimal(event: &Event) -> Message {
    let mut record = Message::default();
    record.fixed(1, event.at);
    record.text_attribute(6, "order.id", &format!("order-{}", event.order));
    record.bytes(12, name(event).as_bytes());
    record
}

fn full(event: &Event) -> Message {
    let chance = scatter(event.at);
    let mut record = Message::default();
    record.fixed(1, event.at);
    record.fixed(11, event.at + 150_000);
    record.number(2, 9);
    record.bytes(3, b"INFO");
    let mut body = Message::default();
    body.bytes(1, format!("order order-{} left the {}", event.order, name(event)).as_bytes());
    record.bytes(5, &body.0);
    record.text_attribute(6, "order.id", &format!("order-{}", event.order));
    record.text_attribute(6, "messaging.system", "rabbitmq");
    record.text_attribute(6, "messaging.destination.name", "stock-events");
    record.text_attribute(6, "user.id", &format!("u-{:07}", chance % 10_000_000));
    record.text_attribute(6, "code.function.name", "com.example.shop.orders.OrderResource.place");
    record.text_attribute(6, "thread.name", "worker-7");
    record.number_attribute(6, "thread.id", chance % 64);
    let mut trace = [0; 16];
    trace[..8].copy_from_slice(&scatter(u64::from(event.order)).to_be_bytes());
    trace[8..].copy_from_slice(&scatter(u64::from(event.order) ^ 1 << 63).to_be_bytes());
    record.bytes(9, &trace);
    record.bytes(10, &chance.to_be_bytes());
    record.bytes(12, name(event).as_bytes());
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: 20,000 orders, of which 20 are never shipped. Guarantee: both kinds of records find exactly those.
    #[test]
    fn exactly_the_orders_that_were_never_shipped_are_found() {
        let (events, lacking) = events::generate(20_000);
        let expected: BTreeSet<String> = lacking.iter().map(|order| format!("order-{order}")).collect();
        for records in [Records::Minimal, Records::Full] {
            assert_eq!(run(&encode(&events, records), records, 2).unwrap().keys, expected);
        }
    }
}
