//! How far it reaches, and since when.

use maud::{Markup, html};
use truegreen_model::diagnosis::{Diagnosis, Dimension, Onset};

use super::super::short_time;
use super::words::{by_chance, percent};
use crate::lookup::when;
use crate::wording::sentence;

/// Attributes, and values of one, that are shown; the JSON has all.
const SHOWN: usize = 6;
const SHOWN_VALUES: usize = 3;

pub(super) fn section(diagnosis: &Diagnosis) -> Markup {
    let radius = &diagnosis.radius;
    let known: Vec<&Dimension> = radius.dimensions.iter().filter(|of| of.reach != "cannot tell").take(SHOWN).collect();
    html! {
        h2 { "How far it reaches" }
        @if !radius.says.is_empty() { p { (sentence(&radius.says)) } }
        @if !known.is_empty() { (dimensions(&known)) }
        h2 { "Since when" }
        @match &diagnosis.onset {
            None => p { "When it began cannot be told: no single requests of it are known." },
            Some(onset) => (since(onset)),
        }
    }
}

fn dimensions(known: &[&Dimension]) -> Markup {
    html! {
        div class="scroll" {
            table class="why" {
                thead { tr {
                    th { "by" } th { "hits" } th class="number" { "values that fail" } th { "those that fail most" } th { "so uneven by chance" }
                } }
                tbody {
                    @for of in known {
                        tr {
                            td { code { (of.attribute) } }
                            td { (of.reach) }
                            td class="number" { (of.failing_values) " of " (of.values) }
                            td {
                                @for (n, value) in of.worst.iter().take(SHOWN_VALUES).enumerate() {
                                    @if n > 0 { ", " }
                                    code { (value.value) } " (" (value.failing) " of " (value.compared) ")"
                                }
                            }
                            td { (by_chance(of.p_value)) }
                        }
                    }
                }
            }
        }
    }
}

fn since(onset: &Onset) -> Markup {
    html! {
        p { (sentence(&onset.says)) }
        dl {
            dt { "began" } dd {
                (short_time(&onset.at)) ", with 95 % between " (when::beside(&onset.from, &onset.at)) " and "
                (when::beside(&onset.until, &onset.at))
            }
            dt { "failed before" } dd { (onset.share_before.map_or("nothing is known of before".to_owned(), percent)) }
            dt { "fail since" } dd { (percent(onset.share_since)) }
            dt { "goes on" } dd { (onset.goes_on) ", the latest at " (short_time(&onset.latest)) }
        }
    }
}
