//! Asking a running server over its API.

use std::time::Duration;

use anyhow::Context;
use serde::de::DeserializeOwned;

const TIMEOUT: Duration = Duration::from_secs(10);
/// What is sent may have a diagnosis made of it first.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// The server bounds what it answers; this is only against whoever else listens there.
const MAX_TEXT_BYTES: u64 = 64 << 20;
const HINT: &str = "hint: is `truegreen serve` running there? name another place with --url";

#[derive(serde::Deserialize)]
struct Problem {
    error: String,
    hint: String,
}

/// What the server at `url` answers to a GET of this path.
pub(super) fn ask<T: DeserializeOwned>(url: &str, path: &str) -> anyhow::Result<T> {
    ask_for(url, path, TIMEOUT)
}

/// The same of what takes longer. What the server says is wrong is the error.
pub(super) fn ask_for<T: DeserializeOwned>(url: &str, path: &str, timeout: Duration) -> anyhow::Result<T> {
    let mut answer = told(url, path, timeout, Method::Get)?;
    let not_ours = format!("{url} answers, but not like Truegreen\n{HINT}");
    answer.body_mut().read_json().context(not_ours)
}

/// What the server at `url` answers to a GET of this path, as it is.
pub(super) fn text(url: &str, path: &str, timeout: Duration) -> anyhow::Result<String> {
    let mut answer = told(url, path, timeout, Method::Get)?;
    let body = answer.body_mut().with_config().limit(MAX_TEXT_BYTES).read_to_string();
    body.with_context(|| format!("{url} answers more than can be read\n{HINT}"))
}

/// Sends this as JSON to the server at `url`; what it answers.
pub(super) fn send<T: DeserializeOwned>(url: &str, path: &str, body: &serde_json::Value) -> anyhow::Result<T> {
    let mut answer = told(url, path, SEND_TIMEOUT, Method::Post(body))?;
    let not_ours = format!("{url} answers, but not like Truegreen\n{HINT}");
    answer.body_mut().read_json().context(not_ours)
}

/// Asks the server at `url` to forget what is at this path.
pub(super) fn forget(url: &str, path: &str) -> anyhow::Result<()> {
    told(url, path, TIMEOUT, Method::Delete).map(drop)
}

enum Method<'a> {
    Get,
    Delete,
    Post(&'a serde_json::Value),
}

fn told(
    url: &str,
    path: &str,
    timeout: Duration,
    method: Method<'_>,
) -> anyhow::Result<ureq::http::Response<ureq::Body>> {
    let config = ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    let asked = format!("{}{path}", url.trim_end_matches('/'));
    let answer = match method {
        Method::Get => agent.get(&asked).call(),
        Method::Delete => agent.delete(&asked).call(),
        Method::Post(body) => agent.post(&asked).send_json(body),
    };
    let mut answer = answer.map_err(|error| anyhow::anyhow!("no answer from {url}: {error}\n{HINT}"))?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    match answer.body_mut().read_json::<Problem>() {
        Ok(Problem { error, hint }) => anyhow::bail!("{url}: {error}\nhint: {hint}"),
        Err(_) => anyhow::bail!("no answer from {url}: status {}\n{HINT}", answer.status()),
    }
}
