//! The books, per flow and minute of event time: those of a name go on, whatever becomes of its contract.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use truegreen_model::books::Tally;
use truegreen_model::report::ConfirmedReport;
use truegreen_model::time::Minute;
use truegreen_model::verdict::Verdict;

use crate::ledger::event::Line;
use crate::matcher::lineage::AccountId;

/// Minutes kept apart per flow (eight days); older ones are added up in one line.
const MAX_MINUTES: usize = 8 * 24 * 60;

/// The books of all flows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Books {
    flows: Vec<FlowBooks>,
}

/// The books of one flow.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct FlowBooks {
    pub(crate) total: Tally,
    pub(crate) minutes: BTreeMap<Minute, Tally>,
    /// The sum of all minutes that are no longer kept apart, with the last of them.
    folded: Tally,
    folded_until: Option<Minute>,
    pub(crate) duplicates: u64,
    pub(crate) orphans: u64,
    pub(crate) amended: u64,
    /// What was decided by what systems answered.
    pub(crate) confirmed: ConfirmedReport,
}

impl Books {
    pub(super) fn new(flows: usize) -> Self {
        Books { flows: (0..flows).map(|_| FlowBooks::default()).collect() }
    }

    /// Room for so many flows; none is ever taken away.
    pub(super) fn fit(&mut self, flows: usize) {
        self.flows.resize_with(flows.max(self.flows.len()), FlowBooks::default);
    }

    pub(crate) fn flow(&self, account: AccountId) -> &FlowBooks {
        &self.flows[account.0 as usize]
    }

    pub(super) fn flow_mut(&mut self, account: AccountId) -> &mut FlowBooks {
        &mut self.flows[account.0 as usize]
    }

    /// Moves a journey from one line to another, never counting it twice (INV-BOOKS-2).
    pub(super) fn amend(&mut self, account: AccountId, from: Option<&Line>, to: Option<&Line>) {
        let books = self.flow_mut(account);
        if let Some(from) = from {
            books.total.withdraw(from.standing);
            books.minute(from.entered_at.minute()).withdraw(from.standing);
        }
        if let Some(to) = to {
            books.total.enter(to.standing);
            books.minute(to.entered_at.minute()).enter(to.standing);
        }
        for (line, by) in [(from, -1), (to, 1)] {
            if let Some(count) = line.and_then(|line| books.confirmed_by(line)) {
                *count = count.saturating_add_signed(by);
            }
        }
        let ended = from.and_then(Line::verdict);
        if ended.is_some() && ended != to.and_then(Line::verdict) {
            books.amended += 1;
        }
        debug_assert!(books.total.balances(), "INV-BOOKS-1");
    }
}

impl FlowBooks {
    /// Where a journey counts whose verdict is owed to what a system answered.
    fn confirmed_by(&mut self, line: &Line) -> Option<&mut u64> {
        match line.verdict().filter(|_| line.confirmed)? {
            Verdict::Completed | Verdict::Late => Some(&mut self.confirmed.completed),
            Verdict::Unaccounted(_) => Some(&mut self.confirmed.unaccounted),
            _ => None,
        }
    }

    fn minute(&mut self, minute: Minute) -> &mut Tally {
        if self.folded_until.is_some_and(|until| minute <= until) {
            return &mut self.folded;
        }
        if self.minutes.len() >= MAX_MINUTES
            && !self.minutes.contains_key(&minute)
            && let Some((oldest, tally)) = self.minutes.pop_first()
        {
            self.folded.add(&tally);
            self.folded_until = Some(oldest);
            if minute < oldest {
                return &mut self.folded;
            }
        }
        self.minutes.entry(minute).or_default()
    }

    /// Completed journeys that entered in the minutes from this one on.
    pub(crate) fn completed_since(&self, minute: Minute) -> u64 {
        self.minutes.range(minute..).map(|(_, tally)| tally.completed + tally.late).sum()
    }

    /// Entries in the minutes from this one on.
    pub(crate) fn entered_since(&self, minute: Minute) -> u64 {
        self.minutes.range(minute..).map(|(_, tally)| tally.entered).sum()
    }
}
