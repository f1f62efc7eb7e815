//! An answer's rows as a table whose bars are drawn as SVG; times that matter are in the text as well.

use maud::{Markup, html};
use truegreen_model::passage::{LogReport, PassageReport, SpanReport};

use super::trace_href;
use crate::lookup::rows::{Drawing, Row, Subject, Tone, drawing, log_line};
use crate::lookup::when;
use crate::wording;

const WIDTH: f64 = 1000.0;
/// Deeper spans are drawn no further to the right; the stylesheet has a class for each.
const MAX_INDENT: u32 = 12;

pub(super) fn table(report: &PassageReport) -> Markup {
    let drawing = drawing(report);
    let end = drawing.rows.iter().map(|row| row.to).max().unwrap_or(drawing.from);
    html! {
        @if !drawing.rows.is_empty() {
            div class="scroll" {
                table class="waterfall" {
                    thead { tr {
                        th { "time, UTC" } th { "service" } th { "what" }
                        th class="bars" { span { "0" } span { (when::duration(end - drawing.from)) } }
                        th class="number" { "took" } th { "outcome" }
                    } }
                    tbody { @for row in &drawing.rows { (row_of(row, &drawing)) } }
                }
            }
            @if drawing.spans_days { p class="quiet" { "Begins on " (when::date(drawing.from)) ", ends on " (when::date(end)) "." } }
            @if !drawing.scale.breaks().is_empty() { p class="quiet" { "Dotted lines: waiting, drawn shorter than it was." } }
        }
    }
}

fn row_of(row: &Row<'_>, drawing: &Drawing<'_>) -> Markup {
    let depth = format!("d{}", row.depth.min(MAX_INDENT));
    html! {
        tr class=(class_of(row)) {
            td class="time" {
                @if let Some(at) = row.time() { (when::column(at, drawing.spans_days)) }
            }
            td { (row.service) }
            td class=(depth) {
                (row.what)
                @match row.subject {
                    Subject::Span(span) => (details(span)),
                    Subject::Gap(gap) => @for expected in &gap.expected { div class="quiet" { "would be seen by: " (expected) } },
                    Subject::Answer(answer) => @if let Some(question) = &answer.question { div class="quiet" { code { (question) } } },
                    Subject::Log(_) | Subject::Seen(_) => {},
                }
            }
            td class="bars" { (bar(row, drawing)) }
            td class="number" { @if let Some(took) = row.took() { (when::duration(took)) } }
            td { (row.outcome) }
        }
        @for log in row.logs() { (log_row(log, &depth, drawing)) }
    }
}

fn class_of(row: &Row<'_>) -> String {
    let tone = match row.tone {
        Tone::Step => "step",
        Tone::Exit => "exit",
        Tone::Failed => "failed",
        Tone::Missing => "missing",
        Tone::Open => "awaited",
        Tone::Beside => "beside",
    };
    match row.subject {
        Subject::Answer(_) => format!("{tone} answer"),
        _ => tone.to_owned(),
    }
}

fn bar(row: &Row<'_>, drawing: &Drawing<'_>) -> Markup {
    let x = |place: f64| format!("{:.1}", place * WIDTH);
    let (from, to) = (drawing.scale.place(row.from), drawing.scale.place(row.to));
    // What took no time must still be seen.
    let width = ((to - from) * WIDTH).max(3.0);
    let left = match row.subject {
        // Now, whatever time that is.
        Subject::Answer(_) => WIDTH - width,
        _ => (from * WIDTH).min(WIDTH - width),
    };
    html! {
        svg class="bar" viewBox="0 0 1000 16" preserveAspectRatio="none" aria-hidden="true" {
            @for place in drawing.scale.breaks() { line class="break" x1=(x(*place)) x2=(x(*place)) y1="0" y2="16" {} }
            rect x=(format!("{left:.1}")) width=(format!("{width:.1}")) y="2" height="12" {}
        }
    }
}

/// What else is known of a span; trace and log lead further.
fn details(span: &SpanReport) -> Markup {
    html! {
        details {
            summary { (span.kind) @if span.status == "error" { ", error" } }
            dl {
                @for (name, value) in &span.attributes { dt { (name) } dd { (value) } }
                @if let Some(message) = &span.status_message { dt { "status" } dd { (message) } }
                @if !span.instance.is_empty() { dt { "instance" } dd { (span.instance) } }
                @if let Some(host) = &span.host { dt { "host" } dd { (host) } }
                dt { "trace" } dd { a href=(trace_href(&span.trace_id)) { code { (span.trace_id) } } }
                dt { "span" } dd { code { (span.span_id) } @if span.placed_by == "link" { ", below the span it links to" } }
                @if span.time_replaced { dt { "time" } dd { "what it claimed cannot be" } }
                dt { "evidence" } dd { "request " (span.sequence) ", byte " (span.offset) }
            }
        }
    }
}

fn log_row(log: &LogReport, depth: &str, drawing: &Drawing<'_>) -> Markup {
    let loud = matches!(log.severity.as_deref(), Some("WARN" | "ERROR" | "FATAL"));
    let steps: Vec<_> = log.steps.iter().map(|step| step.step.as_str()).collect();
    html! {
        tr class=(if loud { "log loud" } else { "log" }) {
            td class="time" { @if let Some(at) = when::nanos(&log.at) { (when::column(at, drawing.spans_days)) } }
            td {}
            td class=(depth) colspan="3" { (log_line(log)) }
            td { @if !steps.is_empty() { "✔ " (steps.join(", ")) } }
        }
    }
}

/// What the answer leaves out, and what its reader should know.
pub(super) fn notes(report: &PassageReport) -> Markup {
    html! {
        @if !report.cut.is_empty() || !report.notes.is_empty() {
            article class="quiet-finding" {
                @for cut in &report.cut { p { b { "Not shown: " (cut.count) " " (cut.what.replace('_', " ")) } ": " (cut.why) "." } }
                @for note in &report.notes { p { (wording::sentence(note)) } }
            }
        }
    }
}
