//! One connection, on which no answer is longer than its bound.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisConnectionInfo, RedisError, RedisResult,
    Value,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::probe::within;
use crate::{Error, SystemConfig};

/// Bytes of one answer, or of all answers to one batch of questions.
pub(super) const MAX_ANSWER_BYTES: u64 = 64 << 20;
const PORT: u16 = 6379;

/// Where to, and who asks there.
pub(super) struct Route {
    host: String,
    port: u16,
    is_tls: bool,
    user: RedisConnectionInfo,
}

impl Route {
    /// By the address alone.
    pub(super) fn of(config: &SystemConfig) -> Result<Route, Error> {
        let url = config.address.secret_url();
        let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
        let mut user = RedisConnectionInfo::default().set_skip_set_lib_name();
        if !url.username().is_empty() {
            user = user.set_username(decoded(url.username()));
        }
        if let Some(password) = url.password() {
            user = user.set_password(decoded(password));
        }
        let database = url.path().trim_matches('/');
        if !database.is_empty() {
            let wrong =
                |_| Error::NotAsked("its path is no number of a database\nhint: redis://HOST:6379/0".to_owned());
            user = user.set_db(database.parse().map_err(wrong)?);
        }
        let host = config.address.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = matches!(url.scheme(), "rediss" | "valkeys");
        Ok(Route { host, port: url.port().unwrap_or(PORT), is_tls, user })
    }
}

/// One connection.
pub(super) struct Connection {
    redis: MultiplexedConnection,
    driver: JoinHandle<()>,
    left: Arc<AtomicU64>,
    limit: Duration,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects and logs in.
    pub(super) async fn open(config: &SystemConfig) -> Result<Connection, Error> {
        let route = Route::of(config)?;
        let limit = config.timeout;
        let stream = within(limit, "a connection", connect(&route)).await?;
        let left = Arc::new(AtomicU64::new(MAX_ANSWER_BYTES));
        let metered = Metered { stream, left: Arc::clone(&left), has_asked: false, reader: None };
        // Its own limit of half a second would speak first.
        let own_limits = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let log_in = async {
            let connected = MultiplexedConnection::new_with_config(&route.user, metered, own_limits).await;
            connected.map_err(|error| told(&error))
        };
        let (redis, driver) = within(limit, "AUTH", log_in).await?;
        Ok(Connection { redis, driver: tokio::spawn(driver), left, limit })
    }

    /// One question. `what` names it where it is not answered in time.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, what: &'static str, command: &Cmd) -> Result<T, Error> {
        self.left.store(MAX_ANSWER_BYTES, Ordering::Relaxed);
        let (limit, redis) = (self.limit, &mut self.redis);
        let answer = within(limit, what, async { Ok(command.query_async::<T>(redis).await) }).await?;
        self.judge(answer)
    }

    /// Many questions at once, each with an answer or an error of its own.
    pub(super) async fn ask_all(
        &mut self,
        what: &'static str,
        commands: &mut Pipeline,
        bytes: u64,
    ) -> Result<Vec<Result<Value, Error>>, Error> {
        self.left.store(bytes, Ordering::Relaxed);
        commands.ignore_errors();
        let (limit, redis) = (self.limit, &mut self.redis);
        let asked = async { Ok(commands.query_async::<Vec<RedisResult<Value>>>(redis).await) };
        let answers = within(limit, what, asked).await?;
        let answers = self.judge(answers)?;
        Ok(answers.into_iter().map(|answer| answer.map_err(|error| told(&error))).collect())
    }

    /// Whether the last answer was cut for its length; the connection is of no use after it.
    pub(super) fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    fn judge<T>(&self, answer: RedisResult<T>) -> Result<T, Error> {
        answer.map_err(|error| match self.is_spent() {
            true => Error::Answered("more than is taken of one answer".to_owned()),
            false => told(&error),
        })
    }
}

/// What an error says to people on call.
pub(super) fn told(error: &RedisError) -> Error {
    let detail = error.detail().unwrap_or_default();
    let answered = |text: &str| Error::Answered(text.to_owned());
    match error.code() {
        Some("NOAUTH") => Error::Denied("it wants a password, and the address has none (NOAUTH)".to_owned()),
        Some("WRONGPASS") => Error::Denied("it knows no such user and password (WRONGPASS)".to_owned()),
        Some("NOPERM") => Error::Denied(format!("NOPERM {detail}")),
        Some("DENIED") => Error::Denied("it is in protected mode and answers on loopback only (DENIED)".to_owned()),
        Some("READONLY") => answered(
            "it is a read-only replica (READONLY)\nhint: give the address of the primary, or leave out `scratch`",
        ),
        Some("MISCONF") => answered(
            "it cannot save to its disk and takes no writes (MISCONF)\nhint: see its log; the disk may be full or not writable",
        ),
        Some("OOM") => answered(
            "its memory is full and it evicts nothing that makes room (OOM)\nhint: raise maxmemory, or see maxmemory-policy",
        ),
        Some("LOADING") => answered("it is still loading its data from disk (LOADING)"),
        Some("MASTERDOWN") => answered("it is a replica that lost its primary and answers nothing stale (MASTERDOWN)"),
        Some("BUSY") => answered("it is busy with a script (BUSY)"),
        Some("NOREPLICAS") => answered("too few replicas are connected for it to take writes (NOREPLICAS)"),
        Some("CLUSTERDOWN") => answered("its cluster is down (CLUSTERDOWN)"),
        Some("MOVED" | "ASK" | "CROSSSLOT") => answered("this key lies on another node of its cluster (MOVED)"),
        Some(code) => Error::Answered(format!("{code} {detail}").trim().to_owned()),
        None => match error.kind() {
            ErrorKind::AuthenticationFailed => {
                Error::Denied("it knows no such user and password (WRONGPASS)".to_owned())
            }
            ErrorKind::Io => Error::Unreachable(error.to_string()),
            _ => Error::Nonsense(error.to_string()),
        },
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn connect(route: &Route) -> Result<Box<dyn Stream>, Error> {
    let unreachable = |error: io::Error| Error::Unreachable(error.to_string());
    let tcp = TcpStream::connect((route.host.as_str(), route.port)).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    if !route.is_tls {
        return Ok(Box::new(tcp));
    }
    let name = ServerName::try_from(route.host.clone()).map_err(|error| Error::NotAsked(error.to_string()))?;
    Ok(Box::new(TlsConnector::from(trust()?).connect(name, tcp).await.map_err(unreachable)?))
}

/// What this machine trusts, so that a certificate authority of one's own is trusted where the machine is told to.
fn trust() -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let hint =
            "this machine trusts no certificate authority\nhint: apt-get install ca-certificates, or set SSL_CERT_FILE";
        return Err(Error::NotAsked(hint.to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| Error::NotAsked(error.to_string()))?;
    Ok(Arc::new(versions.with_root_certificates(roots).with_no_client_auth()))
}

/// What the client reads and writes. It keeps an answer in memory whole, whatever its length; so it ends here where it is too
/// long.
struct Metered {
    stream: Box<dyn Stream>,
    left: Arc<AtomicU64>,
    /// Something was asked.
    has_asked: bool,
    /// Who waits for answers until then.
    reader: Option<Waker>,
}

impl Metered {
    fn asked(&mut self) {
        self.has_asked = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Who turns away says why before it was asked anything, and the client would drop what answers no question.
        if !self.has_asked {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = (buffer.filled().len() - before) as u64;
        let left = self.left.load(Ordering::Relaxed).saturating_sub(read);
        self.left.store(left, Ordering::Relaxed);
        Poll::Ready(if left == 0 { Err(io::Error::other("an answer is too long")) } else { Ok(()) })
    }
}

impl AsyncWrite for Metered {
    /// Who turns away has closed by then: why is still to be read, and says more than that nothing more is taken.
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.asked();
        let is_closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        Poll::Ready(written.or_else(|error| if is_closed(&error) { Ok(bytes.len()) } else { Err(error) }))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
