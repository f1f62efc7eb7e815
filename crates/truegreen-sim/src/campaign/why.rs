//! At the end of a run the engine is asked why: which finding is at the bottom, what failing ones have in common, which change
//! brought it. Where nothing is wrong it is asked about requests drawn by chance, and must find nothing.

use truegreen_engine::Engine;
use truegreen_engine::cases::{Case, Cases};
use truegreen_engine::explain::diagnosis::{self, Evidence, diagnose};
use truegreen_engine::explain::related::causes;
use truegreen_model::change::{RankedChange, RankingVerdict};
use truegreen_model::contrast::{Condition, Op};
use truegreen_model::diagnosis::{Certainty, Diagnosis};
use truegreen_model::report::FindingReport;
use truegreen_model::surroundings::Surroundings;
use truegreen_model::time::Timestamp;

use super::expectation;
use super::fault::Strike;
use super::kept::Kept;
use super::planted::{self, Reported};
use super::services::Sort;

/// With fewer failing ones there are too many attributes for any to stand out beyond chance.
const PROVES_NOTHING: u64 = 6;

/// How what was said of the cause holds against what was planted.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Why {
    /// Whether kind and place of what is at the bottom are right.
    pub is_cause_right: bool,
    /// Whether what was planted in the failing ones is the first that is told; none where nothing was.
    pub is_difference_right: Option<bool>,
    /// Whether something is said to be different though all fail alike; none where there is something.
    pub is_invented: Option<bool>,
    /// Whether the change that brought it stands first; none where none was planted.
    pub is_change_first: Option<bool>,
    /// What was wrong, for people.
    pub wrong: Vec<String>,
    /// How sure it was.
    pub verdict: Certainty,
}

/// Asks about the finding at the bottom of all that are open; nothing where there is none.
pub fn ask(engine: &Engine, kept: &Kept, (strike, reported): (&Strike, &Reported), now: Timestamp) -> Option<Why> {
    let report = engine.report();
    let first = causes(&report.findings).first().map(|first| first.id.clone())?;
    let finding = report.findings.iter().find(|finding| finding.id == first)?;
    let beside: Vec<FindingReport> = report.findings.iter().filter(|other| other.id != first).cloned().collect();
    let mut cases = Cases::default();
    (0..engine.case_parts()).filter_map(|part| engine.cases(&first, part)).for_each(|more| cases.merge(more));
    let diagnosis = diagnosed((finding, &beside), &cases, kept, (reported, now));
    let mut why = Why { verdict: diagnosis.verdict, ..Why::default() };
    let expected = expectation::of(strike);
    let at_bottom = report.findings.iter().find(|finding| finding.id == diagnosis.cause.finding);
    why.is_cause_right =
        at_bottom.is_some_and(|finding| expected.answers.iter().any(|answer| answer.is_met_by(finding)));
    if !why.is_cause_right {
        why.wrong.push(format!("cause: {} {}", diagnosis.cause.kind, diagnosis.cause.says));
    }
    judge_difference(&mut why, strike, &diagnosis);
    judge_change(&mut why, reported, &diagnosis);
    Some(why)
}

fn judge_difference(why: &mut Why, strike: &Strike, diagnosis: &Diagnosis) {
    let difference = diagnosis.difference.clone().unwrap_or_default();
    let told: Vec<String> = difference.explanations.iter().map(|one| one.title()).collect();
    let told = told.join(", or ");
    if let Some((attribute, value)) = planted::common(strike) {
        let is_it = |conditions: &[Condition]| is_planted(conditions, (attribute, &value));
        let first = difference.explanations.first().is_some_and(|first| is_it(&first.conditions));
        // What covers the same rows cannot be told apart by anybody.
        let mut ties = difference.alternatives.iter().filter(|other| other.tie && other.instead_of == Some(0));
        let is_right = first || ties.any(|tie| is_it(&tie.explanation.conditions));
        let (failing, healthy) = (diagnosis.compared.failing, diagnosis.compared.healthy);
        // Of a handful of failing ones it is right to say that they prove nothing.
        let is_honest = failing < PROVES_NOTHING && difference.verdict == "cannot tell";
        why.is_difference_right = (!is_honest).then_some(is_right);
        if !is_right {
            let (verdict, kind) = (&difference.verdict, &diagnosis.finding.kind);
            why.wrong.push(format!(
                "difference of {kind}: {attribute} = {value} was planted, told is {verdict}: {told} ({failing} against {healthy})"
            ));
        }
    } else if planted::is_of_all(strike) {
        let is_invented = difference.verdict == "explained";
        why.is_invented = Some(is_invented);
        if is_invented {
            why.wrong.push(format!("difference: all fail alike, told is {told}"));
        }
    }
}

/// What was planted, alone or beside what is so by nature: digital orders need no stock, so that they go well where others fail,
/// and a consumer does nothing with them where it skips others.
fn is_planted(conditions: &[Condition], (attribute, value): (&str, &str)) -> bool {
    let name = |of: &Condition| of.attribute.split(" of ").next().map(str::to_owned);
    let is_it = |of: &Condition| name(of).as_deref() == Some(attribute) && of.op == Op::Is && of.value == value;
    let is_nature = |of: &Condition| matches!(name(of).as_deref(), Some("order.kind" | "payment.method"));
    let is_all_but_usual = |of: &Condition| is_nature(of) && of.op == Op::IsNot && of.value == Sort::Standard.name();
    match conditions {
        [one] if attribute == "order.kind" => is_it(one) || is_all_but_usual(one),
        _ => conditions.iter().any(is_it) && conditions.iter().all(|of| is_it(of) || is_nature(of)),
    }
}

fn judge_change(why: &mut Why, reported: &Reported, diagnosis: &Diagnosis) {
    let Some(ranking) = diagnosis.changes.as_ref().filter(|_| !reported.cause.is_empty()) else { return };
    let first = ranking.ranking.first();
    let is_first = first.is_some_and(|first| first.id == reported.cause);
    why.is_change_first = Some(is_first);
    if !is_first {
        let at = ranking.ranking.iter().position(|one| one.id == reported.cause);
        let title = |of: &RankedChange| {
            let RankedChange { title, at, score, evidence, .. } = of;
            let of_what = (evidence.time, evidence.effect, evidence.origin);
            format!("{title} at {at} ({score:.2}, of time, effect and origin {of_what:.1?})")
        };
        let cause = at.and_then(|at| ranking.ranking.get(at)).map(title).unwrap_or_default();
        let instead = first.map(title).unwrap_or_default();
        let onset = ranking.onset.as_deref().unwrap_or_default();
        why.wrong.push(format!("change: {cause} is at place {at:?}, first is {instead}; onset {onset}"));
    }
}

/// As a server does it, which is told of nothing but requests and changes.
fn diagnosed(
    (finding, beside): (&FindingReport, &[FindingReport]),
    cases: &Cases,
    kept: &Kept,
    (reported, now): (&Reported, Timestamp),
) -> Diagnosis {
    diagnose(&Evidence {
        finding,
        beside,
        cases,
        recording: &kept.recording(cases),
        stretch: &kept.stretch(diagnosis::began(finding)),
        changes: &reported.changes,
        around: &Surroundings::default(),
        hides: &|_| false,
        now,
    })
}

/// Asks about requests of which half are said to fail, by chance. Right is that there is nothing to explain.
pub fn ask_of_nothing(kept: &Kept, (reported, now): (&Reported, Timestamp)) -> Why {
    let mut cases = Cases::default();
    let requests: Vec<(u128, Timestamp)> = kept.requests().collect();
    let first = requests.iter().map(|(_, at)| *at).min().unwrap_or_default();
    for (trace, at) in requests {
        let draw = (trace as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let side = if draw >> 63 == 0 { &mut cases.failing } else { &mut cases.healthy };
        let case =
            || Case { key: format!("{trace:032x}"), at, traces: vec![trace], evidence: Vec::new(), went_on: None };
        side.offer(draw << 1, case);
    }
    let (id, onset) = ("drawn".to_owned(), rfc3339(first));
    let finding = FindingReport { id, onset, count: cases.failing.offered(), ..FindingReport::default() };
    let diagnosis = diagnosed((&finding, &[]), &cases, kept, (reported, now));
    let mut why = Why { verdict: diagnosis.verdict, ..Why::default() };
    let told = diagnosis.difference.as_ref().filter(|of| of.verdict != "nothing to explain");
    why.wrong.extend(told.map(|of| format!("difference: {}", of.summary)));
    why.wrong.extend(
        diagnosis
            .suspects
            .iter()
            .map(|one| format!("suspect: {:?} of {:?} {:?}", one.kind, one.service, one.operation)),
    );
    let blamed = diagnosis.changes.as_ref().filter(|of| of.verdict == RankingVerdict::StandsOut);
    why.wrong.extend(blamed.map(|of| format!("change: {}", of.says)));
    why.is_invented = Some(!why.wrong.is_empty() || diagnosis.verdict != Certainty::Inconclusive);
    why
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at.0)).map(|at| at.to_string()).unwrap_or_default()
}
