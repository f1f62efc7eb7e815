//! The server put together: listeners, intake, run loop, alerts, pages. `serve` and `demo` run the same one.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use truegreen_connect::dead_letters::redact::Redaction;
use truegreen_engine::{Effect, Options};
use truegreen_model::flow::Flow;
use truegreen_store::Log;

use crate::config::{Config, Data};
use crate::confirming::{self, Sources};
use crate::dead_letters::desk::Desk;
use crate::explaining::{Explaining, duty};
use crate::incidents::Incidents;
use crate::ingest::Intake;
use crate::learning::Learning;
use crate::listen::{self, Floor};
use crate::lookup::indexer::Indexer;
use crate::lookup::inquiry::{self, Inquiry};
use crate::lookup::{self, Lookup, Passages};
use crate::metrics::Metrics;
use crate::run_loop::{self, Tap};
use crate::systems::Systems;
use crate::systems::comparing::{self, Comparisons};
use crate::systems::probes::Probes;
use crate::{alert, api, durable, web};

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The records of incidents.
    #[error("cannot read the records of incidents: {0}")]
    Incidents(std::io::Error),
    /// The configuration forbids it.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    /// A port.
    #[error(transparent)]
    Listen(#[from] listen::Error),
    /// The log of accepted requests.
    #[error(transparent)]
    Log(#[from] truegreen_store::Error),
    /// The contracts that the log tells of, or is to tell of.
    #[error(transparent)]
    Contracts(#[from] durable::contracts::Error),
    /// What systems answered, as the log tells.
    #[error(transparent)]
    Confirmations(#[from] confirming::kept::Error),
    /// What was changed, as the log tells.
    #[error(transparent)]
    Changes(#[from] crate::changes::kept::Error),
    /// One of the systems that are to be asked.
    #[error("the system `{name}` cannot be asked: {error}")]
    Asked {
        /// Its name in the configuration.
        name: String,
        /// Why not.
        error: truegreen_connect::Error,
    },
    /// A bug ended the start.
    #[error("cannot start")]
    Start(#[from] tokio::task::JoinError),
    /// The system gives no thread or socket.
    #[error("cannot start")]
    System(#[from] std::io::Error),
}

/// Where a server listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// OTLP; gRPC by convention.
    pub grpc: SocketAddr,
    /// OTLP; HTTP by convention.
    pub http: SocketAddr,
    /// Pages, API, metrics.
    pub web: SocketAddr,
}

/// A running server.
pub struct Server {
    addresses: Addresses,
    run: run_loop::Handle,
    log: durable::Handle,
    /// Of the log, then of the engine.
    threads: Vec<std::thread::JoinHandle<()>>,
    indexer: Option<Indexer>,
    alerts: alert::Alerts,
    probes: Probes,
    explaining: Explaining,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
}

/// What the pages and the API need of a server.
#[derive(Clone)]
pub struct Seen {
    /// The engine, to be asked.
    pub run: run_loop::Handle,
    /// The log, for what waits and whether it takes writes.
    pub log: durable::Handle,
    /// Own counters.
    pub metrics: Arc<Metrics>,
    /// For the bytes in flight.
    pub intake: Arc<Intake>,
    /// For one order followed end to end.
    pub lookup: Lookup,
    /// For contracts learned of what is stored.
    pub learning: Learning,
    /// What the systems said that are asked themselves.
    pub probes: Probes,
    /// Where the log is; none where nothing is kept.
    pub data: Option<Data>,
    /// For dead letters.
    pub desk: Desk,
    /// Why findings are there.
    pub explaining: Explaining,
    /// What was written down of findings.
    pub incidents: Incidents,
}

impl Server {
    /// Takes the ports and starts. `taps` see what is accepted.
    pub async fn start(config: &Config, flows: Vec<Flow>, taps: Vec<Box<dyn Tap>>) -> Result<Server, Error> {
        Server::mounting(config, flows, taps, Intake::router).await
    }

    /// As [`start`](Server::start), with other routes to the intake. For benchmarks.
    #[doc(hidden)]
    pub async fn mounting(
        config: &Config,
        flows: Vec<Flow>,
        taps: Vec<Box<dyn Tap>>,
        routes: impl FnOnce(Arc<Intake>) -> Router,
    ) -> Result<Server, Error> {
        Server::asking(config, flows, taps, routes, None).await
    }

    /// As [`mounting`](Server::mounting), with effects looked up elsewhere than the configuration says. For tests.
    #[doc(hidden)]
    pub async fn asking(
        config: &Config,
        flows: Vec<Flow>,
        taps: Vec<Box<dyn Tap>>,
        routes: impl FnOnce(Arc<Intake>) -> Router,
        sources: Option<Sources>,
    ) -> Result<Server, Error> {
        config.check_reach()?;
        let systems = Systems::new(&config.systems).map_err(|(name, error)| Error::Asked { name, error })?;
        let compared = comparing::mistakes(&config.comparisons, &Sources::from(&systems));
        let sources = sources.unwrap_or_else(|| Sources::from(&systems));
        // Ports first: whoever cannot have them should hear that and nothing else.
        let grpc = listen::bind("grpc", config.listen.grpc).await?;
        let http = listen::bind("http", config.listen.http).await?;
        let web = listen::bind("web", config.listen.web).await?;
        let addresses = Addresses { grpc: grpc.local_addr()?, http: http.local_addr()?, web: web.local_addr()? };

        let metrics = Arc::new(Metrics::default());
        let link = config.external_url.clone().unwrap_or_else(|| format!("http://{}", addresses.web));
        let alerts = alert::Alerts::start(&config.alerts, &link, metrics.clone())?;
        let (options, data) = (engine_options(config), config.data.clone());
        let keeps_learned = config.learn.is_some();
        let recover = move || durable::recover(flows, options, data.as_ref(), keeps_learned);
        let (engine, mut recovered) = tokio::task::spawn_blocking(recover).await??;
        for finding in
            engine.report().findings.into_iter().filter(|finding| ["open", "quiet"].contains(&&*finding.status))
        {
            alerts.handle().opened(finding);
        }
        for effect in std::mem::take(&mut recovered.effects) {
            if let Effect::FindingClosed(finding) = effect {
                alerts.handle().closed(finding);
            }
        }
        // Also those that were removed and have open journeys.
        let flows: Vec<Flow> = engine.flows().cloned().collect();
        let reader = recovered.log.as_ref().map(Log::reader);
        let in_force: Vec<Flow> = engine.in_force().cloned().collect();
        let learn_from = reader.clone();
        let (archive, indexer) = lookup::follow(config.data.as_ref(), reader, &flows)?;
        let read_by_explaining = archive.clone();
        let passages = Passages::new(flows, archive, config.retention.0);
        for mistake in confirming::mistakes(&in_force, &sources).into_iter().chain(compared) {
            tracing::warn!("{mistake}");
        }
        for mistake in inquiry::mistakes(&config.systems, &in_force, &sources) {
            tracing::warn!("{mistake}");
        }
        let desk = Desk::new(&systems, config);
        let inquiry = Inquiry::new(&systems, &sources, &desk);
        let (asker, questions) = confirming::channel();
        let (bell, rung) = duty::bell(metrics.clone());
        let (run, feed, engine_thread) = run_loop::start(engine, alerts.handle(), bell, asker, taps)?;
        let (data, asked) = (config.data.as_ref().map(|data| data.dir.clone()), run.clone());
        let opened = tokio::task::spawn_blocking(move || Incidents::open(data.as_deref(), asked)).await?;
        let incidents = opened.map_err(Error::Incidents)?;
        let (log, mut threads) = durable::start(recovered, config.limits.queued_requests, run.clone(), feed)?;
        threads.push(engine_thread);
        let learning = Learning::new(learn_from, log.clone(), run.clone(), in_force);
        let looking_up = tokio::spawn(confirming::run(questions, sources, log.clone(), metrics.clone()));
        let looking = config.learn.map(|after| learning.start(after));
        let intake = Arc::new(Intake::new(config.limits.clone(), metrics.clone(), log.clone()));

        let (stop, stopped) = watch::channel(false);
        let connections = Arc::new(Semaphore::new(config.limits.connections));
        let comparisons = Comparisons::new(&config.comparisons, &systems, &Redaction::new(&config.redact));
        let (probes, asking) = Probes::start(&systems, &comparisons, &alerts.handle(), &stopped);
        let comparing = comparisons.start(&stopped);
        let redaction = Redaction::new(&config.redact);
        let explaining = Explaining::new(run.clone(), read_by_explaining, redaction, probes.clone(), metrics.clone());
        incidents.diagnosed_by(explaining.as_json());
        let on_duty = duty::start(&explaining, rung, alerts.handle(), &stopped);
        let explained = explaining.clone();
        let watching = incidents.start(&stopped);
        let floor = Floor { connections, metrics: metrics.clone(), stop: stopped };
        let otlp = routes(intake.clone());
        let lookup = Lookup::new(passages, run.clone()).asking(inquiry);
        let data = config.data.clone();
        let (run_seen, log_seen, probes_seen) = (run.clone(), log.clone(), probes.clone());
        let seen = Seen {
            run: run_seen,
            log: log_seen,
            metrics,
            intake,
            lookup,
            learning,
            probes: probes_seen,
            data,
            desk,
            explaining,
            incidents,
        };
        let names = web::host::Names::new(addresses.web, config.external_url.as_deref(), seen.metrics.clone());
        let pages = api::router(seen.clone()).merge(web::router(seen));
        let pages = pages.layer(axum::middleware::from_fn_with_state(names, web::host::guard));
        let mut listeners = vec![
            tokio::spawn(listen::serve(grpc, otlp.clone(), floor.clone())),
            tokio::spawn(listen::serve(http, otlp, floor.clone())),
            tokio::spawn(listen::serve(web, pages, floor)),
        ];
        // They end when the log is asked to stop, as the listeners do.
        listeners.extend(looking);
        listeners.extend(asking);
        listeners.extend(comparing);
        listeners.push(looking_up);
        listeners.push(watching);
        listeners.push(on_duty);
        Ok(Server { addresses, run, log, threads, indexer, alerts, probes, explaining: explained, stop, listeners })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The engine, to be asked.
    pub fn run(&self) -> &run_loop::Handle {
        &self.run
    }

    /// What the systems said that are asked themselves.
    pub fn probes(&self) -> &Probes {
        &self.probes
    }

    /// Why findings are there.
    pub fn explaining(&self) -> &Explaining {
        &self.explaining
    }

    /// Takes nothing more, finishes what was taken, sends the last alerts. Fails if the engine had panicked.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.log.refuse_new();
        self.stop.send_replace(true);
        for listener in self.listeners {
            listener.await?;
        }
        self.log.stop();
        let (threads, indexer, alerts) = (self.threads, self.indexer, self.alerts);
        let ended = tokio::task::spawn_blocking(move || {
            let ended: Vec<_> = threads.into_iter().map(std::thread::JoinHandle::join).collect();
            let indexed = indexer.map_or(Ok(()), Indexer::stop);
            alerts.stop();
            ended.into_iter().collect::<Result<(), _>>().and(indexed)
        });
        ended.await?.map_err(|_| anyhow::anyhow!("the engine stopped by a bug; its message stands above"))
    }
}

impl From<durable::Failed> for Error {
    fn from(failed: durable::Failed) -> Error {
        match failed {
            durable::Failed::Log(error) => Error::Log(error),
            durable::Failed::Contracts(error) => Error::Contracts(error),
            durable::Failed::Confirmations(error) => Error::Confirmations(error),
            durable::Failed::Changes(error) => Error::Changes(error),
        }
    }
}

fn engine_options(config: &Config) -> Options {
    Options {
        retention: config.retention.0,
        max_journeys: config.limits.journeys,
        max_traces: config.limits.traces,
        watches_traces: config.watch_traces,
        max_assembled_spans: config.limits.spans,
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        ..Options::default()
    }
}
