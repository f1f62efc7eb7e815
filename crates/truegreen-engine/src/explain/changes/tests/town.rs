//! Made-up systems: services that call one another, a degradation with one cause, changes that are to blame and changes that
//! are not. Everything follows from a seed.

use std::collections::BTreeMap;

use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::{Minute, Timestamp};

use super::super::edges::{EdgeRow, EdgeTable, Edges};

/// Some minute of some day.
const BEGINS: u64 = 29_000_000;

pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d | 1);
        (0..8).for_each(|_| _ = chance.next());
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn up_to(&mut self, below: usize) -> usize {
        ((self.unit() * below as f64) as usize).min(below.saturating_sub(1))
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.unit() * (high - low)
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    fn binomial(&mut self, count: f64, share: f64) -> f64 {
        let count = count.round() as u32;
        if count > 60 && f64::from(count) * share.min(1.0 - share) > 8.0 {
            let mean = f64::from(count) * share;
            return (mean + self.normal() * (mean * (1.0 - share)).sqrt()).round().clamp(0.0, f64::from(count));
        }
        (0..count).map(|_| f64::from(u8::from(self.unit() < share))).sum()
    }
}

/// What is hard about a made-up case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hardship {
    pub(super) services: usize,
    pub(super) decoys: usize,
    /// Share of minutes that are missing.
    pub(super) gaps: f64,
    /// Standard deviation of the logarithm of latencies from minute to minute.
    pub(super) noise: f64,
    /// Some service that has nothing to do with it degrades at another time, by itself.
    pub(super) has_bystander: bool,
    /// Whether calls are counted.
    pub(super) tells_requests: bool,
    /// The cause is among the changes.
    pub(super) is_change: bool,
    /// Something does degrade.
    pub(super) is_faulty: bool,
    /// Minutes from the change to what it does, at most.
    pub(super) slow_by: usize,
    /// Share of the services of which no calls are told; never the one with the fault.
    pub(super) hidden: f64,
    /// Versions stand in the series.
    pub(super) tells_versions: bool,
}

impl Default for Hardship {
    fn default() -> Self {
        Hardship {
            services: 20,
            decoys: 10,
            gaps: 0.02,
            noise: 0.15,
            has_bystander: false,
            tells_requests: true,
            is_change: true,
            is_faulty: true,
            slow_by: 15,
            hidden: 0.0,
            tells_versions: true,
        }
    }
}

pub(super) struct Town {
    pub(super) changes: Vec<Change>,
    pub(super) edges: Edges,
    /// The id of the change that is the cause.
    pub(super) cause: Option<String>,
    pub(super) story: String,
}

struct Service {
    name: String,
    instances: usize,
    calls: Vec<usize>,
    requests: f64,
    latency: f64,
    /// Instances whose calls go worse, from this minute on, and how.
    ill: BTreeMap<usize, (u64, Illness)>,
    /// Instance to when it has its new version.
    renewed: BTreeMap<usize, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Illness {
    failures: f64,
    slower: f64,
}

pub(super) fn town(seed: u64, hard: Hardship) -> Town {
    let mut chance = Chance::new(seed);
    let mut services = services(&mut chance, hard.services);
    let noticed = BEGINS + 200 + chance.up_to(60) as u64;
    let onset = noticed - 4 - chance.up_to(12) as u64;
    let mut changes = Vec::new();
    let mut story = String::new();
    let mut cause = None;
    let guilty = chance.up_to(services.len());
    if hard.is_faulty {
        let illness = illness(&mut chance);
        let count = services[guilty].instances;
        let is_canary = hard.is_change && count > 2 && chance.unit() < 0.6;
        let touched: Vec<usize> =
            if is_canary { (0..1 + chance.up_to(count / 2)).collect() } else { (0..count).collect() };
        let lag = if chance.unit() < 0.7 { chance.up_to(5) } else { chance.up_to(hard.slow_by) } as u64;
        let rolls_out = if chance.unit() < 0.4 { 10 + chance.up_to(20) as u64 } else { 0 };
        let began = onset - lag;
        for (place, instance) in touched.iter().enumerate() {
            let renewed = began + rolls_out * place as u64 / touched.len() as u64;
            services[guilty].ill.insert(*instance, (renewed.max(onset), illness));
            if hard.is_change {
                services[guilty].renewed.insert(*instance, renewed);
            }
        }
        story = format!(
            "{} {illness:?} onset {} min before, lag {lag}, roll-out {rolls_out}, {} of {count} instances",
            services[guilty].name,
            noticed - onset,
            touched.len()
        );
        if hard.is_change {
            let tells_instances = chance.unit() < 0.7;
            cause = Some("c-guilty".to_owned());
            changes.push(Change {
                id: "c-guilty".to_owned(),
                until: (chance.unit() < 0.5).then_some(minutes(began + rolls_out)),
                instances: if tells_instances { names(&services[guilty], &touched) } else { Vec::new() },
                version: Some("v2".to_owned()).filter(|_| !tells_instances || chance.unit() < 0.5),
                ..release(&services[guilty].name, began)
            });
        }
    }
    if hard.has_bystander {
        let other = (guilty + 1 + chance.up_to(services.len() - 1)) % services.len();
        let began = onset.saturating_sub(chance.up_to(60) as u64) + chance.up_to(8) as u64;
        let small = Illness { failures: chance.between(0.03, 0.1), slower: 1.3 };
        (0..services[other].instances).for_each(|instance| _ = services[other].ill.insert(instance, (began, small)));
    }
    for decoy in 0..hard.decoys {
        changes.push(a_decoy(&mut chance, &mut services, guilty, decoy, (onset, noticed)));
    }
    // The order that changes are told in means nothing.
    for place in (1..changes.len()).rev() {
        changes.swap(place, chance.up_to(place + 1));
    }
    let edges = play(&mut chance, &services, (guilty, noticed), hard);
    Town { changes, edges, cause, story }
}

fn services(chance: &mut Chance, count: usize) -> Vec<Service> {
    let mut services: Vec<Service> = (0..count)
        .map(|at| Service {
            name: format!("service-{at:02}"),
            instances: 1 + chance.up_to(8),
            calls: Vec::new(),
            requests: 10f64.powf(chance.between(1.0, 3.2)),
            latency: chance.between(5.0, 80.0),
            ill: BTreeMap::new(),
            renewed: BTreeMap::new(),
        })
        .collect();
    // Who stands later is called by those who stand earlier, so that nobody calls itself in the end.
    for at in 1..count {
        let callers = 1 + chance.up_to(2);
        for _ in 0..callers {
            let caller = chance.up_to(at.min(1 + at * 2 / 3));
            if !services[caller].calls.contains(&at) {
                services[caller].calls.push(at);
            }
        }
    }
    services
}

fn illness(chance: &mut Chance) -> Illness {
    match chance.up_to(3) {
        0 => Illness { failures: chance.between(0.08, 0.6), slower: 1.0 },
        1 => Illness { failures: 0.0, slower: chance.between(2.5, 15.0) },
        _ => Illness { failures: chance.between(0.08, 0.5), slower: chance.between(1.5, 6.0) },
    }
}

fn a_decoy(chance: &mut Chance, services: &mut [Service], guilty: usize, number: usize, times: (u64, u64)) -> Change {
    let (onset, noticed) = times;
    let id = format!("c-{number:02}");
    let near = |chance: &mut Chance| onset - chance.up_to(20) as u64;
    match number % 5 {
        // Another service, at about the same time.
        0 | 1 => {
            let other = (guilty + 1 + chance.up_to(services.len() - 1)) % services.len();
            let at = near(chance);
            Change { id, ..release(&services[other].name, at) }
        }
        // The same service, other instances.
        2 if services[guilty].instances > services[guilty].renewed.len() && !services[guilty].renewed.is_empty() => {
            let others: Vec<usize> =
                (0..services[guilty].instances).filter(|at| !services[guilty].renewed.contains_key(at)).collect();
            let at = near(chance);
            let kind = ChangeKind::Config;
            Change { id, instances: names(&services[guilty], &others), kind, ..release(&services[guilty].name, at) }
        }
        // Long before, even of the same service.
        3 => {
            let any = if chance.unit() < 0.3 { guilty } else { chance.up_to(services.len()) };
            let at = onset - 45 - chance.up_to(120) as u64;
            Change { id, kind: ChangeKind::Config, ..release(&services[any].name, at) }
        }
        // Too late: perhaps to mend it.
        4 => {
            let any = if chance.unit() < 0.5 { guilty } else { chance.up_to(services.len()) };
            let at = (onset + 5 + chance.up_to(10) as u64).min(noticed + 3);
            Change { id, kind: ChangeKind::Config, ..release(&services[any].name, at) }
        }
        // A healthy canary of another service.
        _ => {
            let other = (guilty + 1 + chance.up_to(services.len() - 1)) % services.len();
            let at = near(chance);
            services[other].renewed.insert(0, at);
            Change { id, instances: names(&services[other], &[0]), ..release(&services[other].name, at) }
        }
    }
}

fn release(service: &str, at: u64) -> Change {
    Change {
        at: minutes(at),
        kind: ChangeKind::Release,
        title: format!("a change of {service}"),
        service: Some(service.to_owned()),
        source: "test".to_owned(),
        ..Change::default()
    }
}

fn names(service: &Service, instances: &[usize]) -> Vec<String> {
    instances.iter().map(|at| format!("{}-{at}", service.name)).collect()
}

fn minutes(minute: u64) -> Timestamp {
    Minute(minute).start()
}

/// How calls to an instance go within one minute: share that fails, and latency. What is called has its part in both.
fn goes(services: &[Service], whole: &[(f64, f64)], at: usize, instance: usize, minute: u64) -> (f64, f64) {
    let service = &services[at];
    let ill = service.ill.get(&instance).filter(|(began, _)| *began <= minute).map(|(_, illness)| *illness);
    let ill = ill.unwrap_or(Illness { failures: 0.0, slower: 1.0 });
    let mut well = (1.0 - 0.002) * (1.0 - ill.failures);
    let mut latency = service.latency * ill.slower;
    for called in &service.calls {
        // Not each call needs each other one.
        let share = 0.4 + 0.6 * ((at * 7 + called * 3) % 10) as f64 / 10.0;
        well *= 1.0 - share * whole[*called].0;
        latency += share * whole[*called].1;
    }
    (1.0 - well, latency)
}

fn play(chance: &mut Chance, services: &[Service], (guilty, noticed): (usize, u64), hard: Hardship) -> Edges {
    let is_hidden = |at: usize| at != guilty && ((at * 7919 + guilty) % 100) as f64 * 0.01 < hard.hidden;
    let mut table = EdgeTable::new(minutes(noticed));
    let callers = |called: usize| -> Vec<String> {
        let from = services.iter().filter(|one| one.calls.contains(&called)).map(|one| one.name.clone());
        let from: Vec<String> = from.collect();
        if from.is_empty() { vec!["outside".to_owned()] } else { from }
    };
    let offsets: Vec<f64> = (0..500).map(|_| chance.normal() * 0.08).collect();
    for minute in BEGINS..=noticed + 5 {
        let mut whole = vec![(0.0, 0.0); services.len()];
        let tide = 1.0 + 0.2 * (minute as f64 / 150.0).sin();
        for at in (0..services.len()).rev() {
            let service = &services[at];
            let each: Vec<(f64, f64)> =
                (0..service.instances).map(|instance| goes(services, &whole, at, instance, minute)).collect();
            let count = service.instances as f64;
            whole[at] =
                (each.iter().map(|one| one.0).sum::<f64>() / count, each.iter().map(|one| one.1).sum::<f64>() / count);
            if is_hidden(at) {
                continue;
            }
            let sources = callers(at);
            for source in &sources {
                for (instance, (failing, latency)) in each.iter().enumerate() {
                    if chance.unit() < hard.gaps {
                        continue;
                    }
                    let requests =
                        (service.requests * tide / count / sources.len() as f64 * chance.between(0.8, 1.2)).ceil();
                    let wild = if chance.unit() < 0.004 { chance.between(2.0, 20.0) } else { 1.0 };
                    let jitter = (hard.noise * chance.normal() + offsets[at * 8 + instance]).exp();
                    let is_new = service.renewed.get(&instance).is_some_and(|renewed| *renewed <= minute);
                    table.push(EdgeRow {
                        at: minutes(minute),
                        source,
                        source_instance: "",
                        target: &service.name,
                        instance: &format!("{}-{instance}", service.name),
                        version: match (hard.tells_versions, is_new) {
                            (false, _) => "",
                            (true, false) => "v1",
                            (true, true) => "v2",
                        },
                        ok_rate: Some(1.0 - chance.binomial(requests, *failing) / requests),
                        latency: Some(latency * jitter * wild),
                        requests: hard.tells_requests.then_some(requests),
                    });
                }
            }
        }
    }
    table.finish()
}
