//! The accounts: the one place where changes of verdicts become books, findings and alarms. Journeys hand in pairs
//! of from and to; nothing else writes here.

mod books;
mod case;
pub(crate) mod finding;
mod health;
mod rate;
mod share;
pub(crate) mod words;

use serde::{Deserialize, Serialize};
use truegreen_model::flow::FlowId;

pub(crate) use books::Books;
use case::Context;
pub(crate) use finding::{Findings, Turn};
pub(crate) use health::health;

use crate::ledger::event::Moved;
use crate::matcher::Matcher;
use crate::matcher::plan::Plan;

/// Books and findings.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Accounts {
    pub(crate) books: Books,
    pub(crate) findings: Findings,
}

impl Accounts {
    pub(crate) fn new(matcher: &Matcher) -> Self {
        Accounts { books: Books::new(matcher.plans.len()), findings: Findings::new(matcher) }
    }

    /// A journey entered, or stands differently.
    pub(crate) fn move_journey(&mut self, plan: &Plan, moved: &Moved) {
        let (from, to) = (moved.from.as_ref(), moved.to.as_ref());
        self.books.amend(plan.id, from, to);
        let context = Context { plan, books: self.books.flow(plan.id), key: &moved.key, now: moved.at };
        self.findings.amend(&context, from, to);
    }

    /// A key was seen without a start (1), or its start came (-1).
    pub(crate) fn orphan(&mut self, flow: FlowId, by: i64) {
        let orphans = &mut self.books.flow_mut(flow).orphans;
        *orphans = orphans.saturating_add_signed(by);
    }

    /// Further starts of a passage.
    pub(crate) fn duplicates(&mut self, flow: FlowId, by: i64) {
        let duplicates = &mut self.books.flow_mut(flow).duplicates;
        *duplicates = duplicates.saturating_add_signed(by);
    }
}
