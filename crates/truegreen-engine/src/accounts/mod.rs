//! The accounts: the one place where changes of verdicts become books, findings and alarms. Journeys hand in pairs
//! of from and to; nothing else writes here.

mod books;
mod case;
pub(crate) mod finding;
mod health;
mod rate;
mod share;
mod versions;
pub(crate) mod words;

use serde::{Deserialize, Serialize};

pub(crate) use books::Books;
use case::Context;
pub(crate) use finding::{Findings, Turn};
pub(crate) use health::health;

use crate::ledger::event::Moved;
use crate::matcher::Matcher;
use crate::matcher::lineage::AccountId;

/// Books and findings.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Accounts {
    pub(crate) books: Books,
    pub(crate) findings: Findings,
}

impl Accounts {
    pub(crate) fn new(matcher: &Matcher) -> Self {
        Accounts { books: Books::new(matcher.lineages.len()), findings: Findings::new(matcher) }
    }

    /// A journey entered, or stands differently.
    pub(crate) fn move_journey(&mut self, matcher: &Matcher, moved: &Moved) {
        let (from, to) = (moved.from.as_ref(), moved.to.as_ref());
        let plan = matcher.plan(moved.flow);
        self.books.amend(plan.account, from, to);
        let books = self.books.flow(plan.account);
        let context = Context { matcher, plan, books, key: &moved.key, now: moved.at };
        self.findings.amend(&context, from, to);
    }

    /// A key was seen without a start (1), or its start came (-1).
    pub(crate) fn orphan(&mut self, account: AccountId, by: i64) {
        let orphans = &mut self.books.flow_mut(account).orphans;
        *orphans = orphans.saturating_add_signed(by);
    }

    /// Further starts of a passage.
    pub(crate) fn duplicates(&mut self, account: AccountId, by: i64) {
        let duplicates = &mut self.books.flow_mut(account).duplicates;
        *duplicates = duplicates.saturating_add_signed(by);
    }
}
