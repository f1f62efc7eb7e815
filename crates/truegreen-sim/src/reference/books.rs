//! The equation, counted from nothing each time.

use std::collections::BTreeMap;

use truegreen_model::time::Minute;

use super::ruling::{Judged, Ruling};

/// Journeys of one flow and minute by verdict and reason, as in reports; `unaccounted` without its kind.
pub type Line = BTreeMap<(String, Option<String>), u64>;

/// Lines by flow and minute of entry.
pub type Books = BTreeMap<(String, Minute), Line>;

/// Every flow's books.
pub fn books(judged: &[Judged]) -> Books {
    let mut books = Books::new();
    for journey in judged {
        let (verdict, reason) = journey.ruling.in_report();
        let reason = reason.filter(|_| journey.ruling.loss().is_none());
        *books
            .entry((journey.flow.clone(), journey.entered_at.minute()))
            .or_default()
            .entry((verdict.to_owned(), reason))
            .or_default() += 1;
    }
    books
}

/// Whether some verdict of this flow and minute lies on a knife's edge.
pub fn on_edge(judged: &[Judged], flow: &str, minute: Minute) -> bool {
    judged
        .iter()
        .any(|journey| journey.flow == flow && journey.entered_at.minute() == minute && !journey.or_else.is_empty())
}

/// How many journeys stand so.
pub fn count(judged: &[Judged], is: impl Fn(&Ruling) -> bool) -> usize {
    judged.iter().filter(|journey| is(&journey.ruling)).count()
}
