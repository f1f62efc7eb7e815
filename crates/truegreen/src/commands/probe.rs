//! `truegreen probe`.

mod table;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::task::JoinSet;
use truegreen_connect::address::Surroundings;
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_connect::{Address, System, SystemConfig};
use truegreen_model::probe::{ProbeReport, Standing};

use super::{shutdown, terminal};
use crate::clock::wall_clock;
use crate::config::{self, Config};
use crate::systems::claims::{self, Claim, Known};
use crate::systems::comparing::{Comparison, Comparisons};
use crate::systems::latest::{Probed, rfc3339};
use crate::systems::{Systems, probes, words};

/// Ask databases, brokers, caches and health checks how they really are
///
/// Asks from here, without a server: real reads, and writes where the configuration allows a scratch table or key. Each check
/// says why it stands as it does. A service's own health check (`expect.claims_of`) is held against the systems that it uses.
///
/// Exit code 1 if anything fails or cannot be told; what warns works.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Only these, by their names in the configuration
    #[arg(value_name = "SYSTEM")]
    systems: Vec<String>,
    /// Configuration that names them under `systems`
    #[arg(long, value_name = "FILE", default_value = "truegreen.yaml")]
    config: PathBuf,
    /// Ask this address instead: postgres://, mysql://, redis://, amqp://, nats://, kafka://, https://, tls://, ntp://. ${NAME}
    /// and ${file:/path} are put in, so that a password need not stand on the command line
    #[arg(long, value_name = "URL", conflicts_with_all = ["systems", "config"])]
    url: Option<String>,
    /// As JSON; with --watch one document a line
    #[arg(long)]
    json: bool,
    /// Ask again and again, as often as `every` says, and show what changes
    #[arg(long)]
    watch: bool,
}

#[derive(Serialize)]
struct Answer {
    probes: Vec<Probed>,
    claims: Vec<Claim>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let asked = configured(args)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let code = runtime.block_on(ask(args, &asked));
    // A client that hangs is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}

/// Who is asked, and what is compared.
struct Asked {
    configs: Vec<SystemConfig>,
    systems: Systems,
    comparisons: Comparisons,
}

impl Asked {
    /// These systems; of `others` those that comparisons of theirs ask too.
    fn new(configs: Vec<SystemConfig>, others: Vec<SystemConfig>, config: &Config) -> anyhow::Result<Asked> {
        let is_asked = |name: &str| configs.iter().any(|config| config.name == name);
        let comparisons = config.comparisons.iter().filter(|comparison| is_asked(&comparison.cache.system));
        let comparisons: Vec<Comparison> = comparisons.cloned().collect();
        let is_needed = |other: &SystemConfig| {
            let needs = |comparison: &Comparison| {
                comparison.source.system == other.name || comparison.keys.system.as_ref() == Some(&other.name)
            };
            comparisons.iter().any(needs)
        };
        let all: Vec<SystemConfig> = configs.iter().cloned().chain(others.into_iter().filter(is_needed)).collect();
        let systems = Systems::new(&all).map_err(|(name, error)| anyhow::anyhow!("{name} cannot be asked: {error}"))?;
        let comparisons = Comparisons::new(&comparisons, &systems, &Redaction::new(&config.redact));
        Ok(Asked { configs, systems, comparisons })
    }
}

fn configured(args: &Args) -> anyhow::Result<Asked> {
    if let Some(url) = &args.url {
        let address = Address::parse(url, &Surroundings).map_err(|why| anyhow::anyhow!("--url: {why}"))?;
        return Asked::new(vec![SystemConfig::new(&address.to_string(), address)], Vec::new(), &Config::default());
    }
    let shown = args.config.display();
    let mut config = Config::load(&args.config).map_err(with_hint)?;
    let configs = std::mem::take(&mut config.systems);
    anyhow::ensure!(!configs.is_empty(), "{shown} names no system\nhint: name some under `systems`, or one with --url");
    if let Some(unknown) = args.systems.iter().find(|name| configs.iter().all(|config| config.name != **name)) {
        let names: Vec<&str> = configs.iter().map(|config| config.name.as_str()).collect();
        anyhow::bail!("no system is called {unknown}\nhint: {shown} names {}", names.join(", "));
    }
    let is_chosen = |config: &SystemConfig| args.systems.is_empty() || args.systems.contains(&config.name);
    let (configs, others) = configs.into_iter().partition(is_chosen);
    Asked::new(configs, others, &config)
}

fn with_hint(error: config::Error) -> anyhow::Error {
    match error {
        config::Error::Unreadable { .. } => {
            anyhow::anyhow!("{error}\nhint: name another file with --config, or one address with --url")
        }
        other => other.into(),
    }
}

async fn ask(args: &Args, asked: &Asked) -> anyhow::Result<u8> {
    let every = asked.configs.iter().map(|config| config.every).min().unwrap_or(Duration::from_secs(15));
    let mut last: BTreeMap<String, Probed> = BTreeMap::new();
    let mut is_first = true;
    let asked_to_stop = shutdown::asked();
    tokio::pin!(asked_to_stop);
    loop {
        let began = tokio::time::Instant::now();
        let reports = tokio::select! {
            reports = all(asked) => reports,
            stopped = &mut asked_to_stop => { stopped?; return Ok(code(last.values())); }
        };
        let before = std::mem::take(&mut last);
        last = reports.into_iter().map(|report| remembered(report, &before)).collect();
        show(args, &asked.configs, &before, &last, is_first)?;
        is_first = false;
        if !args.watch {
            return Ok(code(last.values()));
        }
        tokio::select! {
            () = tokio::time::sleep_until(began + every) => {}
            stopped = &mut asked_to_stop => { stopped?; return Ok(code(last.values())); }
        }
    }
}

/// All at once: the slowest decides how long it takes.
async fn all(asked: &Asked) -> Vec<ProbeReport> {
    let mut reports = JoinSet::new();
    for system in asked.configs.iter().filter_map(|config| asked.systems.get(&config.name)) {
        let (system, comparisons): (Arc<System>, Comparisons) = (Arc::clone(system), asked.comparisons.clone());
        reports.spawn(async move {
            let (report, ()) = tokio::join!(probes::ask(&system), comparisons.ask(&system.config().name));
            comparisons.complete(report)
        });
    }
    reports.join_all().await
}

fn remembered(report: ProbeReport, before: &BTreeMap<String, Probed>) -> (String, Probed) {
    let earlier = before.get(&report.system).filter(|earlier| earlier.report.standing == report.standing);
    let since = earlier.map_or_else(|| report.time.clone(), |earlier| earlier.since.clone());
    (report.system.clone(), Probed { report, since })
}

fn code<'a>(probed: impl Iterator<Item = &'a Probed>) -> u8 {
    let is_well = |probed: &Probed| matches!(probed.report.standing, Standing::Pass | Standing::Warn);
    u8::from(!probed.into_iter().all(is_well))
}

fn show(
    args: &Args,
    configs: &[SystemConfig],
    before: &BTreeMap<String, Probed>,
    now: &BTreeMap<String, Probed>,
    is_first: bool,
) -> anyhow::Result<()> {
    let mut probes: Vec<Probed> = now.values().cloned().collect();
    probes.sort_by_key(|probed| words::loudness(probed.report.standing));
    let claims = claims::hold(&Known { probed: probes.clone(), configs: configs.to_vec(), flows: None });
    if args.json {
        let answer = Answer { probes, claims };
        let text = if args.watch { serde_json::to_string(&answer)? } else { serde_json::to_string_pretty(&answer)? };
        let mut out = std::io::stdout();
        writeln!(out, "{}", terminal::printable_json(&text))?;
        out.flush()?;
        return Ok(());
    }
    let mut out = anstream::stdout();
    if is_first {
        table::write(&mut out, &probes, &claims)?;
    } else {
        table::write_changes(&mut out, before, &probes, &rfc3339(wall_clock()))?;
    }
    out.flush()?;
    Ok(())
}
