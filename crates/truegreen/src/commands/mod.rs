//! The command line. Each command is one module with its arguments and a `run` that gives the exit code: 0 for fine,
//! 1 for "what you asked about is not fine", 2 for "could not do what you asked".

mod asking;
mod audit;
mod blindspots;
mod change;
mod changes;
mod check;
mod contrast;
mod delimited;
mod demo;
mod demo_service;
mod diagnose;
mod dlq;
mod explain;
mod incident;
mod investigate;
mod learn;
mod mcp;
mod probe;
mod progress;
mod schema;
mod serve;
mod shutdown;
mod status;
mod store;
mod terminal;
mod trace;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Green should mean working: double-entry books on the events that flow through your services.
///
/// Whatever enters a flow must come out: completed, or refused with a reason. Truegreen reads the OpenTelemetry data
/// that your services already send, and names every order, message or job that did neither.
///
/// Start with `truegreen demo`.
#[derive(Parser, Debug)]
#[command(name = "truegreen", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    /// Log messages to standard error: off, error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL", env = "TRUEGREEN_LOG", display_order = 1000)]
    log: Option<LevelFilter>,
    #[command(subcommand)]
    command: Command,
}

// What each does is said beside its arguments.
#[derive(Subcommand, Debug)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Check(check::Args),
    Explain(explain::Args),
    Status(status::Args),
    Trace(trace::Args),
    Blindspots(blindspots::Args),
    Probe(probe::Args),
    Dlq(Box<dlq::Args>),
    Change(change::Args),
    Changes(changes::Args),
    Investigate(Box<investigate::Args>),
    Incident(incident::Args),
    Learn(learn::Args),
    Audit(audit::Args),
    Diagnose(diagnose::Args),
    Contrast(contrast::Args),
    Store(store::Args),
    Mcp(mcp::Args),
    /// Print the JSON schema of contracts, for editors
    Schema,
    #[command(hide = true)]
    DemoService(demo_service::Args),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(&cli);
    let done = match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Blindspots(args) => blindspots::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Dlq(args) => dlq::run(&args),
        Command::Change(args) => change::run(&args),
        Command::Changes(args) => changes::run(&args),
        Command::Investigate(args) => investigate::run(&args),
        Command::Incident(args) => incident::run(&args),
        Command::Learn(args) => learn::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Diagnose(args) => diagnose::run(&args),
        Command::Contrast(args) => contrast::run(&args),
        Command::Store(args) => store::run(&args),
        Command::Mcp(args) => mcp::run(&args),
        Command::Schema => schema::run(),
        Command::DemoService(args) => demo_service::run(&args),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        // `truegreen check | head` is no mistake.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&error);
            ExitCode::from(2)
        }
    }
}

fn start_log(cli: &Cli) {
    let level = cli.log.unwrap_or(match cli.command {
        Command::Serve(_) => LevelFilter::INFO,
        // Findings are logged as warnings, and shown by these anyway.
        Command::Demo(_) | Command::Audit(_) => LevelFilter::ERROR,
        _ => LevelFilter::WARN,
    });
    // Libraries speak up from warnings on only.
    let targets = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("truegreen", level);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(terminal::stderr_has_colour());
    tracing_subscriber::registry().with(layer.with_filter(targets)).init();
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// The command line's description, for tests of what `--help` says.
pub fn description() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}
