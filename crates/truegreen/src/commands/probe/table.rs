//! How probes read on a terminal: verdict, then the systems, worst first.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use truegreen_model::probe::{Check, ProbeReport, Standing};

use crate::commands::terminal::{BOLD, DIM, printable};
use crate::systems::claims::{Agreement, Claim};
use crate::systems::latest::Probed;
use crate::systems::words;
use crate::wording;

/// Checks of one system that pass and are printed; the JSON holds all.
const SHOWN_PASSES: usize = 10;
/// And of those that do not.
const SHOWN_OTHERS: usize = 50;

fn style_of(standing: Standing) -> Style {
    match standing {
        Standing::Pass => AnsiColor::Green.on_default(),
        Standing::Unknown => AnsiColor::Cyan.on_default(),
        Standing::Warn => AnsiColor::Yellow.on_default(),
        Standing::Fail => AnsiColor::Red.on_default().bold(),
    }
}

/// Writes all of it.
pub(super) fn write(out: &mut impl Write, probes: &[Probed], claims: &[Claim]) -> io::Result<()> {
    let verdict = words::verdict(probes.iter().map(|probed| &probed.report));
    writeln!(out, "{BOLD}{}{BOLD:#}", printable(&verdict))?;
    for probed in probes {
        write_system(out, &probed.report)?;
    }
    if !claims.is_empty() {
        writeln!(out, "\n{BOLD}Claims against truth{BOLD:#}")?;
    }
    for claim in claims {
        let style = match claim.standing {
            Agreement::Lies => style_of(Standing::Fail),
            Agreement::CannotTell => style_of(Standing::Unknown),
            Agreement::Agrees => style_of(Standing::Pass),
        };
        writeln!(out, "  {style}{:<11}{style:#} {}", claim.standing.name(), printable(&claim.verdict))?;
    }
    Ok(())
}

fn write_system(out: &mut impl Write, report: &ProbeReport) -> io::Result<()> {
    let style = style_of(report.standing);
    let (name, address) = (printable(&report.system), printable(&report.address));
    write!(out, "\n{style}{:<7}{style:#} {BOLD}{name}{BOLD:#}", report.standing.name())?;
    // Asked by its address alone, that is its name.
    let address = if name == address { String::new() } else { format!("{address}, ") };
    writeln!(out, "  {DIM}{address}{}, {:.0} ms{DIM:#}", report.kind, report.seconds * 1_000.0)?;
    let (passes, others): (Vec<&Check>, Vec<&Check>) =
        words::worst_first(report).into_iter().partition(|check| check.standing == Standing::Pass);
    let width = others.iter().take(SHOWN_OTHERS).chain(passes.iter().take(SHOWN_PASSES));
    let width = width.map(|check| printable(&words::subject(check)).chars().count()).max().unwrap_or(0).min(40);
    for (checks, shown) in [(others, SHOWN_OTHERS), (passes, SHOWN_PASSES)] {
        for check in checks.iter().take(shown) {
            write_check(out, check, width)?;
        }
        if let Some(more @ 1..) = checks.len().checked_sub(shown) {
            writeln!(out, "  {DIM}and {} alike{DIM:#}", wording::count(more as u64, "more check"))?;
        }
    }
    Ok(())
}

fn write_check(out: &mut impl Write, check: &Check, width: usize) -> io::Result<()> {
    let style = style_of(check.standing);
    let subject = printable(&words::subject(check));
    write!(out, "  {style}{:<7}{style:#} ", check.standing.name())?;
    let mut lines = check.reason.lines();
    let first = lines.next().map_or_else(|| words::observed(check), str::to_owned);
    match first.is_empty() {
        true => writeln!(out, "{subject}")?,
        false => writeln!(out, "{subject:<width$}  {}", printable(&first))?,
    }
    for line in lines {
        writeln!(out, "          {:<width$}  {DIM}{}{DIM:#}", "", printable(line))?;
    }
    Ok(())
}

/// Writes only what stands otherwise than before.
pub(super) fn write_changes(
    out: &mut impl Write,
    before: &BTreeMap<String, Probed>,
    probes: &[Probed],
    now: &str,
) -> io::Result<()> {
    let stands = |report: &ProbeReport| {
        let stands = |check: &Check| (check.component.clone(), check.measurement.clone(), check.standing);
        report.checks.iter().map(stands).collect::<Vec<_>>()
    };
    for probed in probes {
        let earlier = before.get(&probed.report.system);
        if earlier.is_none_or(|earlier| stands(&earlier.report) != stands(&probed.report)) {
            write!(out, "\n{DIM}{now}{DIM:#}")?;
            write_system(out, &probed.report)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(system: &str, checks: Vec<Check>) -> Probed {
        let (kind, address, time) = ("postgres".to_owned(), format!("postgres://{system}"), String::new());
        let standing = ProbeReport::worst(&checks);
        let report = ProbeReport { system: system.to_owned(), kind, address, standing, time, seconds: 0.0123, checks };
        Probed { report, since: String::new() }
    }

    fn told(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        write(&mut out).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    fn stock() -> Probed {
        let mut checks = vec![
            Check::pass("read").observed(0.002, "s"),
            Check::new("write", Standing::Fail, "answered: read-only\nhint: \x1b[2Jfree the disk"),
            Check::new("replication_lag", Standing::Warn, "the replica is 12 s behind; warns from 5 s on")
                .observed(12.0, "s"),
        ];
        checks.extend((0..12).map(|n| Check::pass("depth").of(format!("queue {n}"))));
        probed("stock-db", checks)
    }

    #[test]
    fn the_worst_stands_first_with_its_reason() {
        let claim = Claim {
            service: "payments".to_owned(),
            system: "payments-health".to_owned(),
            says: Standing::Pass,
            standing: Agreement::Lies,
            verdict: "payments says pass; stock-db, which it uses, fails: write: answered: read-only.".to_owned(),
            findings: Vec::new(),
            uses: BTreeMap::new(),
        };
        let probes = [stock(), probed("orders-db", vec![Check::pass("read")])];
        insta::assert_snapshot!(told(|mut out| write(&mut out, &probes, &[claim])));
    }

    #[test]
    fn watching_shows_what_changes() {
        let well = probed("stock-db", vec![Check::pass("read").observed(0.002, "s")]);
        let slower = probed("stock-db", vec![Check::pass("read").observed(0.009, "s")]);
        let before = BTreeMap::from([("stock-db".to_owned(), well)]);
        let changes =
            |probes: &[Probed]| told(|mut out| write_changes(&mut out, &before, probes, "2026-01-01T00:00:00Z"));
        assert_eq!(changes(&[slower]), "");
        assert!(changes(&[stock()]).starts_with("\n2026-01-01T00:00:00Z\nfail    stock-db"), "{}", changes(&[stock()]));
    }
}
