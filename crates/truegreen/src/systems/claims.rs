//! What a service says of itself, held against what is known of it: findings that name it or whose hop it owes, and the
//! systems that it uses, asked themselves. A service that says pass while orders vanish in it is found lying here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use truegreen_connect::{Kind, SystemConfig};
use truegreen_model::finding::FindingKind;
use truegreen_model::flow::Flow;
use truegreen_model::map::{ArrowKind, Map};
use truegreen_model::probe::{Check, ProbeReport, Standing};
use truegreen_model::report::{FindingReport, Report, ServiceReport};

use super::latest::Probed;
use super::words;
use crate::wording;

/// Findings and systems that the verdict names; how many more there are is said.
const NAMED: usize = 3;
/// Kinds of findings that say only that nothing can be told.
const NO_PROOF: [FindingKind; 7] = [
    FindingKind::Silence,
    FindingKind::Unknown,
    FindingKind::ServiceSilent,
    FindingKind::EdgeVanished,
    FindingKind::EdgeAppeared,
    FindingKind::BrokenContext,
    FindingKind::ExporterDrops,
];

/// How a claim stands to what is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// It says that it works, and it does not.
    Lies,
    /// Too little is known, or it says nothing.
    CannotTell,
    /// What it says is borne out.
    Agrees,
}

impl Agreement {
    /// Its name in words.
    pub const fn name(self) -> &'static str {
        match self {
            Agreement::Lies => "lies",
            Agreement::CannotTell => "cannot tell",
            Agreement::Agrees => "agrees",
        }
    }
}

/// One claim beside the truth.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// `service.name`.
    pub service: String,
    /// The system by which its health check is asked.
    pub system: String,
    /// What it says of itself; unknown where it says nothing.
    pub says: Standing,
    /// How that stands to what is known.
    pub standing: Agreement,
    /// All of it in one sentence.
    pub verdict: String,
    /// Ids of the open findings that name it, or whose hop it owes.
    pub findings: Vec<String>,
    /// The systems that it uses, and how they are.
    pub uses: BTreeMap<String, Standing>,
}

/// What is known when claims are held against it.
#[derive(Clone, Default)]
pub struct Known {
    /// What systems said.
    pub probed: Vec<Probed>,
    /// How they are configured.
    pub configs: Vec<SystemConfig>,
    /// What flows say; none where there is no server to ask.
    pub flows: Option<FlowsSay>,
}

/// What telemetry says.
#[derive(Clone, Default)]
pub struct FlowsSay {
    /// Books and findings.
    pub report: Report,
    /// What is promised, and who owes it.
    pub flows: Vec<Flow>,
    /// Who is heard.
    pub services: Vec<ServiceReport>,
    /// Who uses what.
    pub map: Map,
}

/// Every claim, lies first.
pub fn hold(known: &Known) -> Vec<Claim> {
    let of = |config: &SystemConfig| Some(claim(config.expect.claims_of.as_deref()?, config, known));
    let mut claims: Vec<Claim> = known.configs.iter().filter_map(of).collect();
    claims.sort_by(|a, b| (a.standing, &a.service).cmp(&(b.standing, &b.service)));
    claims
}

fn claim(service: &str, config: &SystemConfig, known: &Known) -> Claim {
    let report = known.probed.iter().map(|probed| &probed.report).find(|report| report.system == config.name);
    let (says, said) = what_it_says(service, report);
    let findings = known.flows.as_ref().map(|flows| findings_of(service, flows)).unwrap_or_default();
    let uses: Vec<&ProbeReport> = used_by(service, config, known);

    let proven: Vec<&Held<'_>> = findings.iter().filter(|held| held.is_proof).collect();
    let failing: Vec<&ProbeReport> = uses.iter().filter(|report| report.standing == Standing::Fail).copied().collect();
    let is_against = !proven.is_empty() || !failing.is_empty();
    let borne_out = borne_out(service, &uses, known);
    let standing = match (says, is_against) {
        (Standing::Unknown, _) => Agreement::CannotTell,
        (Standing::Pass, true) => Agreement::Lies,
        (Standing::Pass, false) if findings.is_empty() && borne_out.is_some() => Agreement::Agrees,
        (Standing::Pass, false) => Agreement::CannotTell,
        (Standing::Warn | Standing::Fail, true) => Agreement::Agrees,
        (Standing::Warn | Standing::Fail, false) => Agreement::CannotTell,
    };

    let mut parts = vec![said];
    let shown = if is_against { proven } else { findings.iter().collect() };
    parts.extend(named(&shown, |held| held.words(), "finding"));
    parts.extend(named(
        &failing,
        |report| format!("{}, which it uses, fails: {}", report.system, words::reason(report)),
        "system",
    ));
    match (is_against, says, borne_out) {
        (true, ..) => {}
        (_, Standing::Pass, Some(why)) => parts.push(why),
        (_, Standing::Warn | Standing::Fail, _) => parts.push("nothing else that is known bears that out".to_owned()),
        (_, Standing::Pass, None) if findings.is_empty() => {
            parts.push("nothing is known that would bear that out".to_owned())
        }
        _ => {}
    }
    if known.flows.is_none() {
        parts.push("flows were not asked".to_owned());
    }
    Claim {
        service: service.to_owned(),
        system: config.name.clone(),
        says,
        standing,
        verdict: wording::sentence(&parts.join("; ")),
        findings: findings.iter().map(|held| held.finding.id.clone()).collect(),
        uses: uses.iter().map(|report| (report.system.clone(), report.standing)).collect(),
    }
}

/// Its own word where its answer holds one, else its status; and in words.
fn what_it_says(service: &str, report: Option<&ProbeReport>) -> (Standing, String) {
    let check = |measurement: &str| {
        let of_all = |check: &&Check| check.component.is_empty() && check.measurement == measurement;
        report.and_then(|report| report.checks.iter().find(of_all))
    };
    // An age-old answer, or none, is no word.
    if let Some(silent) = check("asked") {
        return (Standing::Unknown, format!("{service} says nothing: {}", silent.reason));
    }
    let status = check("status");
    let answered = status.filter(|check| check.observed.is_some());
    let (Some(status), says) = (answered, check("says")) else {
        let why = status.and_then(|check| check.reason.lines().next()).unwrap_or("it was not asked");
        return (Standing::Unknown, format!("{service} says nothing: {why}"));
    };
    let standing = says.map_or(status.standing, |says| says.standing.max(status.standing));
    match standing {
        Standing::Unknown => (standing, format!("{service} says nothing that can be understood")),
        _ => (standing, format!("{service} says {}", standing.name())),
    }
}

/// A finding held against a service.
struct Held<'a> {
    finding: &'a FindingReport,
    /// It owes the step that is missing.
    owes: bool,
    /// It says that something is broken, rather than that nothing can be told.
    is_proof: bool,
}

impl Held<'_> {
    fn words(&self) -> String {
        let title = self.finding.title.trim_end_matches('.');
        if self.owes { format!("{title}, which it owes") } else { title.to_owned() }
    }
}

fn findings_of<'a>(service: &str, flows: &'a FlowsSay) -> Vec<Held<'a>> {
    let open = flows.report.findings.iter().filter(|finding| finding.status == "open");
    let held = |finding: &'a FindingReport| {
        let owes = owes(service, finding, &flows.flows);
        let is_named = [&finding.service, &finding.peer].into_iter().any(|name| name.as_deref() == Some(service));
        (owes || is_named).then(|| Held { finding, owes, is_proof: is_proof(&finding.kind) })
    };
    open.filter_map(held).collect()
}

/// Whether the contract says that this service shows the step that is missing.
fn owes(service: &str, finding: &FindingReport, flows: &[Flow]) -> bool {
    let Some(before) = &finding.before else { return false };
    let flow = flows.iter().find(|flow| flow.name == finding.flow);
    let step = flow.and_then(|flow| flow.steps.iter().find(|step| step.name == *before));
    step.is_some_and(|step| step.any_of.iter().any(|pattern| is_of(pattern, service)))
}

fn is_of(pattern: &truegreen_model::flow::Pattern, service: &str) -> bool {
    pattern.service.as_ref().is_some_and(|text| text.matches(service.as_bytes()))
}

/// By the kind's name, since the report is what is read here.
fn is_proof(kind: &str) -> bool {
    NO_PROOF.iter().all(|no_proof| no_proof.name() != kind)
}

/// Why to believe that it works: something that only a working service brings about.
fn borne_out(service: &str, uses: &[&ProbeReport], known: &Known) -> Option<String> {
    let flows = known.flows.as_ref();
    let working =
        flows.into_iter().flat_map(|flows| flows.flows.iter().map(move |flow| (flows, flow))).find(|(flows, flow)| {
            let is_part = flow.steps.iter().any(|step| step.any_of.iter().any(|pattern| is_of(pattern, service)));
            let books = flows.report.flows.get(&flow.name);
            is_part && books.is_some_and(|books| books.health == "WORKING" && books.completed > 0)
        });
    let is_heard =
        flows.is_some_and(|flows| flows.services.iter().any(|heard| heard.service == service && heard.instances > 0));
    if let Some((_, flow)) = working.filter(|_| is_heard) {
        return Some(format!("what entered {}, which it is a part of, came out", flow.name));
    }
    let all_pass = !uses.is_empty() && uses.iter().all(|report| report.standing == Standing::Pass);
    all_pass.then(|| format!("what it uses works: {}", list(uses.iter().map(|report| report.system.as_str()))))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..NAMED].join(", ")),
    }
}

/// The first few in words, and how many more there are.
fn named<T>(all: &[&T], words: impl Fn(&T) -> String, what: &str) -> Vec<String> {
    let mut parts: Vec<String> = all.iter().take(NAMED).map(|one| words(one)).collect();
    if let Some(more @ 1..) = all.len().checked_sub(NAMED) {
        parts.push(format!("and {}", wording::count(more as u64, &format!("more {what}"))));
    }
    parts
}

/// The systems that a service uses, its own health check left out: as the configuration says, or else as the map shows.
fn used_by<'a>(service: &str, own: &SystemConfig, known: &'a Known) -> Vec<&'a ProbeReport> {
    let is_used = |report: &&ProbeReport| {
        let config = known.configs.iter().find(|config| config.name == report.system);
        let Some(config) = config.filter(|config| config.name != own.name) else { return false };
        if !config.used_by.is_empty() {
            return config.used_by.iter().any(|user| user == service);
        }
        known.flows.as_ref().is_some_and(|flows| is_on_map(service, config, report, &flows.map, known))
    };
    known.probed.iter().map(|probed| &probed.report).filter(is_used).collect()
}

fn is_on_map(service: &str, config: &SystemConfig, report: &ProbeReport, map: &Map, known: &Known) -> bool {
    let kind = config.address.kind();
    let is_only_one = known.configs.iter().filter(|other| other.address.kind() == kind).count() == 1;
    map.arrows.iter().any(|arrow| match arrow.kind {
        // Spans name the kind of a database, and not where it is: with two of a kind there is no telling.
        ArrowKind::Database | ArrowKind::Cache if arrow.from == service => {
            is_only_one && kind_of(arrow.to.split(':').next().unwrap_or_default()) == Some(kind)
        }
        ArrowKind::Publish if arrow.from == service => has_destination(config, report, &arrow.to),
        ArrowKind::Process if arrow.to == service => has_destination(config, report, &arrow.from),
        ArrowKind::Call if arrow.from == service => kind == Kind::Http && arrow.to == config.address.host(),
        _ => false,
    })
}

/// By the names that spans have for databases and caches.
fn kind_of(system: &str) -> Option<Kind> {
    match system {
        "postgresql" | "postgres" => Some(Kind::Postgres),
        "mysql" | "mariadb" => Some(Kind::Mysql),
        "redis" | "valkey" => Some(Kind::Redis),
        _ => None,
    }
}

/// A broker that is told to watch it, or whose checks name it: `queue stock-events`.
fn has_destination(config: &SystemConfig, report: &ProbeReport, destination: &str) -> bool {
    let is_broker = matches!(config.address.kind(), Kind::Rabbitmq | Kind::Nats | Kind::Kafka);
    let is_watched = || config.watch.iter().any(|watched| watched.split('/').any(|part| part == destination));
    let is_named = || report.checks.iter().any(|check| check.component.split(' ').any(|word| word == destination));
    is_broker && (is_watched() || is_named())
}

#[cfg(test)]
mod tests;
