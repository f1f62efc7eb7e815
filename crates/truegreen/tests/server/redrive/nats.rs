//! Letters sent back on a real NATS JetStream, which drops a second one for as long as it remembers the first.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use truegreen_fixture::Nats;

use super::trial::{self, Bed, Copies, body, names};
use crate::support::PATIENCE;

/// Speaks just enough of the protocol to fill and read streams.
struct Client {
    stream: BufReader<TcpStream>,
    /// What came under another subject than the one that was waited for: subject and payload.
    early: VecDeque<(String, String)>,
}

const INBOX: &str = "_INBOX.trial";

impl Client {
    fn of(nats: &Nats) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", nats.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client { stream: BufReader::new(stream), early: VecDeque::new() };
        client.send("CONNECT {\"verbose\":false,\"headers\":true}\r\n");
        client.send(&format!("SUB {INBOX}.* 1\r\n"));
        client
    }

    fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The next that comes under this subject.
    fn message(&mut self, of: &str) -> String {
        if let Some(at) = self.early.iter().position(|(subject, _)| subject.ends_with(of)) {
            return self.early.remove(at).unwrap().1;
        }
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).unwrap() > 0, "it hung up");
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.first().copied() {
                Some("MSG" | "HMSG") => {
                    let headers = if words[0] == "HMSG" { words[words.len() - 2].parse().unwrap() } else { 0_usize };
                    let mut bytes = vec![0; words.last().unwrap().parse::<usize>().unwrap() + 2];
                    self.stream.read_exact(&mut bytes).unwrap();
                    let payload = String::from_utf8(bytes[headers..bytes.len() - 2].to_vec()).unwrap();
                    if words[1].ends_with(of) {
                        return payload;
                    }
                    self.early.push_back((words[1].to_owned(), payload));
                }
                Some("PING") => self.send("PONG\r\n"),
                Some("-ERR") => panic!("{line}"),
                _ => {}
            }
        }
    }

    fn ask(&mut self, question: &str, body: &Value) -> Value {
        let body = body.to_string();
        self.send(&format!("PUB $JS.API.{question} {INBOX}.answer {}\r\n{body}\r\n", body.len()));
        let answer: Value = serde_json::from_str(&self.message(".answer")).unwrap();
        assert!(answer.get("error").is_none(), "{question}: {answer}");
        answer
    }

    fn stream(&mut self, name: &str, subject: &str) {
        self.ask(&format!("STREAM.CREATE.{name}"), &json!({"name": name, "subjects": [subject], "storage": "file"}));
    }

    fn letter(&mut self, name: &str) {
        let (headers, body) = ("NATS/1.0\r\noriginal-subject: orders\r\n\r\n", body(name));
        let (head, whole) = (headers.len(), headers.len() + body.len());
        self.send(&format!("HPUB orders.dead {INBOX}.stored {head} {whole}\r\n{headers}{body}\r\n"));
        let stored = self.message(".stored");
        assert!(stored.contains("\"seq\""), "{stored}");
    }

    /// Every message of a stream, asked for one by one.
    fn all(&mut self, stream: &str) -> Copies {
        let state = self.ask(&format!("STREAM.INFO.{stream}"), &json!({}))["state"].clone();
        let (first, last) = (state["first_seq"].as_u64().unwrap(), state["last_seq"].as_u64().unwrap());
        let sequences: Vec<u64> = (first.max(1)..=last).collect();
        let mut bodies = Vec::new();
        for some in sequences.chunks(500) {
            for sequence in some {
                let body = format!("{{\"seq\":{sequence}}}");
                self.send(&format!("PUB $JS.API.STREAM.MSG.GET.{stream} {INBOX}.each {}\r\n{body}\r\n", body.len()));
            }
            for _ in some {
                let answer: Value = serde_json::from_str(&self.message(".each")).unwrap();
                match answer["message"]["data"].as_str() {
                    Some(data) => bodies.push(String::from_utf8(STANDARD.decode(data).unwrap()).unwrap()),
                    None => assert_eq!(answer["error"]["code"], 404, "{answer}"),
                }
            }
        }
        // Its own count is not right after a crash; what it gives out is.
        names(bodies.iter().map(String::as_str))
    }
}

struct JetStream {
    nats: Nats,
    client: Client,
}

impl JetStream {
    fn start() -> JetStream {
        let nats = Nats::start().unwrap();
        let mut client = Client::of(&nats);
        client.stream("ORDERS", "orders");
        client.stream("ORDERS_DEAD", "orders.dead");
        JetStream { nats, client }
    }
}

impl Bed for JetStream {
    const DROPS_A_SECOND: bool = true;
    const PLACE: &'static str = "ORDERS_DEAD";

    fn called(&self) -> String {
        "NATS JetStream".to_owned()
    }

    fn entry(&self) -> String {
        format!("{{url: '{}', dead_letters: [ORDERS_DEAD], timeout: 20s}}", self.nats.url())
    }

    fn die(&mut self, names: &[String]) {
        names.iter().for_each(|name| self.client.letter(name));
    }

    fn restart(&mut self) {
        self.nats.restart().unwrap();
        self.client = Client::of(&self.nats);
        // It answers before its streams are there again.
        let began = Instant::now();
        for stream in ["ORDERS", "ORDERS_DEAD"] {
            loop {
                self.client.send(&format!("PUB $JS.API.STREAM.INFO.{stream} {INBOX}.answer 0\r\n\r\n"));
                if self.client.message(".answer").contains("\"state\"") {
                    break;
                }
                assert!(began.elapsed() < PATIENCE, "{stream} does not come back");
                std::thread::park_timeout(std::time::Duration::from_millis(20));
            }
        }
    }

    fn dead(&mut self) -> Copies {
        self.client.all("ORDERS_DEAD")
    }

    fn arrived(&mut self) -> Copies {
        self.client.all("ORDERS")
    }
}

#[test]
fn nats_jetstream() {
    trial::stand(&mut JetStream::start());
}
