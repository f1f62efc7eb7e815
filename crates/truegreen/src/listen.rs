//! Listeners: HTTP/1 and HTTP/2 on one port, so many connections and no more, none kept for ever.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::metrics::Metrics;

/// Longest a connection may take for a request's head, or be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// HTTP/2 peers that do not answer a ping for so long are gone.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const MAX_STREAMS: u32 = 128;
/// What open connections get to finish when we stop.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Someone else listens there.
    #[error(
        "port {port} ({what}) on {ip} is taken by another process\n\
         hint: find it with `ss -ltnp 'sport = :{port}'`, or choose another port with --{what} {ip}:PORT or \
         `listen: {{{what}: ..}}`",
        port = address.port(), ip = address.ip()
    )]
    Taken {
        /// `grpc`, `http` or `web`.
        what: &'static str,
        /// The address asked for.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address} ({what}): {cause}\nhint: choose another address with --{what}")]
    Other {
        /// `grpc`, `http` or `web`.
        what: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
}

/// Takes a port.
pub async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|cause| match cause.kind() {
        ErrorKind::AddrInUse => Error::Taken { what, address },
        _ => Error::Other { what, address, cause },
    })
}

/// What all listeners share.
#[derive(Clone)]
pub(crate) struct Floor {
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Serves until told to stop, then lets open connections finish, within a bound.
pub(crate) async fn serve(listener: TcpListener, router: Router, mut floor: Floor) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = floor.stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => serve_connection(stream, router.clone(), &floor, &graceful),
            Err(error) => {
                // Mostly: no file descriptor is free. Trying again at once would only burn the processor.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(LAST_ANSWERS, graceful.shutdown()).await.is_err() {
        tracing::info!("connections that were still open are closed");
    }
}

fn serve_connection(stream: TcpStream, router: Router, floor: &Floor, graceful: &GracefulShutdown) {
    let Ok(permit) = floor.connections.clone().try_acquire_owned() else {
        floor.metrics.refused_connections.add(1);
        return;
    };
    drop(stream.set_nodelay(true));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(32 << 10);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).into_owned();
    let watched = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!("connection ended: {error}");
        }
        drop(permit);
    });
}
