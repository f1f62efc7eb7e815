//! One connection to the server: OTLP over HTTP/1 or gRPC, plain or with gzip; and plain questions.

use std::io::{Error, Result, Write};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for an engine that has much to do: the machine may have other things to do too.
const BUSY: Duration = Duration::from_secs(60);

/// How a sender talks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Manner {
    pub(crate) is_grpc: bool,
    pub(crate) is_gzipped: bool,
}

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    Taken,
    /// To be sent again.
    Refused,
    /// Not to be sent again, or no answer that we know.
    Strange(String),
}

#[derive(Clone)]
pub(crate) enum Line {
    Http(std::sync::Arc<tokio::sync::Mutex<http1::SendRequest<Full<Bytes>>>>),
    Grpc(http2::SendRequest<Full<Bytes>>),
}

impl Line {
    pub(crate) async fn open(address: &str, is_grpc: bool) -> Result<Line> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        if is_grpc {
            let (line, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(Error::other)?;
            tokio::spawn(connection);
            Ok(Line::Grpc(line))
        } else {
            let (line, connection) = http1::handshake(io).await.map_err(Error::other)?;
            tokio::spawn(connection);
            Ok(Line::Http(std::sync::Arc::new(tokio::sync::Mutex::new(line))))
        }
    }

    /// Sends a request and waits for its answer; an error where none comes.
    pub(crate) async fn send(&self, body: &[u8], is_gzipped: bool) -> Result<Answer> {
        let packed = if is_gzipped { gzip(body)? } else { body.to_vec() };
        timeout(PATIENCE, async {
            match self {
                Line::Http(line) => post(&mut *line.lock().await, packed, is_gzipped).await,
                Line::Grpc(line) => call(&mut line.clone(), &packed, is_gzipped).await,
            }
        })
        .await?
    }
}

async fn post(line: &mut http1::SendRequest<Full<Bytes>>, body: Vec<u8>, is_gzipped: bool) -> Result<Answer> {
    line.ready().await.map_err(Error::other)?;
    let mut request =
        Request::post("/v1/traces").header("host", "truegreen").header("content-type", "application/x-protobuf");
    if is_gzipped {
        request = request.header("content-encoding", "gzip");
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(Error::other)?;
    let answer = line.send_request(request).await.map_err(Error::other)?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(Error::other)?.to_bytes();
    Ok(match head.status.as_u16() {
        // What is taken by halves would not be empty.
        200 if body.is_empty() => Answer::Taken,
        429 | 503 if head.headers.contains_key("retry-after") => Answer::Refused,
        other => Answer::Strange(format!("{other}: {}", String::from_utf8_lossy(&body))),
    })
}

async fn call(line: &mut http2::SendRequest<Full<Bytes>>, body: &[u8], is_gzipped: bool) -> Result<Answer> {
    line.ready().await.map_err(Error::other)?;
    let mut framed = vec![u8::from(is_gzipped)];
    framed.extend_from_slice(&u32::try_from(body.len()).map_err(Error::other)?.to_be_bytes());
    framed.extend_from_slice(body);
    let mut request = Request::post("http://truegreen/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    if is_gzipped {
        request = request.header("grpc-encoding", "gzip");
    }
    let request = request.body(Full::new(Bytes::from(framed))).map_err(Error::other)?;
    let answer = line.send_request(request).await.map_err(Error::other)?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(Error::other)?;
    let in_trailers = body.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned();
    let status = in_trailers.or_else(|| head.headers.get("grpc-status").cloned());
    let message = head.headers.get("grpc-message").map(|message| String::from_utf8_lossy(message.as_bytes()));
    Ok(match status.as_ref().and_then(|status| status.to_str().ok()) {
        Some("0") if body.to_bytes().len() == 5 => Answer::Taken,
        Some("8" | "14") => Answer::Refused,
        Some(other) => Answer::Strange(format!("grpc-status {other}: {}", message.unwrap_or_default())),
        // A connection that breaks off before the trailers says nothing.
        None => return Err(Error::other("no status")),
    })
}

/// Asks the API, again while the engine is too busy to answer.
pub(crate) async fn ask(address: &str, path: &str) -> Result<Value> {
    timeout(BUSY, async {
        loop {
            let (status, answer) = ask_once(address, path).await?;
            if status != StatusCode::SERVICE_UNAVAILABLE {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await?
}

async fn ask_once(address: &str, path: &str) -> Result<(StatusCode, Value)> {
    let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
    let (mut line, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Error::other)?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "127.0.0.1").body(Full::<Bytes>::default());
    let request = request.map_err(Error::other)?;
    let answer = timeout(PATIENCE, line.send_request(request)).await?.map_err(Error::other)?;
    let status = answer.status();
    let bytes = answer.into_body().collect().await.map_err(Error::other)?.to_bytes();
    Ok((status, serde_json::from_slice(&bytes).map_err(Error::other)?))
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}
