//! Telemetry that can be taken, in every dress: it ends in the books.

use crate::support::{GRPC, JSON, PROTOBUF, TRACES, TestServer, framed, gzip, no_logs, now_nanos, placed};

#[test]
fn http_takes_protobuf_plain_and_compressed() {
    let server = TestServer::start();
    let zstd = zstd::bulk::compress(&placed("o-3", 3), 1).unwrap();
    let bodies = [(placed("o-1", 1), "identity"), (gzip(&placed("o-2", 2)), "gzip"), (zstd, "zstd")];
    for (body, encoding) in bodies {
        let answer = server.post("/v1/traces", &[PROTOBUF, ("content-encoding", encoding)], &body);
        assert_eq!((answer.status, answer.header("content-type")), (200, PROTOBUF.1), "{encoding}");
        assert!(answer.body.is_empty(), "an empty response is a full success");
    }
    server.until_entered(3);
    assert_eq!(server.metric("truegreen_accepted_requests_total{signal=\"traces\"}"), 3);
}

#[test]
fn http_takes_json() {
    let server = TestServer::start();
    let now = now_nanos();
    let body = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
        "scopeSpans":[{{"spans":[{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
        "name":"place order","kind":2,"startTimeUnixNano":"{now}","endTimeUnixNano":"{now}",
        "attributes":[{{"key":"order.id","value":{{"stringValue":"o-1"}}}}]}}]}}]}}]}}"#
    );
    let answer = server.post("/v1/traces", &[("content-type", "application/json; charset=utf-8")], body.as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    let answer = server.post("/v1/traces", &[JSON, ("content-encoding", "gzip")], &gzip(body.as_bytes()));
    assert_eq!(answer.status, 200, "{}", answer.text());
    server.until_entered(1);
}

#[test]
fn grpc_takes_plain_and_compressed_messages_on_both_ports() {
    let server = TestServer::start();
    let zstd = zstd::bulk::compress(&placed("o-3", 3), 1).unwrap();
    let calls = [
        (framed(false, &placed("o-1", 1)), "identity"),
        (framed(true, &gzip(&placed("o-2", 2))), "gzip"),
        (framed(true, &zstd), "zstd"),
        (framed(false, &placed("o-4", 4)), "gzip"),
    ];
    for (body, encoding) in calls {
        let answer = server.grpc(TRACES, &[GRPC, ("grpc-encoding", encoding)], body);
        assert_eq!(answer.status, "0", "{encoding}: {}", answer.message);
        assert_eq!(answer.body, [0, 0, 0, 0, 0], "{encoding}: an empty message, framed");
    }
    let logs = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let typed = ("content-type", "application/grpc+proto");
    assert_eq!(server.grpc(logs, &[typed], framed(false, &no_logs())).status, "0");
    let metrics = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    assert_eq!(server.grpc(metrics, &[typed], framed(false, &[])).status, "0");
    server.until_entered(4);

    // The convention is one port for each; both take both.
    let swapped = format!("http://{}/v1/traces", server.grpc);
    let sent = ureq::post(&swapped).header("content-type", PROTOBUF.1).send(&placed("o-5", 5)[..]).unwrap();
    assert_eq!(sent.status(), 200);
    server.until_entered(5);
}

/// Scenario: a body beyond what is checked on the connection's own thread. Guarantee: taken all the same.
#[test]
fn a_large_body_is_taken_too() {
    use crate::support::{span, traces};
    use prost::Message;
    let server = TestServer::start();
    let spans = (0..5000).map(|n| {
        let mut span = span("place order", &format!("o-{n}"), 1);
        span.trace_id[..4].copy_from_slice(&(n as u32 + 1).to_be_bytes());
        span.span_id[..4].copy_from_slice(&(n as u32 + 1).to_be_bytes());
        span
    });
    let body = traces(spans.collect()).encode_to_vec();
    assert!(body.len() > 256 << 10);
    assert_eq!(server.post("/v1/traces", &[PROTOBUF], &body).status, 200);
    assert_eq!(server.post("/v1/traces", &[PROTOBUF, ("content-encoding", "gzip")], &gzip(&body)).status, 200);
    server.until_entered(5000);
    assert_eq!(server.metric("truegreen_in_flight_bytes"), 0);
    assert_eq!(server.metric("truegreen_queued_requests"), 0);
}

/// Scenario: told to stop with requests still waiting for the engine. Guarantee: they are taken before the end.
#[test]
fn stopping_finishes_what_was_taken() {
    let mut server = TestServer::start();
    for n in 1..=100 {
        assert_eq!(server.post("/v1/traces", &[PROTOBUF], &placed(&format!("o-{n}"), n)).status, 200);
    }
    server.stop();
    assert!(std::net::TcpStream::connect(&server.http).is_err(), "the port is free again");
}
