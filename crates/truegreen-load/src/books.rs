//! Whether a server's books hold exactly what it acknowledged.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::send::Sent;

/// The engine takes what was acknowledged a little later.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until the books have closed over everything that was acknowledged; says how long that took.
pub(crate) async fn verify(web: &str, sent: &Sent) -> Result<Duration> {
    let started = Instant::now();
    loop {
        // None while the engine is too busy to be asked.
        let report: Option<Value> = match get(web, "/api/v1/report").await? {
            Some(text) => Some(serde_json::from_str(&text)?),
            None => None,
        };
        let books = report.as_ref().map(|report| &report["flows"]["orders"]);
        let number = |name: &str| books.and_then(|books| books[name].as_u64());
        if number("entered") == Some(sent.journeys) && number("open") == Some(0) {
            ensure!(
                number("completed") == Some(sent.journeys) && number("orphans") == Some(0),
                "{} journeys were acknowledged whole, and the books say {books:?}",
                sent.journeys
            );
            break;
        }
        if started.elapsed() > PATIENCE {
            bail!("{} journeys were acknowledged, and after {PATIENCE:?} the books say {books:?}", sent.journeys);
        }
        tokio::time::sleep(PAUSE).await;
    }
    let took = started.elapsed();
    let metrics = get(web, "/metrics").await?.context("no metrics")?;
    let sample = "truegreen_accepted_records_total{signal=\"traces\"} ";
    let counted = metrics.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok());
    ensure!(counted == Some(sent.spans), "{} spans were acknowledged, and /metrics says {counted:?}", sent.spans);
    Ok(took)
}

async fn get(web: &str, path: &str) -> Result<Option<String>> {
    let stream = TcpStream::connect(web).await.with_context(|| format!("cannot reach {web}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path).header("host", web).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    connection.abort();
    match status {
        StatusCode::OK => Ok(Some(String::from_utf8_lossy(&body).into_owned())),
        StatusCode::SERVICE_UNAVAILABLE => Ok(None),
        other => bail!("{path} answers {other}"),
    }
}
