//! Files to cases, whichever kind they are.

use std::path::PathBuf;

use truegreen_engine::learn::case::Cases;
use truegreen_engine::learn::traces::Traces;
use truegreen_engine::learn::{Model, Table, Vocabulary};
use truegreen_otlp::Signal;

use super::super::audit::recording::Recordings;
use super::super::progress::LiveLine;
use super::super::terminal;
use super::rows::{self, Chosen};
use crate::{quantity, wording};

/// Bad lines told one by one; more are only counted.
const TOLD_LINES: u64 = 20;

/// Reads all files; with a model, in its words.
pub(in crate::commands) fn read(
    files: &[PathBuf],
    columns: Option<&Chosen>,
    model: Option<&Model>,
) -> anyhow::Result<Cases> {
    let cases = match columns {
        Some(columns) => {
            let vocabulary = model.map_or_else(Vocabulary::default, |model| model.vocabulary.clone());
            let mut table = Table::new(vocabulary);
            rows::read(files, columns, &mut table)?;
            table.finish()
        }
        None => {
            let mut traces = model.map_or_else(Traces::default, Traces::of);
            telemetry(files, &mut traces)?;
            traces.finish()
        }
    };
    tell(&cases);
    Ok(cases)
}

fn telemetry(files: &[PathBuf], traces: &mut Traces) -> anyhow::Result<()> {
    let mut recordings = Recordings::open(files)?;
    let mut live = LiveLine::new();
    let mut bad = 0;
    while let Some(line) = recordings.next()? {
        match line {
            Ok(line) => match line.signal {
                Signal::Traces => traces.traces(&line.body),
                Signal::Logs => traces.logs(&line.body),
                Signal::Metrics => traces.metrics(&line.body),
            },
            Err(why) => {
                bad += 1;
                live.clear();
                if bad <= TOLD_LINES {
                    terminal::warn(&format!("{why}; left out"));
                }
            }
        }
        live.show(|| progress(recordings.progress()));
    }
    if bad > TOLD_LINES {
        terminal::warn(&format!("{} could not be read", wording::count(bad, "line")));
    }
    Ok(())
}

pub(in crate::commands) fn progress((read, size): (u64, u64)) -> String {
    let percent = 100.0 * read as f64 / size.max(1) as f64;
    format!("  {percent:.0} % ({})", quantity::show_rounded(read))
}

fn tell(cases: &Cases) {
    let left_out = cases.left_out;
    let told = [
        (left_out.events, "event", "beyond what is held at once"),
        (left_out.long_cases, "case", "longer than any passage"),
        (left_out.unbound_logs, "log record", "in no trace"),
        (left_out.attributes, "attribute", "beyond what is held at once"),
        (left_out.links, "link", "beyond the bounds on how traces are put together"),
    ];
    for (n, what, why) in told.into_iter().filter(|(n, ..)| *n > 0) {
        terminal::warn(&format!("{} {why}: left out", wording::count(n, what)));
    }
}
