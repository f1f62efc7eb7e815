//! What happens every day and means nothing: deploys, restarts, bursts, slow exporters, sampling, retries, fallbacks,
//! quiet nights. Every world has a little of it; each control has much of one kind for an hour.

use fastrand::Rng;

use super::exporter::Sampling;
use super::fleet::Service;

/// A process ends, and another takes its seat.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Relief {
    /// When the old one ends.
    pub at: f64,
    /// When the new one takes requests.
    pub back_at: f64,
    /// Whether it is of a newer version.
    pub is_deploy: bool,
}

/// Harmless noise.
#[derive(Clone, PartialEq, Debug)]
pub struct Noise {
    reliefs: Vec<(Service, usize, Relief)>,
    /// Traffic times so much, between these seconds.
    pub bursts: Vec<(f64, f64, f64)>,
    /// Hardly any traffic between these seconds.
    pub night: Option<(f64, f64)>,
    /// The requests of this service arrive so many seconds later, between these seconds.
    pub slow_exporter: Option<(Service, f64, f64, f64)>,
    /// Only a sample of traces is exported.
    pub sampling: Option<Sampling>,
    /// Share of calls to payments' provider and to mail that fail at first.
    pub retried: f64,
    /// Share of calls to recommendations that fail and are done without.
    pub fallbacks: f64,
    /// Seconds between two requests of the rare kind.
    pub rare_every: f64,
}

impl Default for Noise {
    fn default() -> Noise {
        Noise {
            reliefs: Vec::new(),
            bursts: Vec::new(),
            night: None,
            slow_exporter: None,
            sampling: None,
            retried: 0.01,
            fallbacks: 0.003,
            rare_every: 300.0,
        }
    }
}

impl Noise {
    /// When the processes of one seat end.
    pub fn reliefs(&self, service: Service, seat: usize) -> impl Iterator<Item = Relief> + '_ {
        let of_seat = move |relief: &&(Service, usize, Relief)| relief.0 == service && relief.1 == seat;
        self.reliefs.iter().filter(of_seat).map(|(.., relief)| *relief)
    }

    /// A rolling deploy: each new process is up before an old one ends.
    fn deploy(&mut self, service: Service, at: f64) {
        self.deploy_to(service, 0..service.hosts().len(), (at, 20.0));
    }

    /// The same of some seats, from then on and so many seconds apart.
    pub fn deploy_to(&mut self, service: Service, seats: std::ops::Range<usize>, (at, apart): (f64, f64)) {
        for (turn, seat) in seats.enumerate() {
            let at = at + apart * turn as f64;
            self.reliefs.push((service, seat, Relief { at, back_at: at - 5.0, is_deploy: true }));
        }
    }

    /// One process is restarted.
    fn restart(&mut self, service: Service, seat: usize, at: f64) {
        self.reliefs.push((service, seat, Relief { at, back_at: at + 8.0, is_deploy: false }));
    }
}

/// An hour in which nothing is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Control {
    /// As every world.
    Calm,
    /// All services are deployed, one after another, twice.
    Deploys,
    /// Three to five times the traffic for a minute or two, again and again.
    Bursts,
    /// A process is restarted every two minutes.
    Restarts,
    /// What one service sends arrives 30 s later, for a third of the hour.
    SlowExporter,
    /// One trace in ten is exported, and spans say so.
    SampledMarked,
    /// One trace in ten is exported, and nobody says so.
    SampledUnmarked,
    /// One call in ten fails at first and succeeds when tried again.
    Retries,
    /// Three recommendations in a hundred fail and are done without, as they always did.
    Fallback,
    /// One request of a kind in five minutes, amid little else.
    RareFlow,
    /// Hardly any traffic for half an hour.
    IdleNight,
    /// Deploys, bursts, retries and a slow exporter at once.
    Everything,
}

impl Control {
    /// All of them.
    pub const ALL: [Control; 12] = [
        Control::Calm,
        Control::Deploys,
        Control::Bursts,
        Control::Restarts,
        Control::SlowExporter,
        Control::SampledMarked,
        Control::SampledUnmarked,
        Control::Retries,
        Control::Fallback,
        Control::RareFlow,
        Control::IdleNight,
        Control::Everything,
    ];

    /// As in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Control::Calm => "calm",
            Control::Deploys => "deploys",
            Control::Bursts => "bursts",
            Control::Restarts => "restarts",
            Control::SlowExporter => "slow-exporter",
            Control::SampledMarked => "sampled-marked",
            Control::SampledUnmarked => "sampled-unmarked",
            Control::Retries => "retries",
            Control::Fallback => "fallback",
            Control::RareFlow => "rare-flow",
            Control::IdleNight => "idle-night",
            Control::Everything => "everything",
        }
    }

    /// Root requests in a second, where the campaign is not told otherwise.
    pub const fn rate(self) -> f64 {
        match self {
            Control::RareFlow => 2.0,
            _ => 20.0,
        }
    }

    /// Its noise over so many seconds.
    pub fn noise(self, rng: &mut Rng, length: f64) -> Noise {
        let mut noise = Noise::default();
        match self {
            Control::Calm | Control::RareFlow => {}
            Control::Deploys => deploys(&mut noise, length),
            Control::Bursts => bursts(&mut noise, rng, length),
            Control::Restarts => restarts(&mut noise, rng, length),
            Control::SlowExporter => {
                noise.slow_exporter = Some((Service::Inventory, length / 3.0, length * 0.66, 30.0))
            }
            Control::SampledMarked => noise.sampling = Some(Sampling { ratio: 0.1, is_marked: true }),
            Control::SampledUnmarked => noise.sampling = Some(Sampling { ratio: 0.1, is_marked: false }),
            Control::Retries => noise.retried = 0.1,
            Control::Fallback => noise.fallbacks = 0.03,
            Control::IdleNight => noise.night = Some((length / 4.0, length * 0.75)),
            Control::Everything => {
                deploys(&mut noise, length);
                bursts(&mut noise, rng, length);
                noise.slow_exporter = Some((Service::Shipping, length / 2.0, length * 0.7, 30.0));
                noise.retried = 0.05;
            }
        }
        noise
    }
}

fn deploys(noise: &mut Noise, length: f64) {
    for round in 0..2 {
        for (index, service) in Service::ALL.into_iter().enumerate() {
            noise.deploy(service, length * (0.1 + 0.5 * f64::from(round)) + 90.0 * index as f64);
        }
    }
}

fn bursts(noise: &mut Noise, rng: &mut Rng, length: f64) {
    let mut at = 240.0;
    while at < length {
        noise.bursts.push((at, at + 45.0 + rng.f64() * 75.0, 3.0 + rng.f64() * 2.0));
        at += 300.0 + rng.f64() * 240.0;
    }
}

fn restarts(noise: &mut Noise, rng: &mut Rng, length: f64) {
    let mut at = 240.0;
    let mut latest = [0.0; Service::ALL.len()];
    while at < length {
        let service = Service::ALL[rng.usize(..Service::ALL.len())];
        // Never two of one service at once: then it would be down.
        if at - latest[service as usize] > 60.0 {
            latest[service as usize] = at;
            noise.restart(service, rng.usize(..service.hosts().len()), at);
        }
        at += 120.0;
    }
}
