//! `truegreen check`.

use std::io::Write;
use std::path::PathBuf;

use super::terminal;
use crate::{flows, wording};

/// Look for mistakes in contracts
///
/// Exit code 1 if there are mistakes; warnings alone are no mistake.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Folder of contracts (*.yaml), or one of them
    #[arg(value_name = "DIR")]
    flows: PathBuf,
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
            let flows = wording::count(compiled.flows.len() as u64, "flow");
            let warnings = wording::count(told.len() as u64, "warning");
            writeln!(out, "{flows} in {files} can be watched; {warnings}")?;
            Ok(0)
        }
        None => {
            writeln!(out, "{files} cannot be taken as they stand")?;
            Ok(1)
        }
    }
}
