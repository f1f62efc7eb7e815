//! Letters sent back on a real RabbitMQ, which drops no second one.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use truegreen_fixture::Rabbitmq;

use super::Desk;
use crate::support::{agent, read};

const LETTERS: usize = 1_000;

/// The management API.
struct Management(String);

impl Management {
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}/api/{path}", self.0);
        let text = body.to_string();
        let request = match method {
            "PUT" => agent().put(url),
            _ => agent().post(url),
        };
        let request =
            request.header("authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=").header("content-type", "application/json");
        let answer = read(request.send(text.as_str()));
        assert!(answer.status < 300, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn queue(&self, name: &str) {
        self.ask("PUT", &format!("queues/%2F/{name}"), &json!({"durable": true}));
    }

    fn letter(&self, n: usize) {
        // Some are the same in everything, and can only be counted.
        let order = if n.is_multiple_of(10) { "same".to_owned() } else { format!("o-{n}") };
        let message = json!({
            "properties": {"delivery_mode": 2, "headers": {"tenant": "blue"}}, "routing_key": "orders.dead",
            "payload": json!({"order": {"id": order}}).to_string(), "payload_encoding": "string",
        });
        assert_eq!(self.ask("POST", "exchanges/%2F/amq.default/publish", &message)["routed"], true);
    }

    /// Everything in a queue, each body with how often.
    fn take(&self, queue: &str) -> BTreeMap<String, usize> {
        let wanted = json!({"count": 100_000, "ackmode": "ack_requeue_false", "encoding": "auto"});
        let mut bodies = BTreeMap::new();
        for message in self.ask("POST", &format!("queues/%2F/{queue}/get"), &wanted).as_array().unwrap() {
            *bodies.entry(message["payload"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        bodies
    }
}

/// Scenario: the command is killed twenty times at random, RabbitMQ twice; one letter in ten is the same in everything.
/// Guarantee: each arrives, what may be there twice is counted, and what is left has arrived.
#[test]
fn killed_twenty_times_nothing_is_lost_and_doubles_are_counted() {
    let mut rabbitmq = Rabbitmq::start().unwrap();
    let management = Management(rabbitmq.management_url());
    ["orders", "orders.dead"].iter().for_each(|queue| management.queue(queue));
    (0..LETTERS).for_each(|n| management.letter(n));
    let desk = Desk::at(&format!(
        "{{url: '{}', management: '{}', dead_letters: [orders.dead], timeout: 20s}}",
        rabbitmq.url(),
        rabbitmq.management_url()
    ));
    let begin = ["redrive", "--place", "orders.dead", "--all", "--to", "orders", "--canary", "0", "--rate", "all"];
    desk.kill(&begin, LETTERS, |kill, _| {
        if kill.is_multiple_of(8) {
            rabbitmq.restart().unwrap();
        }
    });
    let ids = desk.ids();
    assert_eq!(ids.len(), 1, "resumed, never begun anew");
    desk.said(&["redrive", "--resume", &ids[0]]);

    let record: Value = serde_json::from_str(&desk.said(&["history", &ids[0], "--json"])).unwrap();
    let counts = &record["counts"];
    assert_eq!(
        (&record["state"], &counts["done"], &counts["missing"]),
        (&"ended".into(), &LETTERS.into(), &0.into()),
        "{counts}"
    );
    let arrived = management.take("orders");
    let of_one = |body: &str| if body.contains("same") { LETTERS / 10 } else { 1 };
    let lost: Vec<&String> = arrived.iter().filter(|(body, n)| **n < of_one(body)).map(|(body, _)| body).collect();
    assert_eq!((arrived.len(), lost), (LETTERS - LETTERS / 10 + 1, Vec::new()), "0 lost");
    let doubled = arrived.values().sum::<usize>() - LETTERS;
    assert!(doubled as u64 <= counts["may_be_doubled"].as_u64().unwrap(), "{doubled} doubled, {counts}");
    // It writes down acknowledgements a while after it took them, so that a crash of its own brings letters back.
    let back = management.take("orders.dead");
    assert!(back.keys().all(|body| arrived.contains_key(body)), "{back:?}");
}
