//! Everything that the nine steps are taken from, asked of a running server.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use truegreen_model::incident::{Incident, RecurrenceReport};
use truegreen_model::map::{BlindSpot, Map};
use truegreen_model::passage::PassageReport;
use truegreen_model::probe::ProbeReport;
use truegreen_model::report::{FindingReport, Report};

use crate::commands::{asking, incident};
use crate::incidents::told::Told;

/// Systems may be asked for a key.
const TRACE_TIMEOUT: Duration = Duration::from_secs(20);

/// What was asked. What could not be answered is empty, and says why.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    pub(super) url: String,
    pub(super) finding: FindingReport,
    /// The steps of its flow, in their order; empty where no contract names what deviates.
    pub(super) steps: Vec<String>,
    pub(super) map: Map,
    pub(super) blind_spots: Vec<BlindSpot>,
    pub(super) probes: Vec<ProbeReport>,
    /// Claims of services that are lies, in words.
    pub(super) lies: Vec<String>,
    pub(super) diagnosis: Option<Value>,
    /// Why there is no diagnosis.
    pub(super) no_diagnosis: String,
    /// Of an example, and its key.
    pub(super) passage: Option<(String, PassageReport)>,
    pub(super) recurrence: RecurrenceReport,
    /// The latest that holds the finding.
    pub(super) incident: Option<Incident>,
}

#[derive(Deserialize, Default)]
struct Flows {
    flows: Vec<Flow>,
}

#[derive(Deserialize)]
struct Flow {
    name: String,
    steps: Vec<String>,
}

#[derive(Deserialize, Default)]
struct BlindSpots {
    blind_spots: Vec<BlindSpot>,
}

#[derive(Deserialize, Default)]
struct Probes {
    probes: Vec<ProbeReport>,
}

#[derive(Deserialize, Default)]
struct Claims {
    claims: Vec<Claim>,
}

#[derive(Deserialize)]
struct Claim {
    standing: String,
    verdict: String,
}

impl Gathered {
    /// Nothing where no finding has this id.
    pub(super) fn ask(url: &str, finding: &str) -> anyhow::Result<Option<Gathered>> {
        let report: Report = asking::ask(url, "/api/v1/report")?;
        let Some(finding) = report.findings.into_iter().find(|known| known.id == finding) else { return Ok(None) };
        let flows: Flows = or_empty(url, "/api/v1/flows");
        let spots: BlindSpots = or_empty(url, "/api/v1/blindspots");
        let probes: Probes = or_empty(url, "/api/v1/probes");
        let claims: Claims = or_empty(url, "/api/v1/claims");
        let recurrence: RecurrenceReport =
            or_empty(url, &format!("/api/v1/findings/{}/recurrence", encoded(&finding.id)));
        let incident = recurrence.incident.as_ref().and_then(|id| asking::ask(url, &incident::path(id, "")).ok());
        let lies = claims.claims.into_iter().filter(|claim| claim.standing == "lies").map(|claim| claim.verdict);
        let own_flow = flows.flows.into_iter().find(|flow| flow.name == finding.flow);
        let (diagnosis, no_diagnosis) = match incident::diagnosis(url, &finding.id) {
            Ok(diagnosis) => (Some(diagnosis), String::new()),
            Err(why) => (None, why),
        };
        Ok(Some(Gathered {
            url: url.trim_end_matches('/').to_owned(),
            steps: own_flow.map(|flow| flow.steps).unwrap_or_default(),
            map: or_empty(url, "/api/v1/map"),
            blind_spots: spots.blind_spots,
            probes: probes.probes,
            lies: lies.collect(),
            diagnosis,
            no_diagnosis,
            passage: passage(url, &finding),
            recurrence,
            incident,
            finding,
        }))
    }

    /// What the diagnosis tells; else the one that was written down.
    pub(super) fn told(&self) -> Option<Told<'_>> {
        let written = self.incident.as_ref().and_then(|incident| incident.diagnosis.as_ref());
        self.diagnosis.as_ref().or(written).map(Told::of)
    }

    /// Services and systems on the way of the finding, those first that it names itself.
    pub(super) fn on_the_way(&self) -> Vec<String> {
        let finding = &self.finding;
        let mut names: Vec<String> =
            [&finding.service, &finding.peer, &finding.subject].into_iter().flatten().cloned().collect();
        if let Some(told) = self.told() {
            names.extend(told.suspects().into_iter().filter_map(|suspect| suspect.cause).map(|cause| cause.service));
        }
        if let Some((_, passage)) = &self.passage {
            names.extend(passage.gaps.iter().flat_map(|gap| &gap.owed_by).map(|owing| owing.service.clone()));
            names.extend(passage.spans.iter().map(|span| span.service.clone()));
        }
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| !name.is_empty() && seen.insert(name.clone()));
        names
    }
}

/// A step without its answer says so; the others go on.
fn or_empty<T: DeserializeOwned + Default>(url: &str, path: &str) -> T {
    asking::ask(url, path).unwrap_or_default()
}

fn passage(url: &str, finding: &FindingReport) -> Option<(String, PassageReport)> {
    let key = finding.examples.first()?;
    let flow = if finding.flow.is_empty() { String::new() } else { format!("?flow={}", encoded(&finding.flow)) };
    let path = format!("/api/v1/trace/{}{flow}", encoded(key));
    Some((key.clone(), asking::ask_for(url, &path, TRACE_TIMEOUT).ok()?))
}

fn encoded(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}
