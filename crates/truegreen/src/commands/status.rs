//! `truegreen status`.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use truegreen_model::report::Report;

use super::terminal;

const TIMEOUT: Duration = Duration::from_secs(10);

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
    let report = ask(&args.url)?;
    if args.json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        terminal::write_report(&mut anstream::stdout(), &report)?;
    }
    Ok(0)
}

fn ask(url: &str) -> anyhow::Result<Report> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).build().into();
    let asked = format!("{}/api/v1/report", url.trim_end_matches('/'));
    let hint = "hint: is `truegreen serve` running there? name another place with --url";
    let mut answer =
        agent.get(&asked).call().map_err(|error| anyhow::anyhow!("no answer from {url}: {error}\n{hint}"))?;
    answer.body_mut().read_json().with_context(|| format!("{url} answers, but not like Truegreen\n{hint}"))
}
