//! The accounts: the one place where changes of verdicts become books, findings and alarms. Journeys hand in pairs
//! of from and to; nothing else writes here.

mod books;
mod case;
pub(crate) mod finding;
mod health;
mod rate;
mod share;
pub(crate) mod words;

use truegreen_model::flow::FlowId;
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Hop, Standing, Verdict};

pub(crate) use books::Books;
use case::Context;
pub(crate) use finding::{Findings, Turn};
pub(crate) use health::health;

use crate::matcher::Matcher;
use crate::matcher::plan::Plan;

/// One journey as the accounts see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub(crate) entered_at: Timestamp,
    pub(crate) standing: Standing,
    /// Where it waits or was lost.
    pub(crate) hop: Option<Hop>,
    /// Bit n: step n is owed.
    pub(crate) owed: u64,
}

impl Line {
    fn verdict(&self) -> Option<Verdict> {
        match self.standing {
            Standing::Ended(verdict) => Some(verdict),
            Standing::Open { .. } => None,
        }
    }
}

/// Books and findings.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) books: Books,
    pub(crate) findings: Findings,
}

impl Accounts {
    pub(crate) fn new(matcher: &Matcher) -> Self {
        Accounts { books: Books::new(matcher.plans.len()), findings: Findings::new(matcher) }
    }

    /// A journey moves from one line to another; `None` on either side: it enters, or was merged into another.
    pub(crate) fn amend(&mut self, plan: &Plan, key: &str, from: Option<Line>, to: Option<Line>, now: Timestamp) {
        self.books.amend(plan.id, from.as_ref(), to.as_ref());
        let context = Context { plan, books: self.books.flow(plan.id), key, now };
        self.findings.amend(&context, from.as_ref(), to.as_ref());
    }

    /// A key was seen without a start (+1), or its start came (-1).
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
