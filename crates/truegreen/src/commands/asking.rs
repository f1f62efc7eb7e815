//! Asking a running server over its API.

use std::time::Duration;

use anyhow::Context;
use serde::de::DeserializeOwned;

const TIMEOUT: Duration = Duration::from_secs(10);

/// What the server at `url` answers to a GET of this path.
pub(super) fn ask<T: DeserializeOwned>(url: &str, path: &str) -> anyhow::Result<T> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
    let asked = format!("{}{path}", url.trim_end_matches('/'));
    let hint = "hint: is `truegreen serve` running there? name another place with --url";
    let mut answer =
        agent.get(&asked).call().map_err(|error| anyhow::anyhow!("no answer from {url}: {error}\n{hint}"))?;
    answer.body_mut().read_json().with_context(|| format!("{url} answers, but not like Truegreen\n{hint}"))
}
