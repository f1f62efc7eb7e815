//! Services, their processes and the hosts that these run on. When a process begins and ends is known from the start,
//! so that a request knows when it will be cut.

use fastrand::Rng;

use super::clock::Clock;
use super::exporter::Exporter;
use super::meters::Meters;
use super::noise::Noise;
use super::record::Attributes;

/// Hosts.
pub const HOSTS: usize = 6;
/// The minor version that every process runs at first.
pub const FIRST_VERSION: u32 = 40;

/// Who there is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Service {
    /// Where customers come in.
    Gateway,
    /// Checks tokens.
    Auth,
    /// Takes orders and returns.
    Orders,
    /// Charges cards, by a provider outside.
    Payments,
    /// Takes the stock of each order; a consumer.
    Inventory,
    /// Books a carrier for what was reserved; a consumer.
    Shipping,
    /// Writes mails; a consumer.
    Notification,
    /// Products behind a cache.
    Catalogue,
    /// Nice to have: who asks does without where it fails.
    Recommendations,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 9] = [
        Service::Gateway,
        Service::Auth,
        Service::Orders,
        Service::Payments,
        Service::Inventory,
        Service::Shipping,
        Service::Notification,
        Service::Catalogue,
        Service::Recommendations,
    ];

    /// `service.name`.
    pub const fn name(self) -> &'static str {
        match self {
            Service::Gateway => "gateway",
            Service::Auth => "auth",
            Service::Orders => "orders",
            Service::Payments => "payments",
            Service::Inventory => "inventory",
            Service::Shipping => "shipping",
            Service::Notification => "notification",
            Service::Catalogue => "catalogue",
            Service::Recommendations => "recommendations",
        }
    }

    /// The host of each of its processes.
    pub const fn hosts(self) -> &'static [usize] {
        match self {
            Service::Gateway => &[0, 1],
            Service::Auth => &[2, 5],
            Service::Orders => &[2, 3],
            Service::Payments => &[3, 5],
            Service::Inventory => &[2, 4, 3],
            Service::Shipping => &[0, 4],
            Service::Notification => &[0, 1],
            Service::Catalogue => &[0, 2],
            Service::Recommendations => &[1, 3],
        }
    }

    /// How many processes it has; the second on a host sits beyond the last host.
    pub const fn seats(self, is_crowded: bool) -> usize {
        self.hosts().len() * if is_crowded { 2 } else { 1 }
    }

    /// Seconds between two exports of its metrics.
    pub const fn metrics_every(self) -> f64 {
        match self {
            Service::Gateway | Service::Orders | Service::Auth => 10.0,
            Service::Payments | Service::Inventory | Service::Shipping => 15.0,
            Service::Catalogue | Service::Notification => 30.0,
            Service::Recommendations => 60.0,
        }
    }
}

/// One process.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Of which service.
    pub service: Service,
    /// Index of its host.
    pub host: usize,
    /// Which minor version it runs.
    pub version: u32,
    /// When it began to take requests.
    pub from: f64,
    /// When it ends, and cuts what it is at.
    pub until: f64,
    /// What it says of itself.
    pub resource: Attributes,
    /// What it has not sent yet.
    pub exporter: Exporter,
    /// What it counts.
    pub meters: Meters,
}

/// All processes that ever run.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// By index.
    pub instances: Vec<Instance>,
    /// By host.
    pub clocks: Vec<Clock>,
    turns: [usize; Service::ALL.len()],
}

impl Fleet {
    /// Everybody who lives through this noise; in a crowd each service has two processes on each of its hosts.
    pub fn new(rng: &mut Rng, noise: &Noise, is_crowded: bool) -> Fleet {
        let mut instances = Vec::new();
        for service in Service::ALL {
            for seat in 0..service.seats(is_crowded) {
                let host = &service.hosts()[seat % service.hosts().len()];
                let mut from = f64::NEG_INFINITY;
                let mut version = FIRST_VERSION;
                for relief in noise.reliefs(service, seat) {
                    instances.push(instance(rng, (service, *host), (from, relief.at), version));
                    from = relief.back_at;
                    version += u32::from(relief.is_deploy);
                }
                instances.push(instance(rng, (service, *host), (from, f64::INFINITY), version));
            }
        }
        let clocks = (0..HOSTS).map(|_| Clock::draw(rng)).collect();
        Fleet { instances, clocks, turns: [0; Service::ALL.len()] }
    }

    /// Who takes the next request: each in turn.
    pub fn pick(&mut self, service: Service, at: f64) -> Option<usize> {
        let alive: Vec<usize> = self.alive(service, at).collect();
        let turn = &mut self.turns[service as usize];
        *turn += 1;
        (!alive.is_empty()).then(|| alive[*turn % alive.len()])
    }

    /// Who consumes a partition.
    pub fn owner(&self, service: Service, partition: usize, at: f64) -> Option<usize> {
        let alive: Vec<usize> = self.alive(service, at).collect();
        (!alive.is_empty()).then(|| alive[partition % alive.len()])
    }

    /// Who runs then.
    pub fn alive(&self, service: Service, at: f64) -> impl Iterator<Item = usize> + '_ {
        let of_service = move |instance: &Instance| instance.service == service;
        let runs = move |instance: &Instance| instance.from <= at && at < instance.until;
        let all = self.instances.iter().enumerate();
        all.filter(move |(_, instance)| of_service(instance) && runs(instance)).map(|(index, _)| index)
    }

    /// What the clock of its host shows.
    pub fn shows(&self, instance: usize, at: f64) -> f64 {
        self.clocks[self.instances[instance].host].shows(at)
    }
}

/// The name of a host.
pub fn host_name(host: usize) -> String {
    format!("node-{host}")
}

fn instance(rng: &mut Rng, (service, host): (Service, usize), (from, until): (f64, f64), version: u32) -> Instance {
    let pod = format!("{}-{:05x}", service.name(), rng.u32(..) >> 12);
    let resource = vec![
        ("service.name", service.name().into()),
        ("service.namespace", "shop".into()),
        ("service.instance.id", format!("{:016x}", rng.u64(..)).into()),
        ("service.version", format!("1.{version}.0").into()),
        ("deployment.environment.name", "production".into()),
        ("host.name", host_name(host).into()),
        ("k8s.pod.name", pod.into()),
        ("telemetry.sdk.language", "java".into()),
    ];
    Instance { service, host, version, from, until, resource, exporter: Exporter::default(), meters: Meters::default() }
}
