//! `truegreen diagnose`: where failing requests leave the way of healthy ones.

mod files;
mod finding;
mod text;

use std::io::Write;
use std::path::PathBuf;

use truegreen_engine::explain::recording::Recorder;
use truegreen_engine::explain::suspects::{Recorded, suspects};

use super::{learn, terminal};
use crate::wording;

/// Name the place that most probably makes requests fail
///
/// Compares recorded traces and logs of a healthy stretch of time with those of a failing one, request by request: what
/// is missing, what is new, what takes longer, what is repeated. Names the cause rather than its symptoms, by rank, with
/// the evidence, and what was ruled out. The stretches may be of any length and traffic, and of the failing one only
/// some requests need have failed.
///
/// Of a finding of a running server it tells all that is known: what is different about the failing ones, how far it
/// reaches, since when, what changed, where it comes from, and how sure that is.
///
/// Reads OTLP as files: lines of OTLP/JSON, as the Collector's file exporter writes them, or protobuf; plain or compressed
/// with gzip or zstd; several files, or folders of them.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A finding of a running server, by its id
    #[arg(value_name = "FINDING", conflicts_with_all = ["normal", "failing"])]
    finding: Option<String>,
    /// Recordings of when all was well, or folders of them
    #[arg(long, value_name = "FILE", num_args = 1.., value_delimiter = ',', required_unless_present = "finding")]
    normal: Vec<PathBuf>,
    /// Recordings of when it was not
    #[arg(long, value_name = "FILE", num_args = 1.., value_delimiter = ',', required_unless_present = "finding")]
    failing: Vec<PathBuf>,
    /// Where the server shows its pages
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4320")]
    url: String,
    /// Print the diagnosis as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    if let Some(id) = &args.finding {
        return finding::run(id, &args.url, args.json);
    }
    let (normal, failing) = (learn::files(&args.normal)?, learn::files(&args.failing)?);
    if let Some(both) = normal.iter().find(|file| failing.contains(file)) {
        let both = both.display();
        terminal::warn(&format!("{both} is on both sides: what is wrong all through it cannot be found"));
    }
    let mut recorder = Recorder::default();
    files::read(&normal, &mut recorder)?;
    recorder.begin_part();
    files::read(&failing, &mut recorder)?;
    let recording = recorder.finish();
    let (normal, failing) = (Recorded::of(&recording, 0), Recorded::of(&recording, 1));
    for (side, requests) in [("normal", &normal), ("failing", &failing)] {
        anyhow::ensure!(
            !requests.cases.is_empty(),
            "the {side} files hold no trace\nhint: spans, or logs with trace ids, are needed on both sides"
        );
    }
    let mut diagnosis = suspects(&recording, &normal.cases, &failing.cases);
    let cut_off = normal.cut_off + failing.cut_off;
    if cut_off > 0 {
        let requests = wording::count(cut_off as u64, "request");
        diagnosis.notes.push(format!("{requests} at the beginning or end of a recording may be cut off: left out"));
    }
    if args.json {
        let json = serde_json::to_string_pretty(&diagnosis)?;
        writeln!(std::io::stdout(), "{}", terminal::printable_json(&json))?;
    } else {
        text::write(&mut anstream::stdout(), &diagnosis)?;
    }
    Ok(0)
}
