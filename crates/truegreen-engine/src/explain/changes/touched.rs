//! Which instances a change touched, as far as it was told or can be seen.

use std::collections::{BTreeMap, BTreeSet};

use truegreen_model::change::{Change, ChangeKind};

use super::edges::{Cell, Edges, Series, minute};

/// Minutes by which the clocks of who reports and of who measures may differ.
const CLOCKS: i64 = 2;
/// Minutes that a roll-out takes at most where it is not told.
const ROLL_OUT: i64 = 30;

/// Which minutes of which series are of changed instances.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Touched {
    /// Those of these instances, once it began.
    Instances(BTreeSet<String>),
    /// Those of this version.
    Version(String),
    /// All of the service.
    All,
}

impl Touched {
    /// Of a change of this service, or of no one service. Nothing where no series can be told to be touched.
    pub(super) fn new(change: &Change, service: Option<&str>, edges: &Edges) -> Option<Touched> {
        let of_service: Vec<&Series> =
            edges.series.iter().filter(|one| service.is_none_or(|it| one.target == it)).collect();
        let all: BTreeSet<&str> = of_service.iter().map(|one| one.instance.as_str()).collect();
        if !change.instances.is_empty() {
            let told: BTreeSet<String> =
                change.instances.iter().filter(|it| all.contains(it.as_str())).cloned().collect();
            if !told.is_empty() {
                let is_all = service.is_some() && told.len() == all.len();
                if !is_all {
                    return Some(Touched::Instances(told));
                }
            }
        }
        service?;
        let seen = first_seen(edges, &of_service);
        let begins = of_service.iter().filter_map(|one| one.cells.first()).map(|cell| cell.minute).min();
        let at = minute(change.at);
        let until = change.until.map_or(at + ROLL_OUT, |until| minute(until).max(at)) + CLOCKS;
        let is_new =
            |first: i64| first >= at - CLOCKS && first <= until && begins.is_some_and(|begins| first > begins + CLOCKS);
        if let Some(version) = &change.version
            && let Some(first) = seen.get(version.as_str())
        {
            // What ran long before is an old one that was brought back: which instances have it anew cannot be told.
            let is_old = *first < at - ROLL_OUT;
            return Some(if seen.len() > 1 && !is_old { Touched::Version(version.clone()) } else { Touched::All });
        }
        let mut new = seen.iter().filter(|(version, first)| !version.is_empty() && is_new(**first));
        let is_release = matches!(change.kind, ChangeKind::Release | ChangeKind::Other) || !change.instances.is_empty();
        let found = new.next().filter(|_| is_release);
        Some(match (found, new.next()) {
            (Some((version, _)), None) => Touched::Version((*version).to_owned()),
            // Instances that were named, and of which nothing is known, are no reason to blame the others. Where calls do not
            // tell instances, all are one.
            _ if all.iter().any(|it| !it.is_empty())
                && change.instances.iter().any(|it| !all.contains(it.as_str())) =>
            {
                return None;
            }
            _ => Touched::All,
        })
    }

    /// Whether this minute is of a changed instance.
    pub(super) fn is_touched(&self, edges: &Edges, series: &Series, cell: &Cell, at: i64) -> bool {
        match self {
            Touched::Instances(names) => cell.minute >= at - CLOCKS && names.contains(&series.instance),
            Touched::Version(version) => edges.version(cell) == version,
            Touched::All => cell.minute >= at - CLOCKS,
        }
    }

    /// Whether this series is of an instance that was changed at some time.
    pub(super) fn is_of(&self, edges: &Edges, series: &Series) -> bool {
        match self {
            Touched::Instances(names) => names.contains(&series.instance),
            Touched::Version(version) => series.cells.last().is_some_and(|cell| edges.version(cell) == version),
            Touched::All => true,
        }
    }
}

/// When each version was first seen.
fn first_seen<'e>(edges: &'e Edges, series: &[&'e Series]) -> BTreeMap<&'e str, i64> {
    let mut seen: BTreeMap<&str, i64> = BTreeMap::new();
    for cell in series.iter().flat_map(|one| &one.cells) {
        let first = seen.entry(edges.version(cell)).or_insert(cell.minute);
        *first = (*first).min(cell.minute);
    }
    seen
}
