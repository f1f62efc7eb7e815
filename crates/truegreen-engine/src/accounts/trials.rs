//! Findings of flows that are on trial: journeys that end unaccounted are one only once a test says that they are more
//! than allowed, or than usual.

use truegreen_model::finding::{FindingKind, FindingStatus};
use truegreen_model::flow::StepId;
use truegreen_model::time::Timestamp;

use super::books::Books;
use super::case::Context;
use super::finding::{Findings, Folder, Turn, deviation};
use super::trial::{Lost, StepShare, Trial, Turned};
use crate::ledger::event::Line;
use crate::matcher::Matcher;
use crate::matcher::lineage::AccountId;
use crate::matcher::plan::Plan;
use crate::timers::Tick;

impl Findings {
    /// A journey of a flow that may be on trial moved; true if it is.
    pub(super) fn try_journey(&mut self, context: &Context<'_>, from: Option<&Line>, to: Option<&Line>) -> bool {
        let Some(Some(trial)) = self.trials.get_mut(context.plan.account.0 as usize) else { return false };
        for (line, by) in [(from, -1), (to, 1)] {
            if let Some(line) = line {
                trial.count(context.matcher, context.plan, line, by);
            }
        }
        trial.stir(context.now);
        let is_abandonment = trial.is_abandonment;
        let loss = |line: &Line| {
            let folder = deviation(context, line).filter(Folder::is_of_loss)?;
            let kind = if is_abandonment { FindingKind::Abandonment } else { folder.kind };
            Some((Folder { kind, ..folder }, *line))
        };
        let (before, after) = (from.and_then(loss), to.and_then(loss));
        if before != after {
            if let Some((folder, line)) = before {
                self.unlose(context, folder, &line);
            }
            if let Some((folder, line)) = after {
                self.lose(context, folder, &line);
            }
        }
        true
    }

    /// A journey was lost.
    fn lose(&mut self, context: &Context<'_>, folder: Folder, line: &Line) {
        let Some(Some(trial)) = self.trials.get_mut(folder.account.0 as usize) else { return };
        // Of a step that the contract in force does not have, nothing is allowed and nothing promised.
        let Some(step) = step_in(context.matcher, trial, folder) else { return };
        if trial.has_rung(step, line.entered_at) {
            self.deviate(context, folder, line);
        } else {
            trial.remember(folder, step, context.key, line);
        }
    }

    /// It was not lost after all.
    fn unlose(&mut self, context: &Context<'_>, folder: Folder, line: &Line) {
        let Some(Some(trial)) = self.trials.get_mut(folder.account.0 as usize) else { return };
        if trial.forget(context.key, line.entered_at) {
            return;
        }
        // Only what was counted can be taken back: journeys from before the finding's onset were not.
        match self.open.get(&folder).map(|case| case.finding.onset) {
            Some(onset) if line.entered_at >= onset => self.retract(folder, context.key),
            Some(_) => {}
            None => self.retract_closed(folder, context.key),
        }
    }

    /// The first tick on which a share has to be looked at.
    pub(crate) fn next_look(&self) -> Tick {
        self.trials.iter().flatten().map(|trial| trial.due).min().unwrap_or(Tick::NEVER)
    }

    /// Looks at the shares of what was lost.
    pub(super) fn look(&mut self, matcher: &Matcher, books: &Books, tick: Tick) {
        for account in 0..self.trials.len() {
            let Some(trial) = self.trials[account].as_mut().filter(|trial| trial.due <= tick) else { continue };
            for turned in trial.look(tick.time()) {
                match turned {
                    Turned::Rang { step, lost, forgotten } => {
                        self.rang(matcher, books, tick, step, (lost, forgotten));
                    }
                    Turned::Over { step } => self.over(matcher, AccountId(account as u32), step),
                }
            }
            self.tell_shares(matcher, AccountId(account as u32));
        }
    }

    /// More was lost at a step than allowed: all of it is a finding now.
    fn rang(
        &mut self,
        matcher: &Matcher,
        books: &Books,
        tick: Tick,
        step: StepId,
        (lost, mut forgotten): (Vec<Lost>, u64),
    ) {
        let mut opened = Vec::new();
        for Lost { folder, key, line, .. } in &lost {
            let (plan, books) = (matcher.plan(folder.flow), books.flow(folder.account));
            if self.grow(&Context { matcher, plan, books, key, now: tick.time() }, *folder, line) {
                opened.push(*folder);
            }
        }
        for folder in opened {
            let raised = self.trials[folder.account.0 as usize].as_ref().and_then(|trial| trial.raised(step));
            let Some(case) = self.open.get_mut(&folder) else { continue };
            case.finding.count += std::mem::take(&mut forgotten);
            case.finding.raised = raised;
            self.turns.push(Turn::Opened(case.finding.clone()));
        }
    }

    /// What entered since fares as it may again.
    fn over(&mut self, matcher: &Matcher, account: AccountId, step: StepId) {
        let Some(Some(trial)) = self.trials.get(account.0 as usize) else { return };
        let is_there = |folder: &Folder| step_in(matcher, trial, *folder) == Some(step);
        let of_loss = self.open.keys().filter(|folder| folder.account == account && folder.is_of_loss());
        let over: Vec<Folder> = of_loss.filter(|folder| is_there(folder)).copied().collect();
        for folder in &over {
            self.close(*folder, FindingStatus::Resolved);
        }
        let trial = self.trials[account.0 as usize].as_mut().filter(|_| over.is_empty());
        // Every journey that it was about was amended away meanwhile.
        if let Some(trial) = trial {
            trial.release(step, Timestamp(0));
        }
    }

    /// A finding was closed: its step is on trial again, unless another one of it is open.
    pub(super) fn release(&mut self, closed: Folder, latest_entry: Timestamp) {
        if !closed.is_of_loss() {
            return;
        }
        let (account, hop) = (closed.account, closed.hop.map(|hop| hop.before));
        let is_alike = |folder: &Folder| {
            folder.account == account && folder.is_of_loss() && folder.hop.map(|hop| hop.before) == hop
        };
        if self.open.keys().any(is_alike) {
            return;
        }
        if let (Some(Some(trial)), Some(step)) = (self.trials.get_mut(account.0 as usize), hop)
            && trial.flow() == closed.flow
        {
            trial.release(step, latest_entry);
        }
    }

    /// Open findings say the shares as they are now.
    fn tell_shares(&mut self, matcher: &Matcher, account: AccountId) {
        let Some(Some(trial)) = self.trials.get(account.0 as usize) else { return };
        let of_loss = self.open.iter_mut().filter(|(folder, _)| folder.account == account && folder.is_of_loss());
        for (folder, case) in of_loss {
            if let Some(raised) = step_in(matcher, trial, *folder).and_then(|step| trial.raised(step)) {
                case.finding.raised = Some(raised);
            }
        }
    }

    /// A flow's contract allows some to end unaccounted from now on, or does so no longer.
    pub(super) fn begin_trial(&mut self, account: usize, newest: Option<&Plan>) {
        if self.trials.len() <= account {
            self.trials.resize_with(account + 1, || None);
        }
        let old = self.trials[account].take();
        let mut trial = newest.and_then(Trial::of);
        if let (Some(trial), Some(old)) = (&mut trial, old) {
            trial.follow(old);
        }
        self.trials[account] = trial;
    }

    /// What was found before a trial began is a finding until it is over.
    pub(super) fn take_over(&mut self, matcher: &Matcher) {
        for (folder, case) in self.open.iter().filter(|(folder, _)| folder.is_of_loss()) {
            let Some(Some(trial)) = self.trials.get_mut(folder.account.0 as usize) else { continue };
            let Some(step) = step_in(matcher, trial, *folder) else { continue };
            if trial.raised(step).is_none() {
                trial.take_over(step, case.finding.onset);
            }
        }
    }

    /// How a flow that is on trial stands at each step but the first, by name.
    pub(crate) fn step_shares(&self, account: AccountId) -> Option<impl Iterator<Item = (&str, StepShare)>> {
        Some(self.trials.get(account.0 as usize)?.as_ref()?.shares())
    }
}

/// The step that is missing, by the numbers of the trial.
fn step_in(matcher: &Matcher, trial: &Trial, folder: Folder) -> Option<StepId> {
    matcher.same_step(folder.flow, folder.hop?.before, trial.flow())
}
