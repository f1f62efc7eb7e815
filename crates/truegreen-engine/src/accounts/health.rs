//! Is it working? Never two answers at once, and "no data" is never green.

use std::time::Duration;

use truegreen_model::finding::{FindingKind, Health};
use truegreen_model::time::Timestamp;

use super::Accounts;
use crate::coverage::Coverage;
use crate::matcher::plan::Plan;

/// A flow that nothing entered for so long cannot be told, where the contract expects nothing in particular.
const ENTRIES_WITHIN: Duration = Duration::from_secs(3600);
/// A service that owes a step and was not heard for so long covers nothing.
const HEARD_WITHIN: Duration = Duration::from_secs(120);

/// How one flow stands.
pub(crate) fn health(accounts: &Accounts, coverage: &Coverage, plan: &Plan, now: Timestamp) -> Health {
    let mut findings = accounts.findings.unresolved(plan.account).peekable();
    if findings.peek().is_some() {
        let proves_broken = |kind: FindingKind| kind.proves_broken();
        return if findings.any(|finding| proves_broken(finding.kind)) { Health::Broken } else { Health::CannotTell };
    }
    let books = accounts.books.flow(plan.account);
    let (wanted, within) = match plan.flow.expect {
        Some(expect) => (expect.at_least, expect.per),
        None => (1, ENTRIES_WITHIN),
    };
    let entered = books.entered_since((now - within).minute());
    if entered < wanted.max(1) || books.total.decided() == 0 || !is_covered(coverage, plan, now) {
        return Health::CannotTell;
    }
    Health::Working
}

/// Whether every service that the contract names for an owed step is heard.
fn is_covered(coverage: &Coverage, plan: &Plan, now: Timestamp) -> bool {
    let owed = plan.steps.iter().skip(1).filter(|step| !step.optional);
    let mut named = owed.flat_map(|step| &step.services);
    named.all(|service| {
        let lag = coverage
            .services()
            .iter()
            .filter(|known| known.name == *service)
            .map(|known| known.longest_export_lag())
            .max();
        coverage.is_heard(*service, now - HEARD_WITHIN - lag.unwrap_or_default())
    })
}
