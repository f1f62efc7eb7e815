//! Which requests or journeys a finding is about, and which of their like went well: what an explanation compares.

mod affected;
mod sample;
mod witnessed;

use truegreen_model::finding::{Finding, FindingKind};
use truegreen_model::flow::StepId;
use truegreen_model::observation::{Evidence, Role, TraceId};
use truegreen_model::time::Timestamp;
use truegreen_model::verdict::{Hop, Loss, Standing, Verdict, Why};

pub use self::sample::Sample;
pub(crate) use self::witnessed::Witnessed;

use crate::engine::Engine;
use crate::ledger::case::{Case as Passages, Passage};
use crate::matcher::key::{hash, mix};
use crate::matcher::plan::Plan;
use crate::watch::hex;

/// Healthy journeys that entered so long before the onset are compared too, where hardly any entered after it.
const BEFORE_NANOS: u64 = 30 * 60 * 1_000_000_000;

/// One request, or one passage of a key through a flow.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Case {
    /// The journey's key, or its trace id.
    pub key: String,
    /// When it began, in event time.
    pub at: Timestamp,
    /// Its traces.
    pub traces: Vec<u128>,
    /// Records that showed its steps.
    pub evidence: Vec<Evidence>,
    /// Of a healthy one the record that showed the step which failing ones lack.
    pub went_on: Option<Evidence>,
}

/// What is compared.
#[derive(Clone, Debug, Default)]
pub struct Cases {
    /// Those that the finding is about.
    pub failing: Sample,
    /// Those of their like that went well.
    pub healthy: Sample,
}

impl Cases {
    /// Takes in what another part found.
    pub fn merge(&mut self, other: Cases) {
        self.failing.merge(other.failing);
        self.healthy.merge(other.healthy);
    }
}

impl Engine {
    /// In so many parts [`Engine::cases`] reads what it remembers, so that nothing else waits for long.
    pub fn case_parts(&self) -> usize {
        self.ledger.parts()
    }

    /// A part of the cases of a finding; nothing where no finding has this id, or it is not about single requests.
    pub fn cases(&self, finding: &str, part: usize) -> Option<Cases> {
        if let Some(of_flow) = self.accounts.findings.find(finding) {
            return Some(self.cases_of_flow(of_flow, part));
        }
        let witnessed = self.findings.witnessed(finding)?;
        let mut cases = Cases::default();
        if part == 0 {
            witnessed.failing().for_each(|seen| offer(&mut cases.failing, seen));
            witnessed.healthy().for_each(|seen| offer(&mut cases.healthy, seen));
            let (failing, healthy) = witnessed.offered();
            cases.failing.count(failing);
            cases.healthy.count(healthy);
        }
        Some(cases)
    }

    fn cases_of_flow(&self, finding: &Finding, part: usize) -> Cases {
        let mut cases = Cases::default();
        let account = self.matcher.plan(finding.flow).account;
        let since = Timestamp(finding.onset.0.saturating_sub(BEFORE_NANOS));
        self.ledger.read_part(part, |flow, case| {
            let plan = self.matcher.plan(flow);
            if plan.account != account {
                return;
            }
            for passage in case.passages.iter().filter(|passage| passage.entered_at >= since) {
                let hop = passage.hop.map(|hop| self.matcher.fold(plan.id, Some(hop)).1).unwrap_or_default();
                let sample = match compared(finding, passage.standing, hop) {
                    // Of a share that rose, those from before it rose are as usual.
                    Some(Side::Failing) if passage.entered_at >= finding.onset => &mut cases.failing,
                    Some(Side::Healthy) => &mut cases.healthy,
                    _ => continue,
                };
                let draw = mix(hash(case.text.as_bytes()), passage.entered_at.0);
                let lacking = finding.hop.and_then(|hop| self.matcher.same_step(finding.flow, hop.before, plan.id));
                sample.offer(draw, || case_of(plan, case, passage, lacking));
            }
        });
        cases
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Failing,
    Healthy,
}

/// On which side of this finding a journey stands; on neither where it ended in another way, or not yet.
fn compared(finding: &Finding, standing: Standing, hop: Option<Hop>) -> Option<Side> {
    let Standing::Ended(verdict) = standing else { return None };
    let at_hop = finding.hop.is_none() || hop == finding.hop;
    let is_failing = match (finding.kind, verdict) {
        (FindingKind::Loss, Verdict::Unaccounted(Loss::Vanished))
        | (FindingKind::FailedWithoutExit, Verdict::Unaccounted(Loss::FailedWithoutExit))
        | (FindingKind::EffectMissing, Verdict::Unaccounted(Loss::EffectMissing))
        | (FindingKind::Abandonment, Verdict::Unaccounted(_))
        | (FindingKind::Silence, Verdict::Unknown(Why::InstanceGone | Why::SignalSilent | Why::NeverSeen)) => at_hop,
        (FindingKind::Late, Verdict::Late)
        | (FindingKind::Rejected, Verdict::Rejected(_))
        | (FindingKind::DeadLettered, Verdict::DeadLettered(_))
        | (FindingKind::Unknown, Verdict::Unknown(_)) => true,
        (FindingKind::NoReason, Verdict::Rejected(reason) | Verdict::DeadLettered(reason)) => {
            reason == crate::symbols::NO_REASON
        }
        _ => false,
    };
    match verdict {
        _ if is_failing => Some(Side::Failing),
        Verdict::Completed | Verdict::Late => Some(Side::Healthy),
        // A refusal with a reason is how it should be, where too many refusals are not what is explained.
        _ => None,
    }
}

fn offer(sample: &mut Sample, (at, trace): (Timestamp, TraceId)) {
    let key = hex(trace);
    let draw = hash(key.as_bytes());
    sample.offer(draw, || Case { key, at, traces: vec![trace.0], evidence: Vec::new(), went_on: None });
}

fn case_of(plan: &Plan, case: &Passages, passage: &Passage, lacking: Option<StepId>) -> Case {
    let groups = case.split(plan);
    let of_passage = groups.iter().find(|group| group.iter().any(|one| one.at == passage.entered_at));
    let seen = of_passage.into_iter().flatten();
    let mut traces: Vec<u128> =
        seen.clone().map(|one| one.trace).filter(|trace| *trace != TraceId(0)).map(|t| t.0).collect();
    let is_lacking = |role: Role| lacking.is_some_and(|step| role == Role::Step(step));
    let went_on = seen.clone().filter(|one| is_lacking(one.role)).min_by_key(|one| one.at).map(|one| one.evidence);
    let mut evidence: Vec<Evidence> = seen.map(|one| one.evidence).collect();
    traces.sort_unstable();
    traces.dedup();
    evidence.sort_unstable();
    evidence.dedup();
    Case { key: case.text.clone(), at: passage.entered_at, traces, evidence, went_on }
}
