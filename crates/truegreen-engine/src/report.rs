//! How the engine is read: the stable report, single journeys, who is heard, and Truegreen's own counters.

use std::collections::BTreeMap;
use std::time::Duration;

use truegreen_model::books::Tally;
use truegreen_model::finding::{Finding, FindingKind, Health};
use truegreen_model::flow::ExitOutcome;
use truegreen_model::observation::{InstanceId, KeyHash, Role, Symbol, TraceId};
use truegreen_model::report::{
    AskedReport, ClockReport, CounterReport, FindingReport, FlowReport, JourneyDetail, JourneyReport, LeftReport,
    MinuteReport, Report, SeenReport, ServiceReport,
};
use truegreen_model::surroundings::Entered;
use truegreen_model::time::{Minute, Timestamp};
use truegreen_model::verdict::{Loss, Standing, Verdict, Why};

use crate::accounts::{StepShare, health, seen_share, words};
use crate::coverage::{Correction, HostOffset, Sampled};
use crate::date::rfc3339;
use crate::engine::Engine;
use crate::ledger::case::{Case, Passage, Seen};
use crate::ledger::confirmed::Confirmed;
use crate::matcher::key;
use crate::matcher::lineage::Lineage;
use crate::matcher::plan::Plan;

/// Minutes in which a shift of traffic is looked for, and flows of which it is.
const MINUTES_ENTERED: u64 = 120;
const MAX_FLOWS_ENTERED: usize = 100;
const REPORTING_WITHIN: Duration = Duration::from_secs(120);

/// From a time on, by how much the times of an instance are taken back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClockCorrection {
    /// `service.name`.
    pub service: String,
    /// What identifies the instance.
    pub instance: String,
    /// When it was published, by our clock: what is received from then on is corrected.
    pub from: Timestamp,
    /// By how much its clock is ahead of that of the others, negative where it is behind; zero where it is right again.
    pub ahead_nanos: i64,
    /// By how much that may be wrong.
    pub error: Duration,
}

impl Engine {
    /// Books and findings of all flows.
    pub fn report(&self) -> Report {
        let flows = self.shown().map(|plan| (plan.flow.name.clone(), self.flow_report(plan)));
        Report { health: self.health().name().to_owned(), flows: flows.collect(), findings: self.findings_report() }
    }

    /// Over all flows, and what was found beside them: the worst; without any, nothing can be told.
    pub fn health(&self) -> Health {
        let flows = self.shown().map(|plan| self.flow_health(plan));
        let beside = self.findings.unresolved().filter(|kind| kind.proves_broken()).map(|_| Health::Broken);
        flows.chain(beside).max().unwrap_or(Health::CannotTell)
    }

    /// The books of one flow by minute of event time, oldest first; `None` for an unknown flow.
    pub fn minutes(&self, flow: &str) -> Option<Vec<MinuteReport>> {
        let plan = self.plan_of(flow)?;
        let minutes = self.accounts.books.flow(plan.account).minutes.iter();
        let minutes = minutes.filter(|(_, tally)| tally.entered > 0);
        Some(minutes.map(|(minute, tally)| self.minute_report(minute.start(), tally)).collect())
    }

    /// Every passage of one key through one flow (in whatever scope, under whatever version of its contract), oldest
    /// first.
    pub fn journeys_of(&self, flow: &str, text: &str) -> Vec<JourneyDetail> {
        let lineage = self.matcher.lineages.iter().find(|lineage| lineage.name == flow);
        let mut passages: Vec<(Timestamp, JourneyDetail)> = Vec::new();
        for version in lineage.into_iter().flat_map(Lineage::live) {
            self.passages_of(self.matcher.plan(version), text, &mut passages);
        }
        passages.sort_by_key(|(entered_at, _)| *entered_at);
        passages.into_iter().map(|(_, detail)| detail).collect()
    }

    fn passages_of(&self, plan: &Plan, text: &str, passages: &mut Vec<(Timestamp, JourneyDetail)>) {
        let names = 0..=plan.bind_names.len() as u8;
        let of_name = |name| self.scopes.hashes().iter().map(move |scope| key::key(*scope, name, text.as_bytes()));
        // Two names of one journey lead to the same case.
        let mut owners: Vec<KeyHash> = names.flat_map(of_name).map(|key| self.ledger.owner(plan.id, key)).collect();
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            self.ledger.read(plan.id, owner, |case| {
                let detail = |passage: &Passage| (passage.entered_at, self.journey_detail(plan, case, passage));
                passages.extend(case.passages.iter().map(detail));
            });
        }
    }

    /// Hands every journey in memory to `read`, in no order.
    pub fn each_journey(&self, mut read: impl FnMut(JourneyReport)) {
        self.ledger.read_all(|flow, case| {
            let plan = self.matcher.plan(flow);
            case.passages.iter().for_each(|passage| read(self.journey_report(plan, case, passage)));
        });
    }

    /// Every journey in memory, in no order. For millions of them [`Engine::each_journey`] needs less room.
    pub fn journeys(&self) -> impl Iterator<Item = JourneyReport> + use<> {
        let mut journeys = Vec::new();
        self.each_journey(|journey| journeys.push(journey));
        journeys.into_iter()
    }

    /// Effects that are still to be looked up, or looked up again.
    pub fn questions(&self) -> usize {
        self.questions.len()
    }

    /// Who is heard, by service name.
    pub fn services(&self) -> Vec<ServiceReport> {
        let recently = self.now - REPORTING_WITHIN;
        let mut services: Vec<_> = self
            .coverage
            .services()
            .iter()
            .map(|service| ServiceReport {
                service: self.symbols.text(service.name).to_owned(),
                instances: self.coverage.instances_heard(service, recently),
                last_heard: rfc3339(self.coverage.last_heard(service).unwrap_or_default()),
                export_lag_seconds: service.longest_export_lag().as_secs_f64(),
                sampled: service.sampled().map(|sampled| sampled_name(sampled).to_owned()),
                spans: service.spans,
                error_spans: service.error_spans,
                logs: service.logs,
                data_points: service.data_points,
            })
            .collect();
        services.sort_by(|a, b| a.service.cmp(&b.service));
        services
    }

    /// The clocks of all processes that can be compared, since they call each other.
    pub fn clocks(&self) -> Vec<ClockReport> {
        let report = |offset: HostOffset| {
            let instance = self.coverage.entry(offset.instance);
            ClockReport {
                service: self.symbols.text(self.coverage[instance.service].name).to_owned(),
                instance: instance.label.to_string(),
                ahead_seconds: offset.offset as f64 / 1e9,
                error_seconds: offset.error as f64 / 1e9,
                drift_ppm: offset.drift_ppm,
            }
        };
        self.watch.clocks().into_iter().map(report).collect()
    }

    /// Which clocks were corrected, by how much and from when on: each correction that there was, by instance.
    pub fn clock_corrections(&self) -> Vec<ClockCorrection> {
        let report = |(instance, correction): (InstanceId, Correction)| {
            let of = self.coverage.entry(instance);
            ClockCorrection {
                service: self.symbols.text(self.coverage[of.service].name).to_owned(),
                instance: of.label.to_string(),
                from: correction.from,
                ahead_nanos: correction.ahead,
                error: correction.error,
            }
        };
        self.coverage.corrections().map(report).collect()
    }

    /// Truegreen's own books (INV-DROP-1).
    pub fn counters(&self) -> Vec<CounterReport> {
        let mut counters = self.counters.report();
        let kept_elsewhere = [
            ("instances", self.coverage.overflowed),
            ("resource_cache", self.resources.emptied),
            ("symbols", self.symbols.overflowed),
            ("closed_findings", self.accounts.findings.forgotten + self.findings.forgotten),
            ("operations", self.operations.overflowed),
            ("watched", self.watch.overflowed()),
            ("reconciled_series", self.accounts.overflowed_counters()),
        ];
        counters.extend(kept_elsewhere.map(|(reason, value)| CounterReport {
            name: "bounds_reached".to_owned(),
            reason: reason.to_owned(),
            value,
        }));
        counters
    }

    /// Open ones first, then the latest first.
    fn findings_report(&self) -> Vec<FindingReport> {
        let of_flows = self.accounts.findings.list(self.now);
        let mut findings: Vec<FindingReport> = of_flows.iter().map(|finding| self.finding_report(finding)).collect();
        findings.extend(self.findings.list(self.now, &self.symbols));
        let order = |finding: &FindingReport| match finding.status.as_str() {
            "open" => 0,
            "quiet" => 1,
            _ => 2,
        };
        findings.sort_by_key(order);
        findings
    }

    pub(crate) fn finding_report(&self, finding: &Finding) -> FindingReport {
        let plan = self.matcher.plan(finding.flow);
        FindingReport {
            id: format!("{:016x}", finding.id.0),
            kind: finding.kind.name().to_owned(),
            flow: plan.flow.name.clone(),
            after: finding.hop.map(|hop| plan.step_name(hop.after).to_owned()),
            before: finding.hop.map(|hop| plan.step_name(hop.before).to_owned()),
            service: None,
            operation: None,
            peer: None,
            subject: None,
            owed_by: self.owed_by(plan, finding),
            evidence: finding.evidence.clone(),
            count: finding.count,
            onset: rfc3339(finding.onset),
            first_seen: rfc3339(finding.first_seen),
            last_seen: rfc3339(finding.last_seen),
            status: finding.status.name().to_owned(),
            examples: finding.examples.clone(),
            title: words::title(plan, finding),
            diagnosis: None,
        }
    }

    fn owed_by(&self, plan: &Plan, finding: &Finding) -> Vec<String> {
        let outcome = match finding.kind {
            FindingKind::Rejected | FindingKind::NoReason => Some(ExitOutcome::Rejected),
            FindingKind::DeadLettered => Some(ExitOutcome::DeadLettered),
            _ => None,
        };
        let step = finding.hop.and_then(|hop| plan.flow.steps.get(usize::from(hop.before.0)));
        let exits = plan.flow.exits.iter().filter(|exit| Some(exit.outcome) == outcome).flat_map(|exit| &exit.any_of);
        let patterns = step.into_iter().flat_map(|step| &step.any_of).chain(exits);
        let mut services: Vec<String> =
            patterns.filter_map(|pattern| pattern.service.as_ref()).map(|text| text.0.clone()).collect();
        services.sort_unstable();
        services.dedup();
        services
    }

    /// How many journeys entered each flow in each of the latest minutes that are over.
    pub fn entered(&self) -> Vec<Entered> {
        let current = self.now.minute();
        let of = |plan: &Plan| {
            let minutes = &self.accounts.books.flow(plan.account).minutes;
            let earliest = Minute(current.0.saturating_sub(MINUTES_ENTERED));
            let first = minutes.range(earliest..current).find(|(_, tally)| tally.entered > 0)?.0.0;
            let count = |minute: u64| minutes.get(&Minute(minute)).map_or(0, |tally| tally.entered);
            let by_minute = (first..current.0).map(count).collect();
            Some(Entered { flow: plan.flow.name.clone(), first_minute: first, by_minute })
        };
        self.shown().take(MAX_FLOWS_ENTERED).filter_map(of).collect()
    }

    fn plan_of(&self, flow: &str) -> Option<&Plan> {
        self.shown().find(|plan| plan.flow.name == flow)
    }

    fn flow_health(&self, plan: &Plan) -> Health {
        health(&self.accounts, &self.coverage, plan, self.now)
    }

    fn flow_report(&self, plan: &Plan) -> FlowReport {
        let books = self.accounts.books.flow(plan.account);
        let tally = &books.total;
        FlowReport {
            health: self.flow_health(plan).name().to_owned(),
            entered: tally.entered,
            open: tally.open,
            completed: tally.completed,
            late: tally.late,
            rejected: self.by_reason(&tally.rejected),
            dead_lettered: self.by_reason(&tally.dead_lettered),
            unaccounted: tally.unaccounted,
            unknown: by_why(&tally.unknown),
            duplicates: books.duplicates,
            orphans: books.orphans,
            amended: books.amended,
            sampling_ratio: seen_share(plan, &self.coverage, &self.symbols),
            left: self.left(plan),
            counters: self.accounts.agreements(plan, &self.symbols),
            confirmed: books.confirmed,
        }
    }

    /// How many leave before each step, where some may.
    fn left(&self, plan: &Plan) -> Vec<LeftReport> {
        let shares = self.accounts.findings.step_shares(plan.account);
        let report = |(step, of): (&str, StepShare)| {
            let after = plan.flow.steps.iter().find(|known| known.name == step).map(|step| step.after);
            let after = after.map_or("", |after| plan.step_name(after)).to_owned();
            let share = if of.all > 0.0 { of.lost / of.all } else { 0.0 };
            LeftReport { after, before: step.to_owned(), share, usual: of.usual }
        };
        shares.into_iter().flatten().map(report).collect()
    }

    fn minute_report(&self, minute: Timestamp, tally: &Tally) -> MinuteReport {
        MinuteReport {
            minute: rfc3339(minute),
            entered: tally.entered,
            open: tally.open,
            completed: tally.completed,
            late: tally.late,
            rejected: self.by_reason(&tally.rejected),
            dead_lettered: self.by_reason(&tally.dead_lettered),
            unaccounted: tally.unaccounted,
            unknown: by_why(&tally.unknown),
        }
    }

    fn by_reason(&self, reasons: &BTreeMap<Symbol, u64>) -> BTreeMap<String, u64> {
        reasons.iter().map(|(reason, n)| (self.symbols.text(*reason).to_owned(), *n)).collect()
    }

    pub(crate) fn journey_report(&self, plan: &Plan, case: &Case, passage: &Passage) -> JourneyReport {
        let (verdict, reason) = self.verdict_words(passage.standing);
        JourneyReport {
            flow: plan.flow.name.clone(),
            key: case.text.clone(),
            verdict: verdict.to_owned(),
            reason,
            after: Some(plan.step_name(passage.hop.map_or(passage.after, |hop| hop.after)).to_owned()),
            entered_at: rfc3339(passage.entered_at),
            confirmed: passage.confirmed && matches!(passage.standing, Standing::Ended(_)),
        }
    }

    fn journey_detail(&self, plan: &Plan, case: &Case, passage: &Passage) -> JourneyDetail {
        let mut seen: Vec<&Seen> = case
            .split(plan)
            .into_iter()
            .find(|group| group.iter().any(|one| is_start(one) && one.at == passage.entered_at))
            .map(|group| group.into_iter().collect())
            .unwrap_or_default();
        seen.sort_by_key(|one| (one.at, one.identity));
        let owed = passage.hop.map(|hop| (plan.step_name(hop.before).to_owned(), rfc3339(passage.deadline)));
        JourneyDetail {
            journey: self.journey_report(plan, case, passage),
            seen: seen.into_iter().map(|one| self.seen_report(plan, one)).collect(),
            owed: owed.into_iter().collect(),
            asked: case.told.iter().filter_map(|told| asked_report(plan, told)).collect(),
        }
    }

    fn seen_report(&self, plan: &Plan, one: &Seen) -> SeenReport {
        let (step, reason) = match one.role {
            Role::Step(step) => (plan.step_name(step), None),
            Role::Exit(exit, reason) => {
                let name = plan.exits.get(exit.0 as usize).map_or("", |exit| &exit.name);
                (name, reason.map(|reason| self.symbols.text(reason).to_owned()))
            }
        };
        SeenReport {
            step: step.to_owned(),
            at: rfc3339(one.at),
            service: self.symbols.text(self.coverage.service_of(one.instance).name).to_owned(),
            instance: self.coverage.entry(one.instance).label.to_string(),
            trace_id: (one.trace != TraceId(0)).then(|| format!("{:032x}", one.trace.0)),
            attempt: one.attempt,
            reason,
            sequence: one.evidence.sequence,
            offset: one.evidence.offset,
        }
    }

    fn verdict_words(&self, standing: Standing) -> (&'static str, Option<String>) {
        let text = |reason| Some(self.symbols.text(reason).to_owned());
        match standing {
            Standing::Open { due: false } => ("open", None),
            Standing::Open { due: true } => ("open", Some("due".to_owned())),
            Standing::Ended(Verdict::Completed) => ("completed", None),
            Standing::Ended(Verdict::Late) => ("late", None),
            Standing::Ended(Verdict::Rejected(reason)) => ("rejected", text(reason)),
            Standing::Ended(Verdict::DeadLettered(reason)) => ("dead_lettered", text(reason)),
            Standing::Ended(Verdict::Unaccounted(Loss::Vanished)) => ("unaccounted", Some("vanished".to_owned())),
            Standing::Ended(Verdict::Unaccounted(Loss::EffectMissing)) => {
                ("unaccounted", Some("effect_missing".to_owned()))
            }
            Standing::Ended(Verdict::Unaccounted(Loss::FailedWithoutExit)) => {
                ("unaccounted", Some("failed_without_exit".to_owned()))
            }
            Standing::Ended(Verdict::Unknown(why)) => ("unknown", Some(why.name().to_owned())),
        }
    }
}

fn is_start(one: &Seen) -> bool {
    one.role == Role::Step(truegreen_model::flow::StepId::START)
}

fn by_why(unknown: &BTreeMap<Why, u64>) -> BTreeMap<String, u64> {
    unknown.iter().map(|(why, n)| (why.name().to_owned(), *n)).collect()
}

fn sampled_name(sampled: Sampled) -> &'static str {
    match sampled {
        Sampled::Marked(_) => "marked",
        Sampled::Inferred(_) => "inferred",
    }
}

fn asked_report(plan: &Plan, told: &Confirmed) -> Option<AskedReport> {
    let step = plan.flow.steps.get(usize::from(told.step.0))?;
    Some(AskedReport {
        step: step.name.clone(),
        system: step.confirm.as_ref()?.system.clone(),
        answer: told.told.name().to_owned(),
        as_of: rfc3339(told.as_of),
    })
}
