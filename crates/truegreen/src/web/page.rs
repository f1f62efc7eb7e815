//! The front page: the verdict in one sentence, the books of each flow, the findings, who is heard.

use maud::{Markup, html};
use truegreen_model::report::{CounterReport, FindingReport, FlowReport, MinuteReport, ServiceReport};

use super::{View, bars, finding, journey_href, short_time, trace_href};
use crate::wording;

pub(super) fn body(view: &View) -> Markup {
    let standing: Vec<_> = view.report.findings.iter().filter(|f| wording::is_standing(f)).collect();
    let past: Vec<_> = view.report.findings.iter().filter(|f| !wording::is_standing(f)).take(20).collect();
    html! {
        h1 class=(class_of(&view.report.health)) { (wording::verdict(&view.report)) }
        (beside_the_books(view))
        @for finding in &standing { (finding_article(finding, view)) }
        @for (name, flow) in &view.report.flows {
            (flow_section(name, flow, view.descriptions.get(name), view.minutes.get(name)))
        }
        @if !view.report.flows.is_empty() { (bars::stripes()) (legend()) }
        @if !past.is_empty() {
            h2 { "Past findings" }
            @for finding in &past { (finding_article(finding, view)) }
        }
        (services(&view.services))
        (own_books(&view.own))
        p class="quiet" {
            a href="/map" { "Where a failure could hide" } ". For programs: " a href="/api/v1/report" { "report" } ", " a href="/api/v1/books" { "books" } ", "
            a href="/metrics" { "metrics" } ", " a href="/api/v1/openapi.json" { "description of the API" } "."
        }
    }
}

/// The ways to what the systems themselves say, where there are any.
fn beside_the_books(view: &View) -> Markup {
    html! {
        @if view.has_systems || view.has_incidents {
            nav class="quiet" {
                @if view.has_systems { a href="/systems" { "Systems asked themselves" } }
                @if view.has_systems && view.has_dead_letters { " · " a href="/dead-letters" { "Dead letters" } }
                @if view.has_systems && view.has_incidents { " · " }
                @if view.has_incidents { a href="/incidents" { "Incidents" } }
            }
        }
    }
}

fn class_of(health: &str) -> &'static str {
    match health {
        "WORKING" => "working",
        "BROKEN" => "broken",
        _ => "cannot-tell",
    }
}

fn flow_section(
    name: &str,
    flow: &FlowReport,
    description: Option<&String>,
    minutes: Option<&Vec<MinuteReport>>,
) -> Markup {
    html! {
        section id=(format!("flow-{name}")) {
            h2 { (name) ": " (flow.health) }
            @if let Some(description) = description.filter(|text| !text.is_empty()) { p class="quiet" { (description) } }
            p class="equation" {
                b { (flow.entered) } " entered = "
                @for (n, term) in wording::terms(flow).iter().enumerate() {
                    @if n > 0 { " + " }
                    span class=[(term.label == "UNACCOUNTED" && wording::is_loud(flow)).then_some("loud")] {
                        b { (term.count) } " " (term.label)
                        @if !term.detail.is_empty() { " (" (term.detail) ")" }
                    }
                }
            }
            @if let Some(minutes) = minutes.filter(|minutes| !minutes.is_empty()) { (bars::chart(minutes)) }
            (beside(flow))
        }
    }
}

/// What stands beside the equation.
fn beside(flow: &FlowReport) -> Markup {
    let mut notes = Vec::new();
    for (n, what) in [
        (flow.duplicates, "duplicate entry of the same key"),
        (flow.orphans, "step seen without its start"),
        (flow.amended, "verdict moved by what arrived late"),
    ] {
        if n > 0 {
            notes.push(format!("{n} × {what}"));
        }
    }
    if let Some(ratio) = flow.sampling_ratio {
        notes.push(format!("telemetry is sampled: about {:.1} % of the entries are seen", ratio * 100.0));
    }
    let also = wording::shares_and_counters(flow);
    html! {
        @if !notes.is_empty() { p class="quiet" { "Beside the equation: " (notes.join("; ")) "." } }
        @if !also.is_empty() { ul class="quiet" { @for line in &also { li { (wording::sentence(line)) } } } }
    }
}

fn finding_article(finding: &FindingReport, view: &View) -> Markup {
    let class = match finding.status.as_str() {
        "open" => "open",
        "quiet" => "quiet-finding",
        _ => "quiet",
    };
    html! {
        article id=(format!("finding-{}", finding.id)) class=(class) {
            p { b { a href=(finding::href(&finding.id)) { (wording::sentence(&finding.title)) } } }
            @if let Some(brief) = &finding.diagnosis {
                p { (brief.verdict.name()) ": " (wording::sentence(&brief.says)) " " a href=(finding::href(&finding.id)) { "Why" } }
            }
            p {
                (place(finding))
                ": " (wording::concerned(finding)) ", since " (short_time(&finding.onset))
                ", last at " (short_time(&finding.last_seen)) "; " (finding.status) "."
            }
            (finding::evidence(finding, view.earlier.get(&finding.id), view.incidents.get(&finding.id).map(String::as_str)))
        }
    }
}

/// The flow and its hop, or what of which service.
pub(super) fn place(finding: &FindingReport) -> Markup {
    let Some(service) = &finding.service else {
        return html! {
            "In " (finding.flow)
            @if let (Some(after), Some(before)) = (&finding.after, &finding.before) {
                ", after " b { (after) } " and before " b { (before) }
            }
        };
    };
    html! {
        "At "
        @if let Some(operation) = &finding.operation { b { (operation) } " of " }
        b { (service) }
        @if let Some(subject) = &finding.subject { ", on " b { (subject) } }
        @if let Some(peer) = &finding.peer { ", towards " b { (peer) } }
    }
}

/// A journey of the finding's flow, or a trace.
pub(super) fn example_href(finding: &FindingReport, example: &str) -> String {
    if finding.flow.is_empty() { trace_href(example) } else { journey_href(&finding.flow, example) }
}

fn legend() -> Markup {
    let entries = [
        ("completed", "completed"),
        ("refused", "refused with a reason"),
        ("open", "open"),
        ("unknown", "unknown"),
        ("unaccounted", "UNACCOUNTED"),
    ];
    html! {
        p class="key quiet" {
            @for (class, text) in entries { span { i class=(class) {} (text) } }
            span { "dotted line: nothing entered" }
        }
    }
}

fn services(services: &[ServiceReport]) -> Markup {
    html! {
        h2 { "Who is heard" }
        @if services.is_empty() {
            p { "Nobody yet. Send OTLP to port 4317 (gRPC) or 4318 (HTTP): set " code { "OTEL_EXPORTER_OTLP_ENDPOINT" } " in your services." }
        } @else {
            table {
                thead { tr {
                    th { "service" } th class="number" { "instances" } th { "last heard" } th class="number" { "spans" }
                    th class="number" { "with an error" } th class="number" { "logs" } th class="number" { "data points" } th { "sampled" }
                } }
                tbody {
                    @for service in services {
                        tr {
                            td { (service.service) }
                            td class="number" { (service.instances) }
                            td { (short_time(&service.last_heard)) }
                            td class="number" { (service.spans) }
                            td class="number" { (service.error_spans) }
                            td class="number" { (service.logs) }
                            td class="number" { (service.data_points) }
                            td { (service.sampled.as_deref().unwrap_or("no")) }
                        }
                    }
                }
            }
        }
    }
}

/// What Truegreen itself refused, dropped or bounded: it is as accountable as what it watches.
fn own_books(own: &[CounterReport]) -> Markup {
    html! {
        h2 { "Truegreen's own books" }
        @if own.is_empty() {
            p { "Nothing was refused, dropped or bounded." }
        } @else {
            table {
                thead { tr { th { "what" } th { "why" } th class="number" { "how often" } } }
                tbody {
                    @for counter in own {
                        tr {
                            td { (counter.name.replace('_', " ")) }
                            td { (counter.reason.replace('_', " ")) }
                            td class="number" { (counter.value) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use truegreen_model::diagnosis::{Brief, Certainty};

    use super::*;
    use crate::web::whole;

    fn view() -> View {
        let flow = FlowReport {
            health: "BROKEN".to_owned(),
            entered: 120,
            open: 2,
            completed: 114,
            rejected: [("no_stock".to_owned(), 1)].into(),
            unaccounted: 3,
            duplicates: 1,
            ..FlowReport::default()
        };
        let finding = FindingReport {
            id: "00000000000000ff".to_owned(),
            kind: "loss".to_owned(),
            flow: "orders".to_owned(),
            after: Some("published".to_owned()),
            before: Some("stock updated".to_owned()),
            count: 3,
            onset: "2026-01-01T10:00:02.5Z".to_owned(),
            first_seen: "2026-01-01T10:00:40Z".to_owned(),
            last_seen: "2026-01-01T10:01:00Z".to_owned(),
            status: "open".to_owned(),
            examples: vec!["ord-1".to_owned(), "<script>alert(1)</script>/..".to_owned()],
            title: "3 orders vanished after \"published\"".to_owned(),
            diagnosis: Some(Brief {
                verdict: Certainty::Likely,
                says: "those with <script> fail".to_owned(),
                ..Brief::default()
            }),
            ..FindingReport::default()
        };
        let minute = MinuteReport {
            minute: "2026-01-01T10:00:00Z".to_owned(),
            entered: 120,
            open: 2,
            completed: 114,
            late: 0,
            rejected: [("no_stock".to_owned(), 1)].into(),
            dead_lettered: Default::default(),
            unaccounted: 3,
            unknown: Default::default(),
        };
        let service = ServiceReport {
            service: "inventory".to_owned(),
            instances: 1,
            last_heard: "2026-01-01T10:01:00Z".to_owned(),
            export_lag_seconds: 10.0,
            sampled: None,
            spans: 240,
            error_spans: 0,
            logs: 0,
            data_points: 12,
        };
        let own = CounterReport { name: "refused_requests".to_owned(), reason: "malformed".to_owned(), value: 2 };
        let mut view = View {
            services: vec![service],
            own: vec![own],
            has_systems: true,
            has_dead_letters: true,
            ..View::default()
        };
        view.report.health = "BROKEN".to_owned();
        view.report.flows.insert("orders".to_owned(), flow);
        view.report.findings.push(finding);
        view.minutes.insert("orders".to_owned(), vec![minute]);
        view.descriptions.insert("orders".to_owned(), "Every order updates the stock.".to_owned());
        view
    }

    #[test]
    fn the_page_says_the_verdict_first_and_escapes_what_peers_send() {
        let text = whole("Truegreen", Some(5), &body(&view())).into_string();
        assert!(!text.contains("<script>"));
        insta::assert_snapshot!(text.replace('>', ">\n"));
    }

    #[test]
    fn an_empty_server_says_what_to_do() {
        let text = body(&View::default()).into_string();
        assert!(text.contains("CANNOT TELL: no flow is watched."));
        assert!(text.contains("OTEL_EXPORTER_OTLP_ENDPOINT"));
        assert!(!text.contains("<nav"), "no way to what is not there");
        let without_letters = body(&View { has_systems: true, ..View::default() }).into_string();
        assert!(without_letters.contains("/systems") && !without_letters.contains("/dead-letters"));
    }
}
