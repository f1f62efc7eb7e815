//! When a series became worse, and whether it did at all.

use std::ops::RangeInclusive;

use super::statistics::{best_of, median, quantile, upper_tail};

/// A series rose to a higher level and was still there when the incident was noticed. It is told also where it is mere chance;
/// `p` says so.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Step {
    /// The first minute of the higher level, most probably.
    pub(super) at: i64,
    /// Not before, with 95 %.
    pub(super) earliest: i64,
    /// Not after, with 95 %.
    pub(super) latest: i64,
    /// The usual value before.
    pub(super) before: f64,
    /// The usual value since.
    pub(super) after: f64,
    /// By how many standard errors it rose.
    pub(super) z: f64,
    /// Probability of such a rise by chance alone, wherever in the time that was searched.
    pub(super) p: f64,
    /// The standard error of the rise.
    pub(super) error: f64,
}

impl Step {
    pub(super) fn rise(&self) -> f64 {
        self.after - self.before
    }
}

/// Fewer minutes than these before tell no level.
const LEAST_BEFORE: usize = 8;
/// Fewer than these after are an outlier or two.
const LEAST_AFTER: usize = 3;
/// Minutes before that are compared with: the last ones, since what was usual hours ago may be no longer.
const MOST_BEFORE: usize = 120;
/// Beyond this many standard deviations a minute says no more: a minute may be wild without meaning anything.
const WILD: f64 = 6.0;
/// Half of chi-square's 3.84: a log-likelihood no further from the best is within its 95 %.
const WITHIN: f64 = 3.84;
/// Stretches of the own past that tell how far it wanders by itself.
const LEAST_PLACEBOS: usize = 10;

/// The best place within `searched` that parts these points (of ascending minutes) into a lower and a higher level; nothing
/// where there is too little on either side. `finest` is the least noise.
pub(super) fn step(points: &[(i64, f64)], searched: RangeInclusive<i64>, finest: f64) -> Option<Step> {
    parted(points, searched, finest, false)
}

/// The same for differences between two that may both have become worse: what fails more often wanders more as well, and so
/// does the difference, without any of the two being worse than the other.
pub(super) fn step_apart(points: &[(i64, f64)], searched: RangeInclusive<i64>, finest: f64) -> Option<Step> {
    parted(points, searched, finest, true)
}

fn parted(points: &[(i64, f64)], searched: RangeInclusive<i64>, finest: f64, is_apart: bool) -> Option<Step> {
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    let first = points.partition_point(|(minute, _)| minute < searched.start()).max(LEAST_BEFORE);
    let last = points.partition_point(|(minute, _)| minute <= searched.end());
    let last = last.min((values.len() + 1).checked_sub(LEAST_AFTER)?);
    if first >= last {
        return None;
    }
    let rough = Scan::new(&values, differing(&values).max(finest));
    let at = rough.best(first..last)?;
    // With the place known, the level before tells how far it wanders: further than from minute to minute, mostly.
    let noise = wandering(&values[at.saturating_sub(MOST_BEFORE)..at]).max(rough.noise);
    let scan = Scan::new(&values, noise);
    let at = scan.best(first..last)?;
    let best = scan.z(at, values.len());
    let is_within = |place: usize| {
        let z = scan.z(place, values.len());
        z > 0.0 && z * z >= best * best - WITHIN
    };
    let earliest = (first..=at).rev().take_while(|place| is_within(*place)).last().unwrap_or(at);
    let latest = (at..last).take_while(|place| is_within(*place)).last().unwrap_or(at);
    let from = at.saturating_sub(MOST_BEFORE);
    let (noise_after, unequal) = unequal(&values, at, noise);
    let unequal = if is_apart { unequal } else { f64::INFINITY };
    let mut z = scan.cautious(at).min(unequal) / scan.inflation(at, values.len() - at);
    if z > 2.0 {
        z = z.min(without_trend(points, at, noise)).min(without_yesterday(points, at, noise));
    }
    let (before, after) = (values.len().min(at) - from, values.len() - at);
    let tests = 1.0 + 2.0 * ((last - first) as f64).ln();
    Some(Step {
        at: points[at].0,
        earliest: points[earliest].0,
        latest: points[latest].0,
        before: median(&mut values[from..at].to_vec())?,
        after: median(&mut values[at..].to_vec())?,
        z,
        // Neighbouring places share nearly all of their minutes, so that the best of n behaves like that of about 2 ln n.
        p: best_of(upper_tail(z), tests),
        error: (noise * noise / before as f64 + noise_after * noise_after / after as f64).sqrt() * 1.253_3,
    })
}

/// Standardised, clipped and summed up.
struct Scan {
    noise: f64,
    /// In units of the noise, around the median.
    units: Vec<f64>,
    sums: Vec<f64>,
}

impl Scan {
    fn new(values: &[f64], noise: f64) -> Scan {
        let centre = median(&mut values.to_vec()).unwrap_or_default();
        let units: Vec<f64> = values.iter().map(|value| ((value - centre) / noise).clamp(-WILD, WILD)).collect();
        let mut sums = vec![0.0];
        units.iter().for_each(|unit| sums.push(sums[sums.len() - 1] + unit));
        Scan { noise, units, sums }
    }

    fn mean(&self, from: usize, to: usize) -> f64 {
        (self.sums[to] - self.sums[from]) / (to - from) as f64
    }

    /// How far the minutes from `at` to `end` are above those before.
    fn z(&self, at: usize, end: usize) -> f64 {
        let from = at.saturating_sub(MOST_BEFORE);
        let (before, after) = ((at - from) as f64, (end - at) as f64);
        (self.mean(at, end) - self.mean(from, at)) / (1.0 / before + 1.0 / after).sqrt()
    }

    fn best(&self, places: std::ops::Range<usize>) -> Option<usize> {
        let end = self.units.len();
        // Of equals the latest: it leaves fewer minutes to explain.
        places.max_by(|a, b| self.z(*a, end).total_cmp(&self.z(*b, end)))
    }

    /// The same without the worst minutes: one, and a tenth of them. What stands only on those is no new level.
    fn cautious(&self, at: usize) -> f64 {
        let from = at.saturating_sub(MOST_BEFORE);
        let mut after = self.units[at..].to_vec();
        after.sort_unstable_by(f64::total_cmp);
        after.truncate(after.len() - 1 - after.len() / 10);
        let mean = after.iter().sum::<f64>() / after.len() as f64;
        let error = (1.0 / (at - from) as f64 + 1.0 / after.len() as f64).sqrt();
        ((mean - self.mean(from, at)) / error).min(self.z(at, self.units.len()))
    }

    /// How much more than by independent minutes the own past wanders over stretches of that length: what a series does by
    /// itself every hour, or every day, is no degradation.
    fn inflation(&self, at: usize, length: usize) -> f64 {
        let stride = (length / 2).max(1);
        let ends = (LEAST_BEFORE + length..=at).step_by(stride);
        let mut placebos: Vec<f64> = ends.map(|end| self.z(end - length, end).abs()).collect();
        if placebos.len() < LEAST_PLACEBOS {
            return 1.0;
        }
        // The median and the 90 % quantile of a standard normal's absolute value.
        let middle = quantile(&mut placebos, 0.5).unwrap_or_default() / 0.674_5;
        let upper = quantile(&mut placebos, 0.9).unwrap_or_default() / 1.644_9;
        middle.max(upper).max(1.0)
    }
}

/// The noise since then, and how far it rose in errors of both sides (Welch): what fails more often wanders more as well.
fn unequal(values: &[f64], at: usize, noise: f64) -> (f64, f64) {
    let before = &values[at.saturating_sub(MOST_BEFORE)..at];
    let mut after = values[at..].to_vec();
    let noise_after = wandering(&after).max(noise);
    after.sort_unstable_by(f64::total_cmp);
    after.truncate(after.len() - after.len() / 10);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let error = (noise * noise / before.len() as f64 + noise_after * noise_after / after.len() as f64).sqrt();
    let level = median(&mut before.to_vec()).unwrap_or_default();
    (noise_after, (mean(&after) - level) / error)
}

/// The noise from minute to minute, which no step and no slow drift touches.
fn differing(values: &[f64]) -> f64 {
    let mut steps: Vec<f64> = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    median(&mut steps).unwrap_or_default() / 0.953_9
}

/// The noise around a level: by the median of deviations, or by their root mean square where most minutes are alike and some
/// are not. The worst two percent count as the best of them: a minute may be wild.
fn wandering(values: &[f64]) -> f64 {
    let Some(centre) = median(&mut values.to_vec()) else { return 0.0 };
    let mut away: Vec<f64> = values.iter().map(|value| (value - centre).abs()).collect();
    let worst = quantile(&mut away, 0.98).unwrap_or_default();
    let squares = away.iter().map(|one| one.min(worst).powi(2)).sum::<f64>() / away.len() as f64;
    (median(&mut away).unwrap_or_default() * 1.482_6).max(squares.sqrt())
}

/// How far the new level is above where the trend of the minutes before would have led by then. Only a trend that is one
/// counts (Mann and Kendall, one in a thousand); its slope is the median of all slopes (Theil and Sen).
fn without_trend(points: &[(i64, f64)], at: usize, noise: f64) -> f64 {
    let before = &points[at.saturating_sub(MOST_BEFORE)..at];
    let n = before.len() as f64;
    let mut slopes = Vec::with_capacity(before.len() * before.len() / 2);
    let mut balance = 0.0;
    for (place, (later, high)) in before.iter().enumerate() {
        for (earlier, low) in &before[..place] {
            slopes.push((high - low) / (later - earlier).max(1) as f64);
            balance += if high > low {
                1.0
            } else if high < low {
                -1.0
            } else {
                0.0
            };
        }
    }
    let spread = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    if balance / spread < 3.09 {
        return f64::INFINITY;
    }
    let slope = median(&mut slopes).unwrap_or_default();
    let level = |points: &[(i64, f64)]| {
        median(&mut points.iter().map(|(minute, value)| value - slope * *minute as f64).collect::<Vec<_>>())
    };
    let rise = level(&points[at..]).unwrap_or_default() - level(before).unwrap_or_default();
    let after = (points.len() - at) as f64;
    // Where a line leads is less certain the further it leads.
    let reach = 1.0 + 3.0 * (after / n) * (after / n);
    rise / (noise * (1.0 / n * reach + 1.0 / after).sqrt() * 1.253_3)
}

/// How far it rose more than at the same time of the day before. Where a whole day of past is not there, nothing is said.
fn without_yesterday(points: &[(i64, f64)], at: usize, noise: f64) -> f64 {
    const DAY: i64 = 24 * 60;
    let (from, to) = (points[at].0 - DAY, points[points.len() - 1].0 - DAY);
    let level = |from: i64, to: i64| {
        let within = points.iter().filter(|(minute, _)| (from..=to).contains(minute));
        let mut values: Vec<f64> = within.map(|(_, value)| *value).collect();
        (values.len() >= LEAST_BEFORE).then(|| median(&mut values)).flatten()
    };
    // A quarter of an hour more on both sides: nothing happens by the minute every day.
    let told = (
        level(from, to + 15),
        level(from - 75, from - 15),
        level(from + DAY, to + DAY),
        level(from + DAY - 60, from + DAY - 1),
    );
    let (Some(since_then), Some(before_then), Some(since), Some(before)) = told else { return f64::INFINITY };
    let rise = (since - before) - (since_then - before_then);
    rise / (noise * 1.253_3 * (2.0 / 60.0 + 2.0 / (points.len() - at) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise that is the same every time.
    fn noise(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move || {
            let mut sum = 0.0;
            for _ in 0..12 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                sum += (state >> 11) as f64 / (1u64 << 53) as f64;
            }
            sum - 6.0
        }
    }

    fn series(seed: u64, length: i64, level: impl Fn(i64) -> f64) -> Vec<(i64, f64)> {
        let mut noise = noise(seed);
        (0..length).map(|minute| (minute, level(minute) + noise())).collect()
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        for seed in 1..50 {
            let points = series(seed, 125, |minute| if minute >= 112 { 4.0 } else { 0.0 });
            let found = step(&points, 20..=121, 0.001).unwrap();
            assert!((111..=113).contains(&found.at), "{found:?}");
            assert!(found.earliest <= 112 && found.latest >= 111, "{found:?}");
            assert!(found.p < 1e-6, "{found:?}");
        }
    }

    #[test]
    fn noise_alone_is_rarely_called_a_step() {
        let ps: Vec<f64> = (1..=400).map(|seed| step(&series(seed, 125, |_| 0.0), 5..=121, 0.001).unwrap().p).collect();
        let wrong = ps.iter().filter(|p| **p < 0.01).count();
        assert!(wrong <= 8, "{wrong} of 400 at one in a hundred");
    }

    #[test]
    fn one_wild_minute_a_trend_and_a_daily_rise_are_no_steps() {
        let wild = series(3, 125, |minute| if minute == 120 { 500.0 } else { 0.0 });
        assert!(step(&wild, 20..=121, 0.001).unwrap().p > 0.01);
        let trend = series(4, 125, |minute| minute as f64 * 0.1);
        assert!(step(&trend, 20..=121, 0.001).unwrap().p > 0.001);
        let daily = series(5, 26 * 60, |minute| if (minute + 10) % 1440 < 115 { 5.0 } else { 0.0 });
        assert!(step(&daily, 1400..=1556, 0.001).is_none_or(|step| step.p > 0.001));
    }

    #[test]
    fn gaps_are_no_levels_and_too_little_is_nothing() {
        let mut points = series(6, 125, |minute| if minute >= 110 { 5.0 } else { 0.0 });
        points.retain(|(minute, _)| minute % 3 != 0);
        assert!(step(&points, 20..=121, 0.001).unwrap().p < 1e-4);
        assert_eq!(step(&points[..6], 0..=121, 0.001), None);
        assert_eq!(step(&[], 0..=121, 0.001), None);
    }
}
