//! Whom we trust, and what went wrong with TLS in words.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::{Error, socket};

/// A file of more than this is no list of authorities.
const MAX_CA_BYTES: u64 = 4 << 20;

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The certificates in this file. It is read each time, since such files are renewed in place.
///
/// # Errors
/// Where it cannot be read, or holds none.
pub(crate) fn authorities(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let shown = path.display();
    let unreadable = |error: &dyn std::fmt::Display| Error::NotAsked(format!("cannot read `ca` {shown}: {error}"));
    let length = std::fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if length > MAX_CA_BYTES {
        return Err(unreadable(&"it is too large"));
    }
    let text = std::fs::read(path).map_err(|error| unreadable(&error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(unreadable(&"it holds no certificate\nhint: PEM, `-----BEGIN CERTIFICATE-----`")),
        Err(error) => Err(unreadable(&error)),
    }
}

/// Those of a file alone, or else those that Mozilla trusts.
pub(super) async fn roots(ca: Option<PathBuf>) -> Result<Arc<RootCertStore>, Error> {
    let Some(path) = ca else {
        return Ok(Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }));
    };
    let read = tokio::task::spawn_blocking(move || authorities(&path)).await;
    let found = read.map_err(|error| Error::NotAsked(error.to_string()))??;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found);
    match roots.is_empty() {
        true => Err(Error::NotAsked("no certificate in `ca` can be trusted as an authority".to_owned())),
        false => Ok(Arc::new(roots)),
    }
}

/// Keeps what certificates a server shows, whatever they are: they are judged after the handshake. That the server holds
/// the key of the first is checked.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Vec<CertificateDer<'static>>>);

impl Recorder {
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = [end_entity].into_iter().chain(intermediates).map(|one| one.clone().into_owned()).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What a socket under TLS says.
pub(crate) fn why_of_io(error: &io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => why(inner),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            Error::Unreachable("it closed the connection in the middle of the handshake".to_owned())
        }
        None => socket::why(error),
    }
}

/// What TLS itself says.
pub(crate) fn why(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } => {
            Error::Nonsense("there is no TLS\nhint: see the port, and whether it speaks plain text".to_owned())
        }
        rustls::Error::AlertReceived(alert) => Error::Answered(format!("it refused the handshake ({alert:?})")),
        rustls::Error::PeerIncompatible(why) => Error::Answered(format!("no way to speak TLS in common ({why:?})")),
        rustls::Error::InvalidCertificate(error) => {
            Error::Unreachable(format!("its certificate {}", certificate(error)))
        }
        other => Error::Nonsense(other.to_string()),
    }
}

/// What is wrong with a certificate, after "its certificate".
pub(super) fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => format!("expired on {}", date(*not_after)),
        CertificateError::NotValidYet => "is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("is not valid before {}", date(*not_before))
        }
        CertificateError::NotValidForName => "is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("is not for {}: it is for {}", expected.to_str(), names(presented))
        }
        CertificateError::UnknownIssuer => "comes from nobody we trust".to_owned(),
        CertificateError::BadSignature => "has a signature that is not its issuer's".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for servers".to_owned()
        }
        other => format!("cannot be trusted: {other}"),
    }
}

/// A certificate may be for hundreds.
fn names(presented: &[String]) -> String {
    const SHOWN: usize = 5;
    let plain =
        |name: &String| name.strip_prefix("DnsName(\"").and_then(|n| n.strip_suffix("\")")).unwrap_or(name).to_owned();
    let shown: Vec<String> = presented.iter().take(SHOWN).map(plain).collect();
    match presented.len().saturating_sub(SHOWN) {
        0 if shown.is_empty() => "no name".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `2026-01-02`, in UTC.
pub(super) fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%Y-%m-%d").to_string(),
        Err(_) => "a day after 9999".to_owned(),
    }
}
