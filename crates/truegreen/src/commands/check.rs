//! `truegreen check`.

use std::io::Write;
use std::path::{Path, PathBuf};

use truegreen_model::flow::Flow;

use super::terminal;
use crate::config::Config;
use crate::confirming::{self, Sources};
use crate::lookup::inquiry;
use crate::systems::{Systems, comparing};
use crate::{flows, wording};

/// Look for mistakes in contracts
///
/// Exit code 1 if there are mistakes; warnings alone are no mistake.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Folder of contracts (*.yaml), or one of them
    #[arg(value_name = "DIR")]
    flows: PathBuf,
    /// Also look whether the systems that this configuration names can be asked what the contracts, and it, ask. None is asked
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let sources = flows::read(&args.flows)?;
    let (compiled, told) = flows::compiled(&sources, terminal::stdout_has_colour());
    let mut out = anstream::stdout();
    for text in &told {
        writeln!(out, "{text}\n")?;
    }
    let files = wording::count(sources.len() as u64, "file");
    match compiled {
        Some(compiled) => {
            let unasked = match &args.config {
                Some(path) => unasked(path, &compiled.flows)?,
                None => Vec::new(),
            };
            for mistake in &unasked {
                writeln!(out, "warning: {mistake}\n")?;
            }
            let flows = wording::count(compiled.flows.len() as u64, "flow");
            let warnings = wording::count((told.len() + unasked.len()) as u64, "warning");
            writeln!(out, "{flows} in {files} can be watched; {warnings}")?;
            Ok(0)
        }
        None => {
            writeln!(out, "{files} cannot be taken as they stand")?;
            Ok(1)
        }
    }
}

/// What contracts and configuration ask of systems that cannot be asked.
fn unasked(config: &Path, flows: &[Flow]) -> anyhow::Result<Vec<String>> {
    let config = Config::load(config)?;
    let systems = Systems::new(&config.systems).map_err(|(name, cause)| anyhow::anyhow!("system `{name}`: {cause}"))?;
    let sources = Sources::from(&systems);
    let mut mistakes = confirming::mistakes(flows, &sources);
    mistakes.extend(comparing::mistakes(&config.comparisons, &sources));
    mistakes.extend(inquiry::mistakes(&config.systems, flows, &sources));
    Ok(mistakes)
}
