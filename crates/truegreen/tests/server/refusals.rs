//! What cannot be taken: refused with the right words, counted, and survived (SEMANTICS, Refusals).

use crate::support::{GRPC, JSON, PROTOBUF, TRACES, TestServer, framed, gzip, placed, span, traces};
use prost::Message;
use std::io::{Read, Write};

struct Case {
    what: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    status: u16,
    reason: &'static str,
    says: &'static str,
}

fn case(
    what: &'static str,
    path: &'static str,
    headers: &[(&'static str, &'static str)],
    body: Vec<u8>,
    expected: (u16, &'static str, &'static str),
) -> Case {
    let (status, reason, says) = expected;
    Case { what, path, headers: headers.to_vec(), body, status, reason, says }
}

/// Scenario: every way in which an HTTP request can be wrong. Guarantee: status, words and counter are right, no retry
/// is asked for, and the server goes on.
#[test]
fn http_requests_that_are_wrong_are_refused_and_counted() {
    let server = TestServer::with(|config| config.limits.body_bytes = 64 << 10);
    let whole = placed("o-1", 1);
    let cut = whole[..whole.len() - 5].to_vec();
    let large = vec![0; (64 << 10) + 1];
    let bomb = gzip(&vec![0; 8 << 20]);
    assert!(bomb.len() < 64 << 10);
    let cut_gzip = gzip(&whole)[..40].to_vec();
    let gzipped = [PROTOBUF, ("content-encoding", "gzip")];
    let cases = [
        case("garbage", "/v1/traces", &[PROTOBUF], vec![0xff; 50], (400, "malformed", "malformed")),
        case("truncated", "/v1/traces", &[PROTOBUF], cut, (400, "malformed", "malformed")),
        case("truncated gzip", "/v1/traces", &gzipped, cut_gzip, (400, "malformed", "decompress")),
        case("no JSON", "/v1/logs", &[JSON], b"{\"resourceLogs\": [".to_vec(), (400, "malformed", "malformed")),
        case("oversized", "/v1/traces", &[PROTOBUF], large, (413, "oversized", "64 KiB")),
        case("bomb", "/v1/metrics", &gzipped, bomb, (413, "oversized", "64 KiB")),
        case("text", "/v1/traces", &[("content-type", "text/plain")], vec![], (415, "content_type", "hint")),
        case("no type", "/v1/traces", &[], vec![], (415, "content_type", "application/x-protobuf")),
        case(
            "brotli",
            "/v1/traces",
            &[PROTOBUF, ("content-encoding", "br")],
            vec![],
            (415, "content_encoding", "gzip"),
        ),
        case("path", "/v1/profiles", &[PROTOBUF], vec![], (404, "unknown_path", "/v1/traces")),
        case("gRPC by HTTP/1", TRACES, &[GRPC], framed(false, &[]), (415, "content_type", "HTTP/2")),
    ];
    for case in cases {
        let counter = format!("truegreen_refused_requests_total{{reason=\"{}\"}}", case.reason);
        let before = server.metric(&counter);
        let answer = server.post(case.path, &case.headers, &case.body);
        let (what, said) = (case.what, answer.text());
        assert_eq!(answer.status, case.status, "{what}: {said}");
        assert!(said.contains(case.says), "{what}: {said}");
        assert_eq!(answer.header("retry-after"), "", "{what}: no retry can help");
        let asked_for_protobuf = case.headers.contains(&PROTOBUF) && case.status != 404;
        let expected = if asked_for_protobuf { PROTOBUF.1 } else { JSON.1 };
        assert_eq!(answer.header("content-type"), expected, "{what}");
        assert_eq!(server.metric(&counter), before + 1, "{what}");
        server.assert_goes_on();
    }
}

#[test]
fn another_method_than_post_is_refused() {
    let server = TestServer::start();
    let answer = ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build())
        .get(format!("http://{}/v1/traces", server.http))
        .call()
        .unwrap();
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()["allow"], "POST");
    assert_eq!(server.metric("truegreen_refused_requests_total{reason=\"method\"}"), 1);
    server.assert_goes_on();
}

/// Scenario: the ways in which a gRPC call can be wrong. Guarantee: as for HTTP, with gRPC's codes.
#[test]
fn grpc_calls_that_are_wrong_are_refused_and_counted() {
    let server = TestServer::with(|config| config.limits.body_bytes = 64 << 10);
    let whole = placed("o-1", 1);
    let (invalid, unimplemented) = ("3", "12");
    let gzipped = [GRPC, ("grpc-encoding", "gzip")];
    let cases = [
        ("garbage", TRACES, vec![GRPC], framed(false, &[0xff; 40]), invalid, "malformed"),
        ("cut", TRACES, vec![GRPC], framed(false, &whole[..whole.len() - 3]), invalid, "malformed"),
        ("framing", TRACES, vec![GRPC], vec![0, 0, 0], invalid, "malformed"),
        ("length", TRACES, vec![GRPC], vec![0, 0, 0, 0, 9, 1], invalid, "malformed"),
        ("no encoding", TRACES, vec![GRPC], framed(true, &gzip(&whole)), invalid, "malformed"),
        ("oversized", TRACES, vec![GRPC], framed(false, &vec![0; 65 << 10]), invalid, "oversized"),
        ("bomb", TRACES, gzipped.to_vec(), framed(true, &gzip(&vec![0; 8 << 20])), invalid, "oversized"),
        (
            "method",
            "/opentelemetry.proto.collector.trace.v1.TraceService/Import",
            vec![GRPC],
            framed(false, &[]),
            unimplemented,
            "unknown_path",
        ),
        ("service", "/grpc.health.v1.Health/Check", vec![GRPC], framed(false, &[]), unimplemented, "unknown_path"),
        (
            "snappy",
            TRACES,
            vec![GRPC, ("grpc-encoding", "snappy")],
            framed(true, &whole),
            unimplemented,
            "content_encoding",
        ),
    ];
    for (what, path, headers, body, status, reason) in cases {
        let counter = format!("truegreen_refused_requests_total{{reason=\"{reason}\"}}");
        let before = server.metric(&counter);
        let answer = server.grpc(path, &headers, body);
        assert_eq!(answer.status, status, "{what}: {}", answer.message);
        assert!(!answer.message.is_empty(), "{what}");
        assert!(!String::from_utf8_lossy(&answer.details).contains("RetryInfo"), "{what}: no retry can help");
        assert_eq!(server.metric(&counter), before + 1, "{what}");
    }
    assert_eq!(server.grpc(TRACES, &[GRPC], framed(false, &whole)).status, "0");
}

/// Scenario: the bytes that may be in flight are used up by a body that never ends. Guarantee: the next sender is told
/// to retry, and is taken once the bytes are free again.
#[test]
fn a_full_house_asks_for_a_retry() {
    let server = TestServer::with(|config| {
        config.limits.body_bytes = 64 << 10;
        config.limits.in_flight_bytes = 64 << 10;
    });
    let mut endless = std::net::TcpStream::connect(&server.http).unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ncontent-length: 65536\r\n\r\n";
    endless.write_all(head.as_bytes()).unwrap();
    endless.write_all(&vec![0; 60 << 10]).unwrap();
    let started = std::time::Instant::now();
    while server.metric("truegreen_in_flight_bytes") < 60 << 10 {
        assert!(started.elapsed() < crate::support::PATIENCE);
    }
    let many = traces((0..200).map(|n| span("place order", "o", n as u8 + 1)).collect()).encode_to_vec();
    assert!(many.len() > 4 << 10);

    let answer = server.post("/v1/traces", &[PROTOBUF], &many);
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), "1");
    assert!(answer.text().contains("google.rpc.RetryInfo"));
    let answer = server.grpc(TRACES, &[GRPC], framed(false, &many));
    assert_eq!(answer.status, "8");
    assert!(String::from_utf8_lossy(&answer.details).contains("google.rpc.RetryInfo"));

    drop(endless);
    let started = std::time::Instant::now();
    while server.post("/v1/traces", &[PROTOBUF], &many).status != 200 {
        assert!(started.elapsed() < crate::support::PATIENCE);
    }
}

/// Scenario: a body far beyond the bound, over one HTTP/1 connection. Guarantee: its sender reads 413 rather than a
/// broken connection, which it would take for a reason to retry for ever.
#[test]
fn an_oversized_body_is_answered_not_cut_off() {
    let server = TestServer::with(|config| config.limits.body_bytes = 64 << 10);
    let mut stream = std::net::TcpStream::connect(&server.http).unwrap();
    let size = 300 << 10;
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\ncontent-length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![0; size]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

/// Scenario: one span among two has an id that is no id. Guarantee: partial success; the other one counts.
#[test]
fn single_records_are_refused_alone() {
    let server = TestServer::start();
    let mut wrong = span("place order", "o-2", 2);
    wrong.span_id = vec![1, 2, 3];
    let body = traces(vec![span("place order", "o-1", 1), wrong]).encode_to_vec();
    let answer = server.post("/v1/traces", &[PROTOBUF], &body);
    assert_eq!(answer.status, 200);
    let response =
        opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse::decode(&*answer.body).unwrap();
    let partial = response.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("bad_span_id"), "{}", partial.error_message);
    assert_eq!(server.metric("truegreen_refused_records_total{reason=\"bad_span_id\"}"), 1);
    assert_eq!(server.metric("truegreen_accepted_records_total{signal=\"traces\"}"), 1);
}

/// Scenario: oversized and broken bodies that still say whose they are. Guarantee: their sender is found, so that what
/// was refused is a gap in its coverage rather than a loss.
#[test]
fn a_refused_request_is_a_gap_of_its_sender() {
    let server = TestServer::with(|config| config.limits.body_bytes = 64 << 10);
    let large = traces((0..2000).map(|n| span("place order", "o", n as u8 | 1)).collect()).encode_to_vec();
    assert!(large.len() > 64 << 10);
    let cut = &large[..large.len() / 4];
    let gzipped = [PROTOBUF, ("content-encoding", "gzip")];
    let json = br#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"#;
    let known = [
        (&[PROTOBUF][..], large.clone(), 413),
        (&gzipped, gzip(&large), 413),
        (&[PROTOBUF], cut.to_vec(), 400),
        (&[JSON], json.to_vec(), 400),
    ];
    for (headers, body, status) in known {
        let answer = server.post("/v1/traces", headers, &body);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(server.metric("truegreen_refused_without_sender_total"), 0, "{headers:?} {status}");
    }
    assert_eq!(server.grpc(TRACES, &[GRPC], framed(false, &large)).status, "3");
    assert_eq!(server.metric("truegreen_refused_without_sender_total"), 0);
    server.post("/v1/traces", &[PROTOBUF], &[0xff]);
    assert_eq!(server.metric("truegreen_refused_without_sender_total"), 1);
    assert!(server.get("/").text().contains("oversized"), "the page holds our own books too");
}

/// Scenario: as many open journeys as memory is given for. Guarantee: senders are told to retry, and load balancers
/// that we are not ready.
#[test]
fn full_memory_asks_for_a_retry() {
    let server = TestServer::with(|config| config.limits.journeys = 2);
    for n in 1..=2 {
        assert_eq!(server.post("/v1/traces", &[PROTOBUF], &placed(&format!("o-{n}"), n)).status, 200);
    }
    server.until_entered(2);
    let answer = server.post("/v1/traces", &[PROTOBUF], &placed("o-3", 3));
    assert_eq!((answer.status, answer.header("retry-after")), (429, "5"));
    assert_eq!(server.grpc(TRACES, &[GRPC], framed(false, &placed("o-3", 3))).status, "8");
    assert_eq!(server.metric("truegreen_refused_requests_total{reason=\"engine_full\"}"), 2);
    let ready = server.get("/readyz");
    assert_eq!((ready.status, ready.text().as_str()), (503, "memory for journeys is full\n"));
    assert_eq!(server.get("/livez").status, 200, "full is not dead");
}

/// Scenario: a body that begins and never goes on. Guarantee: its sender is told to try again, and holds nothing.
#[test]
fn a_body_that_stands_still_is_let_go() {
    let server = TestServer::with(|config| config.limits.body_timeout = std::time::Duration::from_millis(100));
    let mut stream = std::net::TcpStream::connect(&server.http).unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ncontent-length: 500\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&[0; 100]).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    assert_eq!(server.metric("truegreen_refused_requests_total{reason=\"slow_body\"}"), 1);
    assert_eq!(server.metric("truegreen_in_flight_bytes"), 0);
}

/// Scenario: a large body of the wrong type, and one for which there is no room. Guarantee: both senders read their
/// answer rather than a broken connection.
#[test]
fn a_refused_body_is_read_to_its_end() {
    let server = TestServer::with(|config| config.limits.in_flight_bytes = 1 << 20);
    let body = vec![0; 8 << 20];
    assert_eq!(server.post("/v1/traces", &[("content-type", "text/plain")], &body).status, 415);
    assert_eq!(server.post("/nowhere", &[PROTOBUF], &body).status, 404);
    let answer = server.post("/v1/traces", &[PROTOBUF], &body);
    assert_eq!((answer.status, answer.header("retry-after")), (429, "1"));
    assert_eq!(server.metric("truegreen_in_flight_bytes"), 0);
}

/// Scenario: an oversized body that is slow as well. Guarantee: no retry is asked for, which would be asked for ever.
#[test]
fn an_oversized_body_stays_so_however_slow() {
    let server = TestServer::with(|config| {
        config.limits.body_bytes = 64 << 10;
        config.limits.body_timeout = std::time::Duration::from_millis(100);
    });
    let mut stream = std::net::TcpStream::connect(&server.http).unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ncontent-length: 99999\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&[0; 100]).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert_eq!(server.metric("truegreen_in_flight_bytes"), 0);
}

/// Scenario: more connections than are allowed. Guarantee: the one too many is closed and counted; once the others are
/// gone the server takes requests again.
#[test]
fn one_connection_too_many_is_closed() {
    let server = TestServer::with(|config| config.limits.connections = 3);
    let held: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(&server.http).unwrap()).collect();
    let mut refused = std::net::TcpStream::connect(&server.http).unwrap();
    assert!(!matches!(refused.read(&mut [0; 1]), Ok(1..)), "closed without a word");
    drop(held);
    let started = std::time::Instant::now();
    loop {
        let mut stream = std::net::TcpStream::connect(&server.web).unwrap();
        let mut answer = String::new();
        let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        if asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(started.elapsed() < crate::support::PATIENCE);
    }
    assert!(server.metric("truegreen_refused_connections_total") >= 1);
}
