//! Changes against what is known of a finding: the same scores as for series of calls, from other evidence.

use std::collections::BTreeMap;

use statrs::distribution::{DiscreteCDF, Hypergeometric};
use truegreen_model::change::{Change, ChangeRanking, RankedChange};
use truegreen_model::time::Timestamp;

use super::degraded::BY_CHANCE;
use super::edges::minute;
use super::examine::Examined;
use super::rank::put_together;
use super::reasons;
use super::score::{self, NO_EFFECT, Onset, UNSEEN_EFFECT};
use super::statistics::MOST_EVIDENCE;
use crate::date::rfc3339;

/// Minutes by which the clock of who reports a change may differ from those of services: hosts that are kept in time differ by
/// less than a second, who reports does so within seconds, and the onset is known in seconds.
const CLOCKS: f64 = 0.1;

/// What is known of a finding, as far as it has to do with changes. Whatever is not known is left empty, and speaks neither
/// for nor against any.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Context {
    /// When it began, most probably.
    pub onset: Timestamp,
    /// Not before.
    pub earliest: Timestamp,
    /// Not after.
    pub latest: Timestamp,
    /// When it was noticed; zero for not known.
    pub noticed: Timestamp,
    /// The services that failing requests go through, the first that is called first.
    pub path: Vec<String>,
    /// Those of them at which it goes wrong, as far as that is known: of a hop both ends may be it.
    pub places: Vec<String>,
    /// Instances that failing and healthy requests went through.
    pub instances: Vec<Went>,
    /// What the finding itself is about: instances, hosts, destinations.
    pub about: Vec<String>,
    /// What sets failing requests apart.
    pub conditions: Vec<Condition>,
    /// How calls between services go since the onset, where that was looked at.
    pub edges: Vec<EdgeEffect>,
    /// Queues, caches and databases in the path, as `kafka orders`.
    pub systems: Vec<PathSystem>,
    /// What can be said of changes that nobody reported.
    pub seen: Seen,
}

/// How many requests went through an instance.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Went {
    /// Its service.
    pub service: String,
    /// The instance.
    pub instance: String,
    /// The host it runs on, if it tells one; else empty.
    pub host: String,
    /// Its version, if it tells one; else empty.
    pub version: String,
    /// Failing ones.
    pub failing: u64,
    /// Healthy ones.
    pub healthy: u64,
}

/// One thing that failing requests have more often than healthy ones.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Condition {
    /// The attribute, as `service.version`.
    pub attribute: String,
    /// Its value.
    pub value: String,
    /// Share of failing requests that have it.
    pub failing_share: f64,
    /// Share of healthy ones.
    pub healthy_share: f64,
}

/// How calls from one service to another go since the onset.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EdgeEffect {
    /// Who calls.
    pub source: String,
    /// Who is called.
    pub target: String,
    /// What is worse, as `fails 12 % of calls, 0.1 % before`; empty where nothing is.
    pub says: String,
    /// Probability of that by chance alone.
    pub p_value: f64,
}

/// A queue, cache or database that failing requests go through.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PathSystem {
    /// `queue`, `cache` or `database`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What is known to be wrong with it; empty for nothing.
    pub trouble: String,
    /// What it said of itself, where nothing is known to be wrong; empty where nobody asked it.
    pub says: String,
}

/// What telemetry would have shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// Since when telemetry was looked at; none where it was not.
    pub since: Option<Timestamp>,
    /// Services on the path tell their version.
    pub versions: bool,
    /// Services on the path tell their instance or host.
    pub hosts: bool,
    /// How much came in, and of what, was counted before and since.
    pub traffic: bool,
    /// Changes are reported here at all: some were, at any time.
    pub reports: bool,
}

impl Context {
    fn is_on_path(&self, service: &str) -> bool {
        self.path.iter().any(|one| one == service)
    }

    fn goes_wrong_at(&self, service: &str) -> bool {
        self.places.iter().any(|one| one == service)
    }

    /// What goes worse in a service that this one calls, and so explains it.
    fn explained(&self, service: &str) -> Option<&EdgeEffect> {
        let worse = self
            .edges
            .iter()
            .filter(|edge| edge.source == service && edge.p_value <= BY_CHANCE && !edge.says.is_empty());
        worse.min_by(|a, b| a.p_value.total_cmp(&b.p_value))
    }
}

/// Ranks changes by how probably each is the cause of a finding.
pub fn rank_for_incident(changes: &[Change], context: &Context) -> ChangeRanking {
    let by_id: BTreeMap<&str, &Change> = changes.iter().map(|change| (change.id.as_str(), change)).collect();
    let changes: Vec<&Change> = by_id.into_values().collect();
    let first = changes.iter().map(|change| change.at).min().unwrap_or(context.onset);
    let window = (minute(context.onset) - minute(first)).clamp(120, 7 * 24 * 60) as f64;
    let examined = changes.iter().map(|change| examine(change, context, window)).collect();
    let mut ranking = put_together(&changes, examined, &[], true);
    ranking.onset = Some(rfc3339(context.onset));
    if context.path.is_empty() {
        ranking.notes.push("the path of failing requests is not known, so that no service can be ruled out".to_owned());
    }
    ranking
}

fn examine(change: &Change, context: &Context, window: f64) -> Examined {
    let mut examined = Examined::default();
    let minutes = |time: Timestamp| time.0 as f64 / 60e9;
    let onset = Onset {
        at: minutes(context.onset),
        earliest: minutes(context.earliest),
        latest: minutes(context.latest),
        clocks: CLOCKS,
    };
    let until = change.until.map(|until| minutes(until).max(minutes(change.at)));
    examined.evidence.time = score::of_time(minutes(change.at), until, onset, window);
    examined.reasons.push(reasons::of_time(change.at, minute(context.onset)));
    let by_instances = of_instances(&mut examined, change, context);
    let by_conditions = of_conditions(&mut examined, change, context);
    of_place(&mut examined, change, context, by_instances || by_conditions);
    examined
}

/// Whether failing requests went through changed instances, and healthy ones through others.
fn of_instances(examined: &mut Examined, change: &Change, context: &Context) -> bool {
    let host = host(change);
    // What is done to a host touches whoever runs there; of these it is told by whom something is done wrong.
    let is_of_service = |went: &&Went| match &change.service {
        Some(service) => went.service == *service,
        None => host.is_some() && context.goes_wrong_at(&went.service),
    };
    let of_service: Vec<&Went> = context.instances.iter().filter(is_of_service).collect();
    let is_touched = |went: &&Went| {
        let is_of_version = change.instances.is_empty() && change.version.as_deref() == Some(&went.version);
        change.instances.contains(&went.instance) || is_of_version || host.is_some_and(|host| went.host == host)
    };
    let (touched, others): (Vec<&Went>, Vec<&Went>) = of_service.into_iter().partition(is_touched);
    let sum = |all: &[&Went]| {
        all.iter().fold((0, 0), |(failing, healthy), went| (failing + went.failing, healthy + went.healthy))
    };
    let ((failing, healthy), (failing_others, healthy_others)) = (sum(&touched), sum(&others));
    let all = failing + healthy + failing_others + healthy_others;
    if failing + healthy == 0 || failing_others + healthy_others == 0 {
        return false;
    }
    let p = at_least(all, failing + failing_others, failing + healthy, failing);
    let counts = format!("{failing} of {} requests through its changed instances fail", failing + healthy);
    let others = format!("{failing_others} of {} through the others", failing_others + healthy_others);
    examined.reasons.push(format!("{counts}, and {others} ({})", reasons::probability(p)));
    examined.p = Some(p);
    if p <= BY_CHANCE && failing > failing_others {
        examined.is_shown = true;
        examined.evidence.effect = score::of_effect(p);
        return true;
    }
    // A cause would have most failures among its own.
    let share_others = failing_others as f64 / (failing + failing_others).max(1) as f64;
    let is_refuted = failing + failing_others >= 10 && share_others > 0.5 && p > BY_CHANCE;
    examined.evidence.effect = if is_refuted { NO_EFFECT } else { UNSEEN_EFFECT };
    is_refuted
}

/// The host that a change was made to.
fn host(change: &Change) -> Option<&str> {
    let told = ["host.name", "k8s.node.name"].into_iter().find_map(|name| change.attributes.get(name));
    told.map(String::as_str).filter(|_| change.service.is_none())
}

/// Probability that of `drawn` out of `all`, with `bad` bad ones among them, at least `seen` are bad (Fisher).
fn at_least(all: u64, bad: u64, drawn: u64, seen: u64) -> f64 {
    let Ok(distribution) = Hypergeometric::new(all, bad, drawn) else { return 1.0 };
    seen.checked_sub(1).map_or(1.0, |below| distribution.sf(below)).clamp(0.0, 1.0)
}

/// Whether what sets failing requests apart is what the change brought.
fn of_conditions(examined: &mut Examined, change: &Change, context: &Context) -> bool {
    let is_of_it = |condition: &&Condition| {
        let is_version = condition.attribute.ends_with("version") && change.version.as_ref() == Some(&condition.value);
        let is_instance = change.instances.contains(&condition.value);
        let is_told = change.attributes.get(&condition.attribute) == Some(&condition.value);
        is_version || is_instance || is_told
    };
    let told = context.conditions.iter().filter(is_of_it);
    let Some(best) = told.max_by(|a, b| ratio(a).total_cmp(&ratio(b))) else { return false };
    let shares = (reasons::percent(best.failing_share), reasons::percent(best.healthy_share));
    examined.reasons.push(format!(
        "{} of failing requests and {} of healthy ones have {}={}",
        shares.0, shares.1, best.attribute, best.value
    ));
    let evidence = ratio(best).ln().clamp(0.0, MOST_EVIDENCE / 2.0);
    if evidence < std::f64::consts::LN_2 || best.failing_share < 0.5 {
        return false;
    }
    examined.is_shown = true;
    examined.evidence.effect = examined.evidence.effect.max(0.0).max(evidence);
    true
}

/// Less than one in a hundred healthy ones cannot be told from none.
fn ratio(condition: &Condition) -> f64 {
    condition.failing_share / condition.healthy_share.max(0.01)
}

/// Whether its service is where it fails.
fn of_place(examined: &mut Examined, change: &Change, context: &Context, is_told: bool) {
    let touched = change.instances.iter().map(String::as_str).chain(host(change));
    if let Some(own) = touched.into_iter().find(|own| context.about.iter().any(|about| about == own)) {
        examined.evidence.origin = score::of_origin(0.0);
        examined.is_shown = true;
        examined.reasons.push(format!("{own} is what the finding is about"));
        return;
    }
    let Some(service) = change.service.as_deref() else {
        of_host(examined, change, context, is_told);
        return;
    };
    let inbound = context.edges.iter().filter(|edge| edge.target == service && !edge.says.is_empty());
    if let Some(edge) = inbound.min_by(|a, b| a.p_value.total_cmp(&b.p_value)).filter(|edge| edge.p_value <= BY_CHANCE)
    {
        examined.reasons.push(format!("{} {} ({})", edge.target, edge.says, reasons::probability(edge.p_value)));
        let explained = f64::from(u8::from(context.explained(service).is_some())) * 0.8;
        if !is_told {
            // Half of what series by instance would be worth: whose calls these are is not known.
            examined.evidence.effect = score::of_effect(edge.p_value).min(MOST_EVIDENCE / 2.0) * (1.0 - explained);
            examined.p = Some(edge.p_value);
        }
        examined.is_shown |= explained < 0.5;
    }
    if context.path.is_empty() {
        return;
    }
    if !context.is_on_path(service) {
        examined.evidence.origin = NO_EFFECT;
        examined.is_shown = false;
        examined.reasons.push(format!("failing requests do not go through {service}"));
        return;
    }
    if let Some(edge) = context.explained(service) {
        examined.evidence.origin = score::of_origin(0.8);
        examined.reasons.push(format!("{}, which {service} calls, {}: that would explain it", edge.target, edge.says));
    } else if context.goes_wrong_at(service) {
        examined.evidence.origin = score::of_origin(0.0);
        examined.is_shown |= examined.evidence.effect >= 0.0;
        examined.reasons.push(format!("{service} is where failing requests fail"));
    } else {
        examined.evidence.origin = score::of_origin(0.5);
        examined.reasons.push(format!("failing requests go through {service}, and fail further on"));
    }
}

/// Whether failing requests come to its host.
fn of_host(examined: &mut Examined, change: &Change, context: &Context, is_told: bool) {
    let Some(host) = host(change) else {
        examined.reasons.push("which service it touched is not told".to_owned());
        return;
    };
    let known: Vec<&Went> = context.instances.iter().filter(|went| went.failing > 0 && !went.host.is_empty()).collect();
    let is_there = |went: &&&Went| went.host == host;
    if !known.is_empty() && !known.iter().any(|went| is_there(&went)) {
        examined.evidence.origin = NO_EFFECT;
        examined.is_shown = false;
        examined.reasons.push(format!("failing requests do not come to {host}"));
        return;
    }
    let fails_there = known.iter().filter(is_there).any(|went| context.goes_wrong_at(&went.service));
    // A host is shared by many: that something of the path runs there says little.
    let explained = if fails_there && is_told { 0.0 } else { 0.8 };
    examined.evidence.origin = score::of_origin(explained);
    examined.reasons.push(format!("failing requests come to {host}"));
}

/// The row of a change in a ranking.
pub fn row<'r>(ranking: &'r ChangeRanking, id: &str) -> Option<&'r RankedChange> {
    ranking.ranking.iter().find(|row| row.id == id)
}
