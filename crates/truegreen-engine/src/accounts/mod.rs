//! The accounts: the one place where changes of verdicts become books, findings and alarms. Journeys hand in pairs
//! of from and to; nothing else writes here.

mod books;
mod case;
mod cohort;
mod counters;
pub(crate) mod finding;
mod health;
mod rate;
mod reconcile;
mod sequence;
mod share;
#[cfg(test)]
mod tests;
mod trial;
mod trials;
mod usual;
mod versions;
pub(crate) mod words;

use serde::{Deserialize, Serialize};
use truegreen_model::time::Timestamp;

pub(crate) use books::Books;
use case::Context;
pub(crate) use counters::CounterPoint;
use counters::FlowCounters;
pub(crate) use finding::{Findings, Turn};
pub(crate) use health::health;
pub(crate) use reconcile::seen_share;
pub(crate) use trial::StepShare;

use crate::coverage::Coverage;
use crate::ledger::event::Moved;
use crate::matcher::Matcher;
use crate::matcher::lineage::AccountId;
use crate::symbols::Symbols;
use crate::timers::Tick;

/// Books and findings.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Accounts {
    pub(crate) books: Books,
    pub(crate) findings: Findings,
    /// By account.
    counters: Vec<FlowCounters>,
}

impl Accounts {
    pub(crate) fn new(matcher: &Matcher) -> Self {
        let mut accounts = Accounts {
            books: Books::new(matcher.lineages.len()),
            findings: Findings::new(matcher),
            counters: Vec::new(),
        };
        accounts.revise_counters(matcher, Timestamp(0));
        accounts
    }

    /// A journey entered, or stands differently.
    pub(crate) fn move_journey(&mut self, matcher: &Matcher, moved: &Moved) {
        let (from, to) = (moved.from.as_ref(), moved.to.as_ref());
        let plan = matcher.plan(moved.flow);
        self.books.amend(plan.account, from, to);
        if let Some(counters) = self.counters.get_mut(plan.account.0 as usize) {
            for (line, by) in [(from, -1), (to, 1)] {
                line.into_iter().for_each(|line| counters.note(line, by, moved.at));
            }
        }
        let books = self.books.flow(plan.account);
        let context = Context { matcher, plan, books, key: &moved.key, now: moved.at };
        self.findings.amend(&context, from, to);
    }

    /// The first tick on which a share or a counter has to be looked at.
    pub(crate) fn next_look(&self) -> Tick {
        self.findings.next_look().min(self.next_hold())
    }

    /// Looks at shares of what is lost, and at counters.
    pub(crate) fn look(&mut self, matcher: &Matcher, coverage: &Coverage, symbols: &Symbols, tick: Tick) {
        self.findings.look(matcher, &self.books, tick);
        self.hold(matcher, coverage, symbols, tick);
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
