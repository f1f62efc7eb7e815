//! How changed instances do: against before, and against those that were not changed (difference in differences). What
//! befalls all instances of a service at once cancels out between them.

use std::collections::{BTreeMap, BTreeSet};

use truegreen_model::change::Change;

use super::degraded::{BY_CHANCE, searched};
use super::edges::{Cell, Edges, Metric, Series, minute, pooled};
use super::statistics::{best_of, median, upper_tail};
use super::step::{Step, step, step_apart};
use super::touched::Touched;

/// Minutes that are too few to tell a level.
const LEAST_AFTER: usize = 3;
const LEAST_BEFORE: usize = 8;

/// What is seen on the calls from one service, by one metric.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Seen {
    pub(super) source: String,
    pub(super) metric: Metric,
    /// Changed ones, since and before.
    pub(super) own: Option<Step>,
    /// Changed ones less the others; nothing where there are no others.
    pub(super) apart: Option<Step>,
}

/// All that is seen of the changed instances of a service.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Effect {
    pub(super) seen: Vec<Seen>,
    /// Tests that were made, for what the best of them is worth.
    pub(super) tests: usize,
    /// Changed instances and others that were seen since.
    pub(super) changed: usize,
    pub(super) others: usize,
}

impl Effect {
    /// What went worst against before.
    pub(super) fn own(&self) -> Option<(&Seen, &Step)> {
        let seen = self.seen.iter().filter_map(|seen| Some((seen, seen.own.as_ref()?)));
        seen.max_by(|(_, a), (_, b)| a.z.total_cmp(&b.z))
    }

    /// What went worst against the others.
    pub(super) fn apart(&self) -> Option<(&Seen, &Step)> {
        let seen = self.seen.iter().filter_map(|seen| Some((seen, seen.apart.as_ref()?)));
        seen.max_by(|(_, a), (_, b)| a.z.total_cmp(&b.z))
    }

    /// The p-value of the best of all tests.
    pub(super) fn corrected(&self, step: &Step) -> f64 {
        best_of(step.p, self.tests as f64)
    }
}

/// What is seen of a change that touched these; `onset` is the incident's.
pub(super) fn effect(
    change: &Change,
    service: Option<&str>,
    touched: &Touched,
    edges: &Edges,
    onset: Option<i64>,
) -> Effect {
    let at = minute(change.at);
    let mut by_edge: BTreeMap<(&str, &str), Vec<&Series>> = BTreeMap::new();
    let is_of_it = |one: &&Series| service.is_none_or(|it| one.target == it);
    edges
        .series
        .iter()
        .filter(is_of_it)
        .for_each(|one| by_edge.entry((&one.source, &one.target)).or_default().push(one));
    if service.is_none() {
        // Of all services only those that it touched.
        by_edge.retain(|_, series| series.iter().any(|one| touched.is_of(edges, one)));
    }
    let is_touched = |series: &Series, cell: &Cell| touched.is_touched(edges, series, cell, at);
    let mut effect = Effect::default();
    let (mut changed, mut others) = (BTreeSet::new(), BTreeSet::new());
    for ((source, _), series) in by_edge {
        for one in &series {
            let since = one.cells.iter().filter(|cell| cell.minute >= at);
            let (mut is, mut is_not) = (false, false);
            since.for_each(|cell| if is_touched(one, cell) { is = true } else { is_not = true });
            if is {
                changed.insert(one.instance.as_str());
            } else if is_not {
                others.insert(one.instance.as_str());
            }
        }
        for metric in Metric::ALL {
            let views = Views::new(&series, metric, touched, edges, at);
            let own = views.own(edges, metric);
            let apart = views.apart(edges, metric, onset, own.as_ref());
            if own.is_some() || apart.is_some() {
                effect.tests += 1;
                effect.seen.push(Seen { source: source.to_owned(), metric, own, apart });
            }
        }
    }
    effect.changed = changed.len();
    effect.others = others.len();
    effect
}

type Points = Vec<(i64, f64)>;

/// The same edge seen from both sides of a change.
struct Views {
    /// Changed ones, since they were changed.
    changed: Points,
    /// The same ones before.
    same_before: Points,
    /// All of the service before.
    all_before: Points,
    /// Others, before and since.
    others: Points,
    /// How far instances differ from one another, for good: their levels' standard deviation.
    between: Option<f64>,
    touched: usize,
}

impl Views {
    fn new(series: &[&Series], metric: Metric, touched: &Touched, edges: &Edges, at: i64) -> Views {
        let is_touched = |one: &Series, cell: &Cell| touched.is_touched(edges, one, cell, at);
        let all = || series.iter().copied();
        let of_it: BTreeSet<&str> =
            all().filter(|one| touched.is_of(edges, one)).map(|one| one.instance.as_str()).collect();
        let changed = pooled(all(), metric, is_touched);
        let begins = changed.first().map_or(at, |(minute, _)| *minute);
        let is_before = |cell: &Cell| cell.minute < begins;
        Views {
            same_before: pooled(all(), metric, |one, cell| is_before(cell) && of_it.contains(one.instance.as_str())),
            all_before: pooled(all(), metric, |_, cell| is_before(cell)),
            others: pooled(all(), metric, |one, cell| {
                if matches!(touched, Touched::Version(_)) { !is_touched(one, cell) } else { !touched.is_of(edges, one) }
            }),
            between: between(series, metric, |one| !touched.is_of(edges, one)),
            touched: of_it.len(),
            changed,
        }
    }

    /// Since against before; new instances against what the service was before them.
    fn own(&self, edges: &Edges, metric: Metric) -> Option<Step> {
        if self.changed.len() < LEAST_AFTER {
            return None;
        }
        let is_known = self.same_before.len() >= LEAST_BEFORE;
        let mut points = if is_known { self.same_before.clone() } else { self.all_before.clone() };
        points.extend(&self.changed);
        step(&points, searched(edges), metric.finest())
    }

    /// Changed less others.
    fn apart(&self, edges: &Edges, metric: Metric, onset: Option<i64>, own: Option<&Step>) -> Option<Step> {
        let since = less(&self.changed, &self.others);
        // A roll-out that was through before anything went worse leaves nobody to compare with.
        let begins = own.filter(|own| own.p <= BY_CHANCE).map_or(i64::MIN, |own| own.at);
        if since.iter().filter(|(minute, _)| *minute >= begins).count() < LEAST_AFTER {
            return None;
        }
        let mut points = less(&self.same_before, &self.others);
        if points.len() >= LEAST_BEFORE {
            points.extend(&since);
            return step_apart(&points, searched(edges), metric.finest());
        }
        self.newcomers(&since, metric, onset)
    }

    /// Instances that were not there before have no past of their own: what they may differ by is told by how the others
    /// differ among themselves.
    fn newcomers(&self, since: &Points, metric: Metric, onset: Option<i64>) -> Option<Step> {
        // Since the onset, or as long as they are there.
        let begun: Points =
            since.iter().filter(|(minute, _)| onset.is_none_or(|onset| *minute >= onset)).copied().collect();
        let points = if begun.len() >= LEAST_AFTER { &begun } else { since };
        let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
        let count = values.len() as f64;
        let level = median(&mut values)?;
        let mut away: Vec<f64> = values.iter().map(|value| (value - level).abs()).collect();
        let noise = (median(&mut away)? * 1.482_6).max(metric.finest());
        let noise = noise.max(wobble(&self.others)) * 1.253_3;
        // Where nobody can be compared with anybody, instances may differ by as much as one wanders.
        let between = self.between.unwrap_or(noise).max(metric.finest());
        let error = (noise * noise / count + between * between * (1.0 + 1.0 / self.touched.max(1) as f64) / 2.0).sqrt();
        let z = level / error;
        let (first, last) = (points[0].0, points[points.len() - 1].0);
        Some(Step { at: first, earliest: first, latest: last, before: 0.0, after: level, z, p: upper_tail(z), error })
    }
}

/// Differences in minutes that both have.
fn less(these: &Points, those: &Points) -> Points {
    let those: BTreeMap<i64, f64> = those.iter().copied().collect();
    these.iter().filter_map(|(minute, value)| those.get(minute).map(|other| (*minute, value - other))).collect()
}

fn wobble(points: &Points) -> f64 {
    let mut steps: Vec<f64> = points.windows(2).map(|pair| (pair[1].1 - pair[0].1).abs()).collect();
    median(&mut steps).unwrap_or_default() / 0.953_9
}

fn between(series: &[&Series], metric: Metric, is_of_it: impl Fn(&Series) -> bool) -> Option<f64> {
    let mut levels: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for one in series.iter().filter(|one| is_of_it(one)) {
        levels.entry(&one.instance).or_default().extend(one.cells.iter().filter_map(|cell| metric.of(cell)));
    }
    let mut levels: Vec<f64> = levels.into_values().filter_map(|mut values| median(&mut values)).collect();
    let centre = (levels.len() >= 3).then(|| median(&mut levels)).flatten()?;
    let mut away: Vec<f64> = levels.iter().map(|level| (level - centre).abs()).collect();
    Some(median(&mut away)? * 1.482_6)
}
