//! `cargo xtask sim`, `cargo xtask crash` and `cargo xtask campaign`: programs of `truegreen-sim` and the real pipeline,
//! whose last line is a summary and whose exit status is 0 only when nothing broke.

mod live;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::{FULL, cargo, new_cargo, root};

/// What CI runs the demo on: each broker once, with either database.
const REAL_PARTS: [&str; 3] = ["rabbitmq,postgres,redis", "nats,postgres,redis", "kafka,mariadb,redis"];
/// Rounds that CI runs.
const FEW_ROUNDS: &str = "20";

/// Kills the server under load.
pub(crate) fn crash(arguments: &[String]) -> Result<ExitCode> {
    build_server(false)?;
    let mut cargo = new_cargo();
    cargo.args(["run", "--quiet", "--package", "truegreen-sim", "--example", "crash", "--", "--server"]).arg(server());
    cargo.args(["--commit", &commit()]).args(arguments);
    let status = cargo.current_dir(root()).status().context("cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// With the clients of all systems, or with none.
fn build_server(full: bool) -> Result<()> {
    let mut build = new_cargo();
    build.args(["build", "--quiet", "--package", "truegreen", "--bin", "truegreen"]);
    build.args(full.then_some("--features=full"));
    if !build.current_dir(root()).status().context("cannot start cargo")?.success() {
        bail!("the server does not build");
    }
    Ok(())
}

fn server() -> PathBuf {
    target().join("debug").join(format!("truegreen{}", std::env::consts::EXE_SUFFIX))
}

/// All programs, from the same libraries as the tests: with any other selection of packages or features most would be built
/// again.
pub(crate) fn build_all() -> Result<()> {
    cargo(&["build", "--workspace", "--features", FULL, "--locked", "--bins", "--examples"])
}

/// A few rounds of crashes, as CI runs them: by what it has built.
pub(crate) fn few_rounds() -> Result<()> {
    let mut crash = Command::new(example("crash"));
    crash.arg("--server").arg(server()).args(["--commit", &commit(), "--rounds", FEW_ROUNDS]);
    run_built(crash, "something was lost or changed")
}

/// Every fault once and the worst noise, as CI runs them: by what it has built.
pub(crate) fn few_faults() -> Result<()> {
    let mut campaign = Command::new(example("campaign"));
    campaign.arg("--few");
    run_built(campaign, "a silent failure was not found, or something that was none")
}

/// The faults of brokers, databases and caches on real ones, as CI runs them: by what it has built, side by side.
pub(crate) fn few_on_real_parts() -> Result<()> {
    let on_real_parts = |parts: &'static str| {
        let serve = Command::new(example("serve"));
        let (table, summary, all) = live::run_on(parts, serve, LIVE_SECONDS)?;
        show(&format!("{table}\n{summary}"));
        if !all {
            bail!("a silent failure was not found on {parts}, or is told as what it is not: the table stands above");
        }
        Ok(())
    };
    let runs = REAL_PARTS.map(|parts| std::thread::spawn(move || on_real_parts(parts)));
    runs.into_iter().try_for_each(|run| run.join().unwrap_or_else(|_| bail!("a run on real parts ended by a bug")))
}

fn run_built(mut program: Command, or: &str) -> Result<()> {
    let shown = program.get_program().display().to_string();
    if !program.current_dir(root()).status().with_context(|| format!("cannot start {shown}"))?.success() {
        bail!("{or}: its lines stand above");
    }
    Ok(())
}

fn example(name: &str) -> PathBuf {
    target().join("debug/examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
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
    let mut cargo = new_cargo();
    cargo.args(["run", "--release", "--quiet", "--package", "truegreen-sim", "--example", "sim", "--"]).args(arguments);
    let status = cargo.current_dir(root()).status().context("cannot start cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the results are written, between marks.
const DOCUMENT: &str = "docs/campaign.md";
/// Seconds for which customers order in each live run.
const LIVE_SECONDS: u32 = 30;
/// What the short mix runs live: a loss, and the two that must not be called one.
const LIVE_FEW: &[&str] = &["silent-skip", "exporter-drops"];

/// Every silent failure: simulated, live, or a short mix of both.
pub(crate) fn faults(arguments: &[String]) -> Result<ExitCode> {
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let rest: Vec<&str> = arguments.iter().map(String::as_str).filter(|argument| !is_own(argument)).collect();
    let is_mix = !has("--sim") && !has("--live");
    if has("--live") && rest == ["--parts", "all"] {
        build_all()?;
        return few_on_real_parts().map(|()| ExitCode::SUCCESS);
    }
    let mut holds = true;
    if has("--sim") || is_mix {
        holds &= simulated(if is_mix && rest.is_empty() { &["--few"] } else { &rest }, has("--write"))?;
    }
    if has("--live") || is_mix {
        let names: Vec<&str> = if is_mix { LIVE_FEW.to_vec() } else { rest };
        let (table, summary, all) = live::run(&names, LIVE_SECONDS)?;
        show(&format!("{table}\n{summary}"));
        // Its table is of the demo's own parts.
        if has("--write") && !has("--parts") {
            write("live", &format!("{table}\n{summary}, at {}\n", commit()))?;
        }
        holds &= all;
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_own(argument: &str) -> bool {
    matches!(argument, "--sim" | "--live" | "--write")
}

fn simulated(arguments: &[&str], writes: bool) -> Result<bool> {
    let mut cargo = new_cargo();
    cargo.args(["run", "--release", "--quiet", "--package", "truegreen-sim", "--example", "campaign", "--"]);
    cargo.args(arguments).current_dir(root());
    if !writes {
        return Ok(cargo.status().context("cannot start cargo")?.success());
    }
    let output = cargo.output().context("cannot start cargo")?;
    let told = String::from_utf8_lossy(&output.stdout);
    show(&told);
    if told.contains("| fault |") {
        let command = ["cargo xtask campaign --sim", &arguments.join(" ")].join(" ");
        // What was wrong in which run is for who mends it.
        let (tables, rest) = told.split_once("```text").unwrap_or((&told, ""));
        let summary = rest.split_once("```").map_or("", |(_, summary)| summary).trim();
        write("sim", &format!("`{}`, at {}\n\n{tables}{summary}\n", command.trim(), commit()))?;
    }
    Ok(output.status.success())
}

/// Puts a text between its two marks in the document.
fn write(mark: &str, text: &str) -> Result<()> {
    let path = root().join(DOCUMENT);
    let document = std::fs::read_to_string(&path).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let Some((before, rest)) = document.split_once(&begin) else { bail!("{DOCUMENT} has no mark {begin}") };
    let Some((_, after)) = rest.split_once(&end) else { bail!("{DOCUMENT} has no mark {end}") };
    let written = format!("{before}{begin}{text}{end}{after}");
    std::fs::write(&path, written).with_context(|| format!("cannot write {DOCUMENT}"))
}

#[expect(clippy::print_stdout, reason = "a command speaks to its user")]
fn show(text: &str) {
    println!("{}", text.trim_end());
}
