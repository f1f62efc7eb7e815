//! The life of one service process: read the configuration, send telemetry, serve until asked to stop, flush.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::logs::Severity;
use tokio::sync::{Notify, watch};

use crate::config::{Role, ServiceConfig};
use crate::relay::{self, Fuse};
use crate::telemetry::{Event, Telemetry};
use crate::{Error, inventory, orders, storefront};

/// Becomes true once, when the service is asked to stop.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) async fn requested(&mut self) {
        // That nobody can ask any more is a request too.
        let _asked = self.0.wait_for(|asked| *asked).await;
    }

    pub(crate) fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

/// What the hidden subcommand `demo-service <role> --config <file>` runs: one service of the pipeline, until standard
/// input ends (its orchestrator is gone or wants it to stop), SIGTERM or SIGINT. Its port is the first line of standard
/// output. Needs a multi-threaded tokio runtime.
///
/// # Errors
/// The configuration does not read or is for another role, or the service cannot serve.
pub async fn serve_role(role: &str, config: &Path) -> Result<(), Error> {
    let config = ServiceConfig::read(config)?;
    if config.role.name() != role {
        return Err(Error::Role(role.to_owned()));
    }
    let stop = stop_requests();
    let fuse = Arc::new(Notify::new());
    let endpoint = telemetry_endpoint(&config, &fuse).await?;
    let telemetry = Telemetry::start(&config, &endpoint)?;
    let started = Event {
        name: "service.started",
        severity: Severity::Info,
        body: format!("{role} {} started", config.version),
        attributes: Vec::new(),
    };
    telemetry.emit(started, &Context::new());
    let served = match &config.role {
        Role::Storefront(own) => storefront::serve(&config, own, &telemetry, stop).await,
        Role::Orders(own) => orders::serve(&config, own, &telemetry, stop).await,
        Role::Inventory(own) => inventory::serve(&config, own, &telemetry, stop, fuse).await,
    };
    telemetry.stop().await?;
    served
}

async fn telemetry_endpoint(config: &ServiceConfig, fuse: &Fuse) -> Result<String, Error> {
    match &config.role {
        Role::Inventory(crate::config::Inventory { exporter_dies_after_ms: Some(after_ms), .. }) => {
            relay::start(&config.otlp_endpoint, Duration::from_millis(*after_ms), Arc::clone(fuse)).await
        }
        _ => Ok(config.otlp_endpoint.clone()),
    }
}

fn stop_requests() -> Stop {
    let (ask, asked) = watch::channel(false);
    let by_signal = ask.clone();
    tokio::spawn(async move {
        signal().await;
        by_signal.send_replace(true);
    });
    // A thread of its own: a read of standard input cannot be cancelled, and would hold up the end of the runtime.
    std::thread::spawn(move || {
        let _end = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        ask.send_replace(true);
    });
    Stop(asked)
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    // A handler that cannot be installed leaves the signal its usual effect: the process ends.
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
