//! One HTTP POST of JSON, and when to try again.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::metrics::Metrics;

const TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// A receiver's address, and the client for it.
pub(super) struct Poster {
    agent: ureq::Agent,
    /// Without credentials.
    url: String,
    /// From credentials in the URL.
    authorization: Option<String>,
    /// What logs say: a path or a query may be a secret too.
    shown: String,
    pub(super) metrics: Arc<Metrics>,
}

/// How a post ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Posted {
    Taken,
    /// Trying again may help.
    Later,
    /// It will never be taken as it is.
    Refused,
}

impl Poster {
    pub(super) fn new(url: &str, metrics: Arc<Metrics>) -> Poster {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("truegreen/", env!("CARGO_PKG_VERSION")))
            .build();
        let (url, credentials) = split_credentials(url);
        let authorization = credentials.map(|text| {
            let plain: Vec<u8> = percent_decode_str(&text).collect();
            format!("Basic {}", STANDARD.encode(plain))
        });
        Poster { agent: config.new_agent(), shown: shown(&url), url, authorization, metrics }
    }

    /// Posts `body` to the URL with `path` behind it.
    pub(super) fn post(&self, path: &str, body: &Value) -> Posted {
        let mut request = self.agent.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let posted = match request.send(body.to_string()) {
            Ok(response) => match response.status().as_u16() {
                200..=299 => Posted::Taken,
                status @ (408 | 429 | 500..=599) => {
                    tracing::warn!(receiver = self.shown, status, "alert not taken; trying again");
                    Posted::Later
                }
                status => {
                    tracing::error!(receiver = self.shown, status, "alert refused for good");
                    Posted::Refused
                }
            },
            Err(error) => {
                // Only its kind: the whole may repeat the URL.
                let kind = kind_of(&error);
                tracing::warn!(receiver = self.shown, "alert not delivered ({kind}); trying again");
                Posted::Later
            }
        };
        match posted {
            Posted::Taken => self.metrics.alerts_sent.add(1),
            Posted::Later => self.metrics.alert_retries.add(1),
            Posted::Refused => self.metrics.alerts_dropped.add("refused", 1),
        }
        posted
    }
}

/// How long to wait after so many failures in a row: doubling, with jitter, so that receivers are not hit in step.
pub(super) fn backoff(failures: u32) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(10));
    doubled.min(LONGEST_RETRY).mul_f64(0.5 + fastrand::f64() / 2.0)
}

fn split_credentials(url: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = url.split_once("://") else {
        return (url.to_owned(), None);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((credentials, _)) => {
            (format!("{scheme}://{}", &rest[credentials.len() + 1..]), Some(credentials.to_owned()))
        }
        None => (url.to_owned(), None),
    }
}

fn shown(url: &str) -> String {
    let uri: Option<Uri> = url.parse().ok();
    uri.and_then(|uri| uri.authority().map(ToString::to_string)).unwrap_or_else(|| "(no host)".to_owned())
}

fn kind_of(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "timed out".to_owned(),
        ureq::Error::HostNotFound => "host not found".to_owned(),
        ureq::Error::ConnectionFailed => "connection failed".to_owned(),
        ureq::Error::Io(error) => error.kind().to_string(),
        _ => "no answer that can be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_url_and_never_reach_a_log() {
        let poster = Poster::new("https://me:s%40cret@hooks.example:8443/T0/secret?k=1", Arc::default());
        assert_eq!(poster.url, "https://hooks.example:8443/T0/secret?k=1");
        assert_eq!(poster.shown, "hooks.example:8443");
        assert_eq!(poster.authorization.as_deref(), Some(&*format!("Basic {}", STANDARD.encode("me:s@cret"))));
    }

    #[test]
    fn waits_double_up_to_a_bound() {
        for failures in 1..40 {
            let bound = FIRST_RETRY * 2u32.pow(failures.min(8) - 1);
            assert!(backoff(failures) <= bound.min(LONGEST_RETRY));
            assert!(backoff(failures) >= FIRST_RETRY / 2);
        }
    }
}
