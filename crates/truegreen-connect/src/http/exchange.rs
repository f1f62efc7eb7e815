//! One question over HTTP and its answer, with a limit on everything.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::Agent;
use ureq::http::header::{AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, LOCATION};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::config::Method;
use crate::tls::trust;
use crate::{Address, Error, SystemConfig, socket};

/// So much of a body is read.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;
const MAX_HEADER_BYTES: usize = 64 << 10;
/// So much of a header's text is shown.
const MAX_SHOWN: usize = 200;

/// Where is asked, and as whom.
#[derive(Clone)]
pub(super) struct Place {
    /// Without user and password.
    pub(super) url: String,
    /// Scheme, host and port.
    pub(super) origin: String,
    pub(super) authorization: Option<String>,
}

impl Place {
    pub(super) fn of(address: &Address) -> Place {
        let mut url = address.secret_url().clone();
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let authorization = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let pair = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
            format!("Basic {}", STANDARD.encode(pair))
        });
        // Neither can fail with a host, which an address has.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        Place { origin: url.origin().ascii_serialization(), url: url.into(), authorization }
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// In lower case, without parameters.
    pub(super) media_type: String,
    /// Scheme and host of a redirect, or its path.
    pub(super) leads_to: Option<String>,
    /// For how many seconds a cache had it, where one says so.
    pub(super) age: Option<u64>,
    /// From the question to the end of the body, as far as it is read.
    pub(super) seconds: f64,
    /// Or why it did not come whole.
    pub(super) body: Result<Vec<u8>, Error>,
    /// There was more of it.
    pub(super) is_cut: bool,
}

/// Follows nothing, and goes through no proxy: what is asked is this system.
///
/// # Errors
/// Where `ca` cannot be read.
pub(super) fn agent(config: &SystemConfig) -> Result<Agent, Error> {
    let mut tls = TlsConfig::builder();
    if let Some(path) = &config.ca {
        let trusted = trust::authorities(path)?;
        let trusted = trusted.iter().map(|one| Certificate::from_der(one.as_ref()).to_owned()).collect();
        tls = tls.root_certs(RootCerts::Specific(Arc::new(trusted)));
    }
    let (stage, whole) = (Some(stage(config.timeout)), Some(config.timeout));
    let settings = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .max_response_header_size(MAX_HEADER_BYTES)
        .tls_config(tls.build())
        .user_agent(concat!("truegreen/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(stage)
        .timeout_connect(stage)
        .timeout_send_request(stage)
        .timeout_send_body(stage)
        .timeout_recv_response(stage)
        .timeout_global(whole);
    Ok(settings.build().into())
}

/// Each stage ends a little before the whole does, so that the reason names the stage.
fn stage(limit: Duration) -> Duration {
    limit * 9 / 10
}

/// Asks. Blocks for at most `limit`, the agent's.
///
/// # Errors
/// Where there was no answer at all.
pub(super) fn ask(
    agent: &Agent,
    method: Method,
    url: &str,
    authorization: Option<&str>,
    limit: Duration,
) -> Result<Answer, Error> {
    let began = Instant::now();
    let answered = match method {
        Method::Get => with(agent.get(url), authorization).call(),
        Method::Head => with(agent.head(url), authorization).call(),
        Method::Post => with(agent.post(url), authorization).send_empty(),
    };
    let mut answer = answered.map_err(|error| why(error, limit))?;
    let header = |name: HeaderName| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let media_type = header(CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    let leads_to = header(LOCATION).map(|place| shown(place.split('?').next().unwrap_or_default()));
    let age = header(AGE).and_then(|seconds| seconds.trim().parse().ok());
    let mut body = Vec::new();
    let read = answer.body_mut().as_reader().take(MAX_BODY_BYTES as u64 + 1).read_to_end(&mut body);
    let is_cut = body.len() > MAX_BODY_BYTES;
    body.truncate(MAX_BODY_BYTES);
    let body = read.map(|_| body).map_err(|error| why_of_io(error, limit));
    let status = answer.status().as_u16();
    Ok(Answer { status, media_type, leads_to, age, seconds: began.elapsed().as_secs_f64(), body, is_cut })
}

fn with<B>(request: ureq::RequestBuilder<B>, authorization: Option<&str>) -> ureq::RequestBuilder<B> {
    // What a cache knows is how it was.
    let request = request.header(CACHE_CONTROL, "no-cache");
    match authorization {
        Some(authorization) => request.header(AUTHORIZATION, authorization),
        None => request,
    }
}

/// A text from outside, of a length that fits a line.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn why(error: ureq::Error, limit: Duration) -> Error {
    match error {
        ureq::Error::Timeout(stage) => timed_out(stage, limit),
        ureq::Error::HostNotFound => Error::Unreachable("no host has that name".to_owned()),
        ureq::Error::ConnectionFailed => Error::Unreachable("no connection".to_owned()),
        ureq::Error::Rustls(error) => trust::why(&error),
        ureq::Error::Io(error) => why_of_io(error, limit),
        ureq::Error::LargeResponseHeader(..) => {
            Error::Nonsense(format!("its header is longer than {} KiB", MAX_HEADER_BYTES >> 10))
        }
        other => Error::Nonsense(shown(&other.to_string())),
    }
}

fn why_of_io(error: io::Error, limit: Duration) -> Error {
    match error.downcast::<ureq::Error>() {
        Ok(ureq::Error::Io(error)) => trust::why_of_io(&error),
        Ok(inner) => why(inner, limit),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => socket::why(&error),
        Err(error) => trust::why_of_io(&error),
    }
}

fn timed_out(stage_of: ureq::Timeout, limit: Duration) -> Error {
    use ureq::Timeout;
    let (what, limit) = match stage_of {
        Timeout::Resolve => ("the look-up of its name", stage(limit)),
        Timeout::Connect => ("the connection", stage(limit)),
        Timeout::SendRequest | Timeout::SendBody | Timeout::RecvResponse => ("the request", stage(limit)),
        _ => ("the request to its end", limit),
    };
    Error::TimedOut { what, limit }
}
