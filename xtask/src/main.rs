//! One command for what CI runs, the same on a desk.

mod campaign;
mod contrast;
mod mutants;
mod peers;
mod servers;
mod tidy;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
cargo xtask <command>

  ci        all that CI checks: fmt, clippy, tidy, test, deny, doc, and a few rounds of crash
  tidy      the rules of the house that no lint knows: which crate may know which
  test      every test, on real parts
  bench     scan, match and ledger beside prost decoding the same bytes; the last line is the ratio
            --peers: the whole server and the engine beside other systems on the same data; installs what is missing
  sim       [--seeds N] [--from S]: simulated worlds of crashes and torn writes, and of ledgers beside the reference;
            the last line is a summary
  crash     [--rounds N] [--from R] [--seed S]: kills the real server under load, and holds its books against what its
            senders know to be acknowledged; the last line is a summary
  campaign  every silent failure, and hours of harmless noise; without a flag a short mix; the last line is a summary
            --sim [--seeds N] [--from S] [--rates R,R..] [--fault F] [--control C] [--minutes M] [--few] [--tell]: simulated
            --live [FAULT..]: the real pipeline and server, each fault for half a minute
            --live --parts rabbitmq,postgres,redis [FAULT..]: the same on real parts: rabbitmq, nats or kafka, postgres
            or mariadb, redis
            --write: puts the tables into docs/campaign.md
  contrast  [--seeds N] [--from S] [--setting PART] [--tell] [--export DIR]: tables with planted causes, and who names them
            exactly; the last line is a summary
            --peers: pysubgroup and DivExplorer on the same tables; installs what is missing
  letters   [N]: N dead letters (10,000) sent back on each system, while the command is killed twenty times and the system
            restarted twice; prints what each came to
  mutants   breaks the engine in fifteen ways, one after another: the tests must catch each
  deny      licences, duplicates and sources of dependencies
";

/// Every client of another system.
const FULL: &str = "truegreen/full,truegreen-connect/full";

/// Installed where it is missing; the version that `deny.toml` was written for.
const CARGO_DENY: &str = "^0.20";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("ci") => ci(),
        Some("tidy") => tidy::check(),
        Some("test") => test(),
        Some("bench") => bench(&arguments[1..]),
        Some(which @ ("sim" | "crash" | "campaign" | "contrast")) => {
            let run = match which {
                "sim" => campaign::sim,
                "crash" => campaign::crash,
                "contrast" => contrast::tables,
                _ => campaign::faults,
            };
            match run(&arguments[1..]) {
                Ok(code) => return code,
                Err(error) => Err(error),
            }
        }
        Some("letters") => letters(&arguments[1..]),
        Some("mutants") => mutants::run(),
        Some("deny") => deny(),
        _ => {
            say(USAGE);
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn ci() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--features", FULL, "--locked", "--", "--deny", "warnings"])?;
    // As the README's first command builds it: without a client of any other system.
    cargo(&["clippy", "--package", "truegreen", "--locked", "--", "--deny", "warnings"])?;
    tidy::check()?;
    deny()?;
    docs()?;
    servers::ensure()?;
    cargo(&[TEST, &["--no-run"]].concat())?;
    campaign::build_all()?;
    // It waits most of its time, for proof: beside everything else it costs little.
    let on_real_parts = std::thread::spawn(campaign::few_on_real_parts);
    let rest = test().and_then(|()| campaign::few_faults()).and_then(|()| campaign::few_rounds());
    let on_real_parts = on_real_parts.join().unwrap_or_else(|_| bail!("the runs on real parts ended by a bug"));
    rest.and(on_real_parts)
}

const TEST: &[&str] = &["test", "--workspace", "--features", FULL, "--locked", "--lib", "--bins", "--tests"];

/// One profile for everything, and few binaries: what takes long is building, not testing. With every client of other
/// systems.
fn test() -> Result<()> {
    servers::ensure()?;
    cargo(TEST)
}

/// The trial of redrives that every test run holds with few letters, with many.
fn letters(arguments: &[String]) -> Result<()> {
    let many = arguments.first().map_or("10000", String::as_str);
    many.parse::<usize>().ok().filter(|many| *many > 0 && arguments.len() < 2).with_context(|| {
        format!("{} is no number of letters\nhint: `cargo xtask letters 10000`", arguments.join(" "))
    })?;
    servers::ensure()?;
    let mut cargo = new_cargo();
    cargo.args([
        "test",
        "--package",
        "truegreen",
        "--features",
        "full",
        "--locked",
        "--test",
        "server",
        "--",
        "redrive",
    ]);
    cargo.args(["--nocapture", "--test-threads", "1"]).env("TRUEGREEN_LETTERS", many);
    run(cargo)
}

fn bench(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => {}
        [peers, rest @ ..] if peers == "--peers" => return peers::run(rest),
        [other, ..] => {
            bail!("{other} is no option of bench\nhint: `cargo xtask bench`, or `cargo xtask bench --peers`")
        }
    }
    cargo(&["bench", "--package", "truegreen-otlp", "--bench", "scan"])?;
    cargo(&["bench", "--package", "truegreen-engine", "--bench", "engine"])
}

fn docs() -> Result<()> {
    let mut doc = new_cargo();
    doc.args(["doc", "--workspace", "--features", FULL, "--no-deps", "--locked"])
        .env("RUSTDOCFLAGS", "--deny warnings");
    run(doc)
}

fn deny() -> Result<()> {
    let installed = new_cargo().args(["deny", "--version"]).output().is_ok_and(|out| out.status.success());
    if !installed {
        // It runs for a moment; what takes long is building it.
        cargo(&["install", "cargo-deny", "--debug", "--locked", "--version", CARGO_DENY])?;
    }
    // Advisories need a database from the network, and may turn a green commit red over night: a job of their own.
    // It looks at the dependencies of other operating systems too, which no build here has fetched.
    cargo(&["fetch", "--locked"])?;
    cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"])
}

fn cargo(args: &[&str]) -> Result<()> {
    let mut cargo = new_cargo();
    cargo.args(args);
    run(cargo)
}

/// Cargo as from a shell. What it tells this program of its package would go on to the build scripts below, and `ring`'s
/// looks at it: half of everything would be built anew whenever one turns from `cargo xtask` to `cargo` or back.
fn new_cargo() -> Command {
    let mut cargo = Command::new("cargo");
    let told = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in told.filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
        cargo.env_remove(name);
    }
    cargo
}

fn run(mut command: Command) -> Result<()> {
    let set = command.get_envs().filter_map(|(name, value)| Some(format!("{}={}", name.display(), value?.display())));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(|word| word.display().to_string());
    let shown = set.chain(words).collect::<Vec<_>>().join(" ");
    say(&format!("$ {shown}"));
    let status = command.current_dir(root()).status().with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("{shown} failed ({status})");
    }
    Ok(())
}

fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or(xtask.clone(), PathBuf::from)
}

#[expect(clippy::print_stderr, reason = "a command speaks to its user")]
fn say(line: &str) {
    eprintln!("{line}");
}
