//! Which calls go worse than before, and at which service that starts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::edges::{Edges, Metric, pooled};
use super::statistics::false_discovery;
use super::step::{Step, step};

/// Minutes before the incident was noticed in which its onset is looked for. What has been so for longer is not what was
/// noticed.
const SEARCHED: i64 = 180;
/// Of the edges that are called degraded, at most so many are not.
const FALSE_DISCOVERIES: f64 = 0.01;
/// An effect less probable by chance than this is one, where there is a reason to expect it.
pub(super) const BY_CHANCE: f64 = 0.05;
/// Minutes by which an effect may be seen before its cause: series are told by the minute, and clocks differ.
const CLOCKS: i64 = 3;

/// The minutes in which an onset may be.
pub(super) fn searched(edges: &Edges) -> RangeInclusive<i64> {
    edges.noticed - SEARCHED..=edges.noticed + 1
}

/// The calls from one service to another.
#[derive(Clone, Debug)]
pub(super) struct Edge<'e> {
    pub(super) source: &'e str,
    pub(super) target: &'e str,
    /// By metric; none where there is too little to tell.
    pub(super) steps: [Option<Step>; 2],
    /// By metric.
    pub(super) is_degraded: [bool; 2],
}

impl Edge<'_> {
    pub(super) fn is_degraded(&self) -> bool {
        self.is_degraded.contains(&true)
    }

    /// How bad it is: share of calls that are lost, and tenfold latency counts as much as the loss of all.
    fn harm(&self) -> f64 {
        let steps = Metric::ALL.into_iter().filter(|metric| self.is_degraded[*metric as usize]);
        let harm = |metric: Metric| self.steps[metric as usize].map_or(0.0, |step| metric.harm(&step));
        steps.map(harm).sum()
    }

    /// Whether others that call the same service have the same trouble: `Some(true)` where they do, nothing where it cannot
    /// be told.
    fn shares(&self, metric: Metric, rise: f64) -> Option<bool> {
        if self.is_degraded() {
            return Some(true);
        }
        let step = self.steps[metric as usize]?;
        // Trouble half as large would be seen.
        (step.p <= BY_CHANCE || step.rise() + 2.0 * step.error < rise / 2.0).then_some(step.p <= BY_CHANCE)
    }

    /// The metric that is worst, of those that degraded.
    pub(super) fn worst(&self) -> Option<(Metric, &Step)> {
        let steps = Metric::ALL.into_iter().filter(|metric| self.is_degraded[*metric as usize]);
        let steps = steps.filter_map(|metric| Some((metric, self.steps[metric as usize].as_ref()?)));
        steps.max_by(|(_, a), (_, b)| a.z.total_cmp(&b.z))
    }
}

/// All edges, by source and target.
pub(super) struct Graph<'e> {
    pub(super) edges: Vec<Edge<'e>>,
    called: BTreeMap<&'e str, BTreeSet<&'e str>>,
}

impl<'e> Graph<'e> {
    pub(super) fn new(edges: &'e Edges) -> Graph<'e> {
        let mut found: Vec<Edge<'e>> = Vec::new();
        let mut called: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for ((source, target), series) in edges.by_edge() {
            let steps = Metric::ALL.map(|metric| {
                let points = pooled(series.iter().copied(), metric, |_, _| true);
                step(&points, searched(edges), metric.finest())
            });
            called.entry(source).or_default().insert(target);
            found.push(Edge { source, target, steps, is_degraded: [false; 2] });
        }
        let tested: Vec<(usize, usize, f64)> = (0..found.len())
            .flat_map(|edge| [(edge, 0), (edge, 1)])
            .filter_map(|(edge, metric)| found[edge].steps[metric].map(|step| (edge, metric, step.p)))
            .collect();
        let qs = false_discovery(&tested.iter().map(|(.., p)| *p).collect::<Vec<_>>());
        for ((edge, metric, _), q) in tested.iter().zip(qs) {
            found[*edge].is_degraded[*metric] = q <= FALSE_DISCOVERIES;
        }
        Graph { edges: found, called }
    }

    pub(super) fn degraded(&self) -> impl Iterator<Item = &Edge<'e>> {
        self.edges.iter().filter(|edge| edge.is_degraded())
    }

    /// All services that are called.
    pub(super) fn services(&self) -> BTreeSet<&'e str> {
        self.edges.iter().map(|edge| edge.target).collect()
    }

    /// The service of this name; names that differ in case or between `-` and `_` only are one where nothing else fits.
    pub(super) fn service(&self, name: &str) -> Option<&'e str> {
        let names = || self.edges.iter().flat_map(|edge| [edge.source, edge.target]);
        let alike = |text: &str| text.to_lowercase().replace('_', "-");
        let wanted = alike(name);
        names().find(|one| *one == name).or_else(|| {
            let found: BTreeSet<&str> = names().filter(|one| alike(one) == wanted).collect();
            found.first().copied().filter(|_| found.len() == 1)
        })
    }

    /// Of how many callers it can be told whether they have this much trouble with a service, and how many of them have.
    pub(super) fn callers(&self, target: &str, metric: Metric, rise: f64) -> (usize, usize) {
        let known = self.edges.iter().filter(|edge| edge.target == target).filter_map(|edge| edge.shares(metric, rise));
        known.fold((0, 0), |(all, degraded), is_degraded| (all + 1, degraded + usize::from(is_degraded)))
    }

    /// Whether this edge alone degraded although others call the same service and fare well: then it is the caller.
    pub(super) fn is_callers_own(&self, edge: &Edge<'_>) -> bool {
        let Some((metric, step)) = edge.worst() else { return false };
        let (all, degraded) = self.callers(edge.target, metric, step.rise());
        degraded == 1 && all > 1
    }

    /// Which share of what goes worse with a service is explained by a service that it calls, and which that is: failures
    /// and latency spread from who is called to who calls.
    pub(super) fn explained(&self, service: &str, metric: Metric, own: &Step) -> (f64, Option<&'e str>) {
        let outgoing = self.edges.iter().filter(|edge| edge.source == service && edge.target != service);
        let mut best = (0.0, None);
        for edge in outgoing.filter(|edge| !self.is_callers_own(edge)) {
            for other in Metric::ALL {
                // With a caller that is known to suffer, one in twenty is evidence enough.
                let Some(theirs) = edge.steps[other as usize].filter(|theirs| theirs.p <= BY_CHANCE) else { continue };
                // An effect does not come before its cause.
                if theirs.earliest > own.latest + CLOCKS {
                    continue;
                }
                let (theirs, own) = (&theirs, own);
                let share = if other == metric { share(metric, theirs, own) } else { across(theirs, own) };
                if share > best.0 {
                    best = (share, Some(edge.target));
                }
            }
        }
        best
    }

    /// Which share of all that degraded lies on the way to a service: it is called there, or by way of those that are.
    pub(super) fn reach(&self, service: &str) -> f64 {
        let (mut all, mut below) = (0.0, 0.0);
        for edge in self.degraded() {
            let weight = edge.harm();
            all += weight;
            if edge.target == service || edge.source == service || self.reaches(edge.target, service) {
                below += weight;
            }
        }
        if all > 0.0 { below / all } else { 0.0 }
    }

    fn reaches(&self, from: &str, to: &str) -> bool {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut next = vec![from];
        while let Some(at) = next.pop() {
            for called in self.called.get(at).into_iter().flatten() {
                if *called == to {
                    return true;
                }
                if seen.insert(called) {
                    next.push(called);
                }
            }
        }
        false
    }
}

/// A caller may call several times for each of its own calls, so that a part of its loss explains more of it: the root.
fn share(metric: Metric, theirs: &Step, own: &Step) -> f64 {
    let by = |step: &Step| match metric {
        Metric::Failures => step.rise(),
        Metric::Latency => metric.shown(step.after) - metric.shown(step.before),
    };
    let (theirs_by, own_by) = (by(theirs), by(own));
    // A callee that always took far longer than its caller is told in another unit: then factors are compared.
    let is_of_other_unit = metric == Metric::Latency && theirs.before - own.before > 3.0f64.ln();
    let ratio = if is_of_other_unit { theirs.rise() / own.rise() } else { theirs_by / own_by };
    if ratio.is_finite() { ratio.clamp(0.0, 1.0).sqrt() } else { 0.0 }
}

/// Slow callees make callers fail, and failing ones make them slow by trying again: of other kind, only how clearly each is
/// seen can be compared.
fn across(theirs: &Step, own: &Step) -> f64 {
    (theirs.z / own.z).clamp(0.0, 1.0) * 0.8
}

/// When it began: where it is worst of all that degraded; in `(at, earliest, latest)`.
pub(super) fn onset(graph: &Graph<'_>) -> Option<(i64, i64, i64)> {
    let worst = graph.degraded().max_by(|a, b| a.harm().total_cmp(&b.harm()))?;
    worst.worst().map(|(_, step)| (step.at, step.earliest, step.latest))
}
