//! `audit --learn-from`: what is usual is learned, not declared.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use truegreen_engine::learn::watch::watch;

use super::super::learn::{self, source};
use super::super::terminal;
use super::{Args, journeys_file, write_journeys};
use crate::wording;

/// Files named one by one when the sides are told.
const TOLD_FILES: usize = 5;

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let columns = args.columns.chosen();
    let journeys = journeys_file(args)?;
    let (from, files) = (learn::files(&args.learn_from)?, learn::files(&args.files)?);
    check_sides(args, &from, &files)?;
    let healthy = source::read(&from, columns.as_ref(), None)?;
    let model = truegreen_engine::learn::learn(&healthy);
    drop(healthy);
    anyhow::ensure!(
        !model.flows.is_empty(),
        "nothing could be learned from {} cases\nhint: at least {} alike are needed",
        model.cases,
        truegreen_engine::learn::tolerance::SUPPORT
    );
    let cases = source::read(&files, columns.as_ref(), Some(&model))?;
    // A part of the cases would give books of something else.
    anyhow::ensure!(cases.left_out.events == 0, "too many events at once\nhint: audit a shorter stretch of time");
    let watched = watch(&model, &cases, journeys.is_some());
    if let Some(file) = journeys {
        write_journeys(watched.journeys.into_iter(), file).context("cannot write the journeys")?;
    }
    if args.json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&watched.report)?)?;
    } else {
        let mut out = anstream::stdout();
        terminal::write_report(&mut out, &watched.report)?;
        writeln!(out, "\n{} learned from, {} watched", count(model.cases), count(cases.cases.len() as u64))?;
    }
    if watched.not_learned > 0 {
        let cases = count(watched.not_learned);
        terminal::warn(&format!("{cases} begin as none or too few of the learned ones did, and were not judged"));
    }
    Ok(u8::from(!watched.report.findings.is_empty()))
}

/// Says which files are on which side, and refuses what a shell makes of `--learn-from a*.csv b.csv`.
fn check_sides(args: &Args, from: &[PathBuf], files: &[PathBuf]) -> anyhow::Result<()> {
    if let Some(both) = from.iter().find(|file| files.contains(file)) {
        let both = both.display();
        terminal::warn(&format!("{both} is learned from and watched: what is wrong all through it cannot be found"));
    }
    let names = |files: &[PathBuf]| {
        let more = if files.len() > TOLD_FILES { ", \u{2026}" } else { "" };
        let names: Vec<_> = files.iter().take(TOLD_FILES).map(|file| file.display().to_string()).collect();
        format!("{}{more}", names.join(", "))
    };
    let (learned, watched) = (names(from), names(files));
    if let ([one], [_, _, ..]) = (args.learn_from.as_slice(), files) {
        let alike: Vec<PathBuf> =
            files.iter().filter(|file| without_digits(file) == without_digits(one)).cloned().collect();
        anyhow::ensure!(
            alike.is_empty() || alike.len() == files.len() || one.is_dir(),
            "only {learned} would be learned from, and {watched} watched, although {} is called alike\n\
             hint: a shell makes several arguments of a*.csv, and --learn-from takes the first; quote it, \
             list them with commas, or name a folder",
            names(&alike)
        );
    }
    terminal::note(&format!("learning from {learned}; watching {watched}"));
    Ok(())
}

/// A file's name as its siblings share it.
fn without_digits(file: &Path) -> String {
    let name = file.to_string_lossy();
    let letters = |c: &char| !c.is_ascii_digit();
    name.chars().filter(letters).collect()
}

fn count(cases: u64) -> String {
    wording::count(cases, "case")
}
