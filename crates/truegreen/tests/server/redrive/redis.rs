//! Letters sent back on a real Redis, which drops a second one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use truegreen_fixture::Redis;

use super::Desk;
use super::trial::{self, Bed, Copies, body, names};
use crate::support::PATIENCE;

/// Speaks just enough of the protocol to fill and count streams.
pub(super) struct Client(BufReader<TcpStream>);

impl Client {
    pub(super) fn of(redis: &Redis) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client(BufReader::new(stream));
        // It takes connections while it still reads its log.
        let began = std::time::Instant::now();
        while client.ask(&["PING"]) != ["PONG"] {
            assert!(began.elapsed() < PATIENCE, "it does not come back");
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        client
    }

    fn send(&mut self, arguments: &[&str]) {
        let mut text = format!("*{}\r\n", arguments.len());
        arguments.iter().for_each(|argument| text.push_str(&format!("${}\r\n{argument}\r\n", argument.len())));
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// Every text in the answer, however nested.
    fn answer(&mut self) -> Vec<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "*" => (0..rest.parse::<i64>().unwrap().max(0)).flat_map(|_| self.answer()).collect(),
            "$" => {
                let length: i64 = rest.parse().unwrap();
                let mut bytes = vec![0; usize::try_from(length.max(-2) + 2).unwrap()];
                self.0.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                vec![String::from_utf8(bytes).unwrap()]
            }
            _ => vec![rest.to_owned()],
        }
    }

    pub(super) fn ask(&mut self, arguments: &[&str]) -> Vec<String> {
        self.send(arguments);
        self.answer()
    }

    fn letter(&mut self, n: usize) {
        let body = format!("{{\"type\":\"OrderPlaced\",\"order\":{{\"id\":\"o-{n}\"}},\"password\":\"hunter2\"}}");
        let error = if n.is_multiple_of(3) { "com.shop.OutOfStock" } else { "java.net.SocketTimeoutException" };
        let fields = ["body", &body, "original_stream", "orders", "error_type", error, "error", "none left"];
        let mut command = vec!["XADD", "orders.dead", "*"];
        command.extend(fields);
        assert_eq!(self.ask(&command).len(), 1);
    }

    /// A stream to send to must be there.
    pub(super) fn target(&mut self) {
        self.ask(&["XADD", "orders", "1-1", "body", "{}"]);
        self.ask(&["XDEL", "orders", "1-1"]);
    }

    pub(super) fn bodies(&mut self, stream: &str) -> Copies {
        let texts = self.ask(&["XRANGE", stream, "-", "+"]);
        names(texts.iter().map(String::as_str).filter(|text| text.starts_with('{')))
    }

    fn count(&mut self, stream: &str) -> usize {
        self.ask(&["XLEN", stream])[0].parse().unwrap()
    }
}

struct Streams {
    redis: Redis,
    client: Client,
}

impl Bed for Streams {
    const DROPS_A_SECOND: bool = true;

    fn called(&self) -> String {
        "Redis".to_owned()
    }

    fn entry(&self) -> String {
        format!("{{url: '{}', dead_letters: [orders.dead], timeout: 20s}}", self.redis.url())
    }

    fn die(&mut self, names: &[String]) {
        for name in names {
            self.client.send(&["XADD", "orders.dead", "*", "body", &body(name), "original_stream", "orders"]);
        }
        names.iter().for_each(|_| assert_eq!(self.client.answer().len(), 1));
    }

    fn restart(&mut self) {
        self.redis.restart().unwrap();
        self.client = Client::of(&self.redis);
    }

    fn dead(&mut self) -> Copies {
        self.client.bodies("orders.dead")
    }

    fn arrived(&mut self) -> Copies {
        self.client.bodies("orders")
    }
}

#[test]
fn redis_streams() {
    let redis = Redis::start_durable().unwrap();
    let mut client = Client::of(&redis);
    client.target();
    trial::stand(&mut Streams { redis, client });
}

/// Scenario: a person at two in the morning looks, edits one letter, tries a dry run, sends the first few without a server
/// that could tell, vouches for them, and throws the rest away.
#[test]
fn from_the_first_look_to_the_last_letter() {
    let redis = Redis::start().unwrap();
    let desk = Desk::at(&format!("{{url: '{}', dead_letters: [orders.dead], timeout: 5s}}", redis.url()));
    let mut client = Client::of(&redis);
    (0..9).for_each(|n| client.letter(n));
    client.target();

    let groups: Value = serde_json::from_str(&desk.said(&["groups", "--json"])).unwrap();
    let groups = &groups["places"][0]["groups"];
    assert_eq!((&groups[0]["letters"], &groups[1]["letters"]), (&6.into(), &3.into()), "{groups}");
    let found: Value = serde_json::from_str(&desk.said(&["search", "o-4", "--json"])).unwrap();
    let id = found["letters"][0]["id"].as_str().unwrap().to_owned();
    assert!(!desk.said(&["search", "hunter2"]).contains("OrderPlaced"), "a secret is not found");
    let shown = desk.said(&["show", &id]);
    assert!(shown.contains("\"id\": \"o-4\"") && !shown.contains("hunter2"), "{shown}");
    desk.said(&["edit", &id, "--set", "$.order.id=\"o-4-mended\""]);

    let out_of_stock = ["--error", "java.net.SocketTimeoutException"];
    let dry = desk.said(&["redrive", out_of_stock[0], out_of_stock[1], "--dry-run"]);
    assert!(
        dry.contains("6 would be sent back") && dry.contains("edited") && dry.contains("Nothing was changed"),
        "{dry}"
    );
    assert_eq!((client.count("orders"), client.count("orders.dead")), (0, 9));

    // Nothing listens at that address.
    let send = [
        "redrive",
        out_of_stock[0],
        out_of_stock[1],
        "--canary",
        "2",
        "--canary-for",
        "100ms",
        "--url",
        "http://127.0.0.1:9",
    ];
    let first = desk.run(&send);
    let told = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(first.status.code() == Some(1) && told.contains("--resume"), "{told}");
    assert_eq!((client.count("orders"), client.count("orders.dead")), (2, 7));
    let resumed = desk.said(&["redrive", "--resume", &desk.ids()[0], "--url", "http://127.0.0.1:9"]);
    assert!(resumed.contains("sent back 6 of 6 letters"), "{resumed}");
    assert_eq!((client.count("orders"), client.count("orders.dead")), (6, 3));
    let sent = client.ask(&["XRANGE", "orders", "-", "+"]).join("\n");
    assert!(
        sent.contains("o-4-mended") && sent.contains("truegreen-edited") && sent.contains("truegreen-redrive-of"),
        "{sent}"
    );

    assert_eq!(desk.run(&["discard", "--all"]).status.code(), Some(1), "not without being asked");
    assert_eq!(client.count("orders.dead"), 3);
    desk.said(&["discard", "--all", "--yes"]);
    assert_eq!((client.count("orders"), client.count("orders.dead")), (6, 0));
    let discard = &desk.ids()[0];
    let record: Value = serde_json::from_str(&desk.said(&["history", discard, "--json"])).unwrap();
    let kept = record["letters"][0]["letter"].as_str().unwrap();
    assert!(desk.said(&["history", discard, "--letter", kept, "--raw"]).contains("hunter2"), "kept whole");
    assert!(!desk.said(&["history", discard, "--letter", kept]).contains("hunter2"));
}
