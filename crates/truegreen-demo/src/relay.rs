//! The fault `dead-exporter`, made of real sockets: the service's telemetry goes through this relay, whose port is
//! closed some time after the fuse was lit. To the SDK it is an endpoint that refuses every connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Error;

/// Lit by the consumer's first message.
pub(crate) type Fuse = Arc<Notify>;

/// Connections that may be open through the relay at once; an SDK opens one for each signal.
const MAX_CONNECTIONS: usize = 16;

/// Returns the endpoint to send to in place of `endpoint`.
pub(crate) async fn start(endpoint: &str, dies_after: Duration, fuse: Fuse) -> Result<String, Error> {
    let network = |what| move |source| Error::Network { what, source };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(network("cannot listen for telemetry"))?;
    let port = listener.local_addr().map_err(network("cannot tell the relay's port"))?.port();
    let target = endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned();
    tokio::spawn(async move {
        tokio::select! {
            () = forward(listener, &target) => {}
            () = async { fuse.notified().await; tokio::time::sleep(dies_after).await } => {}
        }
    });
    Ok(format!("http://127.0.0.1:{port}"))
}

/// Ends never; dropping it closes the port and every connection.
async fn forward(listener: TcpListener, target: &str) {
    let mut connections = JoinSet::new();
    loop {
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        let Ok((mut inbound, _)) = listener.accept().await else {
            continue;
        };
        let target = target.to_owned();
        connections.spawn(async move {
            if let Ok(mut outbound) = TcpStream::connect(&target).await {
                // Either side closing is how a connection ends.
                let _ended = copy_bidirectional(&mut inbound, &mut outbound).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;

    /// Guarantee: bytes pass until the fuse burns down; from then on open connections end and new ones are refused.
    #[tokio::test]
    async fn the_relay_forwards_until_its_fuse_burns_down() {
        let sink = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", sink.local_addr().unwrap());
        let fuse = Arc::new(Notify::new());
        let relay = super::start(&endpoint, Duration::ZERO, Arc::clone(&fuse)).await.unwrap();
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
}
