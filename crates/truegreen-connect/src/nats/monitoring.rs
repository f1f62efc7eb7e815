//! What the server's monitoring counts, where the configuration names its address under `management`.

use std::time::Duration;

use serde::Deserialize;
use truegreen_model::probe::Check;

use super::Nats;
use crate::config::Limit;
use crate::probe::{failed, within};
use crate::{Address, Error};

/// Bytes of an answer.
const MAX_BYTES: u64 = 4 << 20;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Varz {
    slow_consumers: u64,
}

impl Nats {
    /// Clients that were cut off for reading too slowly, since the last look.
    pub(super) async fn monitoring(&self) -> Option<Check> {
        let management = self.config.management.clone()?;
        let limit = self.config.timeout;
        let asked = async {
            tokio::task::spawn_blocking(move || varz(&management, limit))
                .await
                .map_err(|error| Error::Nonsense(error.to_string()))?
        };
        // The client keeps the limit itself; this is for a name server that does not answer.
        let counted = match within(limit + Duration::from_secs(1), "its monitoring", asked).await {
            Ok(varz) => varz.slow_consumers,
            Err(error) => return Some(failed("monitoring", &error)),
        };
        let mut before = self.slow_consumers.lock().await;
        let new = before.map_or(0, |before| counted.checked_sub(before).unwrap_or(counted));
        *before = Some(counted);
        let words =
            format!("{new} clients were cut off for reading too slowly since the last look, {counted} since its start");
        let usual = Limit { warn: Some(1.0), fail: None };
        Some(self.config.judge("slow_consumers", usual, new as f64, "clients", &words))
    }
}

fn varz(management: &Address, limit: Duration) -> Result<Varz, Error> {
    let mut url = management.secret_url().clone();
    url.set_path("/varz");
    let agent = ureq::Agent::config_builder().timeout_global(Some(limit)).max_redirects(0).build().new_agent();
    let told = |error: ureq::Error| match error {
        ureq::Error::Timeout(_) => Error::TimedOut { what: "its monitoring", limit },
        ureq::Error::StatusCode(401 | 403) => Error::Denied("its monitoring refuses us".to_owned()),
        ureq::Error::StatusCode(status) => Error::Answered(format!("status {status} from its monitoring")),
        other => Error::Unreachable(management.without_secrets(&format!("its monitoring: {other}"))),
    };
    let mut answer = agent.get(url.as_str()).call().map_err(told)?;
    let text = answer.body_mut().with_config().limit(MAX_BYTES).read_to_string().map_err(told)?;
    serde_json::from_str(&text).map_err(|error| Error::Nonsense(format!("its monitoring: {error}")))
}
