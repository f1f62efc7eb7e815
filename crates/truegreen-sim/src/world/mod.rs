//! Worlds from a seed: services, contracts, journeys, and one kind of trouble.

pub mod asked;
pub mod contract;
pub mod fleet;
pub mod journey;
pub mod rearranged;
pub mod trouble;

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use truegreen_model::flow::{Flow, Reentry};
use truegreen_model::time::Timestamp;

use crate::telemetry::{Content, EPOCH, Happening, second};
use contract::Contract;
use fleet::Fleet;
use journey::{Deed, Journey};
pub use trouble::Trouble;

/// Seconds before anything enters: everybody was heard by then.
const WARM_UP: f64 = 60.0;
/// Seconds in which everything enters.
const ENTRIES: f64 = 120.0;
/// Seconds between two passages of one key, far more than a passage lasts.
const BETWEEN_PASSAGES: f64 = 240.0;
/// Seconds after the last possible deadline until which everything must be decided, gaps and polls included.
const PATIENCE: f64 = 290.0;

/// What a world is drawn from. Journeys have seeds of their own, so that a failing world shrinks journey by journey.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Services, contracts, delivery.
    pub seed: u64,
    /// What goes wrong besides single journeys.
    pub trouble: Trouble,
    /// One seed for each journey.
    pub journeys: Vec<u64>,
}

/// All that happens, and until when.
#[derive(Clone, Debug)]
pub struct World {
    /// The contracts.
    pub flows: Vec<Flow>,
    /// In order of receipt.
    pub happenings: Vec<(Timestamp, Happening)>,
    /// By then everything is decided.
    pub end: Timestamp,
    /// Keys of journeys for which everything was done in time, where no record comes late: whatever of it is missing
    /// was lost on the way to us.
    pub whole: BTreeSet<String>,
}

impl World {
    /// The same world for the same shape.
    pub fn of(shape: &Shape) -> World {
        let mut rng = Rng::with_seed(shape.seed);
        let environments: &[&str] = if shape.trouble == Trouble::None && rng.f64() < 0.2 {
            &["production", "staging"]
        } else {
            &["production"]
        };
        let mut fleet = Fleet::draw_all(&mut rng, environments);
        shape.trouble.strike_fleet(&mut rng, &mut fleet);
        let first = contract::draw(&mut rng, &fleet);
        let (deeds, whole) = live(shape, &first, &fleet, environments);
        // What comes late and is lost then was rightly missed before.
        let tardy = shape.trouble == Trouble::None || rng.bool();
        let whole = if tardy { BTreeSet::new() } else { whole };
        let mut contracts = vec![first];
        if rng.f64() < 0.25 {
            contracts.push(contract::vary(&mut rng, &contracts[0]));
        }

        let end = journey::last_end(&deeds).max(WARM_UP + ENTRIES) + 135.0 + longest(&contracts) + PATIENCE;
        let mut sent = fleet.beats(&mut rng, end);
        sent.extend(fleet.deliver(&mut rng, deeds, tardy));
        sent.sort_by_key(|(at, _)| *at);
        let mut happenings = shape.trouble.strike_intake(&mut rng, sent);
        merge_neighbours(&mut rng, &mut happenings);
        World {
            flows: contracts.into_iter().map(|contract| contract.flow).collect(),
            happenings,
            end: second(end),
            whole,
        }
    }

    /// Whether we are down then.
    pub fn is_down(&self, now: Timestamp) -> bool {
        self.happenings.iter().any(|(at, happening)| match happening {
            Happening::Resumed { down_since } => *down_since <= now && now < *at,
            _ => false,
        })
    }
}

/// Every journey's deeds, and the keys of those that are whole.
fn live(shape: &Shape, contract: &Contract, fleet: &Fleet, environments: &[&str]) -> (Vec<Deed>, BTreeSet<String>) {
    let mut deeds = Vec::new();
    let (mut whole, mut broken) = (BTreeSet::new(), BTreeSet::new());
    for (index, &seed) in shape.journeys.iter().enumerate() {
        let mut rng = Rng::with_seed(seed ^ shape.seed);
        let environment = environments[index % environments.len()];
        // The same key in two environments is two journeys.
        let key = format!("order-{}", index / environments.len());
        let entry = WARM_UP + rng.f64() * ENTRIES;
        let mut entries = vec![entry];
        if matches!(contract.flow.reentry, Reentry::After(_)) && rng.bool() {
            entries.push(entry + BETWEEN_PASSAGES);
        }
        for entry in entries {
            let journey = Journey::new(rng.u64(..), contract, fleet, &key, environment);
            let (done, is_whole) = journey.enter(entry);
            deeds.extend(done);
            if is_whole {
                whole.insert(key.clone())
            } else {
                broken.insert(key.clone())
            };
        }
    }
    whole.retain(|key| !broken.contains(key));
    (deeds, whole)
}

/// Seconds: no journey's deadlines span more.
fn longest(contracts: &[Contract]) -> f64 {
    let span = |contract: &Contract| {
        let within: Duration = contract.flow.steps.iter().map(|step| step.within).sum();
        (within + contract.flow.grace).as_secs_f64()
    };
    contracts.iter().map(span).fold(0.0, f64::max)
}

/// As a collector does: requests of several senders that come close together now and then come as one.
fn merge_neighbours(rng: &mut Rng, happenings: &mut Vec<(Timestamp, Happening)>) {
    let mut merged: Vec<(Timestamp, Happening)> = Vec::with_capacity(happenings.len());
    for (at, happening) in happenings.drain(..) {
        if let (Some((before, Happening::Accepted(earlier))), Happening::Accepted(later)) =
            (merged.last_mut(), &happening)
            && at.since(*before) < Duration::from_millis(200)
            && rng.f64() < 0.3
            && join(earlier, later)
        {
            *before = at;
            continue;
        }
        merged.push((at, happening));
    }
    *happenings = merged;
}

fn join(earlier: &mut Content, later: &Content) -> bool {
    match (earlier, later) {
        (Content::Spans(to), Content::Spans(from)) => to.extend(from.iter().cloned()),
        (Content::Logs(to), Content::Logs(from)) => to.extend(from.iter().cloned()),
        (Content::Metrics(to), Content::Metrics(from)) => to.extend(from.iter().cloned()),
        _ => return false,
    }
    true
}

/// Seconds since the epoch of the simulation.
pub(crate) fn seconds(at: Timestamp) -> f64 {
    at.since(EPOCH).as_secs_f64()
}
