//! How much attempts of one row resemble each other beyond their rate: rows that stand for thousands of attempts differ by
//! more than chance lets them, and count for less than their attempts.

use super::likelihood::Counts;

/// Rows of a group below which its spread is not known.
const LEAST_ROWS: usize = 8;

/// What one row counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) bad: f64,
    pub(super) attempts: f64,
    /// How many times its variance by chance is that of others of the same rate, 1 at least.
    pub(super) noise: f64,
}

impl Row {
    /// What it counts for.
    pub(super) fn effective(self, correlation: f64) -> Counts {
        let inflation = (1.0 + (self.attempts - 1.0).max(0.0) * correlation) * self.noise;
        Counts::new(self.bad / inflation, self.attempts / inflation)
    }
}

/// The intraclass correlation of attempts within rows, by the method of moments of a beta-binomial: Pearson's statistic of
/// all rows against the rate of their group, less what chance gives, for each attempt beyond the first.
fn correlation(rows: &[Row], group: &[Option<usize>]) -> f64 {
    let groups = group.iter().flatten().max().map_or(1, |most| most + 2);
    let place = |of: &Option<usize>| of.map_or(0, |of| of + 1);
    let mut sums = vec![(Counts::default(), 0_usize); groups];
    for (row, of) in rows.iter().zip(group) {
        let sum = &mut sums[place(of)];
        *sum = (sum.0.plus(Counts::new(row.bad, row.attempts)), sum.1 + usize::from(row.attempts > 0.0));
    }
    let (mut excess, mut further) = (0.0, 0.0);
    for (row, of) in rows.iter().zip(group) {
        let (all, count) = sums[place(of)];
        let mean = row.attempts * all.bad / all.size.max(f64::MIN_POSITIVE);
        let variance = row.noise * mean * (1.0 - mean / row.attempts.max(1.0));
        if count < LEAST_ROWS || row.attempts <= 0.0 || variance <= 0.0 {
            continue;
        }
        excess += (row.bad - mean).powi(2) / variance - (1.0 - row.attempts / all.size);
        further += row.attempts - 1.0;
    }
    if further > 0.0 { (excess / further).clamp(0.0, 1.0) } else { 0.0 }
}

/// By what rows differ by themselves, in the background and where something is wrong: at a rate of a half there is more room
/// than at one of a thousandth.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread {
    background: f64,
    inside: f64,
}

/// Share of the rows, those of the highest rates, that may be of something wrong: the others tell by what rows differ.
const SUSPECT: f64 = 0.1;
/// The median of the square of what is normal, as a share of its mean.
const OF_SQUARES: f64 = 0.455;

impl Spread {
    /// Before anything is explained: from what most rows differ by, so that neither large rows are taken for proof, nor what is
    /// wrong for what is usual.
    pub(super) fn at_first(rows: &[Row]) -> Spread {
        let mut known: Vec<&Row> = rows.iter().filter(|row| row.attempts > 1.0).collect();
        if known.len() < LEAST_ROWS {
            return Spread::default();
        }
        known.sort_by(|a, b| (a.bad / a.attempts).total_cmp(&(b.bad / b.attempts)));
        known.truncate(((1.0 - SUSPECT) * known.len() as f64).ceil() as usize);
        let (bad, attempts) = known.iter().fold((0.0, 0.0), |sum, row| (sum.0 + row.bad, sum.1 + row.attempts));
        let rate = bad / attempts;
        let mut excess: Vec<f64> = known
            .iter()
            .filter_map(|row| {
                let variance = row.noise * row.attempts * rate * (1.0 - rate);
                let beyond = (row.bad - row.attempts * rate).powi(2) / variance / OF_SQUARES - 1.0;
                (variance > 0.0).then_some(beyond / (row.attempts - 1.0))
            })
            .collect();
        excess.sort_by(f64::total_cmp);
        let middle = excess.get(excess.len() / 2).copied().unwrap_or(0.0).clamp(0.0, 1.0);
        Spread { background: middle, inside: middle }
    }

    /// For rows with their place in a set.
    pub(super) fn new(rows: &[Row], places: &[Option<usize>]) -> Spread {
        let of = |is_inside: bool| {
            let own = rows.iter().zip(places).filter(|(_, place)| place.is_some() == is_inside);
            let (rows, places): (Vec<Row>, Vec<Option<usize>>) = own.unzip();
            correlation(&rows, &places)
        };
        Spread { background: of(false), inside: of(true) }
    }

    /// The correlation of a row's attempts.
    pub(super) fn of(self, place: Option<usize>) -> f64 {
        if place.is_some() { self.inside } else { self.background }
    }

    /// Within a tenth: another pass would choose the same.
    pub(super) fn is_near(self, other: Spread) -> bool {
        let is_near = |one: f64, other: f64| (one - other).abs() <= 0.1 * one.max(other);
        is_near(self.background, other.background) && is_near(self.inside, other.inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_by_chance_alone_have_none_and_rows_of_one_mind_have_all() {
        let row = |bad: f64| Row { bad, attempts: 100.0, noise: 1.0 };
        // Rates of 0.45 and 0.55, one standard error apart from a half.
        let by_chance: Vec<Row> = (0..100).map(|n| row(if n % 2 == 0 { 45.0 } else { 55.0 })).collect();
        assert!(correlation(&by_chance, &vec![None; 100]) < 1e-3);
        let of_one_mind: Vec<Row> = (0..100).map(|n| row(if n % 2 == 0 { 0.0 } else { 100.0 })).collect();
        assert!(correlation(&of_one_mind, &vec![None; 100]) > 0.99);
    }
}
