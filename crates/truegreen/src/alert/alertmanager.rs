//! Prometheus Alertmanager, API v2: it forgets what is not told again, so every open finding is sent each minute,
//! and a resolved one until that was heard. A Watchdog fires always, to prove that we live.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use truegreen_model::diagnosis::Brief;
use truegreen_model::probe::Standing;
use truegreen_model::report::FindingReport;

use super::post::{Posted, Poster, backoff};
use super::{Notice, Receive, page_of};
use crate::systems::latest::Probed;
use crate::systems::words;
use crate::wording;

const RESEND: Duration = Duration::from_secs(60);
/// Alertmanager takes an alert for resolved after this, should we die. Longer than a few failed posts.
const HOLDS: Duration = Duration::from_secs(5 * 60);
const MAX_ALERTS: usize = 10_000;

pub(super) struct Alertmanager {
    poster: Poster,
    link: String,
    started: jiff::Timestamp,
    /// By finding, and by system.
    alerts: BTreeMap<String, Alert>,
    failures: u32,
    due: Instant,
}

struct Alert {
    about: About,
    resolved_at: Option<jiff::Timestamp>,
}

enum About {
    Finding(Arc<FindingReport>),
    System(Arc<Probed>),
}

impl About {
    /// What it is known by, here.
    fn id(&self) -> String {
        match self {
            About::Finding(finding) => finding.id.clone(),
            About::System(probed) => format!("system {}", probed.report.system),
        }
    }
}

impl Alertmanager {
    pub(super) fn new(poster: Poster, link: &str) -> Alertmanager {
        Alertmanager {
            poster,
            link: link.to_owned(),
            started: jiff::Timestamp::now(),
            alerts: BTreeMap::new(),
            failures: 0,
            due: Instant::now(),
        }
    }

    fn send(&mut self) {
        let body = self.body(jiff::Timestamp::now());
        let now = Instant::now();
        match self.poster.post("/api/v2/alerts", &body) {
            Posted::Later => {
                self.failures += 1;
                self.due = now + backoff(self.failures);
            }
            Posted::Taken | Posted::Refused => {
                self.failures = 0;
                self.due = now + RESEND;
                self.alerts.retain(|_, alert| alert.resolved_at.is_none());
            }
        }
    }

    fn body(&self, now: jiff::Timestamp) -> Value {
        let holds_until = (now + HOLDS).to_string();
        let watchdog = json!({
            "labels": {"alertname": "TruegreenWatchdog", "severity": "none"},
            "annotations": {"summary": "Truegreen is alive. This alert fires always; its absence is the news."},
            "startsAt": self.started.to_string(),
            "endsAt": holds_until,
            "generatorURL": self.link,
        });
        let alerts = self.alerts.values().map(|alert| {
            let ends_at = alert.resolved_at.map_or_else(|| holds_until.clone(), |at| at.to_string());
            match &alert.about {
                About::Finding(finding) => self.finding(finding, &ends_at),
                About::System(probed) => self.system(probed, &ends_at),
            }
        });
        Value::Array(std::iter::once(watchdog).chain(alerts).collect())
    }

    /// As it is now, with what was found out about it before.
    fn with_diagnosis(&self, finding: Arc<FindingReport>) -> Arc<FindingReport> {
        let Some(Alert { about: About::Finding(before), .. }) = self.alerts.get(&finding.id) else { return finding };
        if finding.diagnosis.is_some() || before.diagnosis.is_none() {
            return finding;
        }
        Arc::new(FindingReport { diagnosis: before.diagnosis.clone(), ..(*finding).clone() })
    }

    fn system(&self, probed: &Probed, ends_at: &str) -> Value {
        let Probed { report, since } = probed;
        let failing = words::worst_first(report).into_iter().filter(|check| check.standing == Standing::Fail);
        let why: Vec<String> = failing.map(|check| format!("{}: {}", words::subject(check), check.reason)).collect();
        json!({
            "labels": {
                "alertname": "TruegreenSystem", "system": report.system, "kind": report.kind, "severity": "critical",
            },
            "annotations": {"summary": words::failure(report), "description": why.join("\n")},
            "startsAt": since,
            "endsAt": ends_at,
            "generatorURL": format!("{}/systems", self.link),
        })
    }

    fn finding(&self, finding: &FindingReport, ends_at: &str) -> Value {
        let mut labels = json!({
            "alertname": "TruegreenFinding",
            "flow": finding.flow,
            "kind": finding.kind,
            "finding": finding.id,
            "severity": "critical",
        });
        if let (Some(after), Some(before)) = (&finding.after, &finding.before) {
            labels["hop"] = Value::from(format!("{after} -> {before}"));
        }
        for (label, value) in
            [("service", &finding.service), ("operation", &finding.operation), ("peer", &finding.peer)]
        {
            if let Some(value) = value {
                labels[label] = Value::from(value.as_str());
            }
        }
        let link = page_of(&self.link, finding);
        let mut annotations = json!({
            "summary": finding.title,
            "description": description(finding),
            "status": finding.status,
            "page": link,
        });
        for (name, value) in finding.diagnosis.iter().flat_map(told) {
            annotations[name] = Value::from(value);
        }
        json!({
            "labels": labels,
            "annotations": annotations,
            "startsAt": finding.first_seen,
            "endsAt": ends_at,
            "generatorURL": link,
        })
    }
}

/// Annotations may change with each post: they are no part of what an alert is known by.
fn told(brief: &Brief) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let Brief { as_of, verdict, says, explanation, suspect, change } = brief.clone();
    let always = [("verdict", verdict.name().to_owned()), ("diagnosis", says), ("diagnosed_at", as_of)];
    let known = [("explanation", explanation), ("suspect", suspect), ("change", change)];
    always.into_iter().chain(known.into_iter().filter_map(|(name, value)| Some((name, value?))))
}

fn description(finding: &FindingReport) -> String {
    let mut lines = vec![wording::concerned(finding)];
    if !finding.examples.is_empty() {
        lines[0] += &format!("; for example {}", finding.examples.join(", "));
    }
    lines.extend(finding.evidence.iter().cloned());
    lines.join("\n")
}

impl Receive for Alertmanager {
    fn note(&mut self, notice: Notice) {
        let (about, is_over) = match notice {
            Notice::Opened(finding) => (About::Finding(self.with_diagnosis(finding)), false),
            Notice::Diagnosed(finding) => {
                // What was resolved meanwhile is not to fire again.
                let fires = |alert: &Alert| alert.resolved_at.is_none();
                if !self.alerts.get(&finding.id).is_some_and(fires) {
                    return;
                }
                (About::Finding(finding), false)
            }
            Notice::Closed(finding) => (About::Finding(self.with_diagnosis(finding)), true),
            Notice::Fails(probed) => (About::System(probed), false),
            Notice::Works(probed) => (About::System(probed), true),
            Notice::Stop => return,
        };
        let id = about.id();
        if self.alerts.len() >= MAX_ALERTS && !self.alerts.contains_key(&id) {
            return self.poster.metrics.alerts_dropped.add("too_many", 1);
        }
        self.alerts.insert(id, Alert { about, resolved_at: is_over.then(jiff::Timestamp::now) });
        // News is sent at once, unless the receiver is known to fail.
        if self.failures == 0 {
            self.due = Instant::now();
        }
    }

    fn send_due(&mut self, now: Instant) -> Duration {
        if self.due <= now {
            self.send();
        }
        self.due.saturating_duration_since(Instant::now())
    }

    fn last_words(&mut self, _until: Instant) {
        self.send();
    }
}
