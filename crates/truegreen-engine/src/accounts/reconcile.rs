//! Counters that disagree with the books, as findings.

use truegreen_model::finding::{Finding, FindingKind, FindingStatus};
use truegreen_model::flow::ExitOutcome;
use truegreen_model::observation::{InstanceId, Symbol};
use truegreen_model::report::CounterAgreement;
use truegreen_model::time::Timestamp;

use super::Accounts;
use super::case::Case;
use super::counters::{Around, Counter, CounterPoint, FlowCounters, Mismatch};
use super::finding::{Folder, Turn, id};
use crate::coverage::{Coverage, Sampled};
use crate::matcher::Matcher;
use crate::matcher::lineage::AccountId;
use crate::matcher::plan::Plan;
use crate::symbols::Symbols;
use crate::timers::Tick;

/// Reasons that one finding tells of.
const MAX_TOLD: usize = 8;

impl Accounts {
    /// A service told a point of a counter.
    pub(crate) fn count(
        &mut self,
        plan: &Plan,
        index: u8,
        point: &CounterPoint,
        reason: Option<Symbol>,
        now: Timestamp,
    ) {
        if let Some(counters) = self.counters.get_mut(plan.account.0 as usize) {
            counters.take(index, point, reason, now);
        }
    }

    /// A service that may tell such points exported metrics.
    pub(crate) fn exported(&mut self, plan: &Plan, index: u8, instance: InstanceId, time: Timestamp) {
        if let Some(counters) = self.counters.get_mut(plan.account.0 as usize) {
            counters.exported(index, instance, time);
        }
    }

    /// Until now something of this service (or of any) may have been missed.
    pub(crate) fn missed(&mut self, matcher: &Matcher, service: Option<Symbol>, symbols: &Symbols, now: Timestamp) {
        for flow in &matcher.watched {
            let plan = matcher.plan(*flow);
            let concerns = |service: Symbol| {
                let counts = |counter: &Counter| {
                    let named = counter.rule.service.as_deref();
                    counter.service() == Some(service) || named == Some(symbols.text(service))
                };
                let Some(counters) = self.counters.get(plan.account.0 as usize) else { return false };
                plan.steps.iter().any(|step| step.services.contains(&service)) || counters.counters.iter().any(counts)
            };
            if service.is_none_or(concerns)
                && let Some(counters) = self.counters.get_mut(plan.account.0 as usize)
            {
                counters.missed(now);
            }
        }
    }

    /// Points of counters past the bounds.
    pub(crate) fn overflowed_counters(&self) -> u64 {
        self.counters.iter().map(FlowCounters::overflowed).sum()
    }

    /// Holds every counter against the books that is to be looked at.
    pub(super) fn hold(&mut self, matcher: &Matcher, coverage: &Coverage, symbols: &Symbols, tick: Tick) {
        for account in 0..self.counters.len() {
            let id = AccountId(account as u32);
            let Some(flow) = matcher.lineage(id).current().filter(|_| self.counters[account].due <= tick) else {
                continue;
            };
            let plan = matcher.plan(flow);
            let around = Around {
                books: self.books.flow(id),
                seen: seen_share(plan, coverage, symbols),
                longest_lag: coverage.longest_export_lag(),
                now: tick.time(),
            };
            self.counters[account].look(around);
            self.tell(plan, symbols, tick.time());
        }
    }

    /// What disagrees is one finding of its flow.
    fn tell(&mut self, plan: &Plan, symbols: &Symbols, now: Timestamp) {
        let folder = Folder { account: plan.account, kind: FindingKind::CounterMismatch, flow: plan.id, hop: None };
        let counters = &self.counters[plan.account.0 as usize].counters;
        let open = counters
            .iter()
            .flat_map(|counter| counter.open.iter().map(move |(reason, mismatch)| (counter, reason, mismatch)));
        let mut all: Vec<(&Counter, Option<Symbol>, Mismatch)> =
            open.map(|(counter, reason, mismatch)| (counter, *reason, *mismatch)).collect();
        let Some(onset) = all.iter().map(|(_, _, mismatch)| mismatch.onset).min() else {
            return self.findings.close(folder, FindingStatus::Resolved);
        };
        all.sort_by(|(_, _, one), (_, _, other)| other.gap().total_cmp(&one.gap()));
        let count = all.iter().map(|(_, _, mismatch)| mismatch.gap()).sum::<f64>().round() as u64;
        let told = all.iter().take(MAX_TOLD);
        let evidence: Vec<String> =
            told.map(|(counter, reason, mismatch)| sentence(plan, counter, *reason, mismatch, symbols)).collect();
        if let Some(case) = self.findings.open.get_mut(&folder) {
            let finding = &mut case.finding;
            if count > finding.count {
                finding.last_seen = now;
            }
            (finding.count, finding.evidence) = (count, evidence);
            return;
        }
        let ordinal = self.findings.ordinals.get(&folder).copied().unwrap_or(0);
        let finding = Finding {
            id: id(plan, folder, ordinal),
            kind: folder.kind,
            flow: folder.flow,
            hop: None,
            ordinal,
            count,
            onset,
            first_seen: now,
            last_seen: now,
            status: FindingStatus::Open,
            examples: Vec::new(),
            raised: None,
            evidence,
        };
        self.findings.turns.push(Turn::Opened(finding.clone()));
        self.findings.open.insert(folder, Case::new(finding, self.books.flow(plan.account), 0));
    }

    /// The counters of the contracts that are in force now.
    pub(super) fn revise_counters(&mut self, matcher: &Matcher, now: Timestamp) {
        self.counters.resize_with(matcher.lineages.len().max(self.counters.len()), FlowCounters::default);
        for (lineage, counters) in matcher.lineages.iter().zip(&mut self.counters) {
            counters.revise(lineage.current().map(|flow| matcher.plan(flow)), now);
        }
        let is_gone = |folder: &Folder| self.counters[folder.account.0 as usize].counters.is_empty();
        let open = self.findings.open.keys().filter(|folder| folder.kind == FindingKind::CounterMismatch);
        let gone: Vec<Folder> = open.filter(|folder| is_gone(folder)).copied().collect();
        for folder in gone {
            self.findings.close(folder, FindingStatus::Resolved);
        }
    }

    /// The first tick on which a counter has to be held against the books.
    pub(super) fn next_hold(&self) -> Tick {
        self.counters.iter().map(|counters| counters.due).min().unwrap_or(Tick::NEVER)
    }

    /// How the counters of a flow stood against its books when they were last held against them.
    pub(crate) fn agreements(&self, plan: &Plan, symbols: &Symbols) -> Vec<CounterAgreement> {
        let counters = self.counters.get(plan.account.0 as usize).map_or(&[][..], |counters| &counters.counters);
        let of = |counter: &Counter| {
            let one = |reason: Option<Symbol>, (counted, held): (f64, f64)| CounterAgreement {
                metric: counter.rule.metric.clone(),
                service: counter.service().map(|service| symbols.text(service).to_owned()),
                reason: reason.map(|reason| symbols.text(reason).to_owned()),
                counted,
                held,
                agrees: !counter.open.contains_key(&reason),
            };
            let mut all: Vec<CounterAgreement> =
                counter.latest.iter().map(|(reason, both)| one(*reason, *both)).collect();
            if all.is_empty() {
                all.push(one(None, (0.0, 0.0)));
            }
            all
        };
        counters.iter().flat_map(of).collect()
    }
}

/// Both numbers in one sentence.
fn sentence(plan: &Plan, counter: &Counter, reason: Option<Symbol>, mismatch: &Mismatch, symbols: &Symbols) -> String {
    let Mismatch { counted, held, .. } = *mismatch;
    let service = counter.service().map_or("its service", |service| symbols.text(service));
    let (rule, flow) = (&counter.rule, &plan.flow.name);
    let with = match (&rule.by, reason) {
        (Some(by), Some(reason)) => format!(" with {by} `{}`", symbols.text(reason)),
        _ => String::new(),
    };
    let ended = match rule.outcome {
        Some(ExitOutcome::Rejected) => "rejected",
        Some(ExitOutcome::DeadLettered) => "dead-lettered",
        None => "rejected or dead-lettered",
    };
    let so = if with.is_empty() { "" } else { " so" };
    format!(
        "`{service}` counts {counted} in `{}`{with}, and the books of `{flow}` hold {held} {ended}{so}",
        rule.metric
    )
}

/// The share of a flow's journeys that is seen, where the service of the start is known to be sampled.
pub(crate) fn seen_share(plan: &Plan, coverage: &Coverage, symbols: &Symbols) -> Option<f64> {
    plan.steps[0].services.iter().find_map(|name| {
        let declared = plan.flow.sampled.get(symbols.text(*name)).copied();
        let known = coverage.services().iter().filter(|service| service.name == *name);
        declared.or_else(|| known.filter_map(|service| service.sampled()).map(ratio).next())
    })
}

fn ratio(sampled: Sampled) -> f64 {
    match sampled {
        Sampled::Marked(ratio) | Sampled::Inferred(ratio) => ratio,
    }
}
