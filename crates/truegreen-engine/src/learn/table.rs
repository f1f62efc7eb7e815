//! Plain event logs: rows with a case, an activity and a time, their other columns being attributes.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use truegreen_model::time::Timestamp;

use super::case::{Case, Cases, Event, MAX_CASE_EVENTS, MAX_EVENTS, MAX_TRAITS, Trait};
use super::vocabulary::{Activity, Vocabulary};

/// Rows put together to cases, in any order.
#[derive(Debug, Default)]
pub struct Table {
    cases: Cases,
    by_key: HashMap<Box<str>, u32, FixedState>,
    rows: usize,
}

impl Table {
    /// Begins with names that are known already.
    pub fn new(vocabulary: Vocabulary) -> Table {
        Table { cases: Cases { vocabulary, plain: true, ..Cases::default() }, ..Table::default() }
    }

    /// One more row. Rows of the same case and time keep their order.
    pub fn add<'a>(
        &mut self,
        case: &str,
        activity: &str,
        at: Timestamp,
        attributes: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        self.rows += 1;
        if self.rows > MAX_EVENTS {
            self.cases.left_out.events += 1;
            return;
        }
        let cases = &mut self.cases;
        let activity = cases.vocabulary.activity(Activity::Plain { name: Vocabulary::cut(activity) });
        let index = match self.by_key.get(case) {
            Some(index) => *index,
            None => {
                let index = cases.cases.len() as u32;
                self.by_key.insert(case.into(), index);
                cases.cases.push(Case { key: case.into(), ..Case::default() });
                index
            }
        };
        let Some(case) = cases.cases.get_mut(index as usize) else { return };
        case.events.push(Event { at, end: at, activity, failed: false });
        cases.until = cases.until.max(at);
        // What tells cases apart is known at their first row.
        if case.events.len() > 1 {
            return;
        }
        for (name, value) in attributes.take(MAX_TRAITS) {
            if let Some((attribute, value)) = cases.vocabulary.attribute(name, value) {
                case.traits.push(Trait { activity, attribute, value });
            }
        }
    }

    /// All cases by the time they began.
    pub fn finish(self) -> Cases {
        let mut cases = self.cases;
        let before = cases.cases.len();
        cases.cases.retain(|case| case.events.len() <= MAX_CASE_EVENTS);
        cases.left_out.long_cases = (before - cases.cases.len()) as u64;
        for case in &mut cases.cases {
            // Stable: rows of the same time keep the order of the file.
            case.events.sort_by_key(|event| event.at);
        }
        cases.cases.sort_by_key(Case::entered_at);
        cases
    }
}
