//! `truegreen audit`: the engine over recorded telemetry, at the pace of the disk.

mod learned;
pub(super) mod recording;
mod times;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use truegreen_engine::{Engine, Input, Options, Request};
use truegreen_model::report::{FindingReport, JourneyReport, Report};
use truegreen_model::time::Timestamp;
use truegreen_otlp::Signal;

use super::progress::LiveLine;
use super::{learn, serve, terminal};
use crate::{quantity, wording};
use recording::{Line, Recordings};

/// Time passes as the recording says: what it holds counts as received so long after the latest event in it. As long
/// as the engine allows exporters at the least.
const EXPORT_LAG: Duration = Duration::from_secs(10);
/// Whatever is in the files is remembered.
const RETENTION: Duration = Duration::from_secs(100 * 365 * 86_400);
const MAX_JOURNEYS: usize = 50_000_000;
/// Bad lines told one by one; more are only counted.
const TOLD_LINES: u64 = 20;

/// Keep the books over recorded telemetry
///
/// Reads what the OpenTelemetry Collector's file exporter writes: one line of OTLP/JSON for each request, with traces,
/// logs and metrics mixed, plain or compressed with gzip or zstd. Several files are read side by side by the time of
/// their events. Time is that of the recording; what is undecided at its end stays open.
///
/// With `--learn-from` no contract is needed: what is usual is learned from healthy recordings, and the others are
/// watched for what breaks it. With `--case`, `--activity` and `--time` both sides are plain event logs, CSV or NDJSON.
///
/// Exit code 1 if something is unaccounted; with `--learn-from`, if there is a finding.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Folder of contracts (*.yaml), or one of them
    #[arg(long, value_name = "DIR", required_unless_present = "learn_from", conflicts_with = "learn_from")]
    flows: Option<PathBuf>,
    /// Recordings, or folders of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Healthy recording to learn from, or a folder of them; may be repeated, or be a list with commas
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    learn_from: Vec<PathBuf>,
    #[command(flatten)]
    columns: learn::Columns,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write every journey to a file, one line of JSON each
    #[arg(long, value_name = "FILE")]
    journeys: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let Some(flows) = &args.flows else {
        return learned::run(args);
    };
    let flows = serve::load(flows)?;
    let recordings = Recordings::open(&learn::files(&args.files)?)?;
    // Opened first: an hour of reading should not end in a full disk's complaint alone.
    let journeys = journeys_file(args)?;
    let options = Options { retention: RETENTION, max_journeys: MAX_JOURNEYS, ..Options::default() };
    let mut audit = Audit { engine: Engine::new(flows, options), now: Timestamp(0), sequence: 0, bad: 0, refused: 0 };
    audit.read(recordings)?;
    if let Some(file) = journeys {
        write_journeys(audit.engine.journeys(), file).context("cannot write the journeys")?;
    }
    audit.tell(args.json)
}

fn journeys_file(args: &Args) -> anyhow::Result<Option<File>> {
    let create = |path: &PathBuf| File::create(path).with_context(|| format!("cannot write {}", path.display()));
    args.journeys.as_ref().map(create).transpose()
}

struct Audit {
    engine: Engine,
    now: Timestamp,
    sequence: u64,
    /// Lines that could not be read.
    bad: u64,
    /// Records beyond the limits on single records.
    refused: u64,
}

impl Audit {
    fn read(&mut self, mut recordings: Recordings) -> anyhow::Result<()> {
        let mut live = LiveLine::new();
        while let Some(line) = recordings.next()? {
            match line {
                Ok(line) => self.apply(&line)?,
                Err(bad) => {
                    self.bad += 1;
                    live.clear();
                    self.complain(&bad);
                }
            }
            live.show(|| {
                let (read, size) = recordings.progress();
                let percent = 100.0 * read as f64 / size.max(1) as f64;
                let read = quantity::show_rounded(read);
                format!(
                    "  {percent:.0} % ({read}), {} requests, {} journeys open",
                    self.sequence,
                    self.engine.open_journeys()
                )
            });
        }
        Ok(())
    }

    fn apply(&mut self, line: &Line) -> anyhow::Result<()> {
        self.sequence += 1;
        self.refused += line.refused;
        self.now = self.now.max(line.latest + EXPORT_LAG);
        let request = Request { sequence: self.sequence, body: &line.body };
        let input = match line.signal {
            Signal::Traces => Input::Traces(request),
            Signal::Logs => Input::Logs(request),
            Signal::Metrics => Input::Metrics(request),
        };
        self.engine.apply(self.now, input);
        // An engine that is full would leave out what comes next, and the books would be of something else.
        anyhow::ensure!(
            !self.engine.is_full(),
            "more than {MAX_JOURNEYS} journeys, or too many traces at once\nhint: audit a shorter stretch of time"
        );
        Ok(())
    }

    fn complain(&self, bad: &recording::Bad) {
        if self.bad <= TOLD_LINES {
            terminal::warn(&format!("{bad}; left out"));
        }
        if self.bad == TOLD_LINES {
            terminal::warn("further lines that cannot be read are only counted");
        }
    }

    fn tell(&self, json: bool) -> anyhow::Result<u8> {
        let report = self.engine.report();
        if json {
            writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            let mut out = anstream::stdout();
            terminal::write_report(&mut out, &report)?;
            writeln!(out, "\n{} read", wording::count(self.sequence, "request"))?;
        }
        let unasked: BTreeSet<String> = self.engine.unanswered().into_iter().map(|question| question.system).collect();
        for system in unasked {
            terminal::warn(&format!(
                "not asked: `{system}`, since a recording is all there is; telemetry alone decided"
            ));
        }
        if self.bad > 0 {
            let lines = wording::count(self.bad, "line");
            terminal::warn(&format!("{lines} could not be read: the books miss what stood there"));
        }
        if self.refused > 0 {
            let records = wording::count(self.refused, "record");
            terminal::warn(&format!("{records} went beyond the limits on single records and were left out"));
        }
        Ok(u8::from(is_any_lost(&report)))
    }
}

/// Whether something is unaccounted: where a contract allows some, whether more was than that.
fn is_any_lost(report: &Report) -> bool {
    const KINDS: [&str; 3] = ["loss", "failed_without_exit", "abandonment"];
    let is_of_loss = |finding: &FindingReport| {
        !finding.flow.is_empty() && finding.status != "withdrawn" && KINDS.contains(&finding.kind.as_str())
    };
    report.flows.values().any(|flow| flow.unaccounted > 0 && flow.left.is_empty())
        || report.findings.iter().any(is_of_loss)
}

fn write_journeys(journeys: impl Iterator<Item = JourneyReport>, file: File) -> anyhow::Result<()> {
    let mut out = BufWriter::new(file);
    for journey in journeys {
        serde_json::to_writer(&mut out, &journey)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
