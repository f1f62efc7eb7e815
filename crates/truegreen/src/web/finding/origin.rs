//! Where it comes from: what changed, what one asks first, suspects, and what systems say of themselves.

use maud::{Markup, html};
use truegreen_model::change::{ChangeRanking, RankedChange};
use truegreen_model::diagnosis::{Diagnosis, SystemSeen};
use truegreen_model::suspect::Suspect;

use super::super::{short_time, trace_href};
use super::words::percent;
use crate::explaining::brief::place;
use crate::wording::sentence;

/// Changes and suspects that are shown at once; the JSON has all.
const SHOWN: usize = 5;

pub(super) fn changes(diagnosis: &Diagnosis) -> Markup {
    html! {
        h2 { "What changed" }
        @match &diagnosis.changes {
            None => p { "It is not known when it began, so no change can be held against it." },
            Some(ranking) => (ranked(ranking)),
        }
    }
}

fn ranked(of: &ChangeRanking) -> Markup {
    let (first, rest) = of.ranking.split_at(of.ranking.len().min(SHOWN));
    html! {
        p { (sentence(&of.says)) }
        @if !first.is_empty() { (changes_table(first)) }
        @if !rest.is_empty() {
            details { summary { "and " (rest.len()) " more" } (changes_table(rest)) }
        }
        @for note in &of.notes { p class="quiet" { (sentence(note)) } }
    }
}

fn changes_table(changes: &[RankedChange]) -> Markup {
    html! {
        div class="scroll" {
            table class="why" {
                thead { tr { th class="number" { "explains it" } th { "when" } th { "what" } th { "why" } } }
                tbody {
                    @for change in changes {
                        tr {
                            td class="number" { (percent(change.score)) }
                            td { (short_time(&change.at)) }
                            td {
                                @if change.title.is_empty() { (change.id) } @else { (change.title) }
                                @if let Some(service) = &change.service { " of " (service) }
                            }
                            td { @for reason in &change.reasons { div { (sentence(reason)) } } }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn questions(diagnosis: &Diagnosis) -> Markup {
    html! {
        @if !diagnosis.questions.is_empty() {
            h2 { "What one asks first" }
            table class="why" {
                thead { tr { th { "question" } th { "answer" } th { "because" } } }
                tbody {
                    @for one in &diagnosis.questions {
                        tr {
                            td { (one.question) }
                            td { @if one.answer == "cannot tell" { i { (one.answer) } } @else { b { (one.answer) } } }
                            td {
                                (sentence(&one.because))
                                @for evidence in &one.evidence { div class="quiet" { (sentence(evidence)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn suspects(diagnosis: &Diagnosis) -> Markup {
    let suspects = &diagnosis.suspects;
    let (first, rest) = suspects.split_at(suspects.len().min(SHOWN));
    html! {
        h2 { "Suspects" }
        @if suspects.is_empty() {
            p { "None: failing ones go the way of healthy ones as far as it was recorded." }
        }
        @for suspect in first { (one_suspect(suspect, suspects)) }
        @if !rest.is_empty() {
            details { summary { "and " (rest.len()) " more" } @for suspect in rest { (one_suspect(suspect, suspects)) } }
        }
    }
}

fn one_suspect(suspect: &Suspect, all: &[Suspect]) -> Markup {
    let is_tied = all.iter().filter(|other| other.rank == suspect.rank).count() > 1;
    html! {
        article {
            p { b { (suspect.rank) ". " (sentence(&place(suspect))) } @if is_tied { " As likely as others of this rank." } }
            @if suspect.log_event.is_some() || suspect.missing_after.is_some() {
                dl {
                    @for (name, text) in [
                        ("event", &suspect.log_event), ("after", &suspect.missing_after), ("instead", &suspect.instead),
                    ] {
                        @if let Some(text) = text { dt { (name) } dd { code { (text) } } }
                    }
                }
            }
            ul { @for evidence in &suspect.evidence { li { (sentence(evidence)) } } }
            @if !suspect.traces.is_empty() {
                p {
                    "For example "
                    @for (n, trace) in suspect.traces.iter().enumerate() {
                        @if n > 0 { ", " }
                        a href=(trace_href(trace)) { code { (trace) } }
                    }
                }
            }
        }
    }
}

pub(super) fn systems(diagnosis: &Diagnosis) -> Markup {
    let class = |system: &SystemSeen| format!("standing is-{}", system.standing.name());
    html! {
        @if !diagnosis.systems.is_empty() {
            h2 { "What systems say themselves" }
            table class="systems" {
                thead { tr { th { "system" } th { "is" } th { "in words" } } }
                tbody {
                    @for system in &diagnosis.systems {
                        tr {
                            td { a href=(format!("/systems#system-{}", system.system)) { (system.system) } " (" (system.role) ")" }
                            td { b class=(class(system)) { (system.standing.name()) } }
                            td { (sentence(&system.says)) }
                        }
                    }
                }
            }
        }
    }
}
