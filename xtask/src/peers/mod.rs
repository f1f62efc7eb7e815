//! `cargo xtask bench --peers`: Truegreen beside others, on the same generated data in the same run.
//!
//! Two comparisons: [`intake`] (spans acknowledged per second, end to end over gRPC) and [`search`] (finding the keys
//! that lack their second event). What cannot be installed fails the run; nothing is skipped that was not asked to be.

mod intake;
pub(crate) mod place;
mod process;
mod search;
mod table;

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::place::Place;
use crate::say;

/// Everyone that can be named by `--only`; ours is measured beside whoever is.
const PEERS: [&str; 6] = ["rotel", "duckdb", "clickhouse", "polars", "bytewax", "flink"];
/// Without any peer: only ours, of one comparison.
const PARTS: [&str; 2] = ["intake", "search"];

const USAGE: &str = "\
cargo xtask bench --peers [--only NAMES] [--rounds N] [--seconds N] [--streams N] [--connections N]

  --only         some of rotel, duckdb, clickhouse, polars, bytewax, flink; or `intake`, `search` for ours alone
  --rounds       how often each is measured; the median counts [3]
  --seconds      how long each round of the intake sends [15]
  --streams      gRPC calls at once [16]
  --connections  over so many HTTP/2 connections [2]";

/// What to measure, and how.
pub(crate) struct Plan {
    names: Vec<String>,
    rounds: usize,
    duration: Duration,
    streams: usize,
    connections: usize,
}

impl Plan {
    fn from(arguments: &[String]) -> Result<Plan> {
        let names = PEERS.iter().map(|name| (*name).to_owned()).collect();
        let mut plan = Plan { names, rounds: 3, duration: Duration::from_secs(15), streams: 16, connections: 2 };
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            let value = rest.next().with_context(|| format!("{flag} wants a value\n\n{USAGE}"))?;
            let number = || value.parse().ok().filter(|n| *n > 0).context(format!("{flag} {value}: not a number"));
            match flag.as_str() {
                "--only" => plan.names = value.split(',').map(str::to_owned).collect(),
                "--rounds" => plan.rounds = number()?,
                "--seconds" => plan.duration = Duration::from_secs(number()? as u64),
                "--streams" => plan.streams = number()?,
                "--connections" => plan.connections = number()?,
                _ => bail!("{flag} is no option\n\n{USAGE}"),
            }
        }
        match plan.names.iter().find(|name| !PEERS.contains(&name.as_str()) && !PARTS.contains(&name.as_str())) {
            Some(name) => bail!("{name} is no peer\n\n{USAGE}"),
            None => Ok(plan),
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.names.iter().any(|wanted| wanted == name)
    }
}

/// Measures, prints the tables and keeps them in a file.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let plan = Plan::from(arguments)?;
    let place = Place::new()?;
    place.build()?;
    let mut text = format!("{}\n", place.describe());
    let mut summary = Vec::new();
    if plan.wants("intake") || plan.wants("rotel") {
        let (table, line) = intake::measure(&plan, &place)?;
        write!(text, "\n{table}")?;
        summary.push(line);
    }
    if PEERS[1..].iter().chain(&["search"]).any(|name| plan.wants(name)) {
        let (table, line) = search::measure(&plan, &place)?;
        write!(text, "\n{table}")?;
        summary.push(line);
    }
    let kept = place.work.join("results.md");
    std::fs::write(&kept, &text).with_context(|| format!("cannot write {}", kept.display()))?;
    say(&format!("\n{text}\nkept in {}", kept.display()));
    say(&format!("peers: {}", summary.join("; ")));
    Ok(())
}
