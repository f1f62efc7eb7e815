//! `truegreen learn --from-server`: what a running server learns of its log, and which learned contracts it watches.

use std::io::Write;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::super::{asking, terminal};

/// The server reads for at most half of it.
const TIMEOUT: Duration = Duration::from_secs(90);

/// What a server is asked.
#[derive(clap::Args, Debug)]
pub(super) struct Asked {
    /// Learn of what a running server has stored
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "http://127.0.0.1:4320")]
    pub(super) from_server: Option<String>,
    /// From when on: RFC 3339, or how long ago, as `2h` [default: 2h]
    #[arg(long, value_name = "TIME", requires = "from_server")]
    since: Option<String>,
    /// Until when: RFC 3339, or how long ago [default: now]
    #[arg(long, value_name = "TIME", requires = "from_server")]
    until: Option<String>,
    /// Print the learned contracts that the server watches by itself
    #[arg(long, requires = "from_server", conflicts_with_all = ["since", "until"])]
    in_force: bool,
    /// Have the server no longer watch one of these
    #[arg(long, value_name = "FLOW", requires = "from_server", conflicts_with_all = ["since", "until", "in_force"])]
    forget: Option<String>,
}

#[derive(Deserialize, serde::Serialize)]
struct Learned {
    yaml: String,
    cases: u64,
    flows: usize,
    requests: u64,
    notes: Vec<String>,
}

#[derive(Deserialize, serde::Serialize)]
struct InForce {
    learned: Vec<Contract>,
}

#[derive(Deserialize, serde::Serialize)]
struct Contract {
    flow: String,
    description: String,
    usually_broken: Option<f64>,
    steps: Vec<String>,
    yaml: String,
}

fn encoded(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

pub(super) fn run(url: &str, asked: &Asked, json: bool) -> anyhow::Result<u8> {
    if let Some(flow) = &asked.forget {
        asking::forget(url, &format!("/api/v1/learned/{}", encoded(flow)))?;
        return Ok(0);
    }
    if asked.in_force {
        return in_force(&asking::ask(url, "/api/v1/learned")?, json);
    }
    let mut path = "/api/v1/learn".to_owned();
    for (name, value) in [("since", &asked.since), ("until", &asked.until)] {
        if let Some(value) = value {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&format!("{name}={}", encoded(value)));
        }
    }
    let learned: Learned = asking::ask_for(url, &path, TIMEOUT)?;
    if json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&learned)?)?;
        return Ok(u8::from(learned.flows == 0));
    }
    write!(anstream::stdout(), "{}", terminal::printable_lines(&learned.yaml))?;
    learned.notes.iter().for_each(|note| terminal::warn(note));
    if learned.flows == 0 {
        terminal::warn(&format!("nothing learned from {} cases in {} requests", learned.cases, learned.requests));
    }
    Ok(u8::from(learned.flows == 0))
}

fn in_force(answer: &InForce, json: bool) -> anyhow::Result<u8> {
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(answer)?)?;
    } else {
        for (n, contract) in answer.learned.iter().enumerate() {
            if n > 0 {
                writeln!(out, "---")?;
            }
            if contract.yaml.is_empty() {
                let steps = contract.steps.join(", ");
                let text = format!("# {}: {} Steps: {steps}.", contract.flow, contract.description);
                writeln!(out, "{}", terminal::printable_lines(&text))?;
            } else {
                write!(out, "{}", terminal::printable_lines(&contract.yaml))?;
            }
        }
    }
    if answer.learned.is_empty() {
        terminal::warn("no learned contract is in force");
    }
    Ok(u8::from(answer.learned.is_empty()))
}
