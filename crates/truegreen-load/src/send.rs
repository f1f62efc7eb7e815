//! The sender: unary gRPC calls on a few HTTP/2 connections, many at once, each the next request of its stream. It
//! encodes nothing, compresses nothing, and counts only what was acknowledged in full.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use fastrand::Rng;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body, Frame};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::http::Uri;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::busy::busy_seconds;
use crate::prepared::{ORDERS, Prepared, SPANS};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// An empty export response in its frame: everything was taken.
const ALL_TAKEN: &[u8] = &[0; 5];
/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a refused sender waits, as the refusals ask.
const AGAIN: Duration = Duration::from_secs(1);
const RESOURCE_EXHAUSTED: &str = "8";
const UNAVAILABLE: &str = "14";

/// How to send.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    /// Calls at once, over all connections.
    pub(crate) streams: usize,
    pub(crate) duration: Duration,
    /// How many of the five services tell of each order; of fewer, each order is left open.
    pub(crate) services: usize,
    /// No more orders than so many.
    pub(crate) orders: u64,
}

/// What came of it.
pub(crate) struct Sent {
    pub(crate) spans: u64,
    pub(crate) journeys: u64,
    refused: u64,
    copies: u64,
    bytes: u64,
    took: Duration,
    /// Processor time of the sender.
    busy: f64,
    /// Of each call, in microseconds, sorted.
    latencies: Vec<u32>,
}

impl Sent {
    pub(crate) fn json(&self) -> Value {
        let at = |share: f64| self.latencies.get((self.latencies.len() as f64 * share) as usize).copied().unwrap_or(0);
        json!({
            "spans": self.spans,
            "journeys": self.journeys,
            "seconds": self.took.as_secs_f64(),
            "spans_per_second": self.spans as f64 / self.took.as_secs_f64(),
            "bytes_per_span": self.bytes as f64 / self.spans as f64,
            "sender_ns_per_span": self.busy * 1e9 / self.spans as f64,
            "refused_calls": self.refused,
            "copied_bodies": self.copies,
            "latency_ms": {"p50": f64::from(at(0.5)) / 1e3, "p99": f64::from(at(0.99)) / 1e3},
        })
    }
}

/// Sends until the time is over, and ends what was begun: no order is left half told.
pub(crate) async fn send(to: &str, plan: Plan) -> Result<Sent> {
    let uri: Uri = format!("http://{to}{EXPORT}").parse()?;
    let mut connections = Vec::new();
    for _ in 0..plan.connections {
        connections.push(connect(to).await?);
    }
    let next_order = Arc::new(AtomicU64::new(0));
    let streams: Vec<Stream> = (0..plan.streams)
        .map(|n| {
            let mut dice = Rng::with_seed(n as u64);
            Stream {
                uri: uri.clone(),
                connection: connections[n % connections.len()].clone(),
                prepared: (0..plan.services).map(|service| Prepared::new(service, &mut dice)).collect(),
                next_order: next_order.clone(),
                orders: plan.orders,
                refused: 0,
                latencies: Vec::new(),
            }
        })
        .collect();
    let bytes_each = streams.iter().flat_map(|stream| &stream.prepared).map(Prepared::size).sum::<usize>()
        / (plan.streams * plan.services);
    let (started, busy) = (Instant::now(), busy_seconds()?);
    let until = started + plan.duration;
    let running: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(stream.run(until))).collect();
    let mut ended = Vec::new();
    for stream in running {
        ended.push(stream.await??);
    }
    let (took, busy) = (started.elapsed(), busy_seconds()? - busy);
    let mut latencies: Vec<u32> = ended.iter().flat_map(|stream| stream.latencies.iter().copied()).collect();
    latencies.sort_unstable();
    let calls = latencies.len() as u64;
    Ok(Sent {
        spans: calls * SPANS as u64,
        journeys: calls / plan.services as u64 * ORDERS as u64,
        refused: ended.iter().map(|stream| stream.refused).sum(),
        copies: ended.iter().flat_map(|stream| &stream.prepared).map(|prepared| prepared.copies).sum(),
        bytes: calls * bytes_each as u64,
        took,
        busy,
        latencies,
    })
}

async fn connect(to: &str) -> Result<SendRequest<Call>> {
    let stream = TcpStream::connect(to).await.with_context(|| format!("cannot reach {to}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    // Its end shows in the calls.
    drop(tokio::spawn(connection));
    Ok(sender)
}

/// The body of one call. Its length is not announced, as no gRPC client does.
struct Call(Option<Bytes>);

impl Body for Call {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

/// One call after another.
struct Stream {
    uri: Uri,
    connection: SendRequest<Call>,
    prepared: Vec<Prepared>,
    next_order: Arc<AtomicU64>,
    orders: u64,
    refused: u64,
    latencies: Vec<u32>,
}

impl Stream {
    async fn run(mut self, until: Instant) -> Result<Stream> {
        while Instant::now() < until {
            let first = self.next_order.fetch_add(ORDERS as u64, Ordering::Relaxed);
            if first >= self.orders {
                break;
            }
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
            for service in 0..self.prepared.len() {
                let body = self.prepared[service].about(first, now);
                self.until_taken(body).await?;
            }
        }
        Ok(self)
    }

    async fn until_taken(&mut self, body: Bytes) -> Result<()> {
        loop {
            let called = Instant::now();
            let taken = tokio::time::timeout(PATIENCE, self.call(body.clone())).await;
            if taken.context("no answer within a minute")?? {
                self.latencies.push(u32::try_from(called.elapsed().as_micros()).unwrap_or(u32::MAX));
                return Ok(());
            }
            self.refused += 1;
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Whether it was taken; `false` asks to try again.
    async fn call(&mut self, body: Bytes) -> Result<bool> {
        self.connection.ready().await?;
        let request = Request::post(self.uri.clone())
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Call(Some(body)))?;
        let (head, body) = self.connection.send_request(request).await?.into_parts();
        ensure!(head.status.is_success(), "HTTP status {}", head.status);
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let find = |name: &str| {
            let value = trailers.get(name).or_else(|| head.headers.get(name));
            value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
        };
        match find("grpc-status").as_str() {
            "0" => {
                let answer = collected.to_bytes();
                ensure!(answer == ALL_TAKEN, "not all was taken: {answer:?}");
                Ok(true)
            }
            RESOURCE_EXHAUSTED | UNAVAILABLE => Ok(false),
            status => bail!("gRPC status {status:?}: {}", find("grpc-message")),
        }
    }
}
