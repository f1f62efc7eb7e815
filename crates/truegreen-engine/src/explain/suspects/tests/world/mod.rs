//! Seeded worlds of services: random topologies, requests as traces and logs, and one fault.

mod run;
mod weather;

use std::collections::BTreeMap;

use truegreen_otlp::Signal;

use run::Run;
pub(super) use weather::Weather;

/// A seeded sequence (splitmix64): the same on every machine.
#[derive(Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Lognormal with this median; sums of uniforms are normal enough.
    pub(super) fn around(&mut self, median: f64, spread: f64) -> f64 {
        let normal: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        median * (spread * normal).exp()
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Log(String),
    /// Another operation, of another service; in so many of the requests.
    Call(usize, f64),
    /// A database, which does not show.
    Query(String, f64),
    /// A function of its own, as an internal span.
    Part(String, f64),
}

#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) service: usize,
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
    /// Median of its own work, in milliseconds.
    pub(super) work: f64,
    /// Whether it goes on where a call fails.
    pub(super) tolerant: bool,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) services: Vec<Vec<String>>,
    pub(super) operations: Vec<Operation>,
    pub(super) entries: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Fault {
    None,
    /// The instance's own work takes so many times as long.
    Cpu {
        service: usize,
        instance: usize,
        times: f64,
    },
    /// Every message from and to the instance takes longer, in milliseconds.
    Network {
        service: usize,
        instance: usize,
        delay: f64,
    },
    /// The operation takes so many times as long everywhere.
    SlowCode {
        operation: usize,
        times: f64,
    },
    /// It throws before this step.
    Exception {
        operation: usize,
        step: usize,
    },
    /// It returns before this step, and says nothing.
    Return {
        operation: usize,
        step: usize,
    },
    /// It leaves this step out.
    Branch {
        operation: usize,
        step: usize,
    },
    /// It does this step so many times.
    Loop {
        operation: usize,
        step: usize,
        times: usize,
    },
    /// At one instance it fails before this step, and only its span says so.
    Sick {
        operation: usize,
        instance: usize,
        step: usize,
    },
    /// It answers no more.
    Down {
        service: usize,
    },
    /// It logs an error, and goes on.
    Mutter {
        operation: usize,
    },
    /// It hangs, and its callers give up.
    Hang {
        operation: usize,
    },
}

/// How requests are made.
#[derive(Clone, Debug)]
pub(super) struct Period {
    pub(super) requests: usize,
    pub(super) start: u64,
    pub(super) fault: Fault,
    /// Part of the requests that the fault hits.
    pub(super) hits: f64,
    /// The weight of each entry.
    pub(super) mix: Vec<f64>,
    /// Added to the names of instances: after a restart they are others.
    pub(super) suffix: &'static str,
    /// Times as slow as usual, everywhere: another load.
    pub(super) load: f64,
    /// Milliseconds from one request to the next.
    pub(super) gap: u64,
    /// Only what had ended by this part of the whole time was written.
    pub(super) written: f64,
    /// Logs name no trace.
    pub(super) loose_logs: bool,
    /// Spans tell neither their role nor how they ended, as those of older tracers.
    pub(super) bare: bool,
    pub(super) weather: Weather,
}

impl World {
    /// A random one: so many services in layers, each with some operations.
    pub(super) fn random(seed: u64, services: usize) -> World {
        let mut dice = Dice(seed);
        let names = |service: usize, n: usize| (0..n).map(|at| format!("s{service}-{at}")).collect::<Vec<_>>();
        let services: Vec<Vec<String>> = (0..services).map(|at| names(at, 1 + dice.below(3))).collect();
        let mut operations = Vec::new();
        let mut of_service: Vec<Vec<usize>> = vec![Vec::new(); services.len()];
        // From the back, so that calls go to what there is, and never in a circle.
        for service in (0..services.len()).rev() {
            for n in 0..2 + dice.below(3) {
                let mut steps = vec![Step::Log(format!("{} received", word(service, n)))];
                for at in 0..2 + dice.below(4) {
                    let later = service + 1 + dice.below(3);
                    steps.push(match dice.below(5) {
                        0 | 1 if later < services.len() => {
                            let callees = &of_service[later];
                            let often = [1.0, 1.0, 0.5, 0.2][dice.below(4)];
                            Step::Call(callees[dice.below(callees.len())], often)
                        }
                        2 => Step::Query(format!("SELECT t{service}{}", letter(at)), dice.around(3.0, 0.5)),
                        3 => Step::Part(format!("{}.part_{}", word(service, n), letter(at)), dice.around(4.0, 0.5)),
                        _ => Step::Log(format!("{} reached {}", word(service, n), letter(at))),
                    });
                }
                if service < 2 && services.len() > service + 1 {
                    let callees = &of_service[service + 1];
                    steps.push(Step::Call(callees[dice.below(callees.len())], 1.0));
                }
                steps.push(Step::Log(format!("{} done", word(service, n))));
                of_service[service].push(operations.len());
                let (work, tolerant) = (dice.around(6.0, 0.7), dice.chance(0.2));
                operations.push(Operation { service, name: word(service, n), steps, work, tolerant });
            }
        }
        let entries = of_service[0].clone();
        World { services, operations, entries }
    }

    /// So many services, each of which calls the next.
    pub(super) fn chain(seed: u64, services: usize) -> World {
        let mut world = World::random(seed, services);
        world.reshape(|service, services| (service + 1 < services).then_some(service + 1).into_iter().collect());
        world
    }

    /// One service that calls all others.
    pub(super) fn fan(seed: u64, services: usize) -> World {
        let mut world = World::random(seed, services);
        world.reshape(|service, services| if service == 0 { (1..services).collect() } else { Vec::new() });
        world
    }

    /// Each operation calls one of each of these services, and no other.
    fn reshape(&mut self, callees: impl Fn(usize, usize) -> Vec<usize>) {
        let services = self.services.len();
        let first = |operations: &[Operation], service: usize, n: usize| {
            let of: Vec<usize> = (0..operations.len()).filter(|at| operations[*at].service == service).collect();
            of[n % of.len()]
        };
        for at in 0..self.operations.len() {
            let calls = callees(self.operations[at].service, services);
            let calls: Vec<Step> =
                calls.into_iter().map(|to| Step::Call(first(&self.operations, to, at), 1.0)).collect();
            let steps = &mut self.operations[at].steps;
            steps.retain(|step| !matches!(step, Step::Call(..)));
            let end = steps.len() - 1;
            steps.splice(end..end, calls);
        }
    }

    pub(super) fn service(&self, at: usize) -> String {
        format!("service-{}", letter(at))
    }

    pub(super) fn period(&self, requests: usize, start: u64) -> Period {
        let mix = vec![1.0; self.entries.len()];
        Period {
            requests,
            start,
            fault: Fault::None,
            hits: 1.0,
            mix,
            suffix: "",
            load: 1.0,
            gap: 200,
            written: f64::INFINITY,
            loose_logs: false,
            bare: false,
            weather: Weather::FAIR,
        }
    }

    /// OTLP requests of a period.
    pub(super) fn record(&self, period: &Period, seed: u64) -> Vec<(Signal, Vec<u8>)> {
        let mut run = Run::new(self, period, seed);
        for n in 0..period.requests {
            run.begin();
            let entry = run.entry();
            let start = (period.start * 1_000 + period.gap * n as u64) as f64;
            run.operation(entry, 0, start, None);
        }
        run.finish()
    }

    /// Operations that requests come to in this world, the entries apart, the most frequent first.
    pub(super) fn reached(&self, seed: u64) -> Vec<(usize, usize)> {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        let mut dice = Dice(seed);
        for n in 0..200 {
            self.walk(self.entries[n % self.entries.len()], &mut dice, &mut counts);
        }
        let mut counts: Vec<(usize, usize)> = counts.into_iter().map(|(operation, n)| (n, operation)).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts
    }

    fn walk(&self, operation: usize, dice: &mut Dice, counts: &mut BTreeMap<usize, usize>) {
        *counts.entry(operation).or_default() += 1;
        for step in &self.operations[operation].steps {
            if let Step::Call(callee, often) = step
                && dice.chance(*often)
            {
                self.walk(*callee, dice, counts);
            }
        }
    }
}

fn letter(n: usize) -> String {
    let mut n = n;
    let mut text = String::new();
    loop {
        text.insert(0, char::from(b'a' + (n % 26) as u8));
        if n < 26 {
            return text;
        }
        n = n / 26 - 1;
    }
}

fn word(service: usize, n: usize) -> String {
    format!("{}/{}", letter(service), ["get", "put", "list", "check"][n])
}
