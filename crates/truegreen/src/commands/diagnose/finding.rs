//! Of a finding of a running server: all that is known of why it is there.

use std::io::Write;
use std::time::Duration;

use truegreen_model::diagnosis::Diagnosis;

use super::super::terminal::{BOLD, DIM, printable};
use super::super::{asking, terminal};
use crate::wording::sentence;

/// Some tens of MiB may have to be read.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of each list, so many are shown; `--json` has all.
const SHOWN: usize = 3;

pub(super) fn run(id: &str, url: &str, json: bool) -> anyhow::Result<u8> {
    let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
    let path = format!("/api/v1/findings/{id}/diagnosis");
    let diagnosis: Diagnosis = asking::ask_for(url, &path, PATIENCE)?;
    if json {
        let json = serde_json::to_string_pretty(&diagnosis)?;
        writeln!(std::io::stdout(), "{}", terminal::printable_json(&json))?;
    } else {
        write(&mut anstream::stdout(), &diagnosis)?;
    }
    Ok(0)
}

/// One sentence first; then what it rests on, in the order in which one asks.
pub(super) fn write(out: &mut impl Write, diagnosis: &Diagnosis) -> std::io::Result<()> {
    writeln!(out, "{BOLD}{}{BOLD:#}. {}", diagnosis.verdict.name(), printable(&sentence(&diagnosis.says)))?;
    for reason in &diagnosis.reasons {
        writeln!(out, "  - {}", printable(&sentence(reason)))?;
    }
    if let Some(onset) = &diagnosis.onset {
        said(out, "Since when", &onset.says)?;
        writeln!(out, "  {DIM}between {} and {}{DIM:#}", printable(&onset.from), printable(&onset.until))?;
    }
    said(out, "How far", &diagnosis.radius.says)?;
    if let Some(difference) = &diagnosis.difference {
        said(out, "What is different", &difference.summary)?;
        for tie in difference.alternatives.iter().filter(|other| other.tie).take(SHOWN) {
            writeln!(out, "  {DIM}the same requests: {}{DIM:#}", printable(&tie.explanation.title()))?;
        }
    }
    if let Some(changes) = &diagnosis.changes {
        said(out, "What changed", &changes.says)?;
        for change in changes.ranking.iter().take(SHOWN) {
            let title = if change.title.is_empty() { &change.id } else { &change.title };
            writeln!(out, "  {:3.0} %  {}  {}", 100.0 * change.score, printable(&change.at), printable(title))?;
        }
    }
    if !diagnosis.suspects.is_empty() {
        writeln!(out, "\n{BOLD}Where requests go another way{BOLD:#}")?;
    }
    for suspect in diagnosis.suspects.iter().take(SHOWN) {
        super::text::write_suspect(out, suspect)?;
    }
    list(out, "What systems say themselves", diagnosis.systems.iter().map(|system| system.says.clone()))?;
    list(out, "What is not seen", diagnosis.limits.iter().cloned())?;
    list(out, "Ruled out", diagnosis.ruled_out.iter().map(|one| format!("{}: {}", one.what, one.why)))?;
    let related =
        diagnosis.related.iter().map(|one| format!("{} {}: {} ({})", one.relation, one.finding, one.title, one.why));
    list(out, "Other findings", related)?;
    let questions = diagnosis.questions.iter();
    list(out, "Asked first", questions.map(|one| format!("{} {}: {}", one.question, one.answer, one.because)))?;
    let of = &diagnosis.compared;
    writeln!(
        out,
        "\nCompared: {} of {} failing with {} of {} healthy ones, {} spans and logs; as of {}.",
        of.failing, of.failing_of, of.healthy, of.healthy_of, of.records, diagnosis.as_of
    )?;
    for cut in &of.cut {
        writeln!(out, "Left out: {} {}: {}.", cut.count, printable(&cut.what), printable(&cut.why))?;
    }
    Ok(())
}

fn said(out: &mut impl Write, what: &str, says: &str) -> std::io::Result<()> {
    writeln!(out, "\n{BOLD}{what}{BOLD:#}\n  {}", printable(&sentence(says)))
}

fn list(out: &mut impl Write, title: &str, lines: impl Iterator<Item = String>) -> std::io::Result<()> {
    let lines: Vec<String> = lines.take(7).collect();
    if !lines.is_empty() {
        writeln!(out, "\n{BOLD}{title}{BOLD:#}")?;
    }
    for line in lines {
        writeln!(out, "  - {}", printable(&line))?;
    }
    Ok(())
}
