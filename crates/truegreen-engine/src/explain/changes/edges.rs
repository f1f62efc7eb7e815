//! Calls between services, minute by minute and instance by instance.

use std::collections::BTreeMap;

use truegreen_model::time::Timestamp;

use super::step::Step;

/// One minute of the calls from one service to one instance of another.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct EdgeRow<'a> {
    /// When; it counts for the minute that it lies in.
    pub at: Timestamp,
    /// Who calls; may be empty where the calls come from outside.
    pub source: &'a str,
    /// Which instance of it calls; empty where that is not told.
    pub source_instance: &'a str,
    /// Who is called.
    pub target: &'a str,
    /// Which instance of it is called; empty where that is not told.
    pub instance: &'a str,
    /// The version of the instance that is called; empty where that is not told.
    pub version: &'a str,
    /// Share of calls that went well, 0 to 1.
    pub ok_rate: Option<f64>,
    /// How long they took, in any unit that is the same throughout.
    pub latency: Option<f64>,
    /// How many calls there were.
    pub requests: Option<f64>,
}

/// Minutes before the incident was noticed that are looked at: a day, so that the same time of yesterday can be compared,
/// and two hours more.
pub(super) const MINUTES_BEFORE: i64 = 26 * 60;
/// Minutes after it that are, where they are there: what was noticed at once has hardly begun by then.
pub(super) const MINUTES_AFTER: i64 = 5;
/// Most series that are kept; rows of further ones are left out and counted.
pub const MAX_SERIES: usize = 20_000;

/// What is known of one minute of one series. Means over what was told of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Cell {
    pub(super) minute: i64,
    pub(super) ok: f64,
    pub(super) latency: f64,
    pub(super) requests: f64,
    /// Index into [`EdgeTable::versions`].
    pub(super) version: u16,
}

/// The calls to one instance from one service, or from one instance of it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Series {
    pub(super) source: String,
    pub(super) source_instance: String,
    pub(super) target: String,
    pub(super) instance: String,
    /// In the order of time, each minute once.
    pub(super) cells: Vec<Cell>,
}

type Key = (String, String, String, String);

/// Takes rows in any order.
#[derive(Debug)]
pub struct EdgeTable {
    noticed: i64,
    series: BTreeMap<Key, Vec<(Cell, [f64; 3])>>,
    versions: Vec<String>,
    left_out: LeftOut,
}

/// Rows that were not used.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LeftOut {
    /// They are of a time that does not count: more than 26 hours before the incident was noticed, or after it.
    pub outside: u64,
    /// They are of more series, or versions, than are kept.
    pub beyond_bounds: u64,
    /// They name no target, or tell neither success nor latency nor a number of requests.
    pub empty: u64,
}

impl EdgeTable {
    /// For an incident that was noticed then.
    pub fn new(noticed: Timestamp) -> EdgeTable {
        EdgeTable {
            noticed: minute(noticed),
            series: BTreeMap::new(),
            versions: vec![String::new()],
            left_out: LeftOut::default(),
        }
    }

    /// Takes one row.
    pub fn push(&mut self, row: EdgeRow<'_>) {
        let at = minute(row.at);
        if at < self.noticed - MINUTES_BEFORE || at > self.noticed + MINUTES_AFTER {
            self.left_out.outside += 1;
            return;
        }
        let told = |value: Option<f64>| value.filter(|value| value.is_finite() && *value >= 0.0);
        let (ok, latency, requests) = (told(row.ok_rate), told(row.latency), told(row.requests));
        if row.target.is_empty() || (ok.is_none() && latency.is_none() && requests.is_none()) {
            self.left_out.empty += 1;
            return;
        }
        let key = [row.source, row.source_instance, row.target, row.instance].map(str::to_owned).into();
        let Some(version) = self.version(row.version) else {
            self.left_out.beyond_bounds += 1;
            return;
        };
        if self.series.len() >= MAX_SERIES && !self.series.contains_key(&key) {
            self.left_out.beyond_bounds += 1;
            return;
        }
        let nan = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let cell = Cell { minute: at, ok: nan(ok), latency: nan(latency), requests: nan(requests), version };
        // What stood for few calls weighs little within its minute.
        let weight = requests.unwrap_or(1.0).max(1e-9);
        let weights = [ok, latency, requests].map(|value| if value.is_some() { weight } else { 0.0 });
        self.series.entry(key).or_default().push((cell, weights));
    }

    fn version(&mut self, text: &str) -> Option<u16> {
        let found = self.versions.iter().position(|one| one == text);
        let at = found.unwrap_or_else(|| {
            self.versions.push(text.to_owned());
            self.versions.len() - 1
        });
        match u16::try_from(at).ok().filter(|at| *at < 4096) {
            Some(at) => Some(at),
            None => {
                self.versions.truncate(4096);
                None
            }
        }
    }

    /// All that was taken.
    pub fn finish(self) -> Edges {
        let mut series: Vec<Series> = Vec::with_capacity(self.series.len());
        for ((source, source_instance, target, instance), mut told) in self.series {
            told.sort_by_key(|(cell, _)| cell.minute);
            let cells = told.chunk_by(|a, b| a.0.minute == b.0.minute).map(together).collect();
            series.push(Series { source, source_instance, target, instance, cells });
        }
        // Shares may be told as percentages, but not some so and some so.
        let largest = series.iter().flat_map(|one| &one.cells).map(|cell| cell.ok).fold(0.0, f64::max);
        if largest > 1.5 {
            series.iter_mut().flat_map(|one| &mut one.cells).for_each(|cell| cell.ok /= 100.0);
        }
        Edges { noticed: self.noticed, series, versions: self.versions, left_out: self.left_out }
    }
}

fn together(same: &[(Cell, [f64; 3])]) -> Cell {
    let mean = |value: fn(&Cell) -> f64, which: usize| {
        let told = same.iter().filter(|(cell, _)| !value(cell).is_nan());
        let (sum, weight) = told
            .fold((0.0, 0.0), |(sum, all), (cell, weights)| (sum + value(cell) * weights[which], all + weights[which]));
        if weight > 0.0 { sum / weight } else { f64::NAN }
    };
    let requests: Vec<f64> = same.iter().map(|(cell, _)| cell.requests).filter(|count| !count.is_nan()).collect();
    let last = same[same.len() - 1].0;
    Cell {
        ok: mean(|cell| cell.ok, 0),
        latency: mean(|cell| cell.latency, 1),
        requests: if requests.is_empty() { f64::NAN } else { requests.iter().sum() },
        ..last
    }
}

/// Calls between services as they were until an incident was noticed.
#[derive(Clone, Debug)]
pub struct Edges {
    pub(super) noticed: i64,
    pub(super) series: Vec<Series>,
    pub(super) versions: Vec<String>,
    pub(super) left_out: LeftOut,
}

impl Edges {
    /// Rows that were not used.
    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub(super) fn version(&self, cell: &Cell) -> &str {
        self.versions.get(usize::from(cell.version)).map_or("", String::as_str)
    }

    /// Who calls whom, with the series of each.
    pub(super) fn by_edge(&self) -> BTreeMap<(&str, &str), Vec<&Series>> {
        let mut edges: BTreeMap<(&str, &str), Vec<&Series>> = BTreeMap::new();
        for series in &self.series {
            edges.entry((&series.source, &series.target)).or_default().push(series);
        }
        edges
    }
}

/// What goes worse, each so that more is worse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Metric {
    /// Share of calls that fail.
    Failures,
    /// Logarithm of how long calls take: what makes them slower does so by a factor.
    Latency,
}

impl Metric {
    pub(super) const ALL: [Metric; 2] = [Metric::Failures, Metric::Latency];

    pub(super) fn of(self, cell: &Cell) -> Option<f64> {
        let told = match self {
            Metric::Failures => cell.ok,
            Metric::Latency => cell.latency,
        };
        // What was not measured is not known: no number stands for it.
        (!told.is_nan()).then(|| match self {
            Metric::Failures => 1.0 - told.min(1.0),
            // A latency of nothing is one below what the clock resolves.
            Metric::Latency => told.max(1e-6).ln(),
        })
    }

    /// Noise below this is none: what is told is rounded. One failure in a thousand; one percent of a latency.
    pub(super) fn finest(self) -> f64 {
        match self {
            Metric::Failures => 0.001,
            Metric::Latency => 0.01,
        }
    }

    /// How bad a rise is: as a share of calls that are lost. Ten times the latency is as bad as the loss of all.
    pub(super) fn harm(self, step: &Step) -> f64 {
        match self {
            Metric::Failures => step.rise().clamp(0.0, 1.0),
            Metric::Latency => (step.rise() / std::f64::consts::LN_10).clamp(0.0, 1.0),
        }
    }

    /// As people read it.
    pub(super) fn shown(self, value: f64) -> f64 {
        match self {
            Metric::Failures => value,
            Metric::Latency => value.exp(),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Metric::Failures => "failures",
            Metric::Latency => "latency",
        }
    }
}

pub(super) fn minute(at: Timestamp) -> i64 {
    i64::try_from(at.minute().0).unwrap_or(i64::MAX)
}

/// Values by minute, in the order of time: the mean over all series whose cells are of interest, weighted by their calls.
pub(super) fn pooled<'a>(
    series: impl IntoIterator<Item = &'a Series>,
    metric: Metric,
    is_of_it: impl Fn(&Series, &Cell) -> bool,
) -> Vec<(i64, f64)> {
    let mut by_minute: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for one in series {
        for cell in one.cells.iter().filter(|cell| is_of_it(one, cell)) {
            if let Some(value) = metric.of(cell) {
                let weight = if cell.requests.is_nan() { 1.0 } else { cell.requests.max(1e-9) };
                let (sum, weights) = by_minute.entry(cell.minute).or_default();
                *sum += value * weight;
                *weights += weight;
            }
        }
    }
    by_minute.into_iter().map(|(minute, (sum, weights))| (minute, sum / weights)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_not_known() {
        let mut table = EdgeTable::new(Timestamp::from_secs(6_000));
        let row = EdgeRow { at: Timestamp::from_secs(6_000), target: "shop", ..EdgeRow::default() };
        table.push(EdgeRow { latency: Some(20.0), ..row });
        table.push(row);
        table.push(EdgeRow { at: Timestamp::from_secs(60_000), latency: Some(20.0), ..row });
        let edges = table.finish();
        let cell = &edges.series[0].cells[0];
        assert_eq!((Metric::Failures.of(cell), Metric::Latency.of(cell)), (None, Some(20.0f64.ln())));
        assert_eq!(edges.left_out(), LeftOut { outside: 1, beyond_bounds: 0, empty: 1 });
    }

    #[test]
    fn shares_may_be_percentages_and_rows_of_one_minute_weigh_by_their_calls() {
        let mut table = EdgeTable::new(Timestamp::from_secs(6_000));
        let row = EdgeRow { at: Timestamp::from_secs(6_000), target: "shop", ..EdgeRow::default() };
        table.push(EdgeRow { ok_rate: Some(100.0), requests: Some(90.0), ..row });
        table.push(EdgeRow { ok_rate: Some(50.0), requests: Some(10.0), ..row });
        let edges = table.finish();
        let cell = &edges.series[0].cells[0];
        assert!((cell.ok - 0.95).abs() < 1e-9 && cell.requests == 100.0, "{cell:?}");
    }
}
