//! What the systems say that are asked themselves, and what services say of themselves beside what is so.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use truegreen_engine::Engine;
use truegreen_model::probe::{Check, Standing};

use super::Problem;
use crate::metrics::Exposition;
use crate::server::Seen;
use crate::systems::claims::{self, FlowsSay, Known};
use crate::systems::latest::Probed;
use crate::systems::words;

/// Checks that have a series each; a broker of ten thousand queues must not fill whoever scrapes. The worst come first.
const MAX_SERIES: usize = 2_000;
/// Of a label's text, which may be a queue's name.
const MAX_LABEL: usize = 200;

pub(super) async fn probes(State(seen): State<Seen>) -> Response {
    Json(json!({ "probes": seen.probes.latest() })).into_response()
}

pub(super) async fn claims(State(seen): State<Seen>) -> Result<Response, Problem> {
    let flows = seen.run.ask(flows_say).await?;
    let known = Known { flows: Some(flows), ..systems_say(&seen) };
    Ok(Json(json!({ "claims": claims::hold(&known) })).into_response())
}

/// What systems say and, where the engine answers, what flows say.
pub(crate) async fn known(seen: &Seen) -> Known {
    let flows = seen.run.ask(flows_say).await.ok();
    Known { flows, ..systems_say(seen) }
}

fn systems_say(seen: &Seen) -> Known {
    let configs = seen.probes.systems().all().map(|system| system.config().clone()).collect();
    Known { probed: seen.probes.latest(), configs, flows: None }
}

fn flows_say(engine: &Engine) -> FlowsSay {
    FlowsSay {
        report: engine.report(),
        flows: engine.flows().cloned().collect(),
        services: engine.services(),
        map: engine.map(),
    }
}

/// A number for how bad it is, in the order of [`Standing`].
fn level(standing: Standing) -> u8 {
    match standing {
        Standing::Pass => 0,
        Standing::Unknown => 1,
        Standing::Warn => 2,
        Standing::Fail => 3,
    }
}

/// Families that no system has are left out.
pub(super) fn metrics(text: &mut Exposition, probed: &[Probed]) {
    if probed.is_empty() {
        return;
    }
    let levels = "0 pass, 1 unknown, 2 warn, 3 fail";
    text.family("system_standing", "gauge", &format!("The worst of a system's checks: {levels}."));
    for Probed { report, .. } in probed {
        let labels = [("system", report.system.as_str()), ("kind", report.kind.as_str())];
        text.sample("system_standing", &labels, level(report.standing));
    }
    text.family("probe_seconds", "gauge", "How long the latest probe of a system took.");
    for Probed { report, .. } in probed {
        text.sample("probe_seconds", &[("system", &report.system)], report.seconds);
    }
    let (series, left_out) = series(probed);
    text.family("probe_standing", "gauge", &format!("One check of a system: {levels}."));
    for ((system, component, measurement), check) in &series {
        let labels = [("system", *system), ("component", component.as_str()), ("measurement", measurement.as_str())];
        text.sample("probe_standing", &labels, level(check.standing));
    }
    text.family("probe_observed", "gauge", "What a check of a system measured, in its own unit.");
    for ((system, component, measurement), check) in &series {
        if let Some(observed) = &check.observed {
            let unit = label(&observed.unit);
            let labels = [("system", *system), ("component", component), ("measurement", measurement), ("unit", &unit)];
            text.sample("probe_observed", &labels, observed.value);
        }
    }
    text.single("probe_series_left_out", "gauge", "Checks beyond the bound on series, the best ones.", left_out);
}

type Series<'a> = BTreeMap<(&'a str, String, String), &'a Check>;

/// One check for each set of labels, the worst, and how many are left out.
fn series(probed: &[Probed]) -> (Series<'_>, usize) {
    let mut checks: Vec<(&str, &Check)> = Vec::new();
    for Probed { report, .. } in probed {
        checks.extend(report.checks.iter().map(|check| (report.system.as_str(), check)));
    }
    checks.sort_by_key(|(_, check)| words::loudness(check.standing));
    let mut series = Series::new();
    let mut left_out = 0;
    for (system, check) in checks {
        let labels = (system, label(&check.component), label(&check.measurement));
        if series.len() < MAX_SERIES {
            series.entry(labels).or_insert(check);
        } else if !series.contains_key(&labels) {
            left_out += 1;
        }
    }
    (series, left_out)
}

fn label(text: &str) -> String {
    text.chars().take(MAX_LABEL).collect()
}

#[cfg(test)]
mod tests {
    use truegreen_model::probe::ProbeReport;

    use super::*;

    fn probed(checks: Vec<Check>) -> Probed {
        let [system, kind, address, time] = ["broker", "rabbitmq", "amqp://b", "t"].map(str::to_owned);
        let standing = ProbeReport::worst(&checks);
        Probed {
            report: ProbeReport { system, kind, address, standing, time, seconds: 0.25, checks },
            since: String::new(),
        }
    }

    #[test]
    fn a_check_is_a_series_with_its_level_and_its_value() {
        let lag = Check::new("lag_seconds", Standing::Warn, "why").of("queue a\"b").observed(12.5, "s");
        let mut text = Exposition::default();
        metrics(&mut text, &[probed(vec![Check::pass("read"), lag])]);
        let text = text.finish();
        for line in [
            "truegreen_system_standing{system=\"broker\",kind=\"rabbitmq\"} 2",
            "truegreen_probe_seconds{system=\"broker\"} 0.25",
            "truegreen_probe_standing{system=\"broker\",component=\"\",measurement=\"read\"} 0",
            "truegreen_probe_observed{system=\"broker\",component=\"queue a\\\"b\",measurement=\"lag_seconds\",unit=\"s\"} 12.5",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn series_are_bounded_worst_first_and_never_stand_twice() {
        let queue = |n: usize, standing| Check::new("depth", standing, "").of(format!("queue {n}"));
        let mut checks: Vec<Check> = (0..MAX_SERIES + 10).map(|n| queue(n, Standing::Pass)).collect();
        checks.push(queue(99_999, Standing::Fail));
        checks.push(queue(99_999, Standing::Pass));
        let probed = [probed(checks)];
        let (series, left_out) = series(&probed);
        assert_eq!((series.len(), left_out), (MAX_SERIES, 11));
        let worst = ("broker", "queue 99999".to_owned(), "depth".to_owned());
        assert_eq!(series[&worst].standing, Standing::Fail);
    }
}
