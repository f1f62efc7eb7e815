//! `cargo xtask contrast`: tables with planted causes, for our search and for others.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::peers::place::{Place, programs};
use crate::{new_cargo, root};

/// Tables of each setting that peers are shown: they take long.
const FEW_SEEDS: &str = "2";

/// Ours beside two baselines, or beside programs of others.
pub(crate) fn tables(arguments: &[String]) -> Result<ExitCode> {
    let with_peers = arguments.iter().any(|argument| argument == "--peers");
    let rest: Vec<&str> = arguments.iter().map(String::as_str).filter(|argument| *argument != "--peers").collect();
    if !with_peers {
        return run(&rest, None);
    }
    let place = Place::new()?;
    let folder = place.fresh("contrast")?;
    let few = ["--seeds", FEW_SEEDS];
    let done = run(if rest.is_empty() { &few } else { &rest }, Some(&folder))?;
    place.install("subgroups")?;
    let python = place.python()?;
    let mut peers = Command::new(python);
    peers.arg(programs().join("subgroups.py")).arg(&folder);
    let status = peers.current_dir(root()).status().context("cannot start subgroups.py")?;
    Ok(if status.success() { done } else { ExitCode::FAILURE })
}

fn run(arguments: &[&str], export: Option<&Path>) -> Result<ExitCode> {
    let mut cargo = new_cargo();
    cargo.args(["run", "--release", "--quiet", "--package", "truegreen-sim", "--example", "contrast", "--"]);
    cargo.args(arguments);
    if let Some(folder) = export {
        cargo.arg("--export").arg(folder);
    }
    let status = cargo.current_dir(root()).status().context("cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
