//! Findings as sentences.

use truegreen_model::finding::{Finding, FindingKind, Raised};

use crate::date::clock;
use crate::matcher::plan::Plan;

/// One sentence that says what deviates, where, since when, and an example.
pub(crate) fn title(plan: &Plan, finding: &Finding) -> String {
    let flow = &plan.flow.name;
    let n = finding.count;
    let (one, them) = if n == 1 { ("journey", "it") } else { ("journeys", "them") };
    let hop = finding.hop.map_or_else(String::new, |hop| {
        format!("after `{}`, before `{}`", plan.step_name(hop.after), plan.step_name(hop.before))
    });
    let what = match finding.kind {
        FindingKind::Abandonment => {
            let (who, was) = if n == 1 { ("journey", "was") } else { ("journeys", "were") };
            format!("{n} {who} of `{flow}` {was} left {hop}")
        }
        FindingKind::Loss => format!("{n} {one} vanished in `{flow}` {hop}: neither completed nor refused"),
        FindingKind::FailedWithoutExit => {
            format!("{n} {one} failed in `{flow}` {hop}, and nothing says what became of {them}")
        }
        FindingKind::Silence => {
            format!("{n} {one} cannot be judged in `{flow}` {hop}: who owes `{}` is not heard", owed_by(plan, finding))
        }
        FindingKind::Late => format!("{n} {one} completed late in `{flow}`: more than tolerated"),
        FindingKind::Rejected => format!("{n} {one} were refused in `{flow}`: more than tolerated"),
        FindingKind::DeadLettered => format!("{n} {one} were dead-lettered in `{flow}`: more than tolerated"),
        FindingKind::NoReason => format!("{n} {one} were refused in `{flow}` without a reason"),
        FindingKind::Unknown => format!("{n} {one} of `{flow}` cannot be judged: more than tolerated"),
        FindingKind::CounterMismatch => match finding.evidence.as_slice() {
            [] => format!("a counter disagrees with the books of `{flow}`"),
            [only] => only.clone(),
            [first, others @ ..] => format!("{first}; so it is with {} more", others.len()),
        },
        FindingKind::EffectMissing => {
            let step = owed_by(plan, finding);
            let asked = finding.hop.and_then(|hop| plan.flow.steps.get(usize::from(hop.before.0)));
            let system = asked.and_then(|step| step.confirm.as_ref()).map_or("its system", |asked| &asked.system);
            let says = if n == 1 { "says" } else { "say" };
            format!("{n} {one} of `{flow}` {says} that `{step}` was done, and `{system}` shows no effect of it")
        }
        // The other kinds are found at places.
        kind => format!("{n} {one} of `{flow}`: {}", kind.name().replace('_', " ")),
    };
    let what = match finding.raised {
        Some(raised) => format!("{what}: {}", shares(raised, finding.kind)),
        None => what,
    };
    let example = finding.examples.first().map(|key| format!(", for example {key}")).unwrap_or_default();
    format!("{what}; since {} UTC{example}", clock(finding.onset))
}

fn owed_by(plan: &Plan, finding: &Finding) -> String {
    finding.hop.map_or_else(String::new, |hop| plan.step_name(hop.before).to_owned())
}

/// Both shares: what it is, and what it may be.
fn shares(raised: Raised, kind: FindingKind) -> String {
    let Raised { share, expected, is_given } = raised;
    let of = if kind == FindingKind::Abandonment { "of those who came so far" } else { "of those that came so far" };
    let rule = if is_given { "at most" } else { "usually" };
    format!("{} {of}, {rule} {}", percent(share), percent(expected))
}

/// Millionths as a percentage of two digits or more.
fn percent(millionths: u32) -> String {
    let percent = f64::from(millionths) / 1e4;
    if percent >= 10.0 {
        return format!("{percent:.0} %");
    }
    let one_digit = (percent * 10.0).round() / 10.0;
    if one_digit >= 0.1 || millionths == 0 { format!("{one_digit} %") } else { format!("{percent:.2} %") }
}
