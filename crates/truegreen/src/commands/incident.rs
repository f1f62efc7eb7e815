//! `truegreen incident`.

mod text;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use truegreen_model::incident::{Incident, IncidentList};

use super::{asking, terminal};

/// A list of all who were affected is put together first.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(60);
/// Diagnoses take a while.
const DIAGNOSIS_TIMEOUT: Duration = Duration::from_secs(60);

/// Write down what was thought, found and done, and see whether it comes back
///
/// The record is kept by the running server, one file for each incident in the folder of its data. Closed as fixed it is
/// watched: the same finding opens it again.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

// What each does is said beside its arguments.
#[derive(Subcommand, Debug)]
enum What {
    Open(Open),
    List(List),
    Show(Show),
    Note(Note),
    Action(Action),
    Close(Close),
    Export(Export),
    Affected(Affected),
}

/// Where the server is.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct At {
    /// Where the server shows its pages
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4320")]
    pub(super) url: String,
}

/// Where the server is, and who writes.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct As {
    #[command(flatten)]
    pub(super) at: At,
    /// Who writes it down
    #[arg(long, value_name = "NAME", env = "USER", hide_env = true, default_value = "", hide_default_value = true)]
    pub(super) by: String,
}

/// Open an incident from a finding, or add the finding to one
///
/// Takes the finding, its diagnosis as it stands, who is affected, and earlier incidents that are like it. An incident that is
/// open for the finding already is shown instead, with the new diagnosis.
#[derive(clap::Args, Debug)]
struct Open {
    /// The finding's id; `truegreen status --json` shows them
    #[arg(value_name = "FINDING")]
    finding: String,
    /// One sentence; else the finding's
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// The finding belongs to this incident
    #[arg(long = "in", value_name = "INCIDENT", conflicts_with = "title")]
    into: Option<String>,
    #[command(flatten)]
    by: As,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// List incidents: open ones first, then those that are only patched
#[derive(clap::Args, Debug)]
struct List {
    #[command(flatten)]
    at: At,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Show one
#[derive(clap::Args, Debug)]
struct Show {
    /// Its id, such as INC-1
    #[arg(value_name = "INCIDENT")]
    id: String,
    #[command(flatten)]
    at: At,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Write something down, with the time
#[derive(clap::Args, Debug)]
struct Note {
    /// Its id, such as INC-1
    #[arg(value_name = "INCIDENT")]
    id: String,
    /// What is written down
    #[arg(value_name = "TEXT")]
    text: String,
    #[command(flatten)]
    by: As,
}

/// Write down what is to be done, or that it is done
#[derive(clap::Args, Debug)]
struct Action {
    /// Its id, such as INC-1
    #[arg(value_name = "INCIDENT")]
    id: String,
    /// What is to be done
    #[arg(value_name = "TEXT", required_unless_present = "done", conflicts_with = "done")]
    text: Option<String>,
    /// Whose it is
    #[arg(long, value_name = "NAME", conflicts_with = "done")]
    owner: Option<String>,
    /// The action of this number is done
    #[arg(long, value_name = "N")]
    done: Option<u32>,
    #[command(flatten)]
    by: As,
}

/// Close it: its cause is fixed, or only its symptom patched
///
/// What is fixed is watched: the same finding opens it again. What is patched stays listed until it is closed as fixed.
#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("how").required(true).args(["fixed", "patched"])))]
struct Close {
    /// Its id, such as INC-1
    #[arg(value_name = "INCIDENT")]
    id: String,
    /// The cause is gone: what the real fix was
    #[arg(long, value_name = "TEXT")]
    fixed: Option<String>,
    /// The symptom is gone, and the cause stays: what patched it
    #[arg(long, value_name = "TEXT")]
    patched: Option<String>,
    #[command(flatten)]
    by: As,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    Md,
    Html,
    Json,
}

/// Write the record by the headings of the SRE book, with its numbers filled in
#[derive(clap::Args, Debug)]
struct Export {
    /// Its id, such as INC-1
    #[arg(value_name = "INCIDENT")]
    id: String,
    /// Markdown, one page of HTML that needs nothing else, or JSON
    #[arg(long, value_enum, default_value = "md")]
    format: Format,
    /// Into this file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Listed {
    Csv,
    Ndjson,
    Json,
}

/// List all who were affected, so that they can be made whole
///
/// Exit code 1 where the list is not complete; standard error says why.
#[derive(clap::Args, Debug)]
struct Affected {
    /// Its id, such as INC-1
    #[arg(value_name = "INCIDENT")]
    id: String,
    /// A table, one JSON document a line, or one for all
    #[arg(long, value_enum, default_value = "csv")]
    format: Listed,
    /// Into this file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    match &args.what {
        What::Open(args) => open(args),
        What::List(args) => list(args),
        What::Show(args) => {
            let incident: Incident = asking::ask(&args.at.url, &path(&args.id, ""))?;
            told(&incident, args.json)
        }
        What::Note(args) => {
            written(&args.by, &args.id, "/notes", json!({ "text": args.text }), |_| "written down".to_owned())
        }
        What::Action(args) => action(args),
        What::Close(args) => close(args),
        What::Export(args) => {
            let format = match args.format {
                Format::Md => "md",
                Format::Html => "html",
                Format::Json => "json",
            };
            let text =
                asking::text(&args.at.url, &path(&args.id, &format!("/export?format={format}")), EXPORT_TIMEOUT)?;
            put(args.output.as_deref(), &text)?;
            Ok(0)
        }
        What::Affected(args) => affected(args),
    }
}

/// The way to an incident, or to a part of it.
pub(super) fn path(id: &str, part: &str) -> String {
    format!("/api/v1/incidents/{}{part}", utf8_percent_encode(id, NON_ALPHANUMERIC))
}

/// The diagnosis of a finding as it stands, or why there is none.
pub(super) fn diagnosis(url: &str, finding: &str) -> Result<Value, String> {
    let path = format!("/api/v1/findings/{}/diagnosis", utf8_percent_encode(finding, NON_ALPHANUMERIC));
    asking::ask_for(url, &path, DIAGNOSIS_TIMEOUT).map_err(|error| {
        let told = error.to_string();
        told.lines().next().unwrap_or_default().trim_start_matches(&format!("{url}: ")).to_owned()
    })
}

/// Opens one with the diagnosis as it stands.
pub(super) fn opened(by: &As, finding: &str, title: Option<&str>) -> anyhow::Result<Incident> {
    let mut body = json!({ "finding": finding, "by": by.by });
    if let Some(title) = title {
        body["title"] = Value::from(title);
    }
    if let Ok(diagnosis) = diagnosis(&by.at.url, finding) {
        body["diagnosis"] = diagnosis;
    }
    asking::send(&by.at.url, "/api/v1/incidents", &body)
}

fn open(args: &Open) -> anyhow::Result<u8> {
    let incident = match &args.into {
        Some(id) => {
            let body = json!({ "finding": args.finding, "by": args.by.by });
            asking::send(&args.by.at.url, &path(id, "/findings"), &body)?
        }
        None => opened(&args.by, &args.finding, args.title.as_deref())?,
    };
    told(&incident, args.json)
}

fn told(incident: &Incident, as_json: bool) -> anyhow::Result<u8> {
    if as_json {
        writeln!(std::io::stdout(), "{}", terminal::printable_json(&serde_json::to_string_pretty(incident)?))?;
    } else {
        text::incident(&mut anstream::stdout(), incident)?;
    }
    Ok(0)
}

fn list(args: &List) -> anyhow::Result<u8> {
    let list: IncidentList = asking::ask(&args.at.url, "/api/v1/incidents")?;
    if args.json {
        writeln!(std::io::stdout(), "{}", terminal::printable_json(&serde_json::to_string_pretty(&list)?))?;
    } else {
        text::list(&mut anstream::stdout(), &list)?;
    }
    Ok(0)
}

fn written(
    by: &As,
    id: &str,
    part: &str,
    mut body: Value,
    says: impl FnOnce(&Incident) -> String,
) -> anyhow::Result<u8> {
    body["by"] = Value::from(by.by.as_str());
    let incident: Incident = asking::send(&by.at.url, &path(id, part), &body)?;
    writeln!(anstream::stdout(), "{}: {}", incident.id, terminal::printable_lines(&says(&incident)))?;
    Ok(0)
}

fn action(args: &Action) -> anyhow::Result<u8> {
    let body = match (&args.text, args.done) {
        (_, Some(done)) => json!({ "done": done }),
        (Some(text), None) => json!({ "text": text, "owner": args.owner.as_deref().unwrap_or_default() }),
        (None, None) => anyhow::bail!("what is to be done?\nhint: a text, or --done N"),
    };
    written(&args.by, &args.id, "/actions", body, |incident| {
        let open = incident.summary().open_actions;
        format!("{} written down, {open} of them open", crate::wording::count(incident.actions.len() as u64, "action"))
    })
}

fn close(args: &Close) -> anyhow::Result<u8> {
    let body = match (&args.fixed, &args.patched) {
        (Some(what), None) => json!({ "how": "fixed", "what": what }),
        (None, Some(what)) => json!({ "how": "patched", "what": what }),
        _ => anyhow::bail!("how is it closed?\nhint: --fixed TEXT or --patched TEXT"),
    };
    written(&args.by, &args.id, "/close", body, Incident::standing)
}

fn affected(args: &Affected) -> anyhow::Result<u8> {
    let url = &args.at.url;
    let text = asking::text(url, &path(&args.id, "/affected?format=json"), EXPORT_TIMEOUT)?;
    let known: truegreen_model::incident::Affected =
        serde_json::from_str(&text).with_context(|| format!("{url} answers, but not like Truegreen"))?;
    match args.format {
        Listed::Json => put(args.output.as_deref(), &text)?,
        Listed::Csv => {
            put(args.output.as_deref(), &asking::text(url, &path(&args.id, "/affected?format=csv"), EXPORT_TIMEOUT)?)?;
        }
        Listed::Ndjson => {
            put(
                args.output.as_deref(),
                &asking::text(url, &path(&args.id, "/affected?format=ndjson"), EXPORT_TIMEOUT)?,
            )?;
        }
    }
    if !known.count.is_complete {
        terminal::warn(&terminal::printable(&known.count.says));
    }
    Ok(u8::from(!known.count.is_complete))
}

/// To a file, or to standard output: there without what steers a terminal.
pub(super) fn put(file: Option<&Path>, text: &str) -> anyhow::Result<()> {
    match file {
        Some(file) => std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display())),
        None => Ok(writeln!(std::io::stdout(), "{}", terminal::printable_lines(text.trim_end()))?),
    }
}
