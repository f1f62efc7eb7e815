//! What is planted in a world to be found again: whom a fault strikes alone, the change that brought it, and changes that
//! have nothing to do with it.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::time::Timestamp;

use super::fault::{Fault, Strike};
use super::fleet::{FIRST_VERSION, Service, host_name};
use super::noise::Noise;
use crate::telemetry::EPOCH;

/// Seconds between two seats of a deploy.
const APART: f64 = 6.0;
/// Changes that have nothing to do with it.
pub const DECOYS: usize = 8;

/// Whom a fault strikes alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Difference {
    /// Orders that are paid by gift card: one in ten.
    Kind,
    /// Customers of this region.
    Region(&'static str),
    /// What the newer version works on, which half of the processes run.
    Version,
    /// What is worked on at this host.
    Host(usize),
}

impl Difference {
    /// By this seed; nothing for faults that cannot be limited, or are so by their nature.
    pub fn draw(strike: &Strike, seed: u64) -> Option<Difference> {
        let Strike { fault, other_way, .. } = *strike;
        let can_be = match fault {
            Fault::SilentSkip
            | Fault::AllRejected
            | Fault::LostAfterAck
            | Fault::LostPublish
            | Fault::Duplicate
            | Fault::LyingHealth => true,
            Fault::ZeroRowUpdate => !other_way,
            _ => false,
        };
        // The seed's last bit says which way the fault comes.
        let turn = seed / 2;
        let hosts = fault.culprit(other_way).hosts();
        can_be.then(|| match turn % 4 {
            0 => Difference::Kind,
            1 => Difference::Region(["eu-central", "ap-south"][(turn / 4 % 2) as usize]),
            2 => Difference::Version,
            _ => Difference::Host(hosts[(turn / 4) as usize % hosts.len()]),
        })
    }
}

/// The attribute, and its value, that all failing ones have in common: as planted, or by the fault's nature; nothing where
/// they have nothing in common but the time.
pub fn common(strike: &Strike) -> Option<(&'static str, String)> {
    let gift = ("order.kind", "gift".to_owned());
    match (strike.only, strike.fault) {
        (Some(Difference::Kind), _) => Some(gift),
        (Some(Difference::Region(region)), _) => Some(("customer.region", region.to_owned())),
        (Some(Difference::Version), _) => Some(("service.version", format!("1.{}.0", FIRST_VERSION + 1))),
        (Some(Difference::Host(host)), _) => Some(("host.name", host_name(host))),
        (None, Fault::SwallowedTimeout) => Some(gift),
        (None, Fault::ZeroRowUpdate) if strike.other_way => Some(gift),
        // The other way the gateway waits for ever too, and so its span, which alone says so, never ends.
        (None, Fault::SilentLoop | Fault::StalledRequest) if strike.other_way => {
            Some(("return.kind", "freight".to_owned()))
        }
        _ => None,
    }
}

/// Whether failing ones have nothing in common beyond chance, so that to name something would be wrong. Where those that
/// need no stock are all that goes well, to name them is right.
pub fn is_of_all(strike: &Strike) -> bool {
    let is_all = matches!(strike.fault, Fault::NobodyConsuming | Fault::BrokenContext);
    strike.only.is_none() && is_all && strike.from > 0.0
}

/// Changes as somebody reported them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Reported {
    /// All of them, in no order.
    pub changes: Vec<Change>,
    /// The id of the one that brought the fault.
    pub cause: String,
}

/// Reports the change that brought the fault among others, and deploys what was deployed.
pub fn plant(strike: &Strike, seed: u64, noise: &mut Noise) -> Reported {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ strike.fault as u64);
    let culprit = strike.fault.culprit(strike.other_way);
    let mut world = World { rng: &mut rng, noise, strike, changes: Vec::new() };
    let cause = world.cause(culprit);
    world.decoys(culprit);
    let mut changes = world.changes;
    // Neither their order nor their names tell which it is.
    let mut ids: Vec<usize> = (0..changes.len()).collect();
    rng.shuffle(&mut ids);
    let mut names = BTreeMap::new();
    for (change, id) in changes.iter_mut().zip(ids) {
        let name = format!("change-{id}");
        names.insert(std::mem::replace(&mut change.id, name.clone()), name);
    }
    changes.sort_by(|a, b| a.id.cmp(&b.id));
    Reported { changes, cause: names.remove(&cause).unwrap_or_default() }
}

struct World<'w> {
    rng: &'w mut Rng,
    noise: &'w mut Noise,
    strike: &'w Strike,
    changes: Vec<Change>,
}

impl World<'_> {
    fn cause(&mut self, culprit: Service) -> String {
        let from = self.strike.from;
        let before = from - self.rng.f64() * 45.0;
        let seats = culprit.hosts().len();
        match (self.strike.only, self.strike.fault) {
            (Some(Difference::Version), _) => {
                let at = from - APART * seats as f64;
                self.release(culprit, seats..2 * seats, at)
            }
            (Some(Difference::Host(host)), _) => self.of_host(host, before),
            (None, Fault::ClockSkew) => self.of_host(if self.strike.other_way { 4 } else { 5 }, before),
            _ if self.rng.bool() => {
                let all = culprit.seats(self.strike.only.is_some());
                let at = from - APART * all as f64;
                self.release(culprit, 0..all, at)
            }
            _ if self.rng.bool() => self.tell(ChangeKind::FeatureFlag, Some(culprit), before),
            _ => self.tell(ChangeKind::Config, Some(culprit), before),
        }
    }

    /// Some near the onset on the way of the requests, some long before it where it happens.
    fn decoys(&mut self, culprit: Service) {
        let from = self.strike.from;
        let is_crowded = self.strike.only.is_some();
        let others: Vec<Service> = Service::ALL.into_iter().filter(|service| *service != culprit).collect();
        let mut deployed: Vec<Service> = others.clone();
        self.rng.shuffle(&mut deployed);
        for (service, at) in deployed.iter().zip([from - 60.0 - 120.0 * self.rng.f64(), from - 30.0 * self.rng.f64()]) {
            self.release(*service, 0..service.seats(is_crowded), at);
        }
        let other = |rng: &mut Rng| others[rng.usize(..others.len())];
        let long_before = from - 1800.0 - 5400.0 * self.rng.f64();
        self.tell(ChangeKind::Config, Some(culprit), long_before);
        let (one, two, three) = (other(self.rng), other(self.rng), other(self.rng));
        let [just, earlier, after] = [90.0, 1500.0, -120.0].map(|most| from - most * self.rng.f64());
        self.tell(ChangeKind::Config, Some(one), just);
        self.tell(ChangeKind::FeatureFlag, Some(two), earlier);
        self.tell(ChangeKind::Schema, Some(three), after);
        let (near, host) = (from - 200.0 * self.rng.f64(), self.rng.usize(..2));
        // Gateways and their neighbours run there; no fault is limited to it.
        self.of_host(host, near);
        let hour = from - 3600.0 * self.rng.f64();
        let last = other(self.rng);
        self.tell(ChangeKind::Dependency, Some(last), hour);
    }

    fn release(&mut self, service: Service, seats: std::ops::Range<usize>, at: f64) -> String {
        // A process needs a while before its first request.
        let at = at.max(10.0);
        self.noise.deploy_to(service, seats.clone(), (at, APART));
        let id = self.tell(ChangeKind::Release, Some(service), at - 5.0);
        if let Some(change) = self.changes.last_mut() {
            change.until = Some(moment(at + APART * seats.len() as f64));
            change.version = Some(format!("1.{}.0", FIRST_VERSION + 1));
        }
        id
    }

    fn of_host(&mut self, host: usize, at: f64) -> String {
        let id = self.tell(ChangeKind::Infrastructure, None, at);
        if let Some(change) = self.changes.last_mut() {
            change.title = format!("{}: kernel and time service updated", host_name(host));
            change.attributes.insert("host.name".to_owned(), host_name(host));
        }
        id
    }

    fn tell(&mut self, kind: ChangeKind, service: Option<Service>, at: f64) -> String {
        let id = format!("{}", self.changes.len());
        let name = service.map(|service| service.name().to_owned());
        self.changes.push(Change {
            id: id.clone(),
            at: moment(at),
            kind,
            title: format!("{} of {}", kind.name(), name.as_deref().unwrap_or("a host")),
            service: name,
            environment: Some("production".to_owned()),
            source: "api".to_owned(),
            ..Change::default()
        });
        id
    }
}

/// Some changes are older than the world.
fn moment(second: f64) -> Timestamp {
    if second < 0.0 { EPOCH - Duration::from_secs_f64(-second) } else { EPOCH + Duration::from_secs_f64(second) }
}
