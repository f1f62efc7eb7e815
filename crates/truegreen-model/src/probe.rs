//! What a system says when it is asked itself: not whether its port is open, but whether it works.

use serde::{Deserialize, Serialize};

/// How a check went. The order is the order of badness: the worst of several is their maximum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It works.
    #[default]
    Pass,
    /// It could not be told. Never green.
    Unknown,
    /// It works, and will not for long; or the worse half of it does not.
    Warn,
    /// It does not work.
    Fail,
}

impl Standing {
    /// Its name in reports, pages and docs.
    pub const fn name(self) -> &'static str {
        match self {
            Standing::Pass => "pass",
            Standing::Unknown => "unknown",
            Standing::Warn => "warn",
            Standing::Fail => "fail",
        }
    }
}

/// What was measured, in base units.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Observed {
    /// The value.
    pub value: f64,
    /// `s`, `By`, `1` (a share), `messages`, `connections`, `days`, ...
    pub unit: String,
}

/// One thing that a system was asked.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What of the system: `queue stock-events`, `group inventory partition 2`; empty for the system as a whole.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub component: String,
    /// What was asked of it: `read`, `write`, `lag_messages`, `lag_seconds`, `replication_lag`, ... in snake_case.
    pub measurement: String,
    /// How it went.
    pub standing: Standing,
    /// What was measured, where it is a number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub observed: Option<Observed>,
    /// Why it stands so, in words; never with a secret. Empty only for a pass.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
}

impl Check {
    /// A check that went so, for this reason.
    pub fn new(measurement: &str, standing: Standing, reason: impl Into<String>) -> Check {
        let (component, measurement) = (String::new(), measurement.to_owned());
        Check { component, measurement, standing, observed: None, reason: reason.into() }
    }

    /// A check that went well.
    pub fn pass(measurement: &str) -> Check {
        Check::new(measurement, Standing::Pass, "")
    }

    /// Of this part of the system.
    #[must_use]
    pub fn of(mut self, component: impl Into<String>) -> Check {
        self.component = component.into();
        self
    }

    /// With what was measured.
    #[must_use]
    pub fn observed(mut self, value: f64, unit: &str) -> Check {
        self.observed = Some(Observed { value, unit: unit.to_owned() });
        self
    }
}

/// One system, as it was last asked.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Its name in the configuration.
    pub system: String,
    /// What it is: `postgres`, `mysql`, `redis`, `rabbitmq`, `nats`, `kafka`, `http`, `tls`, `clock`.
    pub kind: String,
    /// Where it is, without any secret.
    pub address: String,
    /// The worst of its checks.
    pub standing: Standing,
    /// RFC 3339: when it was asked.
    pub time: String,
    /// How long that took.
    pub seconds: f64,
    /// In the order in which they were asked.
    pub checks: Vec<Check>,
}

impl ProbeReport {
    /// The worst of the checks; unknown where there are none.
    pub fn worst(checks: &[Check]) -> Standing {
        checks.iter().map(|check| check.standing).max().unwrap_or(Standing::Unknown)
    }
}
