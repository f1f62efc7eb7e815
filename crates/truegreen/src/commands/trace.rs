//! `truegreen trace`.

mod waterfall;

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use truegreen_model::passage::PassageReport;

use super::terminal;

const TIMEOUT: Duration = Duration::from_secs(20);
/// An answer is bounded by the server; this is only against whoever else listens there.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// As wide as a page is printed.
const WIDTH_UNWATCHED: usize = 140;

/// Follow one order end to end
///
/// Shows every hop of one key with its time, service, duration, outcome and log lines, and the gap where something should
/// have been and is not. Also takes a trace id (32 hex digits, or a whole traceparent) and the id of a message or event.
/// The systems that the server's configuration names are asked for it, too: the row in the database, the entry in the cache,
/// the message that lies dead.
///
/// Exit code 1 if nothing is known of it, by telemetry or by any system.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A key, a trace id, or a message's id
    #[arg(value_name = "KEY")]
    asked: String,
    /// Only in this flow
    #[arg(long, value_name = "FLOW")]
    flow: Option<String>,
    /// Leave the systems alone: only what telemetry tells
    #[arg(long)]
    no_ask: bool,
    /// Where the server shows its pages
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4320")]
    url: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What the API says where it has no answer.
#[derive(Deserialize)]
struct Problem {
    error: String,
    hint: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let url = args.url.trim_end_matches('/');
    let asked = utf8_percent_encode(&args.asked, NON_ALPHANUMERIC);
    let flow = args.flow.as_ref().map(|flow| format!("flow={}", utf8_percent_encode(flow, NON_ALPHANUMERIC)));
    let parameters: Vec<String> = flow.into_iter().chain(args.no_ask.then(|| "ask=false".to_owned())).collect();
    let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    let found = ask(url, &format!("/api/v1/trace/{asked}{query}"))?;
    match found {
        Ok(report) if args.json => {
            let text = serde_json::to_string_pretty(&report)?;
            writeln!(std::io::stdout(), "{}", terminal::printable_json(&text))?;
            Ok(0)
        }
        Ok(report) => {
            let width = terminal_size::terminal_size().map_or(WIDTH_UNWATCHED, |(width, _)| usize::from(width.0));
            let mut out = anstream::stdout();
            waterfall::write(&mut out, &report, width)?;
            writeln!(out, "\n{url}/trace/{asked}")?;
            Ok(0)
        }
        Err(problem) => {
            let told = format!("{}\nhint: {}", problem.error, problem.hint);
            writeln!(anstream::stderr(), "{}", terminal::printable_lines(&told))?;
            Ok(1)
        }
    }
}

fn ask(url: &str, path: &str) -> anyhow::Result<Result<PassageReport, Problem>> {
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    let hint = "hint: is `truegreen serve` running there? name another place with --url";
    let mut answer = agent
        .get(format!("{url}{path}"))
        .call()
        .map_err(|error| anyhow::anyhow!("no answer from {url}: {error}\n{hint}"))?;
    let unlike = || format!("{url} answers, but not like Truegreen\n{hint}");
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES);
    match status {
        200 => Ok(Ok(body.read_json().with_context(unlike)?)),
        404 => Ok(Err(body.read_json().with_context(unlike)?)),
        _ => {
            let Problem { error, hint } = body.read_json().with_context(unlike)?;
            anyhow::bail!("{}", terminal::printable_lines(&format!("{error}\nhint: {hint}")))
        }
    }
}
