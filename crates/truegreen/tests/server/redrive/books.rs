//! Letters sent back on a real Redis while a real server keeps the books: the first few must have their effect there before
//! the rest goes, and each order is counted once, whatever its lives.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use prost::Message;
use serde_json::Value;
use truegreen_fixture::Redis;

use super::Desk;
use super::redis::Client;
use super::trial::body;
use crate::dead_letters::{CONTRACT, parked};
use crate::support::{PATIENCE, PROTOBUF, TestServer, span, traces};

const ORDERS: u8 = 12;
const CANARY: usize = 3;

/// Is shown an order that arrived, and its headers.
type Consumer = dyn FnMut(&mut Shop, &str, &[(String, String)]);

/// A shop: a queue, the letters that died of it, and the books.
struct Shop {
    server: TestServer,
    desk: Desk,
    client: Client,
    #[expect(dead_code, reason = "it ends with the shop")]
    redis: Redis,
}

impl Shop {
    /// Orders were placed, and each died.
    fn start() -> Shop {
        let redis = Redis::start().unwrap();
        let desk = Desk::at(&format!("{{url: '{}', dead_letters: [orders.dead], timeout: 20s}}", redis.url()));
        let mut client = Client::of(&redis);
        client.target();
        let server = TestServer::watching(CONTRACT, |_| {});
        let mut shop = Shop { server, desk, client, redis };
        for n in 1..=ORDERS {
            let order = format!("o-{n}");
            shop.die(&order, &[]);
            shop.tell(vec![span("place order", &order, n), parked(&order, 50 + n)]);
        }
        shop.books("their deaths", |books| books["dead_lettered"]["out_of_stock"] == ORDERS);
        shop
    }

    fn tell(&self, spans: Vec<opentelemetry_proto::tonic::trace::v1::Span>) {
        let answer = self.server.post("/v1/traces", &[PROTOBUF], &traces(spans).encode_to_vec());
        assert_eq!(answer.status, 200);
    }

    fn die(&mut self, order: &str, headers: &[(String, String)]) {
        let mut command = vec!["XADD".to_owned(), "orders.dead".into(), "*".into(), "body".into(), body(order)];
        command.extend(["original_stream".to_owned(), "orders".to_owned()]);
        command.extend(headers.iter().flat_map(|(name, value)| [name.clone(), value.clone()]));
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        assert_eq!(self.client.ask(&command).len(), 1);
    }

    fn books(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.server.until("/api/v1/report", what, |report| is_so(&report["flows"]["orders"]))["flows"]["orders"].clone()
    }

    /// What the redrive sent of each order, in the order of their arrival: its fields.
    fn entries(&mut self) -> Vec<(String, Vec<(String, String)>)> {
        let mut orders = Vec::new();
        // Ids of entries stand between their fields, which come in pairs.
        let mut texts = self.client.ask(&["XRANGE", "orders", "-", "+"]).into_iter();
        while let Some(text) = texts.next() {
            let is_id = text.split_once('-').is_some_and(|(a, b)| a.parse::<u64>().is_ok() && b.parse::<u64>().is_ok());
            if is_id {
                orders.push((String::new(), Vec::new()));
                continue;
            }
            let (value, last) = (texts.next().unwrap(), orders.last_mut().unwrap());
            if text == "body" {
                let body: Value = serde_json::from_str(&value).unwrap();
                last.0 = body["order"]["id"].as_str().unwrap().to_owned();
            } else {
                last.1.push((text, value));
            }
        }
        orders
    }

    /// Sends all back, with the books asked about the first few; `consume` is shown each order that arrives, once the command
    /// has said that it waits for these, at most for `patience`.
    fn redrive(&mut self, patience: &str, consume: &mut Consumer) -> Output {
        let url = format!("http://{}", self.server.web);
        let canary = CANARY.to_string();
        let mut command = self.desk.command(&["redrive", "--all", "--key", "$.order.id", "--rate", "all"]);
        command.args(["--canary", &canary, "--canary-for", patience, "--url", &url]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("waiting for their journeys") {
            line.clear();
            assert!(told.read_line(&mut line).unwrap() > 0, "it ended without asking the books");
        }
        assert_eq!(self.entries().len(), CANARY, "the first few go alone");
        let (mut seen, began) = (BTreeSet::new(), Instant::now());
        loop {
            let has_ended = child.try_wait().unwrap().is_some();
            for (order, headers) in self.entries() {
                if seen.insert(order.clone()) {
                    consume(self, &order, &headers);
                }
            }
            if has_ended {
                return child.wait_with_output().unwrap();
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// That the first few went and failed, and nothing else was touched.
    fn assert_rest_stays(&mut self, output: &Output, why: &str) {
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.code() == Some(1) && told.contains(why), "{output:?}");
        let record = self.desk.record(&self.desk.ids()[0]);
        assert_eq!(record["stopped"]["why"], "canary_failed", "{record}");
        let rest = usize::from(ORDERS) - CANARY;
        assert_eq!((&record["counts"]["done"], &record["counts"]["waiting"]), (&CANARY.into(), &rest.into()));
        assert_eq!(self.entries().len(), CANARY, "the rest stays");
        let books = self.books("no completion", |books| books["open"] == 0);
        assert_eq!((&books["completed"], &books["entered"]), (&0.into(), &ORDERS.into()), "{books}");
    }
}

fn number(order: &str) -> u8 {
    order.trim_start_matches("o-").parse().unwrap()
}

/// Scenario: the consumer was mended. Guarantee: the rest goes once the books say that the first few are completed, and each
/// order is counted once, as completed.
#[test]
fn the_rest_goes_once_the_books_complete_the_first_few() {
    let mut shop = Shop::start();
    let output =
        shop.redrive("1m", &mut |shop, order, _| shop.tell(vec![span("ship order", order, 100 + number(order))]));
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("the journeys of all 3 are completed in the books"), "{told}");
    let books = shop.books("their completion", |books| books["completed"] == ORDERS);
    assert_eq!((&books["entered"], &books["open"]), (&ORDERS.into(), &0.into()), "{books}");
    assert_eq!(books["dead_lettered"], serde_json::json!({}), "each is counted once: {books}");
    assert_eq!(shop.entries().len(), usize::from(ORDERS));
}

/// Scenario: the consumer fails as before, and puts the first few aside once more. Guarantee: the rest stays; and whoever sends
/// them back again is told that these were sent before, and by which redrive.
#[test]
fn the_rest_stays_where_the_first_few_die_again() {
    let mut shop = Shop::start();
    let output = shop.redrive("10s", &mut |shop, order, headers| {
        shop.tell(vec![parked(order, 100 + number(order))]);
        shop.die(order, headers);
    });
    shop.assert_rest_stays(&output, "of the first 3 lie dead again");
    let first = shop.desk.ids().remove(0);

    let dry = shop.desk.told(&["redrive", "--all", "--dry-run"]);
    assert!(dry.contains("3 were sent back before") && dry.contains(&first), "{dry}");
    let all: Value = serde_json::from_str(&shop.desk.said(&["list", "--json"])).unwrap();
    let letters = all["letters"].as_array().unwrap();
    assert_eq!(letters.len(), usize::from(ORDERS));
    let again = letters.last().unwrap()["id"].as_str().unwrap();
    let shown = shop.desk.told(&["show", again]);
    assert!(shown.contains("sent back") && shown.contains(&format!("truegreen dlq history {first}")), "{shown}");
    assert!(!shop.desk.told(&["show", letters[0]["id"].as_str().unwrap()]).contains("sent back"));

    let second = shop.desk.told(&["redrive", "--id", again, "--canary", "0"]);
    assert!(second.contains("1 was sent back before") && second.contains(&first), "{second}");
    let history = shop.desk.told(&["history", &shop.desk.ids()[0]]);
    assert!(history.contains(&format!("sent back before, by {first}")), "{history}");
}

/// Scenario: the consumer takes a message for bad and says nothing, as in `if !valid { return nil }`; its broker, its logs and
/// its dead letters are all green. Guarantee: the books do not show the orders as completed, so the rest stays.
#[test]
fn the_rest_stays_where_the_first_few_are_skipped_in_silence() {
    let mut shop = Shop::start();
    let output = shop.redrive("2s", &mut |_, _, _| {});
    shop.assert_rest_stays(&output, "0 of the first 3 are completed in time");
}
