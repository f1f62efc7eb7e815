//! `cargo xtask sim` and `cargo xtask crash`: both programs of `truegreen-sim`, whose last line is a summary and whose
//! exit status is 0 only when nothing broke.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::root;

/// Lives through simulated worlds.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--release", "--quiet", "--package", "truegreen-sim", "--example", "sim", "--"]).args(arguments);
    let status = cargo.current_dir(root()).status().context("cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
