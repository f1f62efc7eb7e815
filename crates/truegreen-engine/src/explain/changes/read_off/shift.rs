//! Whether there is more or less of something than before, counted in stretches of the same length.

use super::super::step::step;

/// A shift is told from half as much again, or a third less, on: traffic wanders anyway.
const LEAST_FACTOR: f64 = 1.5;
/// The least that the root of a count wanders by.
const FINEST: f64 = 0.5;

/// What it shifted to.
pub(super) struct Shift {
    /// `more` or `fewer`.
    pub(super) word: &'static str,
    /// The first stretch of the new level.
    pub(super) at: usize,
    /// In a stretch, as usual.
    pub(super) before: f64,
    pub(super) after: f64,
    /// Probability of it by chance.
    pub(super) p: f64,
}

/// Nothing that chance brings with more than this probability. The root of a count wanders alike at any level.
pub(super) fn shift(counts: &[u64], wrong: f64) -> Option<Shift> {
    let found = [(1.0, "more"), (-1.0, "fewer")].into_iter().filter_map(|(sign, word)| {
        let root = |(at, count): (usize, &u64)| (at as i64, sign * (*count as f64).sqrt());
        let points: Vec<(i64, f64)> = counts.iter().enumerate().map(root).collect();
        Some((step(&points, 0..=points.len() as i64, FINEST)?, word))
    });
    let (found, word) = found.filter(|(step, _)| step.p <= wrong).min_by(|(a, _), (b, _)| a.p.total_cmp(&b.p))?;
    let (before, after) = (found.before * found.before, found.after * found.after);
    let at = usize::try_from(found.at).unwrap_or_default();
    let is_enough = before.max(after) >= LEAST_FACTOR * before.min(after);
    is_enough.then_some(Shift { word, at, before, after, p: found.p })
}
