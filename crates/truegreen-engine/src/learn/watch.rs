//! Cases judged one after the other, in their own time: books, verdicts and findings.

use truegreen_model::report::{FindingReport, FlowReport, JourneyReport, Report};
use truegreen_model::time::Timestamp;

use super::alarms::Alarms;
use super::case::{Case, Cases};
use super::check::{Checker, Deviation, Standing};
use super::model::{LearnedFlow, Model};
use crate::date::rfc3339;

/// What came of watching.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Watched {
    /// As `audit` prints it.
    pub report: Report,
    /// One for each case, by the time they began.
    pub journeys: Vec<JourneyReport>,
    /// Cases of flows that were not learned, or whose beginning was not seen.
    pub not_learned: u64,
}

/// Judges all cases, and raises findings in the cases' own time. Where `journeys` are not wanted none are kept.
pub fn watch(model: &Model, cases: &Cases, journeys: bool) -> Watched {
    let mut checker = Checker::new(model).with_strays(cases);
    let mut watched = Watched::default();
    let mut books: Vec<FlowReport> = model.flows.iter().map(|_| FlowReport::default()).collect();
    let mut turns: Vec<(Timestamp, u32)> = Vec::with_capacity(cases.cases.len());
    for (place, case) in cases.cases.iter().enumerate() {
        let (flow, standing) = checker.judge(case, cases.until, &cases.heard);
        if let Some(books) = flow.and_then(|flow| books.get_mut(flow)) {
            enter(books, &standing);
        } else {
            watched.not_learned += 1;
        }
        turns.push((certain_at(case, &standing), place as u32));
        if journeys && let Some(flow) = flow.and_then(|flow| model.flows.get(flow)) {
            watched.journeys.push(journey(model, flow, case, &standing));
        }
    }
    turns.sort_unstable();
    let mut alarms = Alarms::new(model);
    let mut kept = Vec::new();
    for (_, place) in turns {
        let Some(case) = cases.cases.get(place as usize) else { continue };
        kept.clear();
        let (flow, standing) = checker.weigh(case, cases.until, &cases.heard, |cause| kept.push(cause));
        let Some(index) = flow else { continue };
        let Some(flow) = model.flows.get(index) else { continue };
        alarms.take((index, flow), case, &standing, &kept);
    }
    let findings = alarms.finish(model);
    let by_flow = |name: &str| findings.iter().filter(|finding| finding.flow == name).collect::<Vec<_>>();
    for (flow, mut books) in model.flows.iter().zip(books) {
        books.health = health(&books, &by_flow(&flow.name)).to_owned();
        watched.report.flows.insert(flow.name.clone(), books);
    }
    let worst = |name: &str| watched.report.flows.values().any(|flow| flow.health == name);
    let health = if worst("BROKEN") {
        "BROKEN"
    } else if watched.report.flows.values().all(|flow| flow.health == "CANNOT TELL") || has_silence(&findings) {
        "CANNOT TELL"
    } else {
        "WORKING"
    };
    watched.report.health = health.to_owned();
    watched.report.findings = findings;
    watched
}

fn has_silence(findings: &[FindingReport]) -> bool {
    findings.iter().any(|finding| finding.status == "open" && finding.kind == "silence")
}

fn health(books: &FlowReport, findings: &[&FindingReport]) -> &'static str {
    let open = |silence: bool| {
        findings.iter().any(|finding| finding.status == "open" && (finding.kind == "silence") == silence)
    };
    match () {
        () if open(false) => "BROKEN",
        () if open(true) || books.entered == 0 => "CANNOT TELL",
        () => "WORKING",
    }
}

fn enter(books: &mut FlowReport, standing: &Standing) {
    books.entered += 1;
    match standing {
        Standing::Open | Standing::NotLearned => books.open += 1,
        Standing::Completed => books.completed += 1,
        Standing::Late(_) => books.late += 1,
        Standing::Unaccounted(_) => books.unaccounted += 1,
        Standing::Unknown(why, _) => *books.unknown.entry(why.name().to_owned()).or_default() += 1,
    }
}

fn certain_at(case: &Case, standing: &Standing) -> Timestamp {
    match deviation(standing) {
        Some(deviation) => deviation.at,
        None => case.last_at(),
    }
}

pub(super) fn deviation(standing: &Standing) -> Option<&Deviation> {
    match standing {
        Standing::Late(deviation) | Standing::Unaccounted(deviation) | Standing::Unknown(_, deviation) => {
            Some(deviation)
        }
        Standing::Open | Standing::Completed | Standing::NotLearned => None,
    }
}

fn journey(model: &Model, flow: &LearnedFlow, case: &Case, standing: &Standing) -> JourneyReport {
    let reason = deviation(standing).map(|deviation| deviation.reason.to_owned());
    let (verdict, reason) = match standing {
        Standing::Open | Standing::NotLearned => ("open", None),
        Standing::Completed => ("completed", None),
        Standing::Late(_) => ("late", None),
        Standing::Unaccounted(_) => ("unaccounted", reason),
        Standing::Unknown(why, _) => ("unknown", Some(why.name().to_owned())),
    };
    let last = case.events.last().map(|event| event.activity);
    let after = deviation(standing).map_or(last, |deviation| deviation.after);
    JourneyReport {
        flow: flow.name.clone(),
        key: case.key.to_string(),
        verdict: verdict.to_owned(),
        reason,
        after: after.map(|after| model.vocabulary.full_name(after)),
        entered_at: rfc3339(case.entered_at()),
        confirmed: false,
    }
}
