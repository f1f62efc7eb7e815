//! The certificate of `host:port`: for how long it lasts, whether it is for that name, and whether anybody trusts it.
//! The handshake is done with whatever certificate there is, and nothing is sent after it.

mod certificate;
pub(crate) mod trust;
mod verdict;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use truegreen_model::probe::{Check, Standing};

use crate::config::Limit;
use crate::probe::{failed, within};
use crate::system::Ask;
use crate::{Error, SystemConfig, socket};
use trust::{Recorder, provider};

const USUAL_PORT: u16 = 443;
/// Days left, from where on downwards it warns and fails.
const USUAL: Limit = Limit::new(21.0, 7.0);

/// What answers TLS at an address.
pub struct Tls {
    config: Arc<SystemConfig>,
    host: String,
    port: u16,
    name: ServerName<'static>,
}

/// What a handshake showed.
struct Shown {
    /// The server's own certificate first.
    chain: Vec<CertificateDer<'static>>,
    /// Why the handshake was not finished.
    broken: Option<Error>,
}

impl Tls {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// Where no certificate could be for such a host.
    pub fn new(config: Arc<SystemConfig>) -> Result<Tls, Error> {
        let (host, port) = socket::host_and_port(&config.address, USUAL_PORT);
        let name = ServerName::try_from(host.clone())
            .map_err(|_| Error::NotAsked(format!("no certificate can be for the name {host}")))?;
        Ok(Tls { config, host, port, name })
    }

    async fn connect(&self) -> Result<TcpStream, Error> {
        TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| socket::why(&error))
    }

    async fn handshake(&self, stream: TcpStream) -> Result<Shown, Error> {
        let recorder = Arc::new(Recorder::default());
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| trust::why(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&recorder) as Arc<_>)
            .with_no_client_auth();
        let connecting = TlsConnector::from(Arc::new(config)).connect(self.name.clone(), stream);
        let broken = connecting.await.err().map(|error| trust::why_of_io(&error));
        match (recorder.chain(), broken) {
            (chain, Some(error)) if chain.is_empty() => Err(error),
            (chain, broken) => Ok(Shown { chain, broken }),
        }
    }

    async fn ask(&self) -> Result<Vec<Check>, Error> {
        let limit = self.config.timeout;
        let stream = within(limit, "the connection", self.connect()).await?;
        let shown = within(limit, "the handshake", self.handshake(stream)).await?;
        let handshake = match &shown.broken {
            None => Check::pass("handshake"),
            Some(error) => failed("handshake", error),
        };
        let roots = match trust::roots(self.config.ca.clone()).await {
            Ok(roots) => roots,
            Err(error) => return Ok(vec![handshake, failed("trust", &error)]),
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let limit = self.config.limits.get("days_left").copied().unwrap_or(USUAL);
        let now = UnixTime::since_unix_epoch(since);
        Ok([handshake].into_iter().chain(verdict::judge(&shown.chain, &self.name, now, roots, limit)).collect())
    }
}

#[async_trait]
impl Ask for Tls {
    async fn probe(&self) -> Vec<Check> {
        self.ask().await.unwrap_or_else(|error| vec![failed("handshake", &error)])
    }
}

/// Said where nothing can be told of a certificate.
fn unreadable(why: &str) -> Check {
    Check::new("days_left", Standing::Unknown, format!("its certificate cannot be read: {why}"))
}
