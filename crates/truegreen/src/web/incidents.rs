//! Incidents: those that are open or only patched first, then each as its record reads.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use truegreen_model::incident::{Incident, IncidentList, IncidentSummary, State as Stands};

use super::{document, short_time};
use crate::clock::wall_clock;
use crate::incidents::document::escaped;
use crate::incidents::postmortem;
use crate::lookup::when;
use crate::server::Seen;
use crate::wording;

pub(super) async fn list(State(seen): State<Seen>) -> Response {
    document(StatusCode::OK, "Incidents", None, &all(&seen.incidents.list()))
}

pub(super) async fn one(State(seen): State<Seen>, Path(id): Path<String>) -> Response {
    match seen.incidents.get(&id).await {
        Ok(incident) => document(StatusCode::OK, &incident.id, None, &record(&incident, &when::rfc3339(wall_clock()))),
        Err(error) => {
            let body = html! { p { a href="/incidents" { "All incidents" } } h1 { (error.to_string()) "." } };
            document(StatusCode::NOT_FOUND, "Incidents", None, &body)
        }
    }
}

fn all(list: &IncidentList) -> Markup {
    let count = |state| list.incidents.iter().filter(|one| one.state == state).count() as u64;
    let (open, patched) = (count(Stands::Open), count(Stands::Patched));
    let class = if open > 0 { "broken" } else { "working" };
    html! {
        p { a href="/" { "All flows" } }
        h1 class=(if patched > 0 && open == 0 { "cannot-tell" } else { class }) {
            (wording::count(open, "incident")) " open"
            @if patched > 0 { ", and " (wording::count(patched, "more")) " of which only the symptom is patched" } "."
        }
        @if !list.are_kept { p { b { "Nothing is kept: " } "this server runs without data, and forgets them when it stops." } }
        @for told in &list.unreadable { p { b { "Cannot be read: " } (told) } }
        @if list.incidents.is_empty() {
            p { "None was opened yet. From a finding: " code { "truegreen incident open FINDING" } }
        } @else {
            table {
                thead { tr { th { "incident" } th { "what" } th { "stands" } th { "opened" } th class="number" { "affected" } th class="number" { "open actions" } } }
                tbody { @for one in &list.incidents { (row(one)) } }
            }
        }
        p class="quiet" { a href="/api/v1/incidents" { "This as JSON" } "." }
    }
}

fn row(one: &IncidentSummary) -> Markup {
    html! {
        tr {
            td { a href={ "/incidents/" (one.id) } { (one.id) } }
            td { (one.title) }
            td { @if one.state == Stands::Fixed { (one.says) } @else { b { (one.says) } } @if one.reopened > 0 { "; came back " (wording::count(one.reopened, "time")) } }
            td { (short_time(&one.opened_at)) }
            td class="number" { (one.affected) }
            td class="number" { (one.open_actions) }
        }
    }
}

fn record(incident: &Incident, now: &str) -> Markup {
    let (class, stands) = match incident.state {
        Stands::Open => ("broken", "OPEN"),
        Stands::Patched => ("cannot-tell", "SYMPTOM PATCHED, CAUSE STAYS"),
        Stands::Fixed => ("working", "FIXED, AND WATCHED"),
    };
    let id = &incident.id;
    html! {
        p { a href="/incidents" { "All incidents" } }
        h1 class=(class) { (id) ": " (stands) ". " (incident.title) }
        p class="quiet" {
            "As a Markdown link: " code { "[" (id) ": " (escaped(&incident.title)) "](/incidents/" (id) ")" }
            " · Export: " a href={ "/api/v1/incidents/" (id) "/export?format=md" } { "Markdown" }
            ", " a href={ "/api/v1/incidents/" (id) "/export?format=html" } { "HTML" }
            ", " a href={ "/api/v1/incidents/" (id) } { "JSON" }
            " · Who was affected: " a href={ "/api/v1/incidents/" (id) "/affected?format=csv" } { "CSV" }
            " · " @for finding in &incident.findings { a href=(super::finding::href(&finding.id)) { "finding " (finding.id) } " " }
        }
        (postmortem::document(incident, now).body())
    }
}

#[cfg(test)]
mod tests {
    use truegreen_model::report::FindingReport;

    use super::*;

    #[test]
    fn what_is_only_patched_stays_visible_and_texts_are_escaped() {
        let incident = Incident {
            id: "INC-3".to_owned(),
            title: "<b>orders</b> vanish".to_owned(),
            state: Stands::Patched,
            findings: vec![FindingReport { title: "<script>".to_owned(), ..FindingReport::default() }],
            ..Incident::default()
        };
        let list =
            IncidentList { incidents: vec![incident.summary()], are_kept: false, unreadable: vec!["<i>".to_owned()] };
        let (listed, shown) = (all(&list).into_string(), record(&incident, "").into_string());
        assert!(listed.contains("0 incidents open, and 1 more of which only the symptom is patched"), "{listed}");
        assert!(shown.contains("SYMPTOM PATCHED, CAUSE STAYS"), "{shown}");
        for page in [listed, shown] {
            assert!(!page.contains("<script>") && !page.contains("<b>orders") && !page.contains("<i>"), "{page}");
        }
    }
}
