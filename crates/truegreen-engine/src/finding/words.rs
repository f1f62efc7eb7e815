//! Findings about places as sentences.

use truegreen_model::finding::FindingKind;

use super::PlaceFinding;
use crate::date::clock;
use crate::symbols::Symbols;

/// One sentence that says what deviates, where, since when, and an example.
pub(super) fn title(finding: &PlaceFinding, symbols: &Symbols) -> String {
    let place = &finding.place;
    let service = symbols.text(place.service);
    let n = finding.count;
    let operation = place
        .operation
        .map_or_else(|| format!("`{service}`"), |name| format!("`{}` of `{service}`", symbols.text(name)));
    let peer = place.peer.map_or("another service", |peer| symbols.text(peer));
    let subject = place.subject.map_or("its target", |subject| symbols.text(subject));
    let what = match finding.kind {
        FindingKind::StalledRequest => format!("{n} requests of {operation} began and never ended"),
        FindingKind::SilentLoop => {
            format!("{n} requests of {operation} never end, and repeat the same again and again")
        }
        FindingKind::MaskedFailure => format!("{n} failures of {operation} were answered with success"),
        FindingKind::SwallowedTimeout => format!("{n} time-outs of {operation} were answered with success"),
        FindingKind::ZeroRows => {
            format!("{n} times {operation} changed no row in `{subject}`, and went on as if it had")
        }
        FindingKind::SlowConsumer => {
            format!("{operation} falls behind on `{subject}`: messages wait longer and longer")
        }
        FindingKind::StuckConsumer => format!("{operation} no longer takes messages from `{subject}`"),
        FindingKind::SkippingConsumer => {
            format!("{operation} takes messages from `{subject}` and does nothing with {n} of them")
        }
        FindingKind::LostPublish if finding.evidence.iter().any(|told| told.contains("without publishing")) => {
            format!("{n} times {operation} answered with success and published nothing to `{subject}`")
        }
        FindingKind::LostPublish => format!("{n} messages of {operation} to `{subject}` were never processed"),
        FindingKind::DuplicateDelivery => {
            let by = place.peer.map_or_else(String::new, |_| format!(": `{peer}` publishes them twice"));
            format!("{n} messages of `{subject}` were processed more than once by {operation}{by}")
        }
        FindingKind::StaleCache if finding.evidence.iter().any(|told| told.starts_with("hits go on though")) => {
            format!("`{service}` goes on being served from its cache `{subject}` though what fills that is written")
        }
        FindingKind::StaleCache => format!("`{service}` served {n} stale entries of its cache `{subject}`"),
        FindingKind::ClockSkew => {
            let is_about_tokens = finding.evidence.iter().any(|told| told.starts_with("time, not auth"));
            let but = if is_about_tokens { ": its token errors are time, not auth" } else { "" };
            format!("the clock of `{service}` is wrong{but}")
        }
        FindingKind::LyingHealth => format!("{operation} says healthy while requests through `{service}` fail"),
        FindingKind::FlowStopped => format!("nothing enters {operation} any more"),
        FindingKind::ServiceSilent => format!("`{service}` stopped reporting"),
        FindingKind::EdgeVanished => format!("{operation} no longer reaches `{peer}`"),
        FindingKind::EdgeAppeared => format!("{operation} calls `{peer}`, which it never did before"),
        FindingKind::BrokenContext => match place.subject {
            Some(_) => format!("messages of `{subject}` reach {operation} without their trace context"),
            None => format!("calls reach {operation} without their trace context"),
        },
        FindingKind::ExporterDrops => format!("`{service}` loses part of its telemetry"),
        FindingKind::CounterMismatch => format!("a counter of `{service}` disagrees with the books"),
        kind => format!("{n} times {} at {operation}", kind.name().replace('_', " ")),
    };
    let example = finding.examples.first().map(|example| format!(", for example {example}")).unwrap_or_default();
    format!("{what}; since {} UTC{example}", clock(finding.onset))
}
