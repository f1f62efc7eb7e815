//! What all probes share: time limits, and limits told in words.

use std::future::Future;
use std::time::Duration;

use truegreen_model::probe::{Check, Standing};

use crate::Error;
use crate::config::{Limit, SystemConfig};

/// Checks of one probe; a system of ten thousand queues is told of by its worst.
pub const MAX_CHECKS: usize = 500;

/// What a future says within the limit, or that it did not.
pub async fn within<T>(
    limit: Duration,
    what: &'static str,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, asked).await.unwrap_or(Err(Error::TimedOut { what, limit }))
}

/// A check that could not be made: it fails where the system itself is the reason, and is unknown where the question is.
pub fn failed(measurement: &str, error: &Error) -> Check {
    let standing = match error {
        Error::Unreachable(_)
        | Error::TimedOut { .. }
        | Error::Denied(_)
        | Error::Answered(_)
        | Error::Refused(_)
        | Error::Nonsense(_) => Standing::Fail,
        Error::NotAsked(_) | Error::NotBuilt(_) => Standing::Unknown,
    };
    Check::new(measurement, standing, error.to_string())
}

impl SystemConfig {
    /// Holds a measured value against the limit that is configured for it, else against this one. `what` says in words what
    /// was measured: "the replica is 12 s behind".
    pub fn judge(&self, measurement: &str, usual: Limit, value: f64, unit: &str, what: &str) -> Check {
        let limit = self.limits.get(measurement).copied().unwrap_or(usual);
        let over = |bound: Option<f64>| bound.filter(|bound| value >= *bound);
        let (standing, bound) = match (over(limit.fail), over(limit.warn)) {
            (Some(bound), _) => (Standing::Fail, Some(bound)),
            (None, Some(bound)) => (Standing::Warn, Some(bound)),
            (None, None) => (Standing::Pass, None),
        };
        let reason = match bound {
            Some(bound) => format!("{what}; {}s from {} {unit} on", standing.name(), number(bound)),
            None => what.to_owned(),
        };
        Check::new(measurement, standing, reason).observed(value, unit)
    }
}

/// Without a fraction where there is none.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Address, Surroundings};

    #[test]
    fn a_value_at_its_limit_says_which_and_why() {
        let mut config = SystemConfig::new("db", Address::parse("postgres://db", &Surroundings).unwrap());
        let usual = Limit::new(5.0, 30.0);
        let judge = |config: &SystemConfig, value| config.judge("replication_lag", usual, value, "s", "behind");
        assert_eq!(judge(&config, 4.9).standing, Standing::Pass);
        let warns = judge(&config, 5.0);
        assert_eq!((warns.standing, warns.reason.as_str()), (Standing::Warn, "behind; warns from 5 s on"));
        assert_eq!(judge(&config, 31.0).reason, "behind; fails from 30 s on");
        config.limits.insert("replication_lag".into(), Limit { warn: None, fail: Some(60.0) });
        assert_eq!(judge(&config, 31.0).standing, Standing::Pass);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_answers_is_said_to() {
        let never = std::future::pending::<Result<(), Error>>();
        let error = within(Duration::from_secs(5), "a read", never).await.unwrap_err();
        assert_eq!(failed("read", &error).reason, "did not answer a read within 5000 ms");
    }
}
