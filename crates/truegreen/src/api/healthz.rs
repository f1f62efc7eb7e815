//! `/healthz`: how Truegreen itself is, and with `?verbose` how the systems are that it asks, in the form of
//! draft-inadarei-api-health-check-06. It fails only where this process cannot do its work: that a database is down is for
//! people to know, and no reason to restart or unlist us.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use truegreen_model::probe::{Check, Standing};

use crate::clock::wall_clock;
use crate::config::Data;
use crate::server::Seen;
use crate::systems::latest::{Probed, rfc3339};
use crate::systems::words;

const MEDIA_TYPE: &str = "application/health+json";
/// Checks of systems in one answer, the worst ones.
const MAX_CHECKS: usize = 1_000;

pub(super) async fn healthz(State(seen): State<Seen>, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    let own = own_checks(&seen).await;
    let is_verbose = asked.get("verbose").is_some_and(|value| value != "false");
    let systems = seen.probes.latest();
    let body = document(&own, &systems, is_verbose, &rfc3339(wall_clock()));
    let status = match body["status"] == "fail" {
        true => StatusCode::SERVICE_UNAVAILABLE,
        false => StatusCode::OK,
    };
    let headers = [(header::CONTENT_TYPE, MEDIA_TYPE), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}

/// Of this process alone.
async fn own_checks(seen: &Seen) -> Vec<Check> {
    let said = |measurement: &str, component: &str, is_wrong: bool, why: &str| match is_wrong {
        true => Check::new(measurement, Standing::Fail, why).of(component),
        false => Check::pass(measurement).of(component),
    };
    let is_silent = seen.run.ask(|_| ()).await.is_err();
    let mut own = vec![
        said("answers", "engine", is_silent, "the engine does not answer"),
        said("memory", "engine", seen.run.is_full(), "memory for journeys is full"),
        said("writes", "log", seen.log.is_failing(), "the log takes no writes"),
        said("takes", "intake", seen.log.is_stopping(), "stopping"),
    ];
    if let Some(archive) = seen.lookup.archive() {
        let why = "there is no index, so that look-ups find only what showed steps";
        let check = said("finds", "index", archive.failure().is_some(), why);
        own.push(Check { standing: check.standing.min(Standing::Warn), ..check });
    }
    if let Some(data) = seen.data.clone() {
        // A disk over a network may take its time.
        own.extend(tokio::task::spawn_blocking(move || disk(&data)).await.ok());
    }
    own
}

/// What is free where the log is. Nothing is taken that would leave less than `data.min_free`.
fn disk(data: &Data) -> Check {
    let free = match rustix::fs::statvfs(&data.dir) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return Check::new("free", Standing::Unknown, error.to_string()).of("disk"),
    };
    judge_free(free, data.min_free_bytes)
}

fn judge_free(free: u64, least: u64) -> Check {
    let (standing, reason) = if free < least {
        (Standing::Fail, "less is free than `data.min_free`: nothing is taken")
    } else if free < least.saturating_mul(2) {
        (Standing::Warn, "less is free than twice `data.min_free`: soon nothing is taken")
    } else {
        (Standing::Pass, "")
    };
    Check::new("free", standing, reason).of("disk").observed(free as f64, "By")
}

/// The draft knows three: what cannot be told is no pass, and no fault of ours.
fn status(standing: Standing) -> &'static str {
    match standing {
        Standing::Pass => "pass",
        Standing::Unknown | Standing::Warn => "warn",
        Standing::Fail => "fail",
    }
}

fn document(own: &[Check], systems: &[Probed], is_verbose: bool, now: &str) -> Value {
    let ours = own.iter().map(|check| check.standing).max().unwrap_or_default();
    // Whatever is wrong elsewhere, we do our work.
    let theirs = systems.iter().map(|probed| probed.report.standing).max().unwrap_or_default().min(Standing::Warn);
    let mut body = json!({
        "status": status(ours.max(theirs)),
        "version": "1",
        "releaseId": env!("CARGO_PKG_VERSION"),
        "serviceId": "truegreen",
    });
    let wrong: Vec<&str> = own.iter().map(|check| check.reason.as_str()).filter(|reason| !reason.is_empty()).collect();
    if !wrong.is_empty() {
        body["output"] = json!(wrong.join("; "));
    }
    if is_verbose {
        let mut checks: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for check in own {
            checks.entry(key(&check.component, &check.measurement)).or_default().push(entry(check, now));
        }
        let mut all: Vec<(&Probed, &Check)> = Vec::new();
        for probed in systems {
            all.extend(probed.report.checks.iter().map(|check| (probed, check)));
        }
        all.sort_by_key(|(_, check)| words::loudness(check.standing));
        if let Some(more @ 1..) = all.len().checked_sub(MAX_CHECKS) {
            body["notes"] = json!([format!("{more} more checks of systems; /api/v1/probes has them all")]);
        }
        for (probed, check) in all.into_iter().take(MAX_CHECKS) {
            let component = match check.component.as_str() {
                "" => probed.report.system.clone(),
                component => format!("{}/{component}", probed.report.system),
            };
            checks.entry(key(&component, &check.measurement)).or_default().push(entry(check, &probed.report.time));
        }
        body["checks"] = json!(checks);
    }
    body
}

/// The colon divides, so there is none in a name.
fn key(component: &str, measurement: &str) -> String {
    format!("{}:{}", component.replace(':', "."), measurement.replace(':', "."))
}

fn entry(check: &Check, time: &str) -> Value {
    let mut entry = json!({ "status": status(check.standing), "time": time });
    if let Some(observed) = &check.observed {
        entry["observedValue"] = json!(observed.value);
        entry["observedUnit"] = json!(observed.unit);
    }
    let output = match (check.standing, check.reason.as_str()) {
        // The draft leaves it out of what passes.
        (Standing::Pass, _) | (_, "") => None,
        (Standing::Unknown, reason) => Some(format!("cannot be told: {reason}")),
        (_, reason) => Some(reason.to_owned()),
    };
    if let Some(output) = output {
        entry["output"] = json!(output);
    }
    entry
}

#[cfg(test)]
mod tests {
    use truegreen_model::probe::ProbeReport;

    use super::*;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn probed(checks: Vec<Check>) -> Probed {
        let [system, kind, address, time] =
            ["stock-db", "postgres", "postgres://db", "2026-01-01T00:00:01Z"].map(str::to_owned);
        let standing = ProbeReport::worst(&checks);
        Probed {
            report: ProbeReport { system, kind, address, standing, time, seconds: 0.1, checks },
            since: String::new(),
        }
    }

    #[test]
    fn what_fails_elsewhere_warns_here() {
        let full = Check::new("write", Standing::Fail, "answered: disk full").of("table a:b").observed(3.0, "rows");
        let dark = Check::new("offset", Standing::Unknown, "it tells no time");
        let body = document(&[Check::pass("answers").of("engine")], &[probed(vec![full, dark])], true, NOW);
        assert_eq!(body["status"], "warn");
        let expected = json!([{"status": "fail", "time": "2026-01-01T00:00:01Z", "observedValue": 3.0, "observedUnit": "rows",
                               "output": "answered: disk full"}]);
        assert_eq!(body["checks"]["stock-db/table a.b:write"], expected);
        assert_eq!(body["checks"]["stock-db:offset"][0]["output"], "cannot be told: it tells no time");
        assert_eq!(body["checks"]["engine:answers"], json!([{"status": "pass", "time": NOW}]));
    }

    #[test]
    fn only_our_own_fault_fails() {
        let own = [Check::new("writes", Standing::Fail, "the log takes no writes").of("log")];
        let body = document(&own, &[probed(vec![Check::pass("read")])], false, NOW);
        assert_eq!((&body["status"], &body["output"]), (&json!("fail"), &json!("the log takes no writes")));
        assert!(body.get("checks").is_none());
        assert_eq!(document(&[Check::pass("answers")], &[], false, NOW)["status"], "pass");
    }

    #[test]
    fn a_disk_warns_before_nothing_is_taken() {
        let standings = [99, 100, 199, 200].map(|free| judge_free(free, 100).standing);
        assert_eq!(standings, [Standing::Fail, Standing::Warn, Standing::Warn, Standing::Pass]);
    }

    #[test]
    fn the_answer_is_bounded_and_says_so() {
        let checks = (0..MAX_CHECKS + 5).map(|n| Check::pass("depth").of(format!("queue {n}"))).collect();
        let body = document(&[], &[probed(checks)], true, NOW);
        assert_eq!(body["checks"].as_object().unwrap().len(), MAX_CHECKS);
        assert!(body["notes"][0].as_str().unwrap().starts_with("5 more"));
    }
}
