//! Columns as the search sees them: for each row that is looked at, in which bin its value lies.

use truegreen_model::contrast::Op;

use super::bits::Bits;
use super::fit::Sharp;
use super::likelihood::Counts;
use super::screen::Considered;
use super::table::{Column, Table};

/// Bins of one column, so that a bin is a `u16`: values that fail seldom share the last one beyond that.
const MAX_BINS: usize = 8_192;
/// Cuts through a numeric column that are tried; the best place between two of them is looked for afterwards.
const CUTS: usize = 32;
/// A numeric column with more values than this is looked at value by value only where one is frequent.
const FEW_NUMBERS: usize = 64;
/// Share of the rows from which on a value is frequent.
const FREQUENT: f64 = 0.005;
/// Share of the rows from which on "any value but this" is worth a look.
const COMMON: f64 = 0.1;
/// "Any value but this" is said only where it is better by this factor than a plain value would have to be.
const UNUSUAL: f64 = 3.0;

/// How one bin is asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Test {
    In,
    NotIn,
    UpTo,
    Above,
}

/// One condition, as the search sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Clause {
    pub(super) view: u32,
    pub(super) test: Test,
    pub(super) bin: u32,
}

#[derive(Debug)]
enum Labels {
    /// The code of each bin.
    Values(Vec<u32>),
    /// The highest number of each bin.
    Cuts(Vec<f64>),
}

/// One way to look at a column. Bin 0 is absence; where values are told apart, the last bin is all others.
#[derive(Debug)]
pub(super) struct View {
    pub(super) column: usize,
    labels: Labels,
    /// One bin for each row; empty where rows may have several.
    pub(super) bins: Vec<u16>,
    /// Several bins for each row: where they begin, and they.
    pub(super) several: Option<(Vec<u32>, Vec<u16>)>,
    /// How many bins there are, absence and others included.
    pub(super) count: usize,
    /// What is tried of it, as a logarithm.
    ln_values: f64,
    /// Bins of which the opposite is worth a look.
    pub(super) common: Vec<u32>,
    pub(super) has_others: bool,
    pub(super) tells_absence: bool,
    pub(super) tells_presence: bool,
}

impl View {
    pub(super) fn is_cuts(&self) -> bool {
        matches!(self.labels, Labels::Cuts(_))
    }

    /// Whether a bin is that of all values that are not told apart.
    pub(super) fn is_others(&self, bin: u32) -> bool {
        self.has_others && bin as usize == self.count - 1
    }

    /// Absence is told by this view, or by another one of the column.
    fn with_absence(self, tells: bool) -> View {
        View { tells_absence: self.tells_absence && tells, tells_presence: self.tells_presence && tells, ..self }
    }

    /// Last bin with a cut behind it.
    pub(super) fn last_cut(&self) -> usize {
        self.count.saturating_sub(2)
    }

    /// What a condition costs: the logarithm of how many there are to choose from.
    pub(super) fn price(&self, clause: Clause, columns: usize) -> f64 {
        let values = match clause.test {
            // Presence is one of few things that can be said of any column, however many values it has.
            Test::In | Test::NotIn if clause.bin == 0 => self.ln_values.min(4_f64.ln()),
            Test::NotIn => self.ln_values + UNUSUAL,
            Test::In | Test::UpTo | Test::Above => self.ln_values,
        };
        (columns as f64).ln() + values
    }

    /// Whether the row with this number satisfies the condition.
    #[inline]
    pub(super) fn holds(&self, clause: Clause, row: usize) -> bool {
        let bin = match &self.several {
            Some((starts, bins)) => {
                let own = &bins[starts[row] as usize..starts[row + 1] as usize];
                return own.iter().any(|bin| u32::from(*bin) == clause.bin) == (clause.test == Test::In);
            }
            None => u32::from(self.bins[row]),
        };
        match clause.test {
            Test::In => bin == clause.bin,
            Test::NotIn => bin != clause.bin,
            Test::UpTo => bin != 0 && bin <= clause.bin,
            Test::Above => bin > clause.bin,
        }
    }

    /// Each bin of each row.
    pub(super) fn each_bin(&self, mut tell: impl FnMut(u16, usize)) {
        match &self.several {
            None => self.bins.iter().enumerate().for_each(|(row, bin)| tell(*bin, row)),
            Some((starts, bins)) => {
                for (row, own) in starts.windows(2).enumerate() {
                    bins[own[0] as usize..own[1] as usize].iter().for_each(|bin| tell(*bin, row));
                }
            }
        }
    }

    /// The rows that satisfy the condition.
    pub(super) fn bits(&self, clause: Clause) -> Bits {
        match &self.several {
            Some((starts, _)) => Bits::of(starts.len() - 1, |row| self.holds(clause, row)),
            None => Bits::of(self.bins.len(), |row| self.holds(clause, row)),
        }
    }

    /// The same of a table's own values.
    pub(super) fn exact(&self, clause: Clause) -> Exact {
        let (op, value) = match (&self.labels, clause.test) {
            (_, Test::In) if clause.bin == 0 => (Op::Absent, Value::Code(0)),
            (_, Test::NotIn) if clause.bin == 0 => (Op::Present, Value::Code(0)),
            (Labels::Values(codes), test) => {
                let op = if test == Test::In { Op::Is } else { Op::IsNot };
                (op, Value::Code(codes[clause.bin as usize]))
            }
            (Labels::Cuts(cuts), test) => {
                let op = if test == Test::UpTo { Op::AtMost } else { Op::Above };
                (op, Value::Number(cuts[clause.bin as usize]))
            }
        };
        Exact { column: self.column, op, value }
    }
}

/// What a condition compares with.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Value {
    Code(u32),
    Number(f64),
}

/// A condition on a table's own values.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Exact {
    pub(super) column: usize,
    pub(super) op: Op,
    pub(super) value: Value,
}

impl Exact {
    /// Whether it is this cut, of this column.
    pub(super) fn is_cut_at(&self, (column, cut): &(usize, f64)) -> bool {
        self.column == *column && self.value == Value::Number(*cut)
    }

    /// For each code, absence first, whether a value with it makes the condition hold.
    pub(super) fn truth(&self, column: &Column, numbers: Option<&[f64]>) -> Vec<bool> {
        let is_true = |code: usize| match (self.op, self.value) {
            (Op::Absent, _) => code == 0,
            (Op::Present, _) => code != 0,
            (Op::Is, Value::Code(own)) => code == own as usize,
            (Op::IsNot, Value::Code(own)) => code != own as usize,
            (Op::AtMost, Value::Number(cut)) => code > 0 && numbers.is_some_and(|numbers| numbers[code - 1] <= cut),
            (Op::Above, Value::Number(cut)) => code > 0 && numbers.is_some_and(|numbers| numbers[code - 1] > cut),
            _ => false,
        };
        (0..=column.values.len()).map(is_true).collect()
    }
}

/// The views of the columns, for these rows with these counts. Those that tell values apart come first.
pub(super) fn views(
    table: &Table,
    considered: &[Considered],
    rows: &[u32],
    counts: &[Counts],
    sharp: &Sharp,
) -> Vec<View> {
    let mut views = Vec::new();
    let mut cut_views = Vec::new();
    for one in considered {
        let column = &table.columns[one.column];
        let values = values(one, column, rows, counts);
        let told = values.is_some();
        views.extend(values);
        if let Some(numbers) = one.numbers.as_ref().filter(|_| column.more.is_empty()) {
            cut_views
                .extend(cuts(one.column, column, numbers, rows, counts, sharp).map(|view| view.with_absence(!told)));
        }
    }
    views.extend(cut_views);
    views
}

fn values(one: &Considered, column: &Column, rows: &[u32], counts: &[Counts]) -> Option<View> {
    let distinct = column.values.len();
    let mut tallies = vec![Counts::default(); distinct + 1];
    let codes: Vec<u32> = rows.iter().map(|row| column.first(*row as usize)).collect();
    for (code, count) in codes.iter().zip(counts) {
        tallies[*code as usize] = tallies[*code as usize].plus(*count);
    }
    let more = more_of(column, rows);
    for (row, code) in &more {
        tallies[*code as usize] = tallies[*code as usize].plus(counts[*row as usize]);
    }
    let whole: f64 = counts.iter().map(|count| count.size).sum();
    let is_long = one.numbers.is_some() && distinct > FEW_NUMBERS;
    let mut kept: Vec<u32> = (1..=distinct as u32)
        .filter(|code| !one.only_presence && tallies[*code as usize].bad > 0.0)
        .filter(|code| !is_long || tallies[*code as usize].size >= FREQUENT * whole)
        .collect();
    let has_absent = tallies[0].size > 0.0;
    if kept.is_empty() && !has_absent || is_long && kept.is_empty() {
        return None;
    }
    kept.sort_by(|a, b| tallies[*b as usize].bad.total_cmp(&tallies[*a as usize].bad).then(a.cmp(b)));
    let tried = if is_long { kept.len() } else { distinct };
    kept.truncate(MAX_BINS);
    kept.sort_unstable();
    let others = kept.len() as u32 + 1;
    let mut bin_of = vec![others as u16; distinct + 1];
    bin_of[0] = 0;
    for (at, code) in kept.iter().enumerate() {
        bin_of[*code as usize] = at as u16 + 1;
    }
    let is_common = |bin: &u32| tallies[kept[*bin as usize - 1] as usize].size >= COMMON * whole;
    let is_split = distinct + usize::from(has_absent) > 2 && !is_long && more.is_empty();
    let common = if is_split { (1..others).filter(is_common).collect() } else { Vec::new() };
    let bins: Vec<u16> = codes.iter().map(|code| bin_of[*code as usize]).collect();
    let (bins, several) = match more.is_empty() {
        true => (bins, None),
        false => (Vec::new(), Some(joined(&bins, &more, &bin_of))),
    };
    let labels = Labels::Values(std::iter::once(0).chain(kept.iter().copied()).collect());
    Some(View {
        column: one.column,
        labels,
        bins,
        several,
        count: others as usize + 1,
        ln_values: ((tried + usize::from(has_absent)).max(2) as f64).ln(),
        common,
        has_others: true,
        tells_absence: has_absent,
        tells_presence: has_absent && distinct > 1,
    })
}

/// Further values of the rows that are looked at: the place among them, and the code.
fn more_of(column: &Column, rows: &[u32]) -> Vec<(u32, u32)> {
    let mut more = Vec::new();
    let mut at = 0;
    for (row, code) in &column.more {
        while at < rows.len() && rows[at] < *row {
            at += 1;
        }
        if rows.get(at) == Some(row) {
            more.push((at as u32, *code));
        }
    }
    more
}

fn joined(first: &[u16], more: &[(u32, u32)], bin_of: &[u16]) -> (Vec<u32>, Vec<u16>) {
    let mut starts = Vec::with_capacity(first.len() + 1);
    let mut bins = Vec::with_capacity(first.len() + more.len());
    let mut rest = more;
    for (row, bin) in first.iter().enumerate() {
        let start = bins.len();
        starts.push(start as u32);
        bins.push(*bin);
        while let [(at, code), behind @ ..] = rest {
            if *at as usize != row {
                break;
            }
            let bin = bin_of[*code as usize];
            // Two rare values share a bin: the row is in it once.
            if !bins[start..].contains(&bin) {
                bins.push(bin);
            }
            rest = behind;
        }
    }
    starts.push(bins.len() as u32);
    (starts, bins)
}

fn cuts(
    place: usize,
    column: &Column,
    numbers: &[f64],
    rows: &[u32],
    counts: &[Counts],
    sharp: &Sharp,
) -> Option<View> {
    let number = |row: u32| (column.first(row as usize) as usize).checked_sub(1).map(|at| numbers[at]);
    let mut all: Vec<f64> = rows.iter().filter_map(|row| number(*row)).collect();
    let has_absent = all.len() < rows.len();
    all.sort_by(f64::total_cmp);
    let mut distinct = all.clone();
    distinct.dedup();
    if distinct.len() < 3 {
        return None;
    }
    let highest: Vec<f64> = if distinct.len() <= CUTS {
        distinct
    } else {
        // Where the failing ones are many, and where all are.
        let failing = rows.iter().zip(counts).filter(|(_, count)| count.bad > 0.0);
        let mut failing: Vec<f64> = failing.filter_map(|(row, _)| number(*row)).collect();
        failing.sort_by(f64::total_cmp);
        let at = |sorted: &[f64], n: usize| sorted[(n * sorted.len() / (CUTS / 2)).min(sorted.len() - 1)];
        let mut cuts: Vec<f64> = (1..CUTS / 2).map(|n| at(&all, n)).collect();
        if !failing.is_empty() {
            // The value below the lowest failing one, so that a cut right before them is among the cuts.
            let below = |value: f64| all.partition_point(|other| *other < value).checked_sub(1).map(|at| all[at]);
            cuts.extend((0..CUTS / 2).map(|n| at(&failing, n)));
            cuts.extend(below(failing[0]));
            cuts.push(failing[failing.len() - 1]);
        }
        cuts.extend(sharp.of(place));
        cuts.push(all[all.len() - 1]);
        cuts.sort_by(f64::total_cmp);
        cuts.dedup();
        cuts
    };
    let bin = |number: f64| highest.partition_point(|cut| *cut < number) as u16 + 1;
    let bins = rows.iter().map(|row| number(*row).map_or(0, bin)).collect();
    Some(View {
        column: place,
        count: highest.len() + 1,
        // Either side of each cut.
        ln_values: (2.0 * highest.len() as f64).ln(),
        labels: Labels::Cuts(std::iter::once(f64::NEG_INFINITY).chain(highest).collect()),
        bins,
        several: None,
        common: Vec::new(),
        has_others: false,
        tells_absence: has_absent,
        tells_presence: has_absent,
    })
}
