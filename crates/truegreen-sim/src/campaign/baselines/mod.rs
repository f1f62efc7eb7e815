//! What usual rules would have said on the same run: reimplemented here, not the products themselves. Each sees what
//! its original would see, and is kindly tuned: it knows each place's own past where it compares with one.

mod absent;
mod burrow;
mod errors;
mod latency;
mod unpaired;

use std::collections::BTreeSet;

use super::fleet::Service;
use super::record::Content;
use super::system::Offset;

/// Seconds between two evaluations of the rules.
const EVERY: f64 = 15.0;
/// Seconds for which a condition must hold, where its rule asks for that.
const HOLDS: f64 = 60.0;

/// One kind of rule.
trait Rule {
    /// A request arrives.
    fn hear(&mut self, at: f64, service: Service, content: &Content);

    /// The broker tells its offsets.
    fn offsets(&mut self, _at: f64, _offsets: &[Offset]) {}

    /// What fires now.
    fn firing(&mut self, now: f64) -> BTreeSet<String>;
}

/// The names of the rules, as columns.
pub const NAMES: [&str; 5] = ["errors", "latency", "lag", "unpaired", "absent"];

/// All rules on one run.
pub struct Baselines {
    rules: [Box<dyn Rule>; 5],
    firing: [BTreeSet<String>; 5],
    /// When each rule began to fire, and for what.
    pub alerts: [Vec<(f64, String)>; 5],
    next: f64,
}

impl Default for Baselines {
    fn default() -> Baselines {
        Baselines {
            rules: [
                Box::<errors::Errors>::default(),
                Box::<latency::Latency>::default(),
                Box::<burrow::Burrow>::default(),
                Box::<unpaired::Unpaired>::default(),
                Box::<absent::Absent>::default(),
            ],
            firing: Default::default(),
            alerts: Default::default(),
            next: EVERY,
        }
    }
}

impl Baselines {
    /// A request arrives.
    pub fn hear(&mut self, at: f64, service: Service, content: &Content) {
        self.pass(at);
        self.rules.iter_mut().for_each(|rule| rule.hear(at, service, content));
    }

    /// The broker tells its offsets.
    pub fn offsets(&mut self, at: f64, offsets: &[Offset]) {
        self.pass(at);
        self.rules.iter_mut().for_each(|rule| rule.offsets(at, offsets));
    }

    fn pass(&mut self, now: f64) {
        while self.next <= now {
            for (index, rule) in self.rules.iter_mut().enumerate() {
                let firing = rule.firing(self.next);
                let new = firing.difference(&self.firing[index]).map(|what| (self.next, what.clone()));
                self.alerts[index].extend(new);
                self.firing[index] = firing;
            }
            self.next += EVERY;
        }
    }
}

/// Which conditions held long enough.
#[derive(Debug, Default)]
struct Held {
    since: std::collections::BTreeMap<String, f64>,
}

impl Held {
    /// Those of these that have held for as long as rules ask.
    fn long_enough(&mut self, now: f64, hold: BTreeSet<String>) -> BTreeSet<String> {
        self.since.retain(|what, _| hold.contains(what));
        for what in hold {
            self.since.entry(what).or_insert(now);
        }
        self.since.iter().filter(|(_, since)| now - **since >= HOLDS).map(|(what, _)| what.clone()).collect()
    }
}
