//! One key, trace or message followed end to end.

use maud::{Markup, html};
use truegreen_model::answer::{FoundLetter, SystemAnswer};
use truegreen_model::passage::{GapReport, PassageReport};
use truegreen_model::report::{JourneyDetail, SeenReport};

use super::{dead_letters, encoded, short_time, trace_href, waterfall};
use crate::lookup::rows::{Tone, answer_tone, mark};
use crate::wording;

/// `flow`: where it was looked for, if in one flow only.
pub(super) fn body(report: &PassageReport, flow: Option<&str>) -> Markup {
    html! {
        p { a href="/" { "All flows" } }
        @if report.journeys.is_empty() { (without_journey(report)) }
        @for journey in &report.journeys { (verdict(journey, report)) }
        (answers(report))
        (waterfall::table(report))
        (waterfall::notes(report))
        @for journey in &report.journeys { (steps(journey)) }
        p class="quiet" {
            @if !report.answers.is_empty() { a href=(unasked_href(&report.asked, flow)) { "Without asking systems" } ". " }
            @if flow.is_some() { a href=(trace_href(&report.asked)) { "In all flows" } ". " }
            "For programs: " a href=(api_href(&report.asked, flow)) { "this as JSON" } "."
        }
    }
}

/// Nothing is known of what was asked for.
pub(super) fn nothing(report: &PassageReport, flow: Option<&str>, notes: &[String]) -> Markup {
    html! {
        p { a href="/" { "All flows" } }
        h1 class="cannot-tell" {
            "Nothing is known of " code { (report.asked) } @if let Some(flow) = flow { " in " (flow) } "."
        }
        p { "Keys are matched exactly, and ended journeys are forgotten after a while." }
        @for note in notes { p { (wording::sentence(note)) } }
        (answers(report))
    }
}

/// What systems said that were asked for it now.
fn answers(report: &PassageReport) -> Markup {
    let about = |answer: &SystemAnswer| match answer.way.as_str() {
        "dead_letters" => "dead letters".to_owned(),
        _ => answer.of.clone(),
    };
    html! {
        @if let Some(conclusion) = &report.conclusion { p { b { (wording::sentence(conclusion)) } } }
        @if let Some(first) = report.answers.first() {
            div class="scroll" {
                table class="answers" {
                    thead { tr { th { "system" } th { "asked for" } th { "it says, at " (short_time(&first.asked_at)) } } }
                    tbody {
                        @for answer in &report.answers {
                            tr class=(tone(answer)) {
                                td { (answer.system) }
                                td { (about(answer)) }
                                td { (mark(answer)) " " (answer.says) (evidence(answer)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn tone(answer: &SystemAnswer) -> &'static str {
    match answer_tone(answer) {
        Tone::Missing | Tone::Failed => "failed",
        Tone::Open => "awaited",
        _ => "beside",
    }
}

/// The question, all rows, and the way to each letter.
fn evidence(answer: &SystemAnswer) -> Markup {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".to_owned());
    html! {
        @for letter in &answer.letters { (found(answer, letter)) }
        @if answer.question.is_some() || !answer.rows.is_empty() {
            details {
                summary { "asked" @if !answer.rows.is_empty() { ", and found" } }
                @if let Some(question) = &answer.question { p { code { (question) } " for " code { (answer.key) } } }
                @for row in &answer.rows {
                    dl { @for (name, text) in row { dt { (name) } dd { (value(text)) } } }
                }
            }
        }
    }
}

fn found(answer: &SystemAnswer, letter: &FoundLetter) -> Markup {
    html! {
        @if let Some(command) = &letter.command {
            div class="quiet" {
                a href=(dead_letters::letter_href(&answer.system, &answer.of, &letter.id)) { "letter " code { (letter.id) } }
                " · " code { (command) }
            }
        } @else {
            div class="quiet" { code { (letter.id) } }
        }
    }
}

fn without_journey(report: &PassageReport) -> Markup {
    let how: Vec<_> = report.found_as.iter().map(|how| how.replace('_', " ")).collect();
    html! {
        h1 class="cannot-tell" {
            code { (report.asked) } @if !how.is_empty() { ", a " (how.join(" and a ")) } ": no journey is known"
        }
    }
}

fn verdict(detail: &JourneyDetail, report: &PassageReport) -> Markup {
    let journey = &detail.journey;
    let class = match journey.verdict.as_str() {
        "unaccounted" => "broken",
        "unknown" | "open" => "cannot-tell",
        _ => "working",
    };
    let is_own =
        |gap: &&GapReport| (&gap.flow, &gap.key, &gap.entered_at) == (&journey.flow, &journey.key, &journey.entered_at);
    let gaps: Vec<_> = report.gaps.iter().filter(is_own).collect();
    html! {
        h1 class=(class) {
            code { (journey.key) } " in " (journey.flow) ": " (journey.verdict.replace('_', "-"))
            @if let Some(reason) = &journey.reason { " (" (reason) ")" }
            @if let Some(after) = journey.after.as_ref().filter(|_| !gaps.is_empty()) { ", last seen at " (after) }
        }
        p { "Entered at " (short_time(&journey.entered_at)) "." }
        @for gap in gaps { p { (wording::sentence(&gap.says)) } }
        @for answer in wording::answers(detail) { p { (wording::sentence(&answer)) } }
    }
}

fn steps(detail: &JourneyDetail) -> Markup {
    html! {
        details {
            summary { "Steps of " code { (detail.journey.key) } " in " (detail.journey.flow) }
            table {
                thead { tr { th { "step" } th { "at" } th { "service" } th { "trace" } th { "evidence" } } }
                tbody { @for seen in &detail.seen { (row(seen)) } }
            }
        }
    }
}

fn row(seen: &SeenReport) -> Markup {
    html! {
        tr {
            td {
                (seen.step)
                @if seen.attempt { " (failed attempt)" }
                @if let Some(reason) = &seen.reason { " (" (reason) ")" }
            }
            td { (seen.at) }
            td { (seen.service) @if !seen.instance.is_empty() { " " span class="quiet" { (seen.instance) } } }
            td { @if let Some(trace) = &seen.trace_id { a href=(trace_href(trace)) { code { (trace) } } } }
            td { "request " (seen.sequence) ", byte " (seen.offset) }
        }
    }
}

/// The same page by telemetry alone.
fn unasked_href(asked: &str, flow: Option<&str>) -> String {
    match flow {
        Some(flow) => format!("{}?ask=false", super::journey_href(flow, asked)),
        None => format!("{}?ask=false", trace_href(asked)),
    }
}

fn api_href(asked: &str, flow: Option<&str>) -> String {
    let flow = flow.map(|flow| format!("?flow={}", encoded(flow))).unwrap_or_default();
    format!("/api/v1/trace/{}{flow}", encoded(asked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::rows::samples;
    use crate::web::whole;

    #[test]
    fn the_page_draws_the_gap_where_something_should_have_been() {
        let text = whole("ord-42", None, &body(&samples::lost_order(), Some("order-fulfilment"))).into_string();
        insta::assert_snapshot!(text.replace('>', ">\n"));
    }

    #[test]
    fn what_peers_sent_is_escaped_wherever_it_stands() {
        let hostile = "<script>alert(1)</script>\"'";
        let text = serde_json::to_string(&samples::lost_order()).unwrap();
        let texts = [
            "ord-42",
            "publish stock-events",
            "inventory",
            "mailbox full",
            "/checkout",
            "node-3",
            "vanished",
            "stock_moves",
            "2 lines",
            "orders.dead",
            "17-4",
        ];
        let quoted = serde_json::to_string(hostile).unwrap();
        let text = texts.iter().fold(text, |text, sent| text.replace(sent, quoted.trim_matches('"')));
        let report: PassageReport = serde_json::from_str(&text).unwrap();
        let page = body(&report, Some(hostile)).into_string();
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
        assert!(!nothing(&report, None, &[hostile.to_owned()]).into_string().contains("<script"));
    }
}
