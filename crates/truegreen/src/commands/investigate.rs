//! `truegreen investigate`: the nine steps that find a silent failure, each asked of a running server.

mod bundle;
mod gathered;
mod session;
mod steps;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};
use truegreen_model::incident::Incident;

use self::gathered::Gathered;
use self::steps::Step;
use super::asking;
use super::incident::{self, As};
use super::terminal::{self, BOLD, DIM, printable};
use crate::clock::wall_clock;
use crate::lookup::when;
use crate::wording;

/// Go through the nine steps for one finding: from the map to the written record
///
/// Map, narrow, silent points, what changed, honest health, one failing request, hypotheses, cause or symptom, document. Each
/// is asked of a running server and says its result first. Hypotheses and evidence are kept by the server in the record of the
/// incident, so that anybody can go on anywhere; the first of them opens it.
///
/// Exit code 1 if no finding has this id.
#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("evidence").args(["supports", "against"])))]
pub(super) struct Args {
    /// The finding's id; `truegreen status --json` shows them
    #[arg(value_name = "FINDING")]
    finding: String,
    /// Only this step
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    step: Option<u8>,
    /// Stop after each step, and take hypotheses and evidence
    #[arg(long, conflicts_with_all = ["step", "json", "bundle", "hypothesis", "evidence"])]
    interactive: bool,
    /// Write this hypothesis down
    #[arg(long, value_name = "TEXT")]
    hypothesis: Option<String>,
    /// Speaks for the hypothesis that --on names
    #[arg(long = "for", value_name = "TEXT", requires = "on")]
    supports: Option<String>,
    /// Speaks against the hypothesis that --on names
    #[arg(long, value_name = "TEXT", requires = "on")]
    against: Option<String>,
    /// The number of a hypothesis
    #[arg(long, value_name = "N", requires = "evidence")]
    on: Option<u32>,
    /// Write all of it into one file for a second pair of eyes; .md or .html
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    by: As,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let url = &args.by.at.url;
    let format = args.bundle.as_deref().map(bundle::Format::of).transpose()?;
    let Some(mut gathered) = Gathered::ask(url, &args.finding)? else {
        let hint = "hint: `truegreen status --json` shows the ids of findings; old ones are forgotten";
        writeln!(anstream::stderr(), "no finding is called {}\n{hint}", printable(&args.finding))?;
        return Ok(1);
    };
    let written = write_down(args, &mut gathered)?;
    if args.interactive {
        anyhow::ensure!(
            std::io::stdin().is_terminal(),
            "nobody is there to ask: standard input is no terminal\nhint: leave --interactive out"
        );
        return session::run(&args.by, &mut gathered);
    }
    let now = when::rfc3339(wall_clock());
    let all = steps::all(&gathered);
    if let (Some(format), Some(file)) = (format, &args.bundle) {
        let text = bundle::write(&gathered, &all, &now, format);
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        writeln!(anstream::stdout(), "All of it is in {}.", file.display())?;
        return Ok(0);
    }
    let shown: Vec<&Step> = all.iter().filter(|step| args.step.is_none_or(|wanted| step.number == wanted)).collect();
    let nudge = gathered.incident.as_ref().and_then(|incident| steps::nudge(incident, &now));
    if args.json {
        let answer = json!({
            "finding": gathered.finding, "steps": shown, "incident": gathered.incident, "nudge": nudge,
        });
        writeln!(std::io::stdout(), "{}", terminal::printable_json(&serde_json::to_string_pretty(&answer)?))?;
        return Ok(0);
    }
    let mut out = anstream::stdout();
    if let Some(written) = written {
        writeln!(out, "{}\n", printable(&written))?;
    }
    head(&mut out, &gathered)?;
    for step in shown {
        write_step(&mut out, step)?;
    }
    if let Some(nudge) = nudge {
        writeln!(out, "\n{BOLD}{}{BOLD:#}", printable(&nudge))?;
    }
    Ok(0)
}

/// Hypotheses and evidence of the command line. The first opens an incident.
fn write_down(args: &Args, gathered: &mut Gathered) -> anyhow::Result<Option<String>> {
    let mut written = None;
    if let Some(text) = &args.hypothesis {
        written = Some(suppose(&args.by, gathered, json!({ "text": text }))?);
    }
    for (way, text) in [("for", &args.supports), ("against", &args.against)] {
        if let Some(text) = text {
            let mut body = json!({ "on": args.on });
            body[way] = Value::from(text.as_str());
            written = Some(suppose(&args.by, gathered, body)?);
        }
    }
    Ok(written)
}

/// Writes a hypothesis or evidence down; says where.
fn suppose(by: &As, gathered: &mut Gathered, mut body: Value) -> anyhow::Result<String> {
    let known = gathered.incident.as_ref().map(|incident| incident.id.clone());
    let id = match known {
        Some(id) => id,
        None => incident::opened(by, &gathered.finding.id, None)?.id,
    };
    body["by"] = Value::from(by.by.as_str());
    let incident: Incident = asking::send(&by.at.url, &incident::path(&id, "/hypotheses"), &body)?;
    let said = format!(
        "Written down in {id}: {} now.",
        wording::number_of(incident.hypotheses.len(), "hypothesis", "hypotheses")
    );
    gathered.incident = Some(incident);
    Ok(said)
}

fn head(out: &mut impl Write, gathered: &Gathered) -> std::io::Result<()> {
    let finding = &gathered.finding;
    writeln!(out, "{BOLD}{}{BOLD:#}", printable(&wording::sentence(&finding.title)))?;
    let (since, last) = (when::stamp(&finding.onset), when::stamp(&finding.last_seen));
    writeln!(out, "{DIM}finding {}, {}, since {since}, last at {last}{DIM:#}", printable(&finding.id), finding.status)?;
    if !gathered.recurrence.recurrences.is_empty() {
        writeln!(out, "{}", printable(&wording::sentence(&gathered.recurrence.says)))?;
    }
    Ok(())
}

fn write_step(out: &mut impl Write, step: &Step) -> std::io::Result<()> {
    writeln!(out, "\n{BOLD}{} {}{BOLD:#}  {}", step.number, step.name, printable(&wording::sentence(&step.says)))?;
    for line in &step.lines {
        writeln!(out, "  {}", printable(line))?;
    }
    Ok(())
}
