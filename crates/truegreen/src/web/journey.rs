//! One key followed through one flow, step by step.

use maud::{Markup, html};
use truegreen_model::report::{JourneyDetail, SeenReport};

use super::short_time;

pub(super) fn body(flow: &str, key: &str, journeys: &[JourneyDetail]) -> Markup {
    html! {
        p { a href="/" { "All flows" } }
        @if journeys.is_empty() {
            h1 class="cannot-tell" { "Nothing is known of " code { (key) } " in " (flow) "." }
            p { "Keys are matched exactly, and ended journeys are forgotten after a while." }
        }
        @for journey in journeys { (one(flow, key, journey)) }
    }
}

fn one(flow: &str, key: &str, detail: &JourneyDetail) -> Markup {
    let journey = &detail.journey;
    let class = match journey.verdict.as_str() {
        "unaccounted" => "broken",
        "unknown" | "open" => "cannot-tell",
        _ => "working",
    };
    html! {
        h1 class=(class) {
            code { (key) } " in " (flow) ": " (journey.verdict.replace('_', "-"))
            @if let Some(reason) = &journey.reason { " (" (reason) ")" }
            @if let Some(after) = journey.after.as_ref().filter(|_| !detail.owed.is_empty()) { ", last seen at " (after) }
        }
        p { "Entered at " (short_time(&journey.entered_at)) "." }
        h2 { "Seen" }
        table {
            thead { tr { th { "step" } th { "at" } th { "service" } th { "trace" } th { "evidence" } } }
            tbody { @for seen in &detail.seen { (row(seen)) } }
        }
        @if !detail.owed.is_empty() {
            h2 { "Owed and not seen" }
            table {
                thead { tr { th { "step" } th { "was due at" } } }
                tbody { @for (step, due) in &detail.owed { tr { td { (step) } td { (due) } } } }
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
            td { @if let Some(trace) = &seen.trace_id { code { (trace) } } }
            td { "request " (seen.sequence) ", byte " (seen.offset) }
        }
    }
}
