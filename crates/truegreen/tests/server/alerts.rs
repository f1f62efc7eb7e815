//! Findings reach Alertmanagers and webhooks, through failures.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use truegreen::alert::Alerts;
use truegreen::config::{AlertKind, AlertTarget};
use truegreen::metrics::Metrics;
use truegreen_connect::SystemConfig;
use truegreen_connect::address::{Address, Surroundings};
use truegreen_model::diagnosis::{Brief, Certainty};
use truegreen_model::report::FindingReport;

use crate::support::{PATIENCE, PROTOBUF, TestServer, placed, span, traces};

/// One request as it arrived.
pub(crate) struct Posted {
    path: String,
    authorization: Option<String>,
    pub(crate) body: Value,
}

/// A receiver that answers with these statuses, then with 200.
pub(crate) fn receiver(statuses: &'static [u16]) -> (String, Receiver<Posted>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, posted) = channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter();
        for stream in listener.incoming() {
            let status = statuses.next().copied().unwrap_or(200);
            let mut stream = stream.unwrap();
            let request = read_request(&mut BufReader::new(&stream));
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (address, posted)
}

fn read_request(stream: &mut impl BufRead) -> Posted {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        lines.iter().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    let path = lines[0].split(' ').nth(1).unwrap().to_owned();
    Posted { path, authorization: header("authorization"), body: serde_json::from_slice(&body).unwrap_or_default() }
}

fn finding(id: &str, status: &str) -> FindingReport {
    FindingReport {
        id: id.to_owned(),
        kind: "loss".to_owned(),
        flow: "orders".to_owned(),
        after: Some("placed".to_owned()),
        before: Some("shipped".to_owned()),
        count: 3,
        onset: "2026-01-01T10:00:00Z".to_owned(),
        first_seen: "2026-01-01T10:00:30Z".to_owned(),
        last_seen: "2026-01-01T10:01:00Z".to_owned(),
        status: status.to_owned(),
        examples: vec!["o-1".to_owned()],
        title: "3 orders vanished".to_owned(),
        ..FindingReport::default()
    }
}

fn start(kind: AlertKind, url: String) -> (Alerts, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    let alerts = Alerts::start(&[AlertTarget { kind, url }], "http://truegreen.example", metrics.clone()).unwrap();
    (alerts, metrics)
}

/// Scenario: the receiver answers 500 twice. Guarantee: the notice is delivered all the same, once, and counted.
#[test]
fn a_webhook_is_told_again_until_it_hears() {
    let (address, posted) = receiver(&[500, 503]);
    let (alerts, metrics) = start(AlertKind::Webhook, format!("http://me:secret@{address}/hook"));
    alerts.handle().opened(finding("a1", "open"));
    for _ in 0..3 {
        let request = posted.recv_timeout(PATIENCE).unwrap();
        assert_eq!(request.path, "/hook");
        assert_eq!(request.authorization.as_deref(), Some("Basic bWU6c2VjcmV0"));
        assert_eq!(request.body["event"], "finding_opened");
        assert_eq!(request.body["finding"]["id"], "a1");
        assert_eq!(request.body["url"], "http://truegreen.example/findings/a1");
    }
    alerts.handle().closed(finding("a1", "resolved"));
    assert_eq!(posted.recv_timeout(PATIENCE).unwrap().body["event"], "finding_closed");
    alerts.stop();
    assert_eq!((metrics.alerts_sent.get(), metrics.alert_retries.get()), (2, 2));
    assert!(posted.try_recv().is_err(), "nothing is told twice");
}

#[test]
fn a_notice_that_is_refused_for_good_is_dropped_and_counted() {
    let (address, posted) = receiver(&[404]);
    let (alerts, metrics) = start(AlertKind::Webhook, format!("http://{address}/"));
    alerts.handle().opened(finding("a1", "open"));
    alerts.handle().opened(finding("a2", "open"));
    assert_eq!(posted.recv_timeout(PATIENCE).unwrap().body["finding"]["id"], "a1");
    assert_eq!(posted.recv_timeout(PATIENCE).unwrap().body["finding"]["id"], "a2");
    alerts.stop();
    assert_eq!(metrics.alerts_dropped.get().get("refused"), Some(&1));
}

/// Scenario: a finding opens and closes at an Alertmanager that fails at first. Guarantee: the Watchdog always fires,
/// the finding fires under a stable set of labels, and ends when it closes.
#[test]
fn an_alertmanager_hears_of_openings_and_ends() {
    let (address, posted) = receiver(&[500]);
    let (alerts, _) = start(AlertKind::Alertmanager, format!("http://{address}/prefix"));
    let first = posted.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first.path, "/prefix/api/v2/alerts");
    assert_eq!(first.body[0]["labels"]["alertname"], "TruegreenWatchdog");

    alerts.handle().opened(finding("a1", "open"));
    let labels = until_told(&posted, |alert| alert["labels"]["finding"] == "a1")["labels"].clone();
    assert_eq!(labels["alertname"], "TruegreenFinding");
    assert_eq!(labels["flow"], "orders");
    assert_eq!(labels["kind"], "loss");
    assert_eq!(labels["hop"], "placed -> shipped");

    alerts.handle().closed(finding("a1", "resolved"));
    let ended = until_told(&posted, |alert| alert["labels"]["finding"] == "a1" && is_over(alert));
    assert_eq!(ended["labels"], labels, "the labels are the alert's identity");
    assert_eq!(ended["startsAt"], "2026-01-01T10:00:30Z");
    assert_eq!(ended["generatorURL"], "http://truegreen.example/findings/a1");
    alerts.stop();
}

fn diagnosed(id: &str) -> FindingReport {
    let brief = Brief {
        as_of: "2026-01-01T10:00:31Z".to_owned(),
        verdict: Certainty::Likely,
        says: "3 orders vanished; those with region = west fail".to_owned(),
        change: Some("shop 2.1 at 2026-01-01 09:58:00 UTC (90 %)".to_owned()),
        ..Brief::default()
    };
    FindingReport { diagnosis: Some(brief), ..finding(id, "open") }
}

/// Scenario: a finding opens, is explained, and closes. Guarantee: its opening waits for nobody; why it is there follows as an
/// event of its own, and stands in what is told of it later.
#[test]
fn why_follows_the_opening() {
    let (address, posted) = receiver(&[]);
    let (alerts, _) = start(AlertKind::Webhook, format!("http://{address}/"));
    alerts.handle().opened(finding("a1", "open"));
    alerts.handle().diagnosed(diagnosed("a1"));
    let opened = posted.recv_timeout(PATIENCE).unwrap().body;
    assert_eq!((opened["event"].as_str(), opened["finding"].get("diagnosis")), (Some("finding_opened"), None));
    let told = posted.recv_timeout(PATIENCE).unwrap().body;
    assert_eq!(told["event"], "finding_diagnosed");
    assert_eq!(told["text"], "LIKELY: 3 orders vanished; those with region = west fail.");
    assert_eq!(told["url"], "http://truegreen.example/findings/a1");
    assert_eq!(told["finding"]["diagnosis"]["verdict"], "LIKELY");
    assert_eq!(told["finding"]["diagnosis"]["change"], "shop 2.1 at 2026-01-01 09:58:00 UTC (90 %)");
    alerts.stop();
}

/// Guarantee: annotations of the alert that fires already say why; what is resolved does not fire again for it.
#[test]
fn an_alertmanager_is_told_why_while_it_fires() {
    let (address, posted) = receiver(&[]);
    let (alerts, _) = start(AlertKind::Alertmanager, format!("http://{address}"));
    alerts.handle().opened(finding("a1", "open"));
    alerts.handle().diagnosed(diagnosed("a1"));
    alerts.handle().opened(finding("a1", "open"));
    let is_it = |alert: &Value| alert["labels"]["finding"] == "a1";
    let told = until_told(&posted, |alert| is_it(alert) && alert["annotations"]["verdict"] == "LIKELY");
    assert_eq!(told["annotations"]["diagnosis"], "3 orders vanished; those with region = west fail");
    assert_eq!(told["annotations"]["page"], "http://truegreen.example/findings/a1");
    assert!(told["labels"].get("verdict").is_none(), "the labels are the alert's identity");
    alerts.handle().closed(finding("a1", "resolved"));
    let over = until_told(&posted, |alert| is_it(alert) && is_over(alert));
    assert_eq!(over["annotations"]["verdict"], "LIKELY");
    alerts.handle().diagnosed(diagnosed("a1"));
    alerts.handle().opened(finding("a2", "open"));
    let request = loop {
        let request = posted.recv_timeout(PATIENCE).unwrap();
        if request.body.as_array().unwrap().iter().any(|alert| alert["labels"]["finding"] == "a2") {
            break request;
        }
    };
    assert!(!request.body.as_array().unwrap().iter().any(|alert| is_it(alert) && !is_over(alert)));
    alerts.stop();
}

/// Scenario: a health check that nobody answers, then somebody. Guarantee: the webhook and the Alertmanager hear that the system
/// fails, with the reason, and that it works again.
#[test]
fn a_system_that_fails_reaches_its_receivers() {
    let (hooked, told) = receiver(&[]);
    let (managed, posted) = receiver(&[]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let _server = TestServer::watching(crate::support::CONTRACT, |config| {
        config.alerts.push(AlertTarget { kind: AlertKind::Webhook, url: format!("http://{hooked}/") });
        config.alerts.push(AlertTarget { kind: AlertKind::Alertmanager, url: format!("http://{managed}") });
        let url = Address::parse(&format!("http://shop:hidden@{address}/health"), &Surroundings).unwrap();
        config.systems.push(SystemConfig { every: Duration::from_millis(50), ..SystemConfig::new("payments", url) });
    });
    let fails = told.recv_timeout(PATIENCE).unwrap().body;
    assert_eq!((fails["event"].as_str(), fails["system"]["system"].as_str()), (Some("system_fails"), Some("payments")));
    assert!(fails["text"].as_str().unwrap().contains("cannot be reached") && !fails.to_string().contains("hidden"));
    let is_ours = |alert: &Value| alert["labels"]["alertname"] == "TruegreenSystem";
    let alert = until_told(&posted, is_ours);
    assert_eq!(alert["labels"]["system"], "payments");
    assert!(!is_over(&alert), "{alert:#}");

    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            read_request(&mut BufReader::new(&stream));
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
            // Whoever asked may have ended.
            let _told = stream.write_all(answer.as_bytes());
        }
    });
    let works = told.recv_timeout(PATIENCE).unwrap().body;
    assert_eq!(works["event"], "system_works", "{works:#}");
    until_told(&posted, |alert| is_ours(alert) && is_over(alert));
}

fn is_over(alert: &Value) -> bool {
    let ends: jiff::Timestamp = alert["endsAt"].as_str().unwrap().parse().unwrap();
    ends <= jiff::Timestamp::now()
}

fn until_told(posted: &Receiver<Posted>, fits: impl Fn(&Value) -> bool) -> Value {
    loop {
        let request = posted.recv_timeout(PATIENCE).unwrap();
        let alerts = request.body.as_array().unwrap();
        assert_eq!(alerts[0]["labels"]["alertname"], "TruegreenWatchdog", "it fires always");
        if let Some(found) = alerts.iter().find(|alert| fits(alert)) {
            return found.clone();
        }
    }
}

/// Scenario: nobody listens at the receiver's address. Guarantee: stopping does not wait for it.
#[test]
fn a_dead_receiver_does_not_hold_up_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (alerts, metrics) = start(AlertKind::Webhook, format!("http://{address}/"));
    alerts.handle().opened(finding("a1", "open"));
    alerts.stop();
    assert_eq!(metrics.alerts_sent.get(), 0);
}

/// Scenario: an order is placed and never shipped, while the shop goes on. Guarantee: the webhook is told which one.
#[test]
fn a_lost_order_reaches_the_webhook() {
    use prost::Message;
    let (address, posted) = receiver(&[]);
    let contract = "
flow: orders
key: order.id
start: {name: placed, span: place order, service: shop}
steps:
  - {name: shipped, span: ship order, service: shop, within: 1s}
grace: 100ms
";
    let target = AlertTarget { kind: AlertKind::Webhook, url: format!("http://{address}/") };
    let server = TestServer::watching(contract, |config| config.alerts.push(target));
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], &placed("o-lost", 1)).status, 200);
    let started = std::time::Instant::now();
    let told = loop {
        let heartbeat = traces(vec![span("heartbeat", "", 2)]).encode_to_vec();
        assert_eq!(server.post("/v1/traces", &[PROTOBUF], &heartbeat).status, 200);
        if let Ok(told) = posted.recv_timeout(std::time::Duration::from_millis(200)) {
            break told;
        }
        assert!(started.elapsed() < PATIENCE, "{:#}", server.get("/api/v1/report").json());
    };
    assert_eq!(told.body["event"], "finding_opened");
    assert_eq!(told.body["finding"]["kind"], "loss");
    assert_eq!(told.body["finding"]["examples"], serde_json::json!(["o-lost"]));
    let report = server.get("/api/v1/report").json();
    assert_eq!(
        (report["health"].as_str(), report["flows"]["orders"]["unaccounted"].as_u64()),
        (Some("BROKEN"), Some(1))
    );
}
