//! How an answer reads on a terminal: one sentence, the numbers, the runners-up, what was left out.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use truegreen_model::contrast::{Alternative, Contrast, Explanation};

use super::super::terminal::{BOLD, DIM, printable};
use crate::wording;

/// Attributes named of those left out for one reason.
const SHOWN_IGNORED: usize = 8;

/// Writes all of it. Of shares, "failing" are the rows of a time, held against those before.
pub(super) fn write(out: &mut impl Write, contrast: &Contrast, is_of_shares: bool) -> io::Result<()> {
    let style = match contrast.verdict.as_str() {
        "explained" => AnsiColor::Green.on_default().bold(),
        "partly" | "cannot tell" => AnsiColor::Yellow.on_default().bold(),
        _ => Style::new().bold(),
    };
    let verdict = contrast.verdict.to_uppercase();
    writeln!(out, "{style}{verdict}{style:#}: {}", printable(&wording::sentence(&contrast.summary)))?;
    if is_of_shares {
        writeln!(out, "{DIM}\"Failed\" are the rows of the time asked about, against those before it.{DIM:#}")?;
    }
    if !contrast.explanations.is_empty() {
        writeln!(out)?;
        head(out)?;
    }
    for (n, one) in contrast.explanations.iter().enumerate() {
        writeln!(out, "{BOLD}{}. {}{BOLD:#}", n + 1, printable(&one.title()))?;
        numbers(out, one)?;
    }
    if !contrast.alternatives.is_empty() {
        let title = match contrast.explanations.is_empty() {
            true => "Nearest to an explanation, and none",
            false => "Runners-up",
        };
        writeln!(out, "\n{BOLD}{title}{BOLD:#}")?;
    }
    for one in &contrast.alternatives {
        writeln!(out, "   {} {DIM}{}{DIM:#}", printable(&one.explanation.title()), stands_for(one))?;
        numbers(out, &one.explanation)?;
    }
    ignored(out, contrast)
}

fn stands_for(one: &Alternative) -> String {
    match (one.instead_of, one.tie) {
        (Some(at), true) => format!("(tie: covers the same rows as {}; the data cannot tell them apart)", at + 1),
        (Some(at), false) => format!("(instead of {})", at + 1),
        (None, _) => String::new(),
    }
}

fn head(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{DIM}   {:>17}  {:>11}  {:>9}  {:>9}  {:>28}  {:>9}{DIM:#}",
        "of failures", "of healthy", "fail", "elsewhere", "times as often (95 %)", "chance"
    )
}

fn numbers(out: &mut impl Write, one: &Explanation) -> io::Result<()> {
    let [low, high] = one.interval;
    let times = format!("{} ({} to {})", times(one.risk_ratio), times(low), times(high));
    let covers = format!("{} ({})", percent(one.failing_share), one.failing);
    writeln!(
        out,
        "   {covers:>17}  {:>11}  {:>9}  {:>9}  {times:>28}  {:>9}",
        percent(one.healthy_share),
        percent(one.rate_inside),
        percent(one.rate_outside),
        chance(one.p_value)
    )
}

fn ignored(out: &mut impl Write, contrast: &Contrast) -> io::Result<()> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in &contrast.ignored {
        by_reason.entry(&one.reason).or_default().push(&one.attribute);
    }
    if !by_reason.is_empty() {
        writeln!(out, "\n{BOLD}Left out{BOLD:#}")?;
    }
    for (reason, names) in by_reason {
        let more = names.len().saturating_sub(SHOWN_IGNORED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names = names.iter().take(SHOWN_IGNORED).copied().collect::<Vec<_>>().join(", ");
        writeln!(out, "   {reason}: {}{more}", printable(&names))?;
    }
    Ok(())
}

fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent {
        p if p == 0.0 || p >= 99.95 && share == 1.0 => format!("{p:.0} %"),
        p if p >= 9.95 => format!("{:.1} %", p.min(99.9)),
        p if p >= 0.0095 => format!("{p:.2} %"),
        _ => "< 0.01 %".to_owned(),
    }
}

fn times(ratio: f64) -> String {
    match ratio {
        r if r < 10.0 => format!("{r:.1}"),
        r if r < 1e5 => format!("{r:.0}"),
        r => format!("{r:.0e}"),
    }
}

fn chance(p: f64) -> String {
    match p {
        p if p < 1e-99 => "< 1e-99".to_owned(),
        p if p < 0.001 => format!("{p:.0e}"),
        p => format!("{p:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use truegreen_engine::explain::contrast::{Options, Outcome, Table, contrast};

    #[test]
    fn an_answer_reads_from_verdict_to_what_was_left_out() {
        let mut table = Table::new();
        for n in 0..2_000_u32 {
            let (region, version, id) = (format!("r{}", n % 4), format!("1.{}", n / 4 % 5), format!("req-{n}"));
            let zone = format!("zone-{}", n % 4);
            let is_failing = n % 4 == 2 && n / 4 % 5 == 1 && n % 3 > 0 || n % 97 == 0;
            let row = [("region", &*region), ("version", &*version), ("zone", &*zone), ("request.id", &*id)];
            table.push(Outcome::of(is_failing), row).unwrap();
        }
        let found = contrast(&table, &Options::default());
        let mut out = anstream::StripStream::new(Vec::new());
        write(&mut out, &found, false).unwrap();
        insta::assert_snapshot!(String::from_utf8(out.into_inner()).unwrap());
    }
}
