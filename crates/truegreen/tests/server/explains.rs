//! Why a finding is there: of requests that were really sent, stored and read again.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;
use truegreen::config::{AlertKind, AlertTarget, Data};
use truegreen_connect::SystemConfig;
use truegreen_connect::address::{Address, Surroundings};

use crate::alerts::receiver;
use crate::incidents::{CONTRACT, cancelled};
use crate::support::{PATIENCE, PROTOBUF, TestServer, now_nanos, span, text, traces};

/// An order of a region that was placed, and then this.
fn order(id: u8, region: &str, then: &str) -> Vec<u8> {
    let key = format!("o-{id}");
    let mut spans = vec![span("place order", &key, id), span(then, &key, id)];
    spans[0].attributes.push(text("cloud.region", region));
    spans[1].span_id = vec![id, 1, 1, 1, 1, 1, 1, 1];
    spans[1].parent_span_id = vec![id; 8];
    spans[1].start_time_unix_nano += 500_000;
    traces(spans).encode_to_vec()
}

/// Scenario: orders of one region are cancelled without a reason, all others are shipped. Guarantee: the diagnosis names the
/// region, how many fail since when, and that telemetry of failing and healthy ones was compared; it is the same when asked
/// again, and reads the same on the command line.
#[test]
fn the_region_whose_orders_fail_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = Data { dir: dir.path().to_owned(), ..Data::default() };
    let server = TestServer::watching(CONTRACT, |config| config.data = Some(data));
    for id in 1..=60 {
        let fails = id % 4 == 0;
        let body = order(id, if fails { "west" } else { "east" }, if fails { "cancel order" } else { "ship order" });
        assert_eq!(server.post("/v1/traces", &[PROTOBUF], &body).status, 200);
    }
    let findings = server.until("/api/v1/findings", "fifteen", |answer| answer["findings"][0]["count"] == 15);
    let id = findings["findings"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/findings/{id}/diagnosis");
    let diagnosis = server.until(&path, "the requests", |answer| answer["compared"]["failing"] == 15);

    let condition = &diagnosis["difference"]["explanations"][0]["conditions"][0];
    assert_eq!((&condition["attribute"], &condition["value"]), (&"cloud.region".into(), &"west".into()), "{diagnosis}");
    assert_eq!(diagnosis["difference"]["explanations"][0]["failing_share"], 1.0);
    assert_eq!((&diagnosis["radius"]["reach"], &diagnosis["radius"]["keys"]), (&"subset".into(), &15.into()));
    assert_eq!(diagnosis["onset"]["goes_on"], "yes");
    assert_eq!(diagnosis["cause"]["kind"], "no_reason");
    assert_ne!(diagnosis["verdict"], "INCONCLUSIVE", "{diagnosis}");
    assert_eq!(diagnosis["questions"].as_array().unwrap().len(), 7);
    assert_eq!(server.get(&path).json(), diagnosis);

    let told = truegreen(&["diagnose", &id, "--url", &format!("http://{}", server.web)]);
    assert!(told.contains("those with cloud.region = west fail"), "{told}");
    assert_eq!(server.get("/api/v1/findings/0000000000000000/diagnosis").status, 404);
}

/// An order that was placed then and asked the stock, which took so many milliseconds.
fn order_with_stock(id: u64, placed: u64, stock_millis: u64, then: &str) -> ExportTraceServiceRequest {
    const MILLI: u64 = 1_000_000;
    let key = format!("o-{id}");
    let part = |name: &str, own: u8, from: u64, until: u64| Span {
        trace_id: u128::from(id + 1).to_be_bytes().to_vec(),
        span_id: vec![own; 8],
        parent_span_id: if own == 1 { Vec::new() } else { vec![1; 8] },
        start_time_unix_nano: placed + from * MILLI,
        end_time_unix_nano: placed + until * MILLI,
        ..span(name, &key, own)
    };
    let all = stock_millis + 3;
    let mut request = traces(vec![part("place order", 1, 0, all), part(then, 3, all - 1, all)]);
    let mut stock = traces(vec![part("reserve", 2, 1, 1 + stock_millis)]).resource_spans.remove(0);
    stock.resource.as_mut().unwrap().attributes = vec![text("service.name", "stock")];
    request.resource_spans.push(stock);
    request
}

/// Scenario: half an hour of orders. From the twentieth minute on three times as many come in, the stock takes fifty times as
/// long to answer, and they are cancelled without a reason. Guarantee: both are told, with what was before.
#[test]
fn what_goes_otherwise_than_before_is_told() {
    const SECOND: u64 = 1_000_000_000;
    let dir = tempfile::tempdir().unwrap();
    let data = Data { dir: dir.path().to_owned(), ..Data::default() };
    let server = TestServer::watching(CONTRACT, |config| config.data = Some(data));
    let begins = (now_nanos() / (60 * SECOND) - 31) * 60 * SECOND;
    let before = (0..1_200).step_by(10).map(|second| (second, 1, "ship order"));
    let since = (1_200..1_800).step_by(3).map(|second| (second, 50, "cancel order"));
    for (id, (second, millis, then)) in before.chain(since).enumerate() {
        let body = order_with_stock(id as u64, begins + second * SECOND, millis, then).encode_to_vec();
        assert_eq!(server.post("/v1/traces", &[PROTOBUF], &body).status, 200);
    }
    let of_all = |answer: &Value| {
        answer["findings"].as_array().and_then(|all| all.iter().find(|one| one["count"] == 200)).cloned()
    };
    let findings = server.until("/api/v1/findings", "two hundred", |answer| of_all(answer).is_some());
    let id = of_all(&findings).unwrap()["id"].as_str().unwrap().to_owned();
    let diagnosis = server.get(&format!("/api/v1/findings/{id}/diagnosis")).json();
    let question = |at: usize| {
        let question = &diagnosis["questions"][at];
        let evidence = question["evidence"].as_array().unwrap().iter().filter_map(Value::as_str);
        (question["answer"].as_str().unwrap(), evidence.collect::<Vec<_>>().join("\n"))
    };
    let (shifted, evidence) = question(1);
    assert!(
        shifted == "yes" && evidence.contains("more journeys enter `orders`: 20 a minute, 6 before"),
        "{diagnosis:#}"
    );
    let (otherwise, evidence) = question(4);
    assert!(otherwise == "yes" && evidence.contains("shop to stock: takes 50.0 ms since "), "{diagnosis:#}");
    assert!(evidence.contains(", 1.0 ms before"), "{evidence}");
}

fn truegreen(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_truegreen")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Scenario: a finding opens and then grows tenfold, and nobody asks why. Guarantee: whoever is alerted is told why, after the
/// opening and again once it has grown; lists, pages and the terminal tell it too; and none of them tells a secret.
#[test]
fn whoever_is_woken_is_told_why_without_asking() {
    let dir = tempfile::tempdir().unwrap();
    let data = Data { dir: dir.path().to_owned(), ..Data::default() };
    let (address, posted) = receiver(&[]);
    let server = TestServer::watching(CONTRACT, |config| {
        config.data = Some(data);
        config.alerts.push(AlertTarget { kind: AlertKind::Webhook, url: format!("http://{address}/") });
    });
    let send = |id: u8| {
        let fails = id.is_multiple_of(2);
        let key = format!("o-{id}");
        let (region, then) = if fails { ("west", "cancel order") } else { ("east", "ship order") };
        let mut spans = vec![span("place order", &key, id), span(then, &key, id)];
        // What sets them apart just as well, and is nobody's business.
        let token = if fails { "hunter2" } else { "other" };
        spans[0].attributes.extend([text("api_token", token), text("cloud.region", region)]);
        spans[1].span_id = vec![id, 1, 1, 1, 1, 1, 1, 1];
        spans[1].parent_span_id = vec![id; 8];
        spans[1].start_time_unix_nano += 500_000;
        assert_eq!(server.post("/v1/traces", &[PROTOBUF], &traces(spans).encode_to_vec()).status, 200);
    };
    let mut told = Vec::new();
    // What else is found of so many cancellations is another finding.
    let mut until = |fits: &dyn Fn(&Value) -> bool| loop {
        let body = posted.recv_timeout(PATIENCE).unwrap().body;
        told.push(body.to_string());
        if fits(&body) {
            break body;
        }
    };
    (1..=24).for_each(send);
    let opened = until(&|_| true);
    assert_eq!(opened["event"], "finding_opened");
    let id = opened["finding"]["id"].as_str().unwrap();
    let is_diagnosed = |body: &Value| body["event"] == "finding_diagnosed" && body["finding"]["id"] == id;
    let count = |body: &Value| body["finding"]["count"].as_u64().unwrap();
    let first = until(&is_diagnosed);
    assert!(count(&first) <= 12, "{first:#}");
    assert_ne!(first["finding"]["diagnosis"]["verdict"], "INCONCLUSIVE", "that wakes nobody");
    (25..=250).for_each(send);
    let second = until(&is_diagnosed);
    assert!(count(&second) >= 10 * count(&first), "{second:#}");
    let why = &second["finding"]["diagnosis"];
    assert!(why["explanation"].as_str().unwrap().starts_with("cloud.region = west: 100 %"), "{why:#}");
    assert_ne!(why["verdict"], "INCONCLUSIVE");

    assert!(second["url"].as_str().unwrap().ends_with(&format!("/findings/{id}")));
    let report = server.get("/api/v1/report").json();
    let known = report["findings"].as_array().unwrap().iter().find(|finding| finding["id"] == id).unwrap();
    assert!(known["diagnosis"]["says"].as_str().unwrap().contains("those with cloud.region = west"), "{known:#}");
    let (page, front) = (server.get(&format!("/findings/{id}")).text(), server.get("/").text());
    for part in ["Why", "What is different", "How far it reaches", "Since when", "What changed", "What one asks first"]
    {
        assert!(page.contains(&format!("<h2>{part}</h2>")), "{part}: {page}");
    }
    assert!(page.contains("cloud.region = west") && page.contains("/journeys/orders/o%2D"), "{page}");
    assert!(front.contains(&format!("href=\"/findings/{id}\"")) && front.contains("cloud.region = west"), "{front}");
    let status = truegreen(&["status", "--url", &format!("http://{}", server.web)]);
    assert!(status.contains(&format!("finding {id}")) && status.contains("those with cloud.region = west"), "{status}");
    for text in told.iter().chain([&page, &front, &status]) {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(server.metric("truegreen_diagnoses_total") >= 2);
}

/// Scenario: what orders need fails by its own word while they fail. Guarantee: the diagnosis says so, as evidence and as an
/// answer to what dependencies do.
#[test]
fn a_system_that_fails_meanwhile_is_evidence() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health", closed.local_addr().unwrap());
    drop(closed);
    let dir = tempfile::tempdir().unwrap();
    let data = Data { dir: dir.path().to_owned(), ..Data::default() };
    let server = TestServer::watching(CONTRACT, |config| {
        config.data = Some(data);
        let address = Address::parse(&url, &Surroundings).unwrap();
        let mut stock = SystemConfig { every: Duration::from_millis(50), ..SystemConfig::new("stock", address) };
        stock.used_by = vec!["shop".to_owned()];
        config.systems.push(stock);
    });
    server.until("/api/v1/probes", "a failure", |answer| answer["probes"][0]["standing"] == "fail");
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], &cancelled("o-1", 1)).status, 200);
    let findings = server.until("/api/v1/findings", "a finding", |answer| answer["findings"][0]["count"] == 1);
    let id = findings["findings"][0]["id"].as_str().unwrap();
    let diagnosis = server.get(&format!("/api/v1/findings/{id}/diagnosis")).json();
    let system = &diagnosis["systems"][0];
    assert_eq!((system["system"].as_str(), system["explains"].as_bool()), (Some("stock"), Some(true)), "{diagnosis:#}");
    assert!(system["says"].as_str().unwrap().contains("`stock` (http) fails"), "{system}");
}
