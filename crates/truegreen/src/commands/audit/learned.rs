//! `audit --learn-from`: what is usual is learned, not declared.

use std::io::Write;

use anyhow::Context;
use truegreen_engine::learn::watch::watch;

use super::super::learn::{self, source};
use super::super::terminal;
use super::{Args, journeys_file, write_journeys};
use crate::wording;

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let columns = args.columns.chosen();
    let journeys = journeys_file(args)?;
    let healthy = source::read(&learn::files(&args.learn_from)?, columns.as_ref(), None)?;
    let model = truegreen_engine::learn::learn(&healthy);
    drop(healthy);
    anyhow::ensure!(
        !model.flows.is_empty(),
        "nothing could be learned from {} cases\nhint: at least {} alike are needed",
        model.cases,
        truegreen_engine::learn::tolerance::SUPPORT
    );
    let cases = source::read(&learn::files(&args.files)?, columns.as_ref(), Some(&model))?;
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

fn count(cases: u64) -> String {
    wording::count(cases, "case")
}
