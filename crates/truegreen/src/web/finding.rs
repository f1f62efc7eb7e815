//! `/findings/{id}`: one finding, and why it is there. The sentence comes first, then what it rests on, in the order in which
//! one asks.
//!
//! `difference`, `reach`, `origin`: the parts of the diagnosis; `words`: its numbers as people say them.

mod difference;
mod origin;
mod reach;
mod words;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use truegreen_engine::Engine;
use truegreen_model::diagnosis::{Certainty, Compared, Diagnosis, Related};
use truegreen_model::incident::Recurrence;
use truegreen_model::report::FindingReport;

use super::page::{example_href, place};
use super::{document, encoded, short_time, unavailable};
use crate::explaining::Error;
use crate::server::Seen;
use crate::wording::{self, sentence};

/// Whoever looks waits no longer for a diagnosis; the page then comes without, and tries again.
const WAITS: Duration = Duration::from_secs(8);
const REFRESH_SECONDS: u32 = 5;
/// One that is no older is new: what it was made of hardly changes so quickly.
const ANEW: Duration = Duration::from_secs(10);
/// Findings beside it that are listed.
const SHOWN: usize = 20;

/// In the query of the URL.
#[derive(Deserialize)]
pub(super) struct Wanted {
    /// Whether the diagnosis is to be made anew.
    #[serde(default)]
    anew: bool,
}

/// What is shown.
#[derive(Default)]
struct View {
    finding: FindingReport,
    diagnosis: Option<Arc<Diagnosis>>,
    /// Why there is no diagnosis, or no newer one.
    why_not: Option<String>,
    /// Its open incident, if it has one.
    incident: Option<String>,
    /// The earlier incident that it is most like.
    earlier: Option<Recurrence>,
}

pub(super) async fn one(State(seen): State<Seen>, Path(id): Path<String>, Query(wanted): Query<Wanted>) -> Response {
    let Ok(report) = seen.run.ask(Engine::report).await else { return unavailable() };
    let kept = seen.explaining.latest(&id);
    let known = report.findings.into_iter().find(|finding| finding.id == id);
    // What the engine has forgotten may still be explained.
    let Some(finding) = known.or_else(|| kept.as_ref().map(|kept| kept.finding.clone())) else {
        return document(StatusCode::NOT_FOUND, "Findings", None, &nothing(&id));
    };
    let mut view = View { incident: seen.incidents.by_finding().remove(&id), ..View::default() };
    view.earlier = seen.incidents.earlier(std::slice::from_ref(&finding)).remove(&id);
    view.finding = finding;
    let mut refresh = None;
    match kept.filter(|_| !wanted.anew) {
        Some(kept) => view.diagnosis = Some(kept),
        None => match tokio::time::timeout(WAITS, seen.explaining.not_older(&id, ANEW)).await {
            Ok(Ok(made)) => view.diagnosis = Some(made),
            Ok(Err(Error::Unavailable(_))) => return unavailable(),
            Ok(Err(error)) => view.why_not = Some(error.to_string()),
            Err(_) => {
                view.why_not = Some("it is being made, and takes a while; this page tries again by itself".to_owned());
                refresh = Some(REFRESH_SECONDS);
            }
        },
    }
    if view.diagnosis.is_none() {
        view.diagnosis = seen.explaining.latest(&id);
    }
    document(StatusCode::OK, &view.finding.title, refresh, &body(&view))
}

fn nothing(id: &str) -> Markup {
    html! {
        p { a href="/" { "All flows" } }
        h1 class="cannot-tell" { "No finding is called " code { (id) } "." }
        p { "Those that are over are forgotten after a while." }
    }
}

fn body(view: &View) -> Markup {
    let finding = &view.finding;
    html! {
        p { a href="/" { "All flows" } }
        (headline(view))
        @if let Some(why_not) = &view.why_not { p { b { "No diagnosis: " } (sentence(why_not)) } }
        (the_finding(view))
        @if let Some(diagnosis) = &view.diagnosis {
            (reasons(diagnosis))
            (difference::section(diagnosis))
            (reach::section(diagnosis))
            (origin::changes(diagnosis))
            (origin::questions(diagnosis))
            (origin::suspects(diagnosis))
            (origin::systems(diagnosis))
            (lines("Ruled out", diagnosis.ruled_out.iter().map(|one| format!("{}: {}", one.what, one.why))))
            (lines("What is not seen", diagnosis.limits.iter().cloned()))
            (related(&diagnosis.related))
            (compared(&diagnosis.compared, &diagnosis.as_of, finding))
        }
        (ways_on(&finding.id))
    }
}

/// All of it in one sentence, and how sure that is.
fn headline(view: &View) -> Markup {
    let class = if wording::is_standing(&view.finding) { "broken" } else { "working" };
    match &view.diagnosis {
        Some(diagnosis) => html! {
            h1 class=(class) { (certainty(diagnosis.verdict)) " " (sentence(&diagnosis.says)) }
            p class="quiet" { (means(diagnosis.verdict)) }
        },
        None => html! { h1 class=(class) { (sentence(&view.finding.title)) } },
    }
}

fn certainty(verdict: Certainty) -> Markup {
    html! { span class=(format!("certainty is-{}", verdict.name().to_lowercase())) { (verdict.name()) } }
}

fn means(verdict: Certainty) -> &'static str {
    match verdict {
        Certainty::Confirmed => {
            "The cause was seen itself, or independent kinds of evidence name the same one, and nothing speaks against it."
        }
        Certainty::Likely => "One cause explains what was seen better than any other; it is not proven.",
        Certainty::Inconclusive => "Nothing that was seen tells the cause, or several causes would look alike.",
    }
}

fn the_finding(view: &View) -> Markup {
    let finding = &view.finding;
    html! {
        article id="finding" class=[wording::is_standing(finding).then_some("open")] {
            p { b { (sentence(&finding.title)) } }
            p {
                (place(finding)) ": " (wording::concerned(finding)) ", since " (short_time(&finding.onset))
                ", found at " (short_time(&finding.first_seen)) ", last at " (short_time(&finding.last_seen)) "; "
                (finding.status) "."
            }
            (evidence(finding, view.earlier.as_ref(), view.incident.as_deref()))
        }
    }
}

/// What speaks for it, requests that show it, and what was written down of it and of its like.
pub(super) fn evidence(finding: &FindingReport, earlier: Option<&Recurrence>, incident: Option<&str>) -> Markup {
    html! {
        @if !finding.evidence.is_empty() {
            ul { @for evidence in &finding.evidence { li { (sentence(evidence)) } } }
        }
        @if !finding.examples.is_empty() {
            p {
                "For example "
                @for (n, key) in finding.examples.iter().enumerate() {
                    @if n > 0 { ", " }
                    a href=(example_href(finding, key)) { code { (key) } }
                }
            }
        }
        @if let Some(earlier) = earlier {
            p { a href={ "/incidents/" (earlier.incident) } { (earlier.incident) } ": " (sentence(&earlier.says)) }
        }
        @if let Some(incident) = incident {
            p { "Written down as " a href={ "/incidents/" (incident) } { (incident) } "." }
        }
    }
}

fn reasons(diagnosis: &Diagnosis) -> Markup {
    let cause = &diagnosis.cause;
    html! {
        h2 { "Why" }
        ul { @for reason in &diagnosis.reasons { li { (sentence(reason)) } } }
        @if !cause.finding.is_empty() && cause.finding != diagnosis.finding.id {
            p { "At the bottom of it: " a href=(href(&cause.finding)) { (sentence(&cause.says)) } }
        }
    }
}

fn related(related: &[Related]) -> Markup {
    let relation = |one: &Related| match one.relation.as_str() {
        "cause" => "explains this one",
        "consequence" => "follows from this one",
        _ => "beside it",
    };
    html! {
        @if !related.is_empty() {
            h2 { "Other findings" }
            table {
                thead { tr { th { "finding" } th { "it" } th { "why" } } }
                tbody {
                    @for one in related.iter().take(SHOWN) {
                        tr {
                            td { a href=(href(&one.finding)) { (sentence(&one.title)) } }
                            td { (relation(one)) }
                            td { (one.why) }
                        }
                    }
                }
            }
            @if related.len() > SHOWN { p class="quiet" { "and " (related.len() - SHOWN) " more." } }
        }
    }
}

fn compared(of: &Compared, as_of: &str, now: &FindingReport) -> Markup {
    let missed = now.count.saturating_sub(of.failing_of);
    html! {
        h2 { "What was compared" }
        p {
            (of.failing) " of " (of.failing_of) " failing with " (of.healthy) " of " (of.healthy_of)
            " healthy ones, by " (of.records) " spans and log records, as of " (short_time(as_of)) "."
            @if missed > 0 { " It has grown by " (missed) " since." }
            " " a href="?anew=true" { "Make it anew" } "."
        }
        @if !of.cut.is_empty() {
            ul { @for cut in &of.cut { li { "Left out: " (cut.count) " " (cut.what) ", since " (sentence(&cut.why)) } } }
        }
    }
}

/// For whoever goes on from here.
fn ways_on(id: &str) -> Markup {
    html! {
        h2 { "Go on" }
        p {
            code { "truegreen investigate " (id) } " · " code { "truegreen diagnose " (id) } " · "
            code { "truegreen incident open " (id) }
        }
        p class="quiet" { "For programs: " a href={ "/api/v1/findings/" (encoded(id)) "/diagnosis" } { "this as JSON" } "." }
    }
}

/// A list under a heading, where there is anything to list.
fn lines(heading: &str, lines: impl Iterator<Item = String>) -> Markup {
    let lines: Vec<String> = lines.collect();
    html! {
        @if !lines.is_empty() {
            h2 { (heading) }
            ul { @for line in &lines { li { (sentence(line)) } } }
        }
    }
}

/// The page of a finding.
pub(super) fn href(id: &str) -> String {
    format!("/findings/{}", encoded(id))
}

#[cfg(test)]
mod tests;
