//! `truegreen serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use truegreen_model::flow::Flow;

use super::{shutdown, terminal};
use crate::config::{self, Config};
use crate::flows;
use crate::server::Server;

/// Take telemetry, keep the books, show and alert
///
/// Takes OTLP over gRPC and HTTP on both intake ports, and CloudEvents at /v1/events. Listens on this machine only,
/// unless told otherwise. Stops in order on SIGTERM and SIGINT.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Folder of contracts (*.yaml), or one of them
    #[arg(long, value_name = "DIR", required_unless_present_any = ["learn", "config"])]
    flows: Option<PathBuf>,
    /// Learn contracts of healthy traffic of this length, and put them in force beside those of --flows
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "10m",
          value_parser = config::learning_time, conflicts_with = "no_data")]
    learn: Option<Duration>,
    /// Configuration (YAML); flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where accepted requests are kept, so that a restart forgets nothing [default: truegreen-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Keep nothing: a restart forgets everything
    #[arg(long, conflicts_with = "data")]
    no_data: bool,
    /// Where to take OTLP, by gRPC's custom [default: 127.0.0.1:4317]
    #[arg(long, value_name = "ADDRESS", value_parser = config::address)]
    grpc: Option<SocketAddr>,
    /// Where to take OTLP, by HTTP's custom [default: 127.0.0.1:4318]
    #[arg(long, value_name = "ADDRESS", value_parser = config::address)]
    http: Option<SocketAddr>,
    /// Where to show pages, API and metrics [default: 127.0.0.1:4320]
    #[arg(long, value_name = "ADDRESS", value_parser = config::address)]
    web: Option<SocketAddr>,
    /// Allow addresses that other machines can reach; nothing asks who calls
    #[arg(long)]
    allow_remote: bool,
}

pub(super) fn run(args: Args) -> anyhow::Result<u8> {
    let config = configure(&args)?;
    let flows = match &args.flows {
        Some(flows) => load(flows)?,
        None => Vec::new(),
    };
    anyhow::ensure!(
        args.flows.is_some() || config.learn.is_some(),
        "there is no contract\nhint: name a folder of them with --flows, or let them be learned with --learn"
    );
    if config.listen.all().iter().any(|(_, address)| !address.ip().is_loopback()) {
        terminal::warn("other machines can reach this server, and nothing asks who calls");
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let served = runtime.block_on(serve(config, flows));
    // A system that hangs while it is asked is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

fn configure(args: &Args) -> anyhow::Result<Config> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    let listen = &mut config.listen;
    listen.grpc = args.grpc.unwrap_or(listen.grpc);
    listen.http = args.http.unwrap_or(listen.http);
    listen.web = args.web.unwrap_or(listen.web);
    listen.allow_remote |= args.allow_remote;
    config.learn = args.learn.or(config.learn);
    let data = config.data.get_or_insert_default();
    data.dir = args.data.clone().unwrap_or(std::mem::take(&mut data.dir));
    if args.no_data {
        config.data = None;
    }
    config.check_reach()?;
    Ok(config)
}

/// Contracts that can be watched; mistakes are told and end the command.
pub(super) fn load(path: &std::path::Path) -> anyhow::Result<Vec<Flow>> {
    let sources = flows::read(path)?;
    let (compiled, told) = flows::compiled(&sources, terminal::stderr_has_colour());
    for text in told {
        writeln!(anstream::stderr(), "{text}\n")?;
    }
    match compiled {
        Some(compiled) if compiled.flows.is_empty() => {
            anyhow::bail!("no flow in {}\nhint: its files hold no contract", path.display())
        }
        Some(compiled) => Ok(compiled.flows),
        None => anyhow::bail!("the contracts in {} have mistakes\nhint: they stand above", path.display()),
    }
}

async fn serve(config: Config, flows: Vec<Flow>) -> anyhow::Result<u8> {
    let names: Vec<_> = flows.iter().map(|flow| flow.name.clone()).collect();
    let server = Server::start(&config, flows, Vec::new()).await?;
    let addresses = server.addresses();
    let mut out = anstream::stdout();
    let names = if names.is_empty() { "what it learns".to_owned() } else { names.join(", ") };
    writeln!(out, "truegreen {} watches {names}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  OTLP/gRPC   http://{}", addresses.grpc)?;
    writeln!(out, "  OTLP/HTTP   http://{}", addresses.http)?;
    writeln!(out, "  page, API   http://{}", addresses.web)?;
    match &config.data {
        Some(data) => writeln!(out, "  data        {}", data.dir.display())?,
        None => writeln!(out, "  data        none: a restart forgets everything")?,
    }
    out.flush()?;
    let run = server.run().clone();
    tokio::select! {
        asked = shutdown::asked() => asked?,
        () = run.ended() => {}
    }
    tracing::info!("stopping: taking nothing more, finishing what was taken");
    server.stop().await?;
    Ok(0)
}
