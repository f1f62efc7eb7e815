//! OpenTelemetry's own Python SDK sends by both exporters; what it sends is in the books.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::TestServer;

const PACKAGES: [&str; 3] =
    ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-grpc", "opentelemetry-exporter-otlp-proto-http"];

const PROGRAM: &str = r#"
import sys
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

kind, endpoint, compression, order = sys.argv[1:]
if kind == "grpc":
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    compression = Compression.Gzip if compression == "gzip" else Compression.NoCompression
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True, compression=compression)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    compression = Compression.Gzip if compression == "gzip" else Compression.NoCompression
    exporter = OTLPSpanExporter(endpoint=endpoint + "/v1/traces", compression=compression)

class Loud:
    def export(self, spans):
        result = exporter.export(spans)
        if result != SpanExportResult.SUCCESS:
            sys.exit("not exported")
        return result
    def shutdown(self):
        exporter.shutdown()
    def force_flush(self, timeout_millis=30000):
        return True

provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
provider.add_span_processor(SimpleSpanProcessor(Loud()))
with provider.get_tracer("test").start_as_current_span("place order", attributes={"order.id": order}):
    pass
provider.shutdown()
"#;

#[test]
fn the_python_sdk_sends_by_grpc_and_by_http() {
    let python = python();
    let server = TestServer::start();
    let grpc = format!("http://{}", server.grpc);
    let http = format!("http://{}", server.http);
    let ways = [("grpc", &grpc, "none"), ("grpc", &grpc, "gzip"), ("http", &http, "none"), ("http", &http, "gzip")];
    for (n, (kind, endpoint, compression)) in ways.into_iter().enumerate() {
        let order = format!("o-{n}");
        let output = Command::new(&python).args(["-c", PROGRAM, kind, endpoint, compression, &order]).output().unwrap();
        assert!(output.status.success(), "{kind} {compression}: {}", String::from_utf8_lossy(&output.stderr));
        server.until_entered(n as u64 + 1);
        let journey = server.get(&format!("/api/v1/journeys/orders/{order}")).json();
        assert_eq!(journey["journeys"][0]["seen"][0]["service"], "shop", "{kind} {compression}");
    }
}

/// The Python of a virtual environment that has the SDK; made once, and kept in the target directory.
fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-sdk");
    let python = venv.join("bin/python");
    let ready = venv.join("ready");
    if !ready.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES));
        std::fs::write(&ready, PACKAGES.join("\n")).unwrap();
    }
    python
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test needs OpenTelemetry's Python SDK; run by hand: {command:?}\n{said}");
}
