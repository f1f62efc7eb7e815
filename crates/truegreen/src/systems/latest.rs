//! What each system said when it was last asked, and since when it stands so. What is not known any more is unknown.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use truegreen_connect::SystemConfig;
use truegreen_model::probe::{Check, ProbeReport, Standing};
use truegreen_model::time::Timestamp;

use super::Systems;

/// Probes in a row that must fail before anybody is woken: one may meet a restart.
const FAILURES: u32 = 2;

/// Time limits of one question, after which no answer to all of them is awaited any more.
const QUESTIONS: u32 = 10;

/// One system, as it was last asked.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Probed {
    /// What it said.
    #[serde(flatten)]
    pub report: ProbeReport,
    /// RFC 3339: since when its standing is what it is.
    pub since: String,
}

/// The latest of each system. Nothing older is kept.
#[derive(Debug, Default)]
pub struct Latest(Mutex<BTreeMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    report: ProbeReport,
    since: Timestamp,
    told: Timestamp,
    /// Probes in a row that failed; then whether anybody was told.
    failures: u32,
    is_alerted: bool,
    /// What it said is not true any more so long after it did.
    keeps: Duration,
}

/// What somebody is to be told.
#[derive(Clone, PartialEq, Debug)]
pub enum News {
    /// It fails, and failed before.
    Fails(Probed),
    /// It failed, and does no longer.
    Works(Probed),
}

impl Entry {
    /// Unknown is neither the one nor the other.
    fn news(&mut self) -> Option<News> {
        let probed = |entry: &Entry| Probed { report: entry.report.clone(), since: rfc3339(entry.since) };
        match self.report.standing {
            Standing::Fail => {
                self.failures = self.failures.saturating_add(1);
                let is_news = self.failures >= FAILURES && !self.is_alerted;
                self.is_alerted |= is_news;
                is_news.then(|| News::Fails(probed(self)))
            }
            Standing::Pass | Standing::Warn => {
                self.failures = 0;
                std::mem::take(&mut self.is_alerted).then(|| News::Works(probed(self)))
            }
            Standing::Unknown => None,
        }
    }
}

/// How long a system may take for all of its questions.
pub(super) fn patience(config: &SystemConfig) -> Duration {
    config.timeout.saturating_mul(QUESTIONS)
}

/// As the report says it.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at.0)).map_or_else(|_| "unknown".to_owned(), |at| at.to_string())
}

/// A report that nothing could be told.
pub(super) fn unknown(config: &SystemConfig, at: Timestamp, why: String) -> ProbeReport {
    ProbeReport {
        system: config.name.clone(),
        kind: config.address.kind().name().to_owned(),
        address: config.address.to_string(),
        standing: Standing::Unknown,
        time: rfc3339(at),
        seconds: 0.0,
        checks: vec![Check::new("asked", Standing::Unknown, why)],
    }
}

impl Latest {
    /// Nobody was asked yet.
    pub fn new(systems: &Systems, now: Timestamp) -> Latest {
        let entry = |config: &SystemConfig| {
            let report = unknown(config, now, "not asked yet".to_owned());
            let keeps =
                config.every.saturating_mul(2).saturating_add(patience(config)).saturating_add(Duration::from_secs(10));
            (config.name.clone(), Entry { report, since: now, told: now, failures: 0, is_alerted: false, keeps })
        };
        Latest(Mutex::new(systems.all().map(|system| entry(system.config())).collect()))
    }

    /// One was asked, and this is what it said, now. Says whether somebody is to be told.
    pub fn told(&self, mut report: ProbeReport, now: Timestamp) -> Option<News> {
        // JSON and gauges have no place for what is no number.
        for check in &mut report.checks {
            check.observed = check.observed.take().filter(|observed| observed.value.is_finite());
        }
        let mut latest = self.lock();
        let entry = latest.get_mut(&report.system)?;
        if entry.report.standing != report.standing {
            entry.since = now;
            say(&report);
        }
        entry.told = now;
        entry.report = report;
        entry.news()
    }

    /// All of them, by name.
    pub fn at(&self, now: Timestamp) -> Vec<Probed> {
        let probed = |entry: &Entry| {
            let mut report = entry.report.clone();
            let silent = now.since(entry.told);
            if silent > entry.keeps {
                report.standing = Standing::Unknown;
                let why =
                    format!("nothing was told for {} s: asking hangs, or there is no time for it", silent.as_secs());
                report.checks.push(Check::new("asked", Standing::Unknown, why));
            }
            Probed { report, since: rfc3339(entry.since) }
        };
        self.lock().values().map(probed).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn say(report: &ProbeReport) {
    let reason = super::words::reason(report);
    match report.standing {
        Standing::Pass => tracing::info!(system = report.system, "works"),
        standing => {
            tracing::warn!(system = report.system, standing = standing.name(), ?reason, "does not work as it should")
        }
    }
}

#[cfg(test)]
mod tests {
    use truegreen_connect::Address;
    use truegreen_connect::address::Surroundings;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + seconds)
    }

    fn latest() -> Latest {
        let address = Address::parse("http://127.0.0.1:9", &Surroundings).unwrap();
        Latest::new(&Systems::new(&[SystemConfig::new("a", address)]).unwrap(), at(0))
    }

    fn report(standing: Standing) -> ProbeReport {
        let check = Check::new("read", standing, "why").observed(f64::NAN, "s");
        let (system, kind, address) = ("a".to_owned(), "http".to_owned(), "http://127.0.0.1:9".to_owned());
        ProbeReport { system, kind, address, standing, time: rfc3339(at(1)), seconds: 0.1, checks: vec![check] }
    }

    #[test]
    fn who_was_not_asked_yet_is_unknown() {
        let probed = latest().at(at(1));
        assert_eq!((probed.len(), probed[0].report.standing), (1, Standing::Unknown));
        assert_eq!(probed[0].report.checks[0].reason, "not asked yet");
    }

    #[test]
    fn since_when_it_stands_so_is_kept_over_alike_answers() {
        let latest = latest();
        for (seconds, standing) in
            [(1, Standing::Pass), (15, Standing::Fail), (30, Standing::Fail), (45, Standing::Fail)]
        {
            latest.told(report(standing), at(seconds));
        }
        let probed = latest.at(at(50));
        assert_eq!((probed[0].report.standing, probed[0].since.as_str()), (Standing::Fail, "2023-11-14T22:13:35Z"));
        assert_eq!(probed[0].report.checks[0].observed, None, "what is no number is no value");
        latest.told(ProbeReport { system: "b".to_owned(), ..report(Standing::Pass) }, at(50));
        assert_eq!(latest.at(at(50)).len(), 1, "nobody of that name is known");
    }

    /// Guarantee: one failure wakes nobody, two do, once; and it is over once it works, not while nothing is known.
    #[test]
    fn who_fails_twice_is_told_of_until_it_works() {
        let latest = latest();
        let mut seconds = 0;
        let mut told = |standing| {
            seconds += 15;
            latest.told(report(standing), at(seconds)).map(|news| match news {
                News::Fails(probed) => format!("fails since {}", probed.since),
                News::Works(_) => "works".to_owned(),
            })
        };
        assert_eq!((told(Standing::Fail), told(Standing::Pass)), (None, None));
        assert_eq!(told(Standing::Fail), None);
        assert_eq!(told(Standing::Fail).as_deref(), Some("fails since 2023-11-14T22:14:05Z"));
        assert_eq!((told(Standing::Fail), told(Standing::Unknown), told(Standing::Fail)), (None, None, None));
        assert_eq!(told(Standing::Warn).as_deref(), Some("works"));
        assert_eq!(told(Standing::Pass), None);
    }

    /// Guarantee: no data is never green. Asked every 15 s with 5 s a question: after 90 s an answer is too old.
    #[test]
    fn a_pass_of_long_ago_is_none() {
        let latest = latest();
        latest.told(report(Standing::Pass), at(0));
        assert_eq!(latest.at(at(90))[0].report.standing, Standing::Pass);
        let stale = latest.at(at(91));
        assert_eq!(stale[0].report.standing, Standing::Unknown);
        assert!(stale[0].report.checks[1].reason.contains("nothing was told for 91 s"));
    }
}
