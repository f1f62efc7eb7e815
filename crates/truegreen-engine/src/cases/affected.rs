//! Everybody whom a finding is about, so that they can be made whole: not a sample.

use truegreen_model::finding::Finding;
use truegreen_model::incident::AffectedKey;

use super::{Side, compared};
use crate::date::rfc3339;
use crate::engine::Engine;
use crate::watch::hex;

impl Engine {
    /// A part of those that a finding is about, in no order; of a finding about a place the latest of its traces. Nothing
    /// where no finding has this id, or it is not about single requests.
    pub fn affected(&self, finding: &str, part: usize) -> Option<Vec<AffectedKey>> {
        if let Some(of_flow) = self.accounts.findings.find(finding) {
            return Some(self.journeys_affected(of_flow, part));
        }
        let witnessed = self.findings.witnessed(finding)?;
        let failing = witnessed.failing().filter(|_| part == 0);
        let of_trace = |(at, trace)| AffectedKey { key: hex(trace), entered_at: rfc3339(at), ..AffectedKey::default() };
        Some(failing.map(of_trace).collect())
    }

    fn journeys_affected(&self, finding: &Finding, part: usize) -> Vec<AffectedKey> {
        let account = self.matcher.plan(finding.flow).account;
        let mut affected = Vec::new();
        self.ledger.read_part(part, |flow, case| {
            let plan = self.matcher.plan(flow);
            if plan.account != account {
                return;
            }
            for passage in case.passages.iter().filter(|passage| passage.entered_at >= finding.onset) {
                let hop = passage.hop.map(|hop| self.matcher.fold(plan.id, Some(hop)).1).unwrap_or_default();
                if compared(finding, passage.standing, hop) == Some(Side::Failing) {
                    let journey = self.journey_report(plan, case, passage);
                    affected.push(AffectedKey {
                        flow: journey.flow,
                        key: journey.key,
                        entered_at: journey.entered_at,
                        verdict: journey.verdict,
                        reason: journey.reason,
                        after: journey.after,
                    });
                }
            }
        });
        affected
    }
}
