//! Text for terminals: colours only there, and never against NO_COLOR.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use truegreen_model::report::{FindingReport, Report};

use crate::wording;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
/// Keys of one finding that are printed; the JSON holds more.
const SHOWN_KEYS: usize = 8;
/// Findings that are over and are printed.
const SHOWN_PAST: usize = 10;

/// Writes an error and its hint to standard error.
pub(super) fn complain(error: &anyhow::Error) {
    let red = AnsiColor::Red.on_default().bold();
    // Nothing is left to do if even this fails.
    drop(writeln!(anstream::stderr(), "{red}error:{red:#} {error:#}"));
}

/// Writes a warning to standard error.
pub(super) fn warn(text: &str) {
    let yellow = AnsiColor::Yellow.on_default().bold();
    drop(writeln!(anstream::stderr(), "{yellow}warning:{yellow:#} {text}"));
}

/// Says on standard error what is being done.
pub(super) fn note(text: &str) {
    drop(writeln!(anstream::stderr(), "{text}"));
}

pub(super) fn stderr_has_colour() -> bool {
    let choice = anstream::AutoStream::choice(&std::io::stderr());
    !matches!(choice, anstream::ColorChoice::Never)
}

pub(super) fn stdout_has_colour() -> bool {
    let choice = anstream::AutoStream::choice(&std::io::stdout());
    !matches!(choice, anstream::ColorChoice::Never)
}

/// Whether somebody watches standard error.
pub(super) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

fn style_of(health: &str) -> Style {
    match health {
        "WORKING" => AnsiColor::Green.on_default().bold(),
        "BROKEN" => AnsiColor::Red.on_default().bold(),
        _ => AnsiColor::Yellow.on_default().bold(),
    }
}

/// Writes verdict, findings and books.
pub(super) fn write_report(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    let style = style_of(&report.health);
    writeln!(out, "{style}{}{style:#}", printable(&wording::verdict(report)))?;
    let standing = report.findings.iter().filter(|finding| wording::is_standing(finding));
    for (n, finding) in standing.enumerate() {
        // The verdict is the first one's sentence already.
        if n > 0 || report.health == "WORKING" {
            writeln!(out, "\n{BOLD}{}{BOLD:#}", printable(&wording::sentence(&finding.title)))?;
        }
        write_finding(out, finding)?;
    }
    for (name, flow) in &report.flows {
        let style = style_of(&flow.health);
        writeln!(out, "\n{BOLD}{}{BOLD:#}: {style}{}{style:#}", printable(name), flow.health)?;
        write_equation(out, flow)?;
    }
    write_past(out, report)
}

fn write_finding(out: &mut impl Write, finding: &FindingReport) -> std::io::Result<()> {
    write!(out, "  {}, {}", wording::concerned(finding), finding.status)?;
    match finding.examples.as_slice() {
        [] => writeln!(out)?,
        examples => writeln!(out, ": {}", printable(&shortened(examples, finding.count)))?,
    }
    for evidence in &finding.evidence {
        writeln!(out, "  {}", printable(evidence))?;
    }
    if let Some(brief) = &finding.diagnosis {
        writeln!(out, "  {BOLD}{}{BOLD:#}: {}", brief.verdict.name(), printable(&wording::sentence(&brief.says)))?;
    }
    writeln!(out, "  {DIM}since {}, last at {}; finding {DIM:#}{}", finding.onset, finding.last_seen, finding.id)
}

/// What is over, so that counts of findings and books can be compared.
fn write_past(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    let past: Vec<_> = report.findings.iter().filter(|finding| !wording::is_standing(finding)).collect();
    if !past.is_empty() {
        writeln!(out, "\n{BOLD}Over{BOLD:#}")?;
    }
    for finding in past.iter().take(SHOWN_PAST) {
        writeln!(out, "  {DIM}{}: {}{DIM:#}", finding.status, printable(&wording::sentence(&finding.title)))?;
    }
    if past.len() > SHOWN_PAST {
        writeln!(out, "  {DIM}and {} more{DIM:#}", past.len() - SHOWN_PAST)?;
    }
    Ok(())
}

/// The first few keys, and how many more there are.
pub(super) fn shortened(keys: &[String], count: u64) -> String {
    let shown: Vec<_> = keys.iter().take(SHOWN_KEYS).map(String::as_str).collect();
    match count.saturating_sub(shown.len() as u64) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn write_equation(out: &mut impl Write, flow: &truegreen_model::report::FlowReport) -> std::io::Result<()> {
    let red = AnsiColor::Red.on_default().bold();
    write!(out, "  {BOLD}{}{BOLD:#} entered", flow.entered)?;
    for (n, term) in wording::terms(flow).iter().enumerate() {
        let sign = if n == 0 { "=" } else { "+" };
        let style = match (term.label, term.count) {
            (_, 0) => DIM,
            ("UNACCOUNTED", _) if wording::is_loud(flow) => red,
            _ => Style::new(),
        };
        write!(out, " {sign} {style}{} {}{style:#}", term.count, term.label)?;
        if !term.detail.is_empty() {
            write!(out, " ({})", printable(&term.detail))?;
        }
    }
    writeln!(out)?;
    let beside = [(flow.duplicates, "duplicates"), (flow.orphans, "orphans"), (flow.amended, "amended")];
    let beside: Vec<_> = beside.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if !beside.is_empty() {
        writeln!(out, "  {DIM}beside the equation: {}{DIM:#}", beside.join(", "))?;
    }
    for line in wording::shares_and_counters(flow) {
        writeln!(out, "  {DIM}{}{DIM:#}", printable(&line))?;
    }
    Ok(())
}

/// What peers sent, without anything that could steer a terminal or turn round what is read.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// As [`printable`], line by line.
pub(super) fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

/// JSON that says the same and cannot steer a terminal. Outside of texts JSON holds no such characters but line ends.
pub(super) fn printable_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' => text.push(c),
            c if steers(c) => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

/// Control characters, and those that change the direction of writing.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use truegreen_model::diagnosis::{Brief, Certainty};
    use truegreen_model::report::FlowReport;

    #[test]
    fn keys_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n\u{202e}"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
        assert_eq!(printable_json("{\n\"a\": \"\u{9b}ä\"}"), "{\n\"a\": \"\\u009bä\"}");
    }

    #[test]
    fn the_report_reads_from_verdict_to_books() {
        let finding = FindingReport {
            title: "3 journeys were seen at `published`, and never at `stock updated`".to_owned(),
            id: "820e86dd8e41fe68".to_owned(),
            flow: "orders".to_owned(),
            after: Some("published".to_owned()),
            before: Some("stock updated".to_owned()),
            status: "open".to_owned(),
            count: 3,
            examples: vec!["ord-1".to_owned(), "ord-2".to_owned()],
            onset: "2026-01-01T10:00:00Z".to_owned(),
            last_seen: "2026-01-01T10:01:00Z".to_owned(),
            ..FindingReport::default()
        };
        let flow = FlowReport {
            health: "BROKEN".to_owned(),
            entered: 10,
            completed: 7,
            unaccounted: 3,
            duplicates: 1,
            ..FlowReport::default()
        };
        let brief = Brief { verdict: Certainty::Likely, says: "8 vanished\x1b[2J".to_owned(), ..Brief::default() };
        let finding = FindingReport { diagnosis: Some(brief), ..finding };
        let third = FindingReport { status: "resolved".to_owned(), ..finding.clone() };
        let second = FindingReport { title: "2 journeys were refused".to_owned(), ..finding.clone() };
        let report = Report {
            health: "BROKEN".to_owned(),
            flows: [("orders".to_owned(), flow)].into(),
            findings: vec![finding, second, third],
        };
        let mut out = anstream::StripStream::new(Vec::new());
        write_report(&mut out, &report).unwrap();
        insta::assert_snapshot!(String::from_utf8(out.into_inner()).unwrap());
    }
}
