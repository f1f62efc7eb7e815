//! Who sent back or threw away what.

use std::io::Write;

use serde_json::json;
use truegreen_connect::dead_letters::redact::Redaction;

use super::super::terminal;
use super::text;
use super::whereabouts::At;
use crate::dead_letters::record::{self, Record};

/// Records that are listed.
const LISTED: usize = 50;

/// Show who sent back or threw away what, and what became of each letter
///
/// Exit code 1 where the one that was asked for has not come to its end.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Of this one; else all, the newest first
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    at: At,
    /// Show a letter that was thrown away, as it was kept
    #[arg(long, value_name = "LETTER", requires = "id")]
    letter: Option<String>,
    /// With its secrets, as raw bytes: to be sent again by hand
    #[arg(long, requires = "letter")]
    raw: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<u8> {
    let folder = args.at.folder()?;
    let Some(id) = &args.id else { return all(args, &folder, out) };
    let path = record::path(&folder, id);
    anyhow::ensure!(path.exists(), "no redrive is called {id}\nhint: `truegreen dlq history` lists them");
    if let Some(letter) = &args.letter {
        return kept(args, &path, letter, out);
    }
    let told = Record::of(&record::memory(&path)?);
    let Some(told) = told else {
        writeln!(out, "{id} was cut short before its selection was whole: nothing was done.")?;
        return Ok(1);
    };
    if args.json {
        writeln!(out, "{}", terminal::printable_json(&serde_json::to_string_pretty(&told)?))?;
    } else {
        text::record(out, &told)?;
        if told.state != "ended" {
            writeln!(out, "\nGo on with: truegreen dlq redrive --resume {id}")?;
        }
    }
    Ok(u8::from(told.state != "ended"))
}

fn all(args: &Args, folder: &std::path::Path, out: &mut impl Write) -> anyhow::Result<u8> {
    let ids = record::ids(folder)?;
    let mut told = Vec::new();
    for id in ids.iter().take(LISTED) {
        match record::memory(&record::path(folder, id)) {
            Ok(memory) => told.extend(Record::of(&memory)),
            Err(error) => terminal::warn(&terminal::printable_lines(&error.to_string())),
        }
    }
    let fits = |record: &&Record| {
        args.at.system.as_ref().is_none_or(|system| *system == record.system)
            && args.at.place.as_ref().is_none_or(|place| *place == record.place)
    };
    let told: Vec<&Record> = told.iter().filter(fits).collect();
    if args.json {
        writeln!(out, "{}", terminal::printable_json(&serde_json::to_string_pretty(&json!({ "records": told }))?))?;
    } else if told.is_empty() {
        writeln!(out, "Nothing was sent back or thrown away yet.")?;
    } else {
        told.iter().try_for_each(|record| text::record_brief(out, record))?;
    }
    Ok(0)
}

fn kept(args: &Args, path: &std::path::Path, letter: &str, out: &mut impl Write) -> anyhow::Result<u8> {
    let all = record::kept(path)?;
    let found = all.iter().rev().find(|kept| kept.letter.id == letter).and_then(|kept| kept.whole());
    let Some(found) = found else {
        anyhow::bail!(
            "it kept no letter {letter:?}\nhint: only what is thrown away is kept; a letter that was sent is at its target"
        );
    };
    if args.raw {
        out.write_all(&found.body)?;
    } else {
        text::letter(out, &found, &Redaction::default(), 64 << 10)?;
    }
    Ok(0)
}
