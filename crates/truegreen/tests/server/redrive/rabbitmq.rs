//! Letters sent back on a real RabbitMQ, which drops no second one.

use serde_json::{Value, json};
use truegreen_fixture::Rabbitmq;

use super::Desk;
use super::trial::{self, Bed, Copies, body, names};
use crate::support::{agent, read};

/// The management API.
struct Management {
    url: String,
    agent: ureq::Agent,
}

impl Management {
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}/api/{path}", self.url);
        let text = body.to_string();
        if method == "GET" {
            let answer = read(self.agent.get(url).header("authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=").call());
            return answer.json();
        }
        let request = match method {
            "PUT" => self.agent.put(url),
            _ => self.agent.post(url),
        };
        let request =
            request.header("authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=").header("content-type", "application/json");
        let answer = read(request.send(text.as_str()));
        assert!(answer.status < 300, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn queue(&self, name: &str, arguments: &Value) {
        self.ask("PUT", &format!("queues/%2F/{name}"), &json!({"durable": true, "arguments": arguments}));
    }

    fn letter(&self, queue: &str, name: &str) {
        let message = json!({
            "properties": {"delivery_mode": 2, "headers": {"tenant": "blue"}}, "routing_key": queue,
            "payload": body(name), "payload_encoding": "string",
        });
        assert_eq!(self.ask("POST", "exchanges/%2F/amq.default/publish", &message)["routed"], true);
    }

    /// Everything in a queue. By `ackmode` it stays there, or does not.
    fn take(&self, queue: &str, ackmode: &str) -> Copies {
        let wanted = json!({"count": 100_000, "ackmode": ackmode, "encoding": "auto"});
        let messages = self.ask("POST", &format!("queues/%2F/{queue}/get"), &wanted);
        names(messages.as_array().unwrap().iter().map(|message| message["payload"].as_str().unwrap()))
    }
}

struct Broker {
    kind: &'static str,
    rabbitmq: Rabbitmq,
    management: Management,
}

impl Broker {
    /// With two queues of this type; the target has further arguments.
    fn start(kind: &'static str, target: &Value) -> Broker {
        let rabbitmq = Rabbitmq::start().unwrap();
        let management = Management { url: rabbitmq.management_url(), agent: agent() };
        let of_kind = json!({ "x-queue-type": kind });
        let mut arguments = target.clone();
        arguments["x-queue-type"] = kind.into();
        management.queue("orders", &arguments);
        management.queue("orders.dead", &of_kind);
        Broker { kind, rabbitmq, management }
    }
}

impl Bed for Broker {
    const DROPS_A_SECOND: bool = false;

    fn called(&self) -> String {
        format!("RabbitMQ ({} queues)", self.kind)
    }

    fn entry(&self) -> String {
        let (url, management) = (self.rabbitmq.url(), self.rabbitmq.management_url());
        format!("{{url: '{url}', management: '{management}', dead_letters: [orders.dead], timeout: 20s}}")
    }

    fn die(&mut self, names: &[String]) {
        names.iter().for_each(|name| self.management.letter("orders.dead", name));
    }

    fn restart(&mut self) {
        self.rabbitmq.restart().unwrap();
    }

    fn dead(&mut self) -> Copies {
        self.management.take("orders.dead", "ack_requeue_true")
    }

    fn arrived(&mut self) -> Copies {
        self.management.take("orders", "ack_requeue_true")
    }

    /// By numbers where it is a quorum queue: a look at its letters by the management API, as by anybody who asks for many of them
    /// one by one, changes their order, and a crash of the broker then mixes them up.
    fn left(&mut self, expected: &Copies, later: usize) -> Result<usize, String> {
        if self.kind != "quorum" {
            return trial::left(&self.dead(), &self.arrived(), expected);
        }
        let count =
            |queue| self.management.ask("GET", &format!("queues/%2F/{queue}"), &Value::Null)["messages"].as_u64();
        let all = expected.values().sum::<usize>() + later;
        match (count("orders.dead"), count("orders")) {
            (Some(dead), Some(there)) if (dead + there) as usize >= all => {
                Ok(all - later - (there as usize).min(all - later))
            }
            (dead, there) => Err(format!("{dead:?} lie dead and {there:?} are at the target, of {all}")),
        }
    }

    /// Some are the same in everything, and can only be counted.
    fn name(n: usize) -> String {
        if n.is_multiple_of(10) { "same".to_owned() } else { format!("o-{n}") }
    }
}

#[test]
fn rabbitmq_classic() {
    trial::stand(&mut Broker::start("classic", &json!({})));
}

#[test]
fn rabbitmq_quorum() {
    trial::stand(&mut Broker::start("quorum", &json!({})));
}

/// Scenario: the target is full and refuses what is published. Guarantee: it stops soon, what was refused lies dead still and
/// says why; once there is room it goes.
#[test]
fn a_full_target_leaves_letters_where_they_are_and_says_why() {
    let mut broker = Broker::start("classic", &json!({"x-max-length": 7, "x-overflow": "reject-publish"}));
    let all: Vec<String> = (0..12).map(|n| format!("o-{n}")).collect();
    broker.die(&all);
    let desk = Desk::at(&broker.entry());
    let output = desk.run(&["redrive", "--all", "--to", "orders", "--canary", "0", "--rate", "all"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && told.contains("does not take it: the queue is full"), "{output:?}");
    let history = desk.told(&["history", &desk.ids()[0]]);
    assert!(history.contains("does not take it: the queue is full"), "{history}");
    let first = broker.management.take("orders", "ack_requeue_false");
    assert_eq!((first.len(), broker.dead().len()), (7, 5));

    desk.said(&["redrive", "--resume", &desk.ids()[0]]);
    let mut arrived = broker.arrived();
    assert_eq!((arrived.len(), broker.dead().len()), (5, 0));
    arrived.extend(first);
    assert!(all.iter().all(|name| arrived.get(name) == Some(&1)), "{arrived:?}");
}
