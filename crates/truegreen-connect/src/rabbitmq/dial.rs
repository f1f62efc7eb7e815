//! One connection over AMQP, which leaves nothing behind however it ends.

use std::future::Future;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_compat::CompatExt as _;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::tcp::TLSConfig;
use lapin::types::ShortString;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind};

use crate::probe::within;
use crate::{Error, SystemConfig};

const CONNECT: &str = "a connection";
const GREETING: &str = "the greeting of AMQP";
const GOODBYE: u16 = 200;

/// Where to, and who asks there.
pub(super) fn uri(config: &SystemConfig) -> Result<AMQPUri, Error> {
    let wrong = |error: String| Error::NotAsked(config.address.without_secrets(&error));
    let mut uri: AMQPUri = config.address.secret_url().as_str().parse().map_err(wrong)?;
    // Its own reader takes an IPv6 address for localhost.
    uri.authority.host = config.address.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if config.address.secret_url().path() == "/" {
        // By the letter this would be the host without a name, which nobody has.
        uri.vhost = "/".to_owned();
    }
    Ok(uri)
}

/// A name in AMQP: 255 bytes at most.
pub(super) fn name(text: &str) -> Result<ShortString, Error> {
    ShortString::try_new(text).map_err(|_| Error::NotAsked("a name of more than 255 bytes".to_owned()))
}

/// One connection. The client has a thread of its own for each, that ends with the socket: so the socket ends here, also
/// where the broker never answers.
pub(super) struct Line {
    connection: Connection,
    socket: Socket,
    limit: Duration,
}

struct Socket(Arc<OnceLock<TcpStream>>);

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(socket) = self.0.get() {
            // It may be closed by the other side already.
            let _closed = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Line {
    /// Connects and logs in.
    pub(super) async fn open(config: &SystemConfig) -> Result<Line, Error> {
        let (uri, limit) = (uri(config)?, config.timeout);
        let socket = Socket(Arc::new(OnceLock::new()));
        let slot = Arc::clone(&socket.0);
        let runtime = lapin::runtime::default_runtime().map_err(|error| told(&error))?;
        let connect = async move |uri: AMQPUri, _runtime| {
            let (host, port) = (uri.authority.host.as_str(), uri.authority.port);
            let connected = tokio::time::timeout(limit, tokio::net::TcpStream::connect((host, port))).await;
            let tcp = connected.map_err(io::Error::from)??;
            // A letter is several small writes, and each would wait 40 ms for the other side to acknowledge the one before.
            tcp.set_nodelay(true)?;
            let _first = slot.set(TcpStream::from(tcp.as_fd().try_clone_to_owned()?));
            let stream = AsyncTcpStream::Plain(tcp.compat());
            Ok(match uri.scheme {
                AMQPScheme::AMQP => stream,
                AMQPScheme::AMQPS => stream.into_tls(&uri.authority.host, TLSConfig::default()).await?,
            })
        };
        let properties = ConnectionProperties::default().with_connection_name("truegreen".into());
        let connecting = Connection::connector(uri, runtime, connect, properties);
        match tokio::time::timeout(limit, connecting).await {
            Ok(Ok(connection)) => Ok(Line { connection, socket, limit }),
            Ok(Err(error)) if is_timed_out(&error) => Err(Error::TimedOut { what: CONNECT, limit }),
            Ok(Err(error)) => Err(told(&error)),
            Err(_) if socket.0.get().is_some() => Err(Error::TimedOut { what: GREETING, limit }),
            Err(_) => Err(Error::TimedOut { what: CONNECT, limit }),
        }
    }

    /// A channel of its own for what may fail: a channel ends with its first error.
    pub(super) async fn channel(&self) -> Result<Channel, Error> {
        self.wait("a channel", self.connection.create_channel()).await
    }

    /// What is asked, within the time limit.
    pub(super) async fn wait<T>(
        &self,
        what: &'static str,
        asked: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Error> {
        within(self.limit, what, async { asked.await.map_err(|error| told(&error)) }).await
    }

    /// How long anything may take.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether the broker lets nobody publish.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Says goodbye.
    pub(super) async fn close(self) -> Result<(), Error> {
        let closed = self.wait("a goodbye", self.connection.close(GOODBYE, "".into())).await;
        drop(self.socket);
        match closed {
            // A channel that was just let go is closed behind our back, and the client calls that a lost connection.
            Err(Error::Unreachable(_)) => Ok(()),
            closed => closed,
        }
    }
}

fn is_timed_out(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::IOError(io) if io.kind() == io::ErrorKind::TimedOut)
}

/// What an error says to people on call.
pub(super) fn told(error: &lapin::Error) -> Error {
    match error.kind() {
        ErrorKind::ProtocolError(amqp) => {
            let text = amqp.get_message().to_string();
            match amqp.kind() {
                AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Error::Denied(text),
                _ if text.contains("NOT_ALLOWED") && text.contains("refused") => Error::Denied(text),
                _ => Error::Answered(text),
            }
        }
        ErrorKind::IOError(io) | ErrorKind::RuntimeShutdownError(io) => Error::Unreachable(io.to_string()),
        ErrorKind::MissingHeartbeatError => Error::Unreachable("its heartbeat stopped".to_owned()),
        ErrorKind::InvalidConnectionState(_) | ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidChannel(_) => {
            Error::Unreachable("the connection was lost".to_owned())
        }
        _ => Error::Nonsense(error.to_string()),
    }
}
