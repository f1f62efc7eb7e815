//! HTTP on both sides, instrumented as stock libraries do it: a server span and a duration for every request (health
//! checks too), a client span and `traceparent` for every call.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Json, Router};
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::{SpanKind, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use serde::{Deserialize, Serialize};
use ureq::Agent;

use crate::Error;
use crate::service::Stop;
use crate::telemetry::{Telemetry, extract, fail, inject};

/// How long requests under way may take to end after the service was asked to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// What a service says on its first line of standard output.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) port: u16,
}

/// The answer to `GET /health`, after `application/health+json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Health {
    pub(crate) status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queue_depth: Option<u64>,
}

impl Health {
    pub(crate) fn pass(queue_depth: Option<u64>) -> Json<Health> {
        Json(Health { status: "pass".to_owned(), queue_depth })
    }
}

/// Serves on a free port of 127.0.0.1, says which on standard output, until asked to stop.
pub(crate) async fn serve(routes: Router, telemetry: &Telemetry, mut stop: Stop) -> Result<(), Error> {
    let network = |what| move |source| Error::Network { what, source };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.map_err(network("cannot listen"))?;
    let port = listener.local_addr().map_err(network("cannot tell the port"))?.port();
    say_ready(port)?;
    let routes = routes.route_layer(middleware::from_fn_with_state(telemetry.clone(), observe));
    let mut closing = stop.clone();
    let server = axum::serve(listener, routes).with_graceful_shutdown(async move { closing.requested().await });
    tokio::select! {
        served = server.into_future() => served.map_err(network("cannot serve")),
        () = async { stop.requested().await; tokio::time::sleep(DRAIN).await } => Ok(()),
    }
}

fn say_ready(port: u16) -> Result<(), Error> {
    use std::io::Write;
    let mut line = serde_json::to_vec(&Ready { port }).map_err(|source| Error::Encode { what: "the port", source })?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush()).map_err(|source| Error::File {
        action: "write",
        path: "standard output".into(),
        source,
    })
}

/// Gives every request a server span, which handlers find as `Extension<Context>`.
async fn observe(State(telemetry): State<Telemetry>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().to_string();
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let parent = extract(&Headers(request.headers()));
    let attributes = vec![
        KeyValue::new("http.request.method", method.clone()),
        KeyValue::new("http.route", route.clone()),
        KeyValue::new("url.path", request.uri().path().to_owned()),
        KeyValue::new("url.scheme", "http"),
    ];
    let context = telemetry.span(format!("{method} {route}"), SpanKind::Server, attributes, &parent);
    request.extensions_mut().insert(context.clone());
    let response = next.run(request).await;
    let status = i64::from(response.status().as_u16());
    context.span().set_attribute(KeyValue::new("http.response.status_code", status));
    if response.status().is_server_error() {
        fail(&context, "server_error", String::new());
    }
    context.span().end();
    telemetry.instruments.http_server_duration.record(
        started.elapsed().as_secs_f64(),
        &[
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route),
            KeyValue::new("http.response.status_code", status),
        ],
    );
    response
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}

/// A client for services on this machine: no proxy from the environment, and a status of 400 or more is an answer.
pub(crate) fn agent(timeout: Duration) -> Agent {
    Agent::config_builder().proxy(None).http_status_as_error(false).timeout_global(Some(timeout)).build().new_agent()
}

/// Posts `body` as JSON within a client span; blocks. Returns the status, or what went wrong.
pub(crate) fn post(
    agent: &Agent,
    telemetry: &Telemetry,
    url: &str,
    body: &impl Serialize,
    parent: &Context,
) -> Result<u16, Box<ureq::Error>> {
    let attributes = vec![KeyValue::new("http.request.method", "POST"), KeyValue::new("url.full", url.to_owned())];
    let context = telemetry.span("POST", SpanKind::Client, attributes, parent);
    let mut request = agent.post(url);
    for (name, value) in inject(&context) {
        request = request.header(name, value);
    }
    let answer = request.send_json(body);
    match &answer {
        Ok(response) => {
            let status = response.status();
            context.span().set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
            if status.is_client_error() || status.is_server_error() {
                fail(&context, "http_status", String::new());
            }
        }
        Err(error) => fail(&context, "no_answer", error.to_string()),
    }
    context.span().end();
    Ok(answer?.status().as_u16())
}
