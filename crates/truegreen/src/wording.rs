//! The same words on pages and terminals: the verdict as one sentence, the books as one equation.

use std::collections::BTreeMap;

use truegreen_model::report::{AskedReport, ConfirmedReport, FindingReport, FlowReport, JourneyDetail, Report};

use crate::lookup::when;

/// One term of the equation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Term {
    /// `open`, `completed`, .., in the words of the design.
    pub label: &'static str,
    /// How many.
    pub count: u64,
    /// `no_stock 3, timeout 1`; empty where nothing is told apart.
    pub detail: String,
}

/// The right side of the equation.
pub fn terms(flow: &FlowReport) -> [Term; 7] {
    let plain = |label, count| Term { label, count, detail: String::new() };
    let split = |label, by: &BTreeMap<String, u64>| Term { label, count: by.values().sum(), detail: detail(by) };
    [
        plain("open", flow.open),
        plain("completed", flow.completed),
        plain("late", flow.late),
        split("rejected", &flow.rejected),
        split("dead-lettered", &flow.dead_lettered),
        plain("UNACCOUNTED", flow.unaccounted),
        split("unknown", &flow.unknown),
    ]
}

fn detail(by: &BTreeMap<String, u64>) -> String {
    by.iter().map(|(reason, n)| format!("{reason} {n}")).collect::<Vec<_>>().join(", ")
}

/// The books of one flow as a line of text.
pub fn equation(flow: &FlowReport) -> String {
    let term = |term: &Term| match term.detail.as_str() {
        "" => format!("{} {}", term.count, term.label),
        detail => format!("{} {} ({detail})", term.count, term.label),
    };
    format!("{} entered = {}", flow.entered, terms(flow).iter().map(term).collect::<Vec<_>>().join(" + "))
}

/// Is it working? One sentence.
pub fn verdict(report: &Report) -> String {
    let open: Vec<&FindingReport> = report.findings.iter().filter(|finding| is_standing(finding)).collect();
    let flows = count(report.flows.len() as u64, "flow");
    match (report.health.as_str(), open.as_slice()) {
        ("WORKING", _) => format!("WORKING: what entered {flows} came out, or was refused with a reason."),
        ("BROKEN", [first, rest @ ..]) => {
            let more = if rest.is_empty() {
                String::new()
            } else {
                format!(" (and {})", count(rest.len() as u64, "more finding"))
            };
            format!("BROKEN: {}{more}", sentence(&first.title))
        }
        ("BROKEN", []) => "BROKEN: the books do not come out as they should.".to_owned(),
        (_, []) if report.flows.is_empty() => "CANNOT TELL: no flow is watched.".to_owned(),
        (_, []) if report.flows.values().all(|flow| flow.entered == 0) => {
            format!("CANNOT TELL: nothing has entered {flows} yet.")
        }
        (_, []) => "CANNOT TELL: too little is known of what entered.".to_owned(),
        (_, [first, ..]) => format!("CANNOT TELL: {}", sentence(&first.title)),
    }
}

/// Whether the unaccounted journeys of a flow speak for themselves: where its contract allows some, a finding says when they
/// are too many.
pub fn is_loud(flow: &FlowReport) -> bool {
    flow.unaccounted > 0 && (flow.left.is_empty() || flow.health == "BROKEN")
}

/// How many go no further than each step, where some may, and how the services' own counters stand against the books.
pub fn shares_and_counters(flow: &FlowReport) -> Vec<String> {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let left = flow.left.iter().map(|left| {
        let usual = left.usual.map_or("too few are known to say what is usual".to_owned(), |usual| {
            format!("{} is usual or allowed", percent(usual))
        });
        format!("{} of those after {} do not come to {}; {usual}", percent(left.share), left.after, left.before)
    });
    let counters = flow.counters.iter().map(|counter| {
        let metric = &counter.metric;
        let Some(service) = &counter.service else { return format!("nothing was heard of the counter {metric}") };
        let of = counter.reason.as_ref().map(|reason| format!(" of {reason}")).unwrap_or_default();
        let but = if counter.agrees { "" } else { ": they disagree" };
        format!("{metric} of {service} counts {}{of}, the books {}{but}", counter.counted, counter.held)
    });
    let ConfirmedReport { completed, unaccounted } = flow.confirmed;
    let confirmed = [
        (completed, "completed by effects that were found, telemetry of which is missing"),
        (unaccounted, "of the unaccounted were looked for where their effects should be, and are not there"),
    ];
    let confirmed = confirmed.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
    left.chain(counters).chain(confirmed).collect()
}

/// What systems answered when they were asked for a journey's effects, and whether its verdict is owed to that.
pub fn answers(detail: &JourneyDetail) -> Vec<String> {
    let answer = |asked: &AskedReport| {
        let AskedReport { step, system, answer, as_of } = asked;
        let found = match answer.as_str() {
            "there" => "is there",
            "not_there" => "is not there",
            _ => "could not be looked up",
        };
        format!("{system} was asked: the effect of {step} {found}, as of {}", when::stamp(as_of))
    };
    let mut lines: Vec<String> = detail.asked.iter().map(answer).collect();
    if detail.journey.confirmed {
        lines.push("the verdict is owed to that answer, and not to telemetry alone".to_owned());
    }
    lines
}

/// Whether a finding still wants attention.
pub fn is_standing(finding: &FindingReport) -> bool {
    matches!(finding.status.as_str(), "open" | "quiet")
}

/// How many journeys of a flow, or times at a place.
pub fn concerned(finding: &FindingReport) -> String {
    count(finding.count, if finding.flow.is_empty() { "time" } else { "journey" })
}

/// `1 flow`, `2 flows`.
pub fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// `1 hypothesis`, `2 hypotheses`.
pub fn number_of(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// With one full stop at its end.
pub fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches(['.', ' ']))
}

#[cfg(test)]
mod tests {
    use truegreen_model::report::{CounterAgreement, LeftReport};

    use super::*;

    fn flow() -> FlowReport {
        FlowReport {
            entered: 10,
            completed: 6,
            rejected: [("no_stock".to_owned(), 1)].into(),
            unaccounted: 3,
            ..FlowReport::default()
        }
    }

    #[test]
    fn the_equation_reads_from_left_to_right() {
        let line = "10 entered = 0 open + 6 completed + 0 late + 1 rejected (no_stock 1) + 0 dead-lettered + \
                    3 UNACCOUNTED + 0 unknown";
        assert_eq!(equation(&flow()), line);
    }

    #[test]
    fn shares_and_counters_say_both_numbers() {
        let left = |before: &str, usual| LeftReport { after: "cart".into(), before: before.into(), share: 0.41, usual };
        let counter = |service: Option<&str>| CounterAgreement {
            metric: "inventory.events.dropped".into(),
            service: service.map(str::to_owned),
            reason: Some("missing_sku".into()),
            counted: 14.0,
            held: 3.0,
            agrees: false,
        };
        let watched = FlowReport {
            left: vec![left("checkout", Some(0.12)), left("bought", None)],
            counters: vec![counter(Some("inventory")), counter(None)],
            ..flow()
        };
        assert!(!is_loud(&watched) && is_loud(&flow()));
        assert!(is_loud(&FlowReport { health: "BROKEN".into(), ..watched.clone() }));
        let lines = [
            "41.0 % of those after cart do not come to checkout; 12.0 % is usual or allowed",
            "41.0 % of those after cart do not come to bought; too few are known to say what is usual",
            "inventory.events.dropped of inventory counts 14 of missing_sku, the books 3: they disagree",
            "nothing was heard of the counter inventory.events.dropped",
        ];
        assert_eq!(shares_and_counters(&watched), lines);
    }

    #[test]
    fn no_data_is_never_green() {
        let mut report = Report { health: "CANNOT TELL".to_owned(), ..Report::default() };
        assert_eq!(verdict(&report), "CANNOT TELL: no flow is watched.");
        report.flows.insert("orders".to_owned(), FlowReport::default());
        assert_eq!(verdict(&report), "CANNOT TELL: nothing has entered 1 flow yet.");
    }

    #[test]
    fn the_first_open_finding_is_the_verdict() {
        let finding = |title: &str, status: &str| FindingReport {
            title: title.to_owned(),
            status: status.to_owned(),
            ..FindingReport::default()
        };
        let findings = vec![finding("3 orders vanished", "open"), finding("old", "resolved"), finding("b", "quiet")];
        let report = Report { health: "BROKEN".to_owned(), flows: [("orders".to_owned(), flow())].into(), findings };
        assert_eq!(verdict(&report), "BROKEN: 3 orders vanished. (and 1 more finding)");
    }
}
