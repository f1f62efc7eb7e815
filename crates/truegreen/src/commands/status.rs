//! `truegreen status`.

use std::io::Write;

use truegreen_model::report::Report;

use super::{asking, terminal};

/// Ask a running server how things stand
///
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
        terminal::write_report(&mut anstream::stdout(), &report)?;
    }
    Ok(0)
}
