//! Whether a step would have been seen, had it happened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use truegreen_model::flow::{Flow, Signal, StepId, Text};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::Why;

use super::clock::{self, Correction};
use super::fact::{Fact, Role};
use super::passage::Passage;
use super::reading::scope;

/// A silence longer than this ends a spell.
pub const SILENCE: Duration = Duration::from_secs(120);
/// How long after a deadline and the export lag proof is waited for.
const LIMIT_BEYOND_LAG: Duration = Duration::from_secs(120);
/// Batch exporters wait 5 s; nothing is judged sooner after its deadline than this.
const LEAST_LAG: Duration = Duration::from_secs(10);
/// A pause of a signal longer than this ends a stretch of it…
const PAUSE: Duration = Duration::from_secs(30);
/// …and whoever showed it for so long without one shows it steadily.
const STEADY: Duration = Duration::from_secs(120);
/// Records of a signal overtake each other by no more than this.
const OVERTAKING: Duration = Duration::from_secs(5);
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
    /// By flow.
    scopes: Vec<Vec<String>>,
    signal: Option<Signal>,
    told: Vec<Stretch>,
}

/// First and last of times that lie near to each other.
type Stretch = (Timestamp, Timestamp);

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
    lags: BTreeMap<(&'a str, Signal), BTreeMap<Timestamp, Duration>>,
    gaps: Vec<Gap<'a>>,
    corrections: Vec<&'a Correction>,
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
            corrections: Vec::new(),
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
        let mut lags: BTreeMap<(&str, Signal), Vec<(Timestamp, Duration)>> = BTreeMap::new();
        for &(at, fact) in facts {
            coverage.take(at, fact);
            if let Fact::Lagged { service, signal, lag } = fact {
                lags.entry((service, *signal)).or_default().push((at, *lag));
            }
        }
        coverage.lags = lags.into_iter().map(|(of, lags)| (of, export_lags(lags))).collect();
        coverage
    }

    fn take(&mut self, at: Timestamp, fact: &'a Fact) {
        match fact {
            Fact::Heard { service, instance, resource, signal, told } => {
                let (signal, told) = (*signal, stretches(told.iter().map(|at| (*at, *at)).collect()));
                let scopes = self.flows.iter().map(|flow| scope(flow, resource)).collect();
                self.hearings.entry(service).or_default().push(Hearing { at, instance, scopes, signal, told });
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
            Fact::Corrected(correction) => self.corrections.push(correction),
            Fact::Lagged { .. } | Fact::Answered(_) => {}
        }
    }

    /// By how much the times of a passage may be wrong.
    pub fn doubt(&self, passage: &Passage) -> Duration {
        clock::doubt(&self.corrections, passage.seen.iter().map(|(_, sighting)| *sighting))
    }

    /// What the missing step means, once that can be said at `now`: the first moment decides.
    pub fn judge(&self, wait: Wait, now: Timestamp, leeway: Leeway) -> Option<Meaning> {
        self.moments(wait, now, leeway).into_iter().find_map(|moment| self.judge_at(wait, moment, leeway))
    }

    /// Every moment up to `now` at which something could have become decidable.
    fn moments(&self, wait: Wait, now: Timestamp, leeway: Leeway) -> Vec<Timestamp> {
        let services = self.owing(wait, now);
        let earliest = if leeway.anew { wait.passage.key_changed_at } else { wait.passage.known_at() };
        let mut moments = vec![earliest, now];
        // The export lag grows and shrinks on the way.
        for lag in self.lags_of(wait, &services) {
            let limit = lag + LIMIT_BEYOND_LAG;
            moments.extend([wait.deadline + lag, wait.deadline + limit + leeway.poll]);
            moments.extend(self.gaps.iter().flat_map(|gap| [gap.to + lag, gap.to + lag + limit]));
        }
        moments.extend(
            services.iter().filter_map(|service| self.hearings.get(service)).flatten().map(|hearing| hearing.at),
        );
        moments.retain(|&moment| {
            let down = |gap: &Gap| gap.service.is_none() && gap.from < moment && moment < gap.to;
            let is_asked = moment >= self.asked(wait, &services, moment);
            is_asked && moment >= earliest && moment <= now && !self.gaps.iter().any(down)
        });
        moments.sort();
        moments.dedup();
        moments
    }

    /// When it is asked whether the wait means anything: first when it is due, and anew with whatever comes; each time
    /// again once the export lag is over that was known then, though it may have shrunk meanwhile.
    fn asked(&self, wait: Wait, services: &BTreeSet<&str>, moment: Timestamp) -> Timestamp {
        let received = wait.passage.seen.iter().map(|(at, _)| *at).filter(|at| *at <= moment);
        let mut asked = received.max().unwrap_or_default().max(wait.deadline);
        while asked <= moment {
            let patience = wait.deadline + self.patience(wait, services, asked).0;
            if asked >= patience {
                break;
            }
            asked = patience;
        }
        asked
    }

    fn judge_at(&self, wait: Wait, now: Timestamp, leeway: Leeway) -> Option<Meaning> {
        let services = self.owing(wait, now);
        let (lag, limit) = self.patience(wait, &services, now);
        if now < wait.deadline + lag {
            return None;
        }
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
        let (lag, limit) = self.patience(wait, services, now);
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
        if let Err(why) = self.told(wait, services, wait.deadline + limit, now) {
            return Meaning::CannotTell(why);
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

    /// Whether what each relevant instance tells reaches past the deadline by its own time; else what is wanting.
    fn told(&self, wait: Wait, services: &BTreeSet<&str>, limit: Timestamp, now: Timestamp) -> Result<(), Why> {
        let wanted: BTreeSet<Signal> = self.step(wait).any_of.iter().map(|pattern| pattern.signal).collect();
        let past = wait.deadline + OVERTAKING;
        let heard: Vec<(&str, &Hearing)> = self.heard(wait, services, now).collect();
        let mut why = Ok(());
        for &(service, instance) in self.relevant(wait, services, now).keys() {
            let by_it = heard.iter().filter(|(of, hearing)| *of == service && hearing.instance == instance);
            let hearings: Vec<&Hearing> = by_it.map(|(_, hearing)| *hearing).collect();
            let latest = hearings.iter().flat_map(|hearing| &hearing.told).map(|(_, last)| *last).max();
            let shown = |signal: Signal| {
                let of_signal = hearings.iter().filter(|hearing| hearing.signal == Some(signal));
                stretches(of_signal.flat_map(|hearing| &hearing.told).copied().collect())
            };
            let goes_on = |shown: &[Stretch]| shown.iter().any(|(first, last)| *last >= past && *first <= limit);
            let by_other = latest >= Some(wait.deadline + LEAST_LAG);
            if !by_other && !wanted.iter().any(|&signal| goes_on(&shown(signal))) {
                return Err(Why::InstanceGone);
            }
            let breaks_off = |signal: &Signal| {
                let shown = shown(*signal);
                let was_steady = |(first, last): &Stretch| {
                    *last < past && *last >= wait.passage.entered_at - SILENCE && last.since(*first) >= STEADY
                };
                shown.iter().any(was_steady) && !goes_on(&shown)
            };
            if wanted.iter().any(breaks_off) {
                why = Err(Why::SignalSilent);
            }
        }
        why
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
                hearing.at <= now && hearing.scopes[wait.passage.flow_index] == wait.passage.scope
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
    fn patience(&self, wait: Wait, services: &BTreeSet<&str>, now: Timestamp) -> (Duration, Duration) {
        let lags = self.courses(wait, services).into_iter().filter_map(|course| course.range(..=now).next_back());
        let lag = lags.map(|(_, lag)| *lag).max().unwrap_or(LEAST_LAG);
        // A silence of that length ends a spell, so that nothing later can prove the wait any more.
        (lag, lag + LIMIT_BEYOND_LAG)
    }

    /// Every export lag that there ever was.
    fn lags_of(&self, wait: Wait, services: &BTreeSet<&str>) -> BTreeSet<Duration> {
        self.courses(wait, services).into_iter().flat_map(BTreeMap::values).copied().chain([LEAST_LAG]).collect()
    }

    /// How the lags of the services went, for the signals that would show the step.
    fn courses(&self, wait: Wait, services: &BTreeSet<&str>) -> Vec<&BTreeMap<Timestamp, Duration>> {
        let signals: BTreeSet<Signal> = self.step(wait).any_of.iter().map(|pattern| pattern.signal).collect();
        let is_wanted = |(service, signal): &(&str, Signal)| services.contains(service) && signals.contains(signal);
        self.lags.iter().filter(|(of, _)| is_wanted(of)).map(|(_, course)| course).collect()
    }

    fn is_sampled(&self, wait: Wait, service: &str, now: Timestamp) -> bool {
        self.flows[wait.passage.flow_index].sampled.contains_key(service)
            || self.sampled.get(service).is_some_and(|&since| since <= now)
    }

    fn step(&self, wait: Wait) -> &'a truegreen_model::flow::Step {
        &self.flows[wait.passage.flow_index].steps[usize::from(wait.step.0)]
    }
}

/// Times that lie no further apart than a pause, in stretches.
fn stretches(mut told: Vec<Stretch>) -> Vec<Stretch> {
    told.sort_unstable();
    let mut stretches: Vec<Stretch> = Vec::new();
    for (first, last) in told {
        match stretches.last_mut() {
            Some(before) if first.since(before.1) <= PAUSE => before.1 = before.1.max(last),
            _ => stretches.push((first, last)),
        }
    }
    stretches
}

/// Export lag since each receipt that changed it: the 99th percentile of all until then, rounded up to one of the
/// bounds that there are. No world is so long that anything is forgotten.
fn export_lags(of_records: Vec<(Timestamp, Duration)>) -> BTreeMap<Timestamp, Duration> {
    let mut course: BTreeMap<Timestamp, Duration> = BTreeMap::new();
    let mut beyond: Vec<Duration> = Vec::new();
    for (nth, (at, lag)) in of_records.into_iter().enumerate() {
        if lag > LEAST_LAG {
            beyond.insert(beyond.partition_point(|known| *known > lag), lag);
        }
        // So many may be above it.
        let tolerated = (nth + 1) / 100;
        let lag = beyond.get(tolerated).map_or(LEAST_LAG, |lag| bound_above(*lag));
        course.insert(at, lag);
    }
    let mut before = None;
    course.retain(|_, lag| before.replace(*lag) != Some(*lag));
    course
}

/// Bounds of export lag grow by an eighth from the least.
fn bound_above(lag: Duration) -> Duration {
    let mut bounds = (1..=64).map(|power| LEAST_LAG.mul_f64(1.125_f64.powi(power)));
    bounds.clone().find(|bound| lag <= *bound).or(bounds.next_back()).unwrap_or(LEAST_LAG)
}
