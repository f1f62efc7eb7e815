//! Slow places to the instance that is slow.
//!
//! A call between two instances that takes longer on its way speaks against both. The one whose own work and calls are
//! slow all around is to blame: what is slow at an instance counts by the share that it is of all that is measured there.

use std::collections::{BTreeMap, BTreeSet};

use truegreen_model::suspect::SuspectKind;

use super::super::recording::Name;
use super::measure::Measure;
use super::pace::Pace;

/// Failing requests below which what is not slow proves nothing.
const TELLING: u64 = 20;

/// Service and instance.
pub(super) type End = (Name, Name);
/// Whom a measure speaks against: the callee, or the only one, before the caller.
type Ends = (Option<End>, Option<End>);

/// What is slow for one reason.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Slow {
    pub(super) service: Name,
    /// None where all instances of the service are.
    pub(super) instance: Option<Name>,
    pub(super) kind: SuspectKind,
    /// Where only one is.
    pub(super) operation: Option<Name>,
    /// Its measures, the most deviating first.
    pub(super) measures: Vec<u32>,
    /// How many measures of it were compared.
    pub(super) compared: usize,
    /// The other end, where it explains just as much.
    pub(super) or: Option<End>,
}

fn ends(measure: Measure) -> Ends {
    match measure {
        Measure::Own(place, instance) => (Some((place.service, instance)), None),
        // The one that is called first: the queue before its door is on the way, too.
        Measure::Way(from, to) => (Some(to), Some(from)),
        Measure::Repeats(_) => (None, None),
    }
}

/// Groups of significant measures, with their weights.
pub(super) fn groups(pace: &Pace, significant: &BTreeMap<u32, f64>) -> Vec<Slow> {
    let around = around(pace, significant);
    let mut left: BTreeSet<u32> = significant.keys().copied().filter(|id| is_time(pace, *id)).collect();
    let mut groups = Vec::new();
    while !left.is_empty() {
        let mut best: Option<(f64, End)> = None;
        let mut or = None;
        for end in ends_in_order(pace, &left) {
            let score = score(&around[&end], &left, significant);
            match best {
                Some((most, _)) if (score - most).abs() <= 1e-9 * most => or = Some(end),
                Some((most, _)) if score < most => {}
                _ => (best, or) = (Some((score, end)), None),
            }
        }
        let Some((_, end)) = best else { break };
        let mut measures: Vec<u32> = around[&end].iter().copied().filter(|id| left.contains(id)).collect();
        measures.sort_by(|a, b| significant[b].total_cmp(&significant[a]).then(a.cmp(b)));
        left.retain(|id| !measures.contains(id));
        groups.push(named(pace, end, measures, &around[&end], significant, or));
    }
    shared_by_all(groups, &around)
}

fn is_time(pace: &Pace, id: u32) -> bool {
    !matches!(pace.measures[id as usize], Measure::Repeats(_))
}

/// For each instance what is measured there: enough to prove something, or slow.
fn around(pace: &Pace, significant: &BTreeMap<u32, f64>) -> BTreeMap<End, Vec<u32>> {
    let mut around: BTreeMap<End, Vec<u32>> = BTreeMap::new();
    for tested in &pace.tested {
        let id = tested.what;
        let telling = !pace.pooled.contains(&id) && pace.sizes.get(&id).is_some_and(|size| size.failing >= TELLING);
        if telling || significant.contains_key(&id) {
            let (one, other) = ends(pace.measures[id as usize]);
            one.into_iter().chain(other).for_each(|end| around.entry(end).or_default().push(id));
        }
    }
    around
}

/// Callees first.
fn ends_in_order(pace: &Pace, left: &BTreeSet<u32>) -> Vec<End> {
    let of = |pick: fn(Ends) -> Option<End>| {
        left.iter().filter_map(move |id| pick(ends(pace.measures[*id as usize]))).collect::<BTreeSet<End>>()
    };
    let first = of(|ends| ends.0);
    let mut all: Vec<End> = first.iter().copied().collect();
    all.extend(of(|ends| ends.1).difference(&first));
    all
}

fn score(around: &[u32], left: &BTreeSet<u32>, significant: &BTreeMap<u32, f64>) -> f64 {
    let explained: f64 = around.iter().filter(|id| left.contains(id)).map(|id| significant[id]).sum();
    let slow = around.iter().filter(|id| significant.contains_key(*id)).count();
    explained * slow as f64 / around.len().max(1) as f64
}

fn named(
    pace: &Pace,
    end: End,
    measures: Vec<u32>,
    around: &[u32],
    significant: &BTreeMap<u32, f64>,
    or: Option<End>,
) -> Slow {
    // A call to what does not show, as of a database, is on its way as far as anyone can tell.
    let on_the_way = |id: &u32| match pace.measures[*id as usize] {
        Measure::Own(place, _) => place.is_client(),
        Measure::Way(..) => true,
        Measure::Repeats(_) => false,
    };
    let (ways, own): (Vec<u32>, Vec<u32>) = around.iter().copied().partition(on_the_way);
    let slow = |ids: &[u32]| ids.iter().filter(|id| significant.contains_key(*id)).count();
    let (slow_own, slow_ways) = (slow(&own), slow(&ways));
    let most = |slow: usize, of: &[u32]| slow > 0 && 2 * slow >= of.len();
    // Of all instances together only what is slow is known, not what is not.
    let is_pooled = around.iter().all(|id| pace.pooled.contains(id));
    let kind = match () {
        () if is_pooled && slow_own > 0 => SuspectKind::SlowOperation,
        () if slow_own >= 2 && most(slow_own, &own) => SuspectKind::SlowInstance,
        () if slow_own > 0 && own.len() == 1 && slow_ways > 0 => SuspectKind::SlowInstance,
        () if slow_own > 0 && !(slow_ways >= 2 && most(slow_ways, &ways)) => SuspectKind::SlowOperation,
        () if slow_ways == 1 && on_a_way_of_its_own(pace, &measures) => SuspectKind::SlowOperation,
        () => SuspectKind::NetworkDelay,
    };
    let operation = measures.iter().find_map(|id| match pace.measures[*id as usize] {
        Measure::Own(place, _) if kind == SuspectKind::SlowOperation => Some(place.operation),
        _ => None,
    });
    let (service, instance) = end;
    Slow { service, instance: Some(instance), kind, operation, measures, compared: around.len(), or }
}

/// One call to what does not show, and nothing else.
fn on_a_way_of_its_own(pace: &Pace, measures: &[u32]) -> bool {
    measures.iter().all(|id| matches!(pace.measures[*id as usize], Measure::Own(..)))
}

/// What is slow alike at all instances of a service is the service.
fn shared_by_all(groups: Vec<Slow>, around: &BTreeMap<End, Vec<u32>>) -> Vec<Slow> {
    let mut by_service: BTreeMap<(Name, &str, Option<Name>), Vec<Slow>> = BTreeMap::new();
    for group in groups {
        by_service.entry((group.service, group.kind.name(), group.operation)).or_default().push(group);
    }
    let mut merged = Vec::new();
    for ((service, ..), mut alike) in by_service {
        let instances = around.keys().filter(|(of, instance)| *of == service && *instance != Name::EMPTY).count();
        if instances > 1 && alike.len() == instances {
            let mut one = alike.swap_remove(0);
            one.instance = None;
            one.or = None;
            for other in alike {
                one.measures.extend(other.measures);
                one.compared += other.compared;
            }
            merged.push(one);
        } else {
            merged.extend(alike);
        }
    }
    merged
}
