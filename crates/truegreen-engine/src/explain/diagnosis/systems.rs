//! Systems on the way of such requests: who uses them, as spans tell, and how they are, as they said when they were asked
//! themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use truegreen_model::diagnosis::{Onset, SystemSeen};
use truegreen_model::probe::{Check, Standing};
use truegreen_model::surroundings::{AskedSystem, Surroundings};
use truegreen_model::suspect::{RuledOut, Suspect, SuspectKind};
use truegreen_model::time::Timestamp;

use super::super::changes::incident::PathSystem;
use super::super::nanos;
use super::super::recording::{Name, Recording};
use super::super::related::time;
use super::super::rows::Rows;
use crate::cases::Cases;
use crate::date::clock;

/// Where the way of a request leads, beside services: by the attributes that name a system and what of it.
const SYSTEMS: [(&str, &str, &str); 4] = [
    ("queue", "messaging.system", "messaging.destination.name"),
    ("database", "db.system.name", "db.namespace"),
    ("database", "db.system", "db.name"),
    ("cache", "cache.system", "cache.name"),
];
/// Databases that are used as caches.
const CACHES: [&str; 3] = ["redis", "valkey", "memcached"];
const HOSTS: [&str; 2] = ["server.address", "net.peer.name"];
/// Places that are told; one way leads to few.
const TOLD: usize = 50;
/// A system that fails is asked now and again, and answers within a time limit: so much later it may be seen to fail.
const NOTICED_WITHIN: Duration = Duration::from_secs(120);

/// A place that requests use.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) role: &'static str,
    /// As spans call it: `rabbitmq`, `postgresql`.
    pub(super) system: String,
    /// The queue, or the database of it; may be empty.
    pub(super) name: String,
}

/// All that such requests use, and by whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    pub(super) places: BTreeMap<Place, BTreeSet<String>>,
    pub(super) hosts: BTreeSet<String>,
    /// Services they go through, and those that they should come to.
    pub(super) services: BTreeSet<String>,
}

impl Way {
    /// Of failing and healthy ones: what failing ones no longer come to may be why.
    pub(super) fn of(recording: &Recording, rows: &Rows<'_>, path: &[String], owing: Option<&str>) -> Way {
        let mut way =
            Way { services: path.iter().cloned().chain(owing.map(str::to_owned)).collect(), ..Way::default() };
        let keys = SYSTEMS.map(|(role, system, name)| (role, recording.name(system), recording.name(name)));
        let hosts = HOSTS.map(|host| recording.name(host));
        let traces: BTreeSet<u32> = rows.rows.iter().flat_map(|row| row.traces.iter().copied()).collect();
        let traces = traces.into_iter().filter_map(|at| recording.traces().get(at as usize));
        for span in traces.flat_map(|trace| recording.spans_of(trace)) {
            let told = |key: Option<Name>| {
                let value = key.and_then(|key| recording.attribute(span.attributes, key))?;
                Some(recording.text(value).to_owned())
            };
            way.hosts.extend(hosts.into_iter().filter_map(told));
            for (role, system, name) in keys {
                let Some(system) = told(system) else { continue };
                let role = if CACHES.contains(&system.as_str()) { "cache" } else { role };
                let place = Place { role, system, name: told(name).unwrap_or_default() };
                if way.places.len() < TOLD || way.places.contains_key(&place) {
                    way.places.entry(place).or_default().insert(recording.text(span.service).to_owned());
                }
            }
        }
        way
    }

    fn has(&self, service: &str) -> bool {
        self.services.contains(service) || self.places.values().any(|users| users.contains(service))
    }
}

/// One asked system that lies on the way, and what of it.
struct OnWay<'a> {
    asked: &'a AskedSystem,
    role: &'static str,
    places: Vec<&'a Place>,
}

/// What systems on the way said, and what follows.
#[derive(Default)]
pub(super) struct Answers {
    /// Failing ones first.
    pub(super) seen: Vec<SystemSeen>,
    /// For the questions about queues, caches and databases.
    pub(super) on_path: Vec<PathSystem>,
    pub(super) ruled_out: Vec<RuledOut>,
    /// Who could not be asked.
    pub(super) unanswered: Vec<String>,
}

/// When they began to fail, and which went well.
pub(super) struct Times<'t> {
    pub(super) onset: Option<&'t Onset>,
    /// As the finding knows it.
    pub(super) found: &'t str,
    pub(super) cases: &'t Cases,
    pub(super) now: Timestamp,
}

pub(super) fn answers(way: &Way, around: &Surroundings, times: &Times<'_>) -> Answers {
    let mut answers = Answers::default();
    let on_way: Vec<OnWay<'_>> = around.systems.iter().filter_map(|asked| on_way(asked, way, around)).collect();
    for one in &on_way {
        let Some(worst) = worst(one.asked, &one.places) else { continue };
        let seen = seen(one, worst, times);
        match seen.standing {
            Standing::Unknown => answers.unanswered.push(seen.says.clone()),
            Standing::Pass if nanos(&one.asked.since) <= times.not_before() => {
                let why = format!("it passes since {}, before it began", clock(time(&one.asked.since)));
                answers.ruled_out.push(RuledOut { what: format!("{} `{}`", seen.role, seen.system), why });
            }
            _ => {}
        }
        answers.seen.push(seen);
    }
    let loudness = |standing: Standing| match standing {
        Standing::Fail => 0,
        Standing::Warn => 1,
        Standing::Unknown => 2,
        Standing::Pass => 3,
    };
    answers.seen.sort_by(|a, b| {
        (!a.explains, loudness(a.standing), &a.system).cmp(&(!b.explains, loudness(b.standing), &b.system))
    });
    answers.on_path = on_path(way, &on_way, times);
    answers
}

impl Times<'_> {
    fn not_before(&self) -> u64 {
        self.onset.map_or_else(|| nanos(self.found), |onset| nanos(&onset.from))
    }

    fn not_after(&self) -> u64 {
        self.onset.map_or_else(|| nanos(self.found), |onset| nanos(&onset.until))
    }

    /// Who entered from then on, before any failed, and went well.
    fn went_well_since(&self, since: u64) -> usize {
        let until = self.not_before();
        self.cases.healthy.cases().filter(|case| case.at.0 >= since && case.at.0 < until).count()
    }
}

/// Whether such requests use it. What the configuration says is taken at its word; else it must be named by a span, and be the
/// only one that can be meant.
fn on_way<'a>(asked: &'a AskedSystem, way: &'a Way, around: &Surroundings) -> Option<OnWay<'a>> {
    let kind = asked.report.kind.as_str();
    let places: Vec<&Place> = way.places.keys().filter(|place| is_kind(kind, &place.system)).collect();
    let is_said = !asked.used_by.is_empty();
    let is_used = asked.used_by.iter().any(|service| way.has(service));
    let is_only = around.systems.iter().filter(|other| other.report.kind == kind).count() == 1;
    match kind {
        "http" | "tls" | "clock" => {
            let is_own = asked.claims_of.as_deref().is_some_and(|service| way.has(service));
            let is_called = !is_said && kind != "clock" && way.hosts.contains(&asked.host);
            (is_own || is_used || is_called).then_some(OnWay { asked, role: "service", places })
        }
        "rabbitmq" | "nats" | "kafka" => {
            let named: Vec<&Place> = places.iter().copied().filter(|place| is_named(asked, place)).collect();
            let (places, is_on) = if named.is_empty() { (places, is_only) } else { (named, true) };
            let is_on = if is_said { is_used } else { is_on && !places.is_empty() };
            is_on.then_some(OnWay { asked, role: "queue", places })
        }
        _ => {
            let role = if kind == "redis" { "cache" } else { "database" };
            let is_on = if is_said { is_used } else { is_only && !places.is_empty() };
            is_on.then_some(OnWay { asked, role, places })
        }
    }
}

/// The names that spans have for systems.
fn is_kind(kind: &str, system: &str) -> bool {
    match system {
        "postgresql" => kind == "postgres",
        "mariadb" => kind == "mysql",
        "valkey" => kind == "redis",
        other => kind == other,
    }
}

/// `queue stock-events`, `group inventory stock-events/1`; spans may say `exchange:key:queue`.
fn names(check: &Check, place: &Place) -> bool {
    let mut words = check.component.split([' ', '/']);
    words.any(|word| word == place.name || place.name.split(':').any(|part| !part.is_empty() && part == word))
}

fn is_named(asked: &AskedSystem, place: &Place) -> bool {
    !place.name.is_empty() && asked.report.checks.iter().any(|check| names(check, place))
}

/// The worst check of what these places are: of a broker its queues apart from each other, and what it says of itself.
fn worst<'a>(asked: &'a AskedSystem, places: &[&Place]) -> Option<&'a Check> {
    let is_broker = matches!(asked.report.kind.as_str(), "rabbitmq" | "nats" | "kafka");
    let is_whole = |check: &Check| check.component.is_empty() || check.component.starts_with("node ");
    let concerns = |check: &&Check| {
        !is_broker || places.is_empty() || is_whole(check) || places.iter().any(|place| names(check, place))
    };
    let checks: Vec<&Check> = asked.report.checks.iter().filter(concerns).collect();
    // The first of the worst: they stand in the order in which they were asked.
    checks.into_iter().rev().max_by_key(|check| check.standing)
}

fn seen(one: &OnWay<'_>, worst: &Check, times: &Times<'_>) -> SystemSeen {
    let AskedSystem { report, since, .. } = one.asked;
    let began = nanos(since);
    let is_in_time = began <= times.not_after().saturating_add(NOTICED_WITHIN.as_nanos() as u64);
    let went_well = if worst.standing == Standing::Fail { times.went_well_since(began) } else { 0 };
    let but = match worst.standing {
        Standing::Fail if !is_in_time => "; it began to fail only after they did".to_owned(),
        Standing::Fail if went_well > 0 => {
            format!("; {went_well} that were looked at went well while it failed already")
        }
        Standing::Pass if began > times.not_before() => "; it passes only since they began to fail".to_owned(),
        _ => String::new(),
    };
    SystemSeen {
        system: report.system.clone(),
        kind: report.kind.clone(),
        role: one.role.to_owned(),
        standing: worst.standing,
        since: since.clone(),
        asked_at: report.time.clone(),
        explains: worst.standing == Standing::Fail && but.is_empty(),
        says: format!("{}{but}", says(one.asked, worst, times.now)),
    }
}

/// `queue stock-events of broker (rabbitmq) fails: 1204 messages and no consumer (asked 12 s ago, so since 10:02:11 UTC)`.
fn says(asked: &AskedSystem, worst: &Check, now: Timestamp) -> String {
    let AskedSystem { report, since, .. } = asked;
    let of = match worst.component.as_str() {
        "" => format!("`{}` ({})", report.system, report.kind),
        component => format!("{component} of `{}` ({})", report.system, report.kind),
    };
    let reason = worst.reason.lines().next().unwrap_or_default().trim_end_matches('.');
    let reason = if reason.is_empty() { worst.measurement.replace('_', " ") } else { reason.to_owned() };
    let ago = now.0.saturating_sub(nanos(&report.time)) / 1_000_000_000;
    let asked = format!("asked {ago} s ago, so since {} UTC", clock(time(since)));
    match worst.standing {
        Standing::Fail => format!("{of} fails: {reason} ({asked})"),
        Standing::Warn => format!("{of} warns: {reason} ({asked})"),
        Standing::Unknown => format!("how {of} is could not be told: {reason} ({asked})"),
        Standing::Pass => format!("`{}` ({}) passes what it was asked ({asked})", report.system, report.kind),
    }
}

/// Every place, with what was said of it; then the asked ones that no span names.
fn on_path(way: &Way, on_way: &[OnWay<'_>], times: &Times<'_>) -> Vec<PathSystem> {
    let told = |role: &str, name: String, asked: &AskedSystem, places: &[&Place]| {
        let worst = worst(asked, places)?;
        let says = says(asked, worst, times.now);
        let is_ill = matches!(worst.standing, Standing::Fail | Standing::Warn);
        let (trouble, says) = if is_ill { (says, String::new()) } else { (String::new(), says) };
        Some(PathSystem { kind: role.to_owned(), name, trouble, says })
    };
    let of_place = |place: &Place| {
        let name = [place.system.as_str(), &place.name].join(" ").trim().to_owned();
        let asked = on_way.iter().find(|one| one.places.contains(&place));
        let said = asked.and_then(|one| told(place.role, name.clone(), one.asked, &[place]));
        said.unwrap_or_else(|| PathSystem { kind: place.role.to_owned(), name, ..PathSystem::default() })
    };
    let mut systems: Vec<PathSystem> = way.places.keys().map(of_place).collect();
    let unnamed = on_way.iter().filter(|one| one.places.is_empty());
    systems.extend(unnamed.filter_map(|one| told(one.role, one.asked.report.system.clone(), one.asked, &[])));
    systems
}

/// Those that fail since about when requests do, behind what telemetry names: which of two systems is at the bottom their
/// answers do not tell.
pub(super) fn suspects(seen: &[SystemSeen], named: &[Suspect]) -> Vec<Suspect> {
    let rank = named.iter().map(|suspect| suspect.rank).max().unwrap_or(0) + 1;
    let suspect = |system: &SystemSeen| Suspect {
        rank,
        service: Some(system.system.clone()),
        instance: None,
        operation: None,
        log_event: None,
        missing_after: None,
        instead: None,
        kind: SuspectKind::FailingSystem,
        evidence: vec![system.says.clone()],
        failing: 0,
        normal: 0,
        weight: 0.0,
        traces: Vec::new(),
    };
    seen.iter().filter(|system| system.explains).map(suspect).collect()
}
