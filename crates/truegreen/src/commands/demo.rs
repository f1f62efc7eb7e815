//! `truegreen demo`: a small pipeline of real processes, broken in silence, and what is found.

mod story;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::watch;
use truegreen_demo::parts::Prices;
use truegreen_demo::{Fault, Parts, Pipeline, Setup};
use truegreen_engine::Engine;
use truegreen_engine::flow::Source;

use super::progress::LiveLine;
use super::shutdown;
use crate::config::{Config, Data};
use crate::monitor::Monitor;
use crate::record::Recorder;
use crate::run_loop::Tap;
use crate::server::Server;
use crate::systems::comparing::Comparison;
use crate::systems::comparing::comparison::{Asked, KeysOf, SAMPLE};
use crate::systems::comparing::value::Pick;
use crate::{flows, quantity};
use story::Story;

/// How long undecided journeys are waited for: proof of a loss needs the services to be heard again.
const DRAIN_AT_MOST: Duration = Duration::from_secs(180);
/// How long a new price may take to the cache, lawfully.
const CHANGE_TAKES: Duration = Duration::from_secs(5);
/// So many findings are said why of.
const DIAGNOSED: usize = 3;
/// Most that the log of requests takes of the disk, and leaves free of it.
const LOG_BYTES: u64 = 1 << 30;
const FREE_BYTES: u64 = 64 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Break a small pipeline silently, and see it found
///
/// Starts a shop of four real services (storefront, orders, payments, inventory) with a queue, a cache and databases,
/// lets customers order, and breaks it in a way that no dashboard shows. Then says what Truegreen found, what ordinary
/// monitoring says of the same time, and what really happened. Everything runs on this machine, on free ports, and is
/// gone afterwards.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// What is broken
    #[arg(long, value_name = "FAULT", default_value_t = Fault::SilentSkip, long_help = faults())]
    fault: Fault,
    /// Run the repaired code against the same trouble
    #[arg(long)]
    fixed: bool,
    /// How long customers order
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = quantity::duration)]
    load_for: Duration,
    /// Orders per second
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    rate: f64,
    /// Decides which orders are placed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Run on this broker in place of a table: amqp://, nats:// or kafka://
    ///
    /// Its queues are the run's own, and are removed afterwards. ${NAME} and ${file:/path} are put in.
    #[arg(long, value_name = "URL", env = "TRUEGREEN_DEMO_BROKER", hide_env_values = true)]
    broker: Option<String>,
    /// Run on this database in place of files: postgres:// or mysql://
    ///
    /// Its schemas are the run's own, and are removed afterwards.
    #[arg(long, value_name = "URL", env = "TRUEGREEN_DEMO_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// Keep the storefront's prices in this cache in place of its memory: redis://
    #[arg(long, value_name = "URL", env = "TRUEGREEN_DEMO_CACHE", hide_env_values = true)]
    cache: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Write the telemetry to a file that `truegreen audit` reads
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Keep contract, database and logs of the services in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// All faults, for the help.
fn faults() -> String {
    let mut text = "What is broken:".to_owned();
    for fault in Fault::ALL {
        text.push_str(&format!("\n- {fault}: {}", fault.describe()));
    }
    text
}

pub(super) fn run(args: Args) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let json = args.json;
    let story = runtime.block_on(play(args))?;
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&story.to_json())?)?;
    } else {
        story.write(&mut out)?;
    }
    Ok(0)
}

async fn play(args: Args) -> anyhow::Result<Story> {
    // Before anything is made.
    let parts = Parts::new(args.broker.as_deref(), args.database.as_deref(), args.cache.as_deref())?;
    let scratch;
    let dir: &Path = match &args.keep {
        Some(dir) => dir,
        None => {
            scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
            scratch.path()
        }
    };
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    let monitor = Monitor::default();
    let run = Setup::name();
    let server = start_server(dir, args.record.as_deref(), &monitor, &parts, &run).await?;
    let setup = Setup {
        otlp_endpoint: format!("http://{}", server.addresses().grpc),
        data_dir: dir.to_owned(),
        fault: args.fault,
        fixed: args.fixed,
        rate_per_second: args.rate,
        seed: args.seed,
        load_for: args.load_for,
        exe: std::env::current_exe().context("cannot find this program's own file")?,
        run,
        parts,
    };
    if !args.json {
        story::introduce(&mut anstream::stdout(), &setup, &format!("http://{}", server.addresses().web))?;
    }
    let mut pipeline = Pipeline::start(setup).await?;
    let mut line = LiveLine::new();
    let finished = tokio::select! {
        done = order_and_wait(&mut pipeline, &server, &mut line) => { done?; true }
        asked = shutdown::asked() => { asked?; false }
    };
    line.clear();
    let ordinary = pipeline.ordinary();
    let truth = pipeline.truth()?;
    // As long as what it runs on is there.
    let systems = server.probes().latest();
    let stopped = pipeline.stop().await;
    let (report, lost) = server.run().ask(|engine| (engine.report(), unaccounted(engine))).await?;
    let mut diagnoses = Vec::new();
    for finding in report.findings.iter().take(DIAGNOSED) {
        diagnoses.push(server.explaining().diagnosis(&finding.id).await?);
    }
    server.stop().await?;
    stopped?;
    Ok(Story { finished, report, lost, diagnoses, systems, ordinary, signals: monitor.services(), truth })
}

async fn start_server(
    dir: &Path,
    record: Option<&Path>,
    monitor: &Monitor,
    parts: &Parts,
    run: &str,
) -> anyhow::Result<Server> {
    let text = parts.contract(run);
    let contract = dir.join("flows").join("order-fulfilment.yaml");
    std::fs::create_dir_all(dir.join("flows")).context("cannot make the folder for the contract")?;
    std::fs::write(&contract, &text).with_context(|| format!("cannot write {}", contract.display()))?;
    let source = Source { path: contract.display().to_string(), text };
    let (compiled, told) = flows::compiled(&[source], false);
    let compiled = compiled.with_context(|| format!("the demo's contract has mistakes:\n{}", told.join("\n")))?;

    let mut taps: Vec<Box<dyn Tap>> = vec![Box::new(monitor.clone())];
    if let Some(path) = record {
        let recorder = Recorder::create(path).with_context(|| format!("cannot record to {}", path.display()))?;
        taps.push(Box::new(recorder));
    }
    let comparisons = parts.prices(run).map(comparison).into_iter().collect();
    let data = Data {
        dir: dir.join("log").join(run),
        max_age: Duration::from_secs(24 * 3600),
        max_bytes: LOG_BYTES,
        min_free_bytes: FREE_BYTES,
    };
    let mut config = Config { systems: parts.systems(), comparisons, data: Some(data), ..Config::default() };
    for address in [&mut config.listen.grpc, &mut config.listen.http, &mut config.listen.web] {
        address.set_port(0);
    }
    Ok(Server::start(&config, compiled.flows, taps).await?)
}

/// Prices in the cache held against those in the database. A change reaches the cache through a queue.
fn comparison(prices: Prices) -> Comparison {
    let asked = |(system, ask): (&str, String)| Asked { system: system.to_owned(), ask, value: Pick::Whole };
    Comparison {
        name: "prices".to_owned(),
        cache: asked(prices.cached),
        keys: KeysOf::default(),
        source: asked(prices.source),
        age: None,
        within: CHANGE_TAKES,
        sample: SAMPLE,
        every: CHANGE_TAKES,
    }
}

/// Places the orders, lets the pipeline come to rest, and waits until every journey is decided.
async fn order_and_wait(pipeline: &mut Pipeline, server: &Server, line: &mut LiveLine) -> anyhow::Result<()> {
    let books = watch_books(server);
    let summary = pipeline.run_load(|progress| {
        line.show(|| {
            let seconds = progress.elapsed.as_secs();
            format!(
                "  {seconds} s: {} of {} orders placed; {}",
                progress.placed,
                progress.planned,
                books.borrow().shown()
            )
        });
    });
    summary.await?;
    pipeline.settle().await;
    let placed = pipeline.ordinary().checkouts_placed;
    let started = Instant::now();
    while started.elapsed() < DRAIN_AT_MOST {
        let seen = *books.borrow();
        // What was accepted last may still be on its way through an exporter's batch.
        if seen.open == 0 && seen.questions == 0 && seen.entered >= placed {
            break;
        }
        let seconds = started.elapsed().as_secs();
        line.show(|| format!("  all placed; {seconds} s of waiting for proof: {}", seen.shown()));
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// The books in short.
#[derive(Clone, Copy, Default)]
struct Seen {
    entered: u64,
    open: u64,
    completed: u64,
    unaccounted: u64,
    /// Effects that are still to be looked up.
    questions: usize,
}

impl Seen {
    fn shown(self) -> String {
        let Seen { entered, open, completed, unaccounted, .. } = self;
        format!("{entered} entered, {open} open, {completed} completed, {unaccounted} UNACCOUNTED")
    }

    fn of(engine: &Engine) -> Seen {
        let mut seen = Seen { questions: engine.questions(), ..Seen::default() };
        for flow in engine.report().flows.values() {
            seen.entered += flow.entered;
            seen.open += flow.open;
            seen.completed += flow.completed + flow.late;
            seen.unaccounted += flow.unaccounted;
        }
        seen
    }
}

/// Looks at the books now and again, until the engine stops or nobody wants to know.
fn watch_books(server: &Server) -> watch::Receiver<Seen> {
    let (sender, books) = watch::channel(Seen::default());
    let run = server.run().clone();
    tokio::spawn(async move {
        while let Ok(seen) = run.ask(Seen::of).await {
            if sender.send(seen).is_err() {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    books
}

fn unaccounted(engine: &Engine) -> Vec<String> {
    let lost = engine.journeys().filter(|journey| journey.verdict == "unaccounted");
    let mut keys: Vec<_> = lost.map(|journey| journey.key).collect();
    keys.sort();
    keys.dedup();
    keys
}
