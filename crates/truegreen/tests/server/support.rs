//! A server on free ports, and clients to talk to it.

use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::Value;
use truegreen::config::Config;
use truegreen::confirming::Sources;
use truegreen::flows;
use truegreen::ingest::Intake;
use truegreen::server::Server;
use truegreen_engine::flow::Source;

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Two steps by one service; the second is never awaited by these tests.
pub(crate) const CONTRACT: &str = "
flow: orders
key: order.id
start: {name: placed, span: place order, service: shop}
steps:
  - {name: shipped, span: ship order, service: shop, within: 1h}
";

pub(crate) struct TestServer {
    pub(crate) runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    pub(crate) grpc: String,
    pub(crate) http: String,
    pub(crate) web: String,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What a gRPC call came to, wherever the status stood.
pub(crate) struct GrpcAnswer {
    pub(crate) status: String,
    pub(crate) message: String,
    pub(crate) details: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl TestServer {
    pub(crate) fn start() -> TestServer {
        TestServer::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> TestServer {
        TestServer::watching(CONTRACT, change)
    }

    pub(crate) fn watching(contract: &str, change: impl FnOnce(&mut Config)) -> TestServer {
        TestServer::asking(contract, change, Sources::default())
    }

    /// With systems that can be asked.
    pub(crate) fn asking(contract: &str, change: impl FnOnce(&mut Config), sources: Sources) -> TestServer {
        let mut config = Config::default();
        for address in [&mut config.listen.grpc, &mut config.listen.http, &mut config.listen.web] {
            address.set_port(0);
        }
        change(&mut config);
        let source = Source { path: "orders.yaml".to_owned(), text: contract.to_owned() };
        let (compiled, told) = flows::compiled(&[source], false);
        let compiled = compiled.unwrap_or_else(|| panic!("{}", told.join("\n")));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let routes = Intake::router;
        let started = Server::asking(&config, compiled.flows, Vec::new(), routes, Some(sources));
        let server = runtime.block_on(started).unwrap();
        let at = server.addresses();
        TestServer {
            runtime,
            server: Some(server),
            grpc: at.grpc.to_string(),
            http: at.http.to_string(),
            web: at.web.to_string(),
        }
    }

    pub(crate) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop()).unwrap();
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        read(agent().get(format!("http://{}{path}", self.web)).call())
    }

    /// As a browser would that was led here by another name.
    pub(crate) fn get_as(&self, host: &str, path: &str) -> Answer {
        read(agent().get(format!("http://{}{path}", self.web)).header("host", host).call())
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = agent().post(format!("http://{}{path}", self.http));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send(body))
    }

    /// Calls a gRPC method with a framed body, as it is.
    pub(crate) fn grpc(&self, path: &str, headers: &[(&str, &str)], framed: Vec<u8>) -> GrpcAnswer {
        let (head, trailers, body) = self.runtime.block_on(http2(&self.grpc, path, headers, framed));
        let find = |name: &str| {
            let value = trailers.get(name).or_else(|| head.get(name));
            value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        use base64::Engine as _;
        let details = base64::engine::general_purpose::STANDARD_NO_PAD.decode(find("grpc-status-details-bin"));
        GrpcAnswer { status: find("grpc-status"), message: find("grpc-message"), details: details.unwrap(), body }
    }

    /// The value of one sample on /metrics; 0 where it is not there.
    pub(crate) fn metric(&self, sample: &str) -> u64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// Asks the API until it is so.
    pub(crate) fn until(&self, path: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let answer = self.get(path).json();
            if is_so(&answer) {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "waited in vain for {what}; last: {answer:#}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until so many journeys have entered the flow `orders`.
    pub(crate) fn until_entered(&self, n: u64) {
        self.until("/api/v1/report", "entries", |report| report["flows"]["orders"]["entered"] == n);
    }

    /// The server takes a good request after whatever was sent before.
    pub(crate) fn assert_goes_on(&self) {
        let answer = self.post("/v1/traces", &[("content-type", "application/x-protobuf")], &[]);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

pub(crate) fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into()
}

pub(crate) fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut answer = answer.unwrap();
    Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.body_mut().read_to_vec().unwrap(),
    }
}

async fn http2(address: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (HeaderMap, HeaderMap, Vec<u8>) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut request = Request::post(format!("http://{address}{path}")).header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    connection.abort();
    (head.headers, trailers, collected.to_bytes().to_vec())
}

/// gRPC's framing.
pub(crate) fn framed(compressed: bool, message: &[u8]) -> Vec<u8> {
    let mut framed = vec![u8::from(compressed)];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

pub(crate) fn now_nanos() -> u64 {
    truegreen::clock::wall_clock().0
}

/// A span of `shop` for one order.
pub(crate) fn span(name: &str, order: &str, id: u8) -> Span {
    let now = now_nanos();
    Span {
        trace_id: vec![id; 16],
        span_id: vec![id; 8],
        name: name.to_owned(),
        kind: 2,
        start_time_unix_nano: now - 1_000_000,
        end_time_unix_nano: now,
        attributes: vec![text("order.id", order)],
        ..Span::default()
    }
}

pub(crate) fn traces(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = Resource {
        attributes: vec![text("service.name", "shop"), text("service.instance.id", "shop-1")],
        ..Resource::default()
    };
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }],
    }
}

/// One order placed, as protobuf.
pub(crate) fn placed(order: &str, id: u8) -> Vec<u8> {
    traces(vec![span("place order", order, id)]).encode_to_vec()
}

pub(crate) fn no_logs() -> Vec<u8> {
    ExportLogsServiceRequest::default().encode_to_vec()
}

pub(crate) const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
pub(crate) const GRPC: (&str, &str) = ("content-type", "application/grpc");
pub(crate) const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
