//! A second opinion where rows stand for many attempts: the logarithms of their odds, held against by what those of the
//! background scatter. Rates of combinations have long tails, which are short on this scale: so a handful of combinations
//! that happen to be at the far end of the tail are not taken for a cause.

use statrs::function::erf::erfc;

use super::dispersion::Row;

/// The background on this scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scatter {
    rate: f64,
    /// Middle of the logarithms of the odds, and how well it is known.
    middle: f64,
    variance: f64,
    /// By what combinations differ beyond chance, squared (DerSimonian and Laird).
    between: f64,
}

impl Scatter {
    /// Of the background's rows; nothing of too few.
    pub(super) fn new(rows: &[Row]) -> Option<Scatter> {
        const LEAST_ROWS: usize = 8;
        let (bad, attempts) = rows.iter().fold((0.0, 0.0), |sum, row| (sum.0 + row.bad, sum.1 + row.attempts));
        if rows.len() < LEAST_ROWS || bad <= 0.0 || bad >= attempts {
            return None;
        }
        let mut scatter = Scatter { rate: bad / attempts, middle: 0.0, variance: 0.0, between: 0.0 };
        let (middle, weight) = scatter.middle(rows)?;
        let (mut deviance, mut squares) = (0.0, 0.0);
        for row in rows {
            let own = scatter.weight(row);
            deviance += own * (log_odds(row) - middle).powi(2);
            squares += own * own;
        }
        let beyond = deviance - (rows.len() as f64 - 1.0);
        scatter.between = (beyond / (weight - squares / weight)).max(0.0);
        let (middle, weight) = scatter.middle(rows)?;
        (scatter.middle, scatter.variance) = (middle, 1.0 / weight);
        if let Some((middle, between)) = scatter.upper_tail(rows) {
            (scatter.middle, scatter.between) = (middle, between);
        }
        Some(scatter)
    }

    /// Middle and scatter by how far the higher ones lie apart: rows that hardly ever fail lie far below on this scale, and say
    /// nothing of how far above the middle others may lie. Of the half of the rows that is known better.
    fn upper_tail(&self, rows: &[Row]) -> Option<(f64, f64)> {
        const ENOUGH: usize = 40;
        // Two quantiles, and where those of a standard normal lie.
        const UPPER: (f64, f64) = (0.75, 0.674_5);
        const HIGHEST: (f64, f64) = (0.97, 1.880_8);
        let mut known: Vec<(f64, f64)> = rows.iter().map(|row| (self.by_chance(row), log_odds(row))).collect();
        known.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        known.truncate(known.len().div_ceil(2));
        if known.len() < ENOUGH {
            return None;
        }
        let by_chance = known[known.len() / 2].0;
        known.sort_by(|a, b| a.1.total_cmp(&b.1));
        let at = |quantile: f64| known[(quantile * (known.len() - 1) as f64) as usize].1;
        let deviation = (at(HIGHEST.0) - at(UPPER.0)) / (HIGHEST.1 - UPPER.1);
        Some((at(UPPER.0) - UPPER.1 * deviation, (deviation * deviation - by_chance).max(0.0)))
    }

    /// The logarithm of the chance that rows of the background lie so high, or higher.
    pub(super) fn ln_chance(&self, rows: &[Row]) -> f64 {
        let Some((middle, weight)) = self.middle(rows) else { return 0.0 };
        let deviations = (middle - self.middle) / (1.0 / weight + self.variance).sqrt();
        if deviations > 8.0 {
            // Beyond, the tail is its first term.
            return -deviations * deviations / 2.0 - (deviations * std::f64::consts::TAU.sqrt()).ln();
        }
        (0.5 * erfc(deviations / std::f64::consts::SQRT_2)).ln()
    }

    fn middle(&self, rows: &[Row]) -> Option<(f64, f64)> {
        let sum = rows.iter().fold((0.0, 0.0), |sum, row| {
            let weight = self.weight(row);
            (sum.0 + weight * log_odds(row), sum.1 + weight)
        });
        (sum.1 > 0.0).then(|| (sum.0 / sum.1, sum.1))
    }

    /// How well a row's odds are known, were it of the background.
    fn weight(&self, row: &Row) -> f64 {
        1.0 / (self.between + self.by_chance(row))
    }

    fn by_chance(&self, row: &Row) -> f64 {
        row.noise / (row.attempts * self.rate * (1.0 - self.rate)).max(f64::MIN_POSITIVE)
    }
}

fn log_odds(row: &Row) -> f64 {
    let bad = row.bad.clamp(0.0, row.attempts);
    ((bad + 0.5) / (row.attempts - bad + 0.5)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scatters_widely_proves_little() {
        let row = |bad: u32| Row { bad: f64::from(bad), attempts: 1000.0, noise: 1.0 };
        let wide: Vec<Row> = (0..60).map(|n| row([2, 5, 10, 20, 50][n % 5])).collect();
        let narrow: Vec<Row> = (0..60).map(|n| row([9, 10, 11][n % 3])).collect();
        let three = [row(60), row(55), row(70)];
        let (wide, narrow) = (Scatter::new(&wide).unwrap(), Scatter::new(&narrow).unwrap());
        assert!(wide.ln_chance(&three) > -10.0 && narrow.ln_chance(&three) < -50.0);
    }
}
