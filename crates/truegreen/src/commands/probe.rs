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
use truegreen_connect::{Address, System, SystemConfig};
use truegreen_model::probe::{ProbeReport, Standing};

use super::{shutdown, terminal};
use crate::clock::wall_clock;
use crate::config::{self, Config};
use crate::systems::claims::{self, Claim, Known};
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
    let configs = configured(args)?;
    let systems = Systems::new(&configs).map_err(|(name, error)| anyhow::anyhow!("{name} cannot be asked: {error}"))?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let code = runtime.block_on(ask(args, &configs, &systems));
    // A client that hangs is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}

fn configured(args: &Args) -> anyhow::Result<Vec<SystemConfig>> {
    if let Some(url) = &args.url {
        let address = Address::parse(url, &Surroundings).map_err(|why| anyhow::anyhow!("--url: {why}"))?;
        return Ok(vec![SystemConfig::new(&address.to_string(), address)]);
    }
    let shown = args.config.display();
    let mut configs = Config::load(&args.config).map_err(with_hint)?.systems;
    anyhow::ensure!(!configs.is_empty(), "{shown} names no system\nhint: name some under `systems`, or one with --url");
    if let Some(unknown) = args.systems.iter().find(|name| configs.iter().all(|config| config.name != **name)) {
        let names: Vec<&str> = configs.iter().map(|config| config.name.as_str()).collect();
        anyhow::bail!("no system is called {unknown}\nhint: {shown} names {}", names.join(", "));
    }
    configs.retain(|config| args.systems.is_empty() || args.systems.contains(&config.name));
    Ok(configs)
}

fn with_hint(error: config::Error) -> anyhow::Error {
    match error {
        config::Error::Unreadable { .. } => {
            anyhow::anyhow!("{error}\nhint: name another file with --config, or one address with --url")
        }
        other => other.into(),
    }
}

async fn ask(args: &Args, configs: &[SystemConfig], systems: &Systems) -> anyhow::Result<u8> {
    let every = configs.iter().map(|config| config.every).min().unwrap_or(Duration::from_secs(15));
    let mut last: BTreeMap<String, Probed> = BTreeMap::new();
    let mut is_first = true;
    let asked_to_stop = shutdown::asked();
    tokio::pin!(asked_to_stop);
    loop {
        let began = tokio::time::Instant::now();
        let reports = tokio::select! {
            reports = all(systems) => reports,
            stopped = &mut asked_to_stop => { stopped?; return Ok(code(last.values())); }
        };
        let before = std::mem::take(&mut last);
        last = reports.into_iter().map(|report| remembered(report, &before)).collect();
        show(args, configs, &before, &last, is_first)?;
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
async fn all(systems: &Systems) -> Vec<ProbeReport> {
    let mut asked = JoinSet::new();
    for system in systems.all() {
        let system: Arc<System> = Arc::clone(system);
        asked.spawn(async move { probes::ask(&system).await });
    }
    asked.join_all().await
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
