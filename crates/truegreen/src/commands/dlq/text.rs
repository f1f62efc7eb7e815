//! Letters, groups and records as a terminal shows them.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use truegreen_connect::dead_letters::group::{By, Group};
use truegreen_connect::dead_letters::payload::{self, Form, line};
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_model::letter::Letter;

use super::super::terminal::{BOLD, DIM};
use crate::dead_letters::earlier::Sending;
use crate::dead_letters::looking::{Looked, MAX_LOOKED};
use crate::dead_letters::record::{Counts, Record};
use crate::dead_letters::redrive::{Action, Stage};
use crate::lookup::when;
use crate::wording::count;

/// Of one line.
const WIDTH: usize = 110;
/// Letters of a record that are shown one by one.
const SHOWN_LETTERS: usize = 40;

pub(super) fn warning(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    let yellow = AnsiColor::Yellow.on_default().bold();
    writeln!(out, "{yellow}warning:{yellow:#} {}", line(text, 500))
}

/// A place and what lies there.
pub(super) fn place(
    out: &mut impl Write,
    system: &str,
    name: &str,
    letters: Option<u64>,
    told: &str,
) -> std::io::Result<()> {
    let many = letters.map_or("an unknown number of letters".to_owned(), |n| count(n, "letter"));
    writeln!(out, "{BOLD}{}{BOLD:#} of {}: {many}", line(name, WIDTH), line(system, WIDTH))?;
    if told.is_empty() { Ok(()) } else { warning(out, told) }
}

pub(super) fn groups(out: &mut impl Write, by: By, groups: &[Group], beyond: u64) -> std::io::Result<()> {
    for group in groups {
        let name = named(by, &group.name);
        write!(out, "  {BOLD}{:>7}{BOLD:#}  {name}", group.letters)?;
        if !group.frame.is_empty() {
            write!(out, " at {}", line(&group.frame, WIDTH))?;
        }
        writeln!(out)?;
        if !group.error.is_empty() {
            writeln!(out, "           {}", line(&group.error, WIDTH))?;
        }
        let mut beside = Vec::new();
        if !group.among.is_empty() {
            let among: Vec<String> = group.among.iter().map(|name| line(name, 40)).collect();
            beside.push(among.join(", "));
        }
        if !group.first_died_at.is_empty() {
            beside.push(format!(
                "{} to {}",
                when::stamp(&group.first_died_at),
                when::beside(&group.last_died_at, &group.first_died_at)
            ));
        }
        let examples: Vec<String> = group.examples.iter().take(3).map(|id| line(id, 40)).collect();
        beside.push(format!("such as {}", examples.join(", ")));
        writeln!(out, "           {DIM}{}{DIM:#}", beside.join("; "))?;
    }
    if beyond > 0 {
        writeln!(out, "  {BOLD}{beyond:>7}{BOLD:#}  in further groups")?;
    }
    Ok(())
}

fn named(by: By, name: &str) -> String {
    match (name.is_empty(), by) {
        (false, _) => line(name, WIDTH),
        (true, By::Error) => "no error is told".to_owned(),
        (true, By::Type) => "no type is told".to_owned(),
        (true, By::Origin) => "nothing tells where they came from".to_owned(),
    }
}

/// One letter in two lines.
pub(super) fn brief(out: &mut impl Write, letter: &Letter, redaction: &Redaction) -> std::io::Result<()> {
    let or = |text: &str, instead: &str| if text.is_empty() { instead.to_owned() } else { line(text, 60) };
    let died = if letter.died_at.is_empty() { String::new() } else { format!("  {}", when::stamp(&letter.died_at)) };
    writeln!(
        out,
        "  {BOLD}{}{BOLD:#}{died}  {}  from {}{}",
        line(&letter.id, 80),
        or(&letter.message_type, "no type"),
        or(&letter.origin, "nobody knows where"),
        if letter.key.is_empty() { String::new() } else { format!("  key {}", line(&letter.key, 60)) }
    )?;
    let deaths = if letter.deaths > 1 { format!(" (died {} times)", letter.deaths) } else { String::new() };
    let error = redaction.text(&letter.error);
    let told = match (letter.error_type.is_empty(), error.is_empty()) {
        (true, true) => "no error is told".to_owned(),
        (false, true) => letter.error_type.clone(),
        (true, false) => error,
        (false, false) => format!("{}: {error}", letter.error_type),
    };
    writeln!(out, "      {DIM}{}{deaths}{DIM:#}", line(&told, WIDTH))
}

/// One letter whole.
pub(super) fn letter(
    out: &mut impl Write,
    letter: &Letter,
    redaction: &Redaction,
    limit: usize,
) -> std::io::Result<()> {
    writeln!(out, "{BOLD}{}{BOLD:#} in {}", line(&letter.id, 200), line(&letter.place, 200))?;
    let error = redaction.text(&letter.error);
    let deaths = if letter.deaths > 1 { letter.deaths.to_string() } else { String::new() };
    let died = if letter.died_at.is_empty() { String::new() } else { when::stamp(&letter.died_at) };
    for (name, value) in [
        ("came from", letter.origin.as_str()),
        ("key", &letter.key),
        ("message id", &letter.message_id),
        ("type", &letter.message_type),
        ("error", &letter.error_type),
        ("it said", &error),
        ("own frame", &letter.frame),
        ("died at", &died),
        ("deaths", &deaths),
        ("traceparent", &letter.traceparent),
    ] {
        if !value.is_empty() {
            writeln!(out, "  {DIM}{name:<12}{DIM:#}{}", line(value, 1000))?;
        }
    }
    if !letter.headers.is_empty() {
        writeln!(out, "\n{BOLD}Headers{BOLD:#}")?;
    }
    for (name, value) in &letter.headers {
        let value = redaction.text(redaction.header(name, value));
        writeln!(out, "  {DIM}{}{DIM:#}: {}", line(name, 100), line(&value, 1000))?;
    }
    let shown = payload::show(&letter.body, redaction, limit);
    let form = match shown.form {
        Form::Empty => "empty".to_owned(),
        form => format!("{}, {}", form.name(), count(letter.body.len() as u64, "byte")),
    };
    writeln!(out, "\n{BOLD}Body{BOLD:#} {DIM}({form}){DIM:#}")?;
    shown.text.lines().try_for_each(|line| writeln!(out, "  {line}"))?;
    if shown.left_out > 0 {
        writeln!(out, "  {DIM}and {} more; see them with --limit{DIM:#}", count(shown.left_out as u64, "byte"))?;
    }
    if letter.is_cut {
        warning(out, "the letter is longer than what is read of one: it is shown in part, and never sent")?;
    }
    Ok(())
}

/// That it was sent back before.
pub(super) fn sent_before(out: &mut impl Write, sending: &Sending) -> std::io::Result<()> {
    let often = match sending.times {
        0 => String::new(),
        1 => "sent back once so far".to_owned(),
        times => format!("sent back {times} times so far"),
    };
    let outcome = sending.outcome.map(|stage| match stage {
        Stage::Removed | Stage::Missing => "sent back, confirmed and removed, and the same lies here again",
        Stage::Confirmed | Stage::Kept => "sent back and confirmed, and not removed yet",
        _ => "sent back and not confirmed: it may be there",
    });
    let told: Vec<&str> =
        [often.as_str(), outcome.unwrap_or_default()].into_iter().filter(|text| !text.is_empty()).collect();
    writeln!(out, "\n{BOLD}Its earlier life{BOLD:#}\n  {}", told.join("; "))?;
    if sending.redrive.is_empty() {
        return Ok(());
    }
    writeln!(out, "  by: truegreen dlq history {}", line(&sending.redrive, 64))
}

pub(super) fn looked(out: &mut impl Write, looked: Looked) -> std::io::Result<()> {
    if looked.is_cut {
        let told = format!("only the first {} were looked at, of at most {MAX_LOOKED}", looked.looked);
        warning(out, &told)?;
    }
    Ok(())
}

fn style(is_fine: bool) -> Style {
    if is_fine { AnsiColor::Green.on_default().bold() } else { AnsiColor::Red.on_default().bold() }
}

/// A record in one line.
pub(super) fn record_brief(out: &mut impl Write, record: &Record) -> std::io::Result<()> {
    let style = style(record.state == "ended");
    writeln!(
        out,
        "{BOLD}{}{BOLD:#}  {style}{}{style:#}  {} {} of {} in {}, by {} on {}: {}",
        record.id,
        record.state,
        verb(record.action),
        record.counts.done,
        count(record.counts.letters as u64, "letter"),
        line(&record.place, 80),
        line(&record.by.user, 80),
        line(&record.by.host, 80),
        line(&record.asked, WIDTH)
    )
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Redrive => "sent back",
        Action::Discard => "threw away",
    }
}

/// A record whole.
pub(super) fn record(out: &mut impl Write, record: &Record) -> std::io::Result<()> {
    record_brief(out, record)?;
    let said =
        |out: &mut dyn Write, name: &str, value: &str| writeln!(out, "  {DIM}{name:<10}{DIM:#}{}", line(value, 1000));
    said(out, "from", &format!("{} of {}", record.place, record.system))?;
    let to: Vec<String> = record.to.iter().map(|(to, n)| format!("{to} ({n})")).collect();
    if !to.is_empty() {
        said(out, "to", &to.join(", "))?;
    }
    said(out, "began", &when::stamp(&record.began_at))?;
    said(out, "last", &when::stamp(&record.last_at))?;
    for resumed in &record.resumed {
        said(out, "resumed", &format!("{}, by {} on {}", when::stamp(&resumed.at), resumed.by.user, resumed.by.host))?;
    }
    if let Some(how) = &record.canary {
        said(out, "canary", how)?;
    }
    if let Some(stopped) = &record.stopped {
        said(out, "stopped", &stopped.told)?;
    }
    counts(out, record.action, &record.counts)?;
    let odd = |stage: Stage| stage != Stage::Removed;
    // What did not go as it should is what one looks for.
    let mut letters: Vec<_> = record.letters.iter().collect();
    letters.sort_by_key(|letter| (!odd(letter.outcome), !letter.may_be_doubled, letter.edited.is_none()));
    if !letters.is_empty() {
        writeln!(out, "\n{BOLD}Letters{BOLD:#}")?;
    }
    for letter in letters.iter().take(SHOWN_LETTERS) {
        let outcome = outcome(record.action, letter.outcome);
        let doubled = if letter.may_be_doubled { ", may be there twice" } else { "" };
        let to = if letter.to.is_empty() { String::new() } else { format!(" to {}", line(&letter.to, 60)) };
        let earlier = match letter.earlier.as_str() {
            "" => String::new(),
            earlier => format!(", sent back before, by {}", line(earlier, 64)),
        };
        writeln!(out, "  {BOLD}{}{BOLD:#}{to}: {outcome}{doubled}{earlier}", line(&letter.letter, 80))?;
        if let Some(edited) = &letter.edited {
            let (before, after) = (line(&edited.hash_before, 12), line(&edited.hash_after, 12));
            writeln!(out, "      {DIM}edited by {}: {before} is now {after}{DIM:#}", line(&edited.by.user, 60))?;
        }
        if !letter.told.is_empty() {
            writeln!(out, "      {DIM}{}{DIM:#}", line(&letter.told, WIDTH))?;
        }
    }
    if letters.len() > SHOWN_LETTERS {
        writeln!(out, "  {DIM}and {} more, all of them with --json{DIM:#}", letters.len() - SHOWN_LETTERS)?;
    }
    Ok(())
}

fn outcome(action: Action, stage: Stage) -> &'static str {
    match (stage, action) {
        (Stage::Removed, Action::Redrive) => "sent, confirmed, removed",
        (Stage::Removed, Action::Discard) => "kept in the journal, removed",
        (Stage::Waiting, _) => "nothing was done",
        (Stage::Sending | Stage::NotConfirmed, _) => "sent and not confirmed: it may be there",
        (Stage::Refused, _) => "not taken by the system, and lying there as before",
        (Stage::Confirmed, _) => "confirmed, and not removed yet",
        (Stage::Kept, _) => "kept in the journal, and not removed yet",
        (Stage::Missing, _) => "was not there any more",
    }
}

/// What it came to, a line each.
pub(super) fn counts(out: &mut impl Write, action: Action, counts: &Counts) -> std::io::Result<()> {
    let done = match action {
        Action::Redrive => "sent back, confirmed and removed",
        Action::Discard => "kept in the journal and removed",
    };
    let lines = [
        (counts.done, done),
        (counts.unsure, "sent and not confirmed: resuming sends them again under the same key"),
        (counts.refused, "not taken by the system, and lying there as before: resuming sends them again"),
        (counts.not_removed, "done and lying there still: resuming removes them"),
        (counts.missing, "were not there any more when their turn came"),
        (counts.waiting, "wait"),
        (counts.may_be_doubled, "may be at their target twice: this system drops no second one"),
        (counts.edited, "edited"),
        (usize::try_from(counts.left_out).unwrap_or(usize::MAX), "left out"),
    ];
    for (n, what) in lines.into_iter().filter(|(n, what)| *n > 0 || *what == done) {
        writeln!(out, "  {BOLD}{n:>7}{BOLD:#}  {what}")?;
    }
    Ok(())
}
