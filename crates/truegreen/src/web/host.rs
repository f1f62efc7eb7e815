//! Whom the pages answer. On loopback only to names of this machine: a web site elsewhere may point its own name at
//! 127.0.0.1 and read, through somebody's browser, what only this machine may (DNS rebinding).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::metrics::Metrics;

/// The names that requests may use for us.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// Whoever made us reachable from elsewhere may call us as they like.
    any: bool,
    external: Option<String>,
    metrics: Arc<Metrics>,
}

impl Names {
    pub(crate) fn new(listening: SocketAddr, external_url: Option<&str>, metrics: Arc<Metrics>) -> Self {
        let external = external_url.and_then(|url| url.split_once("://")).map(|(_, rest)| {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            host(authority).to_ascii_lowercase()
        });
        Names { any: !listening.ip().is_loopback(), external, metrics }
    }

    fn allow(&self, authority: &str) -> bool {
        let host = host(authority).to_ascii_lowercase();
        let is_loopback = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self.any || is_loopback || host == "localhost" || self.external.as_deref() == Some(&host)
    }
}

/// Refuses requests that call us by a name that is not ours.
pub(crate) async fn guard(State(names): State<Names>, request: Request, next: Next) -> Response {
    let header = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let authority = header.or(request.uri().authority().map(|authority| authority.as_str()));
    if authority.is_none_or(|authority| names.allow(authority)) {
        return next.run(request).await;
    }
    names.metrics.refused_requests.add("foreign_host", 1);
    let told = "this server answers to the names of this machine only\nhint: set external_url to the name you use\n";
    (StatusCode::MISDIRECTED_REQUEST, told).into_response()
}

/// Without the port.
fn host(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => &authority[..colon],
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_loopback_only_names_of_this_machine_are_ours() {
        let metrics = Arc::new(Metrics::default());
        let names = Names::new("127.0.0.1:4320".parse().unwrap(), Some("https://truegreen.example:8443/x"), metrics);
        for ours in ["localhost:4320", "127.0.0.1", "127.9.9.9:1", "[::1]:4320", "Truegreen.Example"] {
            assert!(names.allow(ours), "{ours}");
        }
        for foreign in ["evil.example", "evil.example:4320", "127.0.0.1.evil.example", "", "localhost.evil.example"] {
            assert!(!names.allow(foreign), "{foreign}");
        }
    }

    #[test]
    fn whoever_is_reachable_from_elsewhere_may_be_called_anything() {
        let names = Names::new("0.0.0.0:4320".parse().unwrap(), None, Arc::new(Metrics::default()));
        assert!(names.allow("truegreen.internal:4320"));
    }
}
