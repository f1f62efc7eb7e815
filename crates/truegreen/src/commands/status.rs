//! `truegreen status`.

use std::io::Write;

use truegreen_model::report::Report;

use super::terminal::DIM;
use super::{asking, terminal};
use crate::wording;

/// Ask a running server how things stand
///
/// Each finding comes with its id and, once it is diagnosed, with how sure that is and why it is there in one sentence.
/// Exit code 0 if it answers, whatever it says; the verdict is in the answer.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Where the server shows its pages
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4320")]
    url: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let report: Report = asking::ask(&args.url, "/api/v1/report")?;
    if args.json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        let mut out = anstream::stdout();
        terminal::write_report(&mut out, &report)?;
        if report.findings.iter().any(wording::is_standing) {
            writeln!(
                out,
                "\n{DIM}Why: truegreen diagnose FINDING. Step by step: truegreen investigate FINDING.{DIM:#}"
            )?;
        }
    }
    Ok(0)
}
