//! `cargo xtask sim` and `cargo xtask crash`: both programs of `truegreen-sim`, whose last line is a summary and whose
//! exit status is 0 only when nothing broke.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::root;

/// Rounds that CI runs.
const FEW_ROUNDS: &str = "20";

/// Kills the server under load.
pub(crate) fn crash(arguments: &[String]) -> Result<ExitCode> {
    let mut build = Command::new("cargo");
    build.args(["build", "--quiet", "--package", "truegreen", "--bin", "truegreen"]);
    if !build.current_dir(root()).status().context("cannot start cargo")?.success() {
        bail!("the server does not build");
    }
    let server = target().join("debug").join(format!("truegreen{}", std::env::consts::EXE_SUFFIX));
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--package", "truegreen-sim", "--example", "crash", "--", "--server"]).arg(server);
    cargo.args(["--commit", &commit()]).args(arguments);
    let status = cargo.current_dir(root()).status().context("cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A few rounds, as CI runs them.
pub(crate) fn few_rounds() -> Result<()> {
    if crash(&["--rounds".to_owned(), FEW_ROUNDS.to_owned()])? != ExitCode::SUCCESS {
        bail!("something was lost or changed: its lines stand above");
    }
    Ok(())
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// What is checked out, with a mark where it is not as committed.
fn commit() -> String {
    let told =
        Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).current_dir(root()).output();
    let told = told.ok().filter(|told| told.status.success());
    told.map_or_else(|| "no commit".to_owned(), |told| String::from_utf8_lossy(&told.stdout).trim().to_owned())
}

/// Lives through simulated worlds.
pub(crate) fn sim(arguments: &[String]) -> Result<ExitCode> {
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--release", "--quiet", "--package", "truegreen-sim", "--example", "sim", "--"]).args(arguments);
    let status = cargo.current_dir(root()).status().context("cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
