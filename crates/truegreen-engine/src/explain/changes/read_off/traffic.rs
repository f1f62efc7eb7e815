//! More or fewer journeys than before, by the books: these count each of them, where a recording holds some.

use truegreen_model::change::{Change, ChangeKind};
use truegreen_model::surroundings::Entered;
use truegreen_model::time::Timestamp;

use super::shift::{Shift, shift};
use super::{WRONG, seen};

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
    known.filter_map(|of| shifted(of, wrong)).collect()
}

fn shifted(of: &Entered, wrong: f64) -> Option<Change> {
    let Shift { word, at, before, after, p } = shift(&of.by_minute, wrong)?;
    let title = format!("{word} journeys enter `{}`: {after:.0} a minute, {before:.0} before", of.flow);
    let at = Timestamp::from_secs(60 * (of.first_minute + at as u64));
    Some(seen(ChangeKind::Traffic, at.0, None, title, 1.0 - p))
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
