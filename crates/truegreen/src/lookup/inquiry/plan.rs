//! Who is asked what. Pure.

use truegreen_connect::{Kind, SystemConfig};
use truegreen_model::answer::SystemAnswer;
use truegreen_model::flow::{Expected, Flow};
use truegreen_model::passage::CutReport;

use super::subject::Subject;

/// Places of one system in which messages are looked for.
const MAX_PLACES: usize = 8;

/// All of it.
#[derive(PartialEq, Debug, Default)]
pub(super) struct Plan {
    /// By system, then way; the order in which answers stand.
    pub(super) chains: Vec<Chain>,
    pub(super) cut: Vec<CutReport>,
}

/// What one system is asked one after the other, so that no page opens many connections to it.
#[derive(PartialEq, Debug)]
pub(super) struct Chain {
    pub(super) system: String,
    pub(super) way: Way,
}

/// What it is asked.
#[derive(PartialEq, Debug)]
pub(super) enum Way {
    Questions(Vec<Asked>),
    DeadLetters(Sought),
    Messages(Vec<Place>, Sought),
}

/// One question, for as many keys as there are.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Asked {
    pub(super) ask: String,
    /// What answer means that the effect is there; none where any answer is one.
    pub(super) expect: Option<Expected>,
    /// An answer for each: for which key, and beside what it stands.
    pub(super) blanks: Vec<SystemAnswer>,
}

/// By what messages are known.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Sought {
    pub(super) words: Vec<String>,
    pub(super) traces: std::collections::BTreeSet<String>,
}

/// Where messages are looked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) name: String,
    /// Whether somebody said that it is there, in this system.
    pub(super) is_certain: bool,
}

impl Plan {
    pub(super) fn of(subject: &Subject, flows: &[Flow], configs: &[&SystemConfig]) -> Plan {
        let mut plan = Plan::default();
        for config in configs {
            let questions = questions(subject, flows, config);
            plan.add(config, (!questions.is_empty()).then_some(Way::Questions(questions)));
            let sought = Sought { words: subject.words.clone(), traces: subject.traces.clone() };
            let has_letters = may_have_letters(config);
            plan.add(config, has_letters.then(|| Way::DeadLetters(sought.clone())));
            let mut places = places(subject, config);
            if places.len() > MAX_PLACES {
                let why = format!("one answer looks into {MAX_PLACES} queues, topics or streams of a system under way");
                plan.cut.push(CutReport { what: "places".to_owned(), count: (places.len() - MAX_PLACES) as u64, why });
                places.truncate(MAX_PLACES);
            }
            plan.add(config, (!places.is_empty()).then_some(Way::Messages(places, sought)));
        }
        // What a contract asks of a system that no configuration names is not asked, and said.
        for asked in effects(subject, flows, |name| !configs.iter().any(|config| config.name == name)) {
            let system = asked.blanks.first().map(|blank| blank.system.clone()).unwrap_or_default();
            plan.chains.push(Chain { system, way: Way::Questions(vec![asked]) });
        }
        if subject.further_keys > 0 && !plan.chains.is_empty() {
            let why = "systems are asked for the newest 4 keys at the most".to_owned();
            plan.cut.push(CutReport { what: "keys".to_owned(), count: subject.further_keys, why });
        }
        plan
    }

    fn add(&mut self, config: &SystemConfig, way: Option<Way>) {
        self.chains.extend(way.map(|way| Chain { system: config.name.clone(), way }));
    }
}

impl Chain {
    /// An answer to each question, still to be filled in.
    pub(super) fn blanks(&self) -> Vec<SystemAnswer> {
        let of = |way: &str, of: &str, sought: &Sought| SystemAnswer {
            system: self.system.clone(),
            way: way.to_owned(),
            of: of.to_owned(),
            key: sought.words.first().cloned().unwrap_or_default(),
            ..SystemAnswer::default()
        };
        match &self.way {
            Way::Questions(questions) => questions.iter().flat_map(|asked| asked.blanks.clone()).collect(),
            Way::DeadLetters(sought) => vec![of("dead_letters", "", sought)],
            Way::Messages(places, sought) => places.iter().map(|place| of("messages", &place.name, sought)).collect(),
        }
    }
}

/// What contracts and the configuration ask of this system: the steps' effects first.
fn questions(subject: &Subject, flows: &[Flow], config: &SystemConfig) -> Vec<Asked> {
    let mut all = effects(subject, flows, |name| name == config.name);
    for question in &config.trace {
        let fits = |(flow, _): &&(String, String)| question.flow.as_ref().is_none_or(|wanted| wanted == flow);
        let mut blanks: Vec<SystemAnswer> = Vec::new();
        for (_, key) in subject.keys.iter().filter(fits) {
            if blanks.iter().any(|blank| blank.key == *key) {
                continue;
            }
            blanks.push(SystemAnswer {
                system: config.name.clone(),
                way: "question".to_owned(),
                of: question.name.clone(),
                question: Some(question.ask.clone()),
                key: key.clone(),
                flow: question.flow.clone(),
                step: question.hop.clone(),
                ..SystemAnswer::default()
            });
        }
        if !blanks.is_empty() {
            all.push(Asked { ask: question.ask.clone(), expect: None, blanks });
        }
    }
    all
}

/// The `confirm` of steps of the flows that these keys are of.
fn effects(subject: &Subject, flows: &[Flow], is_meant: impl Fn(&str) -> bool) -> Vec<Asked> {
    let mut all = Vec::new();
    for flow in flows {
        let keys = subject.keys.iter().filter(|(name, _)| *name == flow.name);
        for step in &flow.steps {
            let Some(confirm) = step.confirm.as_ref().filter(|confirm| is_meant(&confirm.system)) else { continue };
            let blank = |(flow, key): &(String, String)| SystemAnswer {
                system: confirm.system.clone(),
                way: "effect".to_owned(),
                of: step.name.clone(),
                question: Some(confirm.ask.clone()),
                key: key.clone(),
                flow: Some(flow.clone()),
                step: Some(step.name.clone()),
                ..SystemAnswer::default()
            };
            let blanks: Vec<SystemAnswer> = keys.clone().map(blank).collect();
            if !blanks.is_empty() {
                all.push(Asked { ask: confirm.ask.clone(), expect: Some(confirm.expect.clone()), blanks });
            }
        }
    }
    all
}

fn may_have_letters(config: &SystemConfig) -> bool {
    match config.address.kind() {
        Kind::Redis | Kind::Rabbitmq | Kind::Nats | Kind::Kafka => true,
        // Only a table that is named is one of letters.
        Kind::Postgres | Kind::Mysql => !config.dead_letters.is_empty(),
        Kind::Http | Kind::Tls | Kind::Clock => false,
    }
}

/// What is watched there, and what telemetry or contracts name; not what lies dead, which is looked into anyway.
fn places(subject: &Subject, config: &SystemConfig) -> Vec<Place> {
    let kind = config.address.kind();
    if !matches!(kind, Kind::Redis | Kind::Rabbitmq | Kind::Nats | Kind::Kafka) {
        return Vec::new();
    }
    let named = subject.destinations.iter().filter_map(|(system, name)| match system {
        Some(system) => (*system == kind).then(|| (name.clone(), true)),
        // A cache is asked only where something says that messages are in it.
        None => (kind != Kind::Redis).then(|| (name.clone(), false)),
    });
    let watched = config.watch.iter().map(|name| {
        // What follows a slash is a consumer or a group; a queue's name may hold one.
        let name = if kind == Kind::Rabbitmq { name } else { name.split('/').next().unwrap_or(name) };
        (name.to_owned(), true)
    });
    let mut places: Vec<Place> = Vec::new();
    for (name, is_certain) in watched.chain(named) {
        if !config.dead_letters.contains(&name) && !places.iter().any(|place| place.name == name) {
            places.push(Place { name, is_certain });
        }
    }
    places
}
