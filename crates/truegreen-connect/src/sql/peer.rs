//! The server on the other side: how long it may take, and what became of it in words.

use std::future::Future;
use std::io::ErrorKind;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::{ConnectOptions, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::pieces::Dialect;
use crate::{Address, Error};

/// Characters taken of what a server says about an error.
const MAX_REASON: usize = 400;

/// A server that is asked.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: Address,
    pub(crate) dialect: Dialect,
    /// How long it may take to answer one question.
    pub(crate) limit: Duration,
}

impl Peer {
    /// How long the server itself lets a statement run: less than we wait, so that it is the server that ends it, and says so.
    pub(crate) fn server_limit(&self) -> Duration {
        self.limit.mul_f64(0.9).max(Duration::from_millis(1))
    }

    /// How long a statement may wait for a lock: less than it may run, so that the one is told from the other. MySQL counts it
    /// in whole seconds.
    pub(crate) fn lock_limit(&self) -> Duration {
        let half = self.server_limit() / 2;
        match self.dialect {
            Dialect::Postgres => half.max(Duration::from_millis(1)),
            Dialect::Mysql => Duration::from_secs(half.as_secs().max(1)),
        }
    }

    /// What it answers within the limit.
    pub(crate) async fn within<T>(
        &self,
        what: &'static str,
        asked: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Error> {
        match timeout(self.limit, asked).await {
            Ok(answer) => answer.map_err(|error| self.reason(what, error)),
            Err(_) => Err(Error::TimedOut { what, limit: self.limit }),
        }
    }

    /// Logs in, anew. Where that takes too long, a last part of the limit tells a black hole from a slow server.
    pub(crate) async fn open<C: Connection>(&self, options: &C::Options) -> Result<C, Error> {
        match timeout(self.limit.mul_f64(0.75), options.connect()).await {
            Ok(opened) => opened.map_err(|error| self.reason("the log-in", error)),
            Err(_) => Err(self.silence().await),
        }
    }

    async fn silence(&self) -> Error {
        let (rest, millis) = (self.limit.mul_f64(0.12), self.limit.as_millis());
        let port = match self.dialect {
            Dialect::Postgres => 5432,
            Dialect::Mysql => 3306,
        };
        let host = self.address.host().trim_matches(['[', ']']);
        let port = self.address.secret_url().port().unwrap_or(port);
        let mut stream = match timeout(rest, TcpStream::connect((host, port))).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Error::Unreachable(unreachable(&error)),
            Err(_) => {
                return Error::Unreachable(format!(
                    "no answer to a TCP connection within {millis} ms\n\
                     hint: a firewall drops it, the host is down, or more wait there than its backlog holds"
                ));
            }
        };
        let mut byte = [0];
        let spoken = timeout(rest, async {
            if self.dialect == Dialect::Postgres {
                // The request for TLS, which is answered by one byte. MySQL speaks first.
                stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await?;
            }
            stream.read(&mut byte).await
        });
        match spoken.await {
            Ok(Ok(1..)) => {
                Error::TimedOut { what: "the log-in, though it speaks: it is too slow, not", limit: self.limit }
            }
            Ok(_) => Error::Unreachable("it accepts the connection and closes it before the log-in".to_owned()),
            Err(_) => Error::Unreachable(format!(
                "it accepts the connection and then says nothing for {millis} ms\n\
                 hint: it hangs, or something else listens there"
            )),
        }
    }

    /// What an error of the client means, without any secret.
    pub(crate) fn reason(&self, what: &'static str, error: sqlx::Error) -> Error {
        let words = |text: String| -> String {
            let text = self.address.without_secrets(&text);
            text.chars().take(MAX_REASON).collect()
        };
        match error {
            sqlx::Error::Database(error) => match self.answered(what, error.as_ref()) {
                Error::Denied(text) => Error::Denied(words(text)),
                Error::Answered(text) => Error::Answered(words(text)),
                other => other,
            },
            sqlx::Error::Io(error) => Error::Unreachable(words(unreachable(&error))),
            sqlx::Error::Tls(error) => Error::Unreachable(words(format!(
                "TLS is not agreed upon: {error}\nhint: see `sslmode` and `sslrootcert` (PostgreSQL), `ssl-mode` and \
                 `ssl-ca` (MySQL) in its URL"
            ))),
            sqlx::Error::Configuration(error) => Error::NotAsked(words(format!("its URL: {error}"))),
            other => Error::Nonsense(words(other.to_string())),
        }
    }

    fn answered(&self, what: &'static str, error: &dyn DatabaseError) -> Error {
        let limit = self.server_limit();
        let trouble = match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => crate::postgres::trouble(error),
            #[cfg(feature = "mysql")]
            Dialect::Mysql => crate::mysql::trouble(error),
            #[cfg(not(all(feature = "postgres", feature = "mysql")))]
            _ => Trouble::Other,
        };
        let text = error.message();
        match trouble {
            Trouble::TimedOut => Error::TimedOut { what, limit },
            Trouble::Denied => Error::Denied(text.to_owned()),
            Trouble::ReadOnly => Error::Answered(format!("it is read-only here: {text}")),
            Trouble::DiskFull => Error::Answered(format!("no room on its disk: {text}\nhint: make room")),
            Trouble::NoConnection => Error::Answered(format!(
                "all its connections are taken: {text}\nhint: see who holds them, and max_connections"
            )),
            Trouble::Locked => Error::Answered(format!(
                "{what} waited for a lock for {} ms: {text}\nhint: see lock_waits and long_transactions",
                self.lock_limit().as_millis()
            )),
            Trouble::Unready => Error::Answered(format!("it starts up or shuts down: {text}")),
            Trouble::Other => Error::Answered(text.to_owned()),
        }
    }
}

/// Of what it answered to an insertion that was not committed yet: nothing of that is there.
pub(crate) fn refusal(error: Error) -> Error {
    match error {
        Error::Answered(why) => Error::Refused(why),
        other => other,
    }
}

/// What a server's error code means to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    TimedOut,
    Denied,
    ReadOnly,
    DiskFull,
    NoConnection,
    Locked,
    Unready,
    Other,
}

fn unreachable(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            "nobody listens at that port\nhint: is it running, and is this its port?".to_owned()
        }
        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => {
            format!("it closed the connection ({error})")
        }
        _ => error.to_string(),
    }
}
