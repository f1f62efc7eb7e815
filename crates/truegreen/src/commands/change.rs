//! `truegreen change`.

use std::io::Write;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use truegreen_model::change::{ChangeKind, ChangeReport};

use super::{asking, terminal};

const URL: &str = "http://127.0.0.1:4320";

/// Tell a running server what was changed, or list what it was told
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    Add(Box<Add>),
    List(List),
}

/// Tell a running server that something was changed
#[derive(clap::Args, Debug)]
#[command(disable_version_flag = true)]
struct Add {
    /// The service it was made to
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The version it brought
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// What it is of
    #[arg(long, default_value = "release", value_parser = ChangeKind::ALL.map(ChangeKind::name))]
    kind: String,
    /// In a few words
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// When it began: RFC 3339 or seconds since 1970 [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// When it was through everywhere
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// An instance that it touched; once for each. Without any it touched all
    #[arg(long = "instance", value_name = "NAME")]
    instances: Vec<String>,
    /// Where it was made, as `production`
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Where to read on
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Its id; the same id again is the same change
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The server that is told
    #[arg(long, value_name = "URL", default_value = URL)]
    server: String,
}

/// List the changes that a server was told of, latest first
#[derive(clap::Args, Debug)]
struct List {
    /// Only those of this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// From when on: RFC 3339, or how long ago, as `2h`
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Until when
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The server that is asked
    #[arg(long, value_name = "URL", default_value = URL)]
    server: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    match &args.what {
        What::Add(args) => add(args),
        What::List(args) => list(args),
    }
}

#[derive(Deserialize)]
struct Taken {
    ids: Vec<String>,
}

fn add(args: &Add) -> anyhow::Result<u8> {
    anyhow::ensure!(
        args.title.is_some() || args.service.is_some(),
        "a change needs a title or a service\nhint: --title or --service"
    );
    let mut change = json!({ "kind": args.kind, "instances": args.instances });
    let texts = [
        ("id", &args.id),
        ("service", &args.service),
        ("version", &args.version),
        ("title", &args.title),
        ("at", &args.at),
        ("until", &args.until),
        ("environment", &args.environment),
        ("url", &args.url),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            change[name] = json!(text);
        }
    }
    let taken: Taken = asking::send(&args.server, "/api/v1/changes", &change)?;
    for id in &taken.ids {
        writeln!(std::io::stdout(), "{}", terminal::printable(id))?;
    }
    Ok(0)
}

#[derive(Deserialize, Serialize)]
struct Known {
    changes: Vec<ChangeReport>,
}

fn list(args: &List) -> anyhow::Result<u8> {
    let mut path = "/api/v1/changes".to_owned();
    for (name, value) in [("service", &args.service), ("since", &args.since), ("until", &args.until)] {
        if let Some(value) = value {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        }
    }
    let known: Known = asking::ask(&args.server, &path)?;
    let mut out = anstream::stdout();
    if args.json {
        writeln!(out, "{}", terminal::printable_json(&serde_json::to_string_pretty(&known)?))?;
        return Ok(0);
    }
    for change in &known.changes {
        writeln!(out, "{}", terminal::printable(&line(change)))?;
    }
    if known.changes.is_empty() {
        terminal::warn("no change is known");
    }
    Ok(0)
}

fn line(change: &ChangeReport) -> String {
    let mut line = format!("{}  {:<14}  {}", change.at, change.kind, change.title);
    let told = [("service", &change.service), ("version", &change.version), ("environment", &change.environment)];
    for (name, text) in told {
        if let Some(text) = text {
            line.push_str(&format!("  {name} {text}"));
        }
    }
    line.push_str(&format!("  ({}, {})", change.source, change.id));
    line
}
