//! What is asked for: the keys that a passage turned out to be about, and by what else its messages are known.

use std::collections::BTreeSet;

use truegreen_connect::Kind;
use truegreen_model::flow::{Condition, Flow, Key, Test};
use truegreen_model::passage::{PassageReport, SpanReport};

use super::super::trace_id;

/// Keys that systems are asked for.
const MAX_KEYS: usize = 4;
/// Traces by which messages are known.
const MAX_TRACES: usize = 32;
/// Queues, topics and streams that a passage names.
const MAX_DESTINATIONS: usize = 16;

/// Attributes that name where a message goes, the current one first.
const DESTINATIONS: [&str; 2] = ["messaging.destination.name", "messaging.destination"];

/// A queue, topic or stream that telemetry or a contract names, and of which kind of system it is, where that is told.
pub(super) type Destination = (Option<Kind>, String);

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Subject {
    /// By flow and key.
    pub(super) keys: Vec<(String, String)>,
    /// Keys that are left out.
    pub(super) further_keys: u64,
    /// What a message is known by: a key, or what was asked for.
    pub(super) words: Vec<String>,
    /// Or by one of these traces, 32 hex digits each.
    pub(super) traces: BTreeSet<String>,
    pub(super) destinations: BTreeSet<Destination>,
}

impl Subject {
    /// Of what was found; `named` are keys that the log names where no journey is known any more.
    pub(crate) fn of(
        report: &PassageReport,
        named: &[(String, String)],
        flow: Option<&str>,
        flows: &[Flow],
    ) -> Subject {
        let flows: Vec<&Flow> = flows.iter().filter(|own| flow.is_none_or(|name| own.name == name)).collect();
        let mut keys = unique(report.journeys.iter().map(|one| (one.journey.flow.clone(), one.journey.key.clone())));
        if keys.is_empty() {
            keys = unique(named.iter().cloned());
        }
        let is_another =
            report.found_as.iter().any(|how| how != "key") && !report.found_as.iter().any(|how| how == "key");
        if keys.is_empty() && !is_another {
            let id = trace_id(&report.asked);
            let of = |flow: &&Flow| match (&flow.key, id) {
                (Key::TraceId, id) => id.map(|id| format!("{id:032x}")),
                (Key::Attributes(_), _) => Some(report.asked.clone()),
            };
            keys = flows.iter().filter_map(|flow| Some((flow.name.clone(), of(flow)?))).collect();
        }
        // The newest passages stand last.
        let texts = unique(keys.iter().rev().map(|(_, key)| key.clone()));
        let further_keys = texts.len().saturating_sub(MAX_KEYS) as u64;
        let texts = &texts[..texts.len().min(MAX_KEYS)];
        keys.retain(|(_, key)| texts.contains(key));
        let mut words = texts.to_vec();
        if !words.contains(&report.asked) {
            words.push(report.asked.clone());
        }
        Subject { words, traces: traces(report), destinations: destinations(report, &keys, &flows), keys, further_keys }
    }
}

fn unique<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

/// Those in which its own steps were seen: others, such as that of a batch, are other orders' as well.
fn traces(report: &PassageReport) -> BTreeSet<String> {
    let seen = report.journeys.iter().flat_map(|journey| &journey.seen).filter_map(|seen| seen.trace_id.clone());
    let asked = trace_id(&report.asked).map(|id| format!("{id:032x}"));
    seen.chain(asked).take(MAX_TRACES).collect()
}

fn destinations(report: &PassageReport, keys: &[(String, String)], flows: &[&Flow]) -> BTreeSet<Destination> {
    let of_span = |span: &SpanReport| {
        let name = DESTINATIONS.iter().find_map(|name| span.attributes.get(*name))?;
        let system = span.attributes.get("messaging.system").map(String::as_str);
        (!name.is_empty()).then(|| (system.and_then(kind), name.clone()))
    };
    let known: BTreeSet<Destination> = report.spans.iter().filter_map(of_span).collect();
    let mut all = known.clone();
    // What a contract names counts where telemetry does not say more of it.
    for flow in flows.iter().filter(|flow| keys.iter().any(|(name, _)| *name == flow.name)) {
        let steps = flow.steps.iter().flat_map(|step| &step.any_of);
        let patterns = steps.chain(flow.exits.iter().flat_map(|exit| &exit.any_of));
        for pattern in patterns {
            let system = exact(&pattern.attributes, &["messaging.system"]).next().and_then(kind);
            for name in exact(&pattern.attributes, &DESTINATIONS) {
                if !known.iter().any(|(_, own)| own == name) {
                    all.insert((system, name.to_owned()));
                }
            }
        }
    }
    all.into_iter().take(MAX_DESTINATIONS).collect()
}

/// The values that these conditions ask for, where they ask for certain ones.
fn exact<'c>(conditions: &'c [Condition], names: &'c [&str]) -> impl Iterator<Item = &'c str> {
    let of = conditions.iter().filter(|condition| names.contains(&condition.attribute.as_str()));
    let texts = of.flat_map(|condition| match &condition.test {
        Test::AnyOf(texts) => texts.as_slice(),
        _ => &[],
    });
    texts.filter(|text| text.is_exact() && !text.0.is_empty()).map(|text| text.0.as_str())
}

/// What a `messaging.system` is.
fn kind(system: &str) -> Option<Kind> {
    Some(match system {
        "kafka" => Kind::Kafka,
        "rabbitmq" | "amqp" => Kind::Rabbitmq,
        "nats" | "jetstream" => Kind::Nats,
        "redis" | "valkey" => Kind::Redis,
        _ => return None,
    })
}
