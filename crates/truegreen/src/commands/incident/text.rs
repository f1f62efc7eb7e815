//! How incidents read on a terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use truegreen_model::incident::{Hypothesis, Incident, IncidentList, Origin, State};

use crate::commands::terminal::{BOLD, DIM, printable};
use crate::lookup::when;
use crate::wording;

/// Entries of the timeline that are printed, the latest; the export has all.
const SHOWN_ENTRIES: usize = 12;

fn style_of(state: State) -> Style {
    match state {
        State::Open => AnsiColor::Red.on_default().bold(),
        State::Patched => AnsiColor::Yellow.on_default().bold(),
        State::Fixed => AnsiColor::Green.on_default(),
    }
}

pub(super) fn list(out: &mut impl Write, list: &IncidentList) -> io::Result<()> {
    let open = list.incidents.iter().filter(|one| one.state == State::Open).count() as u64;
    let patched = list.incidents.iter().filter(|one| one.state == State::Patched).count() as u64;
    writeln!(
        out,
        "{BOLD}{} open, and {patched} of which only the symptom is patched.{BOLD:#}",
        wording::count(open, "incident")
    )?;
    for one in &list.incidents {
        let style = style_of(one.state);
        writeln!(out, "{style}{:<8}{style:#} {}", printable(&one.id), printable(&one.title))?;
        let back = if one.reopened > 0 {
            format!("; came back {}", wording::count(one.reopened, "time"))
        } else {
            String::new()
        };
        let stands = printable(&one.says);
        let (opened, actions) = (when::stamp(&one.opened_at), wording::count(one.open_actions, "open action"));
        writeln!(out, "         {stands}{back}")?;
        writeln!(out, "         {DIM}since {opened}, {} affected, {actions}{DIM:#}", one.affected)?;
    }
    if !list.are_kept {
        writeln!(out, "Nothing is kept: the server runs without data.")?;
    }
    for told in &list.unreadable {
        writeln!(out, "cannot be read: {}", printable(told))?;
    }
    Ok(())
}

pub(super) fn incident(out: &mut impl Write, incident: &Incident) -> io::Result<()> {
    let style = style_of(incident.state);
    writeln!(out, "{BOLD}{}: {}{BOLD:#}", printable(&incident.id), printable(&incident.title))?;
    writeln!(out, "  {style}{}{style:#}", printable(&incident.standing()))?;
    for one in &incident.recurrences {
        writeln!(out, "  {}", printable(&wording::sentence(&one.says)))?;
    }
    writeln!(out, "  {} affected; {}", incident.affected.counted, printable(&incident.affected.says))?;
    hypotheses(out, &incident.hypotheses)?;
    if !incident.actions.is_empty() {
        writeln!(out, "\n{BOLD}Actions{BOLD:#}")?;
    }
    for action in &incident.actions {
        let mark = if action.done_at.is_some() { "done" } else { "open" };
        let owner = if action.owner.is_empty() { String::new() } else { format!(" ({})", printable(&action.owner)) };
        writeln!(out, "  {mark}  {}. {}{owner}", action.number, printable(&action.text))?;
    }
    writeln!(out, "\n{BOLD}Timeline{BOLD:#}")?;
    let left_out = incident.timeline.len().saturating_sub(SHOWN_ENTRIES);
    if left_out > 0 {
        writeln!(out, "  {DIM}{left_out} earlier{DIM:#}")?;
    }
    for entry in &incident.timeline[left_out..] {
        let by = if entry.by.is_empty() { String::new() } else { format!(", {}", printable(&entry.by)) };
        let (at, what) = (when::stamp(&entry.at), entry.what.replace('_', " "));
        writeln!(out, "  {DIM}{at}{DIM:#} {}{by}: {}", printable(&what), printable(&entry.says))?;
    }
    Ok(())
}

/// Each with what speaks for it and against it.
pub(in crate::commands) fn hypotheses(out: &mut impl Write, hypotheses: &[Hypothesis]) -> io::Result<()> {
    if !hypotheses.is_empty() {
        writeln!(out, "\n{BOLD}Hypotheses{BOLD:#}")?;
    }
    for one in hypotheses {
        let by = match one.origin {
            Origin::Drafted => " (drafted)".to_owned(),
            Origin::Person if one.by.is_empty() => String::new(),
            Origin::Person => format!(" ({})", printable(&one.by)),
        };
        writeln!(out, "  {}. {}{by}", one.number, printable(&one.text))?;
        for (mark, evidence) in [("for    ", &one.supports), ("against", &one.against)] {
            for piece in evidence {
                writeln!(out, "     {mark} {}", printable(&piece.text))?;
            }
        }
    }
    Ok(())
}
