//! `/systems`: what the systems say that are asked themselves, worst first, and what services say of themselves beside it.

use maud::{Markup, html};
use truegreen_model::probe::{Check, ProbeReport, Standing};

use super::short_time;
use crate::systems::claims::{self, Agreement, Claim, Known};
use crate::systems::latest::Probed;
use crate::systems::words;
use crate::wording;

/// Checks of one system that are shown at once; the others wait behind a click.
const SHOWN: usize = 20;

pub(super) fn body(known: &Known) -> Markup {
    let mut probed: Vec<&Probed> = known.probed.iter().collect();
    probed.sort_by_key(|probed| words::loudness(probed.report.standing));
    let claims = claims::hold(known);
    let verdict = words::verdict(known.probed.iter().map(|probed| &probed.report));
    html! {
        h1 class=(class_of(&verdict)) { (verdict) }
        @if probed.is_empty() {
            p { "Name databases, brokers, caches and health checks under " code { "systems" } " in the configuration, and they are asked regularly." }
        } @else {
            p class="key" {
                @for standing in [Standing::Fail, Standing::Warn, Standing::Unknown, Standing::Pass] { span { (mark(standing)) } }
            }
        }
        @if !claims.is_empty() { (claims_section(&claims)) }
        @for probed in &probed { (system(probed)) }
        p class="quiet" {
            a href="/" { "Back to the books" } ". For programs: " a href="/api/v1/probes" { "probes" } ", "
            a href="/api/v1/claims" { "claims" } ", " a href="/healthz?verbose" { "health" } ", " a href="/metrics" { "metrics" } "."
        }
    }
}

fn class_of(verdict: &str) -> &'static str {
    match verdict.split(':').next() {
        Some("WORKING") => "working",
        Some("BROKEN") => "broken",
        _ => "cannot-tell",
    }
}

/// A standing in a word, drawn so that it can be told without its colour; what is unknown is hollow.
fn mark(standing: Standing) -> Markup {
    html! { b class=(format!("standing is-{}", standing.name())) { (standing.name()) } }
}

fn claims_section(claims: &[Claim]) -> Markup {
    html! {
        h2 { "Claims against truth" }
        p class="quiet" { "What services say of themselves, beside what flows and systems say." }
        table class="systems" {
            thead { tr { th { "service" } th { "says" } th { "held against truth" } th { "in words" } } }
            tbody {
                @for claim in claims {
                    tr {
                        td { a href=(format!("#system-{}", claim.system)) { (claim.service) } }
                        td { (mark(claim.says)) }
                        td { b class=(format!("standing is-{}", agreement(claim.standing))) { (claim.standing.name()) } }
                        td {
                            (claim.verdict)
                            @if !claim.findings.is_empty() {
                                " "
                                @for (n, id) in claim.findings.iter().enumerate() {
                                    @if n > 0 { ", " }
                                    a href=(super::finding::href(id)) { "finding" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn agreement(standing: Agreement) -> &'static str {
    match standing {
        Agreement::Lies => "fail",
        Agreement::CannotTell => "unknown",
        Agreement::Agrees => "pass",
    }
}

fn system(probed: &Probed) -> Markup {
    let report = &probed.report;
    let class = match report.standing {
        Standing::Fail => Some("open"),
        Standing::Warn => Some("quiet-finding"),
        Standing::Unknown => Some("dark"),
        Standing::Pass => None,
    };
    let checks = words::worst_first(report);
    let (shown, behind) = checks.split_at(checks.len().min(SHOWN));
    html! {
        article id=(format!("system-{}", report.system)) class=[class] {
            p { b { (report.system) } " " (mark(report.standing)) " since " (short_time(&probed.since)) }
            p class="quiet" { (report.kind) " at " code { (report.address) } ", " (asked(report)) }
            @if !shown.is_empty() { (table(shown)) }
            @if !behind.is_empty() {
                details {
                    summary { "and " (wording::count(behind.len() as u64, "more check")) }
                    (table(behind))
                }
            }
        }
    }
}

fn asked(report: &ProbeReport) -> String {
    format!("asked at {}, which took {:.0} ms", short_time(&report.time), report.seconds * 1_000.0)
}

fn table(checks: &[&Check]) -> Markup {
    html! {
        table class="systems" {
            thead { tr { th { "check" } th { "is" } th class="number" { "measured" } th { "why" } } }
            tbody {
                @for check in checks {
                    tr {
                        td { (words::subject(check)) }
                        td { (mark(check.standing)) }
                        td class="number" {
                            @if check.observed.is_some() { (words::observed(check)) }
                            @else if check.standing == Standing::Unknown { i { "no data" } }
                        }
                        td { @for (n, line) in check.reason.lines().enumerate() { @if n > 0 { br; } (line) } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use truegreen_connect::address::Surroundings;
    use truegreen_connect::{Address, SystemConfig};
    use truegreen_model::probe::Check;

    use super::*;
    use crate::web::whole;

    fn probed(system: &str, kind: &str, checks: Vec<Check>) -> Probed {
        let (time, since) = ("2026-01-01T10:00:00Z".to_owned(), "2026-01-01T09:12:13Z".to_owned());
        let standing = ProbeReport::worst(&checks);
        let (system, kind, address) = (system.to_owned(), kind.to_owned(), format!("{kind}://{system}"));
        Probed { report: ProbeReport { system, kind, address, standing, time, seconds: 0.012, checks }, since }
    }

    fn known() -> Known {
        let config = |name: &str, url: &str| SystemConfig::new(name, Address::parse(url, &Surroundings).unwrap());
        let mut health = config("payments", "http://payments");
        health.expect.claims_of = Some("payments".to_owned());
        let mut stock = config("stock-db", "http://stock-db");
        stock.used_by = vec!["payments".to_owned()];
        Known {
            probed: vec![
                probed("payments", "http", vec![Check::pass("status").observed(200.0, "status")]),
                probed("time", "clock", vec![Check::new("offset", Standing::Unknown, "it tells no time")]),
                probed(
                    "stock-db",
                    "postgres",
                    vec![
                        Check::pass("read"),
                        Check::new("write", Standing::Fail, "answered: <read-only>\nhint: free the disk"),
                        Check::new("replication_lag", Standing::Warn, "12 s behind")
                            .observed(12.0, "s")
                            .of("replica b"),
                    ],
                ),
            ],
            configs: vec![health, stock],
            flows: None,
        }
    }

    #[test]
    fn the_worst_stands_first_and_what_is_not_known_is_drawn_as_such() {
        let text = whole("Systems", None, &body(&known())).into_string();
        assert!(!text.contains("<read-only>"));
        insta::assert_snapshot!(text.replace('>', ">\n"));
    }

    #[test]
    fn without_any_system_nothing_can_be_told() {
        let text = body(&Known::default()).into_string();
        assert!(text.contains("cannot-tell") && text.contains("CANNOT TELL: no system is asked."), "{text}");
    }
}
