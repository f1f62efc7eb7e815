//! What is different about the failing ones, with numbers in words.

use maud::{Markup, html};
use truegreen_model::contrast::{Contrast, Explanation};
use truegreen_model::diagnosis::Diagnosis;

use super::words::{by_chance, percent, times_as_often};
use crate::wording::{self, sentence};

/// Runners-up that are shown; the JSON has all.
const SHOWN: usize = 5;

pub(super) fn section(diagnosis: &Diagnosis) -> Markup {
    html! {
        h2 { "What is different" }
        @match &diagnosis.difference {
            None => p { "There is nothing to compare: of failing ones, or of healthy ones, nothing could be read." },
            Some(difference) => (told(difference)),
        }
    }
}

fn told(of: &Contrast) -> Markup {
    let ties: Vec<_> = of.alternatives.iter().filter(|other| other.tie).take(SHOWN).collect();
    let others: Vec<_> = of.alternatives.iter().filter(|other| !other.tie).take(SHOWN).collect();
    html! {
        p { (sentence(&of.summary)) }
        @if !of.explanations.is_empty() { (table(&of.explanations)) }
        @if !ties.is_empty() {
            p { "The same requests, so that the data cannot tell which of these it is:" }
            ul { @for tie in &ties { li { code { (tie.explanation.title()) } } } }
        }
        @if !others.is_empty() {
            details {
                summary { "What would explain it less well" }
                (table(others.iter().map(|other| &other.explanation)))
            }
        }
        @if !of.ignored.is_empty() {
            p class="quiet" {
                (wording::count(of.attributes as u64, "attribute")) " were looked at, and "
                (of.ignored.len()) " were not, as they are unique, always the same, or times."
            }
        }
    }
}

fn table<'e>(explanations: impl IntoIterator<Item = &'e Explanation>) -> Markup {
    html! {
        div class="scroll" {
            table class="why" {
                thead { tr {
                    th { "those with" } th class="number" { "of the failing ones" } th class="number" { "of the healthy ones" }
                    th { "fail" } th { "chance does as much" }
                } }
                tbody {
                    @for one in explanations {
                        tr {
                            td { code { (one.title()) } }
                            td class="number" { (percent(one.failing_share)) }
                            td class="number" { (percent(one.healthy_share)) }
                            td { (times_as_often(one)) }
                            td { (by_chance(one.p_value)) }
                        }
                    }
                }
            }
        }
    }
}
