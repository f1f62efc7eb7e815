//! `truegreen learn`: healthy recordings in, contracts out.

mod rows;
mod server;
pub(super) mod source;
pub(super) mod when;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use truegreen_engine::learn::{Model, contract, tolerance};
use truegreen_model::flow::Text;

use super::terminal;
use crate::wording;

/// Most files of one folder.
const MAX_FILES: usize = 100_000;

/// Read contracts off healthy traffic
///
/// Reads recordings as `truegreen audit` does, or plain event logs (CSV or NDJSON) with `--case`, `--activity` and
/// `--time`; or asks a running server to learn of what it has stored. Prints what every passage has in common as
/// contracts in YAML, with what speaks for each step as a comment: to be read, mended and kept in a folder that
/// `truegreen serve --flows` watches.
///
/// Exit code 1 if nothing could be learned.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Healthy recordings, or folders of them
    #[arg(required_unless_present = "from_server", conflicts_with = "from_server", value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    columns: Columns,
    #[command(flatten)]
    server: server::Asked,
    /// Print all that was learned as JSON
    #[arg(long)]
    json: bool,
}

/// Where a plain event log says what.
#[derive(clap::Args, Debug)]
pub(super) struct Columns {
    /// Column of a plain event log that names the case
    #[arg(long, value_name = "COLUMN", requires = "activity", requires = "time")]
    case: Option<String>,
    /// Its column that names what happened
    #[arg(long, value_name = "COLUMN", requires = "case")]
    activity: Option<String>,
    /// Its column with the time: RFC 3339, `2026-01-31 10:15:16.875` (UTC), or seconds to nanoseconds since 1970
    #[arg(long, value_name = "COLUMN", requires = "case")]
    time: Option<String>,
}

impl Columns {
    pub(super) fn chosen(&self) -> Option<rows::Chosen> {
        let (Some(case), Some(activity), Some(time)) = (&self.case, &self.activity, &self.time) else {
            return None;
        };
        Some(rows::Chosen { case: case.clone(), activity: activity.clone(), time: time.clone() })
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    if let Some(url) = &args.server.from_server {
        return server::run(url, &args.server, args.json);
    }
    let columns = args.columns.chosen();
    let cases = source::read(&files(&args.files)?, columns.as_ref(), None)?;
    let model = truegreen_engine::learn::learn(&cases);
    if args.json {
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&contract::report(&model))?)?;
    } else {
        let key = columns.as_ref().map_or("case", |columns| &columns.case);
        let yaml = contract::yaml(&model, key);
        write!(anstream::stdout(), "{}", terminal::printable_lines(&yaml))?;
        writeln!(std::io::stdout())?;
        tell(&model);
    }
    Ok(u8::from(model.flows.is_empty()))
}

/// What was not learned, beside the contracts.
fn tell(model: &Model) {
    let least = tolerance::SUPPORT;
    if model.flows.is_empty() {
        terminal::warn(&format!("nothing learned from {}: at least {least} alike are needed", count(model.cases)));
    }
    if !model.not_learned.is_empty() {
        let rare = wording::count(model.not_learned.len() as u64, "beginning");
        let cases = model.not_learned.iter().map(|one| u64::from(one.cases)).sum();
        terminal::warn(&format!("{rare} of {} not learned: fewer than {least} cases each", count(cases)));
    }
    if model.rootless > 0 {
        terminal::warn(&format!("{} left out: their beginning was not seen", count(model.rootless)));
    }
    let idle = model.flows.iter().filter(|flow| flow.course.steps.is_empty()).count() as u64;
    if idle > 0 {
        terminal::warn(&format!("{} without a contract: nothing follows", wording::count(idle, "root operation")));
    }
}

fn count(cases: u64) -> String {
    wording::count(cases, "case")
}

/// The files that are meant: folders stand for what is in them.
pub(super) fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.extend(matching(path)?);
            continue;
        }
        let read = || -> std::io::Result<Vec<PathBuf>> {
            let entries = std::fs::read_dir(path)?.take(MAX_FILES);
            let entries: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
            Ok(entries)
        };
        let mut inside = read().with_context(|| format!("cannot read {}", path.display()))?;
        inside.retain(|file| file.is_file() && !is_hidden(file));
        anyhow::ensure!(!inside.is_empty(), "no file in {}\nhint: is this the right folder?", path.display());
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// The file itself; where there is none and its name holds a `*`, all that it stands for.
fn matching(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if path.exists() || !name.contains('*') {
        return Ok(vec![path.to_owned()]);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wanted = Text(name);
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries.take(MAX_FILES).filter_map(|entry| Some(entry.ok()?.path())).collect();
    let fits =
        |file: &PathBuf| file.is_file() && file.file_name().is_some_and(|name| wanted.matches(name.as_encoded_bytes()));
    found.retain(fits);
    anyhow::ensure!(!found.is_empty(), "no file is called like {}", path.display());
    found.sort();
    Ok(found)
}

fn is_hidden(file: &Path) -> bool {
    file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."))
}
