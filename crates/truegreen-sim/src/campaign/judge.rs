//! Holds what was said in a run against what really happened.

use truegreen_model::report::FindingReport;

use super::expectation::{self, Expectation};
use super::noise::Control;
use super::run::{Plan, Record, Start, Subject};
use super::why::Why;

/// Seconds between the end of a span and its arrival that the engine allows every service at the least; exports are
/// every five seconds.
pub const EXPORT_LAG: f64 = 10.0;

/// A finding as the judge tells of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Said {
    /// When it opened, in seconds.
    pub at: f64,
    /// Its kind, its sentence, and what first showed it.
    pub what: String,
}

/// One run, judged.
#[derive(Clone, PartialEq, Debug)]
pub struct Judged {
    /// Which run.
    pub plan: Plan,
    /// Spans that the engine was given.
    pub spans: u64,
    /// When the fault first did harm; `None` where it had no occasion to.
    pub harm: Option<f64>,
    /// How often it did.
    pub harmed: u64,
    /// When a finding of a right kind opened, in seconds from when the fault began.
    pub found: Option<f64>,
    /// The same beyond first harm, deadline and export lag.
    pub beyond: Option<f64>,
    /// Whether that finding named the place too, and nothing was called lost that only was not seen.
    pub is_right: bool,
    /// What made it not right, for people.
    pub wrong: Vec<String>,
    /// What was said of why.
    pub why: Option<Why>,
    /// What was found and is not so.
    pub false_findings: Vec<Said>,
    /// All that was said.
    pub said: Vec<Said>,
    /// When each of the usual rules fired after the fault began.
    pub usual: [Option<f64>; 5],
    /// How often each fired where nothing was wrong.
    pub usual_noise: [usize; 5],
}

/// Judges a run.
pub fn judge(record: &Record) -> Judged {
    let mut judged = Judged {
        plan: record.plan,
        spans: record.spans,
        harm: record.truth.first,
        harmed: record.truth.harmed,
        found: None,
        beyond: None,
        is_right: false,
        wrong: Vec::new(),
        why: record.why.clone(),
        false_findings: Vec::new(),
        said: record.opened.iter().map(said).collect(),
        usual: [None; 5],
        usual_noise: [0; 5],
    };
    let began = record.plan.strike().map_or(f64::INFINITY, |strike| strike.from);
    for (index, alerts) in record.alerts.iter().enumerate() {
        judged.usual_noise[index] = alerts.iter().filter(|(at, _)| *at < began).count();
        judged.usual[index] = alerts.iter().find(|(at, _)| *at >= began).map(|(at, _)| at - began);
    }
    match record.plan.strike() {
        None => {
            let is_false = |(_, finding): &&(f64, FindingReport)| !is_true_of_noise(&record.plan.subject, finding);
            judged.false_findings = record.opened.iter().filter(is_false).map(said).collect();
        }
        Some(strike) => {
            let expected = match record.plan.subject {
                Subject::Fault(_, Start::AtOnce) => expectation::of(&strike),
                _ => expectation::of(&strike).beside_deploys(),
            };
            let is_false = |(at, finding): &&(f64, FindingReport)| *at < strike.from || !expected.allows(finding);
            judged.false_findings = record.opened.iter().filter(is_false).map(said).collect();
            find(&mut judged, record, &expected, strike.from);
            if expected.is_coverage {
                hold_books(&mut judged, record, expected.is_unknown);
            }
        }
    }
    judged
}

fn find(judged: &mut Judged, record: &Record, expected: &Expectation, began: f64) {
    let Some(harm) = record.truth.first else { return };
    let is_of_kind = |finding: &FindingReport| expected.answers.iter().any(|answer| answer.is_of_kind(finding));
    let is_met = |finding: &FindingReport| expected.answers.iter().any(|answer| answer.is_met_by(finding));
    let mut after = record.opened.iter().filter(|(at, finding)| *at >= began && is_of_kind(finding));
    let Some((at, finding)) = after
        .find(|(_, finding)| is_met(finding))
        .or_else(|| record.opened.iter().find(|(at, finding)| *at >= began && is_of_kind(finding)))
    else {
        return;
    };
    judged.found = Some(at - began);
    judged.beyond = Some(at - harm - expected.deadline - EXPORT_LAG);
    judged.is_right = is_met(finding);
    if !judged.is_right {
        judged.wrong.push(format!("place: {}", finding.title));
    }
}

/// Where only the sight is lost, nothing may be called lost, and what is not seen must be unknown.
fn hold_books(judged: &mut Judged, record: &Record, is_unknown: bool) {
    let Some(flow) = record.report.flows.values().next() else { return };
    let unknown: u64 = flow.unknown.values().sum();
    let loss = record.opened.iter().find(|(_, finding)| finding.kind == "loss" || finding.kind == "lost_publish");
    if let Some((at, finding)) = loss {
        judged.wrong.push(format!("called lost at {at:.0} s: {}", finding.title));
    }
    if flow.unaccounted > 0 {
        judged.wrong.push(format!("{} unaccounted in the books, and {unknown} unknown", flow.unaccounted));
    }
    if is_unknown && unknown == 0 {
        judged.wrong.push("nothing is unknown in the books".to_owned());
    }
    judged.is_right &= judged.wrong.is_empty();
}

/// Of a sample no flow across traces can be judged, and to say so is right.
fn is_true_of_noise(subject: &Subject, finding: &FindingReport) -> bool {
    let is_sampled = matches!(subject, Subject::Control(Control::SampledMarked | Control::SampledUnmarked, _));
    is_sampled && finding.kind == "unknown" && !finding.flow.is_empty()
}

fn said((at, finding): &(f64, FindingReport)) -> Said {
    let evidence = finding.evidence.first().map(|evidence| format!(" ({evidence})")).unwrap_or_default();
    Said { at: *at, what: format!("{}: {}{evidence}", finding.kind, finding.title) }
}

impl Judged {
    /// Whether the fault did something that could be found.
    pub fn has_harm(&self) -> bool {
        !matches!(self.plan.subject, Subject::Control(..)) && self.harm.is_some()
    }
}
