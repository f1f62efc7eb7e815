//! The verdict as one sentence.

use truegreen_model::contrast::{Contrast, Explanation};

/// Share of the failures that the answer must cover to be called the whole of it.
const WHOLE: f64 = 0.8;
/// Fewer failures than this prove too little to say that nothing sets them apart.
const FEW_FAILURES: u64 = 10;

/// What is said, and why.
pub(super) fn verdict(contrast: &Contrast) -> (&'static str, String) {
    let Contrast { failing, attempts, .. } = *contrast;
    if failing == 0 {
        return ("nothing to explain", format!("none of {} failed", count(attempts, "attempt")));
    }
    if failing == attempts {
        let all = count(attempts, "attempt");
        return ("cannot tell", format!("all of {all} failed: there is no healthy one to compare with"));
    }
    if contrast.attributes == 0 {
        return ("cannot tell", "no attribute is left that could set the failing ones apart".to_owned());
    }
    let of = format!("{} of {}", number(failing), count(attempts, "attempt"));
    let Some(first) = contrast.explanations.first() else {
        if failing < FEW_FAILURES {
            let why = format!("only {of} failed: too few to prove what sets them apart");
            return ("cannot tell", why);
        }
        return ("nothing to explain", format!("{of} failed, and no attribute sets them apart"));
    };
    let places = contrast.explanations.iter().map(Explanation::title).collect::<Vec<_>>().join("; or ");
    let rates = match contrast.explanations.len() {
        1 => format!(" ({} fail there, {} elsewhere)", percent(first.rate_inside), percent(first.rate_outside)),
        _ => String::new(),
    };
    let covered = percent(contrast.covered);
    if contrast.covered >= WHOLE {
        return ("explained", format!("{of} failed, {covered} of them where {places}{rates}"));
    }
    let rest = "the rest is not set apart by any attribute";
    ("partly", format!("{of} failed, {covered} of them where {places}{rates}; {rest}"))
}

fn count(n: u64, what: &str) -> String {
    format!("{} {what}{}", number(n), if n == 1 { "" } else { "s" })
}

/// `1,234,567`
fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let text = match percent {
        p if p >= 99.95 || p == 0.0 => format!("{p:.0}"),
        p if p >= 10.0 => format!("{p:.0}"),
        p if p >= 0.095 => format!("{p:.1}"),
        p => format!("{p:.2e}"),
    };
    // What is not all is not called all.
    let text = if text == "100" && share < 1.0 { "99.9".to_owned() } else { text };
    format!("{text} %")
}
