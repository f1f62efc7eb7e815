//! The same words for systems on pages and terminals.

use truegreen_model::probe::{Check, ProbeReport, Standing};

use crate::wording;

/// How loud it is: what fails first, then what will; what cannot be told before what works.
pub fn loudness(standing: Standing) -> u8 {
    match standing {
        Standing::Fail => 0,
        Standing::Warn => 1,
        Standing::Unknown => 2,
        Standing::Pass => 3,
    }
}

/// Its checks, worst first.
pub fn worst_first(report: &ProbeReport) -> Vec<&Check> {
    let mut checks: Vec<&Check> = report.checks.iter().collect();
    checks.sort_by_key(|check| loudness(check.standing));
    checks
}

/// `queue stock-events lag_messages`.
pub fn subject(check: &Check) -> String {
    match check.component.as_str() {
        "" => check.measurement.replace('_', " "),
        component => format!("{component}, {}", check.measurement.replace('_', " ")),
    }
}

/// Why it stands as it does: its worst check in one line, without the hint.
pub fn reason(report: &ProbeReport) -> String {
    match worst_first(report).first() {
        None => "nothing was asked".to_owned(),
        Some(check) if check.standing == Standing::Pass => String::new(),
        Some(check) => {
            let first = check.reason.lines().next().unwrap_or_default();
            format!("{}: {first}", subject(check))
        }
    }
}

/// That it fails, and why, as one sentence for whoever is woken by it.
pub fn failure(report: &ProbeReport) -> String {
    format!("{} ({} at {}) fails: {}", report.system, report.kind, report.address, reason(report))
}

/// A number and its unit, for people.
pub fn observed(check: &Check) -> String {
    let Some(observed) = &check.observed else { return String::new() };
    let value = match observed.value {
        value if value.fract() == 0.0 && value.abs() < 1e15 => format!("{value:.0}"),
        value if value.abs() >= 100.0 => format!("{value:.0}"),
        value => format!("{value:.3}"),
    };
    match observed.unit.as_str() {
        // Already a word of its own: "status 503".
        "status" => format!("status {value}"),
        "1" => value,
        unit => format!("{value} {unit}"),
    }
}

/// How are the systems? One sentence.
pub fn verdict<'a>(reports: impl IntoIterator<Item = &'a ProbeReport>) -> String {
    let reports: Vec<&ProbeReport> = reports.into_iter().collect();
    let of = |standing: Standing| reports.iter().filter(move |report| report.standing == standing);
    // What cannot be told comes before what will last a while: green is only what was seen.
    let worst = [Standing::Fail, Standing::Unknown, Standing::Warn].into_iter().find(|one| of(*one).next().is_some());
    let all = reports.len();
    let Some(worst) = worst else {
        return match all {
            0 => "CANNOT TELL: no system is asked.".to_owned(),
            1 => "WORKING: the one system that is asked works.".to_owned(),
            _ => format!("WORKING: all {all} systems that are asked work."),
        };
    };
    let n = of(worst).count();
    let many = format!("{n} of {}", wording::count(all as u64, "system"));
    let what = match (worst, n) {
        (Standing::Fail, 1) => format!("BROKEN: {many} fails"),
        (Standing::Fail, _) => format!("BROKEN: {many} fail"),
        (Standing::Warn, 1) => format!("WORKING: {many} warns"),
        (Standing::Warn, _) => format!("WORKING: {many} warn"),
        _ => format!("CANNOT TELL: nothing is known of {many}"),
    };
    let first = of(worst).next().map(|report| format!("{}, {}", report.system, reason(report)));
    wording::sentence(&format!("{what}: {}", first.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(system: &str, checks: Vec<Check>) -> ProbeReport {
        let (kind, address, time) = ("http".to_owned(), "http://h".to_owned(), "2026-01-01T00:00:00Z".to_owned());
        let standing = ProbeReport::worst(&checks);
        ProbeReport { system: system.to_owned(), kind, address, standing, time, seconds: 0.1, checks }
    }

    #[test]
    fn the_verdict_is_the_worst_and_no_data_is_never_green() {
        let well = report("a", vec![Check::pass("read")]);
        let late = report("b", vec![Check::new("days_left", Standing::Warn, "it lasts 20 days more\nhint: renew it")]);
        let dark = report("c", vec![]);
        let full = report(
            "d",
            vec![Check::pass("read"), Check::new("write", Standing::Fail, "answered: disk full").of("table x")],
        );
        assert_eq!(verdict([]), "CANNOT TELL: no system is asked.");
        assert_eq!(verdict([&well, &well]), "WORKING: all 2 systems that are asked work.");
        assert_eq!(verdict([&well, &late]), "WORKING: 1 of 2 systems warns: b, days left: it lasts 20 days more.");
        assert_eq!(verdict([&dark, &late]), "CANNOT TELL: nothing is known of 1 of 2 systems: c, nothing was asked.");
        let said = "BROKEN: 2 of 3 systems fail: d, table x, write: answered: disk full.";
        assert_eq!(verdict([&dark, &full, &full]), said);
    }

    #[test]
    fn numbers_are_shown_with_their_units() {
        let shown = |value, unit: &str| observed(&Check::pass("x").observed(value, unit));
        assert_eq!(shown(3.0, "messages"), "3 messages");
        assert_eq!(shown(0.01234, "s"), "0.012 s");
        assert_eq!(shown(1234.5, "s"), "1234 s");
        assert_eq!(shown(0.25, "1"), "0.250");
        assert_eq!(shown(503.0, "status"), "status 503");
        assert_eq!(observed(&Check::pass("x")), "");
    }
}
