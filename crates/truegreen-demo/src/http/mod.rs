//! HTTP on both sides, instrumented as stock libraries do it: a server span and a duration for every request (health
//! checks too), a client span and `traceparent` for every call.

mod client;

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Json, Router};
use opentelemetry::KeyValue;
use opentelemetry::metrics::UpDownCounter;
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::{SpanKind, TraceContextExt};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::Error;
use crate::service::Stop;
use crate::telemetry::{Telemetry, extract, fail};

pub(crate) use client::{Answer, Client, agent};

/// How long requests under way may take to end after the service was asked to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// What a service says on its first line of standard output.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) port: u16,
}

/// The answer to `GET /healthz`, after `application/health+json`.
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

    /// Passes with a depth that could be read.
    pub(crate) fn of(depth: Result<u64, Error>) -> Result<Json<Health>, StatusCode> {
        depth.map(|depth| Health::pass(Some(depth))).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
    }
}

/// Does `work`, which blocks, beside the runtime's own threads.
///
/// # Errors
/// It panicked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| Error::Worker(panic.to_string()))
}

/// Serves on a free port of 127.0.0.1, says which on standard output, until asked to stop.
pub(crate) async fn serve(routes: Router, telemetry: &Telemetry, stop: Stop) -> Result<(), Error> {
    let listener = listen().await?;
    let port = listener.local_addr().map_err(|source| Error::Network { what: "cannot tell the port", source })?.port();
    say_ready(port)?;
    serve_on(listener, routes, telemetry, stop).await
}

pub(crate) async fn listen() -> Result<TcpListener, Error> {
    TcpListener::bind(("127.0.0.1", 0)).await.map_err(|source| Error::Network { what: "cannot listen", source })
}

pub(crate) async fn serve_on(
    listener: TcpListener,
    routes: Router,
    telemetry: &Telemetry,
    mut stop: Stop,
) -> Result<(), Error> {
    let routes = routes.route_layer(middleware::from_fn_with_state(telemetry.clone(), observe));
    let mut closing = stop.clone();
    let server = axum::serve(listener, routes).with_graceful_shutdown(async move { closing.requested().await });
    tokio::select! {
        served = server.into_future() => served.map_err(|source| Error::Network { what: "cannot serve", source }),
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
    let parent = parent.with_value(Active::begin(&telemetry, &method, &route));
    let context = telemetry.span(format!("{method} {route}"), SpanKind::Server, attributes, &parent);
    drop(parent);
    request.extensions_mut().insert(context.clone());
    let response = next.run(request).await;
    let status = response.status();
    let code = i64::from(status.as_u16());
    context.span().set_attribute(KeyValue::new("http.response.status_code", code));
    if status.is_server_error() {
        fail(&context, code.to_string(), String::new());
    }
    telemetry.end(&context);
    telemetry.instruments.http_server_duration.record(
        started.elapsed().as_secs_f64(),
        &[
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route),
            KeyValue::new("http.response.status_code", code),
        ],
    );
    response
}

/// Counts a request as active for as long as anybody holds its context: work that goes on after the caller has gone
/// is still active.
struct Active {
    counter: UpDownCounter<i64>,
    labels: [KeyValue; 3],
}

impl Active {
    fn begin(telemetry: &Telemetry, method: &str, route: &str) -> Active {
        let labels = [
            KeyValue::new("http.request.method", method.to_owned()),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("url.scheme", "http"),
        ];
        let counter = telemetry.instruments.http_active_requests.clone();
        counter.add(1, &labels);
        Active { counter, labels }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.counter.add(-1, &self.labels);
    }
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

#[cfg(test)]
mod tests;
