//! More or fewer journeys than before, by the books: these count each of them, where a recording holds some.

use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::surroundings::Entered;
use truegreen_model::time::Timestamp;

use super::super::step::step;
use super::{FINEST, LEAST_FACTOR, WRONG, seen};

/// Minutes without which nothing can be said to have shifted.
const LEAST_MINUTES: usize = 15;

/// Whether so much is known of any flow that a shift would show.
pub fn is_counted(entered: &[Entered]) -> bool {
    entered.iter().any(|of| of.by_minute.len() >= LEAST_MINUTES)
}

/// Shifts of how many journeys enter.
pub fn traffic(entered: &[Entered]) -> Vec<Change> {
    let wrong = WRONG / (2.0 * entered.len().max(1) as f64);
    let known = entered.iter().filter(|of| of.by_minute.len() >= LEAST_MINUTES);
    known.filter_map(|of| shift(of, wrong)).collect()
}

/// The root of a count wanders alike at any level.
fn shift(of: &Entered, wrong: f64) -> Option<Change> {
    let first = Timestamp::from_secs(60 * of.first_minute);
    let found = [(1.0, "more"), (-1.0, "fewer")].into_iter().filter_map(|(sign, word)| {
        let root = |(at, count): (usize, &u64)| (at as i64, sign * (*count as f64).sqrt());
        let points: Vec<(i64, f64)> = of.by_minute.iter().enumerate().map(root).collect();
        Some((step(&points, 0..=points.len() as i64, FINEST)?, word))
    });
    let (found, word) = found.filter(|(step, _)| step.p <= wrong).min_by(|(a, _), (b, _)| a.p.total_cmp(&b.p))?;
    let (before, after) = (found.before * found.before, found.after * found.after);
    if before.max(after) < LEAST_FACTOR * before.min(after) {
        return None;
    }
    let title = format!("{word} journeys enter `{}`: {after:.0} a minute, {before:.0} before", of.flow);
    let at = first.0 + 60_000_000_000 * u64::try_from(found.at).unwrap_or_default();
    Some(seen(ChangeKind::Traffic, at, None, title, 1.0 - found.p))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(by_minute: impl Iterator<Item = u64>) -> Entered {
        Entered { flow: "orders".to_owned(), first_minute: 1_000_000, by_minute: by_minute.collect() }
    }

    #[test]
    fn twice_as_many_are_told_with_the_minute() {
        let of = entered((0..60).map(|n| if n < 40 { 100 + n % 7 } else { 200 + n % 9 }));
        let told = traffic(&[of]);
        assert_eq!(told.len(), 1);
        assert!(told[0].title.starts_with("more journeys enter `orders`: 20"), "{}", told[0].title);
        assert_eq!(told[0].at, Timestamp::from_secs(60 * 1_000_040));
        let of = entered((0..60).map(|n| if n < 40 { 100 + n % 7 } else { 30 + n % 3 }));
        assert!(traffic(&[of])[0].title.starts_with("fewer"));
    }

    #[test]
    fn what_wanders_a_little_or_is_known_for_a_few_minutes_only_has_not_shifted() {
        assert!(traffic(&[entered((0..60).map(|n| 100 + (n * 7) % 13 + n / 10))]).is_empty());
        let short = entered((0..10).map(|n| if n < 5 { 10 } else { 100 }));
        assert!(traffic(std::slice::from_ref(&short)).is_empty() && !is_counted(&[short]));
    }
}
