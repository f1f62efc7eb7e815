//! Whether a step would have been seen, had it happened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use truegreen_model::flow::{Flow, Signal, StepId, Text};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::Why;

use super::fact::{Fact, Role};
use super::passage::Passage;
use super::reading::scope;

/// A silence longer than this ends a spell.
const SILENCE: Duration = Duration::from_secs(120);
/// How long after a deadline and the export lag proof is waited for.
const LIMIT_BEYOND_LAG: Duration = Duration::from_secs(120);
/// Batch exporters wait 5 s; nothing is judged sooner after its deadline than this.
const LEAST_LAG: Duration = Duration::from_secs(10);
/// How long a delivery of the signal speaks for a service of which little is expected…
const SIGNAL_MEMORY: Duration = Duration::from_secs(15 * 60);
/// …and from how many journeys owing since it does not any more.
const OWING_BOUND: usize = 5;

/// Where the rules leave room: how exactly a moment is hit. `Leeway::EXACT` is the plain reading; a verdict that
/// differs under another leeway lies on a knife's edge, and either is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leeway {
    /// Waits are examined this long after the limit.
    pub poll: Duration,
    /// Who counts as "owing since".
    pub owing: Owing,
    /// The wait is judged anew when the last sighting of its key comes, rather than once and for all.
    pub anew: bool,
}

/// Which journeys count as owing since the signal was last delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owing {
    /// Those of the same flow and scope whose same step is missing and due.
    SameStep,
    /// All that entered since.
    Entered,
    /// Those not decided yet; at the least this one.
    Undecided,
}

impl Leeway {
    /// The plain reading.
    pub const EXACT: Leeway = Leeway { poll: Duration::ZERO, owing: Owing::SameStep, anew: false };

    /// The plain reading first, then every other.
    pub fn all() -> impl Iterator<Item = Leeway> {
        (0..12_u8).map(|n| Leeway {
            poll: Duration::from_secs(if n & 1 == 0 { 0 } else { 2 }),
            owing: [Owing::SameStep, Owing::Entered, Owing::Undecided][usize::from(n / 4)],
            anew: n & 2 != 0,
        })
    }
}

/// A step that is missing: entered then, due then.
#[derive(Clone, Copy, Debug)]
pub struct Wait<'a, 'b> {
    /// Whose.
    pub passage: &'b Passage<'a>,
    /// Which.
    pub step: StepId,
    /// Until when, grace included.
    pub deadline: Timestamp,
}

/// What a missing step means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// It would have been seen.
    Missing,
    /// It might not have been seen.
    CannotTell(Why),
}

#[derive(Clone, Debug)]
struct Hearing<'a> {
    at: Timestamp,
    instance: &'a str,
    resource: &'a BTreeMap<String, Vec<String>>,
    signal: Option<Signal>,
}

/// Service and instance, first and last hearing.
type Spell<'a> = ((&'a str, &'a str), (Timestamp, Timestamp));

/// A gap in what we took in: of one instance, of all of a service (`instance: None`), or of everybody.
#[derive(Clone, Debug)]
struct Gap<'a> {
    known_at: Timestamp,
    service: Option<&'a str>,
    instance: Option<&'a str>,
    from: Timestamp,
    to: Timestamp,
}

/// Who was heard, and what was missed.
#[derive(Clone, Debug)]
pub struct Coverage<'a> {
    flows: &'a [Flow],
    hearings: BTreeMap<&'a str, Vec<Hearing<'a>>>,
    lags: BTreeMap<(&'a str, Signal), Duration>,
    gaps: Vec<Gap<'a>>,
    sampled: BTreeMap<&'a str, Timestamp>,
    fulfilments: Vec<(Timestamp, usize, StepId, &'a str)>,
    entries: Vec<(usize, Timestamp)>,
    missing: Vec<(usize, &'a [String], StepId, Timestamp, Timestamp)>,
}

impl<'a> Coverage<'a> {
    /// Sorts the facts by what they say of coverage.
    pub fn of(flows: &'a [Flow], facts: &[(Timestamp, &'a Fact)], passages: &[Passage<'a>]) -> Coverage<'a> {
        let mut coverage = Coverage {
            flows,
            hearings: BTreeMap::new(),
            lags: BTreeMap::new(),
            gaps: Vec::new(),
            sampled: BTreeMap::new(),
            fulfilments: Vec::new(),
            entries: passages.iter().map(|passage| (passage.flow_index, passage.entered_at)).collect(),
            missing: passages
                .iter()
                .filter(|passage| !passage.has_exit())
                .flat_map(|passage| {
                    let of = move |(due, step)| (passage.flow_index, passage.scope, step, passage.entered_at, due);
                    passage.missing().into_iter().map(of)
                })
                .collect(),
        };
        let mut lags: BTreeMap<(&str, Signal), Vec<Duration>> = BTreeMap::new();
        for &(at, fact) in facts {
            coverage.take(at, fact);
            if let Fact::Lagged { service, signal, lag } = fact {
                lags.entry((service, *signal)).or_default().push(*lag);
            }
        }
        coverage.lags = lags.into_iter().map(|(of, lags)| (of, export_lag(lags))).collect();
        coverage
    }

    fn take(&mut self, at: Timestamp, fact: &'a Fact) {
        match fact {
            Fact::Heard { service, instance, resource, signal } => {
                let signal = *signal;
                self.hearings.entry(service).or_default().push(Hearing { at, instance, resource, signal });
            }
            Fact::Seen(sighting) => {
                if let (Role::Step(step), false) = (&sighting.role, sighting.attempt) {
                    self.fulfilments.push((at, sighting.flow, *step, &sighting.service));
                }
            }
            Fact::Refused { service, instance } => self.gaps.push(Gap {
                known_at: at,
                service: Some(service),
                instance: instance.as_deref(),
                from: at,
                to: at,
            }),
            Fact::Resumed { down_since } => {
                self.gaps.push(Gap { known_at: at, service: None, instance: None, from: *down_since, to: at })
            }
            Fact::Sampled { service } => {
                self.sampled.entry(service).or_insert(at);
            }
            Fact::Lagged { .. } => {}
        }
    }

    /// What the missing step means, once that can be said at `now`: the first moment decides.
    pub fn judge(&self, wait: Wait, now: Timestamp, leeway: Leeway) -> Option<Meaning> {
        self.moments(wait, now, leeway).into_iter().find_map(|moment| self.judge_at(wait, moment, leeway))
    }

    /// Every moment up to `now` at which something could have become decidable.
    fn moments(&self, wait: Wait, now: Timestamp, leeway: Leeway) -> Vec<Timestamp> {
        let services = self.owing(wait, now);
        let (lag, limit) = self.patience(wait, &services);
        let earliest = if leeway.anew { wait.passage.key_changed_at } else { Timestamp::default() };
        let mut moments = vec![wait.deadline + lag, wait.deadline + limit + leeway.poll, earliest, now];
        moments.extend(self.gaps.iter().flat_map(|gap| [gap.to + lag, gap.to + lag + limit]));
        moments.extend(
            services.iter().filter_map(|service| self.hearings.get(service)).flatten().map(|hearing| hearing.at),
        );
        moments.retain(|&moment| {
            let down = |gap: &Gap| gap.service.is_none() && gap.from < moment && moment < gap.to;
            moment >= wait.deadline + lag && moment >= earliest && moment <= now && !self.gaps.iter().any(down)
        });
        moments.sort();
        moments.dedup();
        moments
    }

    fn judge_at(&self, wait: Wait, now: Timestamp, leeway: Leeway) -> Option<Meaning> {
        let services = self.owing(wait, now);
        let (lag, limit) = self.patience(wait, &services);
        if services.iter().any(|service| self.is_sampled(wait, service, now)) {
            return Some(Meaning::CannotTell(Why::Sampled));
        }
        if let Some(gap_end) = self.gap_end(wait, &services, lag, now) {
            // Also where nobody was relevant: what senders kept meanwhile may still be on its way.
            let heard_again = now >= gap_end + lag && self.heard_since(wait, &services, gap_end + lag, now);
            let in_vain = now >= gap_end.max(wait.deadline) + lag + limit;
            return (heard_again || in_vain).then_some(Meaning::CannotTell(Why::IntakeGap));
        }
        let meaning = self.meaning(wait, &services, now, leeway);
        let past_limit = now >= wait.deadline + limit + leeway.poll;
        (meaning == Meaning::Missing || past_limit).then_some(meaning)
    }

    /// What the missing step means if nothing more is heard than until `now`; gaps and sampling aside.
    fn meaning(&self, wait: Wait, services: &BTreeSet<&str>, now: Timestamp, leeway: Leeway) -> Meaning {
        let (lag, _) = self.patience(wait, services);
        let proof = wait.deadline + lag;
        if self.heard(wait, services, now).next().is_none() {
            return Meaning::CannotTell(Why::NeverSeen);
        }
        let relevant = self.relevant(wait, services, now);
        // An alternative that was never deployed need not be heard.
        let ever: BTreeSet<&str> = self.heard(wait, services, now).map(|(service, _)| service).collect();
        let reports = |service: &&str| relevant.keys().any(|(of, _)| of == service);
        if !ever.iter().all(reports) || relevant.values().any(|&last| last < proof) {
            return Meaning::CannotTell(Why::InstanceGone);
        }
        if !self.signal_speaks(wait, services, now, leeway) {
            return Meaning::CannotTell(Why::SignalSilent);
        }
        Meaning::Missing
    }

    /// Instances with a spell that overlaps the wait, or ended shortly before it, each with the earliest end of such a
    /// spell: one that fell silent just before may have lived on.
    fn relevant(
        &self,
        wait: Wait,
        services: &BTreeSet<&str>,
        now: Timestamp,
    ) -> BTreeMap<(&'a str, &'a str), Timestamp> {
        let mut relevant: BTreeMap<(&str, &str), Timestamp> = BTreeMap::new();
        for (instance, spell) in self.spells(wait, services, now) {
            if spell.0 <= wait.deadline && spell.1 >= wait.passage.entered_at - SILENCE {
                let end = relevant.entry(instance).or_insert(spell.1);
                *end = (*end).min(spell.1);
            }
        }
        relevant
    }

    /// Runs of hearings of one instance without a long silence: first and last hearing.
    fn spells(&self, wait: Wait, services: &BTreeSet<&str>, now: Timestamp) -> Vec<Spell<'a>> {
        let mut spells = Vec::new();
        let mut current: BTreeMap<(&str, &str), (Timestamp, Timestamp)> = BTreeMap::new();
        for (service, hearing) in self.heard(wait, services, now) {
            let instance = (service, hearing.instance);
            match current.get_mut(&instance) {
                Some(spell) if hearing.at.since(spell.1) <= SILENCE => spell.1 = hearing.at,
                _ => {
                    if let Some(ended) = current.insert(instance, (hearing.at, hearing.at)) {
                        spells.push((instance, ended));
                    }
                }
            }
        }
        spells.extend(current);
        spells
    }

    /// Hearings of these services in the scope of the journey: another environment's instances fulfil nothing here.
    fn heard<'s>(
        &'s self,
        wait: Wait<'s, 's>,
        services: &'s BTreeSet<&str>,
        now: Timestamp,
    ) -> impl Iterator<Item = (&'a str, &'s Hearing<'a>)> {
        self.hearings
            .iter()
            .filter(move |(service, _)| services.contains(*service))
            .flat_map(|(service, hearings)| hearings.iter().map(move |hearing| (*service, hearing)))
            .filter(move |(_, hearing)| {
                hearing.at <= now && scope(wait.passage.flow, hearing.resource) == wait.passage.scope
            })
    }

    /// Whether each relevant instance was heard at or after `since`.
    fn heard_since(&self, wait: Wait, services: &BTreeSet<&str>, since: Timestamp, now: Timestamp) -> bool {
        self.relevant(wait, services, now).keys().all(|&(service, instance)| {
            self.heard(wait, services, now)
                .any(|(of, hearing)| of == service && hearing.instance == instance && hearing.at >= since)
        })
    }

    /// End of the last gap of intake that overlaps the wait.
    fn gap_end(&self, wait: Wait, services: &BTreeSet<&str>, lag: Duration, now: Timestamp) -> Option<Timestamp> {
        let relevant = self.relevant(wait, services, now);
        self.gaps
            .iter()
            .filter(|gap| gap.known_at <= now && gap.from <= wait.deadline + lag && gap.to >= wait.passage.entered_at)
            .filter(|gap| match (gap.service, gap.instance) {
                (None, _) => true,
                (Some(service), None) => services.contains(service),
                (Some(service), Some(instance)) => relevant.contains_key(&(service, instance)),
            })
            .map(|gap| gap.to)
            .max()
    }

    /// Whether the owing service shows such steps at all: it delivered that signal since the entry, or not long ago
    /// while little was owed since.
    fn signal_speaks(&self, wait: Wait, services: &BTreeSet<&str>, now: Timestamp, leeway: Leeway) -> bool {
        let signals: Vec<Signal> = self.step(wait).any_of.iter().map(|pattern| pattern.signal).collect();
        let last = self
            .heard(wait, services, now)
            .filter(|(_, hearing)| hearing.signal.is_some_and(|signal| signals.contains(&signal)))
            .map(|(_, hearing)| hearing.at)
            .max();
        let Some(last) = last else { return false };
        let owing_since = match leeway.owing {
            Owing::SameStep => {
                let same = |missing: &&(usize, &[String], StepId, Timestamp, Timestamp)| {
                    let (flow, scope, step, entered_at, due) = **missing;
                    let same = flow == wait.passage.flow_index && scope == wait.passage.scope && step == wait.step;
                    same && entered_at > last && due <= now
                };
                self.missing.iter().filter(same).count()
            }
            Owing::Entered => self.entries.iter().filter(|(_, entered_at)| *entered_at > last).count(),
            Owing::Undecided => 1,
        };
        last >= wait.passage.entered_at || (last >= wait.deadline - SIGNAL_MEMORY && owing_since < OWING_BOUND)
    }

    /// Services that owe the step: named by its patterns, else those that were seen to fulfil it.
    fn owing(&self, wait: Wait, now: Timestamp) -> BTreeSet<&'a str> {
        let step = &self.flows[wait.passage.flow_index].steps[usize::from(wait.step.0)];
        let named: BTreeSet<&str> = step
            .any_of
            .iter()
            .filter_map(|pattern| pattern.service.as_ref())
            .filter(|service| service.is_exact())
            .map(|Text(service)| service.as_str())
            .collect();
        if !named.is_empty() {
            return named;
        }
        let same = |at: Timestamp, flow, step| at <= now && flow == wait.passage.flow_index && step == wait.step;
        self.fulfilments
            .iter()
            .filter(|(at, flow, step, _)| same(*at, *flow, *step))
            .map(|(_, _, _, service)| *service)
            .collect()
    }

    /// Export lag of the signals that would show the step, and how long after a deadline proof is waited for.
    fn patience(&self, wait: Wait, services: &BTreeSet<&str>) -> (Duration, Duration) {
        let signals = self.step(wait).any_of.iter().map(|pattern| pattern.signal);
        let of = |signal| services.iter().filter_map(move |service| self.lags.get(&(*service, signal)));
        let lags = signals.flat_map(of).copied();
        let lag = lags.max().unwrap_or(LEAST_LAG).max(LEAST_LAG);
        // A silence of that length ends a spell, so that nothing later can prove the wait any more.
        (lag, lag + LIMIT_BEYOND_LAG)
    }

    fn is_sampled(&self, wait: Wait, service: &str, now: Timestamp) -> bool {
        self.flows[wait.passage.flow_index].sampled.contains_key(service)
            || self.sampled.get(service).is_some_and(|&since| since <= now)
    }

    fn step(&self, wait: Wait) -> &'a truegreen_model::flow::Step {
        &self.flows[wait.passage.flow_index].steps[usize::from(wait.step.0)]
    }
}

/// Nearest-rank 99th percentile in whole seconds, rounded up. Over all spans ever: worlds keep delivery steady.
fn export_lag(mut lags: Vec<Duration>) -> Duration {
    lags.sort();
    let rank = (lags.len() * 99).div_ceil(100).saturating_sub(1);
    let lag = lags.get(rank).copied().unwrap_or_default();
    Duration::from_secs(lag.as_secs() + u64::from(lag.subsec_nanos() > 0)).max(LEAST_LAG)
}
