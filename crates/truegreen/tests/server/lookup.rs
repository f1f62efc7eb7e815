//! One order followed end to end, over a log that was written before, and over what arrives.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use serde_json::{Value, json};
use truegreen::config::{Data, Retention};
use truegreen_model::time::Timestamp;
use truegreen_store::{Kind, Log};

use crate::support::{PROTOBUF, TestServer, now_nanos, placed, text};

/// An order is placed in the shop and leaves the depot within a second.
const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, span: place order, service: shop}
steps:
  - {name: shipped, span: ship order, service: depot, kind: client, within: 1s}
exits:
  - {name: refused, log: order.refused, service: depot, reason: {attribute: reason}}
grace: 0s
";

const SECOND: u64 = 1_000_000_000;

/// A history that is written to a log before a server starts on it, so that nothing is waited for.
pub(crate) struct History {
    log: Log,
    /// When it begins: long enough ago for every verdict.
    start: u64,
}

impl History {
    pub(crate) fn begin(dir: &Path) -> History {
        History { log: Log::open(dir, truegreen_store::Options::default()).unwrap(), start: now_nanos() - 900 * SECOND }
    }

    /// So many milliseconds after the beginning.
    fn at(&self, millis: u64) -> u64 {
        self.start + millis * 1_000_000
    }

    pub(crate) fn spans(&mut self, millis: u64, service: &str, spans: Vec<Span>) {
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let group = ResourceSpans { resource: Some(resource(service)), scope_spans, ..ResourceSpans::default() };
        let body = ExportTraceServiceRequest { resource_spans: vec![group] }.encode_to_vec();
        self.log.append(Timestamp(self.at(millis)), Kind::Traces, &body).unwrap();
    }

    fn logs(&mut self, millis: u64, service: &str, log_records: Vec<LogRecord>) {
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        let group = ResourceLogs { resource: Some(resource(service)), scope_logs, ..ResourceLogs::default() };
        let body = ExportLogsServiceRequest { resource_logs: vec![group] }.encode_to_vec();
        self.log.append(Timestamp(self.at(millis)), Kind::Logs, &body).unwrap();
    }

    /// The depot lives on, and proves by it what it did not do.
    pub(crate) fn end(mut self) {
        for second in 5..60 {
            let mut heartbeat = self.span(200, second as u8, 0, "heartbeat", second * 1000, 1);
            heartbeat.trace_id[0] = second as u8;
            self.spans(second * 1000, "depot", vec![heartbeat]);
        }
        self.log.commit().unwrap();
    }

    pub(crate) fn span(&self, trace: u8, id: u8, parent: u8, name: &str, at: u64, millis: u64) -> Span {
        Span {
            trace_id: vec![trace; 16],
            span_id: vec![id; 8],
            parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
            name: name.to_owned(),
            kind: 1,
            start_time_unix_nano: self.at(at),
            end_time_unix_nano: self.at(at + millis),
            ..Span::default()
        }
    }

    /// An order that is placed and sent to the depot, which takes the message, looks into it, and does nothing.
    pub(crate) fn lose(&mut self, order: &str) {
        self.spans(0, "depot", vec![self.span(99, 1, 0, "heartbeat", 0, 1)]);
        let mut place = self.span(1, 1, 0, "place order", 1000, 40);
        place.attributes =
            vec![text("order.id", order), text("http.route", "/orders"), text("user.password", "hunter2")];
        let mut send = self.span(1, 2, 1, "send orders", 1010, 5);
        send.kind = 4;
        send.attributes = vec![text("messaging.message.id", "msg-7"), text("messaging.system", "rabbitmq")];
        let mut mail = self.span(1, 3, 1, "send mail", 1020, 10);
        mail.status = Some(Status { code: 2, message: "mailbox full".to_owned() });
        self.spans(1100, "shop", vec![place, send, mail]);

        let mut process = self.span(2, 4, 0, "process orders", 1100, 3);
        process.kind = 5;
        process.attributes = vec![text("messaging.message.id", "msg-7")];
        process.links = vec![Link { trace_id: vec![1; 16], span_id: vec![2; 8], ..Link::default() }];
        let look = self.span(2, 5, 4, "SELECT stock", 1101, 1);
        // Its parent never ends.
        let orphan = self.span(2, 6, 77, "compute", 1102, 0);
        self.spans(1200, "depot", vec![look, process, orphan]);
        self.logs(1300, "depot", vec![self.line(2, 4, 1102, "order is not valid", 13)]);
    }

    fn line(&self, trace: u8, span: u8, at: u64, body: &str, severity: i32) -> LogRecord {
        LogRecord {
            time_unix_nano: self.at(at),
            severity_number: severity,
            body: Some(AnyValue { value: Some(any_value::Value::StringValue(body.to_owned())) }),
            trace_id: vec![trace; 16],
            span_id: vec![span; 8],
            ..LogRecord::default()
        }
    }
}

fn resource(service: &str) -> Resource {
    let instance = format!("{service}-1");
    let attributes =
        vec![text("service.name", service), text("service.instance.id", &instance), text("host.name", "node-3")];
    Resource { attributes, ..Resource::default() }
}

fn server_on(dir: &Path) -> TestServer {
    watching_on(CONTRACT, dir)
}

fn watching_on(contract: &str, dir: &Path) -> TestServer {
    let data = Data { dir: dir.to_owned(), ..Data::default() };
    TestServer::watching(contract, |config| config.data = Some(data))
}

/// A server whose log tells of a lost order.
fn after_losing(order: &str) -> (tempfile::TempDir, TestServer) {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::begin(dir.path());
    history.lose(order);
    history.end();
    let server = server_on(dir.path());
    server.until("/api/v1/report", "the loss", |report| report["flows"]["orders"]["unaccounted"] == 1);
    until_indexed(&server);
    (dir, server)
}

fn until_indexed(server: &TestServer) {
    let started = std::time::Instant::now();
    while server.metric("truegreen_lookup_behind_requests") > 0 {
        assert!(started.elapsed() < crate::support::PATIENCE, "the index does not get on");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn trace(server: &TestServer, args: &[&str]) -> Output {
    let url = format!("http://{}", server.web);
    let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
    command.arg("trace").args(args).args(["--url", &url]).env_remove("TRUEGREEN_LOG").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Times as seconds since the journey entered, so that an answer is the same on every day.
fn timeless(answer: &mut Value, since: i128) {
    match answer {
        Value::String(text) => {
            if let Ok(at) = text.parse::<jiff::Timestamp>() {
                *text = format!("T{:+}ms", (at.as_nanosecond() - since) / 1_000_000);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| timeless(item, since)),
        Value::Object(map) => {
            map.remove("says");
            map.values_mut().for_each(|item| timeless(item, since));
        }
        _ => {}
    }
}

/// Scenario: the depot takes the message of an order, finds it not valid, and says so in a log line alone. Guarantee: the
/// answer holds every hop of both traces, the log line, and the gap: what was owed, when, by whom, and the verdict.
#[test]
fn a_lost_order_is_followed_to_its_gap() {
    let (_dir, server) = after_losing("o-1");
    let mut answer = server.get("/api/v1/trace/o-1").json();
    let says = answer["gaps"][0]["says"].as_str().unwrap().to_owned();
    assert!(says.contains("`shipped` was due at") && says.contains("unaccounted (vanished); depot owes it"), "{says}");
    let entered: jiff::Timestamp = answer["journeys"][0]["entered_at"].as_str().unwrap().parse().unwrap();
    timeless(&mut answer, entered.as_nanosecond());
    insta::assert_snapshot!(serde_json::to_string_pretty(&answer).unwrap());
    assert!(!server.get("/api/v1/trace/o-1").text().contains("hunter2"), "only known attributes are shown");
}

/// Guarantee: whatever one has of an order leads to the whole of it.
#[test]
fn a_trace_or_a_message_leads_to_its_order() {
    let (_dir, server) = after_losing("o-1");
    let by_key = server.get("/api/v1/trace/o-1?flow=orders").json();
    let first = "01".repeat(16);
    let traceparent = format!("00-{first}-0102030405060708-01");
    for (asked, how) in [
        (first.as_str(), "trace_id"),
        (traceparent.as_str(), "trace_id"),
        ("msg-7", "message_id"),
        ("02020202020202020202020202020202", "trace_id"),
    ] {
        let answer = server.get(&format!("/api/v1/trace/{asked}")).json();
        assert_eq!(answer["found_as"], json!([how]), "{asked}");
        assert_eq!(answer["journeys"], by_key["journeys"], "{asked}");
        assert_eq!(answer["gaps"], by_key["gaps"], "{asked}");
        assert_eq!(answer["spans"].as_array().unwrap().len(), 6, "{asked}: {answer:#}");
    }
    let journey = server.get("/api/v1/journeys/orders/o-1").json();
    assert_eq!(journey["gaps"], by_key["gaps"]);
}

#[test]
fn a_terminal_shows_the_gap() {
    let (_dir, server) = after_losing("o-1");
    let output = trace(&server, &["o-1"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for shown in [
        "o-1 in orders: UNACCOUNTED (vanished)",
        "✔ placed",
        "└ process orders",
        "✘ failed: mailbox full",
        "its parent was not seen",
        "WARN order is not valid",
        "MISSING (vanished), due",
        "/trace/o%2D1",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    assert!(!text.contains('\x1b'), "no colours but on a terminal");
    let report: Value = serde_json::from_slice(&trace(&server, &["o-1", "--flow", "orders", "--json"]).stdout).unwrap();
    assert_eq!(report["gaps"][0]["step"], "shipped");
}

#[test]
fn what_is_not_known_is_said() {
    let (_dir, server) = after_losing("o-1");
    for path in
        ["/api/v1/trace/o-2", "/api/v1/trace/o-1?flow=refunds", "/api/v1/trace/0af7651916cd43dd8448eb211c80319c"]
    {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["hint"].is_string(), "{path}");
    }
    assert_eq!(server.get(&format!("/api/v1/trace/{}", "x".repeat(2000))).status, 404);
    let output = trace(&server, &["o-2"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("nothing is known of \"o-2\"") && told.contains("hint:"), "{told}");
    let nowhere = Command::new(env!("CARGO_BIN_EXE_truegreen"))
        .args(["trace", "o-1", "--url", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(String::from_utf8(nowhere.stderr).unwrap().contains("hint:"));
}

/// Scenario: a key with markup and one with escape sequences. Guarantee: neither page nor terminal is steered, and both
/// are found.
#[test]
fn hostile_keys_are_shown_and_harmless() {
    let key = "<script>alert(1)</script>\x1b[2J\u{202e}\"'";
    let (_dir, server) = after_losing(key);
    let path = "%3Cscript%3Ealert%281%29%3C%2Fscript%3E%1B%5B2J%E2%80%AE%22%27";
    assert_eq!(server.get(&format!("/api/v1/trace/{path}")).json()["journeys"][0]["key"], key);
    let page = server.get(&format!("/trace/{path}"));
    assert_eq!(page.status, 200);
    assert!(!page.text().contains("<script") && page.text().contains("&lt;script&gt;"), "{}", page.text());
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(!server.get("/").text().contains("<script"));
    for args in [&[key][..], &[key, "--json"][..]] {
        let output = trace(&server, args);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(!text.contains(['\x1b', '\u{202e}']), "{text:?}");
    }
}

#[test]
fn the_page_of_a_lost_order_shows_its_waterfall() {
    let (_dir, server) = after_losing("o-1");
    let front = server.get("/").text();
    assert!(front.contains("href=\"/journeys/orders/o%2D1\""), "{front}");
    for path in ["/journeys/orders/o%2D1", "/trace/o-1", "/trace/msg-7"] {
        let page = server.get(path);
        let text = page.text();
        assert_eq!(page.status, 200, "{path}");
        for shown in ["class=\"waterfall\"", "class=\"missing\"", "process orders", "order is not valid", "MISSING"] {
            assert!(text.contains(shown), "{path}: {shown}: {text}");
        }
        assert!(!text.contains("<script") && !text.contains("style=\""), "the policy forbids them");
    }
    assert_eq!(server.get("/trace/o-2").status, 404);
    assert_eq!(server.get("/journeys/refunds/o-1").status, 404);
}

/// Scenario: orders arrive, and the server is stopped and started again, twice. Guarantee: the answers stay the same, and
/// what came before the restart is found by the index alone.
#[test]
fn answers_outlive_restarts() {
    let dir = tempfile::tempdir().unwrap();
    // Its second step is due in an hour: no verdict changes meanwhile.
    let mut server = watching_on(crate::support::CONTRACT, dir.path());
    for n in 1..=60 {
        assert_eq!(server.post("/v1/traces", &[PROTOBUF], &placed(&format!("o-{n}"), n)).status, 200);
    }
    server.until_entered(60);
    until_indexed(&server);
    let before = server.get("/api/v1/trace/o-17").json();
    assert_eq!(before["spans"].as_array().unwrap().len(), 1, "{before}");
    for _life in 0..2 {
        server.stop();
        server = watching_on(crate::support::CONTRACT, dir.path());
        server.until_entered(60);
        until_indexed(&server);
        let mut after = server.get("/api/v1/trace/o-17").json();
        // Only when a service was last heard is not the same.
        let mut before = before.clone();
        for answer in [&mut before, &mut after] {
            answer["gaps"][0]["owed_by"] = Value::Null;
            answer["gaps"][0]["says"] = Value::Null;
        }
        assert_eq!(after, before);
    }
    assert!(std::fs::read_dir(dir.path().join("index")).unwrap().count() > 0, "the index is kept");
}

/// Scenario: the engine has forgotten an order whose requests are still in the log. Guarantee: its passage is shown all
/// the same, and that its verdict is not known any more.
#[test]
fn a_forgotten_journey_is_shown_by_its_spans() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::begin(dir.path());
    history.lose("o-1");
    history.end();
    let data = Data { dir: dir.path().to_owned(), ..Data::default() };
    let server = TestServer::watching(CONTRACT, |config| {
        config.data = Some(data);
        config.retention = Retention(Duration::from_secs(120));
    });
    server.until("/api/v1/journeys/orders/o-1", "forgetting", |answer| answer["error"].is_string());
    until_indexed(&server);
    let answer = server.get("/api/v1/trace/o-1").json();
    assert_eq!(answer["journeys"], json!([]), "{answer:#}");
    assert_eq!(answer["found_as"], json!(["key"]));
    assert_eq!(answer["spans"].as_array().unwrap().len(), 6);
    let note = answer["notes"][0].as_str().unwrap();
    assert!(note.contains("no journey of this key is in memory any more"), "{note}");
    assert!(said(&trace(&server, &["o-1"])).contains("o-1 (key)"));
}

/// Scenario: a server that keeps no log. Guarantee: what the engine knows is shown, and what is missing is said.
#[test]
fn without_a_log_the_steps_are_shown() {
    let server = TestServer::start();
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], &placed("o-1", 1)).status, 200);
    server.until_entered(1);
    let answer = server.get("/api/v1/trace/o-1").json();
    assert_eq!(answer["journeys"][0]["seen"][0]["step"], "placed");
    assert_eq!((&answer["gaps"][0]["state"], &answer["spans"]), (&json!("awaited"), &json!([])));
    let text = said(&trace(&server, &["o-1"]));
    assert!(text.contains("✔ placed") && text.contains("awaited, due") && text.contains("no log is kept"), "{text}");
    let nothing = String::from_utf8(trace(&server, &["o-2"]).stderr).unwrap();
    assert!(nothing.contains("no log is kept"), "{nothing}");
}

/// Scenario: one trace of thousands of spans, and one key in hundreds of requests. Guarantee: the answer is bounded, what
/// showed steps is in it, and what is left out is counted.
#[test]
fn what_a_bound_leaves_out_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::begin(dir.path());
    history.lose("o-1");
    let many = |history: &History, from: u64, count: u64| -> Vec<Span> {
        let one = |n: u64| {
            let mut span = history.span(1, 9, 1, "SELECT more", 1010, 1);
            span.span_id = (from + n).to_be_bytes().to_vec();
            span
        };
        (1..=count).map(one).collect()
    };
    let spans = many(&history, 1000, 3000);
    history.spans(1400, "shop", spans);
    for n in 0..200 {
        let mut spans = many(&history, 10_000 + n, 1);
        spans[0].attributes = vec![text("order.id", "o-1")];
        history.spans(1500 + n, "shop", spans);
    }
    history.end();
    let server = server_on(dir.path());
    until_indexed(&server);
    let answer = server.get("/api/v1/trace/o-1").json();
    let cut = |what: &str| {
        let cuts = answer["cut"].as_array().unwrap();
        cuts.iter().find(|cut| cut["what"] == what).map_or(0, |cut| cut["count"].as_u64().unwrap())
    };
    assert_eq!(answer["spans"].as_array().unwrap().len(), 1000);
    assert!(cut("spans") > 2000 && cut("requests") > 20, "{}", answer["cut"]);
    assert_eq!(answer["spans"][0]["steps"][0]["step"], "placed");
    let text = said(&trace(&server, &["o-1"]));
    assert!(text.contains("not shown: ") && text.contains("MISSING"), "{text}");
    assert!(server.get("/trace/o-1").text().contains("Not shown: "));
}
