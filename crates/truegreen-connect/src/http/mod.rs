//! What answers over HTTP: status and latency, what its body must say, and what a health check says of itself and of its
//! circuit breakers. A body is read up to a bound, and a redirect is an answer, not a way to somewhere else.

mod body;
mod confirm;
mod exchange;
mod health;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use truegreen_model::probe::{Check, Standing};

use crate::config::Limit;
use crate::confirm::Confirm;
use crate::probe::failed;
use crate::system::Ask;
use crate::{Error, SystemConfig};
use body::Expectation;
use exchange::{Answer, Place};

/// Latency in seconds; not to answer at all within `timeout` is what fails.
const USUAL_LATENCY: Limit = Limit { warn: Some(1.0), fail: None };

/// What answers at a URL.
pub struct Http {
    config: Arc<SystemConfig>,
    place: Place,
    body: Vec<Expectation>,
    whole: Vec<Expectation>,
}

impl Http {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// Where what is expected of its body is no JSONPath.
    pub fn new(config: Arc<SystemConfig>) -> Result<Http, Error> {
        let read = |field: &str, texts: &[String]| {
            let each = texts.iter().map(|text| Expectation::parse(text));
            each.collect::<Result<Vec<_>, _>>().map_err(|why| Error::NotAsked(format!("`expect.{field}`: {why}")))
        };
        let (body, whole) = (read("body", &config.expect.body)?, read("whole", &config.expect.whole)?);
        let place = Place::of(&config.address);
        Ok(Http { config, place, body, whole })
    }

    fn judge(&self, answer: &Answer) -> Vec<Check> {
        let status = self.status(answer);
        let mut checks = vec![status, self.latency(answer)];
        let body = match &answer.body {
            Ok(body) => body,
            Err(error) => {
                checks.push(failed("body", error));
                return checks;
            }
        };
        let json: Result<Value, String> = match answer.is_cut {
            true => Err(format!("is longer than {} MiB", exchange::MAX_BODY_BYTES >> 20)),
            false => serde_json::from_slice(body).map_err(|_| "is no JSON".to_owned()),
        };
        checks.extend(self.body.iter().map(|expected| expected.check("body", Standing::Fail, &json)));
        checks.extend(self.whole.iter().map(|expected| expected.check("whole", Standing::Warn, &json)));
        if let Ok(json) = &json {
            checks.extend(health::checks(json, &answer.media_type, self.config.expect.claims_of.is_some()));
        }
        checks
    }

    fn status(&self, answer: &Answer) -> Check {
        let statuses = &self.config.expect.statuses;
        let is_well =
            if statuses.is_empty() { (200..300).contains(&answer.status) } else { statuses.contains(&answer.status) };
        let check = Check::pass("status").observed(f64::from(answer.status), "status");
        if is_well {
            return check;
        }
        let expected = match statuses.as_slice() {
            [] => "200 to 299".to_owned(),
            some => some.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
        };
        let reason = match (answer.status, &answer.leads_to) {
            (401 | 403, _) => "\nhint: see the user and the password in its `url`".to_owned(),
            (300..=399, Some(place)) => format!(": it leads to {place}\nhint: ask there; redirects are not followed"),
            _ => String::new(),
        };
        let reason = format!("answered {}, not {expected}{reason}", answer.status);
        Check { standing: Standing::Fail, reason, ..check }
    }

    fn latency(&self, answer: &Answer) -> Check {
        let what = format!("answered in {:.0} ms", answer.seconds * 1_000.0);
        self.config.judge("latency", USUAL_LATENCY, answer.seconds, "s", &what)
    }
}

#[async_trait]
impl Ask for Http {
    async fn probe(&self) -> Vec<Check> {
        let (place, config) = (self.place.clone(), Arc::clone(&self.config));
        let asked = tokio::task::spawn_blocking(move || {
            let agent = exchange::agent(&config)?;
            exchange::ask(&agent, config.method, &place.url, place.authorization.as_deref(), config.timeout)
        });
        match asked.await {
            Ok(Ok(answer)) => self.judge(&answer),
            Ok(Err(error)) => vec![failed("status", &error)],
            Err(error) => vec![Check::new("status", Standing::Unknown, format!("asking ended by a bug: {error}"))],
        }
    }

    fn confirm(&self) -> Option<&dyn Confirm> {
        Some(self)
    }
}
