//! The whole simulated system: an agenda of what is due, and what every process has at hand. Requests are followed from
//! end to end as they begin, with times that run ahead; what they tell is exported when it is time.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use fastrand::Rng;

use super::broker::{Broker, Partition, Topic};
use super::exporter::EVERY;
use super::fault::{Fault, Strike};
use super::fleet::{FIRST_VERSION, Fleet};
use super::noise::Noise;
use super::planted::Difference;
use super::record::Content;
use super::services::{self, Request, Sort};
use super::task::{Endpoint, Task};
use super::traffic::Traffic;

/// Seconds between two health checks of a process.
const PROBED: f64 = 10.0;
/// Seconds between two commits as a lag checker sees them.
const COMMITS: f64 = 5.0;
/// Seconds between two rounds of a loop that never ends.
const ROUND: f64 = 0.25;

/// What the world shows to who watches.
#[derive(Clone, PartialEq, Debug)]
pub enum Shown {
    /// A request of this instance arrives.
    Request(usize, Content),
    /// What the broker tells of each partition.
    Offsets(Vec<Offset>),
}

/// A partition as a lag checker sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Offset {
    /// Which topic.
    pub topic: Topic,
    /// Which partition of it.
    pub partition: usize,
    /// Messages ever.
    pub end: u64,
    /// Of these committed.
    pub committed: u64,
    /// Whether its consumer commits at all; one that does so commits an unmoved offset too.
    pub commits: bool,
}

/// What really happened.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Truth {
    /// When the fault first did harm.
    pub first: Option<f64>,
    /// How often it did.
    pub harmed: u64,
}

/// An entry of the cache.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cached {
    /// Of the product.
    pub version: u32,
    /// When it was stored.
    pub stored: f64,
    /// When it ends.
    pub until: f64,
}

#[derive(Clone, PartialEq, Debug)]
enum Event {
    Root,
    RareRoot,
    Consume(Topic, usize),
    Loop(Task),
    Flush(usize),
    Collect(usize),
    Probe(usize),
    Leave(usize),
    Offsets,
    Arrive(usize, Content),
}

#[derive(Debug)]
struct Due {
    at: f64,
    turn: u64,
    event: Event,
}

/// The system.
#[derive(Debug)]
pub struct System {
    /// All chance.
    pub rng: Rng,
    /// Processes and clocks.
    pub fleet: Fleet,
    /// Topics.
    pub broker: Broker,
    /// What happens every day.
    pub noise: Noise,
    /// What is broken.
    pub strike: Option<Strike>,
    /// What that did.
    pub truth: Truth,
    /// Tokens by gateway.
    pub tokens: BTreeMap<usize, f64>,
    /// Orders that were published.
    pub published: BTreeSet<u64>,
    /// What is cached, by product.
    pub cache: BTreeMap<u32, Cached>,
    /// Products as they are.
    pub versions: BTreeMap<u32, u32>,
    pub(super) traffic: Traffic,
    agenda: BinaryHeap<Due>,
    turn: u64,
    length: f64,
}

impl System {
    /// The same system for the same arguments: so many root requests a second, for so many seconds.
    pub fn new(seed: u64, rate: f64, noise: Noise, strike: Option<Strike>, length: f64) -> System {
        let mut rng = Rng::with_seed(seed);
        let is_crowded = strike.is_some_and(|strike| strike.only.is_some());
        let fleet = Fleet::new(&mut rng, &noise, is_crowded);
        let traffic = Traffic::new(rate);
        let mut system = System {
            rng,
            fleet,
            broker: Broker::new(is_crowded),
            noise,
            strike,
            truth: Truth::default(),
            tokens: BTreeMap::new(),
            published: BTreeSet::new(),
            cache: BTreeMap::new(),
            versions: BTreeMap::new(),
            traffic,
            agenda: BinaryHeap::new(),
            turn: 0,
            length,
        };
        system.begin();
        system
    }

    fn begin(&mut self) {
        self.due(0.0, Event::Root);
        let rare = self.rng.f64() * self.noise.rare_every;
        self.due(rare, Event::RareRoot);
        self.due(COMMITS, Event::Offsets);
        for index in 0..self.fleet.instances.len() {
            let instance = &self.fleet.instances[index];
            let (service, from, until) = (instance.service, instance.from.max(0.0), instance.until);
            let [flush, collect, probe] = [EVERY, service.metrics_every(), PROBED].map(|every| every * self.rng.f64());
            self.due(from + flush, Event::Flush(index));
            self.due(from + collect, Event::Collect(index));
            self.due(from + probe, Event::Probe(index));
            if until.is_finite() {
                self.due(until, Event::Leave(index));
            }
        }
        self.break_processes();
    }

    /// What is broken in a process rather than in what it does.
    fn break_processes(&mut self) {
        let Some(strike) = self.strike else { return };
        if strike.fault == Fault::ClockSkew {
            let host = if strike.other_way { 4 } else { 5 };
            self.fleet.clocks[host].leap(strike.from, strike.skew);
            self.truth = Truth { first: Some(strike.from), harmed: 1 };
        }
        if matches!(strike.fault, Fault::DeadExporter | Fault::ExporterDrops) {
            // From the very start a service of which nothing ever came would not be known to exist.
            let least = if strike.fault == Fault::DeadExporter { 60.0 } else { EVERY };
            let from = strike.from.max(least);
            self.truth = Truth { first: Some(from), harmed: 1 };
            for instance in &mut self.fleet.instances {
                if instance.service != super::fleet::Service::Inventory {
                    continue;
                }
                match strike.fault {
                    Fault::DeadExporter => instance.exporter.dead_from = Some(from),
                    _ => instance.exporter.drops_from = Some(strike.from),
                }
            }
        }
    }

    /// Goes on until something is shown: when, and what; `None` once it is over.
    pub fn advance(&mut self) -> Option<(f64, Shown)> {
        while let Some(Due { at, event, .. }) = self.agenda.pop() {
            if at > self.length {
                return None;
            }
            match event {
                Event::Root => self.root(at),
                Event::RareRoot => self.rare_root(at),
                Event::Consume(topic, partition) => self.consume(at, topic, partition),
                Event::Loop(task) => self.go_round(at, task),
                Event::Flush(instance) => self.flush(at, instance),
                Event::Collect(instance) => self.collect(at, instance),
                Event::Probe(instance) => self.probe(at, instance),
                Event::Leave(instance) => self.export(at, instance),
                Event::Offsets => {
                    self.due(at + COMMITS, Event::Offsets);
                    return Some((at, Shown::Offsets(self.offsets(at))));
                }
                Event::Arrive(instance, content) => return Some((at, Shown::Request(instance, content))),
            }
        }
        None
    }

    fn offsets(&self, at: f64) -> Vec<Offset> {
        let has_ended = |topic| topic == Topic::OrdersPlaced && self.struck(Fault::NobodyConsuming, at);
        let offset = |(topic, partition, one): (Topic, usize, &Partition)| Offset {
            topic,
            partition,
            end: one.end,
            committed: one.committed,
            commits: !one.hangs && !has_ended(topic),
        };
        self.broker.iter().map(offset).collect()
    }

    fn due(&mut self, at: f64, event: Event) {
        self.turn += 1;
        self.agenda.push(Due { at, turn: self.turn, event });
    }

    fn root(&mut self, at: f64) {
        let factor = self.traffic.factor(&self.noise, at);
        let pause = -(1.0 - self.rng.f64()).ln() / (self.traffic.rate * factor).max(1e-3);
        self.due(at + pause.min(30.0), Event::Root);
        if pause <= 30.0 {
            let (endpoint, request) = self.traffic.draw(&mut self.rng);
            self.enter(at, &endpoint, &request);
        }
    }

    fn rare_root(&mut self, at: f64) {
        let pause = self.noise.rare_every * (0.8 + 0.4 * self.rng.f64());
        self.due(at + pause, Event::RareRoot);
        let request = Request { number: 0, sort: Sort::Gift, sku: 0, token: 0.0 };
        self.enter(at, &services::GIFT_CARD, &request);
    }

    /// A request from outside.
    fn enter(&mut self, at: f64, endpoint: &Endpoint, request: &Request) {
        if let Some(instance) = self.fleet.pick(endpoint.service, at) {
            let mut task = Task { instance, trace: self.rng.u128(1..), parent: 0, now: at };
            self.serve(&mut task, endpoint, request);
        }
    }

    fn probe(&mut self, at: f64, instance: usize) {
        let (service, until) = (self.fleet.instances[instance].service, self.fleet.instances[instance].until);
        if at < until {
            self.due(at + PROBED, Event::Probe(instance));
            let mut task = Task { instance, trace: self.rng.u128(1..), parent: 0, now: at };
            let nothing = Request { number: 0, sort: Sort::Standard, sku: 0, token: 0.0 };
            self.serve(&mut task, &services::health(service), &nothing);
        }
    }

    fn flush(&mut self, at: f64, instance: usize) {
        if at < self.fleet.instances[instance].until {
            let pause = EVERY + 0.2 * (self.rng.f64() - 0.5);
            self.due(at + pause, Event::Flush(instance));
            self.export(at, instance);
        }
    }

    fn export(&mut self, at: f64, instance: usize) {
        for request in self.fleet.instances[instance].exporter.flush(at, self.noise.sampling) {
            self.send(at, instance, request);
        }
    }

    fn collect(&mut self, at: f64, instance: usize) {
        let of = &mut self.fleet.instances[instance];
        if at < of.until {
            let points = of.meters.points(at, (of.exporter.processed, of.exporter.dropped));
            let (every, is_dead) = (of.service.metrics_every(), of.exporter.dead_from.is_some_and(|from| at >= from));
            self.due(at + every, Event::Collect(instance));
            if !is_dead {
                let shows = self.fleet.shows(instance, at);
                self.send(at, instance, Content::Points(shows, points));
            }
        }
    }

    fn send(&mut self, at: f64, instance: usize, content: Content) {
        let slow = self.noise.slow_exporter.filter(|(service, from, until, _)| {
            *service == self.fleet.instances[instance].service && *from <= at && at < *until
        });
        let way = 0.01 + 0.1 * self.rng.f64() + slow.map_or(0.0, |(.., by)| by);
        self.due(at + way, Event::Arrive(instance, content));
    }

    /// The consumer of a partition looks for a message, as soon as it is free.
    pub(super) fn look(&mut self, at: f64, topic: Topic, partition: usize) {
        let of = self.broker.partition(topic, partition);
        let at = at.max(of.busy_until);
        if of.looked_at.is_none_or(|before| at < before) {
            of.looked_at = Some(at);
            self.due(at, Event::Consume(topic, partition));
        }
    }

    /// The same statement, again and again, in a request that never ends.
    pub(super) fn loop_for_ever(&mut self, task: Task) {
        self.due(task.now, Event::Loop(task));
    }

    fn go_round(&mut self, at: f64, task: Task) {
        let mut round = Task { now: at, ..task };
        let statement = super::task::Statement { rows: 0, ..services::TAKE_LABEL };
        self.query(&mut round, statement, 0.004, Vec::new());
        self.due(round.now + ROUND, Event::Loop(task));
    }

    /// Whether this fault strikes by now.
    pub fn struck(&self, fault: Fault, now: f64) -> bool {
        self.strike.is_some_and(|strike| strike.fault == fault && now >= strike.from)
    }

    /// The same, of one of the two ways.
    pub fn strikes(&self, fault: Fault, first_way: bool, now: f64) -> bool {
        self.struck(fault, now) && self.strike.is_some_and(|strike| strike.other_way != first_way)
    }

    /// Whether it hits this time.
    pub fn hits(&mut self, task: &Task, request: &Request) -> bool {
        let share = self.strike.map_or(0.0, |strike| strike.share);
        self.is_among(task, request) && self.rng.f64() < share
    }

    /// Whether this request, as it is worked on here, is one of those that the fault is limited to.
    pub fn is_among(&self, task: &Task, request: &Request) -> bool {
        let of = &self.fleet.instances[task.instance];
        match self.strike.and_then(|strike| strike.only) {
            None => true,
            Some(Difference::Kind) => request.sort == Sort::Gift,
            Some(Difference::Region(region)) => request.region() == region,
            Some(Difference::Version) => of.version > FIRST_VERSION,
            Some(Difference::Host(host)) => of.host == host,
        }
    }

    /// Somebody came to harm.
    pub fn harm(&mut self, at: f64) {
        let first = self.truth.first.map_or(at, |first| first.min(at));
        self.truth = Truth { first: Some(first), harmed: self.truth.harmed + 1 };
    }

    /// The same, if it is this fault's.
    pub fn harm_if(&mut self, fault: Fault, at: f64) {
        if self.struck(fault, at) {
            self.harm(at);
        }
    }

    /// Whether a time-out of this call is not even an error to who calls.
    pub fn is_mute(&self, endpoint: &Endpoint) -> bool {
        let is_charge = endpoint.name == "POST /charges";
        is_charge && self.strike.is_some_and(|strike| strike.fault == Fault::SwallowedTimeout && strike.other_way)
    }

    /// Orders that need a carrier, in an ordinary second.
    pub fn orders_per_second(&self) -> f64 {
        self.traffic.orders_per_second()
    }
}

impl Ord for Due {
    /// The earliest is the greatest; of those at once the first that was entered.
    fn cmp(&self, other: &Due) -> Ordering {
        other.at.total_cmp(&self.at).then(other.turn.cmp(&self.turn))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}
