//! Asking a running server over its API.

use std::time::Duration;

use anyhow::Context;
use serde::de::DeserializeOwned;

const TIMEOUT: Duration = Duration::from_secs(10);
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
    let mut answer = told(url, path, timeout, false)?;
    let not_ours = format!("{url} answers, but not like Truegreen\n{HINT}");
    answer.body_mut().read_json().context(not_ours)
}

/// Tells the server at `url` something, and what it answers. What it says is wrong is the error.
pub(super) fn tell<T: DeserializeOwned>(url: &str, path: &str, what: &serde_json::Value) -> anyhow::Result<T> {
    let told = format!("{}{path}", url.trim_end_matches('/'));
    let answer = agent(TIMEOUT).post(&told).send_json(what);
    let mut answer =
        understood(url, answer.map_err(|error| anyhow::anyhow!("no answer from {url}: {error}\n{HINT}"))?)?;
    answer.body_mut().read_json().context(format!("{url} answers, but not like Truegreen\n{HINT}"))
}

/// Asks the server at `url` to forget what is at this path.
pub(super) fn forget(url: &str, path: &str) -> anyhow::Result<()> {
    told(url, path, TIMEOUT, true).map(drop)
}

fn told(url: &str, path: &str, timeout: Duration, forgets: bool) -> anyhow::Result<ureq::http::Response<ureq::Body>> {
    let agent = agent(timeout);
    let asked = format!("{}{path}", url.trim_end_matches('/'));
    let answer = if forgets { agent.delete(&asked).call() } else { agent.get(&asked).call() };
    understood(url, answer.map_err(|error| anyhow::anyhow!("no answer from {url}: {error}\n{HINT}"))?)
}

fn agent(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).build().into()
}

fn understood(
    url: &str,
    mut answer: ureq::http::Response<ureq::Body>,
) -> anyhow::Result<ureq::http::Response<ureq::Body>> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    match answer.body_mut().read_json::<Problem>() {
        Ok(Problem { error, hint }) => anyhow::bail!("{url}: {error}\nhint: {hint}"),
        Err(_) => anyhow::bail!("no answer from {url}: status {}\n{HINT}", answer.status()),
    }
}
