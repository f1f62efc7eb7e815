//! A bad road to the collector, made of real sockets: the service's telemetry goes through this relay. Its port is closed
//! some time after the fuse was lit, and to the SDK it is then an endpoint that refuses every connection; or it holds
//! back whatever it is sent for a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Error;
use crate::config::Road;

/// Lit by the consumer's first message.
pub(crate) type Fuse = Arc<Notify>;

/// Connections that may be open through the relay at once; an SDK opens one for each signal.
const MAX_CONNECTIONS: usize = 16;

/// How much is held back at a time.
const HELD_BYTES: usize = 64 << 10;

/// Returns the endpoint to send to in place of `endpoint`, so that it is reached by `road`.
pub(crate) async fn start(endpoint: &str, road: Road, fuse: Fuse) -> Result<String, Error> {
    if road == Road::Direct {
        return Ok(endpoint.to_owned());
    }
    let network = |what| move |source| Error::Network { what, source };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(network("cannot listen for telemetry"))?;
    let port = listener.local_addr().map_err(network("cannot tell the relay's port"))?.port();
    let target = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let (hold_ms, closes_after_ms) = match road {
        Road::Direct => (0, None),
        Road::SlowByMs(hold_ms) => (hold_ms, None),
        Road::ClosesAfterMs(after_ms) => (0, Some(after_ms)),
    };
    let closing = async move {
        let Some(after_ms) = closes_after_ms else { return std::future::pending().await };
        fuse.notified().await;
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
    };
    tokio::spawn(async move {
        tokio::select! {
            () = forward(listener, &target, Duration::from_millis(hold_ms)) => {}
            () = closing => {}
        }
    });
    Ok(format!("http://127.0.0.1:{port}"))
}

/// Ends never; dropping it closes the port and every connection.
async fn forward(listener: TcpListener, target: &str, hold: Duration) {
    let mut connections = JoinSet::new();
    loop {
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        let Ok((inbound, _)) = listener.accept().await else {
            continue;
        };
        let target = target.to_owned();
        connections.spawn(async move {
            if let Ok(outbound) = TcpStream::connect(&target).await {
                // Either side closing is how a connection ends.
                let _ended = join(inbound, outbound, hold).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn join(mut inbound: TcpStream, mut outbound: TcpStream, hold: Duration) -> std::io::Result<()> {
    if hold.is_zero() {
        return copy_bidirectional(&mut inbound, &mut outbound).await.map(drop);
    }
    let (mut from_service, mut to_service) = inbound.split();
    let (mut from_collector, mut to_collector) = outbound.split();
    let held = async {
        let mut piece = vec![0; HELD_BYTES];
        loop {
            let read = from_service.read(&mut piece).await?;
            if read == 0 {
                return to_collector.shutdown().await;
            }
            tokio::time::sleep(hold).await;
            to_collector.write_all(&piece[..read]).await?;
        }
    };
    let answers = async { copy(&mut from_collector, &mut to_service).await.map(drop) };
    tokio::try_join!(held, answers).map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;

    use crate::config::Road;

    /// Guarantee: bytes pass until the fuse burns down; from then on open connections end and new ones are refused.
    #[tokio::test]
    async fn the_relay_forwards_until_its_fuse_burns_down() {
        let sink = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", sink.local_addr().unwrap());
        let fuse = Arc::new(Notify::new());
        let relay = super::start(&endpoint, Road::ClosesAfterMs(0), Arc::clone(&fuse)).await.unwrap();
        let mut client = TcpStream::connect(relay.trim_start_matches("http://")).await.unwrap();
        let (mut arrived, _) = sink.accept().await.unwrap();
        client.write_all(b"spans").await.unwrap();
        let mut received = [0; 5];
        arrived.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"spans");
        fuse.notify_one();
        assert!(matches!(client.read(&mut received).await, Ok(0) | Err(_)), "the connection ends");
        assert!(TcpStream::connect(relay.trim_start_matches("http://")).await.is_err(), "the port is closed");
    }

    #[tokio::test]
    async fn a_slow_road_brings_all_that_is_sent_and_the_answer() {
        let sink = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", sink.local_addr().unwrap());
        let relay = super::start(&endpoint, Road::SlowByMs(1), Arc::default()).await.unwrap();
        let mut client = TcpStream::connect(relay.trim_start_matches("http://")).await.unwrap();
        let (mut arrived, _) = sink.accept().await.unwrap();
        client.write_all(b"spans").await.unwrap();
        let mut received = [0; 5];
        arrived.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"spans");
        arrived.write_all(b"taken").await.unwrap();
        client.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"taken");
        drop(client);
        assert_eq!(arrived.read(&mut received).await.unwrap(), 0, "the end is passed on");
    }
}
